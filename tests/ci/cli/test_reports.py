"""Reports of tests in `ci-run local`, on the real engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.root

_PIPELINE = """
steps:
  - name: test
    image: busybox
    commands:
      - |
        printf '1..3\\nok 1 - adds\\nnot ok 2 - divides\\nok 3 - waits # SKIP\\n' > results.tap
      - echo "<testsuite><testcase name='says $TOKEN'><error message='$TOKEN'/></testcase></testsuite>" > a.xml
      - exit 1
    report: ["*.tap", a.xml]
    secrets: [token]
"""


def test_failed_tests_are_shown(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Counted where the step ends and in the table, named below it, masked; and as values for programs."""
    done = ci_run(_PIPELINE, "--secret", "token=hunter22")
    assert done.returncode == 1
    assert ": 2 of 4 tests failed, 1 skipped\n" in done.stdout
    table = done.stdout[done.stdout.index("stage  ") :]
    assert "2 of 4 tests failed, 1 skipped" in table
    assert "failed tests:\n  test: says ********: ********\n  test: divides\n" in table
    done = ci_run(_PIPELINE, "--json", "--secret", "token=hunter22")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["stages"][0]["steps"][0]["tests"] == {
        "total": 4,
        "failed": 2,
        "skipped": 1,
        "failures": [{"name": "says ********", "message": "********"}, {"name": "divides", "message": ""}],
    }


def test_a_report_that_is_none(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """It is said, and changes nothing."""
    done = ci_run("steps: [{name: a, image: busybox, commands: ['echo no > x.xml'], report: [x.xml]}]")
    assert done.returncode == 0
    assert "ci-run: a: report: x.xml: is neither JUnit's XML nor TAP\n" in done.stdout

"""The device program of cgroup v2: what is no rule, and what a rule becomes."""

from __future__ import annotations

import pytest

from sandbox.errors import InvalidError
from sandbox.kernel.cgroups_devices import program


@pytest.mark.parametrize(
    "rule", ["", "c 1:3", "x 1:3 rwm", "c 1 rwm", "c -1:3 rwm", "c 1:3 q", "c 99999999999:1 r", "b"]
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    """The error names the rule and shows what one looks like."""
    with pytest.raises(InvalidError, match="bad device rule") as caught:
        program([rule])
    assert "c 1:3 rwm" in (caught.value.hint or "")


def test_instructions_of_a_rule() -> None:
    """Without a rule the request is read and refused; each test of a rule is one, or three for access."""
    nothing = len(program([])) // 8
    assert nothing == 8
    assert len(program(["a"])) // 8 == nothing + 2
    assert len(program(["c *:* rwm"])) // 8 == nothing + 3
    assert len(program(["c 1:* rwm"])) // 8 == nothing + 4
    assert len(program(["c 1:3 r"])) // 8 == nothing + 8

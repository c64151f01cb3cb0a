"""What programs and the page are given of a log, and to whom."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from ci.store import repositories

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from ci.store.repositories import Repository
    from tests.web.logs.conftest import Written
    from web.services import Services


def test_a_range_of_lines(client: FlaskClient, services: Services, written: Written) -> None:
    """By numbers from 1; times; what is no UTF-8 does not stop anybody."""
    services.logs.append(written.key, 0, b"".join(b"line %d\n" % n for n in range(1, 3001)), time=10.5)
    services.logs.append(written.key, services.logs.open(written.key).size, b"\xff end", time=11)
    part = client.get(f"{written.address}/-/lines?from=2999&count=10").json
    assert part is not None
    assert part["lines"] == [["line 2999", 10.5], ["line 3000", 10.5], ["� end", 11.0]]
    assert (part["first"], part["count"], part["ended"]) == (2999, 3001, False)
    everything = client.get(f"{written.address}/-/lines").json
    assert everything is not None
    assert len(everything["lines"]) == 2000


def test_a_long_line_is_given_by_its_ends(client: FlaskClient, services: Services, written: Written) -> None:
    """With how much is missing, and where: in units of JavaScript's strings."""
    services.logs.append(written.key, 0, "😀".encode() * 100_000 + b"end\nnext\n", time=1)
    part = client.get(f"{written.address}/-/lines").json
    assert part is not None
    (text, _, left_out, kept), following = part["lines"]
    assert text.endswith("end")
    assert left_out == 400_003 - 16384
    assert kept == 12288 // 2
    assert following[0] == "next"


def test_search(client: FlaskClient, services: Services, written: Written) -> None:
    """The lines, by number; a text that cannot be searched for is refused in one line."""
    services.logs.append(written.key, 0, b"one\nTwo\nthree two\n", time=1)
    assert client.get(f"{written.address}/-/search?q=two&fold=1").json == {"lines": [2, 3], "next": None, "size": 18}
    refused = client.get(f"{written.address}/-/search?q=", headers={"Accept": "application/json"})
    assert (refused.status_code, refused.json and refused.json["error"]["reference"]) == (400, "bad-search")


def test_commands_are_found_in_their_order(client: FlaskClient, services: Services, written: Written) -> None:
    """What only looks like one is none; a later request goes on where the last one ended."""
    first = b"+ echo first\n+ echo last\nfirst\n+ make\n+ make install\n+ set -x\n+ ec"
    services.logs.append(written.key, 0, first, time=10)
    found = client.get(f"{written.address}/-/commands").json
    assert found is not None
    assert found["commands"] == [{"line": 1, "time": 10.0}, {"line": 4, "time": 10.0}]
    services.logs.append(written.key, len(first), b"ho last\nlast\n", time=20)
    later = client.get(f"{written.address}/-/commands?known={found['known']}&begin={found['next']}").json
    assert later is not None
    assert later["commands"] == [{"line": 7, "time": 10.0}]  # when it began to be printed


@pytest.mark.parametrize("finished", [False, True])
def test_the_bytes_are_those_that_were_written(
    client: FlaskClient, services: Services, written: Written, finished: bool
) -> None:
    """Raw and as a file, packed for who takes that."""
    data = bytes(range(256)) * 4000
    services.logs.append(written.key, 0, data, time=1, end=finished)
    assert services.logs.finish(written.key) is finished
    plain = client.get(f"{written.address}/-/raw")
    assert plain.data == data
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"
    packed = client.get(f"{written.address}/-/download", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == data
    assert packed.headers["Content-Disposition"] == 'attachment; filename="build-1-stage-1-step-2.log"'


def test_the_page_reads_well_without_javascript(client: FlaskClient, services: Services, written: Written) -> None:
    """The first and the last lines, without escape sequences, and nothing of them is HTML."""
    lines = [b"\x1b[31m<script>alert(1)</script>\x1b[0m", *(b"line %d" % n for n in range(2, 5000)), b"10%\r100%\r"]
    services.logs.append(written.key, 0, b"\n".join(lines), time=1)
    page = client.get(written.address).text
    assert '<li value="1" id="L1">&lt;script&gt;alert(1)&lt;/script&gt;</li>' in page
    assert '<li value="5000" id="L5000">100%</li>' in page
    assert "4,500 lines are left out" in page
    assert "\x1b" not in page


def test_a_step_that_has_not_begun(client: FlaskClient, written: Written) -> None:
    """Has a page, and no lines."""
    assert "Nothing has been printed" in client.get(written.address).text
    assert client.get(f"{written.address}/-/lines").status_code == 404


def test_numbers_are_numbers(client: FlaskClient, written: Written) -> None:
    """What is none is refused, or there is no such thing."""
    for query in ("from=x", "from=-1", "count=" + "9" * 40, "attempt=a"):
        assert client.get(f"{written.address}/-/lines?{query}").status_code == 400
    assert client.get("/octo/hello/1/1/9").status_code == 404
    assert client.get("/octo/hello/7/1/2").status_code == 404


@pytest.mark.parametrize("part", ["", "/-/lines", "/-/search?q=a", "/-/raw", "/-/download", "/-/live", "/-/commands"])
def test_a_stranger_knows_nothing_of_a_private_repository(
    client: FlaskClient, services: Services, repository: Repository, written: Written, part: str
) -> None:
    """Not even that there is such a log."""
    services.logs.append(written.key, 0, b"a", time=1)
    with services.database.write() as connection:
        repositories.update(connection, repository.id, private=True)
    assert client.get(written.address + part).status_code == 404

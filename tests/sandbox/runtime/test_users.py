"""Who a process runs as, by the image's own account files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InvalidError, NotFoundError, SandboxError
from sandbox.runtime.users import Identity, resolve

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/var/www:/bin/false\nodd:x:7:8:::\n#no:x:1:1::/:\nbroken\n"
GROUP = b"root:x:0:\nwww:x:34:\ndisk:x:6:root,web\naudio:x:29:web\nbad:x:zz:web\n"


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("", Identity(0, 0, (6,), "/root")),
        ("root", Identity(0, 0, (6,), "/root")),
        ("web", Identity(33, 34, (6, 29), "/var/www")),
        ("33", Identity(33, 34, (6, 29), "/var/www")),
        ("web:disk", Identity(33, 6, (), "/var/www")),
        ("web:1234", Identity(33, 1234, (), "/var/www")),
        ("4321", Identity(4321, 0, (), "/")),
        ("4321:www", Identity(4321, 34, (), "/")),
        ("odd", Identity(7, 8, (), "/")),
        ("2147483647", Identity(2147483647, 0, (), "/")),
    ],
)
def test_every_form_of_a_user(user: str, identity: Identity) -> None:
    """Names and numbers resolve as docker resolves them; a named group leaves out the supplementary ones."""
    assert resolve(user, PASSWD, GROUP) == identity


@pytest.mark.parametrize(
    "user", ["4294967296", "2147483648", "-1", "0:4294967296", "99999999999999999999", ":0", "root:", "+5"]
)
def test_numbers_that_would_wrap_are_refused(user: str) -> None:
    """No number outside of 0…2^31-1 and no half of a pair is taken: they would become root (CVE-2024-40635)."""
    with pytest.raises(InvalidError):
        resolve(user, PASSWD, GROUP)


@pytest.mark.parametrize("user", ["nobody", "web:nogroup", "#no", "broken"])
def test_unknown_names(user: str) -> None:
    """A name that the files do not have is an error that says so."""
    with pytest.raises(NotFoundError, match=r"no (user|group)"):
        resolve(user, PASSWD, GROUP)


@given(st.text(max_size=20), st.binary(max_size=200), st.binary(max_size=200))
def test_no_account_file_crashes_it(user: str, passwd: bytes, group: bytes) -> None:
    """Whatever an image has in its files, the answer is an identity or an error of ours."""
    try:
        identity = resolve(user, passwd, group)
    except SandboxError:
        return
    assert 0 <= identity.uid < 2**31
    assert identity.home.startswith("/")

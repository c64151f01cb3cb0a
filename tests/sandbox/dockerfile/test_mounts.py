"""`RUN --mount`: every option, and what goes with which type."""

from __future__ import annotations

import pytest

from sandbox.dockerfile.mounts import Mount, MountError, MountType, Sharing, parse_mount


def read(text: str) -> Mount:
    """A mount whose variables are all `v`."""
    return parse_mount(text, lambda value: value.replace("$x", "v"))


def test_options() -> None:
    """Long and short names, numbers in their base, quotes of CSV, variables in values."""
    assert read('type=cache,id=$x,"target=/a,b",sharing=locked,mode=0700,uid=1,gid=2,from=s,src=/d') == Mount(
        type=MountType.CACHE,
        id="v",
        target="/a,b",
        sharing=Sharing.LOCKED,
        mode=0o700,
        uid=1,
        gid=2,
        origin="s",
        source="/d",
        read_only=False,
    )
    assert read("type=tmpfs,dst=/t,size=64m").size == 64 << 20
    assert read("type=secret,id=s,env=TOKEN,required").required
    assert not read("target=/x,rw").read_only
    assert read("type=bind,destination=/x").read_only
    assert read("type=cache,target=/x,ro=true").read_only


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=cache", "needs a target"),
        ("type=bnd,target=/x", "unsupported type"),
        ("target=/x,size=1", "has no option size"),
        ("target=/x,nonsense=1", "unknown mount option"),
        ("target", "has no value"),
        ("type=secret", "needs an id"),
        ("type=secret,id=a,source=b", "either"),
        ("type=cache,target=/x,mode=9", "octal"),
        ("type=cache,target=/x,uid=-1", "uid"),
        ("type=tmpfs,target=/x,size=much", "size"),
        ("target=/x,ro=perhaps", "true or false"),
        ('target=/x,"id', "cannot read"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """Each says which option is wrong."""
    with pytest.raises(MountError, match=message):
        read(text)

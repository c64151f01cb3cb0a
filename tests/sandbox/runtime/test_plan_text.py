"""A plan's lines, as `--plan` prints them."""

from __future__ import annotations

import pytest

from sandbox.kernel.cgroups import Limits
from sandbox.kernel.idmap import IdMap, IdRange
from sandbox.kernel.namespaces import Flags
from sandbox.network.records import Attachment
from sandbox.runtime import operations as op
from sandbox.runtime.plan_text import line

ONE = (IdRange(0, 1879048192, 65536),)
TWO = (IdRange(0, 1000, 1), IdRange(1, 100000, 65536))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            op.CreateNamespaces(Flags.NEWUSER, IdMap(ONE, ONE)),
            "create-namespaces namespaces=user ids=0:1879048192:65536",
        ),
        (
            op.CreateNamespaces(Flags.NEWUSER | Flags.NEWNET, IdMap(TWO, ONE)),
            "create-namespaces namespaces=user,net ids=uids:0:1000:1,1:100000:65536;gids:0:1879048192:65536",
        ),
        (op.StartInit(Flags.NEWNS | Flags.NEWPID), "start-init namespaces=mount,pid"),
        (
            op.CreateCgroup("hako/a", Limits(memory=4096, cpus=0.5), asked=True),
            "create-cgroup name=hako/a limits=memory=4096,cpus=0.5 asked=yes",
        ),
        (op.WriteFile("/f", "a b\n"), 'write-file path=/f text="a b\\n"'),
        (
            op.PrepareMount("dev/null", "/dev/null", False, False, False, (1, 3)),
            "prepare-mount key=dev/null source=/dev/null read_only=no idmapped=no recursive=no device=1:3 private=no"
            ' writable_below=no subpath=""',
        ),
        (
            op.PrepareFilesystem("/t", "tmpfs", (("mode", "755"), ("ro", None)), ("NOSUID", "NODEV")),
            "prepare-filesystem key=/t fstype=tmpfs options=mode=755,ro attributes=NOSUID,NODEV",
        ),
        (
            op.FurnishFilesystem("/dev", ("pts",), ("null",), (("pts/ptmx", "ptmx"),)),
            "furnish-filesystem key=/dev directories=pts files=null links=ptmx->pts/ptmx",
        ),
        (op.InstallSeccomp('{"a": 1}', frozenset()), "install-seccomp profile=own:8-bytes capabilities=none"),
        (op.Execute(("sh", "-c", "a b"), ("A=1", "B=x y")), "execute argv=\"sh -c 'a b'\" environment=\"A=1 'B=x y'\""),
        (
            op.ConfigureNetwork((Attachment("n", "c", "10.0.0.2", 24, names=("a", "b")),)),
            "configure-network attachments=network=n,container=c,address=10.0.0.2,length=24,mtu=0,names=a,b,length6=0",
        ),
    ],
)
def test_values_are_written_as_their_users_write_them(operation: op.HostOperation, expected: str) -> None:
    """Ids, namespaces, limits, devices, options and commands."""
    assert line(operation) == expected

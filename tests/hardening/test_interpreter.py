"""The host's interpreter in the hands of a container (CVE-2019-5736).

Until a container's command is executed its process is our Python, and a command can be made so that the kernel executes
that file again: a script whose interpreter is /proc/self/exe. What runs then is the attacker's, with a way to the file
on the host.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.runtime.spec import Mount, MountKind, Shared
from tests.sandbox.image.archives import archive, member
from tests.sandbox.kernel.children import Account, account_without_ranges
from tests.sandbox.runtime.images import applets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hardening.conftest import MakeImage, Start
    from tests.sandbox.runtime.conftest import Run

# Written for the interpreter that it gets by its first line; says what it was able to do.
ATTACK = b"""#!/proc/self/exe
import json, os
handle = os.open("/proc/self/exe", os.O_PATH)
path = f"/proc/self/fd/{handle}"
done = []
for name, attempt in (
    ("write", lambda: os.open(path, os.O_WRONLY)),
    ("truncate", lambda: os.truncate(path, 0)),
    ("mode", lambda: os.chmod(path, 0o4777)),
    ("owner", lambda: os.chown(path, 0, 0)),
    ("times", lambda: os.utime(path, (1, 1))),
    ("attribute", lambda: os.setxattr(path, "user.x", b"1")),
    ("link", lambda: os.link(path, "/link", follow_symlinks=True)),
):
    try:
        attempt()
        done.append(name)
    except OSError:
        pass
print(json.dumps({"program": os.path.basename(os.readlink("/proc/self/exe")), "done": done}))
"""
PLACES = sorted({"/usr", sys.base_prefix})
LINKS = ("bin", "lib", "lib64")


def _file(path: Path) -> tuple[object, ...]:
    """All that an attack could change."""
    status = path.stat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return (digest, *status[:7], status.st_mtime_ns, status.st_ctime_ns, tuple(os.listxattr(path)))


@pytest.mark.root
@pytest.mark.parametrize("shared", [Shared(), Shared(user=True)], ids=["own", "host"])
def test_a_script_that_our_interpreter_runs(run: Run, image: MakeImage, shared: Shared) -> None:
    """Its ids are nobody's on the host: it cannot change the file in any way; nor can it where it has the host's."""
    program = Path(sys.executable).resolve()
    before = _file(program)
    links = [member(name, "symlink", target=f"usr/{name}") for name in LINKS]
    hostile = image(member("usr", "dir"), member("run", data=ATTACK, mode=0o755), *links, bare=True)
    mounts = tuple(Mount(kind=MountKind.BIND, source=place, target=place, read_only=True) for place in PLACES)
    result = run("", image=hostile, command=("/run",), mounts=mounts, shared=shared)
    assert json.loads(result.output)["done"] == []
    assert _file(program) == before


@pytest.mark.root
@pytest.mark.parametrize("target", ["/proc/self/exe", "/proc/1/exe", "/proc/self/fd/3", "/proc/thread-self/exe"])
def test_a_command_that_is_our_interpreter(run: Run, start: Start, image: MakeImage, target: str) -> None:
    """Without its libraries in the image nothing comes of it; it ends, as a first process and as a further one."""
    program = Path(sys.executable).resolve()
    before = _file(program)
    hostile = image(
        member("script", data=f"#!{target}\n".encode(), mode=0o755),
        member("link", "symlink", target=target),
        *applets("true"),
    )
    container = start(image=hostile)
    for command in ("/script", "/link"):
        for attempt in (lambda name: run("", image=hostile, command=(name,)).status.code, container.execute):
            try:
                attempt(command)
            except SandboxError as error:
                assert error.exit_code in (126, 127)
    assert _file(program) == before


@pytest.fixture
def own_python() -> Iterator[tuple[Account, Path]]:
    """An account with an interpreter of its own, as pyenv and uv make it, in a directory where it finds the engine."""
    account = account_without_ranges()
    folder = Path(tempfile.mkdtemp(prefix="hako-own-"))
    try:
        (folder / "bin").mkdir()
        shutil.copy(Path(sys.executable).resolve(), folder / "bin/python3")
        shutil.copytree(Path(__file__).parents[2] / "sandbox", folder / "sandbox")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid)
        yield account, folder
    finally:
        shutil.rmtree(folder)


_ENGINE = """
import io, os, sys
from pathlib import Path
from sandbox.kernel.idmap import become_root
become_root()
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind, Stdio
engine = Engine(Path(sys.argv[1]))
engine.images.import_tar(sys.stdin.buffer, reference="hostile")
mounts = tuple(Mount(kind=MountKind.BIND, source=place, target=place, read_only=True) for place in sys.argv[2:])
spec = ContainerSpec(image="hostile", command=("/run",), network="none", auto_remove=True, mounts=mounts)
process = engine.start(engine.create(spec), Stdio(stdout=1, stderr=2))
process.wait()
engine.close()
import shutil
shutil.rmtree(engine.home)
"""


def test_an_interpreter_of_the_user_s_own(own_python: tuple[Account, Path]) -> None:
    """Root in the container is the user who owns it, and yet cannot change it."""
    account, folder = own_python
    program = folder / "bin/python3"
    before = _file(program)
    links = [member(name, "symlink", target=f"usr/{name}") for name in LINKS]
    layer = archive(member("usr", "dir"), member("run", data=ATTACK, mode=0o755), *links)
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [program, "-c", _ENGINE, str(folder / "home"), *PLACES],
        input=layer,
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        **identity,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["done"] == []
    assert _file(program) == before

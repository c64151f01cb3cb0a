"""What a process in a container must not have or reach, be it the first one or a further one.

Each test tries it, with a witness on the host. CVE numbers are of engines in which it went wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.image.config import ImageConfig
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.kernel.syscalls import NR
from sandbox.runtime.spec import Mount, MountKind, Security
from tests.sandbox.image.archives import member
from tests.sandbox.kernel.children import in_child
from tests.sandbox.runtime.images import applets

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.hardening.conftest import Canary, MakeImage, Probe, Start
    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root

# Whatever can be asked for: what is refused then, the user namespace refuses.
ALL = Security(capabilities_add=("ALL",), seccomp="unconfined", no_new_privileges=False)
WITH_ANY_RIGHTS = pytest.mark.parametrize("security", [Security(), ALL], ids=["default", "all"])


# --- descriptors and directories --------------------------------------------------------------------------------------


def test_no_descriptor_but_the_standard_ones(run: Run, start: Start, canary: Canary) -> None:
    """Neither a first process nor a further one has another, though the engine's process has careless ones
    (CVE-2024-21626).
    """
    careless = [os.open(canary.path, os.O_RDONLY | os.O_DIRECTORY) for _ in range(3)]
    try:
        for descriptor in careless:
            os.set_inheritable(descriptor, True)
        # The shell lists the directory with a descriptor of its own, which is gone by then.
        script = "for f in /proc/self/fd/*; do [ -e $f ] && echo ${f##*/}; done; true"
        assert run(script).output.split() == ["0", "1", "2"]
        container = start()
        assert container.execute("sh", "-c", script) == (0, "0\n1\n2\n")
        code, listed = container.execute("ls", "-l", "/proc/1/fd")
        assert (code, len(listed.splitlines())) == (0, 4)
        assert str(canary.path) not in listed
    finally:
        for descriptor in careless:
            os.close(descriptor)


@pytest.mark.parametrize(
    "place",
    [
        *(f"/proc/self/fd/{number}" for number in range(3, 16)),
        "/dev/fd/7",
        "/proc/self/cwd/../../..",
        "/proc/self/root/..",
        "/proc/1/cwd",
        "/proc/1/root/../../..",
    ],
)
def test_a_working_directory_outside(run: Run, start: Start, image: MakeImage, canary: Canary, place: str) -> None:
    """By the image's WORKDIR or an exec's, a way out is refused or leads nowhere (CVE-2024-21626)."""
    hostile = image(*applets("cat", "pwd"), config=ImageConfig(working_dir=place))
    script = f"pwd; cat {canary.beneath}/secret; cat {canary.path}/secret; true"
    container = start()
    texts = []
    try:
        texts.append(run(script, image=hostile).output)
    except SandboxError as error:
        assert "working directory" in error.message
    try:
        texts.append(container.execute("sh", "-c", script, working_dir=place)[1])
    except SandboxError as error:
        assert "working directory" in error.message
    assert not any(line in ("canary", "(unreachable)/") for text in texts for line in text.splitlines())


def test_a_working_directory_by_a_link(run: Run, image: MakeImage, canary: Canary) -> None:
    """One that an image's link leads to the host is made inside (CVE-2024-45310)."""
    hostile = image(member("way", "symlink", target=str(canary.path)), *applets("pwd"))
    assert run("pwd", image=hostile, working_dir="/way/new").output == f"{canary.path}/new\n"
    assert not (canary.path / "new").exists()


# --- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["", "1000", "1000:1001"])
def test_no_inheritable_capabilities(run: Run, start: Start, user: str) -> None:
    """Nor ambient ones (CVE-2022-24769, CVE-2022-29162, CVE-2022-27649 to 27652), and for others than root none at
    all.
    """
    script = "grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status"
    code, second = start(user=user).execute("sh", "-c", script)
    assert code == 0
    for text in (run(script, user=user).output, second):
        sets = {line.split()[0]: int(line.split()[1], 16) for line in text.splitlines()}
        assert (sets["CapInh:"], sets["CapAmb:"]) == (0, 0)
        assert (sets["CapPrm:"] == sets["CapEff:"] == 0) == bool(user)


def test_groups_are_those_of_the_image(run: Run, start: Start, image: MakeImage) -> None:
    """A user has the groups that the image gives and no other, and a file that denies a group is closed to its members
    (CVE-2022-36109, CVE-2022-2989, CVE-2022-2990).
    """
    hostile = image(
        member("etc", "dir"),
        member("etc/passwd", data=b"member:x:500:500::/:/bin/sh\nother:x:501:501::/:/bin/sh\n"),
        member("etc/group", data=b"g500:x:500:\ng501:x:501:\ndenied:x:42:member\n"),
        member("secret", data=b"open\n", mode=0o604, gid=42),
        *applets("cat", "id"),
    )
    script = "id -G; cat /secret 2>&1"
    denied = "500 42\ncat: can't open '/secret': Permission denied\n"
    assert run(script, image=hostile, user="member").output == denied
    assert run(script, image=hostile, user="other").output == "501\nopen\n"
    assert run(script, image=hostile, user="500:500").output == "500\nopen\n"  # as docker: a group alone is alone
    assert run("id -G", image=hostile).output == "0\n"  # none of the engine's own
    container = start(image=hostile)
    assert container.execute("sh", "-c", script, user="member")[1] == denied
    assert container.execute("sh", "-c", script, user="other")[1] == "501\nopen\n"


@pytest.mark.parametrize(
    "user",
    [
        *("4294967296", "4294967296:0", "2147483648", "4294967295", "99999999999999999999"),
        *("-1", "+0", "1000:", ":5", "1000:-1"),
    ],
)
def test_user_ids_do_not_wrap(run: Run, start: Start, image: MakeImage, user: str) -> None:
    """A number out of range is no other user's, least of all root's (CVE-2024-40635, CVE-2026-30892)."""
    hostile = image(*applets("id"), config=ImageConfig(user=user))
    with pytest.raises(SandboxError, match=r"out of range|not valid"):
        run("id -u", image=hostile)
    with pytest.raises(SandboxError, match=r"out of range|not valid"):
        start().execute("id", "-u", user=user)


def test_set_user_id_programs_give_nothing(probe: Probe, canary: Canary) -> None:
    """no_new_privs holds by default; where new privileges are allowed, somebody becomes root of the container only."""
    program = canary.path.with_name("python")
    shutil.copy(Path(sys.executable).resolve(), program)
    program.chmod(0o4755)
    mounts = (Mount(kind=MountKind.BIND, source=str(program), target="/suid"),)
    become = "import os; os.execv('/suid', ['python3', '-I', '-S', '-c', 'import os; print(os.geteuid())'])"
    assert probe(become, mounts=mounts, user="7").output == "7\n"
    allowed = Security(no_new_privileges=False)
    assert probe(become, mounts=mounts, user="7", security=allowed).output == "0\n"


# --- what belongs to the host -----------------------------------------------------------------------------------------


@WITH_ANY_RIGHTS
def test_files_of_the_host(probe: Probe, canary: Canary, security: Security) -> None:
    """There is no way to them: not up, not through /proc, not by a handle (the shocker exploit)."""
    program = f"""
import ctypes, glob, os
found = []
for path in ({str(canary.path)!r}, {canary.beneath!r}, *glob.glob("/proc/[0-9]*/root/{canary.path}"),
             *glob.glob("/proc/[0-9]*/cwd/{canary.beneath}"), *glob.glob("/proc/[0-9]*/fd/*/{canary.beneath}")):
    if os.path.exists(path + "/secret"):
        found.append(path)
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 8)]
libc = ctypes.CDLL(None, use_errno=True)
for place in ("/", "/usr", "/etc/hosts", "/etc/resolv.conf"):
    handle = Handle(8, 1)
    handle.data[0] = 2  # the root of an ext4
    mount = os.open(place, os.O_RDONLY)
    if libc.open_by_handle_at(mount, ctypes.byref(handle), 0) >= 0:
        found.append("handle at " + place)
print(found)
"""
    assert probe(program, security=security).output == "[]\n"


@WITH_ANY_RIGHTS
def test_processes_of_the_host(run: Run, security: Security) -> None:
    """None is seen, and a signal to everybody reaches nobody outside."""
    victim = os.fork()
    if victim == 0:
        os.execvp("sleep", ["sleep", "60"])  # noqa: S606
    try:
        script = f"ls -d /proc/[0-9]* | wc -l; kill -9 {victim}; kill -9 -1; cat /proc/{victim}/environ"
        result = run(script, security=security)
        assert int(result.output.split()[0]) <= 3
        assert os.waitpid(victim, os.WNOHANG) == (0, 0)
    finally:
        os.kill(victim, 9)
        os.waitpid(victim, 0)


# name -> arguments; refused with the default rights
_CALLS = {
    "add_key": 'b"user", b"hako", b"x", 1, -3',
    "request_key": 'b"user", b"hako", None, -3',
    "keyctl": "0, -3, 1, 0, 0",
    "syslog": "3, ctypes.create_string_buffer(99), 99",
    "clock_settime": "0, ctypes.byref((ctypes.c_long * 2)(1, 1))",
    "settimeofday": "ctypes.byref((ctypes.c_long * 2)(1, 1)), None",
    "reboot": "0xFEE1DEAD, 672274793, 0, None",
    "kexec_load": "0, 0, None, 0",
    "init_module": "None, 0, None",
    "finit_module": "0, None, 0",
    "delete_module": 'b"nf_nat", 0',
    "bpf": "0, None, 0",
    "perf_event_open": "None, 0, -1, -1, 0",
    "userfaultfd": "0",
    "mount": 'b"none", b"/tmp", b"tmpfs", 0, None',
    "umount2": 'b"/proc", 2',
    "pivot_root": 'b"/tmp", b"/tmp"',
    "fsopen": 'b"tmpfs", 0',
    "open_tree": '-100, b"/", 1',
    "unshare": "0x10000000",
    "setns": "0, 0",
    "sethostname": 'b"x", 1',
    "swapon": 'b"/tmp/x", 0',
    "quotactl": "0, None, 0, None",
    "iopl": "3",
    "acct": "None",
    "chroot": 'b"/nonexistent"',
    "open_by_handle_at": "-100, None, 0",
    "io_uring_setup": "1, None",
    "ptrace": "0, 0, 0, 0",
    "mknod": 'b"/tmp/disk", 0o60666, 0x0800',
}
_FINE = ("chroot", "ptrace")  # Docker allows them
_WHATEVER_THE_RIGHTS = (
    *("clock_settime", "settimeofday", "kexec_load", "init_module", "finit_module", "delete_module", "swapon"),
    *("iopl", "acct", "open_by_handle_at", "mknod", "syslog"),
)


def _attempts(names: list[str]) -> str:
    lines = "\n".join(f'"{name}": lambda: libc.syscall({NR[name]}, {_CALLS[name]}),' for name in names if name in NR)
    return f"""
import ctypes, errno, json
libc = ctypes.CDLL(None, use_errno=True)
calls = {{
{lines}
}}
result = {{}}
for name, call in calls.items():
    ctypes.set_errno(0)
    result[name] = "worked" if call() >= 0 else errno.errorcode[ctypes.get_errno()]
print(json.dumps(result))
"""


def test_system_calls_that_are_the_host_s(probe: Probe) -> None:
    """Keys, kernel log, clock, modules, mounts, namespaces, devices: refused before the kernel looks at them."""
    result = json.loads(probe(_attempts([name for name in _CALLS if name not in _FINE])).output)
    assert {name: code for name, code in result.items() if code not in ("EPERM", "ENOSYS")} == {}


def test_what_no_right_of_a_container_covers(probe: Probe) -> None:
    """With every capability and no filter: these are the first user namespace's alone."""
    names = [name for name in _WHATEVER_THE_RIGHTS if name in NR]
    result = json.loads(probe(_attempts(names), security=ALL).output)
    assert {name: code for name, code in result.items() if code not in ("EPERM", "ENOSYS")} == {}


@WITH_ANY_RIGHTS
def test_settings_of_the_host(run: Run, security: Security) -> None:
    """No kernel setting can be written, nor a key of SysRq pressed, nor firmware and kernel memory be read."""
    places = (
        *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches"),
        *("/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"),
        *("/sys/power/state", "/proc/sys/kernel/hostname", "/sys/module/nf_conntrack/parameters/hashsize"),
    )
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    script = "".join(f"echo x 2>/dev/null >{place} && echo wrote {place};" for place in places)
    script += "".join(
        f'[ -n "$(head -c 8 {place} 2>/dev/null)" ] && echo read {place};'
        for place in ("/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem", "/proc/keys", "/proc/timer_list")
    )
    script += "ls -A /sys/firmware; true"
    assert run(script, security=security).output == ""
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_abstract_sockets_of_the_host(probe: Probe, start: Start, network: str) -> None:
    """They are in another network namespace, and the engine has none (CVE-2020-15257)."""
    if network == "bridge" and not in_initial_namespace():
        pytest.skip("an ordinary user's containers share the host's network")
    name = f"\0hako-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        program = f"import socket; s = socket.socket(socket.AF_UNIX); print(s.connect_ex({name!r}) != 0)"
        assert probe(program, network=network).output == "True\n"
    start(network=network)
    listed = Path("/proc/net/unix").read_text().splitlines()[1:]
    abstract = [line.split()[7] for line in listed if len(line.split()) > 7 and line.split()[7].startswith("@")]
    assert not [name for name in abstract if "hako" in name or "sandbox" in name or "control" in name]


def test_the_engine_s_folders_are_private(engine: Engine, start: Start) -> None:
    """Nobody else on the host gets at set-user-id programs in containers, logs, or the control sockets
    (CVE-2021-41091).
    """
    container = start()
    assert engine.home.stat().st_mode & 0o077 == 0
    assert (engine.home / "containers" / container.id / "control.sock").is_socket()


@pytest.mark.skipif(not in_initial_namespace(), reason="an ordinary user's containers have that user's ids")
def test_the_container_s_ids_own_nothing_of_the_engine(engine: Engine, start: Start) -> None:
    """Whoever should get out with them finds no file that is theirs, and no way into the engine's folders, which are
    the caller's (CVE-2021-21284, CVE-2021-41103).
    """
    mount = Mount(kind=MountKind.VOLUME, target="/v", anonymous=True)
    container = start(mounts=(mount,))
    container.execute("sh", "-c", "echo mine > /file; echo mine > /v/file")
    base = engine.state(container.id).id_base
    owners = {path.lstat().st_uid for path in (engine.home / "containers" / container.id).rglob("*")}
    assert base not in owners

    def outside() -> list[str]:
        os.chdir(engine.home)  # past all that is in the way before
        os.setgroups([])
        os.setresgid(base, base, base)
        os.setresuid(base, base, base)
        found = []
        for path in (".", "containers", "images", f"containers/{container.id}/config.json"):
            try:
                os.close(os.open(path, os.O_RDONLY))
                found.append(path)
            except PermissionError:
                continue
        return found

    assert in_child(outside) == []


@pytest.mark.parametrize("security", [Security(), ALL, Security(privileged=True)], ids=["default", "all", "privileged"])
def test_control_groups_of_the_host(run: Run, security: Security) -> None:
    """None can be mounted or written, and no release agent set (CVE-2022-0492, CVE-2023-25809)."""
    agents = {path: path.read_text() for path in Path("/sys/fs/cgroup").glob("*/release_agent")}
    script = """
mkdir -p /m
for kind in "cgroup -o memory" "cgroup -o rdma" "cgroup -o none,name=x" cgroup2; do
  if mount -t $kind none /m 2>/dev/null; then
    for f in release_agent cgroup.procs cgroup.subtree_control memory.max pids.max; do
      [ -e /m/$f ] && (echo /x > /m/$f) 2>/dev/null && echo "wrote $kind $f"
    done
    umount /m
  fi
done
for f in $(find /sys/fs/cgroup -type f 2>/dev/null); do (echo 0 > $f) 2>/dev/null && echo "wrote $f"; done
true
"""
    if security.privileged:  # it may change its own group, like a delegated one
        script = "\n".join(line for line in script.splitlines() if "/sys/fs/cgroup" not in line)
    assert run(script, security=security).output == ""
    assert {path: path.read_text() for path in agents} == agents


def test_a_control_group_in_a_namespace_of_its_own(run: Run) -> None:
    """With no filter a container can make further user namespaces, in which no release agent is to be had either."""
    free = Security(seccomp="unconfined")
    attempt = "mount -t cgroup -o rdma c /mnt && echo x > /mnt/release_agent"
    assert run(f"mkdir -p /mnt; unshare -UrmC sh -c '{attempt}' && echo wrote", security=free).output == ""

"""Options that set up the kernel around a container: what is read, and what it does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.cli import settings
from sandbox.cli.options import UsageError
from sandbox.runtime.spec import Device

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

RUN = ("run", "--rm", "--network", "none")


def test_a_parameter_without_a_value() -> None:
    """It is no parameter."""
    with pytest.raises(UsageError, match="not NAME=VALUE"):
        settings.sysctl("net.ipv4.ip_forward")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/x", Device("/dev/x", "/dev/x")),
        ("/dev/x:/dev/y", Device("/dev/x", "/dev/y")),
        ("/dev/x:/dev/y:rwm", Device("/dev/x", "/dev/y")),
        ("/dev/x:rw", Device("/dev/x", "/dev/x", "rw")),
        ("/dev/x:/dev/y:r", Device("/dev/x", "/dev/y", "r")),
    ],
)
def test_devices(text: str, expected: Device) -> None:
    """Docker's forms."""
    assert settings.device(text, str) == expected


@pytest.mark.parametrize("text", ["x", "/dev/x:/dev/y:rx", "/dev/x:what"])
def test_wrong_devices(text: str) -> None:
    """What is no path, and what is no permission."""
    with pytest.raises(UsageError, match="--device"):
        settings.device(text, str)


@pytest.mark.root
def test_what_a_container_finds(sandbox: Sandbox) -> None:
    """Limits of processes, also of an exec; parameters; devices; groups; names."""
    options = (
        *("--ulimit", "nofile=100:200", "--sysctl", "net.ipv4.ip_default_ttl=77", "--sysctl", "kernel.shmmax=12345"),
        *("--device", "/dev/null:/dev/other", "--group-add", "users", "--group-add", "123", "--oom-score-adj", "500"),
        *("--domainname", "example.org", "--hostname", "web", "--tmpfs", "/t:exec,mode=750,uid=5"),
    )
    script = (
        "ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmax;"
        "echo x > /dev/other && echo ok;"
        "stat -c %u /dev/other; id -G; cat /proc/self/oom_score_adj /proc/sys/kernel/domainname; stat -c '%a %u' /t;"
        "cp /bin/busybox /t/true && /t/true && echo executed"
    )
    done = sandbox(*RUN, *options, "busybox", "sh", "-c", script)
    assert done.stdout.split("\n") == [
        *("100", "200", "77", "12345", "ok", "0", "0 10 100 123", "500", "example.org", "750 5", "executed", "")
    ], done.stderr


@pytest.mark.root
def test_exec_has_the_limits_and_groups(sandbox: Sandbox, name: str) -> None:
    """A further process is under the same."""
    sandbox("run", "-d", "--network", "none", "--name", name, "--ulimit", "nofile=100", "--group-add", "123", "busybox",
            "sleep", "1000")  # fmt: skip
    assert sandbox("exec", name, "sh", "-c", "ulimit -n; id -G").stdout == "100\n0 10 123\n"


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "/dev/nosuch"), "no device '/dev/nosuch' on the host"),
        (("--device", "/etc/passwd"), "'/etc/passwd' is not a device"),
        (("--group-add", "nosuch"), "no group 'nosuch' in the image"),
        (("--sysctl", "net.nosuch=1"), "cannot set net.nosuch to '1': no such file"),
        (("--domainname", "x" * 65), "domain name"),
        (("--env-file", "/nosuch"), "--env-file /nosuch: no such file"),
        (("--restart", "always"), "--restart and --rm contradict"),
    ],
)
def test_what_cannot_be_set_is_named(sandbox: Sandbox, options: tuple[str, ...], message: str) -> None:
    """One line, and docker's exit code."""
    done = sandbox(*RUN, *options, "busybox", "true")
    assert done.returncode == 125
    assert done.stderr.startswith(f"sandbox: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.root
def test_init(sandbox: Sandbox) -> None:
    """With --init the command is process 2: signals reach it, orphans are buried, its exit code counts."""
    script = "trap 'exit 6' TERM; (sleep 0.01 &); sleep 0.1; kill 1; ps -o pid,stat,args; sleep 5"
    done = sandbox(*RUN, "--init", "busybox", "sh", "-c", script)
    assert done.returncode == 6
    assert " Z " not in done.stdout
    first = done.stdout.splitlines()[1].split()
    assert (first[0], first[2:]) == ("1", ["init"])  # and nothing of the line it was started by
    assert sandbox(*RUN, "--init", "busybox", "sh", "-c", "kill -9 $$").returncode == 137
    assert sandbox(*RUN, "--init", "busybox", "nosuch").returncode == 127


@pytest.mark.root
def test_the_first_process_cannot_be_looked_into(sandbox: Sandbox) -> None:
    """It is the engine's interpreter: its memory, its file and its environment are out of reach for the container."""
    script = (
        "cd /proc/1; for what in exe cwd root environ maps mem; do cat $what 2>&1 >/dev/null | grep -v denied; done"
    )
    done = sandbox(*RUN, "--init", "--cap-add", "ALL", "busybox", "sh", "-c", script)
    assert done.stdout == ""


@pytest.mark.root
def test_a_file_for_the_id(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    """--cidfile holds the id; one that is there is refused before anything is made."""
    path = tmp_path / "id"
    made = sandbox("create", "--network", "none", "--name", name, "--cidfile", str(path), "busybox", "true")
    assert path.read_text() == made.stdout.strip()
    refused = sandbox("run", "--rm", "--cidfile", str(path), "busybox", "true")
    assert (refused.returncode, refused.stderr.count("there already")) == (125, 1)


@pytest.mark.root
def test_a_device_that_may_only_be_read_or_written(sandbox: Sandbox) -> None:
    """The control group sees to it, also for the container's root; other devices are as they were."""
    device = next((one for one in ("/dev/net/tun", "/dev/fuse") if Path(one).is_char_device()), "")
    if not device:
        pytest.skip("this host has no device that anybody can be given")
    script = "(: < /dev/x) && echo read; (: > /dev/x) && echo written; : > /dev/null && head -c 1 /dev/zero | wc -c"
    for permissions, expected in (("rw", "read\nwritten\n1\n"), ("r", "read\n1\n"), ("w", "written\n1\n")):
        done = sandbox(*RUN, "--device", f"{device}:/dev/x:{permissions}", "busybox", "sh", "-c", script)
        if "devices" in done.stderr.partition("sandbox: warning")[2]:
            pytest.skip("this host does not limit devices")
        assert done.stdout == expected, (permissions, done.stderr)


@pytest.mark.root
def test_mounts_of_another_container(sandbox: Sandbox, name: str) -> None:
    """--volumes-from has the volumes without a name, too, and can make them read-only."""
    sandbox("create", "--network", "none", "--name", name, "-v", "/cache", "busybox", "true")
    assert sandbox(*RUN, "--volumes-from", name, "busybox", "touch", "/cache/x").returncode == 0
    done = sandbox(*RUN, "--volumes-from", f"{name}:ro", "busybox", "sh", "-c", "ls /cache; touch /cache/y")
    assert done.stdout == "x\n"
    assert "Read-only" in done.stderr
    sandbox("rm", "-v", name)


@pytest.mark.root
def test_mounts_of_the_host_are_passed_on(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    """With rslave what is mounted on the host later is seen; without, and beside it, it is not."""
    from sandbox.kernel.mounts import Mount, mount, umount  # noqa: PLC0415

    mount("tmpfs", tmp_path, "tmpfs")
    try:
        mount(None, tmp_path, None, Mount.SHARED)
        (tmp_path / "inner").mkdir()
        sandbox("run", "-d", "--network", "none", "--name", name, "-v", f"{tmp_path}:/slave:rslave",
                "-v", f"{tmp_path}:/private", "busybox", "sleep", "1000")  # fmt: skip
        mount("tmpfs", tmp_path / "inner", "tmpfs")
        (tmp_path / "inner" / "seen").touch()
        assert sandbox("exec", name, "ls", "/slave/inner", "/private/inner").stdout.split() == [
            *("/private/inner:", "/slave/inner:", "seen")
        ]
        sandbox("rm", "-f", name)
    finally:
        for place in (tmp_path / "inner", tmp_path):
            if os.path.ismount(place):
                umount(place)


@pytest.mark.root
def test_read_only_binds_and_the_mounts_below(sandbox: Sandbox, tmp_path: Path) -> None:
    """Below a read-only bind all is read-only, unless bind-recursive=writable; with `disabled` it is not there."""
    from sandbox.kernel.mounts import mount, umount  # noqa: PLC0415

    (tmp_path / "inner").mkdir()
    mount("tmpfs", tmp_path / "inner", "tmpfs", data="mode=777")
    tmp_path.chmod(0o777)
    try:
        script = "grep -c ' /x/inner ' /proc/mounts; touch /x/file; touch /x/inner/file && rm /x/inner/file"
        for mode, below, code in (
            ("readonly", "1", 1),
            ("writable", "1", 0),
            ("enabled", "1", 1),
            ("disabled", "0", 1),
        ):
            bind = f"type=bind,source={tmp_path},target=/x,readonly,bind-recursive={mode}"
            done = sandbox(*RUN, "--mount", bind, "busybox", "sh", "-c", script)
            assert (done.stdout, done.returncode) == (f"{below}\n", code), mode
            assert "/x/file: Read-only" in done.stderr
    finally:
        umount(tmp_path / "inner")


@pytest.mark.root
def test_part_of_a_volume(sandbox: Sandbox, name: str) -> None:
    """volume-subpath is a file or directory of it; links, however hostile, stay within; a missing one is named."""
    volume = f"{name}-volume"
    script = "mkdir -p /v/a/b; echo in > /v/a/b/f; ln -s / /v/out; ln -s ../../../a /v/up; ln -s /a/b/f /v/file"
    assert sandbox(*RUN, "-v", f"{volume}:/v", "busybox", "sh", "-c", script).returncode == 0

    def seen(subpath: str, *command: str) -> str:
        part = f"type=volume,source={volume},target=/x,volume-subpath={subpath}"
        done = sandbox(*RUN, "--mount", part, "busybox", *command)
        return done.stdout or done.stderr

    try:
        assert seen("a/b", "ls", "/x") == "f\n"
        assert seen("up", "ls", "/x") == "b\n"
        assert seen("out", "ls", "/x") == "a\nfile\nout\nup\n"  # the volume's own root
        assert seen("a/b/f", "cat", "/x") == seen("file", "cat", "/x") == "in\n"
        assert seen("a/none", "true") == (
            f"sandbox: cannot mount 'a/none' of volume {volume}: no such file or directory"
            " (make it first, or correct volume-subpath)\n"
        )
    finally:
        sandbox("volume", "rm", volume)


@pytest.mark.root
def test_no_shared_memory(sandbox: Sandbox, name: str) -> None:
    """--ipc none has memory and queues of its own and no /dev/shm, unless something is mounted there."""
    done = sandbox("run", "--network", "none", "--name", name, "--ipc", "none", "busybox", "sh", "-c",
                   "ls /dev/shm; ls -d /dev/mqueue; readlink /proc/self/ns/ipc")  # fmt: skip
    assert "/dev/shm: No such file" in done.stderr
    assert done.stdout.startswith("/dev/mqueue\nipc:")
    assert done.stdout.split()[1] != str(Path("/proc/self/ns/ipc").readlink())
    assert sandbox("inspect", "-f", "{{.HostConfig.IpcMode}}", name).stdout == "none\n"
    mounted = sandbox(*RUN, "--ipc", "none", "--tmpfs", "/dev/shm:size=1m", "busybox", "touch", "/dev/shm/x")
    assert mounted.returncode == 0, mounted.stderr
    refused = sandbox(*RUN, "--ipc", "mine", "busybox", "true")
    assert refused.stderr == (
        "sandbox: --ipc 'mine' is not supported (host, private, shareable, none or container:NAME)\n"
    )


@pytest.mark.root
def test_annotations(sandbox: Sandbox, name: str) -> None:
    """They are kept, as docker keeps them."""
    sandbox("create", "--name", name, "--annotation", "a=1", "--annotation", "b=2", "busybox", "true")
    assert sandbox("inspect", "-f", "{{json .HostConfig.Annotations}}", name).stdout == '{"a":"1","b":"2"}\n'


@pytest.mark.root
def test_namespaces_of_the_host(sandbox: Sandbox, name: str) -> None:
    """Its processes, shared memory, host name and control groups, where asked for; never its user ids."""
    mark = Path("/dev/shm") / name
    mark.touch()
    try:
        assert sandbox(*RUN, "busybox", "ls", "/dev/shm").stdout == ""
        assert name in sandbox(*RUN, "--ipc", "host", "busybox", "ls", "/dev/shm").stdout.split()
    finally:
        mark.unlink()
    assert sandbox(*RUN, "--uts", "host", "busybox", "hostname").stdout == f"{os.uname().nodename}\n"
    seen = sandbox(*RUN, "--pid", "host", "busybox", "sh", "-c", "ls -d /proc/$PPID; cat /proc/1/environ; kill -0 1")
    assert seen.stdout.startswith("/proc/")
    assert "Permission denied" in seen.stderr  # seen, not touched
    own = sandbox(*RUN, "busybox", "readlink", "/proc/self/ns/cgroup").stdout
    host = sandbox(*RUN, "--cgroupns", "host", "busybox", "readlink", "/proc/self/ns/cgroup").stdout
    assert host.strip() == str(Path("/proc/self/ns/cgroup").readlink()) != own.strip()
    groups = Path("/sys/fs/cgroup/cgroup.controllers")
    if groups.exists():  # cgroup v2: they are the host's, and cannot be changed
        script = "cat /sys/fs/cgroup/cgroup.controllers; mkdir /sys/fs/cgroup/made"
        seen = sandbox(*RUN, "--cgroupns", "host", "busybox", "sh", "-c", script)
        assert seen.stdout == groups.read_text()
        assert "Read-only file system" in seen.stderr
    users = sandbox(*RUN, "--userns", "host", "busybox", "readlink", "/proc/self/ns/user").stdout
    assert users.strip() == str(Path("/proc/self/ns/user").readlink())
    refused = sandbox(*RUN, "--userns", "keep-id", "busybox", "true")
    assert (refused.returncode, refused.stderr.split(" (")[0]) == (125, "sandbox: --userns 'keep-id' is not supported")


def _lives(pid: str) -> bool:
    """Whether it is there, and not only waits to be reaped by whoever is the host's init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.root
def test_processes_among_the_host_s_end_with_their_container(sandbox: Sandbox, name: str) -> None:
    """With --pid host exec works, and nobody is left when the first process has ended."""
    sandbox("run", "-d", "--network", "none", "--pid", "host", "--name", name, "busybox", "sh", "-c",
            "sleep 1003 & exec sleep 1004")  # fmt: skip
    assert sandbox("exec", name, "true").returncode == 0
    lines = sandbox("top", name, "-o", "pid,args").stdout.splitlines()[1:]
    pids = [line.split()[0] for line in lines]
    assert len(pids) == 2
    sandbox("kill", name)
    sandbox("wait", name)
    assert not [pid for pid in pids if _lives(pid)]


@pytest.mark.root
def test_profiles_of_security_modules(sandbox: Sandbox) -> None:
    """One that is not put in force is said; that there is to be none is taken as it is."""
    done = sandbox(*RUN, "--security-opt", "apparmor=mine", "--security-opt", "label=disable", "busybox", "true")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sandbox: warning: --security-opt apparmor=mine has no effect")

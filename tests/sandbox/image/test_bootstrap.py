"""Base images made on this host."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError, UnsupportedError
from sandbox.image import busybox
from sandbox.image.bootstrap import Bootstrap, bootstrap
from sandbox.image.debian import command, host_codename
from sandbox.image.sources import Source, Sources

if TYPE_CHECKING:
    from sandbox.image.store import ImageStore

HOST_BUSYBOX = any(Path(place).exists() for place in ("/bin/busybox", "/usr/bin/busybox"))
needs_busybox = pytest.mark.skipif(not HOST_BUSYBOX, reason="no busybox on this host")


def source(name: str) -> Source:
    """A built-in source."""
    found = Sources().find(name)
    assert found is not None
    return found


@needs_busybox
def test_busybox(store: ImageStore) -> None:
    """A root that a shell runs in: the program under its names, accounts, directories."""
    lines: list[str] = []
    image = bootstrap(store, source("busybox"), progress=lines.append)
    assert image.references == ("busybox:latest",)
    assert image.config.command == ("sh",) and image.config.environment["PATH"].endswith(":/bin")
    (root,) = store.snapshots.lowers(image)
    for name in ("sh", "ls", "true", "["):
        assert (root / "bin" / name).samefile(root / "bin/busybox")
    assert os.access(root / "bin/busybox", os.X_OK)
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "root").stat().st_mode & 0o7777 == 0o700
    assert (root / "etc/passwd").read_text().startswith("root:x:0:0:root:/root:/bin/sh\n")
    for name in ("dev", "proc", "sys", "etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/group"):
        assert (root / name).exists()
    assert "busybox" in lines[0] and image.id.short in lines[-1]


@needs_busybox
@pytest.mark.root
def test_busybox_runs(store: ImageStore) -> None:
    """Really."""
    (root,) = store.snapshots.lowers(bootstrap(store, source("busybox")))
    ran = subprocess.run(
        ["chroot", root, "/bin/sh", "-c", "id -u; ls /etc/passwd | wc -l"], capture_output=True, check=True
    )
    assert ran.stdout.split() == [b"0", b"1"]


@needs_busybox
def test_busybox_is_the_same_each_time(store: ImageStore) -> None:
    """Same program, same bytes, same id; it is not made again unless forced."""
    first = bootstrap(store, source("busybox"))
    lines: list[str] = []
    assert bootstrap(store, source("busybox"), progress=lines.append) == first
    assert lines == []
    assert bootstrap(store, source("busybox"), force=True, progress=lines.append).id == first.id
    assert lines != []
    assert bootstrap(store, source("busybox:other")).id == first.id


@needs_busybox
def test_one_makes_it_and_the_others_wait(store: ImageStore) -> None:
    """Two that miss the same image at the same time."""
    with Bootstrap(store.home, source("busybox")) as work:
        said = threading.Event()
        ready = threading.Event()

        def second() -> None:
            with Bootstrap(store.home, source("busybox"), progress=lambda _: said.set()) as waiting:
                assert not waiting.is_needed
            ready.set()

        thread = threading.Thread(target=second)
        thread.start()
        assert said.wait(10) and not ready.is_set()
        image = work.finish(store)
    thread.join(10)
    assert ready.is_set() and store.get("busybox").id == image.id


@pytest.mark.parametrize(
    "program", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100), Path(sys.executable).read_bytes()]
)
def test_what_is_not_a_static_program(program: bytes) -> None:
    """A program that needs a loader would not start in an empty root."""
    assert not busybox.is_static(program)


def test_the_command_line_of_mmdebstrap() -> None:
    """Everything that decides what is in the image."""
    slim = source("debian:bookworm-slim")._replace(include=("a", "b"))
    line = command(slim, privileged=True, options={"Acquire::Check-Valid-Until": "false"})
    assert line[:4] == ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar"]
    assert "--include=a,b" in line and '--aptopt=Acquire::Check-Valid-Until "false"' in line
    assert any("path-exclude=/usr/share/man" in part for part in line)
    assert line[-3:] == ["bookworm", "-", "-"]
    plain = command(source("debian:sid"), privileged=False, options={})
    assert "--mode=unshare" in plain and not any("dpkgopt" in part or "include" in part for part in plain)


def test_the_hosts_suite(tmp_path: Path) -> None:
    """From os-release; stable where it does not say."""
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_CODENAME="trixie"\n')
    assert host_codename(release) == "trixie"
    assert host_codename(tmp_path / "none") == "stable"


def test_without_mmdebstrap(store: ImageStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line that says what to install, and the lock is free again."""
    monkeypatch.setattr("sandbox.image.debian.search_path", lambda: str(tmp_path))
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="needs mmdebstrap") as caught:
            bootstrap(store, source("debian:bookworm"))
        assert caught.value.hint == "apt-get install mmdebstrap"


@pytest.fixture
def fake_mmdebstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program in mmdebstrap's place; tests write what it does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "mmdebstrap"
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return program


@pytest.mark.root
def test_mmdebstraps_tar_becomes_the_image(store: ImageStore, fake_mmdebstrap: Path, tmp_path: Path) -> None:
    """Through a pipe; its words are shown, the sources are on its standard input."""
    given = tmp_path / "sources"
    fake_mmdebstrap.write_text(
        f'#!/bin/sh\ncat > {given}\necho "I: working" >&2\ntar -C /etc -c hostname\necho "I: done" >&2\n'
    )
    lines: list[str] = []
    image = bootstrap(store, source("debian:sid"), progress=lines.append)
    (root,) = store.snapshots.lowers(image)
    assert sorted(path.name for path in root.iterdir()) == ["dev", "hostname"]
    assert "working" in lines and "Suites: sid" in given.read_text()


@pytest.mark.root
def test_a_failing_mmdebstrap_is_told_with_its_own_words(store: ImageStore, fake_mmdebstrap: Path) -> None:
    """Even when it wrote a whole archive; no image is made."""
    fake_mmdebstrap.write_text("#!/bin/sh\ntar -C /etc -c hostname\necho 'E: no such suite' >&2\nexit 3\n")
    with pytest.raises(SandboxError, match="exit code 3: E: no such suite"):
        bootstrap(store, source("debian:nosuch"))
    assert store.list() == ()


@pytest.mark.root
def test_an_ended_bootstrap_ends_mmdebstrap(store: ImageStore, fake_mmdebstrap: Path, tmp_path: Path) -> None:
    """An error in between, such as Ctrl-C, leaves neither a process nor its directory."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    fake_mmdebstrap.write_text(f"#!/bin/sh\nexec 3> {fifo}\nmkdir $TMPDIR/root\necho up >&3\nexec sleep 100\n")
    reader = -1
    with pytest.raises(KeyboardInterrupt), Bootstrap(store.home, source("debian:sid")) as work:
        assert work.is_needed
        reader = os.open(fifo, os.O_RDONLY)
        assert os.read(reader, 10) == b"up\n"
        raise KeyboardInterrupt
    assert os.read(reader, 10) == b""  # nobody has it open any more
    os.close(reader)
    assert list((store.home / "tmp").iterdir()) == []


SCRIPT = (
    "import pathlib, sys; from sandbox.image.bootstrap import bootstrap; "
    "from sandbox.image.sources import Sources; from sandbox.image.store import ImageStore; "
    "bootstrap(ImageStore(pathlib.Path(sys.argv[1])), Sources().find(sys.argv[2]), "
    "progress=lambda line: print(line, flush=True))"
)


@pytest.mark.root
def test_a_killed_engine_ends_mmdebstrap(store: ImageStore, fake_mmdebstrap: Path, tmp_path: Path) -> None:
    """SIGKILL of the engine ends it and what it has started, even what does not want to end."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    fake_mmdebstrap.write_text(
        f"#!/bin/sh\nexec 3> {fifo}\ntrap '' TERM HUP INT\nsetsid sleep 100 &\necho up >&3\n"
        "while :; do sleep 0.05; done\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", SCRIPT, store.home, "debian:sid"], stdout=subprocess.DEVNULL)
    with fifo.open() as alive:
        assert alive.readline() == "up\n"
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        assert alive.readline() == ""  # the last process that had it open is gone
    store.reclaim()
    assert list((store.home / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.root
def test_a_killed_engine_leaves_no_mounts(store: ImageStore) -> None:
    """SIGKILL while mmdebstrap has the host's devices mounted: the host's mount table never had them, the devices are
    whole, and the next start deletes the directory.
    """
    command = [sys.executable, "-c", SCRIPT, str(store.home), f"debian:{host_codename()}-slim"]
    engine = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    shared = Path("/dev/shm") / f"hako-test-{os.getpid()}"
    shared.touch()
    try:
        assert any("installing essential packages" in line for line in engine.stdout)
        assert str(store.home) not in Path("/proc/self/mountinfo").read_text()
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        engine.stdout.close()
        assert list((store.home / "tmp").iterdir()) != []
        deadline = time.monotonic() + 10
        while list((store.home / "tmp").iterdir()) and time.monotonic() < deadline:
            store.reclaim()  # its processes may need a moment to end
        assert list((store.home / "tmp").iterdir()) == []
        assert str(store.home) not in Path("/proc/self/mountinfo").read_text()
        assert shared.exists() and Path("/dev/null").is_char_device()
    finally:
        shared.unlink(missing_ok=True)
        engine.kill()
        engine.wait()


@needs_busybox
def test_a_source_described_differently(store: ImageStore) -> None:
    """The image is made anew when its description has changed, and said so; one from elsewhere is left alone."""
    first = bootstrap(store, source("busybox"))
    changed = source("busybox")._replace(config=source("busybox").config._replace(user="1"))
    lines: list[str] = []
    second = bootstrap(store, changed, progress=lines.append)
    assert second.id != first.id and second.config.user == "1"
    assert "busybox:latest is described differently now than it was made; making it anew" in lines
    assert bootstrap(store, changed).id == second.id
    store.import_tar(io.BytesIO(bytes(1024)), reference="mine")
    assert bootstrap(store, source("busybox")._replace(reference="docker.io/library/mine:latest")).layers[0].size == 0


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.root
@pytest.mark.timeout(400)
def test_debian(store: ImageStore) -> None:
    """The host's suite with a package more: it runs, can install, and has nothing of the host in it."""
    suite = host_codename()
    wanted = source(f"debian:{suite}-slim")._replace(include=("netbase",))
    image = bootstrap(store, wanted)
    assert image.config.command == ("bash",)
    (root,) = store.snapshots.lowers(image)
    assert (root / "etc/protocols").exists()
    assert (root / "usr/sbin/policy-rc.d").read_text() == "#!/bin/sh\nexit 101\n"
    for name in ("resolv.conf", "hosts", "hostname"):
        assert (root / "etc" / name).read_bytes() == b""
    assert not [path for path in (root / "var/lib/apt/lists").rglob("*") if path.is_file() and path.name != "lock"]
    assert list((root / "dev").iterdir()) == []
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert not (root / "usr/share/man/man1").exists()
    assert store.snapshots.record(image.layers[0].chain_id).warnings == ()
    ran = subprocess.run(
        ["chroot", root, "bash", "-c", "id -un; apt-get --version | head -1"], capture_output=True, check=True
    )
    assert ran.stdout.startswith(b"root\napt ")

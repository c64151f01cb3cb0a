"""`sandbox import`, `load` and `save`: images in from archives and out to them."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say, tell, write
from sandbox.cli.session import open_images
from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.image.compress import FORMS, Compressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.cli.options import Arguments
    from sandbox.image.tarsource import Readable

_NETWORK_PATIENCE = 60.0  # seconds without a byte
_FORMS = ("docker-archive", "oci-archive", "oci-dir")
CHANGE = Option(("-c", "--change"), "a Dockerfile instruction, such as 'CMD [\"sh\"]'", "INSTRUCTION", many=True)


class Input:
    """Bytes from a descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""
        return os.read(self.fd, size)


@contextmanager
def opened(name: str, verb: str) -> Iterator[int]:
    """The descriptor of a file, or of standard input for `-`. Raises NotFoundError, InvalidError."""
    if name == "-":
        if os.isatty(0):
            raise UsageError("standard input is a terminal", hint=f"sandbox {verb} < FILE, or name the file")
        yield 0
        return
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {name!r}") from None
    except OSError as error:
        raise InvalidError(f"cannot read {name!r}: {(error.strerror or '').lower()}") from None
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise InvalidError(f"{name!r} is a directory, not an archive")
        yield fd
    finally:
        os.close(fd)


def _import(arguments: Arguments, home: str) -> int:
    from sandbox.image.changes import apply_lines  # noqa: PLC0415
    from sandbox.image.config import ImageConfig  # noqa: PLC0415

    name, *references = arguments.operands
    config = apply_lines(ImageConfig(), arguments.texts("change"))
    with _source(name) as stream:
        image = open_images(home).import_tar(
            stream,
            reference=references[0] if references else "",
            config=config,
            comment=arguments.text("message")
            or f"imported from {'standard input' if name == '-' else Path(name).name}",
        )
    say(f"{image.id}\n")
    return 0


@contextmanager
def _source(name: str) -> Iterator[Readable]:
    """An archive: a file, `-`, or the address of one."""
    if not name.startswith(("http://", "https://", "ftp://")):
        with opened(name, "import -") as fd:
            yield Input(fd)
        return
    from urllib.request import urlopen  # noqa: PLC0415  (a tenth of a second)

    try:
        answer = urlopen(name, timeout=_NETWORK_PATIENCE)  # noqa: S310  (the schemes are known)
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        raise InvalidError(f"cannot fetch {name}: {str(getattr(error, 'reason', error)).lower()}") from None
    with answer:
        yield answer


def _load(arguments: Arguments, home: str) -> int:
    from sandbox.image.loading import load  # noqa: PLC0415

    name = arguments.text("input", "-")
    progress = tell if os.isatty(2) and not arguments.flag("quiet") else _silent
    if name != "-" and Path(name).is_dir():
        loaded = load(open_images(home), Path(name), progress=progress)
    else:
        with opened(name, "load") as fd:
            loaded = load(open_images(home), fd, progress=progress)
    for image, names in loaded:
        say("".join(f"Loaded image: {text}\n" for text in names) or f"Loaded image ID: {image.id}\n")
    return 0


def _silent(_: str) -> None:
    pass


def _save(arguments: Arguments, home: str) -> int:
    from sandbox.image.saving import members, write_archive, write_directory  # noqa: PLC0415

    form = arguments.text("format", _FORMS[0])
    if form not in _FORMS:
        raise UsageError(f"--format {form!r} is unknown", hint=f"one of: {', '.join(_FORMS)}")
    output, compression = arguments.text("output"), arguments.text("compress")
    if compression and (compression not in FORMS or form == "oci-dir"):
        hint = "leave it out" if form == "oci-dir" else f"one of: {', '.join(FORMS)}"
        raise UsageError(f"--compress {compression!r} cannot be had with --format {form}", hint=hint)
    files = members(open_images(home), arguments.operands, docker=form == "docker-archive")
    if form == "oci-dir":
        if not output:
            raise UsageError("--format oci-dir needs --output DIRECTORY")
        path = Path(output)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConflictError(f"{output!r} is there already", hint="name a directory that is empty or not there")
        write_directory(files, path)
    else:
        with written(output) as sink:
            if compression:
                compressed = Compressed(compression, sink)
                write_archive(files, compressed.write)
                compressed.close()
            else:
                write_archive(files, sink)
    return 0


@contextmanager
def written(output: str) -> Iterator[Callable[[bytes | memoryview], object]]:
    """Where an archive goes: a file, which has its name when it is whole, or standard output."""
    buffered = _Buffered
    if output in ("", "-"):
        if os.isatty(1):
            raise UsageError("standard output is a terminal", hint="use --output FILE, or redirect it")
        sink = buffered(1)
        yield sink.write
        sink.flush()
        return
    path = Path(output)
    if path.is_dir():
        raise InvalidError(f"{output!r} is a directory", hint="name the file to write")
    plain = not path.exists() or path.is_file()
    part = path.with_name(f".{path.name}.{os.getpid()}") if plain else path
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if plain else 0), 0o644)
    except OSError as error:
        raise InvalidError(f"cannot write {output!r}: {(error.strerror or '').lower()}") from None
    try:
        sink = buffered(fd)
        yield sink.write
        sink.flush()
        if plain:
            part.replace(path)
    except BaseException:
        if plain:
            part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


class _Buffered:
    """Headers are small: many of them make one write."""

    _SIZE = 1 << 18

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._parts: list[bytes | memoryview] = []
        self._length = 0

    def write(self, data: bytes | memoryview) -> None:
        self._parts.append(data)
        self._length += len(data)
        if self._length >= self._SIZE:
            self.flush()

    def flush(self) -> None:
        write(self._fd, b"".join(self._parts))
        self._parts, self._length = [], 0


VERBS = {
    "import": Verb(
        Syntax(
            "make an image of the archive of a root file system",
            "FILE|URL|- [NAME[:TAG]]",
            (CHANGE, Option(("-m", "--message"), "a comment for the image's history", "TEXT")),
        ),
        _import,
    ),
    "load": Verb(
        Syntax(
            "load images from an archive of docker, podman or skopeo, or an OCI layout",
            "",
            (
                Option(("-i", "--input"), "the archive, or the layout's directory (default: standard input)", "PATH"),
                Option(("-q", "--quiet"), "no progress"),
            ),
        ),
        _load,
    ),
    "save": Verb(
        Syntax(
            "write images to an archive that docker, podman and skopeo can load",
            "IMAGE...",
            (
                Option(("-o", "--output"), "the file (default: standard output)", "PATH"),
                Option(("--compress",), "the whole archive: gzip or zstd, which load recognises", "FORM"),
                Option(("--format",), f"{', '.join(_FORMS)} (default: the first, which is OCI's, too)", "FORM"),
            ),
        ),
        _save,
    ),
}
VERBS |= {f"image {verb}": VERBS[verb] for verb in ("import", "load", "save")}

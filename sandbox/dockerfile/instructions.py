"""Instructions as typed records. Variables in them are not replaced yet: that needs the scope, which is the builder's.

Text is as written, with its quotes; `words.WordRules.expand` takes them away together with the variables. What the JSON
form or a command holds is final.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.dockerfile.heredoc import Heredoc
    from sandbox.dockerfile.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all have: the keyword as written, the joined text of the instruction, its place, the comments directly
    above.
    """

    keyword: str
    text: str
    span: Span
    comments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The keyword in capitals."""
        return self.keyword.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: the words of its JSON form, or one text for a shell, with the here-documents that it announces."""

    words: tuple[str, ...]
    in_shell: bool
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """Begins a build stage. `alias` is in small letters, `as_keyword` and `alias_written` as they stand in the file."""

    image: str
    alias: str = ""
    platform: str = ""
    as_keyword: str = ""
    alias_written: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """Declares build arguments, each with its default or None."""

    definitions: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs(Instruction):
    """Names and values; `legacy` is the form with a blank instead of the `=`."""

    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Pairs):
    """Sets environment variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Pairs):
    """Sets labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """Runs a command. `mounts` and `devices` are the flags' texts (`mounts.parse_mount` reads them with the stage's
    variables).
    """

    command: Command
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Instruction):
    """What COPY and ADD have in common. `heredocs` are sources whose content stands in the file."""

    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Transfer):
    """Copies files; `origin` is `--from`: a stage, context or image."""

    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Transfer):
    """Copies files, fetches URLs and git repositories, unpacks archives. None: as the kind of source has it."""

    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    """The image's default command."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    """The image's entry point."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    """The shell of the shell form."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    """Who runs commands from here on."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    """Where commands run from here on."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """Ports of the image, as written: `ports.expose` reads them."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    """Folders that are volumes in a container."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    """The signal that ends a container."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """How a container's health is found out. `command` None is `HEALTHCHECK NONE`; durations are nanoseconds, 0 the
    default.
    """

    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    """The image's author, the old way."""

    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBuild(Instruction):
    """An instruction for the images built on this one; `trigger` is its text with its here-documents."""

    trigger: str
    instruction: Instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStage:
    """A FROM and what follows it, `number` counted from 0."""

    number: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """Its alias, else its number."""
        return self.base.alias or str(self.number)

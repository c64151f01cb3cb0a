"""What `import --change` and `commit --change` ask for: instructions of a Dockerfile, a line each, on a configuration.

Called by the command line and the runtime; a build applies its own instructions (`settings`). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.expansion import Expander
from sandbox.dockerfile.parsing import parse_instruction
from sandbox.errors import InvalidError
from sandbox.image import settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.dockerfile.instructions import Instruction
    from sandbox.image.config import ImageConfig

_MAX_LINE = 1 << 16
_QUOTED = 200  # characters of a line in a message


def apply_lines(config: ImageConfig, lines: Iterable[str]) -> ImageConfig:
    """Apply each line (`ENV A=b`) in turn; variables are the image's. Raises InvalidError that names the line."""
    expander, command_set = Expander("\\"), False
    for line in lines:
        if len(line) > _MAX_LINE:
            raise InvalidError(f"a change is longer than {_MAX_LINE} characters", reference="invalid-change")
        try:
            instruction = _parse(line)
            config = settings.apply(config, instruction, expander, config.environment, command_set=command_set)
        except Mistake as mistake:
            raise _wrong(line, mistake) from None
        command_set |= isinstance(instruction, records.Cmd)
    return config


def _parse(line: str) -> Instruction:
    name, equals, rest = line.strip().partition("=")
    # docker takes `CMD=x` and `ENV=A=b` for what they mean, too
    instruction = parse_instruction(f"{name} {rest}" if equals and name.upper() in settings.NAMES else line)
    if instruction.name not in settings.NAMES:
        raise Mistake("unknown-instruction", f"there are {', '.join(settings.NAMES)}")
    return instruction


def _wrong(line: str, mistake: Mistake) -> InvalidError:
    quoted = line.strip()[:_QUOTED]
    return InvalidError(
        f"change {quoted!r} is not understood: {mistake.message}", hint=mistake.hint, reference="invalid-change"
    )

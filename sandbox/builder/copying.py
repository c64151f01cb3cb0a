"""COPY and ADD: the instruction with its words replaced, as a transfer of files.

ADD unpacks archives (`adding`); URLs and repositories, which it also takes, are not supported yet.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.builder import settings
from sandbox.builder.adding import ArchiveTransfer
from sandbox.builder.transfer import InlineFile, Owner, Placing, Transfer, select
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.ignorefile import IgnorePatterns
from sandbox.dockerfile.instructions import Add
from sandbox.errors import UnsupportedError
from sandbox.runtime import users

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.builder.files import FileView
    from sandbox.dockerfile.instructions import Transfer as Instruction
    from sandbox.image.config import ImageConfig

_URLS = ("http://", "https://", "git://", "git@", "ssh://")


class Copying:
    """One COPY or ADD. `expand` replaces the variables of words, `document` those of here-documents."""

    def __init__(
        self,
        instruction: Instruction,
        expand: Callable[[str], str],
        document: Callable[[str], str],
        config: ImageConfig,
        target: FileView,
    ) -> None:
        self._instruction = instruction
        self._expand = expand
        self._document = document
        self._config = config
        self._target = target

    def transfer(self, source: FileView, origin: str, moment: int) -> Transfer:
        """What is copied from `source`, and to where. `origin` is `--from`; without it files become root's."""
        instruction = self._instruction
        patterns = [self._expand(word) for word in instruction.sources]
        for pattern in patterns:
            if pattern.startswith(_URLS):
                if not isinstance(instruction, Add):
                    raise Mistake("source", f"COPY takes no URL: {pattern!r}", hint="use ADD")
                raise UnsupportedError(f"ADD of {pattern!r} is not supported yet", hint="fetch it in a RUN")
        selected = [one for pattern in patterns for one in select(source, pattern, origin or "the context")]
        documents = [
            InlineFile(os.fsencode(one.name), os.fsencode(self._document(one.text) if one.expand else one.text))
            for one in instruction.heredocs
        ]
        owner = self._owner()
        placing = Placing(
            destination=self._destination(),
            owner=owner or (None if origin else Owner()),
            owner_of_archives=owner,
            mode=self._expand(instruction.chmod),
            moment=moment,
            parents=instruction.parents,
            exclude=IgnorePatterns([self._expand(one) for one in instruction.exclude], "--exclude"),
        )
        unpacks = isinstance(instruction, Add) and instruction.unpack is not False
        kind = ArchiveTransfer if unpacks else Transfer
        return kind(self._target, source, selected, documents, placing)

    def _destination(self) -> str:
        written = self._expand(self._instruction.destination)
        path = settings.absolute(self._config, written)
        folder = written.endswith("/") or written.rpartition("/")[2] in ("", ".", "..")
        return path + "/" if folder and not path.endswith("/") else path

    def _owner(self) -> Owner | None:
        text = self._expand(self._instruction.chown)
        if not text:
            return None
        name, _, group = text.partition(":")
        passwd, groups = self._target.read(b"etc/passwd"), self._target.read(b"etc/group")
        found = users.resolve(text if group else name, passwd, groups)
        # Without a group it is the number of the user, by docker's reference.
        return Owner(found.uid, found.gid if group else found.uid)

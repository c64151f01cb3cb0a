"""COPY and ADD: the instruction with its words replaced, as a transfer of files.

ADD unpacks archives (`adding`) and fetches URLs and git repositories (`sources`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.builder.adding import ArchiveTransfer
from sandbox.builder.files import FileView
from sandbox.builder.giturl import COMMIT, parse_git_url
from sandbox.builder.ownership import owner_of
from sandbox.builder.transfer import InlineFile, Owner, Placing, Selected, select
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.ignorefile import IgnorePatterns
from sandbox.dockerfile.instructions import Add
from sandbox.errors import NotFoundError
from sandbox.image import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.builder.sources import RemoteSources
    from sandbox.builder.transfer import Transfer
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
        remote: RemoteSources,
    ) -> None:
        self._instruction = instruction
        self._expand = expand
        self._document = document
        self._config = config
        # What is linked is the same on every base: it sees none of its links, folders and users.
        self._target = FileView((), "") if instruction.link else target
        self._remote = remote

    def transfer(self, source: FileView, origin: str, moment: int) -> Transfer:
        """What is copied from `source`, and to where. `origin` is `--from`; without it files become root's."""
        instruction = self._instruction
        patterns = [self._expand(word) for word in instruction.sources]
        checksum = self._expand(instruction.checksum) if isinstance(instruction, Add) else ""
        if checksum and not (len(patterns) == 1 and patterns[0].startswith(_URLS)):
            raise Mistake("checksum", "--checksum is for one URL")
        selected: list[Selected] = []
        for pattern in patterns:
            if not pattern.startswith(_URLS):
                unpack = isinstance(instruction, Add) and instruction.unpack is not False
                found = select(source, pattern, origin or "the context", parents=instruction.parents)
                selected += (one._replace(may_be_archive=unpack) for one in found)
            elif not isinstance(instruction, Add):
                raise Mistake("source", f"COPY takes no URL: {pattern!r}", hint="use ADD")
            else:
                selected.append(self._fetch(instruction, pattern, checksum))
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
        return ArchiveTransfer(self._target, selected, documents, placing)

    def _fetch(self, instruction: Add, url: str, checksum: str) -> Selected:
        repository = parse_git_url(url)
        if repository is None:
            needs_name = self._destination().endswith("/")
            return self._remote.file(url, checksum, needs_name=needs_name, unpack=bool(instruction.unpack))
        if checksum and not COMMIT.fullmatch(checksum):
            raise Mistake("checksum", f"--checksum of a repository is a commit, not {checksum!r}")
        if instruction.keep_git_dir is not None:
            repository = repository._replace(keep_git_dir=instruction.keep_git_dir)
        return self._remote.repository(repository._replace(checksum=checksum or repository.checksum))

    def _destination(self) -> str:
        written = self._expand(self._instruction.destination)
        path = settings.absolute(self._config, written)
        folder = written.endswith("/") or written.rpartition("/")[2] in ("", ".", "..")
        return path + "/" if folder and not path.endswith("/") else path

    def _owner(self) -> Owner | None:
        text = self._expand(self._instruction.chown)
        if not text:
            return None
        try:
            return owner_of(text, self._target)
        except NotFoundError as error:
            if self._instruction.link:
                hint = "with --link there are numbers alone: the files do not know the image"
                raise NotFoundError(error.message, hint=hint, reference=error.reference) from None
            raise

"""What becomes of `uses`: the few actions that have a counterpart here.

The workspace is there by itself, so a checkout is nothing; what sets up a language is an image of it; caches and
artifacts are keys of the steps beside them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ci.pipeline.github.triggers import entries, texts
from ci.pipeline.nodes import Scalar, Sequence

if TYPE_CHECKING:
    from ci.pipeline.github.texts import Texts
    from ci.pipeline.nodes import Mapping, Node

# Images in place of actions that install a language: the input with the version, and the image.
_LANGUAGES = {
    "actions/setup-node": ("node-version", "node"),
    "actions/setup-python": ("python-version", "python"),
    "actions/setup-go": ("go-version", "golang"),
    "actions/setup-java": ("java-version", "eclipse-temurin"),
    "actions/setup-dotnet": ("dotnet-version", "mcr.microsoft.com/dotnet/sdk"),
    "ruby/setup-ruby": ("ruby-version", "ruby"),
    "shivammathur/setup-php": ("php-version", "php"),
    "dtolnay/rust-toolchain": ("toolchain", "rust"),
}
_HASH = re.compile(r"\$\{\{\s*hashFiles\(([^)]*)\)\s*\}\}")
_QUOTED = re.compile(r"'([^']*)'")
_WORDS = {"runner.os": "{{ os }}", "runner.arch": "{{ arch }}", "github.ref_name": "{{ branch }}"}


class Actions:
    """Takes the actions of one job in their order. `image` is that of the steps after them, empty: the job's own.

    `cache` is for the next step that runs something; artifacts go to the one before.
    """

    def __init__(self, texts_of_job: Texts, *, own_image: bool) -> None:
        self._texts = texts_of_job
        self._own_image = own_image
        self.image = ""
        self.cache: list[dict[str, Any]] = []

    def take(self, uses: Scalar, step: Mapping, before: dict[str, Any] | None) -> bool:
        """Whether it has a counterpart; `before` is the converted step before it."""
        action = uses.value.partition("@")[0].removesuffix("/")
        given = entries(entries(step).get("with"))
        if action == "actions/checkout":
            self._checkout(uses, given)
        elif action in _LANGUAGES:
            self._language(action, uses, given)
        elif action in {"actions/cache", "actions/cache/restore"}:
            self._cache(uses, given)
        elif action == "actions/upload-artifact":
            self._upload(uses, given, before)
        elif action == "actions/download-artifact":
            self._texts.note(
                uses.position, "artifacts of the stages in depends_on are there by themselves, at the paths they had"
            )
        else:
            return False
        return True

    def _checkout(self, uses: Scalar, given: dict[str, Node]) -> None:
        """The project is in the workspace; anything special about it is not."""
        for name in given:
            if name not in {"persist-credentials", "fetch-depth", "fetch-tags", "token"}:
                self._texts.note(uses.position, f"{name} of actions/checkout is not taken over")

    def _language(self, action: str, uses: Scalar, given: dict[str, Node]) -> None:
        key, image = _LANGUAGES[action]
        written = _first(given.get(key))
        version = str(self._texts.value(written)) if written else ""
        if self._own_image:
            self._texts.note(uses.position, f"{action}: the image of the job's container is kept")
            return
        self.image = f"{image}:{version}" if version else image
        self._texts.note(uses.position, f"in place of {action} the steps after it have the image {self.image}")
        if "cache" in given:
            self._texts.note(uses.position, f"cache of {action} is not taken over: a step has a key for it")

    def _cache(self, uses: Scalar, given: dict[str, Node]) -> None:
        paths = [
            line.strip().replace("~", "/root", 1) for text in texts(given.get("path")) for line in text.splitlines()
        ]
        found: dict[str, Any] = {"paths": [path for path in paths if path]}
        if key := texts(given.get("key")):
            found["key"] = self._key(uses, key[0])
        fallback = [line.strip() for text in texts(given.get("restore-keys")) for line in text.splitlines()]
        if fallback := [self._key(uses, line) for line in fallback if line]:
            found["fallback"] = fallback
        self.cache.append(found)

    def _key(self, uses: Scalar, text: str) -> str:
        """A key with our templates in the place of expressions."""

        def checksum(match: re.Match[str]) -> str:
            files = " ".join(_QUOTED.findall(match[1]))
            return f"{{{{ checksum {files} }}}}"

        text = _HASH.sub(checksum, text)
        for name, word in _WORDS.items():
            text = re.sub(rf"\$\{{\{{\s*{re.escape(name)}\s*\}}\}}", word, text)
        return str(self._texts.value(uses._replace(value=text)))

    def _upload(self, uses: Scalar, given: dict[str, Node], before: dict[str, Any] | None) -> None:
        paths = [line.strip() for text in texts(given.get("path")) for line in text.splitlines() if line.strip()]
        kept = [str(self._texts.value(uses._replace(value=path))).removeprefix("./").rstrip("/") for path in paths]
        wrong = [path for path in kept if path.startswith(("!", "/", "~")) or ".." in path.split("/")]
        for path in wrong:
            self._texts.note(uses.position, f"artifacts: {path} is not taken over")
        if before is None:
            self._texts.note(uses.position, "actions/upload-artifact: there is no step before it")
            return
        if right := [path for path in kept if path not in wrong]:
            before.setdefault("artifacts", []).extend(right)


def _first(node: Node | None) -> Scalar | None:
    """A value, or the first of a list."""
    if isinstance(node, Sequence):
        node = node.items[0] if node.items else None
    return node if isinstance(node, Scalar) else None

"""Which of a build's secrets open which remote source, by the names that BuildKit gives them. Pure.

`GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER` (with `.host` for one host alone) are for git over http, `HTTP_AUTH_TOKEN_host`
and `HTTP_AUTH_HEADER_host` for ADD and contexts of http. Source: docker's manual "Build secrets".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.builder.gitsource import Access
    from sandbox.builder.options import Secret


class Credentials(NamedTuple):
    """The secrets of a build by id, and the socket of the agent that is called `default`; empty where there is none."""

    secrets: Mapping[str, Secret]
    agent: str = ""

    def for_git(self, host: str) -> Access:
        """For a repository on `https://host`; `host` is empty for others."""
        from sandbox.builder.gitsource import Access  # noqa: PLC0415  (loaded by who asks)

        name = host.partition("://")[2]
        return Access(
            token=self._text(f"GIT_AUTH_TOKEN.{name}") or self._text("GIT_AUTH_TOKEN"),
            header=self._text(f"GIT_AUTH_HEADER.{name}") or self._text("GIT_AUTH_HEADER"),
            agent=self.agent,
        )

    def for_http(self, url: str) -> str:
        """The header `Authorization` for a URL, empty for none."""
        from urllib.parse import urlsplit  # noqa: PLC0415  (loaded by who asks)

        host = urlsplit(url).netloc.rpartition("@")[2]
        token = self._text(f"HTTP_AUTH_TOKEN_{host}")
        return self._text(f"HTTP_AUTH_HEADER_{host}") or (f"Bearer {token}" if token else "")

    def _text(self, name: str) -> str:
        secret = self.secrets.get(name)
        return "" if secret is None else secret.content.decode("utf-8", "replace").strip()

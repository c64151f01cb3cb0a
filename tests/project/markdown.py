"""Reads Markdown for the documentation tests: links, headings and blocks of code, each with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`target` as written; `line` from 1."""

    target: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of code: its language (may be empty), text, and the line of its first line of code."""

    language: str
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One Markdown file. `anchors` are what a `#…` link may name, by GitHub's rule for headings."""

    path: Path
    links: tuple[Link, ...]
    anchors: frozenset[str]
    blocks: tuple[Block, ...]


def read(path: Path) -> Page:
    """Parse one page."""
    links: list[Link] = []
    anchors: set[str] = set()
    blocks: list[Block] = []
    heading = False
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text()):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence":
            blocks.append(Block(language=token.info.strip(), text=token.content, line=line + 1))
        elif token.type == "heading_open":
            heading = True
        elif token.type == "inline":
            if heading:
                anchors.add(_slug(token.content))
                heading = False
            for child in token.children or ():
                target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
                if target:
                    links.append(Link(target=str(target), line=line))
    return Page(path=path, links=tuple(links), anchors=frozenset(anchors), blocks=tuple(blocks))


def _slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: lower case, punctuation dropped, blanks to hyphens."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")

"""Keys of caches: what is filled in, and what is a mistake."""

from __future__ import annotations

import pytest

from ci.pipeline.cachekey import is_fixed, parse, render
from ci.pipeline.values import BadValue


def test_rendering() -> None:
    """Words, and digests of the files that arguments name, quoted or not."""
    asked: list[tuple[str, ...]] = []

    def checksum(patterns: tuple[str, ...]) -> str:
        asked.append(patterns)
        return "abc"

    parts = parse('npm-{{arch}}-{{ branch }}-{{ checksum "a b.json" c/*.json }}-v1')
    assert render(parts, {"arch": "amd64", "branch": "topic/x"}, checksum) == "npm-amd64-topic/x-abc-v1"
    assert asked == [("a b.json", "c/*.json")]
    assert is_fixed(parts)
    assert not is_fixed(parse("npm-{{ arch }}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a key has one line"),
        ("a\nb", "a key has one line"),
        ("x" * 501, "a key has one line"),
        ("a-{{ arch", "without the other"),
        ("a-arch }}", "without the other"),
        ("{{ checksum }}", '"checksum" names no file'),
        ("{{ checksum /etc/passwd }}", '"/etc/passwd" is not in the workspace'),
        ("{{ checksum a/../../b }}", "is not in the workspace"),
        ("{{ checksum [ }}", '"[" is not a pattern'),
        ("{{ chekcsum a }}", 'a key has no "chekcsum"'),
        ("{{ arch x }}", '"arch" takes no argument'),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """Each is said in a sentence."""
    with pytest.raises(BadValue) as raised:
        parse(text)
    assert message in raised.value.message

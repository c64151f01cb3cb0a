"""Every number has a numeral, and every numeral its number."""

import pytest

from roman import LARGEST, from_roman, to_roman


@pytest.mark.parametrize(
    ("number", "text"), [(1, "I"), (4, "IV"), (1994, "MCMXCIV"), (2026, "MMXXVI"), (3999, "MMMCMXCIX")]
)
def test_known_ones(number: int, text: str) -> None:
    """Both directions."""
    assert to_roman(number) == text
    assert from_roman(text) == number


def test_there_and_back() -> None:
    """All of them."""
    assert [from_roman(to_roman(number)) for number in range(1, LARGEST + 1)] == list(range(1, LARGEST + 1))


@pytest.mark.parametrize("text", ["", "IIII", "VX", "ABC", "MMMM"])
def test_nonsense(text: str) -> None:
    """What is no numeral is refused."""
    with pytest.raises(ValueError, match="not a Roman numeral"):
        from_roman(text)

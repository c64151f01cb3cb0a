"""Roman numerals, both ways."""

_NUMERALS = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip
LARGEST = 3999


def to_roman(number: int) -> str:
    """The numeral of a number from 1 to LARGEST; ValueError for any other."""
    if not 1 <= number <= LARGEST:
        raise ValueError(f"{number} is not between 1 and {LARGEST}")
    text = ""
    for value, numeral in _NUMERALS:
        count, number = divmod(number, value)
        text += numeral * count
    return text


def from_roman(text: str) -> int:
    """The number of a well-formed numeral; ValueError for any other text."""
    rest, number = text, 0
    for value, numeral in _NUMERALS:
        while rest.startswith(numeral):
            rest = rest[len(numeral) :]
            number += value
    if rest or not 1 <= number <= LARGEST or to_roman(number) != text:
        raise ValueError(f"{text!r} is not a Roman numeral")
    return number

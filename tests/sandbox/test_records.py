"""Records are what typing's named tuples are."""

from __future__ import annotations

import pickle
import typing

from sandbox.records import NamedTuple


class Ours(NamedTuple):
    """A point."""

    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y

    @classmethod
    def of(cls, text: str) -> Ours:
        """From text."""
        return cls(*map(int, text.split()))


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2


def test_records_are_named_tuples() -> None:
    """Fields, defaults, methods, comparison, text and pickling."""
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    assert Ours.__doc__ == Theirs.__doc__
    assert Ours.__mro__[1:] == Theirs.__mro__[1:]
    assert tuple(Ours(1)) == tuple(Theirs(1)) == (1, 2)
    assert Ours(1) == Ours(1, 2) != Ours(2)
    assert repr(Ours(1)) == "Ours(x=1, y=2)"
    assert Ours.of("3 4").sum == 7
    assert Ours(1)._replace(y=5)._asdict() == {"x": 1, "y": 5}
    assert pickle.loads(pickle.dumps(Ours(1))) == Ours(1)  # noqa: S301  (our own)
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)

"""`NamedTuple` as typing's, for the records that a cold command loads: to a type checker it is that very class.

typing compiles the annotation of every field once more when it makes a class, to see that it is a type, which mypy has
seen already: 5 of the 36 ms that the modules of `sandbox run` take to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple

else:
    from collections import namedtuple

    class _RecordType(type):
        """Gives a named tuple where a class with fields is declared."""

        def __new__(cls, name, bases, namespace):
            if not bases:  # NamedTuple itself
                return super().__new__(cls, name, bases, namespace)
            fields = namespace.get("__annotations__", {})
            defaults = [namespace[field] for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            for key, value in namespace.items():
                if key not in fields:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_RecordType):
        """The base of a record: fields are the annotated names, with their defaults last."""


__all__ = ["NamedTuple"]

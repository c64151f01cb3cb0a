"""Events and compiled Stages as JSON values, and back: for the database and for what runners are sent.

What another version has added and this one does not know is left out; what is missing has its default. Called by the
store and by both ends of the RPC. The types are those of the records' fields (cattrs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from cattrs import transform_error
from cattrs.cols import is_namedtuple
from cattrs.errors import BaseValidationError, StructureHandlerNotFoundError
from cattrs.preconf.json import make_converter

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Callable

_CONVERTER = make_converter()
T = TypeVar("T")


@_CONVERTER.register_structure_hook_factory(is_namedtuple)
def _named_tuple(kind: type[T]) -> Callable[[Any, type[T]], T]:
    """As a list. cattrs' own way does not know types that are written as text (PEP 563)."""
    types = list(get_type_hints(kind).values())
    return lambda values, _: kind(*(_CONVERTER.structure(one, of) for one, of in zip(values, types, strict=False)))


def to_document(record: Any) -> dict[str, Any]:
    """The JSON values of an Event, a StageSpec, or a record in one."""
    found: dict[str, Any] = _CONVERTER.unstructure(record)
    return found


def from_document(kind: type[T], document: Any) -> T:
    """The record of `to_document`'s values. Raises CiError for what is none."""
    try:
        return _CONVERTER.structure(document, kind)
    except (BaseValidationError, StructureHandlerNotFoundError, TypeError, ValueError, KeyError) as error:
        raise CiError(f"this is no {kind.__name__}: {transform_error(error)[0]}", reference="bad-document") from None

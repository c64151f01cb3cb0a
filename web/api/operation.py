"""An operation of the API: a function with a path, and with types for what it takes and gives.

What a request says is decoded by its type (msgspec) before the function sees it; what the function gives is encoded by
its own. The same types are the OpenAPI document's (`document`), so the two cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from flask import Response, request

from web.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Blueprint

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` as Flask writes it. `query` and `body` are Structs that the function gets under these names."""

    method: str
    path: str
    summary: str
    handler: Callable[..., Any]
    query: type | None = None
    body: type | None = None
    answer: Any = None  # a type; None: no content
    status: int = 200
    public: bool = True  # whether strangers may ask: they get what is public

    @property
    def name(self) -> str:
        """What it is called in the document and in clients made of it."""
        return self.handler.__name__


class Operations:
    """The operations of one subject, as its module lists them by decorators."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Operation] = []

    def add(self, method: str, path: str, summary: str, **more: Any) -> Callable[[F], F]:
        """Make an operation of a function."""

        def keep(handler: F) -> F:
            operation = Operation(method=method, path=path, summary=summary, handler=handler, **more)
            if operation.answer is None:
                operation = replace(operation, status=204)
            self.all.append(operation)
            return handler

        return keep

    def register(self, blueprint: Blueprint) -> None:
        """Have them answered."""
        for operation in self.all:
            blueprint.add_url_rule(
                operation.path, operation.name, view_func=_view(operation), methods=[operation.method]
            )


def _view(operation: Operation) -> Callable[..., Response]:
    def view(**parts: Any) -> Response:
        if operation.query is not None:
            parts["query"] = _decoded(request.args.to_dict(), operation.query)
        if operation.body is not None:
            parts["body"] = _body(operation.body)
        found = operation.handler(**parts)
        if operation.answer is None:
            return Response(status=operation.status)
        return Response(msgspec.json.encode(found), status=operation.status, mimetype="application/json")

    return view


def _decoded(values: dict[str, str], kind: type) -> Any:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(f"the query: {error}", reference="bad-request") from None


def _body(kind: type) -> Any:
    if request.mimetype != "application/json":
        raise Refusal("the body is to be JSON", hint="send Content-Type: application/json", reference="bad-request")
    try:
        return msgspec.json.decode(request.get_data(), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:  # a ValidationError is one, too
        raise Refusal(f"the body: {error}", reference="bad-request") from None

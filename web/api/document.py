"""The OpenAPI document (3.1), made of the operations and their types. Pure."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from web.api.operation import Operation, Operations

PREFIX = "/api/v1"
_PART = re.compile(r"<(?:(\w+)(?:\(([^)]*)\))?:)?(\w+)>")
_REFERENCE = "#/components/schemas/{name}"
_PROBLEMS = {
    "400": "The request makes no sense; the message says what of it.",
    "401": "The token is missing, or not in force.",
    "403": "Who asks may not do this.",
    "404": "There is no such thing, or none that who asks may know of.",
    "405": "There is no such operation on this.",
    "409": "It cannot be done as things stand.",
    "429": "Too many requests; Retry-After says when to ask again.",
}


class ProblemDetails(msgspec.Struct, kw_only=True, frozen=True):
    """What went wrong: `reference` is a word for programs, `message` and `hint` are for people."""

    reference: str
    message: str
    hint: str


class Problem(msgspec.Struct, kw_only=True, frozen=True):
    """The answer of everything that was refused."""

    error: ProblemDetails


def openapi(subjects: Sequence[Operations], server: str) -> dict[str, Any]:
    """The document of all operations; `server` is the server's URL."""
    paths: dict[str, dict[str, Any]] = {}
    operations = [(subject.tag, one) for subject in subjects for one in subject.all]
    kinds = [Problem, *(kind for _, one in operations for kind in (one.body, one.answer) if kind is not None)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    by_kind = list(zip(kinds, schemas, strict=True))

    def schema(kind: Any) -> dict[str, Any]:
        return next(found for other, found in by_kind if other == kind)

    for tag, one in operations:
        paths.setdefault(_PART.sub(r"{\3}", one.path), {})[one.method.lower()] = _operation(tag, one, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hako", "version": version("hako"), "description": "Builds, and who may do what with them."},
        "servers": [{"url": f"{server}{PREFIX}"}],
        "security": [{"token": []}, {}],
        "tags": [{"name": subject.tag} for subject in subjects],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "An API token."}},
            "responses": {
                code: {"description": text, "content": {"application/json": {"schema": schema(Problem)}}}
                for code, text in _PROBLEMS.items()
            },
        },
    }


def _operation(tag: str, operation: Operation, schema: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query)],
        "responses": {
            str(operation.status): {"description": operation.summary},
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _PROBLEMS},
        },
    }
    if operation.answer is not None:
        content = {"application/json": {"schema": schema(operation.answer)}}
        described["responses"][str(operation.status)]["content"] = content
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema(operation.body)}},
        }
    if not operation.public:
        described["security"] = [{"token": []}]
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    found = []
    for kind, choices, name in _PART.findall(path):
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if kind == "int":
            schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
        elif kind == "any":
            schema = {"type": "string", "enum": choices.split(", ")}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _query_parameters(kind: type | None) -> list[dict[str, Any]]:
    if kind is None:
        return []
    (_,), components = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    schema = components[kind.__name__]
    return [{"name": name, "in": "query", "schema": one} for name, one in schema["properties"].items()]

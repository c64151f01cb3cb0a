"""A JSON Schema of each dialect, for editors: made of the tables of keys that the front ends read by.

Pure; printed by `ci-run schema`. The keys are those of the dialects' tables, so that none is forgotten; what a value
looks like is told here by the key's name, which means the same in all dialects but for the few in `_OF_DIALECT`. A
schema says less than lint: it knows shapes, not meanings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ci.pipeline.dialects import drone, hako, woodpecker
from ci.pipeline.failure import OnFailure
from ci.pipeline.rules import DRONE, HAKO, WOODPECKER
from ci.pipeline.values import PULL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    from ci.pipeline.rules import Rules

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": ["string", "number", "boolean"]}
_TEXTS: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{"}
_FLAG: Schema = {"anyOf": [{"type": "boolean"}, _VARIABLE]}
# YAML 1.1, which drone and Woodpecker read.
_YES_OR_NO: Schema = {"anyOf": [{"enum": [True, False, "yes", "no", "on", "off"]}, _VARIABLE]}
_PULL: Schema = {"anyOf": [{"enum": [*PULL]}, _VARIABLE]}
_ANYTHING: Schema = {}
_MAP: Schema = {"type": "object"}
_PAIRS: Schema = {"type": "object", "additionalProperties": _TEXT}
_SECRET: Schema = {"type": "object", "properties": {"from_secret": {"type": "string"}}, "required": ["from_secret"]}
_VALUES: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": ["string", "number", "boolean", "null"]}, _SECRET]},
}
_OUTPUT: Schema = {"type": "object", "properties": {"from_output": {"type": "string"}}, "required": ["from_output"]}
_VALUES_OR_OUTPUTS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [_VALUES["additionalProperties"], _OUTPUT]},
}
_BUILD: Schema = {
    "anyOf": [
        _TEXT,
        {
            "type": "object",
            "properties": {
                "context": _TEXT,
                "dockerfile": _TEXT,
                "target": _TEXT,
                "args": {"type": "object", "additionalProperties": _TEXT},
                "tags": _TEXTS,
            },
            "additionalProperties": False,
        },
    ]
}
_CACHE: Schema = {
    "type": "object",
    "properties": {"paths": _TEXTS, "key": _TEXT, "fallback": _TEXTS},
    "required": ["paths"],
    "additionalProperties": False,
}
_CACHES: Schema = {"anyOf": [_TEXTS, _CACHE, {"type": "array", "items": _CACHE}]}
_HEALTH: Schema = {
    "anyOf": [
        _TEXTS,
        {
            "type": "object",
            "properties": {"command": _TEXTS, "interval": _TEXT, "timeout": _TEXT},
            "required": ["command"],
            "additionalProperties": False,
        },
    ]
}
_INCLUDE: Schema = {
    "type": "object",
    "properties": {"include": {"type": "string"}, "ref": {"type": "string"}, "with": {"type": "object"}},
    "required": ["include"],
    "additionalProperties": False,
}
_LIST: Schema = {"type": "array"}
_TEXT_OR_LIST: Schema = {"anyOf": [_TEXT, _LIST]}
_PATTERNS: Schema = {
    "anyOf": [
        _TEXT,
        {"type": "array", "items": _TEXT},
        {
            "type": "object",
            "properties": {"include": _TEXTS, "exclude": _TEXTS, "ignore_message": _TEXT, "on_empty": _FLAG},
            "additionalProperties": False,
        },
    ]
}

# By the key's name; what is not here is a single value.
_SHAPES: Mapping[str, Schema] = {
    **dict.fromkeys(
        ("commands", "entrypoint", "dns", "dns_search", "extra_hosts", "tmpfs", "ports", "runs_on"), _TEXTS
    ),
    **dict.fromkeys(("depends_on", "image_pull_secrets", "command", "artifacts", "report"), _TEXTS),
    **dict.fromkeys(("privileged", "detach", "skip_clone"), _FLAG),
    **dict.fromkeys(("labels", "node"), _PAIRS),
    **dict.fromkeys(("settings", "backend_options", "platform", "workspace", "concurrency"), _MAP),
    **dict.fromkeys(("variables", "clone"), _ANYTHING),
    **dict.fromkeys(("secrets", "volumes", "devices"), _TEXT_OR_LIST),
    "environment": {"anyOf": [_VALUES, {"type": "array", "items": {"type": "string", "pattern": "="}}]},
    "matrix": {"type": "object"},
    "healthcheck": _HEALTH,
    "cache": _CACHES,
    "build": _BUILD,
    "failure": {"anyOf": [{"enum": [*OnFailure]}, _VARIABLE]},
    "branches": _PATTERNS,
    "when": {"$ref": "#/$defs/when"},
    "trigger": {"$ref": "#/$defs/when"},
    "steps": {"$ref": "#/$defs/steps"},
    "pipeline": {"$ref": "#/$defs/steps"},
    "services": {"$ref": "#/$defs/services"},
}
_OF_DIALECT: Mapping[str, Mapping[str, Schema]] = {
    "hako": {
        "environment": {"anyOf": [_VALUES_OR_OUTPUTS, {"type": "array", "items": {"type": "string", "pattern": "="}}]},
        "workspace": _TEXT,
        "concurrency": _TEXT,
        "clone": {
            "anyOf": [
                {"enum": [False]},
                {
                    "type": "object",
                    "properties": dict.fromkeys(hako.CLONE_KEYS, _TEXT),
                    "additionalProperties": False,
                },
                {"$ref": "#/$defs/clone"},
            ]
        },
        "pull": _PULL,
    },
    "drone": {
        "kind": {"enum": ["pipeline", "secret", "signature", "cron"]},
        "type": {"enum": ["docker"]},
        "pull": _PULL,
        **dict.fromkeys(("privileged", "detach"), _YES_OR_NO),
        "environment": _VALUES,
    },
    "woodpecker": {
        **dict.fromkeys(("privileged", "detach", "skip_clone", "pull"), _YES_OR_NO),
        "platform": _TEXT,
        "concurrency": {"anyOf": [_TEXT, _MAP]},
        "failure": {"anyOf": [{"enum": ["fail", "ignore", "cancel"]}, _VARIABLE]},
        "environment": {"type": ["object", "array"]},
        "depends_on": _TEXT_OR_LIST,
    },
}


class _Dialect(NamedTuple):
    """A front end's tables, and what is special about its files."""

    tables: ModuleType
    rules: Rules
    title: str
    required: tuple[str, ...] = ("steps",)


DIALECTS: Mapping[str, _Dialect] = {
    "hako": _Dialect(hako, HAKO, "Pipeline of Hako (.ci.yml)"),
    "drone": _Dialect(drone, DRONE, "Pipeline of drone (.drone.yml)", ("kind",)),
    "woodpecker": _Dialect(woodpecker, WOODPECKER, "Workflow of Woodpecker (.woodpecker.yml)", ()),
}


def schema(name: str) -> Schema:
    """The schema of a dialect, one of DIALECTS, ready for `json.dumps`."""
    dialect = DIALECTS[name]
    tables, special = dialect.tables, _OF_DIALECT[name]
    step = _record(tables.STEP_KEYS, special, strict=not dialect.rules.lenient)
    service = _record(tables.SERVICE_KEYS, special, strict=not dialect.rules.lenient)
    clone = _record(hako.CLONE_STEP_KEYS, special, strict=True) | {"required": ["image"]}
    document = _record(tables.DOCUMENT_KEYS, special, strict=not dialect.rules.lenient)
    if not dialect.rules.lenient:
        document["patternProperties"] = {"^x-": _ANYTHING}
    return {
        "$schema": DRAFT,
        "title": dialect.title,
        **document,
        "required": list(dialect.required),
        "$defs": {
            "when": _when(tables.WHEN_KEYS, dialect.rules),
            "step": step,
            "service": service,
            "steps": _containers("step", *(_INCLUDE,) * (name == "hako")),
            "services": _containers("service"),
            **({"clone": clone} if name == "hako" else {}),
        },
    }


def _record(keys: Iterable[str], special: Mapping[str, Schema], *, strict: bool) -> Schema:
    record: Schema = {
        "type": "object",
        "properties": {key: special.get(key) or _SHAPES.get(key, _TEXT) for key in keys},
    }
    return record | {"additionalProperties": False} if strict else record


def _when(keys: Iterable[str], rules: Rules) -> Schema:
    """The conditions: a map, or a list of maps."""
    shapes: dict[str, Schema] = {
        "event": _words(rules.events),
        "status": _words(("success", "failure")),
        "matrix": {"type": "object", "additionalProperties": _PATTERNS},
        "evaluate": {"type": "string"},
        "local": _FLAG,
    }
    condition: Schema = {"type": "object", "properties": {key: shapes.get(key, _PATTERNS) for key in keys}}
    if not rules.lenient:
        condition["additionalProperties"] = False
    return {"anyOf": [condition, {"type": "array", "items": condition}]}


def _words(words: Iterable[str]) -> Schema:
    one: Schema = {"enum": [str(word) for word in words]}
    many: Schema = {"type": "array", "items": one}
    both = {"anyOf": [one, many]}
    chosen: Schema = {"type": "object", "properties": {"include": both, "exclude": both}, "additionalProperties": False}
    return {"anyOf": [one, many, chosen]}


def _containers(name: str, *others: Schema) -> Schema:
    one: Schema = {"$ref": f"#/$defs/{name}"}
    items = {"anyOf": [one, *others]} if others else one
    return {"anyOf": [{"type": "array", "items": items}, {"type": "object", "additionalProperties": one}]}

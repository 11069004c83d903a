"""JSON Schemas (2020-12) of Python types, for the OpenAPI description."""

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
_SCALARS: Mapping[object, Schema] = {
    str: TEXT,
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    Any: {},
}


def schema_of(kind: Any) -> Schema:
    """The schema of the JSON that a value of this type becomes.

    It covers scalars, unions, literals, lists, tuples, string-keyed mappings, TypedDicts and dataclasses.
    Raises TypeError for another type.
    """
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if is_typeddict(kind):
        return closed_object({name: schema_of(hint) for name, hint in get_type_hints(kind).items()})
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return closed_object({field.name: schema_of(hints[field.name]) for field in fields(kind)})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return array_of(schema_of(arguments[0]))
    if origin is tuple:
        return _tuple_of(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    raise TypeError(f"no JSON Schema for {kind}")


def closed_object(properties: Mapping[str, Schema], required: Collection[str] | None = None) -> Schema:
    """An object with no other keys; all of them are required unless `required` names some."""
    names = list(properties if required is None else required)
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": names} if names else {}),
        "additionalProperties": False,
    }


def array_of(items: Schema, **keywords: Any) -> Schema:
    """An array; the keywords are those of JSON Schema, such as `minItems`."""
    return {"type": "array", "items": items, **keywords}


def _tuple_of(arguments: tuple[Any, ...]) -> Schema:
    """Without `prefixItems`, which many tools do not know."""
    if arguments[-1] is ...:
        return array_of(schema_of(arguments[0]))
    kinds = [schema_of(argument) for argument in dict.fromkeys(arguments)]
    items = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return array_of(items, minItems=len(arguments), maxItems=len(arguments))

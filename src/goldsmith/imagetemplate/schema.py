"""The image template's fields as a JSON Schema for editors, draft 2020-12."""

from typing import Any

from goldsmith.imagetemplate.fields import API_VERSION_DEFAULT, TEMPLATE
from goldsmith.imagetemplate.shape import (
    ArmId,
    Choice,
    Field,
    Flag,
    ListOf,
    MapOf,
    OneOf,
    Record,
    Shape,
    Text,
    Whole,
    default_of,
)
from goldsmith.kernel.json import JsonObject

_SCALARS = (bool, int, str)


def json_schema() -> JsonObject:
    """The schema of a whole template of the newest api-version.

    It is for what people write: `parse_template` also bears the nulls and empty values that clients send,
    and it alone checks what JSON Schema cannot say (names taken twice, the types of resource ids).
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Image template, api-version {API_VERSION_DEFAULT}",
        **_schema(TEMPLATE),
    }


def _schema(shape: Shape) -> JsonObject:
    match shape:
        case Record():
            return _record(shape, tag=None)
        case OneOf(tag=tag, cases=cases):
            return {
                "type": "object",
                "required": [tag],
                "oneOf": [_record(record, tag=(tag, name)) for name, record in cases.items()],
            }
        case ListOf(item=item, minimum=minimum, maximum=maximum):
            return {"type": "array", "items": _schema(item), "minItems": minimum, "maxItems": maximum}
        case MapOf(value=value, maximum=maximum):
            return {"type": "object", "additionalProperties": _schema(value), "maxProperties": maximum}
        case Text(pattern=str() as pattern):
            return {"type": "string", "pattern": pattern}
        case Text(may_be_empty=True):
            return {"type": "string"}
        case Text():
            return {"type": "string", "minLength": 1}
        case ArmId():
            return {"type": "string", "pattern": "^/[Ss]ubscriptions/"}
        case Choice(of=choices):
            return {"enum": [str(choice) for choice in choices]}
        case Whole(minimum=minimum, maximum=maximum):
            return {"type": "integer", "minimum": minimum, "maximum": maximum}
        case Flag():
            return {"type": "boolean"}


def _record(record: Record, *, tag: tuple[str, str] | None) -> JsonObject:
    properties: JsonObject = {} if tag is None else {tag[0]: {"const": tag[1]}}
    for member in record.fields:
        properties[member.name] = _member(record, member)
    schema: JsonObject = {
        "type": "object",
        "properties": properties,
        "required": [
            *([tag[0]] if tag else []),
            *(member.name for member in record.fields if member.required),
        ],
        "additionalProperties": False,
    }
    if record.rules:
        schema["description"] = " ".join(rule.sentence for rule in record.rules)
        if said := [dict(rule.schema) for rule in record.rules if rule.schema]:
            schema["allOf"] = said
    return schema


def _member(record: Record, member: Field) -> JsonObject:
    if member.read_only:
        # The service writes objects as well as text; none of it is looked at on the way in.
        return {"readOnly": True, "description": member.meaning}
    schema = _schema(member.shape)
    if (unset := _unset(member)) is not None:
        schema = {"anyOf": [{"const": unset}, schema]}
    schema["description"] = " ".join(filter(None, (member.meaning, schema.get("description"))))
    default: Any = default_of(record, member)
    if isinstance(default, _SCALARS):
        schema["default"] = default if isinstance(default, int) else str(default)
    return schema


def _unset(member: Field) -> int | str | None:
    match member.shape:
        case Whole(unset=unset):
            return unset
        case Text(may_be_empty=False) | ArmId() if not member.required:
            return ""
        case _:
            return None

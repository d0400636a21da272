"""A file of a collection as the objects in it, each with its JSON path, whatever the file wraps them in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.catalog.text import decode, read_json

_LINES = (".jsonl", ".ndjson", ".jsonlines")
# `az ... list` and REST, Resource Graph, `Get-AzPolicyDefinition | ConvertTo-Json` under a name of its own.
_WRAPPERS = ("value", "data", "items")


class Kind(StrEnum):
    DEFINITION = "definition"
    INITIATIVE = "initiative"
    ASSIGNMENT = "assignment"
    ASSIGNMENT_TREE = "assignment tree"
    RULE = "rule"
    OTHER = "other"


_TYPES = {
    "microsoft.authorization/policydefinitions": Kind.DEFINITION,
    "microsoft.authorization/policysetdefinitions": Kind.INITIATIVE,
    "microsoft.authorization/policyassignments": Kind.ASSIGNMENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`path` is where the object stands in its file, as `[3]` or `value[3]`; empty when it is the file."""

    kind: Kind
    body: JsonObject
    path: str


def items(name: str, data: bytes) -> Iterator[Item]:
    """Raises InvalidInputError when the bytes are neither JSON nor JSON lines."""
    plain = name.lower().removesuffix(".gz")
    text = decode(data)
    if plain.endswith(_LINES):
        yield from _lines(text)
        return
    try:
        _, value = read_json(text)
    except InvalidInputError as error:
        if not _are_lines(error):
            raise
        yield from _lines(text)
        return
    yield from _of(value, "")


def kind_of(body: JsonObject) -> Kind:
    """By its type, else by what only that kind has."""
    typed = _TYPES.get(str(_get(body, "type") or "").lower())
    if typed is not None:
        return typed
    if _get(body, "nodeName") is not None:
        return Kind.ASSIGNMENT_TREE
    properties = _get(body, "properties")
    inner = properties if isinstance(properties, dict) else body
    if _get(inner, "policyRule") is not None:
        return Kind.DEFINITION
    if isinstance(_get(inner, "policyDefinitions"), list):
        return Kind.INITIATIVE
    if _get(inner, "policyDefinitionId") is not None:
        return Kind.ASSIGNMENT
    if _get(body, "if") is not None and _get(body, "then") is not None:
        return Kind.RULE
    return Kind.OTHER


def _of(value: Any, path: str) -> Iterator[Item]:
    if isinstance(value, list):
        for number, one in enumerate(value):
            if isinstance(one, dict):
                yield from _of(one, f"{path}[{number}]")
    elif isinstance(value, dict):
        kind = kind_of(value)
        wrapper = next((key for key in _WRAPPERS if isinstance(_get(value, key), list)), None)
        if kind is Kind.OTHER and wrapper is not None:
            yield from _of(_get(value, wrapper), f"{path}.{wrapper}" if path else wrapper)
        else:
            yield Item(kind=kind, body=value, path=path)


def _lines(text: str) -> Iterator[Item]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                _, value = read_json(line)
            except InvalidInputError as error:
                raise InvalidInputError(f"line {number}: {error.message}", hint=error.hint) from error
            yield from _of(value, f"line {number}")


def _are_lines(error: InvalidInputError) -> bool:
    cause = error.__cause__
    return isinstance(cause, json.JSONDecodeError) and cause.msg == "Extra data"


def _get(body: JsonObject, name: str) -> Any:
    if name in body:
        return body[name]
    low = name.lower()
    return next((value for key, value in body.items() if key.lower() == low), None)

"""Field names and alias paths as tuples of lower-case segments, and the value a path selects.

Specification: the policy rule page, "Fields", and "Author policies for array properties".
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.tree import Narrowing

WILDCARD = "[*]"
_INDEX = re.compile("[0-9]{1,9}", re.ASCII)
# A cache of nothing but spellings: it changes how fast a member is found, never which.
_KNOWN_KEYS: dict[tuple[str, ...], dict[str, str]] = {}
_KNOWN_KEYS_MOST = 4096
_KEPT_KEYS_MOST = 64


class FieldKind(StrEnum):
    """What a field name is. PATH is a path into the resource that is no alias: the service refuses those."""

    TYPE = "type"
    LOCATION = "location"
    FULL_NAME = "fullName"
    API_VERSION = "apiVersion"
    PLAIN = "plain"
    ALIAS = "alias"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class FieldName:
    """`path` is empty for an alias: which path it has depends on the resource type."""

    kind: FieldKind
    text: str
    path: tuple[str, ...]


def parse_field(name: str) -> FieldName:
    """A field as a rule names it: `type`, `tags['x.y']`, `identity.type`, an alias, a path.

    Raise InvalidInputError for an empty name or a bracket that is not closed.
    """
    lowered = name.lower()
    if lowered in ("type", "location"):
        return FieldName(FieldKind(lowered), name, (lowered,))
    if lowered == "fullname":
        return FieldName(FieldKind.FULL_NAME, name, ("fullname",))
    if lowered == "apiversion":
        return FieldName(FieldKind.API_VERSION, name, ("apiversion",))
    if lowered in ("name", "kind", "id", "tags", "identity"):
        return FieldName(FieldKind.PLAIN, name, (lowered,))
    if lowered.startswith("tags."):
        # Everything after the point is the tag's name, further points included.
        return FieldName(FieldKind.PLAIN, name, ("tags", lowered[5:]))
    if lowered.startswith("tags["):
        # No array alias (linter, FieldPathHelper): `tags[*]` is the tag of that name.
        segments = alias_segments(name)
        return FieldName(FieldKind.PLAIN, name, tuple("*" if each == WILDCARD else each for each in segments))
    if lowered.startswith("identity."):
        return FieldName(FieldKind.PLAIN, name, alias_segments(name))
    slash, bracket = name.find("/"), name.find("[")
    if slash >= 0 and not 0 <= bracket < slash:
        return FieldName(FieldKind.ALIAS, name, ())
    return FieldName(FieldKind.PATH, name, alias_segments(name))


def alias_segments(path: str) -> tuple[str, ...]:
    """`properties.rules[*].name` -> ("properties", "rules", "[*]", "name"), in lower case.

    `['a.b']`, `["a.b"]` and `[a.b]` are one segment, `''` in quotes is a quote; `[0]` selects one member.
    """
    segments: list[str] = []
    position = 0
    while position < len(path):
        character = path[position]
        if character == ".":
            position += 1
        elif character == "[":
            segment, position = _bracket(path, position)
            segments.append(segment)
        else:
            end = position
            while end < len(path) and path[end] not in ".[":
                end += 1
            segments.append(path[position:end].lower())
            position = end
    if not segments:
        raise InvalidInputError(f"field {path!r} names nothing", hint="name a field, a tag or an alias")
    return tuple(segments)


def _bracket(path: str, start: int) -> tuple[str, int]:
    """The segment of the bracket that opens at `start`, and where the text goes on."""
    quote = path[start + 1 : start + 2]
    if quote in ("'", '"'):
        pieces: list[str] = []
        position = start + 2
        while (end := path.find(quote, position)) >= 0:
            pieces.append(path[position:end])
            if path[end + 1 : end + 2] != quote:
                break
            pieces.append(quote)
            position = end + 2
        if end >= 0 and path[end + 1 : end + 2] == "]":
            return "".join(pieces).lower(), end + 2
    else:
        end = path.find("]", start)
        if end >= 0:
            inner = path[start + 1 : end]
            return WILDCARD if inner == "*" else inner.lower(), end + 1
    raise InvalidInputError(
        f"field {path!r} has a bracket that is not closed", hint="write tags['name'] or an alias with [*]"
    )


def project(document: JsonValue, path: Sequence[str], narrowing: Narrowing = Narrowing.VALUE) -> JsonValue:
    """The value of an input in any JSON value, as `tree.Input` defines it; keys ignore case.

    Where keys differ only in case the lower-case spelling wins, then the first in code point order, so the
    order of keys does not matter.
    """
    return narrow(select(document, path), narrowing, tuple(path).count(WILDCARD))


def select(value: JsonValue, path: Sequence[str]) -> JsonValue:
    for position, segment in enumerate(path):
        if segment == WILDCARD:
            if not isinstance(value, list):
                return []
            rest = path[position + 1 :]
            return [select(member, rest) for member in value] if rest else value
        value = member_of(value, segment)
        if value is None and WILDCARD not in path[position:]:
            return None
    return value


def reading(path: Sequence[str], test: Callable[[tuple[JsonValue]], bool]) -> Callable[[JsonValue], bool]:
    """`test` of the value at a path without `[*]`, as one function: `select` with its calls written out."""

    def judged(value: JsonValue) -> bool:
        for segment in path:
            if value.__class__ is dict:
                if segment in value:
                    value = value[segment]
                    continue
                known = _KNOWN_KEYS.get(tuple(value))
                if known is not None:
                    spelling = known.get(segment)
                    if spelling is None:
                        return test((None,))
                    value = value[spelling]
                    continue
            value = member_of(value, segment)
            if value is None:
                return test((None,))
        return test((value,))

    return judged


def member_of(value: JsonValue, segment: str) -> JsonValue:
    """The member of an object under a lower-case key, or of an array under a number; None when missing."""
    if isinstance(value, dict):
        if segment in value:
            return value[segment]
        spelling = _spellings(value).get(segment)
        return None if spelling is None else value[spelling]
    if isinstance(value, list) and _INDEX.fullmatch(segment) and int(segment) < len(value):
        return value[int(segment)]
    return None


def _spellings(value: dict[str, JsonValue]) -> dict[str, str]:
    """For each key in lower case the key that is meant; resources of one type have mostly the same keys."""
    keys = tuple(value)
    found = _KNOWN_KEYS.get(keys)
    if found is None:
        found = {key.lower(): key for key in sorted(keys, reverse=True)}
        if len(keys) <= _KEPT_KEYS_MOST:
            if len(_KNOWN_KEYS) >= _KNOWN_KEYS_MOST:
                _KNOWN_KEYS.clear()
            _KNOWN_KEYS[keys] = found
    return found


def narrow(value: JsonValue, narrowing: Narrowing, depth: int) -> JsonValue:
    """What a narrower input keeps of the value it selects; `depth` is the number of `[*]` in its path."""
    if narrowing is Narrowing.VALUE:
        return value
    if depth:
        assert isinstance(value, list), "a path with [*] selects a list"
        return [narrow(member, narrowing, depth - 1) for member in value]
    return value is not None if narrowing is Narrowing.EXISTS else None

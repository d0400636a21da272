"""Parameter values: their types, allowed values, defaults and schemas, and what may change in an update.

Specification: Azure Policy definition structure, "parameters".
"""

import json
import re
from collections.abc import Mapping

import jsonschema  # type: ignore[import-untyped]  # ships no types
import referencing

from goldsmith.expressions.errors import kind_of
from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.definition import Absent, Parameter, ParameterType

_NOT_ALLOWED = "PolicyParameterValueNotAllowed"
_INVALID = "InvalidPolicyParameters"
_WRONG_TYPE = "InvalidPolicyParameterType"
DEPTH_MOST = 128
_PATTERN_LONGEST = 1000
_GROUP = re.compile(r"\(([^()]*)\)([*+]|\{\d*,\d*\})?")
_REPEATS = re.compile(r"[*+|]|\{\d*,")


def effective_values(
    declared: Mapping[str, Parameter], given: Mapping[str, JsonValue], *, user: str, owner: str, at: str
) -> dict[str, JsonValue]:
    """Every declared parameter with the value given or its default, keyed by its declared spelling.

    `user` and `owner` say in messages who gives values to whose parameters ("policy assignment 'a'",
    "policy definition 'd'"); `at` is the JSON path of the values. Names ignore case.
    Raises InvalidInputError: UndefinedPolicyParameter, MissingPolicyParameter, InvalidPolicyParameterType,
    PolicyParameterValueNotAllowed or InvalidPolicyParameters.
    """
    names = {name.lower(): name for name in declared}
    undefined = [name for name in given if name.lower() not in names]
    if undefined:
        raise InvalidInputError(
            f"The {user} is attempting to assign the parameter(s) '{', '.join(undefined)}' "
            f"which are not defined in the {owner}.",
            code="UndefinedPolicyParameter",
            hint=f"remove '{at}.{undefined[0]}', or use one of: {', '.join(declared) or 'none'}",
        )
    by_name = {names[name.lower()]: (name, value) for name, value in given.items()}
    missing = [
        name for name, each in declared.items() if name not in by_name and each.default is Absent.ABSENT
    ]
    if missing:
        raise InvalidInputError(
            f"The {user} is missing the parameter(s) '{', '.join(missing)}' as defined in the {owner}.",
            code="MissingPolicyParameter",
            hint=f"give a value at '{at}.{missing[0]}.value'",
        )
    values: dict[str, JsonValue] = {}
    for name, parameter in declared.items():
        if name in by_name:
            written, value = by_name[name]
            check_value(parameter, value, owner=owner, at=f"{at}.{written}.value")
            values[name] = value
        elif parameter.default is not Absent.ABSENT:
            values[name] = parameter.default
    return values


def check_value(parameter: Parameter, value: JsonValue, *, owner: str, at: str) -> None:
    """Raises InvalidInputError when the value is not of the type, not allowed or against the schema."""
    _check_depth(value, at)
    if not has_type(parameter.type, value):
        raise InvalidInputError(
            f"The value of the parameter '{parameter.name}' in the {owner} is {kind_of(value)}, "
            f"expected type '{parameter.type}'. Path '{at}'.",
            code=_WRONG_TYPE,
            hint=_type_hint(parameter.type),
        )
    if parameter.allowed is not None:
        # A list is chosen from: each of its members must be allowed.
        chosen = value if isinstance(value, list) and parameter.type is ParameterType.ARRAY else [value]
        for each in chosen:
            if not any(same_value(each, allowed) for allowed in parameter.allowed):
                raise InvalidInputError(
                    f"The value '{_shown(each)}' is not allowed for policy parameter '{parameter.name}' "
                    f"in {owner}. The allowed values are "
                    f"'{', '.join(_shown(allowed) for allowed in parameter.allowed)}'.",
                    code=_NOT_ALLOWED,
                    hint=f"choose one of the allowed values at '{at}'; their case matters",
                )
    if parameter.schema is not None:
        _check_schema(parameter.schema, value, name=parameter.name, at=at)


def has_type(type_: ParameterType, value: JsonValue) -> bool:
    match type_:
        case ParameterType.STRING:
            return isinstance(value, str)
        case ParameterType.ARRAY:
            return isinstance(value, list)
        case ParameterType.OBJECT:
            return isinstance(value, dict)
        case ParameterType.BOOLEAN:
            return isinstance(value, bool)
        case ParameterType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case ParameterType.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ParameterType.DATE_TIME:
            return isinstance(value, str) and _is_instant(value)


def same_value(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON: true is not 1, the case of text matters, the order of an object's keys does not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(value, other[key]) for key, value in one.items())
    return one == other


def is_deep(value: object, most: int = DEPTH_MOST) -> bool:
    """Whether arrays and objects are nested in one another more than `most` levels."""
    level = [value]
    for _ in range(most + 1):
        level = [
            member
            for each in level
            if isinstance(each, dict | list)
            for member in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def check_schema_itself(schema: JsonObject, *, at: str) -> None:
    """Raises InvalidInputError for what is no schema, refers outside itself or may not end in time."""
    _check_depth(schema, at)
    try:
        jsonschema.Draft201909Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidInputError(
            f"the member '{at}' is no JSON schema: {error.message}", code=_INVALID
        ) from error
    for path, keyword, value in _keywords(schema, at):
        if keyword == "$ref" and not str(value).startswith("#"):
            raise InvalidInputError(
                f"the member '{path}' refers to '{value}', expected a place in the same schema", code=_INVALID
            )
        if keyword == "pattern" and _is_costly(str(value)):
            raise InvalidInputError(
                f"the member '{path}' repeats a group that repeats, which can take unbounded time",
                code=_INVALID,
                hint="write the pattern without a repeated group inside a repeated group",
            )


def check_update(existing: Mapping[str, Parameter], updated: Mapping[str, Parameter], *, owner: str) -> None:
    """Raises InvalidInputError (InvalidPolicyParameterUpdate) for a change that assignments could not follow.

    None may be removed, a type stays, and a new one needs a default.
    """
    names = {name.lower(): parameter for name, parameter in updated.items()}
    removed = [name for name in existing if name.lower() not in names]
    if removed:
        raise _bad_update(
            f"The {owner} cannot be updated: the parameter(s) '{', '.join(removed)}' are removed.",
            hint="keep the parameter, or write a new definition",
        )
    for name, parameter in existing.items():
        now = names[name.lower()]
        if now.type is not parameter.type:
            raise _bad_update(
                f"The {owner} cannot be updated: the type of the parameter '{name}' changes "
                f"from '{parameter.type}' to '{now.type}'.",
                hint="add a parameter of another name",
            )
    known = {name.lower() for name in existing}
    added = [
        name for name, each in updated.items() if name.lower() not in known and each.default is Absent.ABSENT
    ]
    if added:
        raise _bad_update(
            f"The {owner} contains new parameter(s) '{', '.join(added)}' which are not present "
            "in the existing one and have no default value.",
            hint="give the new parameter a defaultValue",
        )


def _bad_update(message: str, *, hint: str) -> InvalidInputError:
    return InvalidInputError(message, code="InvalidPolicyParameterUpdate", hint=hint)


def _check_schema(schema: JsonObject, value: JsonValue, *, name: str, at: str) -> None:
    # An empty registry: a schema never makes us fetch anything.
    validator = jsonschema.Draft201909Validator(schema, registry=referencing.Registry())
    error = next(iter(validator.iter_errors(value)), None)
    if error is not None:
        path = at + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        raise InvalidInputError(
            f"The value of the parameter '{name}' is against its schema at '{path}': {error.message[:400]}",
            code=_INVALID,
        )


def _check_depth(value: object, at: str) -> None:
    if is_deep(value):
        raise InvalidInputError(
            f"the member '{at}' is nested more than {DEPTH_MOST} levels deep", code="PolicyLimitExceeded"
        )


def _is_costly(pattern: str) -> bool:
    """Whether a group is repeated that repeats or chooses itself: matching can then take unbounded time."""
    if len(pattern) > _PATTERN_LONGEST:
        return True
    text = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\.", "x", pattern))
    while match := _GROUP.search(text):
        inside, repeated = match.groups()
        repeats = _REPEATS.search(inside) is not None
        if repeats and repeated:
            return True
        text = text[: match.start()] + ("x+" if repeats or repeated else "x") + text[match.end() :]
    return False


def _keywords(value: object, at: str) -> "list[tuple[str, str, object]]":
    found: list[tuple[str, str, object]] = []
    pending: list[tuple[str, object]] = [(at, value)]
    while pending:
        path, each = pending.pop()
        if isinstance(each, dict):
            for key, member in each.items():
                found.append((f"{path}.{key}", key, member))
                pending.append((f"{path}.{key}", member))
        elif isinstance(each, list):
            pending.extend((f"{path}[{index}]", member) for index, member in enumerate(each))
    return [entry for entry in found if isinstance(entry[2], str)]


def _is_instant(text: str) -> bool:
    try:
        parse_iso(text)
    except ValueError:
        return False
    return "T" in text.upper()


def _type_hint(type_: ParameterType) -> str | None:
    if type_ is ParameterType.DATE_TIME:
        return "write it as yyyy-MM-ddTHH:mm:ss.fffffffZ"
    return None


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)

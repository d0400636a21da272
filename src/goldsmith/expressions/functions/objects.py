"""Functions that build and take apart arrays and objects."""

from goldsmith.expressions.errors import EvaluationError, wrong_argument
from goldsmith.expressions.functions.function import Function, array_argument, strict_text_argument
from goldsmith.expressions.limits import check_node_count, within_limits
from goldsmith.expressions.values import find_key, identity_key, is_integer, select
from goldsmith.kernel.json import JsonValue


def _array(value: JsonValue) -> JsonValue:
    return value if isinstance(value, list) else [value]


def _create_array(*members: JsonValue) -> JsonValue:
    return list(members)


def _create_object(*pairs: JsonValue) -> JsonValue:
    if len(pairs) % 2:
        raise EvaluationError(
            f"createObject() expected an even number of arguments, a name and a value each, got {len(pairs)}"
        )
    members: dict[str, JsonValue] = {}
    for position in range(0, len(pairs), 2):
        name = strict_text_argument("createObject", position + 1, pairs[position])
        if name in members:
            raise EvaluationError(f"createObject() got the property '{name[:80]}' twice")
        members[name] = pairs[position + 1]
    return members


def _union(*values: JsonValue) -> JsonValue:
    if all(isinstance(value, list) for value in values):
        members = [member for value in values for member in array_argument("union", 1, value)]
        check_node_count(len(members))
        return list(_distinct(members).values())
    merged: dict[str, JsonValue] = {}
    for position, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise wrong_argument("union", position, "arrays only or objects only, and not", value)
        merged = _merge(merged, within_limits(value))
    return merged


def _distinct(members: list[JsonValue]) -> dict[str, JsonValue]:
    seen: dict[str, JsonValue] = {}
    for member in members:
        seen.setdefault(identity_key(member), member)
    return seen


def _merge(into: dict[str, JsonValue], patch: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Objects are merged member by member, keys ignoring case; anything else of `patch` replaces."""
    merged = dict(into)
    spelt = {key.casefold(): key for key in merged}
    for name, member in patch.items():
        key = spelt.setdefault(name.casefold(), name)
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(member, dict):
            merged[key] = _merge(before, member)
        else:
            merged[key] = member
    return merged


def _intersection(*values: JsonValue) -> JsonValue:
    if all(isinstance(value, list) for value in values):
        first, *others = (_distinct(array_argument("intersection", 1, value)) for value in values)
        return [member for key, member in first.items() if all(key in other for other in others)]
    objects = []
    for position, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise wrong_argument("intersection", position, "arrays only or objects only, and not", value)
        objects.append({name: identity_key(member) for name, member in value.items()})
    first_object = values[0] if isinstance(values[0], dict) else {}
    return {
        name: member
        for name, member in first_object.items()
        if all(other.get(name) == objects[0][name] for other in objects[1:])
    }


def _items(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        raise wrong_argument("items", 1, "an object", value)
    return [{"key": key, "value": value[key]} for key in _ordered_keys(value)]


def _object_keys(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        raise wrong_argument("objectKeys", 1, "an object", value)
    return list(_ordered_keys(value))


def _ordered_keys(value: dict[str, JsonValue]) -> list[str]:
    return sorted(value, key=lambda key: key.upper())


def _shallow_merge(value: JsonValue) -> JsonValue:
    merged: dict[str, JsonValue] = {}
    spelt: dict[str, str] = {}
    for member in array_argument("shallowMerge", 1, value):
        if not isinstance(member, dict):
            raise wrong_argument("shallowMerge", 1, "an array of objects, not one with", member)
        for name, inner in member.items():
            merged[spelt.setdefault(name.casefold(), name)] = inner
    return merged


def _flatten(value: JsonValue) -> JsonValue:
    members: list[JsonValue] = []
    for member in array_argument("flatten", 1, value):
        if not isinstance(member, list):
            raise wrong_argument("flatten", 1, "an array of arrays, not one with", member)
        members += member
        check_node_count(len(members))
    return members


def _try_get(value: JsonValue, *keys: JsonValue) -> JsonValue:
    """Only the first step is lenient: a further key that is missing is an error."""
    found = _safe_member(value, _step(keys[0], 2))
    if found is None:
        return None
    for position, key in enumerate(keys[1:], 3):
        found = select(found, _step(key, position))
    return found


def _step(key: JsonValue, position: int) -> str | int:
    if isinstance(key, str) or is_integer(key):
        return key
    raise wrong_argument("tryGet", position, "a string or an integer", key)


def _safe_member(value: JsonValue, key: JsonValue) -> JsonValue:
    if isinstance(value, dict) and isinstance(key, str):
        name = find_key(value, key)
        return None if name is None else value[name]
    if isinstance(value, list) and is_integer(key) and 0 <= key < len(value):
        return value[key]
    return None


FUNCTIONS = (
    Function("array", 1, 1, _array, "the value as the one member of an array; an array itself"),
    Function("createArray", 0, None, _create_array, "an array of the arguments", builds=True),
    Function("createObject", 0, None, _create_object, "an object of names and values in turn", builds=True),
    Function("union", 2, None, _union, "all members of arrays, or of objects merged deeply", builds=True),
    Function("intersection", 2, None, _intersection, "the members that all arrays, or all objects, have"),
    Function("items", 1, 1, _items, "an object as an array of key and value, ordered by key", builds=True),
    Function("objectKeys", 1, 1, _object_keys, "the keys of an object in order"),
    Function(
        "shallowMerge", 1, 1, _shallow_merge, "the objects of an array merged at their top level", builds=True
    ),
    Function("flatten", 1, 1, _flatten, "the members of the arrays of an array"),
    Function("tryGet", 2, None, _try_get, "a member of an object or array, null when there is none"),
)

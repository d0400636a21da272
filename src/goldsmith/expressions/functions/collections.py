"""Functions that work on strings and arrays, or on arrays and objects, alike."""

from goldsmith.expressions.errors import EvaluationError, wrong_argument
from goldsmith.expressions.functions.function import Function, int_argument, strict_text_argument
from goldsmith.expressions.text import (
    cut,
    index_ignoring_case,
    last_index_ignoring_case,
    length,
)
from goldsmith.expressions.values import deep_equals, find_key
from goldsmith.kernel.json import JsonValue


def _length(value: JsonValue) -> int:
    if value is None:
        return 0
    if isinstance(value, list | dict):
        return len(value)
    return length(strict_text_argument("length", 1, value))


def _empty(value: JsonValue) -> bool:
    if value is None or isinstance(value, str | list | dict):
        return not value
    raise wrong_argument("empty", 1, "a string, an array, an object or null", value)


def _first(value: JsonValue) -> JsonValue:
    if value is None:
        return None
    if isinstance(value, list):
        return value[0] if value else None
    return cut(strict_text_argument("first", 1, value), 0, 1)


def _last(value: JsonValue) -> JsonValue:
    if value is None:
        return None
    if isinstance(value, list):
        return value[-1] if value else None
    text = strict_text_argument("last", 1, value)
    return cut(text, length(text) - 1) if text else ""


def _take(value: JsonValue, count: JsonValue) -> JsonValue:
    number = max(0, int_argument("take", 2, count))
    if value is None:
        return None
    if isinstance(value, list):
        return value[:number]
    return cut(strict_text_argument("take", 1, value), 0, number)


def _skip(value: JsonValue, count: JsonValue) -> JsonValue:
    number = max(0, int_argument("skip", 2, count))
    if value is None:
        return None
    if isinstance(value, list):
        return value[number:]
    return cut(strict_text_argument("skip", 1, value), number)


def _contains(container: JsonValue, sought: JsonValue) -> bool:
    match container:
        case dict():
            return (
                sought is not None
                and find_key(container, strict_text_argument("contains", 2, sought)) is not None
            )
        case list():
            return any(deep_equals(member, sought) for member in container)
        case str():
            return strict_text_argument("contains", 2, sought).casefold() in container.casefold()
        case _:
            raise wrong_argument("contains", 1, "a string, an array or an object", container)


def _index_of(container: JsonValue, sought: JsonValue) -> int:
    if container is None:
        return -1
    if isinstance(container, list):
        return next((index for index, member in enumerate(container) if deep_equals(member, sought)), -1)
    text = strict_text_argument("indexOf", 1, container)
    return index_ignoring_case(text, strict_text_argument("indexOf", 2, sought))


def _last_index_of(container: JsonValue, sought: JsonValue) -> int:
    if container is None:
        return -1
    if isinstance(container, list):
        indexes = range(len(container) - 1, -1, -1)
        return next((index for index in indexes if deep_equals(container[index], sought)), -1)
    text = strict_text_argument("lastIndexOf", 1, container)
    return last_index_ignoring_case(text, strict_text_argument("lastIndexOf", 2, sought))


def _index_from_end(value: JsonValue, index: JsonValue) -> JsonValue:
    if not isinstance(value, list):
        raise wrong_argument("indexFromEnd", 1, "an array", value)
    position = int_argument("indexFromEnd", 2, index)
    if not 1 <= position <= len(value):
        raise EvaluationError(
            f"indexFromEnd() is out of bounds: expected an index from 1 to {len(value)}, got {position}"
        )
    return value[-position]


def _try_index_from_end(value: JsonValue, index: JsonValue) -> JsonValue:
    position = int_argument("tryIndexFromEnd", 2, index)
    return value[-position] if isinstance(value, list) and 1 <= position <= len(value) else None


FUNCTIONS = (
    Function("length", 1, 1, _length, "the number of characters or members; 0 for null"),
    Function("empty", 1, 1, _empty, "whether a string, array or object is empty, or null"),
    Function("first", 1, 1, _first, "the first character or member; null for an empty array"),
    Function("last", 1, 1, _last, "the last character or member; null for an empty array"),
    Function("take", 2, 2, _take, "the first characters or members"),
    Function("skip", 2, 2, _skip, "all but the first characters or members"),
    Function(
        "contains", 2, 2, _contains, "whether a string or object (ignoring case) or array contains a value"
    ),
    Function(
        "indexOf", 2, 2, _index_of, "the first index in a string (ignoring case) or array, -1 without one"
    ),
    Function(
        "lastIndexOf", 2, 2, _last_index_of, "the last index in a string (ignoring case) or array, or -1"
    ),
    Function("indexFromEnd", 2, 2, _index_from_end, "the member of an array counted from its end, from 1"),
    Function("tryIndexFromEnd", 2, 2, _try_index_from_end, "the same, null when there is none"),
)

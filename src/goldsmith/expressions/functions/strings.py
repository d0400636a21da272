"""Functions of strings."""

import re

from goldsmith.expressions.errors import EvaluationError, kind_of, wrong_argument
from goldsmith.expressions.functions.function import (
    Function,
    array_argument,
    int_argument,
    strict_text_argument,
    text_argument,
)
from goldsmith.expressions.limits import STRING_LENGTH_MAX, check_string_length
from goldsmith.expressions.text import cut, length, replace_ignoring_case
from goldsmith.expressions.values import json_text, scalar_text
from goldsmith.kernel.json import JsonValue

_PADDED_WIDTH_MAX = 16
_DELIMITERS_MAX = 128
# What Char.IsWhiteSpace says; Python's own idea also has the separators U+001C to U+001F.
_WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def _concat(*values: JsonValue) -> JsonValue:
    if all(isinstance(value, list) for value in values):
        return [member for value in values if isinstance(value, list) for member in value]
    for position, value in enumerate(values, 1):
        if not isinstance(value, str | int | None):
            raise wrong_argument("concat", position, "a string, an integer or a boolean", value)
    pieces = [scalar_text(value) for value in values if not isinstance(value, list | dict)]
    check_string_length(sum(map(len, pieces)))
    return "".join(pieces)


def _string(value: JsonValue) -> str:
    if isinstance(value, float):
        raise wrong_argument("string", 1, "a string, an integer, a boolean, an array or an object", value)
    return json_text(value) if isinstance(value, list | dict) else scalar_text(value)


def _to_lower(value: JsonValue) -> str:
    text = text_argument("toLower", 1, value)
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def _to_upper(value: JsonValue) -> str:
    text = text_argument("toUpper", 1, value)
    return text.upper() if text.isascii() else "".join(map(_upper, text))


# .NET maps one character to one character: a letter whose other case is two letters stays as it is.
def _lower(character: str) -> str:
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character


def _upper(character: str) -> str:
    raised = character.upper()
    return raised if len(raised) == 1 else character


def _trim(value: JsonValue) -> str:
    return text_argument("trim", 1, value).strip(_WHITE_SPACE)


def _pad_left(value: JsonValue, width: JsonValue, filler: JsonValue = None) -> str:
    if not isinstance(value, str | int | None) or isinstance(value, bool):
        raise wrong_argument("padLeft", 1, "a string or an integer", value)
    columns = int_argument("padLeft", 2, width)
    if not 1 <= columns <= _PADDED_WIDTH_MAX:
        raise EvaluationError(f"padLeft() expects a width from 1 to {_PADDED_WIDTH_MAX}, got {columns}")
    sign = " " if filler is None else strict_text_argument("padLeft", 3, filler)
    if length(sign) != 1:
        raise EvaluationError(f"padLeft() expects one character to pad with, got {length(sign)}")
    text = scalar_text(value)
    return sign * (columns - length(text)) + text


def _replace(value: JsonValue, old: JsonValue, new: JsonValue) -> JsonValue:
    text, sought, put = (
        text_argument("replace", position, argument) for position, argument in enumerate((value, old, new), 1)
    )
    if not sought:
        raise EvaluationError("replace() expects something to replace, got an empty string")
    if value is None:
        return None
    # The result is at most this long; only when that is too much it pays to count first.
    if len(text) + (len(text) // len(sought)) * len(put) > 4 * STRING_LENGTH_MAX:
        occurrences = text.casefold().count(sought.casefold())
        check_string_length(len(text) + occurrences * (len(put) - len(sought)))
    return replace_ignoring_case(text, sought, put)


def _split(value: JsonValue, delimiter: JsonValue) -> JsonValue:
    if value is None:
        return []
    text = strict_text_argument("split", 1, value)
    if delimiter is None or isinstance(delimiter, str):
        return list(text.split(delimiter)) if delimiter else [text]
    if not isinstance(delimiter, list):
        raise wrong_argument("split", 2, "a string or an array of strings", delimiter)
    if not delimiter:
        return list(re.split(f"[{_WHITE_SPACE}]", text))
    delimiters = [text_argument("split", 2, member) for member in delimiter]
    if len(delimiters) > _DELIMITERS_MAX:
        raise EvaluationError(f"split() takes at most {_DELIMITERS_MAX} delimiters, got {len(delimiters)}")
    pattern = "|".join(re.escape(member) for member in dict.fromkeys(delimiters) if member)
    return list(re.split(pattern, text)) if pattern else [text]


def _join(values: JsonValue, delimiter: JsonValue) -> str:
    members = array_argument("join", 1, values)
    between = text_argument("join", 2, delimiter)
    texts = []
    for index, member in enumerate(members):
        if not isinstance(member, str | None):
            raise EvaluationError(
                f"join() expects an array of strings, got {kind_of(member)} at index {index}"
            )
        texts.append(member or "")
    check_string_length(sum(map(len, texts)) + len(between) * max(0, len(texts) - 1))
    return between.join(texts)


def _substring(value: JsonValue, start: JsonValue, *count: JsonValue) -> str:
    text = text_argument("substring", 1, value)
    first, total = int_argument("substring", 2, start), length(text)
    if not 0 <= first <= total:
        raise EvaluationError(f"substring() expects a start from 0 to the length {total}, got {first}")
    if not count:
        return cut(text, first)
    size = int_argument("substring", 3, count[0])
    if not 0 <= size <= total - first:
        raise EvaluationError(f"substring() expects a length from 0 to {total - first}, got {size}")
    return cut(text, first, first + size)


def _starts_with(value: JsonValue, prefix: JsonValue) -> bool:
    text = text_argument("startsWith", 1, value).casefold()
    return text.startswith(strict_text_argument("startsWith", 2, prefix).casefold())


def _ends_with(value: JsonValue, suffix: JsonValue) -> bool:
    text = text_argument("endsWith", 1, value).casefold()
    return text.endswith(strict_text_argument("endsWith", 2, suffix).casefold())


FUNCTIONS = (
    Function(
        "concat", 1, None, _concat, "strings, integers and booleans joined, or arrays joined", builds=True
    ),
    Function("string", 1, 1, _string, "a value as text, arrays and objects as JSON", builds=True),
    Function("toLower", 1, 1, _to_lower, "a string in lower case"),
    Function("toUpper", 1, 1, _to_upper, "a string in upper case"),
    Function("trim", 1, 1, _trim, "a string without white space at its ends"),
    Function("padLeft", 2, 3, _pad_left, "a string or integer padded on the left to a width of 1 to 16"),
    Function(
        "replace", 3, 3, _replace, "a string with every occurrence replaced, ignoring case", builds=True
    ),
    Function("split", 2, 2, _split, "the parts of a string between one or several delimiters", builds=True),
    Function("join", 2, 2, _join, "the strings of an array with a delimiter between them", builds=True),
    Function("substring", 2, 3, _substring, "the part of a string from an index (from 0), of a length"),
    Function("startsWith", 2, 2, _starts_with, "whether a string starts with another, ignoring case"),
    Function("endsWith", 2, 2, _ends_with, "whether a string ends with another, ignoring case"),
)

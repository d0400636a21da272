"""JSON values as the template language treats them: equality, text, members.

The service holds values in Json.NET tokens, where an integer and a float are different types; Python's own
`==` would take `1`, `1.0` and `true` for one value.
"""

import json
from typing import TypeGuard

from goldsmith.expressions.errors import EvaluationError, kind_of
from goldsmith.expressions.limits import within_limits
from goldsmith.expressions.text import equal_ignoring_case
from goldsmith.kernel.json import JsonValue

LONG_MAX = 2**63 - 1
LONG_MIN = -(2**63)
INT_MAX = 2**31 - 1
INT_MIN = -(2**31)


def is_integer(value: JsonValue) -> TypeGuard[int]:
    return type(value) is int


def is_number(value: JsonValue) -> TypeGuard[int | float]:
    return type(value) is int or type(value) is float


def deep_equals(left: JsonValue, right: JsonValue) -> bool:
    """Equal in type and value, strings and keys by ordinal; keys in any order (JToken.DeepEquals)."""
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if one is other:
            continue
        if type(one) is not type(other):
            return False
        if isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pairs += ((member, other[key]) for key, member in one.items())
        elif one != other:
            return False
    return True


def identity_key(value: JsonValue) -> str:
    """Equal texts for values that `deep_equals`; raises EvaluationError for one beyond the limits."""
    if isinstance(value, (list, dict)):
        within_limits(value)
    return json.dumps(value, sort_keys=True)


def number_text(value: int | float) -> str:
    """As .NET writes it with the invariant culture: `42`, `0.5`, `1E+16`."""
    if isinstance(value, int):
        return str(value)
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    mantissa, _, exponent = repr(value).partition("e")
    if exponent:
        power = int(exponent)
    else:
        digits = mantissa.lstrip("-")
        # Python turns to exponents at 1e16, .NET at 1e15.
        if not digits.endswith(".0") or len(digits) < len("1000000000000000.0"):
            return mantissa.removesuffix(".0")
        power = len(digits) - len("0.0")
        sign = "-" if value < 0 else ""
        significant = digits.removesuffix(".0").rstrip("0")
        mantissa = sign + significant[0] + ("." + significant[1:] if len(significant) > 1 else "")
    return f"{mantissa.removesuffix('.0')}E{'-' if power < 0 else '+'}{abs(power):02d}"


def scalar_text(value: bool | int | float | str | None) -> str:
    """`True`, `42`, the string itself, and nothing for null, as .NET converts them to string."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "True" if value else "False"
        case _:
            return number_text(value)


def json_text(value: JsonValue) -> str:
    """Compact JSON as Json.NET writes it; raises EvaluationError for a value beyond the limits."""
    if isinstance(value, (list, dict)):
        within_limits(value)
    return _json(value)


def _json(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = json.dumps(value, ensure_ascii=False)
            return text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        case list():
            return "[" + ",".join([_json(member) for member in value]) + "]"
        case dict():
            return "{" + ",".join([f"{_json(key)}:{_json(member)}" for key, member in value.items()]) + "}"
        case float():
            text = number_text(value)
            return text if any(sign in text for sign in ".EN") else text + ".0"
        case _:
            return str(value)


def find_key(members: dict[str, JsonValue], name: str) -> str | None:
    """The key of an object that is `name`, exactly if there is one, else ignoring case."""
    if name in members:
        return name
    return next((key for key in members if equal_ignoring_case(key, name)), None)


def select(target: JsonValue, key: JsonValue) -> JsonValue:
    """`target[key]`: a member of an object (its key ignores case) or of an array (from 0).

    Raises EvaluationError when there is none, and for any other target; tryGet() is the lenient form.
    """
    if isinstance(target, dict):
        if not isinstance(key, str):
            raise EvaluationError(f"the name of a property must be a string, got {kind_of(key)}")
        found = find_key(target, key)
        if found is None:
            known = ", ".join(list(target)[:10])
            raise EvaluationError(
                f"the object has no property '{key[:80]}', it has: {known[:400]}",
                hint="use tryGet() where a property may be missing",
            )
        return target[found]
    if isinstance(target, list):
        if not is_integer(key):
            raise EvaluationError(f"the index of an array must be an integer, got {kind_of(key)}")
        if not 0 <= key < len(target):
            raise EvaluationError(
                f"the index is out of bounds: the array has {len(target)} members",
                hint="use tryGet() where a member may be missing",
            )
        return target[key]
    shown = f"'{key[:80]}'" if isinstance(key, str) else kind_of(key)
    raise EvaluationError(
        f"{shown} was looked up in {kind_of(target)}, expected an object or an array",
        hint="use tryGet() where a value may be missing",
    )

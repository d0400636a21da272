"""Logical and comparison functions.

The compiler evaluates `if`, `and`, `or` and `coalesce` lazily; the calls here are the same for known values.
"""

from goldsmith.expressions.errors import EvaluationError, kind_of
from goldsmith.expressions.functions.function import Function, boolean_argument, number_argument
from goldsmith.expressions.text import compare
from goldsmith.expressions.values import deep_equals, is_number
from goldsmith.kernel.json import JsonValue


def _if(condition: JsonValue, when_true: JsonValue, when_false: JsonValue) -> JsonValue:
    return when_true if boolean_argument("if", 1, condition) else when_false


def _and(*operands: JsonValue) -> bool:
    return all(boolean_argument("and", position, operand) for position, operand in enumerate(operands, 1))


def _or(*operands: JsonValue) -> bool:
    return any(boolean_argument("or", position, operand) for position, operand in enumerate(operands, 1))


def _not(operand: JsonValue) -> bool:
    return not boolean_argument("not", 1, operand)


def _coalesce(*values: JsonValue) -> JsonValue:
    return next((value for value in values if value is not None), None)


def _equals(left: JsonValue, right: JsonValue) -> bool:
    if is_number(left) and is_number(right):
        return left == right
    return deep_equals(left, right)


def _order(function: str, left: JsonValue, right: JsonValue) -> int:
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        if not isinstance(left, str | None) or not isinstance(right, str | None):
            raise EvaluationError(f"{function}() cannot order {kind_of(left)} and {kind_of(right)}")
        return compare(left or "", right or "")
    one, other = number_argument(function, 1, left), number_argument(function, 2, right)
    return (one > other) - (one < other)


def _less(left: JsonValue, right: JsonValue) -> bool:
    return _order("less", left, right) < 0


def _less_or_equals(left: JsonValue, right: JsonValue) -> bool:
    return _order("lessOrEquals", left, right) <= 0


def _greater(left: JsonValue, right: JsonValue) -> bool:
    return _order("greater", left, right) > 0


def _greater_or_equals(left: JsonValue, right: JsonValue) -> bool:
    return _order("greaterOrEquals", left, right) >= 0


FUNCTIONS = (
    Function("if", 3, 3, _if, "the second argument when the first is true, else the third"),
    Function("and", 2, None, _and, "whether every argument is true"),
    Function("or", 2, None, _or, "whether an argument is true"),
    Function("not", 1, 1, _not, "the opposite of a boolean"),
    Function("coalesce", 1, None, _coalesce, "the first argument that is not null"),
    Function("true", 0, 0, lambda: True, "true"),
    Function("false", 0, 0, lambda: False, "false"),
    Function("null", 0, 0, lambda: None, "null"),
    Function("equals", 2, 2, _equals, "whether two values are equal, strings with their case"),
    Function("less", 2, 2, _less, "whether the first number or string is less than the second"),
    Function("lessOrEquals", 2, 2, _less_or_equals, "whether the first is less than or equal to the second"),
    Function("greater", 2, 2, _greater, "whether the first number or string is greater than the second"),
    Function("greaterOrEquals", 2, 2, _greater_or_equals, "whether the first is greater or equal"),
)

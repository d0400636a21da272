"""Functions of numbers: 64-bit integers, an overflow is an error."""

from collections.abc import Callable

from goldsmith.expressions.errors import EvaluationError, wrong_argument
from goldsmith.expressions.functions.function import (
    Function,
    int_argument,
    long_argument,
    number_argument,
)
from goldsmith.expressions.values import INT_MAX, LONG_MAX, LONG_MIN
from goldsmith.kernel.json import JsonValue

_RANGE_COUNT_MAX = 10_000


def _arithmetic(name: str, calculate: Callable[[int, int], int]) -> Callable[[JsonValue, JsonValue], int]:
    def call(left: JsonValue, right: JsonValue) -> int:
        result = calculate(long_argument(name, 1, left), long_argument(name, 2, right))
        if not LONG_MIN <= result <= LONG_MAX:
            raise EvaluationError(f"the result of {name}() does not fit into 64 bits")
        return result

    return call


def _quotient(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise EvaluationError("div() cannot divide by zero")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _remainder(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise EvaluationError("mod() cannot divide by zero")
    if dividend == LONG_MIN and divisor == -1:
        # The processor's division overflows here, and .NET lets it.
        raise EvaluationError("the result of mod() does not fit into 64 bits")
    remainder = abs(dividend) % abs(divisor)
    return -remainder if dividend < 0 else remainder


def _extreme(name: str, choose: Callable[[list[int | float]], int | float]) -> Callable[..., JsonValue]:
    def call(*values: JsonValue) -> JsonValue:
        members = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        numbers = [number_argument(name, position, member) for position, member in enumerate(members, 1)]
        if not numbers:
            raise EvaluationError(f"{name}() expects at least one number, got an empty array")
        chosen = choose(numbers)
        return float(chosen) if any(isinstance(number, float) for number in numbers) else chosen

    return call


def _range(start: JsonValue, count: JsonValue) -> JsonValue:
    first, number = int_argument("range", 1, start), int_argument("range", 2, count)
    if not 0 <= number <= _RANGE_COUNT_MAX:
        raise EvaluationError(f"range() expects a count from 0 to {_RANGE_COUNT_MAX}, got {number}")
    if first + number - 1 > INT_MAX:
        raise EvaluationError(f"range() goes beyond {INT_MAX}")
    return list(range(first, first + number))


def _int(value: JsonValue) -> int:
    if isinstance(value, str):
        digits = value.strip("\t\n\x0b\x0c\r ")
        unsigned = digits[1:] if digits[:1] in ("+", "-") else digits
        if not (unsigned.isascii() and unsigned.isdecimal()) or len(unsigned.lstrip("0")) > 19:
            raise EvaluationError(f"int() cannot convert '{value[:40]}' to an integer")
        number = int(unsigned.lstrip("0") or "0")
        return long_argument("int", 1, -number if digits[0] == "-" else number)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_argument("int", 1, "a string or an integer", value)
    return long_argument("int", 1, value)


def _float(value: JsonValue) -> float:
    if isinstance(value, str):
        return _float_of_text(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            raise EvaluationError("float() got an integer that is too large") from None
    raise wrong_argument("float", 1, "a string or a number", value)


def _float_of_text(text: str) -> float:
    digits = text.strip("\t\n\x0b\x0c\r ").replace(",", "")
    # Python's float() also takes underscores and digits of other scripts.
    if not set(digits) - set("+-.0123456789eE"):
        try:
            value = float(digits)
        except ValueError:
            value = float("inf")
        if abs(value) != float("inf"):
            return value
    raise EvaluationError(f"float() cannot convert '{text[:40]}' to a number")


def _bool(value: JsonValue) -> bool:
    if isinstance(value, int | float):
        return value != 0
    if isinstance(value, str):
        match value.strip("\t\n\x0b\x0c\r \0").lower():
            case "true":
                return True
            case "false":
                return False
        raise EvaluationError(f"bool() cannot convert '{value[:40]}' to a boolean")
    raise wrong_argument("bool", 1, "a string or a number", value)


FUNCTIONS = (
    Function("add", 2, 2, _arithmetic("add", lambda a, b: a + b), "the sum of two integers"),
    Function("sub", 2, 2, _arithmetic("sub", lambda a, b: a - b), "the difference of two integers"),
    Function("mul", 2, 2, _arithmetic("mul", lambda a, b: a * b), "the product of two integers"),
    Function("div", 2, 2, _arithmetic("div", _quotient), "the quotient of two integers, cut towards zero"),
    Function(
        "mod", 2, 2, _arithmetic("mod", _remainder), "the remainder of div, with the sign of the dividend"
    ),
    Function("min", 1, None, _extreme("min", min), "the least of the numbers, or of an array's"),
    Function("max", 1, None, _extreme("max", max), "the greatest of the numbers, or of an array's"),
    Function("range", 2, 2, _range, "consecutive integers: where they start and how many"),
    Function("int", 1, 1, _int, "a string or integer as an integer"),
    Function("float", 1, 1, _float, "a string or number as a floating-point number"),
    Function("bool", 1, 1, _bool, "a string or number as a boolean"),
)

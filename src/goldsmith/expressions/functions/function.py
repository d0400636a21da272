"""What is known of a function, and the checks of arguments that functions share."""

from collections.abc import Callable
from dataclasses import dataclass

from goldsmith.expressions.errors import EvaluationError, wrong_argument
from goldsmith.expressions.model import Context
from goldsmith.expressions.values import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, is_integer, is_number
from goldsmith.kernel.json import JsonValue

BOTH = frozenset({Context.POLICY, Context.TEMPLATE})
TEMPLATE_ONLY = frozenset({Context.TEMPLATE})
POLICY_ONLY = frozenset({Context.POLICY})


@dataclass(frozen=True, slots=True)
class Function:
    """`name` is spelt as documented; `arguments_max` None means any number.

    `call` takes the arguments and raises EvaluationError only; None stands for a function whose value depends
    on where it is called (`parameters`, `field`, ...), which the caller of the compiler binds.
    `pure` functions give equal values for equal arguments. `builds` says that a result may be larger than
    the arguments, so that its size is checked.
    """

    name: str
    arguments_min: int
    arguments_max: int | None
    call: Callable[..., JsonValue] | None
    doc: str
    contexts: frozenset[Context] = BOTH
    pure: bool = True
    builds: bool = False


def text_argument(function: str, position: int, value: JsonValue) -> str:
    """A string; null counts as the empty one, as it does for nearly every function of the service."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong_argument(function, position, "a string", value)
    return value


def strict_text_argument(function: str, position: int, value: JsonValue) -> str:
    if not isinstance(value, str):
        raise wrong_argument(function, position, "a string", value)
    return value


def long_argument(function: str, position: int, value: JsonValue) -> int:
    if not is_integer(value):
        raise wrong_argument(function, position, "an integer", value)
    if not LONG_MIN <= value <= LONG_MAX:
        raise EvaluationError(f"argument {position} of {function}() does not fit into 64 bits")
    return value


def int_argument(function: str, position: int, value: JsonValue) -> int:
    if not is_integer(value):
        raise wrong_argument(function, position, "an integer", value)
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError(f"argument {position} of {function}() does not fit into 32 bits")
    return value


def number_argument(function: str, position: int, value: JsonValue) -> int | float:
    if not is_number(value):
        raise wrong_argument(function, position, "a number", value)
    if isinstance(value, int):
        return long_argument(function, position, value)
    return value


def boolean_argument(function: str, position: int, value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise wrong_argument(function, position, "a boolean", value)
    return value


def array_argument(function: str, position: int, value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise wrong_argument(function, position, "an array", value)
    return value

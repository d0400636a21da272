"""The one way in which evaluating an expression fails."""

from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonValue


class EvaluationError(Error):
    """A template expression has no value: which function it was, what it got and what it expects.

    At the door this is an implicit deny, in a fleet scan the state Error, in a deployment a failed one.
    """

    code = "InvalidTemplateExpression"


def kind_of(value: JsonValue) -> str:
    """The JSON type in words: `null`, `boolean`, `integer`, `float`, `string`, `array` or `object`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "float"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def wrong_argument(function: str, position: int, expected: str, got: JsonValue) -> EvaluationError:
    """`position` counts from 1."""
    return EvaluationError(f"{function}() expects {expected} as argument {position}, got {kind_of(got)}")

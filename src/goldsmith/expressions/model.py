"""What an expression is once it is parsed: values, calls and member look-ups; and where it may stand."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from goldsmith.kernel.json import JsonValue

Expression: TypeAlias = "Literal | Call | Index"


class Context(StrEnum):
    """Where an expression stands; it decides which functions may be called."""

    POLICY = "policy rule"
    TEMPLATE = "deployment template"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is known: written in the expression (a string, number, boolean or null) or folded.

    Lists and objects come from folding only. Python's `True == 1 == 1.0` makes literals equal that are not:
    compare `render(expression)` where the difference matters.
    """

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Call:
    """A function applied to arguments; `name` is in lower case, function names ignore case."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`target[key]`; `target.name` is the same with a string literal as key."""

    target: Expression
    key: Expression

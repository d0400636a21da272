"""What an expression is once it is parsed: literals, calls and member look-ups."""

from dataclasses import dataclass
from typing import TypeAlias

Expression: TypeAlias = "Literal | Call | Index"


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, integer, float, boolean or null written in the expression itself."""

    value: bool | int | float | str | None


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

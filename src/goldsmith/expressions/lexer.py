"""Cuts the text of an expression into tokens."""

import re
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.kernel.errors import InvalidInputError


class TokenKind(StrEnum):
    NAME = "a name"
    STRING = "a string"
    NUMBER = "a number"
    SIGN = "a sign"
    END = "the end of the expression"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is how it is written; `column` counts from 1 in the text with its brackets."""

    kind: TokenKind
    text: str
    column: int

    def __str__(self) -> str:
        if self.kind is TokenKind.END:
            return self.kind.value
        return f"'{self.text}'" if len(self.text) <= 40 else f"'{self.text[:40]}...'"


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<string>'[^']*+(?:''[^']*+)*+')
      | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<sign>[()\[\].,-])""",
    re.VERBOSE,
)
_KINDS = {
    "name": TokenKind.NAME,
    "string": TokenKind.STRING,
    "number": TokenKind.NUMBER,
    "sign": TokenKind.SIGN,
}


def tokens(text: str, *, at: str) -> list[Token]:
    """The tokens between the brackets of `text`, closed by one of kind END.

    Raises InvalidInputError, naming `at` and the column, where no token can begin.
    """
    found = []
    position, end = 1, len(text) - 1
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            raise _no_token(text, position, at)
        group = match.lastgroup or ""
        if group != "space":
            found.append(Token(_KINDS[group], match.group(), position + 1))
        position = match.end()
    found.append(Token(TokenKind.END, "", end + 1))
    return found


def _no_token(text: str, position: int, at: str) -> InvalidInputError:
    if text[position] == "'":
        return InvalidInputError(
            f"{at}: column {position + 1}: the string that begins here has no closing quote",
            hint="close it with ', and write a quote inside a string twice: 'it''s'",
        )
    return InvalidInputError(
        f"{at}: column {position + 1}: expected a function, a string or a number, got '{text[position]}'",
        hint="strings are in single quotes, and calculations are functions such as add(1, 2)",
    )

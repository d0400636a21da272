"""Parses the text of a template expression `[...]`."""

from dataclasses import dataclass

from goldsmith.expressions.lexer import Token, TokenKind, tokens
from goldsmith.expressions.limits import ARGUMENTS_MAX, EXPRESSION_LENGTH_MAX, NESTING_MAX
from goldsmith.expressions.model import Call, Expression, Index, Literal
from goldsmith.kernel.errors import InvalidInputError

_INTEGER_MAX = 2**63 - 1
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def is_expression(text: str) -> bool:
    """Whether a JSON string is an expression: it stands in brackets, and the opening one is not doubled."""
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[") and len(text) > 1


def unescape(text: str) -> str:
    """`[[text]` is the literal `[text]`; any other text is itself."""
    return text[1:] if text.startswith("[[") and text.endswith("]") else text


def parse_expression(text: str, *, at: str) -> Expression:
    """Parses `text`, which has its brackets; `at` is the JSON path that errors name.

    Raises InvalidInputError with the column (from 1) and what was expected there.
    """
    if not is_expression(text):
        raise InvalidInputError(f"{at}: expected an expression in brackets, got '{text[:40]}'")
    if len(text) > EXPRESSION_LENGTH_MAX:
        raise InvalidInputError(
            f"{at}: the expression has {len(text)} characters, at most {EXPRESSION_LENGTH_MAX} are allowed",
            hint="move parts of it into parameters or variables",
        )
    parser = _Parser(tokens(text, at=at), at)
    expression = parser.expression(0).expression
    parser.expect_end()
    return expression


@dataclass(frozen=True, slots=True)
class _Sized:
    """An expression and the height of its tree, which bounds every later recursion over it."""

    expression: Expression
    height: int


class _Parser:
    """Recursive descent with one token of look-ahead; `depth` bounds the recursion."""

    def __init__(self, found: list[Token], at: str) -> None:
        self._tokens = found
        self._next = 0
        self._at = at

    def expression(self, depth: int) -> _Sized:
        if depth > NESTING_MAX:
            raise self._too_deep()
        if self._take("-"):
            return self._negative(depth)
        result = self._primary(depth)
        while True:
            if self._take("."):
                name = self._name("the name of a property")
                result = self._node(Index(result.expression, Literal(name)), result.height)
            elif self._take("["):
                key = self.expression(depth + 1)
                self._expect("]")
                height = max(result.height, key.height)
                result = self._node(Index(result.expression, key.expression), height)
            else:
                return result

    def expect_end(self) -> None:
        if self._peek().kind is not TokenKind.END:
            raise self._unexpected("the end of the expression")

    def _negative(self, depth: int) -> _Sized:
        if self._peek().kind is TokenKind.NUMBER:
            return _Sized(Literal(self._number(negative=True)), 1)
        # The grammar allows a minus before any expression; it means what sub(0, ...) does.
        operand = self.expression(depth + 1)
        return self._node(Call("sub", (Literal(0), operand.expression)), operand.height)

    def _primary(self, depth: int) -> _Sized:
        token = self._peek()
        match token.kind:
            case TokenKind.STRING:
                self._next += 1
                return _Sized(Literal(token.text[1:-1].replace("''", "'")), 1)
            case TokenKind.NUMBER:
                return _Sized(Literal(self._number(negative=False)), 1)
            case TokenKind.NAME:
                return self._call(depth)
            case _:
                raise self._unexpected("a function, a string or a number")

    def _call(self, depth: int) -> _Sized:
        name = self._name("a function")
        namespace = ""
        # User-defined functions of a template are called with their namespace: contoso.uniqueName('x').
        if self._peek().text == "." and self._tokens[min(self._next + 2, len(self._tokens) - 1)].text == "(":
            self._next += 1
            namespace, name = name + ".", self._name("a function")
        if not self._take("("):
            if name.lower() in _CONSTANTS:
                return _Sized(Literal(_CONSTANTS[name.lower()]), 1)
            raise self._unexpected(f"'(' after the function '{name}'")
        arguments: list[Expression] = []
        height = 0
        if not self._take(")"):
            while True:
                if len(arguments) == ARGUMENTS_MAX:
                    raise self._invalid(f"'{name}' has more than {ARGUMENTS_MAX} arguments")
                argument = self.expression(depth + 1)
                arguments.append(argument.expression)
                height = max(height, argument.height)
                if self._take(")"):
                    break
                if not self._take(","):
                    raise self._unexpected(f"',' or ')' in the arguments of '{name}'")
        return self._node(Call((namespace + name).lower(), tuple(arguments)), height)

    def _number(self, *, negative: bool) -> int | float:
        token = self._peek()
        self._next += 1
        if not token.text.isdecimal():
            value = float(token.text)
            if value == float("inf"):
                raise self._invalid(f"the number {token} is too large", token)
            return -value if negative else value
        if len(token.text) > 30 or int(token.text) > _INTEGER_MAX + negative:
            raise self._invalid(f"the number {token} does not fit into 64 bits", token)
        return -int(token.text) if negative else int(token.text)

    def _name(self, what: str) -> str:
        token = self._peek()
        if token.kind is not TokenKind.NAME:
            raise self._unexpected(what)
        self._next += 1
        return token.text

    def _node(self, expression: Expression, height_below: int) -> _Sized:
        if height_below >= NESTING_MAX:
            raise self._too_deep()
        return _Sized(expression, height_below + 1)

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self, sign: str) -> bool:
        token = self._peek()
        if token.kind is not TokenKind.SIGN or token.text != sign:
            return False
        self._next += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected(f"'{sign}'")

    def _unexpected(self, expected: str) -> InvalidInputError:
        return self._invalid(f"expected {expected}, got {self._peek()}")

    def _too_deep(self) -> InvalidInputError:
        return self._invalid(f"the expression nests deeper than {NESTING_MAX} levels")

    def _invalid(self, message: str, token: Token | None = None) -> InvalidInputError:
        return InvalidInputError(
            f"{self._at}: column {(token or self._peek()).column}: {message}",
            hint="an expression is a function call such as [concat('a', parameters('b'))]",
        )

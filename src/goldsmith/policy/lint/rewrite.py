"""Expressions back to text, for fixes that change one part of one."""

import re

from goldsmith.expressions.model import Call, Expression, Index, Literal

_NAME = re.compile(r"[A-Za-z_]\w*")
_SPELLING = {"tryget": "tryGet", "coalesce": "coalesce"}


def rewritten(text: str, tree: Expression, part: Expression, new: Expression) -> str:
    """`text`, whose expression is `tree`, with `new` where `part` stands in it, in brackets.

    Functions keep the spelling they have in `text`; `part` is found by identity.
    """
    spelling = _SPELLING | {name.lower(): name for name in _NAME.findall(text)}
    return f"[{_text(_replaced(tree, part, new), spelling)}]"


def _replaced(tree: Expression, part: Expression, new: Expression) -> Expression:
    if tree is part:
        return new
    match tree:
        case Call(name, arguments):
            return Call(name, tuple(_replaced(argument, part, new) for argument in arguments))
        case Index(target, key):
            return Index(_replaced(target, part, new), _replaced(key, part, new))
        case Literal():
            return tree


def _text(tree: Expression, spelling: dict[str, str]) -> str:
    match tree:
        case Literal(str() as value):
            return "'" + value.replace("'", "''") + "'"
        case Literal(bool() | None as value):
            return {True: "true()", False: "false()", None: "null()"}[value]
        case Literal(value):
            return str(value)
        case Index(target, Literal(str() as key)) if _NAME.fullmatch(key):
            return f"{_text(target, spelling)}.{key}"
        case Index(target, key):
            return f"{_text(target, spelling)}[{_text(key, spelling)}]"
        case Call(name, arguments):
            inner = ", ".join(_text(argument, spelling) for argument in arguments)
            return f"{spelling.get(name, name)}({inner})"

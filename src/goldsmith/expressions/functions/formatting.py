"""format(): .NET's composite format strings `{0,-8:N2}`."""

import re

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.functions.function import Function, long_argument, strict_text_argument
from goldsmith.expressions.limits import check_string_length
from goldsmith.expressions.numerals import format_number
from goldsmith.expressions.text import length
from goldsmith.expressions.values import json_text, scalar_text
from goldsmith.kernel.json import JsonValue

_PLACE = re.compile(
    r"\{ (?P<index>[0-9]{1,7}) [ ]* (,[ ]*(?P<width>-?[0-9]{1,7})[ ]*)? (:(?P<format>[^{}]*))? \}", re.X
)
_PIECE = re.compile(r"[^{}]+|\{\{|\}\}|[{}]")


def _format(pattern: JsonValue, *values: JsonValue) -> str:
    text = strict_text_argument("format", 1, pattern)
    pieces: list[str] = []
    total = position = 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None or piece.group() in "{}":
            place = _PLACE.match(text, position)
            if place is None:
                raise _malformed(text, position)
            written, position = _written(place, values), place.end()
        else:
            written, position = piece.group(), piece.end()
            written = written[0] if written in ("{{", "}}") else written
        pieces.append(written)
        total += len(written)
        check_string_length(total)
    return "".join(pieces)


def _written(place: re.Match[str], values: tuple[JsonValue, ...]) -> str:
    index = int(place["index"])
    if index >= len(values):
        raise EvaluationError(f"format() has {{{index}}} but only {len(values)} arguments to put in")
    value = values[index]
    if isinstance(value, list | dict):
        text = json_text(value).replace('"', "'")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = long_argument("format", index + 2, value) if isinstance(value, int) else value
        text = format_number(number, place["format"] or "")
    else:
        text = scalar_text(value)
    width = int(place["width"] or 0)
    check_string_length(abs(width))
    blanks = " " * (abs(width) - length(text))
    return blanks + text if width > 0 else text + blanks


def _malformed(text: str, position: int) -> EvaluationError:
    if text[position] == "}":
        problem = "an unmatched closing brace"
    elif "}" not in text[position:]:
        problem = "an unmatched opening brace"
    else:
        problem = (
            f"'{text[position : text.index('}', position) + 1][:40]}', expected {{index,alignment:format}}"
        )
    return EvaluationError(
        f"format() found {problem} at character {position + 1}", hint="write a literal brace twice: {{ or }}"
    )


FUNCTIONS = (Function("format", 1, None, _format, "a .NET composite format string filled in", builds=True),)

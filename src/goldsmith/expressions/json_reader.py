"""Reads JSON as leniently as the service does.

That is with single quotes, names without quotes, comments and trailing commas; the documentation itself uses
`{'one': 'a'}` as input of base64ToJson().
"""

import json
import re
from math import isinf
from typing import NoReturn

from goldsmith.expressions.limits import DEPTH_MAX
from goldsmith.kernel.json import JsonValue

_BLANK = re.compile(r"(?:\s+|/\*.*?\*/|//[^\r\n]*)*+", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PLAIN = {quote: re.compile(rf"[^{quote}\\]*") for quote in "'\""}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "/": "/", "'": "'", '"': '"'}
_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}


def read_json(text: str) -> JsonValue:
    """Raises ValueError, saying what is wrong at which character, when `text` is no JSON."""
    try:
        value: JsonValue = json.loads(text, parse_constant=_no_constant, parse_float=_float, strict=False)
    except (ValueError, RecursionError):
        return _LenientReader(text).document()
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _float(digits: str) -> float:
    value = float(digits)
    if isinf(value):
        raise ValueError("a number is too large")
    return value


class _LenientReader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def document(self) -> JsonValue:
        value = self._value(0)
        if self._peek():
            raise self._wrong("the end")
        return value

    def _value(self, depth: int) -> JsonValue:
        if depth > DEPTH_MAX:
            raise ValueError(f"it is nested deeper than {DEPTH_MAX} levels")
        match self._peek():
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case "'" | '"':
                return self._string()
        return self._scalar()

    def _object(self, depth: int) -> JsonValue:
        members: dict[str, JsonValue] = {}
        self._position += 1
        while not self._take("}"):
            name = self._string() if self._peek() in ("'", '"') else self._bare_name()
            if not self._take(":"):
                raise self._wrong("':'")
            members[name] = self._value(depth + 1)
            if not self._take(",") and self._peek() != "}":
                raise self._wrong("',' or '}'")
        return members

    def _array(self, depth: int) -> JsonValue:
        members: list[JsonValue] = []
        self._position += 1
        while not self._take("]"):
            members.append(self._value(depth + 1))
            if not self._take(",") and self._peek() != "]":
                raise self._wrong("',' or ']'")
        return members

    def _bare_name(self) -> str:
        match = _NAME.match(self._text, self._position)
        if match is None:
            raise self._wrong("the name of a property")
        self._position = match.end()
        return match.group()

    def _scalar(self) -> JsonValue:
        if match := _NUMBER.match(self._text, self._position):
            self._position = match.end()
            digits = match.group()
            return int(digits) if digits.lstrip("-").isdecimal() else _float(digits)
        match = _NAME.match(self._text, self._position)
        if match is None or match.group() not in _WORDS:
            raise self._wrong("a value")
        self._position = match.end()
        return _WORDS[match.group()]

    def _string(self) -> str:
        quote = self._text[self._position]
        pieces: list[str] = []
        self._position += 1
        while True:
            plain = _PLAIN[quote].match(self._text, self._position)
            if plain is not None:
                pieces.append(plain.group())
                self._position = plain.end()
            following = self._text[self._position : self._position + 1]
            self._position += 1
            if following == quote:
                return "".join(pieces)
            pieces.append(self._escaped())

    def _escaped(self) -> str:
        letter = self._text[self._position : self._position + 1]
        self._position += 1
        if letter == "u":
            digits = self._text[self._position : self._position + 4]
            self._position += 4
            if re.fullmatch("[0-9a-fA-F]{4}", digits):
                return chr(int(digits, 16))
        if letter not in _ESCAPES:
            raise self._wrong("the closing quote of a string, or a known escape")
        return _ESCAPES[letter]

    def _peek(self) -> str:
        blank = _BLANK.match(self._text, self._position)
        self._position = blank.end() if blank else self._position
        return self._text[self._position : self._position + 1]

    def _take(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._position += 1
        return True

    def _wrong(self, expected: str) -> ValueError:
        got = self._text[self._position : self._position + 20] or "the end"
        return ValueError(f"character {self._position + 1}: expected {expected}, got {got!r}")

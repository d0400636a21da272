"""JSON as people write it: byte order marks, comments, commas after the last member."""

import json
import re
from typing import Any, NoReturn

from goldsmith.kernel.errors import InvalidInputError

# What is not closed reaches to the end, so that every character is looked at once.
_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*+(?:"|\\?\Z))|(?P<comment>//[^\n]*|/\*(?:.*?\*/|.*))|(?P<comma>,)|(?P<other>[^\s,"/]+|/)',
    re.DOTALL,
)
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]')
_NESTED_MOST = 400
_SHOWN_SEGMENTS = 6
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def read_json(data: bytes | str) -> tuple[str, Any]:
    """The text and the value in it. Raises InvalidInputError with line and column of what is no JSON.

    Plain JSON is tried first; only a text that fails is read again without comments and trailing commas, so
    that positions stay those of the text. NaN and Infinity, which JSON does not have, are refused.
    """
    text = data if isinstance(data, str) else decode(data)
    try:
        return text, _loads(text)
    except json.JSONDecodeError as first:
        plain = _without_comments(text)
        if plain == text:
            raise _refused(first) from first
        try:
            return text, _loads(plain)
        except json.JSONDecodeError as second:
            raise _refused(second) from second


def decode(data: bytes) -> str:
    """Text by its byte order mark, else UTF-8. Raises InvalidInputError for bytes that are neither."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"byte {error.start} is not {encoding}: {error.reason}", hint="save the file as UTF-8"
        ) from error


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise InvalidInputError(
            f"lists and objects nest too deep to be read, at {deep_place(text)}",
            hint="no definition needs more than a few dozen levels",
        ) from error


def deep_place(text: str) -> str:
    """The JSON path, as far as a person wants to read it, to where the text first nests too deep."""
    stack: list[str] = []
    key = ""
    for found in _BRACKET.finditer(text):
        token = found.group()
        match token[0]:
            case '"':
                key = token[1:-1]
            case "{" | "[":
                # What a list holds is named by its bracket: counting members is not worth it here.
                stack.append(key if token == "{" else f"{key}[]")
                key = ""
                if len(stack) > _NESTED_MOST:
                    break
            case "}" | "]":
                if stack:
                    stack.pop()
    shown = [each for each in stack[1:] if each][:_SHOWN_SEGMENTS]
    return ".".join(shown) + "…" if shown else "its top"


def _no_constant(name: str) -> NoReturn:
    raise InvalidInputError(f"{name} is no JSON number", hint="write a number or null")


def _refused(error: json.JSONDecodeError) -> InvalidInputError:
    return InvalidInputError(
        f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}",
        hint="the file is neither JSON nor JSON with comments",
    )


def _without_comments(text: str) -> str:
    """The text with comments and trailing commas made blank; every other character keeps its place."""
    pieces: list[str] = []
    end = 0
    comma: int | None = None
    after_value = False
    for match in _TOKEN.finditer(text):
        pieces.append(text[end : match.start()])
        token, end = match.group(), match.end()
        if match.lastgroup == "comment":
            # One that is not closed stays, and is an error.
            closed = token.startswith("//") or (token.endswith("*/") and len(token) >= 4)
            token = re.sub(r"[^\n]", " ", token) if closed else token
        elif match.lastgroup == "comma":
            comma, after_value = len(pieces) if after_value else None, False
        else:
            if comma is not None and token[0] in "}]":
                pieces[comma] = " "
            comma, after_value = None, token[-1] not in "[{:"
        pieces.append(token)
    return "".join((*pieces, text[end:]))

"""Resources from exports, one after the other: lists, pages, JSON lines; plain or gzipped, of any length.

Known are what `az resource list`, `az vm list` and `az graph query` print, the pages of the REST API, and
JSON lines. Only the piece of text around the resource that is being read is held.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject

RESOURCE_CHARACTERS_MAX = 64 << 20
_PIECE_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BLANK = " \t\r\n"
# The members of a page that hold its resources, and those that an envelope may have beside them.
_PAGES = ("value", "data", "resources", "items")
# Where decoding stops this near to the end of what is there, more may make it whole.
_NEAR_END = 16


class ResourceFile:
    """The resources of one file; `fraction` says how much of it has been read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 1
        self._raw: BinaryIO | None = None

    @property
    def fraction(self) -> float:
        return min(1.0, self._raw.tell() / self._size) if self._raw is not None else 0.0

    def __iter__(self) -> Iterator[JsonObject]:
        """Raises NotFoundError, and InvalidInputError with the line for what is no JSON or no resource."""
        try:
            with self.path.open("rb") as raw:
                self._raw, self._size = raw, max(1, self.path.stat().st_size)
                packed = raw.read(2) == _GZIP
                raw.seek(0)
                with gzip.GzipFile(fileobj=raw) if packed else raw as data:
                    yield from _Reading(data, str(self.path)).resources()
                self._raw = None
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {self.path}", hint="check the path") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidInputError(f"{self.path} is no whole gzip file: {error}") from error
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be read: {error.strerror or error}") from error


def read_resources(paths: Sequence[Path]) -> Iterator[JsonObject]:
    """The resources of all files in their order."""
    for path in paths:
        yield from ResourceFile(path)


class _Reading:
    def __init__(self, data: Any, name: str) -> None:
        self._data = data
        self._name = name
        self._decoder: codecs.IncrementalDecoder | None = None
        self._json = json.JSONDecoder(parse_constant=self._no_constant)
        self._text = ""
        self._at = 0
        # Where the text at hand begins.
        self._line = 1
        self._column = 0
        self._ended = False

    def resources(self) -> Iterator[JsonObject]:
        """What stands at the top: resources, lists and pages, one or several."""
        found = False
        while self._next():
            found = True
            if self._text[self._at] == "[":
                yield from self._list()
            elif self._text[self._at] == "{":
                yield from self._object()
            else:
                self._wrong("expected a list or an object")
        if not found:
            raise InvalidInputError(
                f"{self._name} is empty", hint="expected what 'az resource list' or 'az graph query' prints"
            )

    def _list(self) -> Iterator[JsonObject]:
        self._at += 1
        while (sign := self._sign()) != "]":
            if sign == ",":
                self._at += 1
                continue
            value = self._value()
            if not isinstance(value, dict):
                self._wrong("expected each member of the list to be a resource, an object")
            yield value
        self._at += 1

    def _object(self) -> Iterator[JsonObject]:
        whole = self._try_value()
        if whole is not None:
            page = _page_of(whole)
            if page is None:
                yield whole
            elif all(isinstance(one, dict) for one in page):
                yield from page
            else:
                self._wrong("expected each member of the list to be a resource, an object")
            return
        yield from self._long_object()

    def _long_object(self) -> Iterator[JsonObject]:
        """An object that is longer than a piece of text: a page, its resources given out as they come."""
        members: JsonObject = {}
        was_page = False
        self._at += 1
        while (sign := self._sign()) != "}":
            if sign == ",":
                self._at += 1
                continue
            key = self._value()
            if not isinstance(key, str) or self._sign() != ":":
                self._wrong("expected a member: text in quotes, a colon, a value")
            self._at += 1
            if key.lower() in _PAGES and self._sign() == "[" and "id" not in members:
                was_page = True
                yield from self._list()
            else:
                members[key] = self._value()
        self._at += 1
        if not was_page:
            yield members

    def _sign(self) -> str:
        """The next character that is no blank; raises when there is none."""
        if not self._next():
            self._wrong("the file ends before the value does")
        return self._text[self._at]

    def _next(self) -> bool:
        """Skip blanks, and the commas between values; whether anything is left."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return True
            if self._ended:
                return False
            self._read()

    def _value(self) -> Any:
        self._next()
        wanted = _PIECE_BYTES
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._incomplete(error):
                    self._refuse(error)
                if len(self._text) - self._at > RESOURCE_CHARACTERS_MAX:
                    self._wrong(f"expected no value of more than {RESOURCE_CHARACTERS_MAX >> 20} MiB")
                self._read(wanted)
                wanted *= 2
                continue
            except RecursionError:
                self._wrong("the value nests too deep to be read")
            if end >= len(self._text) and not self._ended:
                # A number may go on in what has not been read.
                self._read(wanted)
                continue
            self._at = end
            return value

    def _try_value(self) -> JsonObject | None:
        """The object that begins here when it ends in the text at hand, or in one more piece."""
        for _ in range(2):
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._incomplete(error):
                    self._refuse(error)
                if len(self._text) - self._at >= _PIECE_BYTES:
                    return None
                self._read()
            except RecursionError:
                self._wrong("the value nests too deep to be read")
            else:
                self._at = end
                assert isinstance(value, dict)
                return value
        return None

    def _incomplete(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END

    def _read(self, count: int = _PIECE_BYTES) -> None:
        """One more piece of text; what lies before the place of reading is let go."""
        newline = self._text.rfind("\n", 0, self._at)
        self._line += self._text.count("\n", 0, self._at)
        self._column = self._column + self._at if newline < 0 else self._at - newline - 1
        data = self._data.read(count)
        self._ended = not data
        if self._decoder is None:
            name = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
            self._decoder = codecs.getincrementaldecoder(name)()
        try:
            more = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"{self._name} is not UTF-8 text: {error.reason} after line {self._line}",
                hint="save the file as UTF-8",
            ) from error
        self._text = self._text[self._at :] + more
        self._at = 0

    def _refuse(self, error: json.JSONDecodeError) -> NoReturn:
        line = self._line + error.lineno - 1
        column = error.colno + (self._column if error.lineno == 1 else 0)
        raise InvalidInputError(
            f"{self._name} is not JSON: {error.msg} at line {line}, column {column}",
            hint="expected what 'az resource list', 'az graph query' or the REST API gives, or JSON lines",
        ) from error

    def _wrong(self, problem: str) -> NoReturn:
        line = self._line + self._text.count("\n", 0, self._at)
        raise InvalidInputError(
            f"{self._name}, line {line}: {problem}",
            hint="expected what 'az resource list', 'az graph query' or the REST API gives, or JSON lines",
        )

    def _no_constant(self, name: str) -> NoReturn:
        self._wrong(f"{name} is no JSON number")


def _page_of(value: JsonObject) -> list[Any] | None:
    """The list that a page wraps; None for a resource."""
    if "id" in value or "properties" in value:
        return None
    return next((value[key] for key in value if key.lower() in _PAGES and isinstance(value[key], list)), None)

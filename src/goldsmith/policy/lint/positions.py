"""Where the members of a JSON text stand: the line and column of a path, found in one pass over the text.

The text may have comments and trailing commas. Only the members of containers on a wanted path are kept,
so a big text costs its reading and little memory; nesting is kept on a list, not on the stack.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from goldsmith.policy.lint.model import Path, Region

# What is not closed reaches to the end, so that every character is looked at once.
_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*+(?:"|\\?\Z))|(?P<mark>[{}\[\],:])|(?P<comment>//[^\n]*|/\*(?:.*?\*/|.*))'
    r'|(?P<word>[^\s{}\[\],:"/]+)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets into the text: `start` is that of the key for an object's member, else that of the value."""

    start: int
    value_start: int
    end: int

    @property
    def has_key(self) -> bool:
        return self.start != self.value_start


@dataclass(slots=True)
class _Open:
    """A container whose end has not come yet; `children` is None when nobody wants to know them."""

    is_object: bool
    path: Path
    start: int
    value_start: int
    wanted: bool
    children: list[Span] = field(default_factory=list)
    key: str | None = None
    key_start: int = -1
    index: int = 0


class Positions:
    """The spans of wanted paths and of the siblings of everything on them."""

    def __init__(self, text: str, paths: Iterable[Path]) -> None:
        """`paths` that the text does not have are left out; never raises, also on text that is not JSON."""
        self._text = text
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        wanted = {path[:length] for path in paths for length in range(len(path) + 1)}
        self._spans: dict[Path, Span] = dict(_spans(text, wanted))

    def span(self, path: Path) -> Span | None:
        return self._spans.get(path)

    def members(self, path: Path) -> list[Span]:
        """Spans of the members of the list at `path`, in order; empty when its members are not known."""
        found: list[Span] = []
        while span := self._spans.get((*path, len(found))):
            found.append(span)
        return found

    def neighbours(self, path: Path) -> tuple[Span | None, Span | None]:
        """The members just before and after the one at `path`."""
        own = self._spans[path]
        siblings = sorted(
            (
                span
                for other, span in self._spans.items()
                if len(other) == len(path) and other[:-1] == path[:-1]
            ),
            key=lambda span: span.start,
        )
        at = siblings.index(own)
        return (
            siblings[at - 1] if at else None,
            siblings[at + 1] if at + 1 < len(siblings) else None,
        )

    def region(self, path: Path) -> Region | None:
        """Of the member at `path` with its key, or of the nearest ancestor the text has."""
        for length in range(len(path), -1, -1):
            span = self._spans.get(path[:length])
            if span is not None:
                end = span.end if length == len(path) else span.value_start + 1
                return self.region_of(span.start, end)
        return None

    def region_of(self, start: int, end: int) -> Region:
        line, column = self._place(start)
        end_line, end_column = self._place(end)
        return Region(line=line, column=column, end_line=end_line, end_column=end_column)

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


def _spans(text: str, wanted: set[Path]) -> Iterator[tuple[Path, Span]]:
    stack: list[_Open] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "comment":
            continue
        top = stack[-1] if stack else None
        if kind == "string" and top is not None and top.is_object and top.key is None:
            top.key, top.key_start = _unquoted(token) if top.wanted else "", match.start()
        elif token in ("{", "["):
            path, start = _here(top, match.start())
            inside = path in wanted and (top is None or top.wanted)
            stack.append(
                _Open(
                    is_object=token == "{", path=path, start=start, value_start=match.start(), wanted=inside
                )
            )
        elif token in ("}", "]"):
            if top is None:
                return
            stack.pop()
            above = stack[-1] if stack else None
            if above is None or above.wanted:
                yield top.path, Span(top.start, top.value_start, match.end())
            _value_done(above)
        elif kind in ("string", "word"):
            path, start = _here(top, match.start())
            if top is None or top.wanted:
                yield path, Span(start, match.start(), match.end())
            _value_done(top)


def _here(top: _Open | None, offset: int) -> tuple[Path, int]:
    if top is None or not top.wanted:
        return (), offset
    if top.is_object:
        return (*top.path, top.key or ""), top.key_start if top.key is not None else offset
    return (*top.path, top.index), offset


def _value_done(top: _Open | None) -> None:
    if top is not None:
        top.key = None
        top.index += 1


def _unquoted(token: str) -> str:
    inner = token[1:-1]
    if "\\" not in inner:
        return inner
    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescaped, inner, flags=re.DOTALL)


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] == "u" and len(code) == 5:
        return chr(int(code[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(code, code)

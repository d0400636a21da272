"""How far long work is, on one line of standard error; nothing where that is no terminal."""

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import click

_T = TypeVar("_T")
_EVERY_SECONDS = 0.1
_AFTER_SECONDS = 0.3
_BAR_WIDTH = 24


class Meter:
    """`what` is what is done ("evaluating"), `unit` what is counted ("resources")."""

    def __init__(self, what: str, unit: str, *, quiet: bool = False, total: int | None = None) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._shown = not quiet and sys.stderr.isatty()
        self._started = self._drawn = time.monotonic()
        self._has_line = False
        self.done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def advance(self, count: int = 1, *, fraction: float | None = None) -> None:
        """`fraction` is how much of the whole is done, where no total is known."""
        self.done += count
        if not self._shown:
            return
        now = time.monotonic()
        if now - self._drawn < _EVERY_SECONDS or now - self._started < _AFTER_SECONDS:
            return
        if self._total:
            fraction = min(1.0, self.done / self._total)
        self._draw(self._line(now - self._started, fraction))

    def tell(self, text: str) -> None:
        """Show a line of the caller's own, once the work has taken a while."""
        if self._shown and self.seconds >= _AFTER_SECONDS:
            self._draw(text)

    def each(self, items: Iterable[_T]) -> Iterator[_T]:
        for item in items:
            yield item
            self.advance()

    def clear(self) -> None:
        """Take the line away: something else is to be printed."""
        if self._has_line:
            click.echo("\r\x1b[2K", nl=False, err=True)
            self._has_line = False

    def _draw(self, text: str) -> None:
        self._drawn, self._has_line = time.monotonic(), True
        width = shutil.get_terminal_size().columns - 1
        click.echo("\r\x1b[2K" + text[:width], nl=False, err=True)

    def _line(self, seconds: float, fraction: float | None) -> str:
        parts = [self._what]
        if fraction is not None:
            parts.append(_bar(fraction))
        parts.append(f"{self.done:,} {self._unit}")
        parts.append(f"{self.done / seconds:,.0f}/s")
        if fraction is not None and fraction > 0.02:
            left = seconds / fraction - seconds
            parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
        return "  ".join(parts)


def _bar(fraction: float) -> str:
    full = int(min(1.0, fraction) * _BAR_WIDTH)
    return f"{'█' * full}{'░' * (_BAR_WIDTH - full)} {fraction:4.0%}"

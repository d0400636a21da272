"""Printing: tables for people, JSON for programs, errors with what to do next."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import pretty


def print_json(value: Any) -> None:
    click.echo(pretty(value))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Columns as wide as their longest cell; `empty` is said when there is no row."""
    if not rows:
        click.echo(empty)
        return
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    for number, line in enumerate([list(columns), *cells]):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.echo(click.style(text, bold=True) if number == 0 else text)


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """`name  value` lines; values of several lines are indented below each other."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        first, *more = str(value).splitlines() or [""]
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {first}")
        for line in more:
            click.echo(" " * (width + 2) + line)


def print_error(error: Error, *, as_json: bool = False) -> None:
    if as_json:
        body = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "details": [{"target": target, "message": message} for target, message in error.details],
        }
        click.echo(pretty({"error": body}), err=True)
        return
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    for target, message in error.details:
        click.echo(f"  {target}: {message}", err=True)
    if error.hint:
        click.echo(click.style("hint: ", fg="yellow", bold=True) + error.hint, err=True)


def seconds_text(seconds: float) -> str:
    """`0.4 s`, `12.3 s`, `2:05`"""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def size_text(size_bytes: int) -> str:
    """`512 B`, `1.4 MiB`"""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def ago_text(instant: datetime, now: datetime | None = None) -> str:
    seconds = ((now or datetime.now(UTC)) - instant).total_seconds()
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds / unit))} {name} ago"
    return f"{int(seconds / 86400)} days ago"


def is_terminal() -> bool:
    return sys.stdout.isatty()

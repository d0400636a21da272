"""Showing a job's events as they come: a live view, plain lines, or JSON."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from goldsmith.cli.output import seconds_text
from goldsmith.jobs.model import JobEvent
from goldsmith.kernel.clock import iso

_LOG_LINES = 6
_TITLE_WIDTH, _CLOCK_WIDTH = 20, 9
_REFRESH_PER_SECOND = 8


@dataclass(slots=True)
class _Stage:
    name: str
    title: str
    state: str = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    expected: float | None = None
    note: str = ""
    log: str = ""


@dataclass(slots=True)
class BuildView:
    """What the events so far amount to; `feed` is all the logic, the rest draws it."""

    title: str = ""
    stages: dict[str, _Stage] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def feed(self, event: JobEvent, *, now: float) -> _Stage | None:
        data = event.data
        if event.name == "build.started":
            self.title = data["title"]
            for stage in data["stages"]:
                self.stages.setdefault(stage["name"], _Stage(name=stage["name"], title=stage["title"]))
            return None
        if event.name == "note":
            self.notes.append(data["text"])
            return None
        if not event.name.startswith("stage."):
            return None
        title = data.get("title") or data["stage"]
        stage = self.stages.setdefault(data["stage"], _Stage(name=data["stage"], title=title))
        match event.name:
            case "stage.started":
                stage.state, stage.started = "running", now
                stage.expected = data.get("expected_seconds")
                stage.log = data.get("log", "")
                stage.note = ""
            case "stage.note":
                stage.note = data["text"]
            case "stage.finished":
                stage.state = "reused" if data.get("reused") else "done"
                stage.seconds = data["seconds"]
                stage.note = data.get("text", stage.note)
            case "stage.failed":
                stage.state = "canceled" if data.get("canceled") else "failed"
                stage.seconds = now - stage.started
        return stage


OnEvent = Callable[[JobEvent], None]


def print_event(event: JobEvent) -> None:
    """One event as one line of JSON."""
    body = {"seq": event.seq, "at": iso(event.at), "event": event.name, **event.data}
    click.echo(json.dumps(body, ensure_ascii=False))


def plain_lines() -> OnEvent:
    """One line when a stage starts, and one when it ends."""
    view = BuildView()

    def show(event: JobEvent) -> None:
        stage = view.feed(event, now=event.at.timestamp())
        stamp = event.at.astimezone().strftime("%H:%M:%S")
        if event.name in ("build.started", "note"):
            click.echo(f"{stamp}  {event.data.get('title') or event.data.get('text')}")
        elif stage is not None and (line := _line(event.name, stage)):
            click.echo(f"{stamp}  {line}")

    return show


def _line(event_name: str, stage: _Stage) -> str:
    match event_name:
        case "stage.started":
            expected = f" (about {seconds_text(stage.expected)} before)" if stage.expected else ""
            return f"{stage.title} ...{expected}"
        case "stage.note":
            return f"{stage.title}: {stage.note}"
        case "stage.finished":
            how = "reused" if stage.state == "reused" else seconds_text(stage.seconds)
            return f"{stage.title}: {how}" + (f", {stage.note}" if stage.note else "")
        case "stage.failed":
            return f"{stage.title}: {'canceled' if stage.state == 'canceled' else 'FAILED'}"
    return ""


@contextlib.contextmanager
def live_view() -> Iterator[OnEvent]:
    """The whole build at a glance, redrawn in place, with the last lines of the running stage's log."""
    view = BuildView()
    console = Console()
    lock = threading.Lock()
    started = time.time()

    def drawn() -> Group:
        with lock:
            now = time.time()
            return draw(view, now=now, elapsed=now - started, lines=max(8, console.height - 2))

    def feed(event: JobEvent) -> None:
        with lock:
            view.feed(event, now=event.at.timestamp())

    with Live(console=console, get_renderable=drawn, refresh_per_second=_REFRESH_PER_SECOND):
        yield feed


_MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "bold cyan"),
    "done": ("✔", "green"),
    "reused": ("✔", "green dim"),
    "failed": ("✘", "bold red"),
    "canceled": ("✘", "yellow"),
}


def draw(view: BuildView, *, now: float, elapsed: float, lines: int) -> Group:
    """The view as it stands at `now`, in at most about `lines` lines."""
    table = Table.grid(padding=(0, 1), expand=True)
    # The last column gives way first on a narrow terminal.
    table.add_column(width=1, min_width=1)
    table.add_column(no_wrap=True, overflow="ellipsis", min_width=_TITLE_WIDTH)
    table.add_column(justify="right", no_wrap=True, min_width=_CLOCK_WIDTH)
    table.add_column(overflow="ellipsis", no_wrap=True, style="dim", ratio=1)
    log: list[str] = []
    for stage in _fitting(list(view.stages.values()), lines - _LOG_LINES - 2):
        mark, style = _MARKS[stage.state]
        clock = seconds_text(stage.seconds) if stage.state in ("done", "failed", "canceled") else ""
        if stage.state == "reused":
            clock = "reused"
        if stage.state == "running":
            clock = seconds_text(max(0.0, now - stage.started))
            if stage.expected:
                clock += f" / ~{seconds_text(stage.expected)}"
            log = tail_lines(stage.log)
        table.add_row(Text(mark, style=style), Text(stage.title, style=style), clock, stage.note)
    parts: list[Text | Table] = [Text(f"{view.title}   {seconds_text(elapsed)}", style="bold"), table]
    parts += [Text("  " + line, style="dim", overflow="ellipsis", no_wrap=True) for line in log]
    parts += [Text(note, style="yellow") for note in view.notes[-2:]]
    return Group(*parts)


def _fitting(stages: list[_Stage], room: int) -> list[_Stage]:
    """As many stages as fit, keeping the running one in sight."""
    if len(stages) <= room:
        return stages
    current = next(
        (i for i, s in enumerate(stages) if s.state in ("running", "failed", "canceled")), len(stages) - 1
    )
    start = max(0, min(current - room // 2, len(stages) - room))
    return stages[start : start + room]


def tail_lines(path: str, count: int = _LOG_LINES, window_bytes: int = 4096) -> list[str]:
    """The last lines of a log that may be growing; nothing when there is none."""
    if not path:
        return []
    try:
        with Path(path).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - window_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip().rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [line for line in lines if line][-count:]

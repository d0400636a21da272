"""What a watching person is shown of a build: each event in its effect on the view and on plain lines."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from goldsmith.cli import progress
from goldsmith.cli.progress import BuildView, plain_lines, print_event, tail_lines
from goldsmith.jobs.model import JobEvent
from goldsmith.kernel.json import JsonValue

START = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
NOON = START.timestamp()
STAGES: list[JsonValue] = [
    {"name": "capture", "title": "capture Debian"},
    {"name": "step-1", "title": "1 greet"},
    {"name": "publish", "title": "publish"},
]


class Story:
    """Events in order, a second apart."""

    def __init__(self) -> None:
        self._count = 0

    def event(self, name: str, **data: JsonValue) -> JobEvent:
        self._count += 1
        at = START + timedelta(seconds=self._count)
        return JobEvent(seq=self._count, job_id="j", at=at, name=name, data=data)


def build_of(story: Story) -> list[JobEvent]:
    """A build whose step fails after one stage reused."""
    return [
        story.event("stage.started", stage="capture", title="capture Debian", expected_seconds=None, log=""),
        story.event("stage.finished", stage="capture", seconds=0.1, reused=True, text="Debian:1"),
        story.event("build.started", title="golden/web/0.0.1, build b", stages=STAGES),
        story.event("note", text="optimize.workload has no effect here"),
        story.event("stage.started", stage="step-1", title="1 greet", expected_seconds=12.0, log="/log"),
        story.event("stage.note", stage="step-1", text="halfway"),
        story.event("stage.failed", stage="step-1", error="exit status 1"),
    ]


def fed(events: list[JobEvent]) -> BuildView:
    view = BuildView()
    for event in events:
        view.feed(event, now=event.at.timestamp())
    return view


def test_the_view_knows_every_stage_of_the_build_once_it_is_planned() -> None:
    view = fed(build_of(Story())[:3])
    assert view.title == "golden/web/0.0.1, build b"
    assert [(stage.title, stage.state) for stage in view.stages.values()] == [
        ("capture Debian", "reused"),
        ("1 greet", "waiting"),
        ("publish", "waiting"),
    ]


def test_a_stage_goes_from_waiting_to_running_to_its_end() -> None:
    events = build_of(Story())
    running = fed(events[:6]).stages["step-1"]
    assert (running.state, running.expected, running.log, running.note) == (
        "running",
        12.0,
        "/log",
        "halfway",
    )
    failed = fed(events).stages["step-1"]
    assert (failed.state, failed.seconds) == ("failed", 2.0)


def test_a_stage_that_runs_again_after_a_crash_starts_anew() -> None:
    story = Story()
    started = {"stage": "sbom", "title": "bill of materials", "expected_seconds": None, "log": ""}
    view = fed(
        [
            story.event("stage.started", **started),
            story.event("stage.note", stage="sbom", text="half"),
            story.event("stage.started", **started),
        ]
    )
    assert (view.stages["sbom"].note, view.stages["sbom"].started) == ("", NOON + 3)


def test_events_of_other_kinds_are_let_through() -> None:
    view = fed([Story().event("something.new", stage="x")])
    assert view.stages == {}


def test_a_finished_stage_says_what_it_said_last() -> None:
    story = Story()
    view = fed([story.event("stage.finished", stage="publish", seconds=3.0, reused=False, text="0.0.1")])
    assert (view.stages["publish"].state, view.stages["publish"].note) == ("done", "0.0.1")


def test_plain_lines_tell_each_start_and_each_end(capsys: pytest.CaptureFixture[str]) -> None:
    show = plain_lines()
    for event in build_of(Story()):
        show(event)
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "capture Debian ...",
        "capture Debian: reused, Debian:1",
        "golden/web/0.0.1, build b",
        "optimize.workload has no effect here",
        "1 greet ... (about 12.0 s before)",
        "1 greet: halfway",
        "1 greet: FAILED",
    ]


def test_events_as_json_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_event(Story().event("stage.note", stage="sbom", text="zwei\nZeilen, größer"))
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "seq": 1,
        "at": "2026-11-26T04:00:01Z",
        "event": "stage.note",
        "stage": "sbom",
        "text": "zwei\nZeilen, größer",
    }


def drawn(view: BuildView, *, lines: int = 24, now: float = NOON + 9) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(progress.draw(view, now=now, elapsed=9.0, lines=lines))
    return capture.get()


def test_the_live_view_shows_the_running_stage_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\nunpacking\rinstalled\n\nlast words\n")
    story = Story()
    view = fed(
        [
            story.event("build.started", title="golden/web/0.0.1, build b", stages=STAGES),
            story.event(
                "stage.started", stage="step-1", title="1 greet", expected_seconds=12.0, log=str(log)
            ),
            story.event("note", text="a warning"),
        ]
    )
    text = drawn(view)
    assert "golden/web/0.0.1, build b   9.0 s" in text
    assert "▶ 1 greet" in text
    assert "7.0 s / ~12.0 s" in text
    assert "· publish" in text
    assert "last words" in text
    assert "installed" in text
    assert "unpacking" not in text
    assert "a warning" in text


def test_a_small_terminal_keeps_the_running_stage_in_sight() -> None:
    story = Story()
    stages: list[JsonValue] = [{"name": f"step-{n}", "title": f"title {n}"} for n in range(1, 41)]
    view = fed([story.event("build.started", title="t", stages=stages)])
    for number in range(1, 20):
        view.feed(story.event("stage.finished", stage=f"step-{number}", seconds=1.0, reused=False), now=NOON)
    view.feed(
        story.event("stage.started", stage="step-20", title="title 20", expected_seconds=None, log=""),
        now=NOON,
    )
    text = drawn(view, lines=14)
    assert "title 20" in text
    assert sum("title" in line for line in text.splitlines()) == 6


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", []),
        (b"one\ntwo\nthree\n", ["two", "three"]),
        (b"10%\r50%\r100%\n\n  \nend", ["100%", "end"]),
        (b"x" * 10_000 + b"\nend\n", ["x" * 4091, "end"]),
        (b"\xff\xfe\n", ["��"]),
    ],
)
def test_the_end_of_a_log_is_read_whatever_is_in_it(tmp_path: Path, content: bytes, seen: list[str]) -> None:
    log = tmp_path / "log"
    log.write_bytes(content)
    assert tail_lines(str(log), count=2) == seen


def test_no_log_is_no_lines(tmp_path: Path) -> None:
    assert tail_lines("") == []
    assert tail_lines(str(tmp_path / "absent")) == []


def test_a_stage_that_was_canceled_is_not_called_failed(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    show = plain_lines()
    for event in build_of(story)[:-1]:
        show(event)
    show(story.event("stage.failed", stage="step-1", error="canceled", canceled=True))
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 greet: canceled")

"""Printing: tables and facts that line up, errors with what to do next, figures people can read."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from goldsmith.cli.output import (
    ago_text,
    print_error,
    print_facts,
    print_table,
    seconds_text,
    size_text,
)
from goldsmith.kernel.errors import Error, InvalidInputError


def test_columns_are_as_wide_as_their_longest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("step", "name"), [(1, "greet"), (12, "a longer name")], empty="none")
    assert capsys.readouterr().out.splitlines() == ["step  name", "1     greet", "12    a longer name"]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("step",), [], empty="no steps yet")
    assert capsys.readouterr().out == "no steps yet\n"


def test_a_fact_of_several_lines_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("disk", "a"), ("regions", "one\ntwo"), ("tags", "")])
    assert capsys.readouterr().out.splitlines() == [
        "disk     a",
        "regions  one",
        "         two",
        "tags     ",
    ]


ERROR = InvalidInputError("no room", hint="make some", details=[("disk", "full"), ("log", "/l")])


def test_an_error_is_told_with_details_and_hint_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ERROR)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["error: no room", "  disk: full", "  log: /l", "hint: make some"]


def test_an_error_without_a_hint_gives_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(Error("odd"))
    assert capsys.readouterr().err == "error: odd\n"


def test_an_error_for_programs_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ERROR, as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "error": {
            "code": "InvalidParameter",
            "message": "no room",
            "hint": "make some",
            "details": [{"target": "disk", "message": "full"}, {"target": "log", "message": "/l"}],
        }
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.34, "12.3 s"), (99.94, "99.9 s"), (100, "1:40"), (125.9, "2:05"), (3600, "60:00")],
)
def test_durations(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (2 << 30, "2.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s ago"), (89, "89 s ago"), (90, "1 min ago"), (5400, "1 h ago"), (129600, "1 days ago")],
)
def test_how_long_ago(seconds: int, text: str) -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    assert ago_text(now - timedelta(seconds=seconds), now) == text

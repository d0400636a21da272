"""The table of consoles in cases/vm/serial.yaml, and what must hold however they are cut into reads."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.vm.model import Milestone
from goldsmith.vm.serial import SerialScan, clean_text, evidence, find_failure

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "vm" / "serial.yaml").read_text()
)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@pytest.mark.parametrize("read_bytes", [1, 7, 100_000])
def test_console_shows_its_stages_and_failure(case: dict[str, Any], read_bytes: int) -> None:
    console = case["console"].replace("\n", "\r\n").encode()
    scan = SerialScan()
    reported: list[Milestone] = []
    for number, start in enumerate(range(0, len(console), read_bytes)):
        reported += scan.feed(console[start : start + read_bytes], seconds=float(number))
    assert [milestone.stage.value for milestone in reported] == case["stages"]
    assert tuple(reported) == scan.milestones
    assert (scan.failure.reason.value if scan.failure else None) == case["failure"]


@pytest.mark.parametrize("case", [case for case in CASES if "line" in case], ids=lambda case: case["name"])
def test_failure_quotes_the_line_that_shows_it(case: dict[str, Any]) -> None:
    sign = find_failure(case["console"].encode())
    assert sign is not None
    assert sign.line == case["line"]


def test_failure_before_a_snapshot_is_not_held_against_what_follows() -> None:
    scan = SerialScan()
    scan.feed(b"Kernel panic - not syncing: oops\r\n", seconds=1)
    assert scan.failure is not None
    scan.forgive()
    scan.feed(b"all is well\r\n", seconds=2)
    assert scan.failure is None


def test_terminal_control_is_left_out_of_what_people_read() -> None:
    console = b"\x1b[2J\x1b[01;01H[\x1b[0;32m  OK  \x1b[0m] Started\r\n\x00done\r\n"
    assert clean_text(console) == "[  OK  ] Started\ndone\n"
    assert evidence(b"one\r\n\r\ntwo\r\nthree\r\n", lines=2) == "two\nthree"

"""The documented rank and percentage, on the table of cases; bitmaps of states; turns of the clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from goldsmith.compliance.rollup import percentage, rolled_up
from goldsmith.compliance.scan.bitmaps import packed, rows_of
from goldsmith.compliance.schedule import turn
from goldsmith.compliance.states import UnitStates
from goldsmith.policy.verdict import ComplianceState

_CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "compliance" / "rollup.yaml").read_text()
)
GOOD, BAD = ComplianceState.COMPLIANT, ComplianceState.NON_COMPLIANT
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("case", _CASES["rank"], ids=str)
def test_the_first_in_rank_stands_for_all(case: dict[str, Any]) -> None:
    states = [ComplianceState(each) for each in case["states"]]
    assert rolled_up(states) == case["state"]
    assert rolled_up(reversed(states)) == case["state"]


@pytest.mark.parametrize("case", _CASES["percentage"], ids=str)
def test_the_percentage_is_of_distinct_resources(case: dict[str, Any]) -> None:
    counts = {ComplianceState(state): number for state, number in case["counts"].items()}
    assert percentage(counts) == case["percentage"]


def bits(*rows: int, room: int = 64) -> "np.typing.NDArray[np.uint8]":
    flags = np.zeros(room, np.bool_)
    flags[list(rows)] = True
    return packed(flags)


def test_a_row_has_one_state_at_most() -> None:
    unit = UnitStates()
    unit.set(3, GOOD, room_bytes=8)
    unit.set(3, BAD, room_bytes=8)
    assert unit.of(3) is BAD
    assert unit.counts() == {BAD: 1}
    unit.set(3, None, room_bytes=8)
    assert unit.of(3) is None
    assert unit.counts() == {}


def test_replacing_tells_what_moved_and_leaves_other_rows() -> None:
    unit = UnitStates({GOOD: bits(0, 1, 2), BAD: bits(9)})
    moved = unit.replace({BAD: bits(1), GOOD: bits(0, 4)}, among=bits(0, 1, 2, 4))
    found = {(each.before, each.after): rows_of(each.rows).tolist() for each in moved}
    assert found == {(GOOD, BAD): [1], (GOOD, None): [2], (None, GOOD): [4]}
    assert unit.counts() == {GOOD: 2, BAD: 2}
    assert unit.of(9) is BAD


def test_states_stay_when_there_is_more_room() -> None:
    unit = UnitStates({GOOD: bits(0)})
    unit.set(100, GOOD, room_bytes=16)
    assert unit.of(0) is unit.of(100) is GOOD
    assert unit.of(2000) is None
    moved = unit.replace({GOOD: bits(0, 100, 150, room=192)}, among=bits(0, 100, 150, room=192))
    assert [(each.before, rows_of(each.rows).tolist()) for each in moved] == [(None, [150])]


@pytest.mark.parametrize("seconds", [1, 2, 59, 3599, 3600])
def test_a_turn_is_found_to_the_second(seconds: int) -> None:
    moment = NOON + timedelta(seconds=seconds)
    found = turn(lambda now: now >= moment, low=NOON, high=NOON + timedelta(hours=1))
    assert found == moment


def test_what_never_turns_has_no_turn() -> None:
    assert turn(lambda now: now.year, low=NOON, high=NOON + timedelta(hours=1)) is None

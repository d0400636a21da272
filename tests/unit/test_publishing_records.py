"""Build records and durations on disk: what was put comes back, and damage is told with what to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from goldsmith.kernel.errors import CorruptError, NotFoundError
from goldsmith.publishing.history import History
from goldsmith.publishing.model import (
    BuildPlan,
    BuildRecord,
    BuildState,
    Emergency,
    PlannedStep,
    StepFailure,
    StepInput,
    StepKind,
    StepOutcome,
)
from goldsmith.publishing.records import BuildRecords

STEP = PlannedStep(
    index=1,
    kind=StepKind.FILE,
    name="settings",
    key="k" * 64,
    ingredients={"parent": "sha256:b", "definition": {"destination": "/etc/s", "mode": 420}, "epoch": 1},
    inputs=(StepInput(role="sourceUri", uri="settings", digest="sha256:1"),),
    network_open=True,
)
PLAN = BuildPlan(
    build_id="0123456789abcdef",
    inputs_digest="sha256:i",
    template_name="web",
    template_digest="sha256:t",
    base_urn="Debian:debian-12:12-gen2:0.20261101.7",
    base_digest="sha256:b",
    base_epoch=1,
    definition_id="/d",
    version="0.0.1",
    declared_date="2026-11-26",
    steps=(STEP,),
    emergency=Emergency(cves=("CVE-2026-1000",), patch_date="2026-11-25"),
)
RECORD = BuildRecord(
    plan=PLAN,
    job_id="build-web-1",
    state=BuildState.FAILED,
    template={"location": "local"},
    template_path="/t/web.yaml",
    started_at="2026-11-26T04:00:00Z",
    finished_at="2026-11-26T04:01:00Z",
    outcomes=(
        StepOutcome(index=1, name="settings", key="k", layer_digest="sha256:l", reused=False, seconds=1.5),
    ),
    failure=StepFailure(
        index=1, name="settings", key="k", command="cp", exit_status=1, tail="no", log="/l", kept="/k"
    ),
    error="step 1 'settings' failed",
    result={"versionId": "/v"},
)


@pytest.fixture
def records(tmp_path: Path) -> BuildRecords:
    return BuildRecords(tmp_path / "builds")


def named(build_id: str, template: str = "web", started: str = "2026-11-26T04:00:00Z") -> BuildRecord:
    return replace(RECORD, plan=replace(PLAN, build_id=build_id, template_name=template), started_at=started)


@pytest.mark.parametrize(
    "record", [RECORD, replace(RECORD, failure=None, outcomes=(), plan=replace(PLAN, emergency=None))]
)
def test_a_record_comes_back_as_it_was_put(records: BuildRecords, record: BuildRecord) -> None:
    records.put(record)
    assert records.find(PLAN.build_id) == record


def test_a_record_is_replaced_as_a_whole(records: BuildRecords) -> None:
    records.put(RECORD)
    records.put(replace(RECORD, state=BuildState.SUCCEEDED, failure=None))
    (found,) = records.list()
    assert (found.state, found.failure) == (BuildState.SUCCEEDED, None)
    assert [path.name for path in records.directory(PLAN.build_id).iterdir()] == ["record.json"]


def test_a_build_is_found_by_the_beginning_of_its_id_if_no_other_begins_so(records: BuildRecords) -> None:
    for build_id in ("aaaa0000", "aaab0000"):
        records.put(named(build_id))
    assert records.get("aaab").plan.build_id == "aaab0000"
    assert records.get("aaaa0000").plan.build_id == "aaaa0000"
    for unknown in ("aaa", "b", "", "../aaaa0000", "*"):
        with pytest.raises(NotFoundError, match="there is no build"):
            records.get(unknown)


def test_builds_are_listed_newest_first(records: BuildRecords) -> None:
    assert records.list() == []
    for hour, template in enumerate(("web", "db", "web")):
        records.put(named(f"{hour}000", template, f"2026-11-26T0{hour}:00:00Z"))
    assert [record.plan.build_id for record in records.list()] == ["2000", "1000", "0000"]
    assert [record.plan.build_id for record in records.list(template_name="web")] == ["2000", "0000"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"plan": {}}'])
def test_a_damaged_record_is_told_with_what_to_do(records: BuildRecords, damage: str) -> None:
    records.put(RECORD)
    path = records.directory(PLAN.build_id) / "record.json"
    path.write_text(damage)
    with pytest.raises(CorruptError, match=str(path)) as caught:
        records.list()
    assert "remove it" in (caught.value.hint or "")
    records.remove(PLAN.build_id)
    assert records.list() == []


def test_the_expected_duration_is_the_median_of_the_last_five(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    assert history.expected_seconds("assemble") is None
    for seconds in (100.0, 100.0, 1.0, 2.0, 3.0, 4.0, 50.0):
        history.add("assemble", seconds)
    assert history.expected_seconds("assemble") == 3.0
    assert History(tmp_path / "history.json").expected_seconds("assemble") == 3.0
    assert history.expected_seconds("sbom") is None


@pytest.mark.parametrize("damage", ["", "{", "[1]"])
def test_a_damaged_history_is_no_history(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "history.json"
    path.write_text(damage)
    history = History(path)
    assert history.expected_seconds("sbom") is None
    history.add("sbom", 2.0)
    assert history.expected_seconds("sbom") == 2.0

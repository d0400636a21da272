"""Laws of plans and records: keys chain, equal plans are equal, versions are never given twice."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.kernel.json import JsonObject
from goldsmith.publishing import logic, planning
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
from goldsmith.publishing.planning import Versions
from goldsmith.publishing.records import BuildRecords, plan_from
from goldsmith.publishing.request import BuildRequest, from_json, to_json
from tests.unit.test_publishing_planning import BASE, request

texts = st.text(max_size=12)
lines = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3)
digests = st.integers(0, 5).map(lambda number: f"sha256:{number:064x}")
inputs = st.builds(StepInput, role=st.just("sourceUri"), uri=texts, digest=digests)
definitions: st.SearchStrategy[JsonObject] = st.fixed_dictionaries({"inline": lines})
emergencies = st.none() | st.builds(
    Emergency, cves=st.lists(texts, max_size=2).map(tuple), patch_date=st.just("2026-11-25")
)


@st.composite
def chains(draw: st.DrawFn) -> tuple[PlannedStep, ...]:
    """Steps as a template plans them: each one's parent is the one before."""
    parent = draw(digests)
    steps: list[PlannedStep] = []
    for index, definition in enumerate(draw(st.lists(definitions, min_size=1, max_size=5)), start=1):
        step = logic.planned_step(
            index=index,
            kind=draw(st.sampled_from(StepKind)),
            name=draw(texts),
            parent=parent,
            definition=definition,
            inputs=draw(st.lists(inputs, max_size=1)),
            network_open=draw(st.booleans()),
            epoch=draw(st.integers(0, 3)),
        )
        steps.append(step)
        parent = step.key
    return tuple(steps)


plans = st.builds(
    BuildPlan,
    build_id=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    inputs_digest=digests,
    template_name=texts,
    template_digest=digests,
    base_urn=texts,
    base_digest=digests,
    base_epoch=st.integers(0),
    definition_id=texts,
    version=texts,
    declared_date=st.just("2026-11-26"),
    steps=chains(),
    emergency=emergencies,
)
records = st.builds(
    BuildRecord,
    plan=plans,
    job_id=texts,
    state=st.sampled_from(BuildState),
    template=st.dictionaries(texts, texts, max_size=2),
    template_path=texts,
    started_at=texts,
    finished_at=texts,
    outcomes=st.lists(
        st.builds(
            StepOutcome,
            index=st.integers(1, 9),
            name=texts,
            key=texts,
            layer_digest=digests,
            reused=st.booleans(),
            seconds=st.floats(0, 1e6),
        ),
        max_size=2,
    ).map(tuple),
    failure=st.none()
    | st.builds(
        StepFailure,
        index=st.integers(1, 9),
        name=texts,
        key=texts,
        command=texts,
        exit_status=st.integers(-64, 255),
        tail=texts,
        log=texts,
        kept=texts,
    ),
    error=texts,
    result=st.dictionaries(texts, texts, max_size=2),
)


@settings(deadline=None)
@given(chains(), st.data())
def test_a_change_in_a_step_changes_its_key_and_all_later_ones_and_no_earlier_one(
    steps: tuple[PlannedStep, ...], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(steps) - 1))
    changed: list[PlannedStep] = list(steps[:place])
    parent = steps[place].ingredients["parent"]
    for step in steps[place:]:
        definition = dict(step.ingredients["definition"])
        if step.index == place + 1:
            definition["inline"] = [*definition["inline"], "one more"]
        one = logic.planned_step(
            index=step.index,
            kind=step.kind,
            name=step.name,
            parent=parent,
            definition=definition,
            inputs=step.inputs,
            network_open=step.network_open,
            epoch=step.ingredients["epoch"],
        )
        changed.append(one)
        parent = one.key
    same = [one.key == two.key for one, two in zip(steps, changed, strict=True)]
    assert same == [True] * place + [False] * (len(steps) - place)


@settings(deadline=None)
@given(chains(), st.sets(st.integers(0, 4)))
def test_no_layer_above_one_that_runs_is_called_reused(
    steps: tuple[PlannedStep, ...], there: set[int]
) -> None:
    plan = BuildPlan(
        build_id="b",
        inputs_digest="i",
        template_name="t",
        template_digest="t",
        base_urn="u",
        base_digest="b",
        base_epoch=0,
        definition_id="d",
        version="0.0.1",
        declared_date="2026-11-26",
        steps=steps,
    )
    keys = {steps[place].key for place in there if place < len(steps)}
    found = logic.explain(plan, None, has_layer=keys.__contains__)
    verdicts = [item.verdict for item in found]
    assert [item.step for item in found] == list(steps)
    assert verdicts == sorted(verdicts, key=[logic.Verdict.REUSED, logic.Verdict.RUN].index)
    assert all(item.reason for item in found)


@settings(deadline=None)
@given(plans)
def test_a_plan_comes_back_from_json_as_it_was(plan: BuildPlan) -> None:
    assert plan_from(json.loads(json.dumps(asdict(plan)))) == plan


@settings(max_examples=30, deadline=None)
@given(records)
def test_a_record_comes_back_from_disk_as_it_was(record: BuildRecord) -> None:
    with TemporaryDirectory() as folder:
        store = BuildRecords(Path(folder))
        store.put(record)
        assert store.find(record.plan.build_id) == record


@settings(deadline=None)
@given(
    st.builds(
        BuildRequest,
        name=texts,
        document=st.dictionaries(texts, texts, max_size=2),
        path=texts,
        directory=texts,
        declared_date=texts,
        emergency=emergencies,
        rebuild=st.booleans(),
    ),
    texts,
)
def test_a_request_survives_the_job_and_its_digest_leaves_out_the_date(
    asked: BuildRequest, date: str
) -> None:
    again = from_json(json.loads(json.dumps(to_json(asked))))
    assert again == asked
    assert replace(again, declared_date=date).digest == asked.digest


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1e5).map(lambda seconds: round(seconds, 2)), min_size=1, max_size=12))
def test_the_expected_duration_is_one_that_was(durations: list[float]) -> None:
    with TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.json")
        for seconds in durations:
            history.add("stage", seconds)
        last = sorted(durations[-5:])
        expected = history.expected_seconds("stage")
        assert expected in last
        assert sum(value < (expected or 0.0) for value in last) <= len(last) // 2


# A definition through time: whatever happens to its builds, in whatever order.

happenings = st.lists(
    st.tuples(
        st.sampled_from(["one", "two"]),
        st.sampled_from(["echo a", "echo b", "echo c"]),
        st.sampled_from(list(BuildState)),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(happenings, st.sampled_from(["one", "two"]), st.sampled_from(["echo a", "echo b", "echo c"]))
def test_a_version_is_never_given_to_two_builds_that_can_both_publish_it(
    history: list[tuple[str, str, BuildState]], name: str, line: str
) -> None:
    held: list[BuildRecord] = []
    published: set[str] = set()

    def versions() -> Versions:
        return Versions(published=tuple(sorted(published)), records=tuple(reversed(held)))

    def plan(template: str, command: str) -> BuildPlan:
        return planning.make_plan(
            request(template, customize=[{"type": "Shell", "name": "s", "inline": [command]}]),
            BASE,
            customizer_inputs=[()],
            validator_inputs=(),
            versions=versions(),
        )

    def check(new: BuildPlan) -> None:
        others = [record for record in held if record.plan.build_id != new.build_id]
        running = {record.plan.version for record in others if record.state is BuildState.RUNNING}
        assert new.version not in running
        if planning.unchanged(new, versions()) is None:
            assert new.version not in published

    for template, command, state in history:
        made = plan(template, command)
        check(made)
        if planning.unchanged(made, versions()) is not None:
            continue
        held = [record for record in held if record.plan.build_id != made.build_id]
        held.append(
            BuildRecord(
                plan=made,
                job_id="j",
                state=state,
                template={},
                template_path="",
                started_at="",
                result={"versionId": made.version} if state is BuildState.SUCCEEDED else {},
            )
        )
        if state is BuildState.SUCCEEDED:
            published.add(made.version)

    new = plan(name, line)
    assert plan(name, line) == new
    check(new)

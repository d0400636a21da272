"""Step keys, build identity, and the reasons `image explain` gives."""

from dataclasses import replace

import pytest

from goldsmith.kernel.json import JsonObject
from goldsmith.publishing import logic
from goldsmith.publishing.model import BuildPlan, PlannedStep, StepFailure, StepInput, StepKind

BASE = "sha256:" + "b" * 64
FILE = StepInput(role="sourceUri", uri="agent.conf", digest="sha256:" + "1" * 64)


def steps_of(
    *definitions: JsonObject, base: str = BASE, inputs: tuple[StepInput, ...] = ()
) -> tuple[PlannedStep, ...]:
    parent = base
    planned: list[PlannedStep] = []
    for index, definition in enumerate(definitions, start=1):
        step = logic.planned_step(
            index=index,
            kind=StepKind.SHELL,
            name=definition.get("name", f"shell-{index}"),
            parent=parent,
            definition={k: v for k, v in definition.items() if k != "name"},
            inputs=inputs if index == 2 else (),
            epoch=1,
        )
        planned.append(step)
        parent = step.key
    return tuple(planned)


def plan_of(steps: tuple[PlannedStep, ...], base: str = BASE) -> BuildPlan:
    return BuildPlan(
        build_id="0" * 16,
        inputs_digest="sha256:x",
        template_name="t",
        template_digest="sha256:t",
        base_urn="Debian:debian-12:12-gen2:0.20261101.0",
        base_digest=base,
        base_epoch=1,
        definition_id="/d",
        version="1.0.0",
        declared_date="2026-11-26",
        steps=steps,
    )


A, B, C = {"inline": ["a"]}, {"inline": ["b"]}, {"inline": ["c"]}


def test_a_changed_step_changes_its_key_and_every_later_one() -> None:
    before, after = steps_of(A, B, C), steps_of(A, {"inline": ["b2"]}, C)
    assert [x.key == y.key for x, y in zip(before, after, strict=True)] == [True, False, False]


def test_renaming_a_step_changes_no_key() -> None:
    assert steps_of(A)[0].key == steps_of({**A, "name": "other"})[0].key


@pytest.mark.parametrize(
    "change",
    [
        {"parent": "other"},
        {"kind": StepKind.FILE},
        {"definition": {"inline": ["z"]}},
        {"inputs": (FILE,)},
        {"network_open": True},
        {"epoch": 2},
    ],
)
def test_each_ingredient_is_in_the_key(change: JsonObject) -> None:
    same: JsonObject = {
        "index": 1,
        "kind": StepKind.SHELL,
        "name": "n",
        "parent": "p",
        "definition": A,
        "epoch": 1,
    }
    assert logic.planned_step(**same).key != logic.planned_step(**{**same, **change}).key


def explain(
    plan: BuildPlan, previous: BuildPlan | None, have: int, failure: StepFailure | None = None
) -> list[str]:
    keys = {step.key for step in plan.steps[:have]}
    found = logic.explain(plan, previous, has_layer=keys.__contains__, failure=failure)
    assert [e.verdict for e in found] == [logic.Verdict.REUSED] * have + [logic.Verdict.RUN] * (
        len(found) - have
    )
    return [e.reason for e in found[have:]]


def test_nothing_runs_when_every_layer_is_there() -> None:
    plan = plan_of(steps_of(A, B))
    assert explain(plan, plan, 2) == []


def test_a_first_build_says_so() -> None:
    assert explain(plan_of(steps_of(A)), None, 0) == ["this template was never built here"]


def test_a_changed_definition_names_the_field_and_later_steps_name_the_step() -> None:
    reasons = explain(plan_of(steps_of(A, {"inline": ["b2"]}, C)), plan_of(steps_of(A, B, C)), 1)
    assert reasons == ["inline changed in the template", "step 2 (shell-2) before it runs again"]


def test_a_changed_file_is_named_with_both_digests() -> None:
    other = replace(FILE, digest="sha256:" + "2" * 64)
    reasons = explain(plan_of(steps_of(A, B, inputs=(other,))), plan_of(steps_of(A, B, inputs=(FILE,))), 1)
    assert reasons == ["the content of agent.conf changed (11111111 to 22222222)"]


def test_a_new_base_is_named() -> None:
    plan = replace(
        plan_of(steps_of(A, base="sha256:n"), base="sha256:n"), base_urn="Debian:debian-12:12-gen2:0.2.0"
    )
    (reason,) = explain(plan, plan_of(steps_of(A)), 0)
    assert "from Debian:debian-12:12-gen2:0.20261101.0 to Debian:debian-12:12-gen2:0.2.0" in reason


def test_a_removed_layer_is_told_from_a_change() -> None:
    plan = plan_of(steps_of(A))
    assert explain(plan, plan, 0) == ["its layer is not there: never finished, or removed since"]


def test_a_step_that_failed_says_so() -> None:
    plan = plan_of(steps_of(A))
    failure = StepFailure(
        index=1, name="shell-1", key=plan.steps[0].key, command="a", exit_status=7, tail="", log="", kept=""
    )
    assert explain(plan, plan, 0, failure) == ["it failed the last time with exit status 7"]


def test_a_new_step_is_new() -> None:
    assert explain(plan_of(steps_of(A, B)), plan_of(steps_of(A)), 1) == ["it is new in the template"]


def test_build_ids_depend_on_inputs_version_and_date_alone() -> None:
    one = logic.build_id(inputs="sha256:a", version="1.0.0", declared_date="2026-11-26")
    assert one == logic.build_id(inputs="sha256:a", version="1.0.0", declared_date="2026-11-26")
    assert (
        len(
            {
                one,
                *(
                    logic.build_id(inputs=i, version=v, declared_date=d)
                    for i, v, d in [
                        ("sha256:b", "1.0.0", "2026-11-26"),
                        ("sha256:a", "1.0.1", "2026-11-26"),
                        ("sha256:a", "1.0.0", "2026-11-27"),
                    ]
                ),
            }
        )
        == 4
    )

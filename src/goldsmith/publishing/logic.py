"""Decisions of a build as pure functions: step keys, build identity, and why a layer is rebuilt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.kernel import digest
from goldsmith.kernel.json import JsonObject
from goldsmith.publishing.model import BuildPlan, Emergency, PlannedStep, StepFailure, StepInput, StepKind

# Part of every key: raise it when a change here makes equal steps give other bytes.
ENGINE_VERSION = "3"
_BUILD_ID_LENGTH = 16


def planned_step(
    *,
    index: int,
    kind: StepKind,
    name: str,
    parent: str,
    definition: JsonObject,
    inputs: Sequence[StepInput] = (),
    network_open: bool = False,
    epoch: int,
) -> PlannedStep:
    """A step with its key: digest of parent, definition, digests of the files it reads, and this engine.

    `name` is left out of the key: renaming a step runs nothing.
    """
    ingredients: JsonObject = {
        "parent": parent,
        "kind": kind.value,
        "definition": definition,
        "inputs": {item.role: item.digest for item in inputs},
        "network_open": network_open,
        "epoch": epoch,
        "engine": ENGINE_VERSION,
    }
    return PlannedStep(
        index=index,
        kind=kind,
        name=name,
        key=digest.hex_of(digest.of_value(ingredients)),
        ingredients=ingredients,
        inputs=tuple(inputs),
        network_open=network_open,
    )


def inputs_digest(
    *,
    template_digest: str,
    base_digest: str,
    steps: Sequence[PlannedStep],
    definition_id: str,
    emergency: Emergency | None,
) -> str:
    """Equal when a build has nothing new to do; the version and the date are no inputs."""
    return digest.of_value(
        {
            "template": template_digest,
            "base": base_digest,
            "steps": [step.key for step in steps],
            "definition": definition_id.lower(),
            "emergency": None if emergency is None else [list(emergency.cves), emergency.patch_date],
            "engine": ENGINE_VERSION,
        }
    )


def build_id(*, inputs: str, version: str, declared_date: str) -> str:
    """16 hexadecimal digits, the same for the same inputs, version and date on any machine."""
    whole = digest.of_value({"inputs": inputs, "version": version, "date": declared_date})
    return digest.hex_of(whole)[:_BUILD_ID_LENGTH]


class Verdict(StrEnum):
    REUSED = "reused"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    step: PlannedStep
    verdict: Verdict
    reason: str


def explain(
    plan: BuildPlan,
    previous: BuildPlan | None,
    *,
    has_layer: Callable[[str], bool],
    failure: StepFailure | None = None,
) -> list[Explanation]:
    """For each step: whether its layer is reused, and if not, what differs from the build before."""
    explanations: list[Explanation] = []
    first_run: PlannedStep | None = None
    for step in plan.steps:
        if first_run is None and has_layer(step.key):
            explanations.append(
                Explanation(step=step, verdict=Verdict.REUSED, reason="all that goes into it is the same")
            )
            continue
        reason = _why(step, plan, previous, first_run=first_run, failure=failure)
        first_run = first_run or step
        explanations.append(Explanation(step=step, verdict=Verdict.RUN, reason=reason))
    return explanations


def _why(
    step: PlannedStep,
    plan: BuildPlan,
    previous: BuildPlan | None,
    *,
    first_run: PlannedStep | None,
    failure: StepFailure | None,
) -> str:
    if previous is None:
        return "this template was never built here"
    if failure is not None and failure.key == step.key:
        return f"it failed the last time with exit status {failure.exit_status}"
    before = _counterpart(step, previous)
    own = [] if before is None else _differences(step, before)
    if first_run is not None:
        follows = f"step {first_run.index} ({first_run.name}) before it runs again"
        return "; ".join([*own, follows])
    if before is None:
        return "it is new in the template"
    if plan.base_digest != previous.base_digest and step.index == 1:
        own.append(f"the base image changed from {previous.base_urn} to {plan.base_urn}")
    elif step.ingredients["parent"] != before.ingredients["parent"] and not own:
        own.append("the steps before it were other ones")
    return "; ".join(own) or "its layer is not there: never finished, or removed since"


def _counterpart(step: PlannedStep, previous: BuildPlan) -> PlannedStep | None:
    same_name = [other for other in previous.steps if (other.kind, other.name) == (step.kind, step.name)]
    if same_name:
        return same_name[0]
    same_place = [other for other in previous.steps if (other.kind, other.index) == (step.kind, step.index)]
    return same_place[0] if same_place else None


def _differences(step: PlannedStep, before: PlannedStep) -> list[str]:
    found = []
    new, old = step.ingredients, before.ingredients
    changed = sorted(
        name
        for name in {*new["definition"], *old["definition"]}
        if new["definition"].get(name) != old["definition"].get(name)
    )
    if changed:
        found.append(f"{', '.join(changed)} changed in the template")
    old_inputs = {item.role: item for item in before.inputs}
    for item in step.inputs:
        earlier = old_inputs.get(item.role)
        if earlier is not None and earlier.digest != item.digest:
            short = f"{digest.hex_of(earlier.digest)[:8]} to {digest.hex_of(item.digest)[:8]}"
            found.append(f"the content of {item.uri} changed ({short})")
    if new["network_open"] != old["network_open"]:
        found.append("the network was " + ("opened" if new["network_open"] else "closed"))
    if new["epoch"] != old["epoch"]:
        found.append("the base image's date changed")
    if new["engine"] != old["engine"]:
        found.append("the builder changed")
    return found

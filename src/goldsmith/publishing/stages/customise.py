"""The steps as layers, and the check beside them that what is reused is as it was made."""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.kernel.errors import CorruptError
from goldsmith.marketplace.model import Capture
from goldsmith.publishing import assembling, customising
from goldsmith.publishing.attempt import Attempt, StageNote
from goldsmith.publishing.model import BuildPlan, PlannedStep, StepOutcome

_CHECK_NICENESS = 10


def customise(
    attempt: Attempt, base: Capture, plan: BuildPlan, layers: LayerStore
) -> list[tuple[PlannedStep, Layer]]:
    made: list[tuple[PlannedStep, Layer]] = []
    for step in plan.steps:
        parents = [layer for _, layer in made]
        work = functools.partial(_make_layer, attempt, base, plan, step, parents, layers)
        key = attempt.stage(
            f"step-{step.index}",
            f"{step.index} {step.name}",
            work,
            log=attempt.log(plan, step),
        )
        layer = layers.find(key["key"])
        if layer is None:
            # Removed by hand between two attempts of the job: made again outside of its step.
            work(lambda _: None)
            layer = layers.find(key["key"])
            assert layer is not None
        made.append((step, layer))
    return made


def _make_layer(
    attempt: Attempt,
    base: Capture,
    plan: BuildPlan,
    step: PlannedStep,
    parents: list[Layer],
    layers: LayerStore,
    _: Callable[[str], None],
) -> StageNote:
    reused = layers.find(step.key) is not None
    layer = customising.make_layer(
        attempt.shop,
        layers,
        attempt.template,
        base,
        step,
        parents,
        template_name=attempt.request.name,
        log=attempt.log(plan, step),
        cancel=attempt.cancel,
    )
    outcome = StepOutcome(
        index=step.index,
        name=step.name,
        key=step.key,
        layer_digest=layer.digest,
        reused=reused,
        seconds=0.0 if reused else layer.seconds,
    )
    attempt.add_outcome(outcome)
    if not reused:
        attempt.whole.add(layer.key)
    return StageNote(value={"key": layer.key}, reused=reused)


def start_checking(attempt: Attempt, layers: LayerStore, base: Capture, plan: BuildPlan) -> "Future[None]":
    """Whether the base and the layers there are as they were made, looked at meanwhile."""
    found = [layer for step in plan.steps if (layer := layers.find(step.key)) is not None]
    # The steps come first wherever there are fewer processors than work: on Linux a thread has a niceness.
    pool = ThreadPoolExecutor(1, thread_name_prefix="check", initializer=_yield_to_others)
    try:
        return pool.submit(check_whole, attempt, layers, base, found)
    finally:
        pool.shutdown(wait=False)


def _yield_to_others() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _CHECK_NICENESS)


def await_check(attempt: Attempt, checked: "Future[None]", layers: LayerStore) -> None:
    """Raises CorruptError when the base or a layer was damaged; what was made on it is then gone."""
    try:
        checked.result()
    except CorruptError:
        # A layer made on damage would carry it on after what is below was made again.
        for outcome in attempt.current().outcomes:
            if not outcome.reused:
                layers.remove(outcome.key)
        raise


def check_whole(attempt: Attempt, layers: LayerStore, base: Capture, found: list[Layer]) -> None:
    """What was made earlier is still as it was made; looked at once in an attempt."""
    unknown = [layer for layer in found if layer.key not in attempt.whole]
    if unknown or base.digest not in attempt.whole:
        assembling.verify(attempt.shop, layers, base, unknown)
    attempt.whole |= {base.digest, *(layer.key for layer in unknown)}


def layers_of(attempt: Attempt, plan: BuildPlan) -> LayerStore:
    if attempt.request.rebuild:
        return attempt.shop.layers_at(attempt.shop.state / "rebuilds" / plan.build_id)
    layers = attempt.shop.layers
    layers.sweep()
    return layers

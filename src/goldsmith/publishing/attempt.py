"""One attempt at a build: its record, its events, and how a stage becomes a durable step of the job."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith.gallery.model import ArtifactKind
from goldsmith.imagetemplate.model import ImageTemplate
from goldsmith.jobs.context import JobContext
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.clock import iso
from goldsmith.kernel.errors import CanceledError, Error
from goldsmith.kernel.files import no_space
from goldsmith.kernel.json import JsonValue
from goldsmith.publishing.model import (
    BuildPlan,
    BuildRecord,
    BuildState,
    PlannedStep,
    StepFailure,
    StepOutcome,
)
from goldsmith.publishing.request import BuildRequest
from goldsmith.publishing.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNote:
    """What a stage says when it ends."""

    value: JsonValue
    text: str = ""
    reused: bool = False


class Attempt:
    """`started` is when the job began; `whole` names the base and the layers known to be undamaged."""

    def __init__(
        self, workshop: Workshop, context: JobContext, request: BuildRequest, *, started: str, cancel: Cancel
    ) -> None:
        self.shop = workshop
        self.context = context
        self.request = request
        self.template: ImageTemplate = request.template
        self.cancel = cancel
        self.started = started
        self.record: BuildRecord | None = None
        self.whole: set[str] = set()

    def failed(self, error: Error) -> None:
        """Write down how the build ended, for `resume`, `shell` and `list`; nothing before a plan."""
        if self.record is None:
            return
        failure = getattr(error, "failure", None)
        state = BuildState.CANCELED if isinstance(error, CanceledError) else BuildState.FAILED
        if self.request.rebuild:
            return
        record = self.current()
        kept = failure if isinstance(failure, StepFailure) else record.failure
        self.update(state=state, finished_at=self.now(), error=error.message, failure=kept)

    def stage(
        self,
        name: str,
        title: str,
        work: Callable[[Callable[[str], None]], StageNote],
        *,
        log: Path | None = None,
    ) -> Any:
        """Run `work` as the durable step `name`, with events around it."""
        kind = name if not name.startswith("step-") else f"{self.request.name}/{title}"

        def step() -> JsonValue:
            expected = self.shop.history.expected_seconds(kind)
            self.context.emit(
                "stage.started",
                stage=name,
                title=title,
                expected_seconds=expected,
                log=str(log) if log else "",
            )
            started = time.monotonic()
            try:
                with no_space(self.shop.state):
                    note = work(lambda text: self.context.emit("stage.note", stage=name, text=text))
            except Error as error:
                self._remember_failure(error)
                canceled = isinstance(error, CanceledError)
                self.context.emit("stage.failed", stage=name, error=error.message, canceled=canceled)
                raise
            seconds = time.monotonic() - started
            if not note.reused:
                self.shop.history.add(kind, seconds)
            self.context.emit(
                "stage.finished",
                stage=name,
                seconds=round(seconds, 2),
                reused=note.reused,
                text=note.text,
            )
            return note.value

        return self.context.step(name, step)

    def _remember_failure(self, error: Error) -> None:
        # Recorded at once: a replay gets the error back as plain data.
        failure = getattr(error, "failure", None)
        if isinstance(failure, StepFailure) and self.record is not None and not self.request.rebuild:
            self.update(failure=failure)

    def current(self) -> BuildRecord:
        assert self.record is not None
        return self.record

    def update(self, **changes: Any) -> None:
        self.record = replace(self.current(), **changes)
        if not self.request.rebuild:
            self.shop.records.put(self.record)

    def add_outcome(self, outcome: StepOutcome) -> None:
        others = tuple(item for item in self.current().outcomes if item.index != outcome.index)
        self.update(outcomes=tuple(sorted((*others, outcome), key=lambda item: item.index)))

    def directory(self, plan: BuildPlan) -> Path:
        return self.shop.records.directory(plan.build_id)

    def artifact(self, plan: BuildPlan, kind: ArtifactKind) -> Path:
        return self.directory(plan) / "artifacts" / f"image.{kind.value}"

    def log(self, plan: BuildPlan, step: PlannedStep) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in step.name)
        return self.directory(plan) / "logs" / f"{step.index:02d}-{safe}.log"

    def now(self) -> str:
        return iso(self.shop.clock.now())

    def scratch(self, plan: BuildPlan) -> Path:
        return self.directory(plan) / "disk.raw"

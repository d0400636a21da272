"""Progress of a scan as events, few enough to be shown as they come."""

from collections.abc import Callable

from goldsmith.compliance.model import Progress
from goldsmith.kernel.clock import Clock


class Reporter:
    """Turns what a scan does into progress events, a few a second at most."""

    def __init__(self, clock: Clock, on_progress: Callable[[Progress], None] | None) -> None:
        self._clock = clock
        self._on_progress = on_progress
        self._started = clock.monotonic_seconds()
        self._last = self._started
        self._phase = ""
        self._resources = self._total = self._policies = self._policies_total = self._evaluations = 0

    def phase(self, name: str, *, total: int = 0) -> None:
        self._phase, self._resources, self._total = (
            name,
            0 if total else self._resources,
            total or self._total,
        )
        self._tell()

    def resource(self) -> None:
        self._resources += 1
        self._total = max(self._total, self._resources)
        self._tell_sometimes()

    def policies(self, number: int) -> None:
        self._policies_total += number

    def evaluated(self) -> None:
        self._evaluations += 1
        self._tell_sometimes()

    def judged(self, policies: int, resources: int) -> None:
        self._policies += policies
        self._evaluations += policies * resources
        self._tell_sometimes()

    def type_done(self, resources: int) -> None:
        self._resources += resources
        self._tell()

    def _tell_sometimes(self) -> None:
        if self._clock.monotonic_seconds() - self._last > 0.2:
            self._tell()

    def _tell(self) -> None:
        self._last = self._clock.monotonic_seconds()
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    phase=self._phase,
                    resources_done=self._resources,
                    resources_total=self._total,
                    policies_done=self._policies,
                    policies_total=self._policies_total,
                    evaluations=self._evaluations,
                    seconds=self._last - self._started,
                )
            )

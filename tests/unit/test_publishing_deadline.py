"""buildTimeoutInMinutes: counted from the job's first start, on a clock of the test's own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from goldsmith.app import App
from goldsmith.gallery import service as galleries
from goldsmith.gallery.model import Gallery, Identifier, ImageDefinition, OsState, OsType
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import DeadlineExceededError, Error
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonValue
from goldsmith.publishing import pipeline
from goldsmith.publishing.request import to_json
from goldsmith.publishing.workshop import Workshop
from goldsmith.settings import load
from tests.contract.marketplace_fakes import FakeBuilder, FakeMirror
from tests.unit.test_publishing_planning import DEFINITION, request

MINUTES = 30


class SteppedClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 26, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic_seconds(self) -> float:
        return self._now.timestamp()

    def move(self, minutes: float) -> None:
        self._now += timedelta(minutes=minutes)


class Attempt:
    """The JobContext of an attempt at a job that was first started at `started`."""

    def __init__(self, started: datetime) -> None:
        self._started = started

    @property
    def job_id(self) -> str:
        return "build-1"

    @property
    def cancel(self) -> Cancel:
        return NeverCancel()

    def step(self, name: str, function: Callable[[], JsonValue]) -> Any:
        return function()

    def emit(self, name: str, /, **data: JsonValue) -> None:
        return None

    def now(self) -> datetime:
        return self._started


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def builder() -> FakeBuilder:
    # Whatever gets past the deadline ends here.
    return FakeBuilder(failure=Error("the base was made in time"))


@pytest.fixture
def workshop(tmp_path: Path, clock: SteppedClock, builder: FakeBuilder) -> Workshop:
    app = App(load({"GOLDSMITH_STATE": str(tmp_path / "state")}), clock=clock)
    identity = parse_resource_id(DEFINITION)
    assert identity.parent is not None
    galleries.create_gallery(app.gallery, Gallery(id=identity.parent, location="local"), actor="test")
    definition = ImageDefinition(
        id=identity,
        location="local",
        os_type=OsType.LINUX,
        os_state=OsState.GENERALIZED,
        identifier=Identifier(publisher="p", offer="o", sku="s"),
    )
    galleries.create_definition(app.gallery, definition, actor="test")
    marketplace = replace(app.marketplace, mirror=FakeMirror(), builder=builder)
    return replace(app.workshop, marketplace=marketplace)


def run(workshop: Workshop, attempt: Attempt) -> None:
    pipeline.run(workshop, attempt, to_json(request(buildTimeoutInMinutes=MINUTES)))


def test_a_build_within_its_time_goes_on(
    workshop: Workshop, clock: SteppedClock, builder: FakeBuilder
) -> None:
    builder.pause = lambda: clock.move(MINUTES - 1)
    with pytest.raises(Error, match="the base was made in time"):
        run(workshop, Attempt(clock.now()))


def test_a_build_beyond_its_time_is_stopped_and_says_which_limit(
    workshop: Workshop, clock: SteppedClock, builder: FakeBuilder
) -> None:
    builder.pause = lambda: clock.move(MINUTES + 1)
    with pytest.raises(DeadlineExceededError, match="longer than its buildTimeoutInMinutes of 30"):
        run(workshop, Attempt(clock.now()))
    assert workshop.marketplace.store.list() == ()


def test_a_restart_gives_a_build_no_more_time(
    workshop: Workshop, clock: SteppedClock, builder: FakeBuilder
) -> None:
    started = clock.now()
    clock.move(20)
    builder.pause = lambda: clock.move(11)
    with pytest.raises(DeadlineExceededError):
        run(workshop, Attempt(started))

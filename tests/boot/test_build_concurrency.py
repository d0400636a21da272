"""Several builds at once on one state directory, and the death of the process that runs them."""

import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.boot.builds import (
    DEFINITION,
    GATE,
    Watched,
    captured_version,
    document,
    eventually,
    open_gates,
    prepare,
    write,
)
from tests.boot.conftest import World

pytestmark = pytest.mark.boot

UNDER_WAY = "this very build is under way"
TAKEN_OVER = "the process that ran the job is gone; going on with it here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Four commands at once: `lost` runs everything and is killed; two ask for the same, one for another.

    What each said, and the jobs and versions there are in the end.
    """

    lost_pid: int
    lost: str
    same: tuple[str, str]
    other: str
    statuses: tuple[int, int, int]
    jobs: list[dict[str, Any]]
    versions: list[dict[str, Any]]
    builds: list[dict[str, Any]]


@pytest.fixture(scope="module")
def crowd(world: World, tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    here = world.another(tmp_path_factory.mktemp("crowd") / "state")
    prepare(here)
    folder = tmp_path_factory.mktemp("templates")
    version = captured_version(here)
    shared = {"greeting": "echo hello > /etc/motd", "gate": GATE}
    one = write(folder, document("one", version=version, steps={**shared, "one": "echo one >> /etc/motd"}))
    two = write(folder, document("two", version=version, steps={**shared, "two": "echo two >> /etc/motd"}))
    with ExitStack() as stack:

        def start(path: Path) -> Watched:
            return stack.enter_context(Watched(here, folder, "image", "build", path))

        lost = start(one)
        lost.until("2 gate ...")
        same, again, other = start(one), start(one), start(two)
        for follower in (same, again, other):
            follower.until(f"handed to process {lost.pid}")
        # Its version is chosen and its first step reused before the process that does it is killed.
        other.until("1 greeting: reused")
        lost.signal(signal.SIGKILL)
        lost.wait()

        def taken_over() -> bool:
            return any(TAKEN_OVER in follower.said for follower in (same, again, other))

        eventually(taken_over, lambda: f"somebody takes over: {same.said}\n{again.said}\n{other.said}")

        def beyond_the_gate() -> bool:
            open_gates(here.state)
            return "3 one: " in same.said and "3 two: " in other.said

        eventually(beyond_the_gate, lambda: f"the steps go on: {same.said}\n{other.said}")
        statuses = (same.wait(), again.wait(), other.wait())
        return Crowd(
            lost_pid=lost.pid,
            lost=lost.said,
            same=(same.said, again.said),
            other=other.said,
            statuses=statuses,
            jobs=here.run("job", "list", "--json").json,
            versions=here.run("gallery", "version", "list", DEFINITION, "--json").json,
            builds=here.run("image", "list", "--json").json,
        )


def test_the_same_build_asked_for_again_is_followed(crowd: Crowd) -> None:
    assert UNDER_WAY not in crowd.lost
    for said in crowd.same:
        assert UNDER_WAY in said
    assert len([job for job in crowd.jobs if job["subject"] == "imageTemplates/one"]) == 1


def test_all_who_asked_for_the_same_build_are_told_the_same_version(crowd: Crowd) -> None:
    assert crowd.statuses == (0, 0, 0), (crowd.same, crowd.other)
    for said in crowd.same:
        assert published(said) == f"{DEFINITION}/0.0.1"
    digests = {line for said in crowd.same for line in said.splitlines() if line.startswith("digest")}
    assert len(digests) == 1


def test_two_templates_of_one_definition_get_versions_of_their_own(crowd: Crowd) -> None:
    assert published(crowd.other) == f"{DEFINITION}/0.0.2"
    assert [item["name"] for item in crowd.versions] == ["0.0.1", "0.0.2"]
    assert {item["properties"]["provisioningState"] for item in crowd.versions} == {"Succeeded"}
    assert {(build["template"], build["version"], build["state"]) for build in crowd.builds} == {
        ("one", "0.0.1", "succeeded"),
        ("two", "0.0.2", "succeeded"),
    }


def test_one_process_at_a_time_runs_all_builds(crowd: Crowd) -> None:
    everybody = (*crowd.same, crowd.other)
    for said in everybody:
        assert f"handed to process {crowd.lost_pid}" in said
    assert sum(TAKEN_OVER in said for said in everybody) == 1


def test_a_killed_owner_loses_no_build(crowd: Crowd) -> None:
    assert {job["state"] for job in crowd.jobs} == {"succeeded"}
    assert {job["attempt"] for job in crowd.jobs} == {2}
    # What was recorded before the kill is shown once, and not run again.
    for said in crowd.same:
        assert said.count("1 greeting: ") == 1
        assert said.count(f"{DEFINITION}/0.0.1, build ") == 1


def test_a_step_two_builds_have_in_common_is_run_once(crowd: Crowd) -> None:
    ends = [line for said in (crowd.same[0], crowd.other) for line in said.splitlines() if "2 gate: " in line]
    assert len(ends) == 2
    assert sum("reused" in line for line in ends) <= 1
    layers = {build["template"]: build["steps"][1]["layer"] for build in crowd.builds}
    assert layers["one"] == layers["two"]


def published(said: str) -> str:
    """The version the summary names."""
    (line,) = [line for line in said.splitlines() if line.startswith("image version ")]
    return line.removeprefix("image version ").strip()

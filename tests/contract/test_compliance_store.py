"""Compliance states over SQLite and over PostgreSQL: what is stored, and what a crash leaves behind."""

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from goldsmith.compliance.migrate import migrate
from goldsmith.compliance.model import Cause, CauseKind, DayCounts, PolicyKey, Transition
from goldsmith.compliance.scan.bitmaps import packed
from goldsmith.compliance.schema import bitmap
from goldsmith.compliance.store import ComplianceStore, Snapshot, Started, Update, roster_of
from goldsmith.kernel.errors import ConflictError, CorruptError, UnsupportedError
from goldsmith.policy.verdict import ComplianceState
from tests.compliance_world import (
    RULES,
    START,
    Estate,
    all_definitions,
    assignment,
    assignment_id,
    attestation,
    definition,
    exemption,
    extension,
    group,
    group_id,
    initiative,
    judged_one_by_one,
    states_of,
    vm,
    vm_id,
)

KEY: PolicyKey = ("/subscriptions/s1/providers/microsoft.authorization/policyassignments/a", "one")
TYPE = "microsoft.compute/virtualmachines"
LATER = START + timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def estate(url: str) -> Iterator[Estate]:
    opened = Estate(url)
    yield opened
    opened.close()


@pytest.fixture
def store(estate: Estate) -> ComplianceStore:
    return estate.store


def changed(resource: str, before: ComplianceState | None, after: ComplianceState | None) -> Transition:
    return Transition(
        policy=KEY,
        resource_type=TYPE,
        resource=resource,
        before=before,
        after=after,
        at=LATER,
        code="ConditionMet",
        cause=Cause(kind=CauseKind.RESOURCE, id=resource),
    )


def first(ids: list[str | None], compliant: list[bool]) -> Update:
    roster = roster_of(ids)
    bits = packed(np.array(compliant))
    return Update(
        at=START,
        position=7,
        clock_at=START,
        started=[Started(policy=KEY, definition_id="d", initiative_id=None)],
        rosters={roster.digest: roster},
        snapshots=[
            Snapshot(
                policy=KEY,
                resource_type=TYPE,
                roster=roster.digest,
                bits={ComplianceState.COMPLIANT: bits},
            )
        ],
    )


def later(*transitions: Transition, position: int = 8) -> Update:
    return Update(at=LATER, position=position, clock_at=LATER, transitions=list(transitions))


def test_what_is_committed_is_loaded_again(store: ComplianceStore) -> None:
    revision = store.commit(first(["/a", None, "/ü"], [True, False, True]), revision=0)
    stored = store.load()
    assert (stored.followed.position, stored.followed.clock_at) == (7, START)
    assert stored.followed.revision == revision
    (snapshot,) = stored.snapshots
    assert stored.rosters[snapshot.roster] == ("/a", None, "/ü")
    assert snapshot.first_at == START
    assert list(np.unpackbits(snapshot.bits[ComplianceState.COMPLIANT], bitorder="little")[:3]) == [1, 0, 1]
    assert list(stored.later) == []


def test_changes_after_a_snapshot_follow_it_in_their_order(store: ComplianceStore) -> None:
    revision = store.commit(first(["/a"], [True]), revision=0)
    bad, good = ComplianceState.NON_COMPLIANT, ComplianceState.COMPLIANT
    revision = store.commit(later(changed("/a", good, bad), changed("/b", None, good)), revision=revision)
    store.commit(later(changed("/a", bad, None), position=9), revision=revision)
    assert [(id_, state) for _, _, id_, state in store.load().later] == [
        ("/a", bad),
        ("/b", good),
        ("/a", None),
    ]
    assert [each.after for _, each in store.transitions(resource="/A")] == [bad, None]
    (number, _), *_ = store.transitions()
    assert len(store.transitions(after=number)) == 2
    assert len(store.transitions(policy_key=KEY, limit=2)) == 2


def test_since_is_the_last_change_or_the_first_snapshot(store: ComplianceStore) -> None:
    revision = store.commit(first(["/a", "/b"], [True, True]), revision=0)
    store.commit(later(changed("/a", ComplianceState.COMPLIANT, ComplianceState.ERROR)), revision=revision)
    assert store.since("/A", TYPE) == {KEY: LATER}
    assert store.since("/b", TYPE.upper()) == {KEY: START}


def test_a_follower_that_was_overtaken_writes_nothing(store: ComplianceStore) -> None:
    store.commit(first(["/a"], [True]), revision=0)
    with pytest.raises(ConflictError):
        store.commit(later(changed("/a", ComplianceState.COMPLIANT, None)), revision=0)
    assert store.transitions() == []
    assert store.followed().position == 7


def test_a_policy_that_ends_takes_its_states_along_and_leaves_its_history(store: ComplianceStore) -> None:
    revision = store.commit(first(["/a"], [True]), revision=0)
    revision = store.commit(
        later(changed("/a", ComplianceState.COMPLIANT, ComplianceState.ERROR)), revision=revision
    )
    ended = replace_ended(later(position=9))
    revision = store.commit(ended, revision=revision)
    stored = store.load()
    assert not stored.live
    assert not stored.snapshots
    assert not stored.later
    assert not stored.rosters
    assert len(store.transitions(policy_key=KEY)) == 1
    store.commit(first(["/a"], [True]), revision=revision)
    assert list(store.load().later) == []


def replace_ended(update: Update) -> Update:
    return replace(update, ended=[KEY])


def test_counts_of_a_day_are_its_last(store: ComplianceStore) -> None:
    revision = store.commit(first(["/a"], [True]), revision=0)
    for day, number in (("2026-01-01", 1), ("2026-01-02", 2), ("2026-01-02", 3)):
        update = later()
        counts = {ComplianceState.COMPLIANT: number}
        update.counts = [
            DayCounts(day=day, policy=None, counts=counts),
            DayCounts(day=day, policy=KEY, counts=counts),
        ]
        revision = store.commit(update, revision=revision)
    for key in (None, KEY):
        found = store.days(policy_key=key)
        assert [(each.day, each.counts[ComplianceState.COMPLIANT]) for each in found] == [
            ("2026-01-01", 1),
            ("2026-01-02", 3),
        ]


def test_damaged_states_are_told_and_found_anew_by_a_scan(estate: Estate) -> None:
    fill(estate)
    estate.keeper.catch_up()
    wanted = states_of(estate.keeper)
    with estate.engine.begin() as connection:
        connection.execute(sa.update(bitmap).values(bits=b"not zstd"))
    keeper = estate.another_keeper()
    with pytest.raises(CorruptError):
        keeper.load()
    keeper.scan()
    assert states_of(keeper) == wanted
    again = estate.another_keeper()
    again.load()
    assert states_of(again) == wanted


def test_migrating_again_changes_nothing_and_a_newer_database_is_refused(estate: Estate) -> None:
    migrate(estate.engine)
    with estate.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE compliance_schema SET version_num = '9999'")
    with pytest.raises(UnsupportedError, match="9999"):
        migrate(estate.engine)


def fill(estate: Estate) -> None:
    for document in (*all_definitions(), initiative("all", sorted(RULES))):
        estate.put(document)
    estate.put(assignment("a0", "all", set_=True))
    for number in range(4):
        estate.put(vm(vm_id(f"v{number}")))
    estate.put(group("g0"))


def test_the_scenario_of_a_year_ends_in_the_states_of_each_resource(estate: Estate) -> None:
    fill(estate)
    keeper = estate.keeper
    keeper.catch_up()
    estate.put(vm(vm_id("v0"), size="Large", tags={"owner": "a", "keep": "yes"}))
    estate.put(extension(vm_id("v1"), "e"))
    estate.put(exemption("x", assignment_id("a0"), scope=vm_id("v2"), expires=START + timedelta(days=2)))
    estate.put(attestation("t", assignment_id("a0"), scope=vm_id("v3")))
    assert keeper.catch_up() > 0
    assert states_of(keeper) == judged_one_by_one(estate)
    exempt = [state for state in states_of(keeper).values() if state is ComplianceState.EXEMPT]
    assert exempt
    estate.clock.pass_seconds(3 * 24 * 3600)
    keeper.catch_up()
    assert states_of(keeper) == judged_one_by_one(estate)
    assert ComplianceState.EXEMPT not in states_of(keeper).values()
    estate.put(definition("size", RULES["large"]))
    estate.delete(vm_id("v1"))
    keeper.catch_up()
    assert states_of(keeper) == judged_one_by_one(estate)
    assert keeper.scan() == 0


def test_two_followers_do_not_write_over_each_other(estate: Estate) -> None:
    fill(estate)
    estate.keeper.catch_up()
    other = estate.another_keeper()
    other.catch_up()
    estate.put(vm(vm_id("v0"), size="Large"))
    other.catch_up()
    with pytest.raises(ConflictError):
        estate.keeper.catch_up()
    assert estate.keeper.catch_up() == 0
    assert states_of(estate.keeper) == states_of(other) == judged_one_by_one(estate)


def test_a_follower_killed_at_any_instant_loses_nothing_and_repeats_nothing(url: str) -> None:
    estate = Estate(url)
    chance = random.Random(11)
    fill(estate)
    estate.keeper.catch_up()
    revision = estate.store.followed().revision
    follower = start(url)
    try:
        for round_ in range(10):
            for _ in range(6):
                change(estate, chance)
            time.sleep(chance.random() * 0.25)
            follower.kill()
            follower.wait()
            before = estate.store.followed()
            if round_ % 2:
                change(estate, chance)
            follower = start(url)
            assert estate.store.followed().revision >= before.revision
    finally:
        follower.kill()
        follower.wait()
    assert estate.store.followed().revision > revision + 10, "the followers were killed before they worked"
    with contextlib.suppress(ConflictError):
        estate.keeper.catch_up()
    estate.keeper.catch_up()
    assert states_of(estate.keeper) == judged_one_by_one(estate)
    assert estate.keeper.scan() == 0
    last: dict[tuple[str, PolicyKey, str], ComplianceState | None] = {}
    for _, each in estate.store.transitions(limit=100_000):
        pair = (each.resource, each.policy, each.resource_type)
        assert each.before is not each.after
        assert last.get(pair, each.before) is each.before
        last[pair] = each.after
    assert last
    estate.close()


def start(url: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.compliance_follower", url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def change(estate: Estate, chance: random.Random) -> None:
    name = f"v{chance.randrange(6)}"
    match chance.randrange(6):
        case 0:
            estate.delete(vm_id(name))
        case 1:
            publisher = chance.choice(["Agent", "Other"])
            estate.put(extension(vm_id(name), "e", publisher=publisher))
        case 2:
            estate.put(group("g0", environment=chance.choice(["prod", "test"])))
        case 3:
            of = assignment_id("a0")
            scope = chance.choice([vm_id(name), group_id("g0")])
            estate.put(exemption(f"x{chance.randrange(2)}", of, scope=scope))
        case _:
            size = chance.choice(["Small", "Large", "Huge"])
            owner = chance.choice(["a", "b", "c"])
            estate.put(vm(vm_id(name), size=size, tags={"owner": owner}))

"""The resource store, over SQLite and over PostgreSQL."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from goldsmith.kernel.clock import SystemClock
from goldsmith.kernel.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from goldsmith.kernel.ids import RandomIds
from goldsmith.resources.engine import open_engine
from goldsmith.resources.migrate import migrate
from goldsmith.resources.model import (
    ID_BYTES_MAX,
    TAG_NAME_BYTES_MAX,
    TAG_VALUE_BYTES_MAX,
    Change,
    ChangeOperation,
    Resource,
    ResourceDraft,
)
from goldsmith.resources.store import ResourceStore
from goldsmith.resources.transaction import ResourceTransaction

GROUP = "/subscriptions/S1/resourceGroups/rg1"
GALLERY = f"{GROUP}/providers/Microsoft.Compute/galleries/Gold"
TIMEOUT_SECONDS = 120


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    opened = open_engine(url)
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def store(engine: sa.Engine) -> ResourceStore:
    return ResourceStore(engine, SystemClock(), RandomIds())


def vm(name: str, group: str = GROUP, **members: Any) -> ResourceDraft:
    type_ = "Microsoft.Compute/virtualMachines"
    return ResourceDraft(id=f"{group}/providers/{type_}/{name}", type=type_, name=name, **members)


def names(resources: list[Resource]) -> list[str]:
    return [found.name for found in resources]


def test_what_is_put_is_got_whole(store: ResourceStore) -> None:
    draft = vm(
        "a",
        location="westeurope",
        tags={"Owner": "Ann", "empty": ""},
        properties={"z": 1, "a": [1.5, None, True, {"deep": "\u0000 \u20ac \ud800"}]},
        extra={"identity": {"type": "SystemAssigned"}, "zones": ["1"]},
    )
    put = store.put(draft, actor="ann")
    got = store.get(draft.id)
    assert got == put
    assert got.draft == draft
    assert list(got.properties) == ["z", "a"]
    assert (got.system_data.created_by, got.system_data.modified_by) == ("ann", "ann")


def test_ids_are_looked_up_without_case_and_returned_with_it(store: ResourceStore) -> None:
    draft = vm("MixedCase")
    store.put(draft, actor="ann")
    assert store.get(draft.id.upper()).id == draft.id
    assert store.find(draft.id.lower()) is not None
    store.put(vm("mixedcase"), actor="bob")
    assert names(store.list()) == ["mixedcase"]
    store.delete(draft.id.upper(), actor="ann")
    assert store.list() == []


def test_absent_resource_is_none_to_find_and_an_error_to_the_rest(store: ResourceStore) -> None:
    assert store.find(GALLERY) is None
    with pytest.raises(NotFoundError):
        store.get(GALLERY)
    with pytest.raises(NotFoundError):
        store.delete(GALLERY, actor="ann")
    with pytest.raises(NotFoundError):
        store.update(GALLERY, lambda old: old, actor="ann")
    assert store.changes(0) == []


def test_put_replaces_all_but_keeps_who_created_it(store: ResourceStore) -> None:
    first = store.put(vm("a", tags={"x": "1"}, properties={"size": 1}), actor="ann")
    second = store.put(vm("a", location="here"), actor="bob")
    assert (second.properties, dict(second.tags), second.location) == ({}, {}, "here")
    assert second.etag != first.etag
    assert second.system_data.created_by == "ann"
    assert second.system_data.created_at == first.system_data.created_at
    assert second.system_data.modified_by == "bob"
    assert store.get(first.id) == second
    assert store.list(tag=("x", None)) == []


def test_if_match_lets_only_the_current_etag_through(store: ResourceStore) -> None:
    first = store.put(vm("a"), actor="ann")
    second = store.put(vm("a", properties={"n": 2}), actor="ann", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        store.put(vm("a", properties={"n": 3}), actor="ann", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        store.delete(first.id, actor="ann", if_match=first.etag)
    assert store.get(first.id) == second
    store.put(vm("a"), actor="ann", if_match="*")
    with pytest.raises(PreconditionFailedError):
        store.put(vm("b"), actor="ann", if_match="*")
    store.delete(first.id, actor="ann", if_match=store.get(first.id).etag)
    assert store.find(first.id) is None


def test_if_none_match_lets_only_the_first_through(store: ResourceStore) -> None:
    first = store.put(vm("a"), actor="ann", if_none_match=True)
    with pytest.raises(PreconditionFailedError):
        store.put(vm("A"), actor="bob", if_none_match=True)
    assert store.get(first.id) == first


def test_one_of_many_creators_wins(store: ResourceStore) -> None:
    def create(number: int) -> bool:
        try:
            store.put(vm("a", properties={"by": number}), actor="ann", if_none_match=True)
        except PreconditionFailedError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(8))) == 1
    assert len(store.changes(0)) == 1


def test_puts_without_precondition_never_fail_each_other(store: ResourceStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: store.put(vm("a", properties={"n": n}), actor="ann"), range(24)))
    operations = [found.operation for found in store.changes(0)]
    assert operations == [ChangeOperation.CREATE] + [ChangeOperation.UPDATE] * 23


def test_no_update_is_lost(store: ResourceStore) -> None:
    store.put(vm("a", properties={"count": 0}), actor="ann")

    def add_one(old: Resource) -> Resource:
        return replace(old, properties={"count": old.properties["count"] + 1})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: store.update(vm("a").id, add_one, actor="bob"), range(40)))
    assert store.get(vm("a").id).properties == {"count": 40}


def test_update_to_the_same_writes_nothing(store: ResourceStore) -> None:
    first = store.put(vm("a", tags={"x": "1"}), actor="ann")
    assert store.update(first.id, lambda old: replace(old, tags={"x": "1"}), actor="bob") == first
    assert len(store.changes(0)) == 1


def test_update_that_raises_or_renames_writes_nothing(store: ResourceStore) -> None:
    first = store.put(vm("a"), actor="ann")

    def refuse(old: Resource) -> Resource:
        raise ConflictError(f"{old.id} is locked")

    with pytest.raises(ConflictError):
        store.update(first.id, refuse, actor="bob")
    with pytest.raises(InvalidInputError):
        store.update(first.id, lambda old: replace(old, id=vm("b").id), actor="bob")
    assert store.list() == [first]


@pytest.mark.parametrize(
    "draft",
    [
        vm("a", properties={"n": float("nan")}),
        vm("a", properties={"n": object()}),
        vm("a", tags={"x": "nul \0"}),
        vm("a", tags={"x": "half \ud800"}),
        vm("a", tags={"x": "1", "X": "2"}),
        vm("a", tags={"n" * 513: "1"}),
        vm("a", tags={"n": "v" * 1025}),
        vm("a" * 1100),
        vm("a", location="nul \0"),
        ResourceDraft(id="/nul/\0", type="t", name="n"),
        ResourceDraft(id="no/slash", type="t", name="n"),
        ResourceDraft(id="/a//b", type="t", name="n"),
        ResourceDraft(id=f"{GALLERY}/", type="t", name="n"),
    ],
)
def test_what_cannot_be_stored_is_refused(store: ResourceStore, draft: ResourceDraft) -> None:
    with pytest.raises(InvalidInputError):
        store.put(draft, actor="ann")
    assert store.list() == []


def test_the_longest_ids_and_tags_are_stored_and_found(store: ResourceStore) -> None:
    letters = random.Random(0)

    def text(length: int) -> str:
        return "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))

    parent = vm("x" + text(ID_BYTES_MAX - len(vm("").id) - 5)).id
    tags = {text(TAG_NAME_BYTES_MAX): text(TAG_VALUE_BYTES_MAX)}
    put = store.put(ResourceDraft(id=f"{parent}/t/n", type="t" * 1000, name="n", tags=tags), actor="ann")
    assert store.list(parent=parent, tag=next(iter(tags.items()))) == [put]


def test_look_up_of_what_no_database_can_hold_is_refused(store: ResourceStore) -> None:
    for look_up in (
        lambda: store.find("/a/\0"),
        lambda: store.list(type="\0"),
        lambda: store.list(tag=("\0", "\ud800")),
        lambda: store.list(after="/\ud800"),
        lambda: store.list(scope_prefix="/\0"),
    ):
        with pytest.raises(InvalidInputError):
            look_up()


def test_scope_ends_at_a_slash(store: ResourceStore) -> None:
    for group in ("rg1", "rg10", "rg", "rg1-b", "RG1.c"):
        store.put(vm("a", f"/subscriptions/S1/resourceGroups/{group}"), actor="ann")
    store.put(ResourceDraft(id=GROUP, type="Microsoft.Resources/resourceGroups", name="rg1"), actor="ann")
    for scope in (GROUP, GROUP.upper(), f"{GROUP}/"):
        assert [found.id for found in store.list(scope_prefix=scope)] == [GROUP, vm("a").id]
    assert len(store.list(scope_prefix="/")) == 6
    assert len(store.list(scope_prefix="/subscriptions/s1")) == 6
    assert store.list(scope_prefix="/subscriptions/s") == []


def test_children_are_those_directly_below(store: ResourceStore) -> None:
    definition = f"{GALLERY}/images/Debian"
    assignment = f"{GALLERY}/providers/Microsoft.Authorization/policyAssignments/p"
    drafts = [
        ResourceDraft(id=GROUP, type="Microsoft.Resources/resourceGroups", name="rg1"),
        ResourceDraft(id=GALLERY, type="Microsoft.Compute/galleries", name="Gold"),
        ResourceDraft(id=definition, type="Microsoft.Compute/galleries/images", name="Debian"),
        ResourceDraft(id=f"{definition}/versions/1.0.0", type="…/versions", name="1.0.0"),
        ResourceDraft(id=assignment, type="Microsoft.Authorization/policyAssignments", name="p"),
        ResourceDraft(id="/providers/Microsoft.Authorization/policyDefinitions/d", type="…", name="d"),
    ]
    for draft in drafts:
        store.put(draft, actor="ann")
    assert names(store.list(parent=GALLERY.lower())) == ["Debian", "p"]
    assert names(store.list(parent=definition)) == ["1.0.0"]
    assert names(store.list(parent=GROUP)) == ["Gold"]
    assert names(store.list(parent="/subscriptions/S1")) == ["rg1"]
    assert names(store.list(parent="")) == ["d"]


def test_filters_narrow_each_other(store: ResourceStore) -> None:
    store.put(vm("a", tags={"Env": "prod", "owner": "ann"}), actor="ann")
    store.put(vm("b", tags={"env": "Prod"}), actor="ann")
    store.put(vm("c", f"{GROUP}0", tags={"ENV": "prod"}), actor="ann")
    store.put(ResourceDraft(id=GALLERY, type="Microsoft.Compute/galleries", name="Gold"), actor="ann")
    assert names(store.list(tag=("ENV", None))) == ["a", "b", "c"]
    assert names(store.list(tag=("env", "prod"))) == ["a", "c"]
    assert names(store.list(tag=("env", "prod"), scope_prefix=GROUP)) == ["a"]
    assert names(store.list(type="microsoft.compute/GALLERIES")) == ["Gold"]
    store.update(vm("a").id, lambda old: replace(old, tags={"env": "dev"}), actor="ann")
    assert names(store.list(tag=("env", "prod"))) == ["c"]


def test_pages_join_to_the_whole_list_in_the_order_of_folded_ids(store: ResourceStore) -> None:
    drafts = [vm(name) for name in ("b", "B-2", "_a", "a.b", "A", "ä", "Z", "10", "9", "a-b", "a_b")]
    for draft in drafts:
        store.put(draft, actor="ann")
    paged: list[str] = []
    after = None
    while page := store.list(after=after, limit=3):
        after = page[-1].id
        paged += [found.id.lower() for found in page]
    # Code points, on every engine and whatever its locale.
    assert paged == sorted(draft.id.lower() for draft in drafts)


def test_paging_goes_on_when_the_last_one_read_is_deleted(store: ResourceStore) -> None:
    for name in "abcd":
        store.put(vm(name), actor="ann")
    store.delete(vm("b").id, actor="ann")
    assert names(store.list(after=vm("b").id)) == ["c", "d"]


def test_every_write_is_one_change(store: ResourceStore) -> None:
    created = store.put(vm("a"), actor="ann")
    replaced = store.put(vm("A", properties={"n": 1}), actor="bob")
    store.delete(replaced.id, actor="eve")
    changes = store.changes(0)
    assert [(c.operation, c.resource_id, c.etag, c.actor) for c in changes] == [
        (ChangeOperation.CREATE, created.id, created.etag, "ann"),
        (ChangeOperation.UPDATE, replaced.id, replaced.etag, "bob"),
        (ChangeOperation.DELETE, replaced.id, replaced.etag, "eve"),
    ]
    assert {c.resource_type for c in changes} == {"Microsoft.Compute/virtualMachines"}
    assert changes[0].at.tzinfo is not None
    assert store.changes(changes[0].seq, limit=1) == [changes[1]]
    assert store.changes(changes[2].seq) == []


def test_writes_of_a_transaction_are_seen_together_or_not_at_all(store: ResourceStore) -> None:
    kept = store.put(vm("kept", tags={"x": "1"}), actor="ann")
    seen = store.changes(0)

    def write(writing: ResourceTransaction) -> None:
        writing.put(vm("a", tags={"x": "1"}), actor="ann")
        writing.update(kept.id, lambda old: replace(old, tags={}), actor="ann")
        assert names(writing.list(tag=("x", "1"))) == ["a"]

    _write_and_fail(store, write)
    assert store.list(tag=("x", "1")) == [kept]
    assert store.changes(0) == seen

    with store.transaction() as writing:
        writing.put(vm("a"), actor="ann")
        writing.delete(kept.id, actor="ann")
    assert names(store.list()) == ["a"]
    assert [c.operation for c in store.changes(seen[-1].seq)] == [
        ChangeOperation.CREATE,
        ChangeOperation.DELETE,
    ]


def test_refused_write_leaves_its_transaction_usable(store: ResourceStore) -> None:
    store.put(vm("a"), actor="ann")
    with store.transaction() as writing:
        with pytest.raises(PreconditionFailedError):
            writing.put(vm("a"), actor="ann", if_none_match=True)
        writing.put(vm("b"), actor="ann")
    assert names(store.list()) == ["a", "b"]


def test_other_tables_commit_with_the_resource(store: ResourceStore, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE job (name TEXT)")

    def write(writing: ResourceTransaction) -> None:
        writing.put(vm("a"), actor="ann")
        writing.connection.exec_driver_sql("INSERT INTO job VALUES ('lost')")

    _write_and_fail(store, write)
    with store.transaction() as writing:
        writing.put(vm("a"), actor="ann")
        writing.connection.exec_driver_sql("INSERT INTO job VALUES ('kept')")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM job").scalars().all() == ["kept"]


def test_feed_read_while_many_write_has_every_change_once(store: ResourceStore) -> None:
    done = threading.Event()
    feed: list[Change] = []

    def follow() -> None:
        while True:
            last_round = done.is_set()
            page = store.changes(feed[-1].seq if feed else 0, limit=7)
            feed.extend(page)
            if last_round and not page:
                return
            if not page:
                done.wait(0.01)

    def write(writer: int) -> None:
        for turn in range(15):
            with store.transaction() as writing:
                writing.put(vm(f"{writer}-{turn}"), actor="ann")
                writing.put(vm(f"{writer}-{turn}-b"), actor="ann")

    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(follow)
        writers = [threads.submit(write, writer) for writer in range(4)]
        try:
            for writer in writers:
                writer.result(TIMEOUT_SECONDS)
        finally:
            done.set()
        reader.result(TIMEOUT_SECONDS)
    expected = sorted(f"{w}-{t}{s}" for w in range(4) for t in range(15) for s in ("", "-b"))
    assert sorted(found.resource_id.rsplit("/", 1)[1] for found in feed) == expected


def test_change_that_commits_late_is_not_lost(postgres_url: str) -> None:
    store = _fresh_store(postgres_url)
    with store.transaction() as late:
        late.put(vm("late"), actor="ann")
        store.put(vm("early"), actor="bob")
        before = store.changes(0)
    assert before == []
    assert sorted(_changed(store, 0)) == ["early", "late"]


def test_late_change_with_the_lower_number_is_not_lost(postgres_url: str) -> None:
    """The older transaction takes the higher sequence number and commits first."""
    store = _fresh_store(postgres_url)
    with store.transaction() as younger:
        with store.transaction() as older:
            older.connection.exec_driver_sql("SELECT pg_current_xact_id()")
            younger.put(vm("younger"), actor="ann")
            older.put(vm("older"), actor="bob")
        seen = store.changes(0)
    assert [found.resource_id for found in seen] == [vm("older").id]
    assert _changed(store, seen[-1].seq) == ["younger"]


def test_feed_goes_on_after_a_dump_is_restored_into_another_cluster(postgres_url: str) -> None:
    store = _fresh_store(postgres_url)
    for name in "abc":
        store.put(vm(name), actor="ann")
    seen = store.changes(0, limit=1)
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        # As if the rows came from a cluster that had run far more transactions.
        connection.exec_driver_sql("UPDATE change SET xid = xid + 1000000000")
    assert store.changes(0) == []
    migrate(engine)
    store.put(vm("d"), actor="ann")
    assert _changed(store, seen[0].seq) == ["b", "c", "d"]
    assert _changed(store, 0) == ["a", "b", "c", "d"]
    engine.dispose()


_WRITER = """
import sys
from goldsmith.kernel.clock import SystemClock
from goldsmith.kernel.ids import RandomIds
from goldsmith.resources.engine import open_engine
from goldsmith.resources.model import ResourceDraft
from goldsmith.resources.store import ResourceStore

store = ResourceStore(open_engine(sys.argv[1]), SystemClock(), RandomIds())
for number in range(100_000):
    draft = ResourceDraft(id=f"/subscriptions/s/things/{number}", type="thing", name=str(number))
    print(number, store.put(draft, actor="ann").etag, flush=True)
"""


def test_writer_killed_at_any_moment_has_lost_nothing_it_acknowledged(url: str, store: ResourceStore) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline() for _ in range(40)]
        writer.kill()
        acknowledged += [line for line in writer.stdout.readlines() if line.endswith("\n")]
    etags = {found.name: found.etag for found in store.list(scope_prefix="/subscriptions/s", limit=100_000)}
    changed = {found.resource_id.rsplit("/", 1)[1]: found.etag for found in store.changes(0, limit=100_000)}
    assert etags == changed
    for line in acknowledged:
        name, etag = line.split()
        assert etags[name] == etag
    store.put(vm("after"), actor="ann")


_MIGRATOR = """
import sys, time
from pathlib import Path
from goldsmith.resources.engine import open_engine
from goldsmith.resources.migrate import migrate

print("ready", flush=True)
sys.stdin.readline()
migrate(open_engine(sys.argv[1]))
"""


def test_processes_may_migrate_at_once(url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _MIGRATOR, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0, errors
    store = _fresh_store(url)
    assert store.get(store.put(vm("a"), actor="ann").id).name == "a"


def test_migrating_again_keeps_everything(store: ResourceStore, engine: sa.Engine) -> None:
    kept = store.put(vm("a"), actor="ann")
    migrate(engine)
    assert store.list() == [kept]


def test_database_of_a_newer_version_is_refused(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE resource_schema SET version_num = '9999'")
    with pytest.raises(UnsupportedError, match="9999"):
        migrate(engine)


def test_tables_are_as_the_code_says(engine: sa.Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from goldsmith.resources.schema import metadata

    def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name != "resource_schema"

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("wrong", ["sqlite://", "sqlite:///:memory:", "mysql://host/x", "nonsense"])
def test_unsupported_database_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInputError):
        open_engine(wrong)


def test_conflict_in_a_transaction_says_to_run_it_again(postgres_url: str) -> None:
    """Two transactions that lock two resources in opposite order: one goes on, the other is told."""
    store = _fresh_store(postgres_url)
    store.put(vm("a", properties={"n": 0}), actor="ann")
    store.put(vm("b", properties={"n": 0}), actor="ann")
    both_hold_one = threading.Barrier(2)

    def swap(first: str, second: str) -> bool:
        edit: Callable[[Resource], Resource] = lambda old: replace(old, properties={"n": 1})  # noqa: E731
        try:
            with store.transaction() as writing:
                writing.update(vm(first).id, edit, actor="ann")
                both_hold_one.wait(TIMEOUT_SECONDS)
                writing.update(vm(second).id, edit, actor="ann")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        outcomes = [threads.submit(swap, "a", "b"), threads.submit(swap, "b", "a")]
        assert sorted(outcome.result(TIMEOUT_SECONDS) for outcome in outcomes) == [False, True]


def _write_and_fail(store: ResourceStore, write: Callable[[ResourceTransaction], None]) -> None:
    def failing() -> None:
        with store.transaction() as writing:
            write(writing)
            raise ConflictError("the writer gives up")

    with pytest.raises(ConflictError, match="gives up"):
        failing()


def _fresh_store(url: str) -> ResourceStore:
    engine = open_engine(url)
    migrate(engine)
    return ResourceStore(engine, SystemClock(), RandomIds())


def _changed(store: ResourceStore, after: int) -> list[str]:
    return [found.resource_id.rsplit("/", 1)[1] for found in store.changes(after)]

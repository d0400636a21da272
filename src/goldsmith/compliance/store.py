"""States in the database: snapshots as bitmaps, later changes as rows, each commit one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import numpy as np
import sqlalchemy as sa
import zstandard

from goldsmith.compliance.model import Cause, CauseKind, DayCounts, PolicyKey, Transition
from goldsmith.compliance.scan.bitmaps import count
from goldsmith.compliance.schema import (
    bitmap,
    day_count,
    policy,
    progress,
    roster,
    transition,
    unit,
)
from goldsmith.compliance.states import States
from goldsmith.kernel.digest import of_bytes
from goldsmith.kernel.errors import ConflictError, CorruptError
from goldsmith.policy.verdict import ComplianceState
from goldsmith.resources.engine import begin_write, is_transient
from goldsmith.resources.schema import change, resource

_ROWS_A_STATEMENT = 5000
_LOAD_ATTEMPTS = 5
_WHOLE = 0  # the policy number under which the counts of whole resources stand


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Up to where the states are right: a position in the feed and an instant of the clock."""

    position: int
    clock_at: datetime | None
    scanned_at: datetime | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Ids in lower case by row, None for rows that are nobody's; `digest` names it."""

    digest: str
    ids: tuple[str | None, ...]
    packed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The states of a policy over a type; `first_at` None: this is the first one."""

    policy: PolicyKey
    resource_type: str
    roster: str
    bits: States
    first_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    policy: PolicyKey
    definition_id: str
    initiative_id: str | None


@dataclass(slots=True, kw_only=True)
class Update:
    """What one step changes, written together or not at all."""

    at: datetime
    position: int
    clock_at: datetime
    scanned: bool = False
    started: list[Started] = field(default_factory=list)
    ended: list[PolicyKey] = field(default_factory=list)
    rosters: dict[str, Roster] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    counts: list[DayCounts] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything that is current: snapshots, and the changes after each of them in their order."""

    followed: Followed
    live: Mapping[PolicyKey, int]
    rosters: Mapping[str, tuple[str | None, ...]]
    snapshots: Sequence[Snapshot]
    later: Sequence[tuple[PolicyKey, str, str, ComplianceState | None]]


def roster_of(ids: Sequence[str | None]) -> Roster:
    lines = "\0".join(id_ or "" for id_ in ids).encode(errors="surrogatepass")
    return Roster(digest=of_bytes(lines), ids=tuple(ids), packed=zstandard.compress(lines))


class ComplianceStore:
    """The tables of `schema`, over the database of the resource store. Safe to share between threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def followed(self) -> Followed:
        with self._engine.connect() as connection:
            return _followed(connection)

    def load(self) -> Stored:
        """Raises CorruptError when stored bytes are not what was recorded, ConflictError when writers never
        pause.
        """
        for _ in range(_LOAD_ATTEMPTS):
            with self._engine.connect() as connection:
                stored = _load(connection)
                # Each statement may see more than the one before; equal revisions say that none did.
                if _followed(connection).revision == stored.followed.revision:
                    return stored
        raise ConflictError("compliance states changed all the time while they were read", hint="try again")

    def commit(self, update: Update, *, revision: int) -> int:
        """The new revision. Raises ConflictError when another follower has written since `revision`."""
        try:
            with begin_write(self._engine) as connection:
                _advance(connection, update, revision)
                self._write(connection, update, revision + 1)
        except sa.exc.DBAPIError as error:
            if is_transient(error):
                raise _overtaken() from error
            raise
        return revision + 1

    def forget(self, *, at: datetime) -> None:
        """Give up all current states, as when what is stored of them is damaged; changes and counts stay."""
        with begin_write(self._engine) as connection:
            connection.execute(sa.update(progress).values(revision=progress.c.revision + 1))
            connection.execute(sa.update(policy).where(policy.c.ended_at.is_(None)).values(ended_at=at))
            for table in (bitmap, unit, roster):
                connection.execute(sa.delete(table))

    def feed_head(self) -> int:
        """The position behind which no change is missing now: where a scan that starts now will be right."""
        query = sa.select(change.c.seq).order_by(change.c.xid.desc(), change.c.seq.desc()).limit(1)
        if self._engine.dialect.name == "postgresql":
            # As the feed itself: changes of transactions that older ones may still precede are not out yet.
            query = query.where(
                change.c.xid
                < sa.literal_column("(pg_snapshot_xmin(pg_current_snapshot())::text)::bigint", sa.BigInteger)
            )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def resource_types(self) -> list[str]:
        """The types of which there are resources, as one of them spells it, in order."""
        query = sa.select(sa.func.min(resource.c.type)).group_by(resource.c.type_key)
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars(), key=str.lower)

    def transitions(
        self,
        *,
        resource: str | None = None,
        policy_key: PolicyKey | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[tuple[int, Transition]]:
        """In the order they happened, each with its number; continue with the last one as `after`."""
        query = (
            sa.select(transition, policy.c.assignment_key, policy.c.reference_key)
            .join(policy, policy.c.id == transition.c.policy_id)
            .where(transition.c.seq > after)
            .order_by(transition.c.seq)
            .limit(limit)
        )
        if resource is not None:
            query = query.where(transition.c.resource_key == resource.rstrip("/").lower())
        if policy_key is not None:
            query = query.where(_is_policy(policy_key))
        with self._engine.connect() as connection:
            return [(row["seq"], _transition(row)) for row in connection.execute(query).mappings()]

    def since(self, resource: str, resource_type: str) -> dict[PolicyKey, datetime]:
        """For each policy in force that has looked at the type: since when the resource has its state."""
        live = policy.c.ended_at.is_(None)
        first = (
            sa.select(policy.c.assignment_key, policy.c.reference_key, unit.c.first_at)
            .join(unit, unit.c.policy_id == policy.c.id)
            .where(live, unit.c.type_key == resource_type.lower())
        )
        last = (
            sa.select(policy.c.assignment_key, policy.c.reference_key, transition.c.at)
            .join(transition, transition.c.policy_id == policy.c.id)
            .where(live, transition.c.resource_key == resource.rstrip("/").lower())
            .order_by(transition.c.seq)
        )
        with self._engine.connect() as connection:
            rows = [*connection.execute(first), *connection.execute(last)]
        return {(assignment, reference): at for assignment, reference, at in rows}

    def days(self, *, policy_key: PolicyKey | None = None, limit: int = 400) -> list[DayCounts]:
        """The newest `limit` days, oldest first; of the resources as a whole unless a policy is given.

        A policy that was assigned, removed and assigned again has the days of both times.
        """
        query = sa.select(day_count).order_by(day_count.c.day.desc(), day_count.c.policy_id.desc())
        if policy_key is None:
            query = query.where(day_count.c.policy_id == _WHOLE)
        else:
            query = query.join(policy, policy.c.id == day_count.c.policy_id).where(_is_policy(policy_key))
        with self._engine.connect() as connection:
            rows = list(connection.execute(query.limit(limit)).mappings())
        found: dict[str, DayCounts] = {}
        for row in rows:
            counts = {ComplianceState(state): number for state, number in row["counts"].items()}
            found.setdefault(row["day"], DayCounts(day=row["day"], policy=policy_key, counts=counts))
        return sorted(found.values(), key=lambda each: each.day)

    def _write(self, connection: sa.Connection, update: Update, revision: int) -> None:
        _start_and_end(connection, update)
        numbers = _live(connection)
        for each in update.rosters.values():
            known = sa.select(roster.c.digest).where(roster.c.digest == each.digest)
            if connection.execute(known).first() is None:
                connection.execute(sa.insert(roster).values(digest=each.digest, ids=each.packed))
        for snapshot in update.snapshots:
            _write_snapshot(connection, snapshot, numbers[snapshot.policy], revision=revision, at=update.at)
        if update.snapshots or update.ended:
            used = sa.select(unit.c.roster)
            connection.execute(sa.delete(roster).where(roster.c.digest.not_in(used)))
        rows = (_transition_row(each, numbers[each.policy], revision) for each in update.transitions)
        while batch := list(islice(rows, _ROWS_A_STATEMENT)):
            connection.execute(sa.insert(transition), batch)
        for counts in update.counts:
            number = _WHOLE if counts.policy is None else numbers[counts.policy]
            connection.execute(
                sa.delete(day_count).where(day_count.c.policy_id == number, day_count.c.day == counts.day)
            )
            connection.execute(
                sa.insert(day_count).values(
                    policy_id=number,
                    day=counts.day,
                    counts={str(state): number for state, number in counts.counts.items()},
                )
            )


def _load(connection: sa.Connection) -> Stored:
    followed = _followed(connection)
    live = _live(connection)
    keys = {number: key for key, number in live.items()}
    bits: dict[tuple[int, str], States] = {}
    current = policy.c.ended_at.is_(None)
    stored_bits = sa.select(bitmap).join(policy, policy.c.id == bitmap.c.policy_id).where(current)
    for row in connection.execute(stored_bits).mappings():
        unpacked = np.frombuffer(_unpacked(row["bits"]), np.uint8).copy()
        if count(unpacked) != row["count"]:
            raise CorruptError(
                f"a bitmap of {row['type_key']} has {count(unpacked)} rows, expected {row['count']}",
                hint="run a full scan: it finds every state anew",
            )
        bits.setdefault((row["policy_id"], row["type_key"]), {})[ComplianceState(row["state"])] = unpacked
    units = sa.select(unit).join(policy, policy.c.id == unit.c.policy_id).where(current)
    snapshots = [
        Snapshot(
            policy=keys[row["policy_id"]],
            resource_type=row["type_key"],
            roster=row["roster"],
            bits=bits.get((row["policy_id"], row["type_key"]), {}),
            first_at=row["first_at"],
        )
        for row in connection.execute(units).mappings()
    ]
    rosters = {
        row.digest: tuple(
            id_ or None for id_ in _unpacked(row.ids).decode(errors="surrogatepass").split("\0")
        )
        for row in connection.execute(sa.select(roster))
    }
    same_unit = sa.and_(unit.c.policy_id == transition.c.policy_id, unit.c.type_key == transition.c.type_key)
    later = (
        sa.select(
            transition.c.policy_id, transition.c.type_key, transition.c.resource_key, transition.c.after
        )
        .join(policy, policy.c.id == transition.c.policy_id)
        .outerjoin(unit, same_unit)
        .where(current, transition.c.revision > sa.func.coalesce(unit.c.revision, -1))
        .order_by(transition.c.seq)
    )
    return Stored(
        followed=followed,
        live=live,
        rosters=rosters,
        snapshots=snapshots,
        later=[
            (keys[number], type_, id_, _state(after))
            for number, type_, id_, after in connection.execute(later)
        ],
    )


def _followed(connection: sa.Connection) -> Followed:
    row = connection.execute(sa.select(progress)).mappings().one()
    return Followed(
        position=row["position"],
        clock_at=row["clock_at"],
        scanned_at=row["scanned_at"],
        revision=row["revision"],
    )


def _live(connection: sa.Connection) -> dict[PolicyKey, int]:
    query = sa.select(policy.c.assignment_key, policy.c.reference_key, policy.c.id)
    rows = connection.execute(query.where(policy.c.ended_at.is_(None)))
    return {(assignment, reference): number for assignment, reference, number in rows}


def _advance(connection: sa.Connection, update: Update, revision: int) -> None:
    values = {"position": update.position, "clock_at": update.clock_at, "revision": revision + 1}
    if update.scanned:
        values["scanned_at"] = update.at
    written = connection.execute(
        sa.update(progress).where(progress.c.revision == revision).values(values)
    ).rowcount
    if written != 1:
        raise _overtaken()


def _overtaken() -> ConflictError:
    return ConflictError(
        "another process has written compliance states meanwhile", hint="read them again and go on from there"
    )


def _start_and_end(connection: sa.Connection, update: Update) -> None:
    numbers = _live(connection)
    ended = [numbers[key] for key in update.ended if key in numbers]
    for number in ended:
        connection.execute(sa.update(policy).where(policy.c.id == number).values(ended_at=update.at))
        connection.execute(sa.delete(bitmap).where(bitmap.c.policy_id == number))
        connection.execute(sa.delete(unit).where(unit.c.policy_id == number))
    for each in update.started:
        connection.execute(
            sa.insert(policy).values(
                assignment_key=each.policy[0],
                reference_key=each.policy[1],
                definition_id=each.definition_id,
                initiative_id=each.initiative_id,
                started_at=update.at,
            )
        )


def _write_snapshot(
    connection: sa.Connection, snapshot: Snapshot, number: int, *, revision: int, at: datetime
) -> None:
    of_unit = (unit.c.policy_id == number, unit.c.type_key == snapshot.resource_type)
    connection.execute(sa.delete(unit).where(*of_unit))
    connection.execute(
        sa.delete(bitmap).where(bitmap.c.policy_id == number, bitmap.c.type_key == snapshot.resource_type)
    )
    connection.execute(
        sa.insert(unit).values(
            policy_id=number,
            type_key=snapshot.resource_type,
            roster=snapshot.roster,
            revision=revision,
            first_at=snapshot.first_at or at,
            evaluated_at=at,
        )
    )
    rows = [
        {
            "policy_id": number,
            "type_key": snapshot.resource_type,
            "state": str(state),
            "count": count(bits),
            "bits": zstandard.compress(bits.tobytes(), 1),
        }
        for state, bits in snapshot.bits.items()
        if bits.any()
    ]
    if rows:
        connection.execute(sa.insert(bitmap), rows)


def _transition_row(each: Transition, number: int, revision: int) -> dict[str, object]:
    return {
        "revision": revision,
        "policy_id": number,
        "type_key": each.resource_type,
        "resource_key": each.resource,
        "before": each.before or "",
        "after": each.after or "",
        "at": each.at,
        "code": each.code,
        "cause": str(each.cause.kind),
        "cause_id": each.cause.id,
    }


def _transition(row: sa.RowMapping) -> Transition:
    return Transition(
        policy=(row["assignment_key"], row["reference_key"]),
        resource_type=row["type_key"],
        resource=row["resource_key"],
        before=_state(row["before"]),
        after=_state(row["after"]),
        at=row["at"],
        code=row["code"],
        cause=Cause(kind=CauseKind(row["cause"]), id=row["cause_id"]),
    )


def _is_policy(key: PolicyKey) -> sa.ColumnElement[bool]:
    return sa.and_(policy.c.assignment_key == key[0], policy.c.reference_key == key[1])


def _state(text: str) -> ComplianceState | None:
    return ComplianceState(text) if text else None


def _unpacked(data: bytes) -> bytes:
    try:
        return zstandard.decompress(data)
    except zstandard.ZstdError as error:
        raise CorruptError(
            f"stored compliance states cannot be unpacked: {error}",
            hint="run a full scan: it finds every state anew",
        ) from error

"""Stored states onto the rows of an index, and the rows of an index as rosters."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np

from goldsmith.compliance.board import Board
from goldsmith.compliance.model import Cause, CauseKind, PolicyKey, Transition
from goldsmith.compliance.scan.bitmaps import Bits, packed
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.table import Table
from goldsmith.compliance.store import Roster, Stored, roster_of
from goldsmith.policy.verdict import ComplianceState


def rosters_of(index: FleetIndex, types: Iterable[str]) -> dict[str, Roster]:
    """The rows of each type as they are now."""
    return {type_: roster_of(index.table(type_).ids) for type_ in types}


def place_states(stored: Stored, board: Board, *, at: datetime) -> dict[tuple[PolicyKey, str], datetime]:
    """Put what is stored on the board; the instants at which policies were first evaluated over types.

    Resources that the index does not have any more lose their states: that is recorded as a change.
    """
    first_at: dict[tuple[PolicyKey, str], datetime] = {}
    lost: dict[tuple[PolicyKey, str, str], ComplianceState] = {}
    places: dict[tuple[str, str], _Places] = {}
    for snapshot in stored.snapshots:
        key, type_ = snapshot.policy, snapshot.resource_type
        if snapshot.first_at is not None:
            first_at[(key, type_)] = snapshot.first_at
        table = board.index.table(type_)
        if (snapshot.roster, type_) not in places:
            places[(snapshot.roster, type_)] = _Places(stored.rosters[snapshot.roster], table)
        there = places[(snapshot.roster, type_)]
        unit = board.unit(key, type_)
        for state, bits in snapshot.bits.items():
            unit.bits[state], gone = there.moved(bits)
            lost.update(((key, type_, id_), state) for id_ in gone)
    for key, type_, resource, after in stored.later:
        row = board.index.table(type_).row_of(resource)
        if row is None:
            lost.pop((key, type_, resource), None)
            if after is not None:
                lost[(key, type_, resource)] = after
        else:
            unit = board.unit(key, type_)
            unit.set(row, after, room_bytes=board.index.table(type_).bitmap_bytes)
    for (key, type_, resource), state in lost.items():
        board.transitions.append(
            Transition(
                policy=key,
                resource_type=type_,
                resource=resource,
                before=state,
                after=None,
                at=at,
                code="",
                cause=Cause(kind=CauseKind.RESOURCE, id=resource),
            )
        )
        board.touch(key, type_)
    return first_at


class _Places:
    """Where the rows of a roster are in a table."""

    def __init__(self, ids: Sequence[str | None], table: Table) -> None:
        self._table = table
        self._ids = ids
        rows = [None if id_ is None else table.row_of(id_) for id_ in ids]
        self._rows = np.array([-1 if row is None else row for row in rows], np.int64)

    def moved(self, bits: Bits) -> tuple[Bits, list[str]]:
        """The bitmap over the rows of the table, and the ids that have none there."""
        size = min(len(bits) * 8, len(self._rows))
        set_ = np.flatnonzero(np.unpackbits(bits, bitorder="little")[:size])
        rows = self._rows[set_]
        flags = np.zeros(self._table.room, np.bool_)
        flags[rows[rows >= 0]] = True
        gone = [self._ids[place] or "" for place in set_[rows < 0].tolist()]
        return packed(flags), gone

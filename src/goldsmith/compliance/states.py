"""The states of one policy over all resources of one type, as packed bitmaps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from goldsmith.compliance.scan.bitmaps import Bits, assign, count, is_set
from goldsmith.compliance.scan.columns import grown
from goldsmith.policy.verdict import ComplianceState

States = dict[ComplianceState, Bits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Rows that went from one state to another; None is no state."""

    before: ComplianceState | None
    after: ComplianceState | None
    rows: Bits


@dataclass(slots=True, eq=False)
class UnitStates:
    """A row has one state at most; rows beyond the end of the bitmaps have none."""

    bits: States = field(default_factory=dict)

    def of(self, row: int) -> ComplianceState | None:
        for state, bits in self.bits.items():
            if row >> 3 < len(bits) and is_set(bits, row):
                return state
        return None

    def set(self, row: int, state: ComplianceState | None, *, room_bytes: int) -> None:
        for known, bits in self.bits.items():
            if known is not state and row >> 3 < len(bits):
                assign(bits, row, False)
        if state is None:
            return
        if state not in self.bits:
            self.bits[state] = np.zeros(room_bytes, np.uint8)
        self.bits[state] = grown(self.bits[state], room_bytes)
        assign(self.bits[state], row, True)

    def replace(self, new: States, *, among: Bits) -> list[Moved]:
        """Take over `new` on the rows of `among`; what has changed by it."""
        size = len(among)
        old = {state: grown(bits, size) for state, bits in self.bits.items()}
        moved = list(_moved(old, new, among))
        for state in {*old, *new}:
            kept = old.get(state)
            fresh = new.get(state)
            merged = np.zeros(size, np.uint8) if kept is None else kept & ~among
            if fresh is not None:
                merged |= fresh & among
            self.bits[state] = merged
        return moved

    def any(self, size: int) -> Bits:
        """Rows that have a state."""
        return any_of(self.bits, size)

    def counts(self) -> dict[ComplianceState, int]:
        found = {state: count(bits) for state, bits in self.bits.items()}
        return {state: number for state, number in found.items() if number}


def any_of(bits: Mapping[ComplianceState, Bits], size: int) -> Bits:
    together = np.zeros(size, np.uint8)
    for each in bits.values():
        together[: len(each)] |= each[:size]
    return together


def _moved(old: States, new: States, among: Bits) -> Iterator[Moved]:
    was: dict[ComplianceState | None, Bits] = {state: bits & among for state, bits in old.items()}
    becomes: dict[ComplianceState | None, Bits] = {state: bits & among for state, bits in new.items()}
    was[None] = among & ~any_of(old, len(among))
    becomes[None] = among & ~any_of(new, len(among))
    for before, left in was.items():
        if not left.any():
            continue
        for after, right in becomes.items():
            if before is not after and (rows := left & right).any():
                yield Moved(before=before, after=after, rows=rows)

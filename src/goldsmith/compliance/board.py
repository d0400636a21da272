"""The states of the fleet in memory, unit by unit (policy, resource type), and what a commit records."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np

from goldsmith.compliance.model import Cause, DayCounts, PolicyKey, Transition
from goldsmith.compliance.rollup import RANK
from goldsmith.compliance.scan.bitmaps import Bits, count, is_set, rows_of
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.states import States, UnitStates
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.reasons import ReasonCode
from goldsmith.policy.rule import Effect
from goldsmith.policy.verdict import ComplianceState

Counts = dict[ComplianceState, int]


class Board:
    """`units[type][policy]` has the states of the rows of the index's table of that type."""

    def __init__(self, index: FleetIndex) -> None:
        self.index = index
        self.units: dict[str, dict[PolicyKey, UnitStates]] = {}
        self.transitions: list[Transition] = []
        self._touched: set[tuple[PolicyKey, str]] = set()
        self._whole: dict[str, Counts] = {}

    def unit(self, key: PolicyKey, type_: str) -> UnitStates:
        return self.units.setdefault(type_, {}).setdefault(key, UnitStates())

    def of_row(self, type_: str, row: int) -> dict[PolicyKey, ComplianceState]:
        found = ((key, unit.of(row)) for key, unit in self.units.get(type_, {}).items())
        return {key: state for key, state in found if state is not None}

    def set(
        self,
        key: PolicyKey,
        type_: str,
        row: int,
        state: ComplianceState | None,
        *,
        resource: str,
        code: str,
        at: datetime,
        cause: Cause,
    ) -> None:
        """A single pair has this state now; recorded if it had another."""
        known = self.units.get(type_, {}).get(key)
        before = None if known is None else known.of(row)
        if before is state:
            return
        self.unit(key, type_).set(row, state, room_bytes=self.index.table(type_).bitmap_bytes)
        self._touched.add((key, type_))
        self._record(key, type_, resource, before, state, code=code, at=at, cause=cause)

    def replace(
        self,
        policy: AssignedPolicy,
        type_: str,
        states: States,
        *,
        among: Bits,
        not_matching: Bits | None,
        at: datetime,
        cause: Cause | None,
    ) -> None:
        """The pairs of the rows of `among` have these states now; not recorded one by one without a cause."""
        key = policy.key
        if not states and key not in self.units.get(type_, {}):
            return
        moved = self.unit(key, type_).replace(states, among=among)
        if not moved:
            return
        self._touched.add((key, type_))
        if cause is None:
            return
        ids = self.index.table(type_).ids
        for each in moved:
            for row in rows_of(each.rows).tolist():
                code = code_of(policy, each.after)
                if each.after is ComplianceState.NON_COMPLIANT and not_matching is not None:
                    code = ReasonCode.RELATED_NOT_MATCHING if is_set(not_matching, row) else code
                resource = ids[row] or ""
                self._record(key, type_, resource, each.before, each.after, code=code, at=at, cause=cause)

    def clear_row(self, type_: str, row: int, *, resource: str, at: datetime, cause: Cause) -> None:
        """The resource is there no longer."""
        for key in self.of_row(type_, row):
            self.set(key, type_, row, None, resource=resource, code="", at=at, cause=cause)

    def drop(self, key: PolicyKey) -> None:
        """The policy is in force no longer: all its pairs end with it."""
        for type_, units in self.units.items():
            if units.pop(key, None) is not None:
                self._whole.pop(type_, None)
                self._touched = {each for each in self._touched if each[0] != key}

    def counts(self, key: PolicyKey) -> Counts:
        together: Counts = {}
        for units in self.units.values():
            if key in units:
                _add(together, units[key].counts())
        return together

    def whole_counts(self) -> Counts:
        """Resources by their rolled-up state."""
        for type_ in {type_ for _, type_ in self._touched} | (self.units.keys() - self._whole.keys()):
            size = self.index.table(type_).bitmap_bytes
            units = self.units.get(type_, {})
            self._whole[type_] = {
                state: number for state, bits in worst(units, size).items() if (number := count(bits))
            }
        together: Counts = {}
        for counts in self._whole.values():
            _add(together, counts)
        return together

    def take_changes(self, day: str) -> tuple[list[Transition], list[DayCounts]]:
        """The changes since the last call, and today's counts of the policies that they concern."""
        transitions, self.transitions = self.transitions, []
        if not self._touched:
            return transitions, []
        whole = self.whole_counts()
        keys = sorted({key for key, _ in self._touched})
        self._touched.clear()
        counts = [DayCounts(day=day, policy=key, counts=self.counts(key)) for key in keys]
        return transitions, [*counts, DayCounts(day=day, policy=None, counts=whole)]

    def touch(self, key: PolicyKey, type_: str) -> None:
        """Count it again at the next commit, though nothing of it was recorded."""
        self._touched.add((key, type_))

    def _record(
        self,
        key: PolicyKey,
        type_: str,
        resource: str,
        before: ComplianceState | None,
        after: ComplianceState | None,
        *,
        code: str,
        at: datetime,
        cause: Cause,
    ) -> None:
        self.transitions.append(
            Transition(
                policy=key,
                resource_type=type_,
                resource=resource,
                before=before,
                after=after,
                at=at,
                code=code,
                cause=cause,
            )
        )


def worst(units: Mapping[PolicyKey, UnitStates], size: int) -> States:
    """Each row once, under the state that stands for all its states."""
    taken = np.zeros(size, np.uint8)
    found: States = {}
    for state in RANK:
        bits = np.zeros(size, np.uint8)
        for each in _of_state(units, state):
            bits[: len(each)] |= each[:size]
        found[state] = bits & ~taken
        taken |= bits
    return found


def code_of(policy: AssignedPolicy, state: ComplianceState | None) -> str:
    """The reason code that goes with a state, as far as the state alone tells."""
    match state:
        case ComplianceState.NON_COMPLIANT:
            if policy.effect in (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS):
                return ReasonCode.NO_RELATED_RESOURCES
            return ReasonCode.ATTESTATION if policy.effect == Effect.MANUAL else ReasonCode.CONDITION
        case ComplianceState.ERROR:
            return ReasonCode.EVALUATION_ERROR
        case ComplianceState.CONFLICT:
            return ReasonCode.CONFLICT
        case ComplianceState.EXEMPT:
            return ReasonCode.EXEMPTION
        case ComplianceState.UNKNOWN:
            return ReasonCode.DEFAULT_STATE
        case _:
            return ReasonCode.NONE


def _of_state(units: Mapping[PolicyKey, UnitStates], state: ComplianceState) -> Iterator[Bits]:
    for unit in units.values():
        if state in unit.bits:
            yield unit.bits[state]


def _add(together: Counts, counts: Mapping[ComplianceState, int]) -> None:
    for state, number in counts.items():
        together[state] = together.get(state, 0) + number

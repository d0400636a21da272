"""Roll-ups of states: by assignment, initiative, definition, group, place, tag and type; worst reasons."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from goldsmith.compliance.board import worst
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.model import PolicyKey
from goldsmith.compliance.rollup import percentage, rolled_up
from goldsmith.compliance.scan.bitmaps import Bits, Rows, count, rows_of
from goldsmith.compliance.scan.scopes import group_of, subscription_of
from goldsmith.compliance.scan.table import Table
from goldsmith.compliance.states import UnitStates
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.tree import Narrowing
from goldsmith.policy.verdict import ComplianceState, evaluate_policy

REASONS_SAMPLE_MAX = 1000


class By(StrEnum):
    """What a summary is divided by."""

    ASSIGNMENT = "assignment"
    INITIATIVE = "initiative"
    DEFINITION = "definition"
    GROUP = "group"
    RESOURCE_GROUP = "resourceGroup"
    SUBSCRIPTION = "subscription"
    TAG = "tag"
    TYPE = "resourceType"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`counts` are distinct resources by their rolled-up state; `policies` those with a state on any of them.

    `state` stands for all; `percentage` is None when no resource counts for it.
    """

    key: str
    label: str
    counts: Mapping[ComplianceState, int]
    policies: int
    non_compliant_policies: int

    @property
    def state(self) -> ComplianceState | None:
        return rolled_up(state for state, number in self.counts.items() if number)

    @property
    def percentage(self) -> float | None:
        return percentage(self.counts)

    @property
    def resources(self) -> int:
        return sum(self.counts.values())

    @property
    def non_compliant(self) -> int:
        return self.counts.get(ComplianceState.NON_COMPLIANT, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """How often a sentence is among the reasons of the non-compliant pairs that were looked at."""

    sentence: str
    pairs: int
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """`looked_at` of `non_compliant` pairs; the most frequent first."""

    reasons: tuple[Reason, ...]
    looked_at: int
    non_compliant: int


@dataclass(slots=True)
class _Sum:
    label: str
    counts: dict[ComplianceState, int] = field(default_factory=dict)
    policies: set[PolicyKey] = field(default_factory=set)
    wrong: set[PolicyKey] = field(default_factory=set)

    def add(self, state: ComplianceState, number: int) -> None:
        if number:
            self.counts[state] = self.counts.get(state, 0) + number


def overall(keeper: Keeper, *, scope: str = "") -> Line:
    """The resources at a scope and below it, each counted once; "" is everything."""
    together = _Sum("")
    keeper.load()
    _add_resources(keeper, scope, keeper.in_force.policies, together)
    return _line(scope or "/", together)


def divided(keeper: Keeper, by: By, *, scope: str = "", tag: str | None = None) -> list[Line]:
    """The same divided; the worst (most non-compliant resources) first. `tag` is the name of one for By.TAG.

    Of a tag "" stands for resources without it; policies outside of initiatives and groups are left out of
    summaries by these.
    """
    match by:
        case By.RESOURCE_GROUP | By.SUBSCRIPTION | By.TAG | By.TYPE:
            lines = _by_resources(keeper, by, scope, tag)
        case By.ASSIGNMENT | By.INITIATIVE | By.DEFINITION | By.GROUP:
            lines = _by_policies(keeper, by, scope)
    return sorted(lines, key=lambda line: (-line.non_compliant, -line.resources, line.key))


def worst_reasons(keeper: Keeper, *, scope: str = "", limit: int = 10) -> Reasons:
    """Why most of what is non-compliant is so, from a sample of REASONS_SAMPLE_MAX pairs at most.

    Each policy gives to the sample in proportion to its non-compliant resources.
    """
    wrong: list[tuple[int, AssignedPolicy, str, Bits]] = []
    for type_, _, units in _tables(keeper, scope):
        for key, unit in units.items():
            bits = unit.bits.get(ComplianceState.NON_COMPLIANT)
            if bits is not None and (number := count(bits)) and key in keeper.in_force.policies:
                wrong.append((number, keeper.in_force.policies[key], type_, bits))
    total = sum(number for number, *_ in wrong)
    found: dict[tuple[str, str], int] = {}
    looked_at = 0
    related = keeper.related()
    for number, policy, type_, bits in sorted(wrong, key=lambda each: (-each[0], each[1].key)):
        share = max(1, number * REASONS_SAMPLE_MAX // total)
        if looked_at >= REASONS_SAMPLE_MAX:
            break
        rows = rows_of(bits)
        ids = keeper.index.table(type_).ids
        for row in rows[:: max(1, len(rows) // share)][:share].tolist():
            document = keeper.documents.find(ids[row] or "")
            if document is None:
                continue
            settings = keeper.judge.settings(ids[row] or "", related, with_reasons=True)
            verdict = evaluate_policy(policy, keeper.judge.target(document, keeper.now), settings)
            looked_at += 1
            for sentence in verdict.reasons:
                said = (policy.definition.label, sentence)
                found[said] = found.get(said, 0) + 1
    ranked = sorted(found.items(), key=lambda each: (-each[1], each[0]))[:limit]
    return Reasons(
        reasons=tuple(
            Reason(sentence=sentence, pairs=pairs, policy=label) for (label, sentence), pairs in ranked
        ),
        looked_at=looked_at,
        non_compliant=total,
    )


def _tables(keeper: Keeper, scope: str) -> Iterator[tuple[str, Table, Mapping[PolicyKey, UnitStates]]]:
    """Types with the states of the resources at the scope and below it."""
    keeper.load()
    for type_ in sorted(keeper.board.units):
        table, units = keeper.index.table(type_), keeper.board.units[type_]
        if scope.strip("/"):
            units = _masked(units, keeper.judge.under(type_, scope))
        yield type_, table, units


def _masked(units: Mapping[PolicyKey, UnitStates], rows: Bits) -> dict[PolicyKey, UnitStates]:
    return {
        key: UnitStates({state: bits & rows[: len(bits)] for state, bits in unit.bits.items()})
        for key, unit in units.items()
    }


def _add_resources(keeper: Keeper, scope: str, keys: Iterable[PolicyKey], together: _Sum) -> None:
    """The resources under some policies, each under its rolled-up state."""
    wanted = set(keys)
    for _, table, units in _tables(keeper, scope):
        chosen = {key: unit for key, unit in units.items() if key in wanted}
        if not chosen:
            continue
        for state, bits in worst(chosen, table.bitmap_bytes).items():
            together.add(state, count(bits))
        _add_policies(together, chosen)


def _by_policies(keeper: Keeper, by: By, scope: str) -> Iterator[Line]:
    keeper.load()
    members: dict[str, list[PolicyKey]] = {}
    labels: dict[str, str] = {}
    for key, policy in keeper.in_force.policies.items():
        for name, label in _names(policy, by):
            members.setdefault(name, []).append(key)
            labels.setdefault(name, label)
    for name, keys in members.items():
        together = _Sum(labels[name])
        _add_resources(keeper, scope, keys, together)
        yield _line(name, together)


def _names(policy: AssignedPolicy, by: By) -> Iterator[tuple[str, str]]:
    initiative = policy.initiative
    match by:
        case By.ASSIGNMENT:
            yield policy.assignment.id, policy.assignment.label
        case By.DEFINITION:
            yield policy.definition.id, policy.definition.label
        case By.INITIATIVE if initiative is not None:
            yield initiative.id, initiative.label
        case By.GROUP if initiative is not None:
            groups = {group.name.lower(): group for group in initiative.groups}
            for name in policy.group_names:
                group = groups.get(name.lower())
                label = (group.display_name if group is not None else None) or name
                yield f"{initiative.id}/policyDefinitionGroups/{name}", label
        case _:
            return


def _by_resources(keeper: Keeper, by: By, scope: str, tag: str | None) -> Iterator[Line]:
    sums: dict[str, _Sum] = {}
    for type_, table, units in _tables(keeper, scope):
        if by is By.TYPE:
            places = [keeper.judge.spellings.get(type_, type_)]
            codes = np.zeros(table.room, np.int64)
        else:
            places, codes = _places(keeper, type_, table, by, tag)
        for state, bits in worst(units, table.bitmap_bytes).items():
            numbers = np.bincount(codes[rows_of(bits)], minlength=len(places))
            for place, number in zip(places, numbers.tolist(), strict=False):
                if number:
                    _sum(sums, place).add(state, number)
        for key, unit in units.items():
            for state, bits in unit.bits.items():
                for code in np.unique(codes[rows_of(bits)]).tolist():
                    together = _sum(sums, places[code])
                    together.policies.add(key)
                    if state is ComplianceState.NON_COMPLIANT:
                        together.wrong.add(key)
    for place, together in sums.items():
        yield _line(place, together)


def _places(keeper: Keeper, type_: str, table: Table, by: By, tag: str | None) -> tuple[list[str], Rows]:
    """The names of places, and for each row the number of its own."""
    if by is By.TAG:
        field_ = (("tags", (tag or "").lower()), Narrowing.VALUE)
        keeper.index.require(type_, [field_])
        column = table.columns[field_]
        values = [column.dictionary.value(code) for code in range(len(column))]
        names = ["" if value is None else str(value) for value in values]
    else:
        column = table.containers
        of = group_of if by is By.RESOURCE_GROUP else subscription_of
        names = [of(str(key)) for key in column.dictionary.keys]
    unique = sorted(set(names))
    number = {name: place for place, name in enumerate(unique)}
    through = np.array([number[name] for name in names], np.int64)
    return unique, through[column.codes]


def _add_policies(together: _Sum, units: Mapping[PolicyKey, UnitStates]) -> None:
    for key, unit in units.items():
        counts = unit.counts()
        if counts:
            together.policies.add(key)
        if counts.get(ComplianceState.NON_COMPLIANT):
            together.wrong.add(key)


def _sum(sums: dict[str, _Sum], place: str) -> _Sum:
    return sums.setdefault(place, _Sum(place.rsplit("/", 1)[-1] if place.startswith("/") else place))


def _line(key: str, together: _Sum) -> Line:
    return Line(
        key=key,
        label=together.label,
        counts=together.counts,
        policies=len(together.policies),
        non_compliant_policies=len(together.wrong),
    )


def non_compliant_ids(keeper: Keeper, keys: Sequence[PolicyKey], *, scope: str = "") -> list[str]:
    """Ids in lower case, in order, of the resources that any of the policies finds non-compliant."""
    found: set[str] = set()
    for _, table, units in _tables(keeper, scope):
        for key in keys:
            bits = units[key].bits.get(ComplianceState.NON_COMPLIANT) if key in units else None
            if bits is not None:
                found.update(table.ids[row] or "" for row in rows_of(bits).tolist())
    return sorted(found)

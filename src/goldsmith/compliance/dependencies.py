"""What a change reaches beside the resource that changed: by related resources, scopes and the clock."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from goldsmith.compliance.judge import Judge, changes_resources
from goldsmith.compliance.plain import PlainPolicy, plain_of
from goldsmith.compliance.related import ancestors_of
from goldsmith.compliance.scan.bitmaps import Bits, assign, rows_of
from goldsmith.compliance.scan.scopes import group_of, subscription_of
from goldsmith.compliance.scan.table import Table
from goldsmith.expressions.errors import EvaluationError
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.operands import Computation
from goldsmith.policy.prepared import PreparedPolicy, leaves_of
from goldsmith.policy.related import RelatedQuery, is_related, plain_type
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import place_of
from goldsmith.policy.tree import Input, Source

_SCOPES = frozenset((Source.RESOURCE_GROUP, Source.SUBSCRIPTION))
_ANY_TYPE = "*"
_NAME = Input(Source.RESOURCE, ("name",))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watching:
    """A policy over `resource_type` that looks for related resources; `wide` ones do so beyond the group.

    `name` is what it looks for when that follows from the name of the judged resource alone, or from nothing.
    """

    policy: AssignedPolicy
    resource_type: str
    related_type: str
    wide: bool
    name: Computation | None


class Dependencies:
    """Of the policies on the types that there are; made anew when either changes. Types in lower case."""

    def __init__(self, judge: Judge, policies: Sequence[AssignedPolicy], types: Iterable[str]) -> None:
        self.by_type: dict[str, list[AssignedPolicy]] = {}
        self._plain: dict[str, list[PlainPolicy]] = {}
        self._others: dict[str, list[AssignedPolicy]] = {}
        self._watching: dict[str, list[Watching]] = {}
        self._scoped: dict[str, list[AssignedPolicy]] = {}
        self._clocked: dict[str, list[AssignedPolicy]] = {}
        for spelling in types:
            type_ = spelling.lower()
            considered = [policy for policy in policies if judge.considers(policy, spelling)]
            self.by_type[type_] = considered
            for policy in considered:
                self._read(policy, type_, judge.prepared(policy, spelling))

    def plain(self, type_: str) -> tuple[list[PlainPolicy], list[AssignedPolicy]]:
        """The policies on the type that only look at the resource, and the others."""
        return self._plain.get(type_, []), self._others.get(type_, [])

    def rivals(self, type_: str) -> list[AssignedPolicy]:
        """The policies on the type that change resources."""
        return [policy for policy in self.by_type.get(type_, ()) if changes_resources(policy)]

    def scoped(self, type_: str) -> list[AssignedPolicy]:
        """Those whose states can depend on the resource group or subscription as a document."""
        return self._scoped.get(type_, [])

    def clocked(self, type_: str) -> list[AssignedPolicy]:
        """Those whose states can depend on the moment."""
        return self._clocked.get(type_, [])

    def watching(self, type_: str) -> Iterator[Watching]:
        """Those for which a resource of the type may be a related one."""
        yield from self._watching.get(type_.lower(), ())
        yield from self._watching.get(_ANY_TYPE, ())

    def _read(self, policy: AssignedPolicy, type_: str, prepared: Sequence[PreparedPolicy]) -> None:
        plain = plain_of(policy, prepared)
        if plain is None:
            self._others.setdefault(type_, []).append(policy)
        else:
            self._plain.setdefault(type_, []).append(plain)
        sources = {source for each in prepared for source in _sources(each)}
        deploys = any(each.assigned.effect == Effect.DEPLOY_IF_NOT_EXISTS for each in prepared)
        if sources & _SCOPES or deploys or changes_resources(policy):
            self._scoped.setdefault(type_, []).append(policy)
        if any(each.rule.reads_clock for each in prepared):
            self._clocked.setdefault(type_, []).append(policy)
        for each in prepared:
            if each.rule.lookup and each.assigned.effect in _LOOKING:
                watching = _watching(policy, type_, each)
                self._watching.setdefault(watching.related_type, []).append(watching)


def judged_beside(watching: Watching, related_id: str, table: Table) -> Bits:
    """The rows of resources to which a resource of this id may be related, `watching` being the policy.

    See `policy.related`: children and extensions stand on what they are related to, others in its group.
    """
    rows = np.zeros_like(table.alive)
    for ancestor in ancestors_of(related_id):
        row = table.row_of(ancestor)
        if row is not None:
            assign(rows, row, True)
    if watching.related_type.startswith(watching.resource_type + "/"):
        return _looking_for(watching, related_id, rows, table)
    place = place_of(related_id)
    extension = place.holder is not None and "/" not in place.full_name
    if extension and not watching.wide and next(ancestors_of(place.holder or ""), None) is not None:
        return _looking_for(watching, related_id, rows, table)
    subscription, group = subscription_of(related_id), group_of(related_id)
    if watching.wide or not group:
        within = [str(key) for key in table.containers.dictionary.keys if _is_at(str(key), subscription)]
    else:
        # For what stands directly on the subscription all of it is near.
        within = [group, subscription]
    return _looking_for(watching, related_id, rows | table.in_containers(within), table)


_LOOKING = (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS)


def _looking_for(watching: Watching, related_id: str, rows: Bits, table: Table) -> Bits:
    """Those of the rows whose policy looks for a resource of that name."""
    if watching.name is None:
        return rows
    place = place_of(related_id)
    kept = np.zeros_like(rows)
    for row in rows_of(rows).tolist():
        id_ = table.ids[row] or ""
        try:
            name = watching.name.compute([id_.rpartition("/")[2] for _ in watching.name.inputs])
        except EvaluationError:
            continue
        query = RelatedQuery(
            type=watching.related_type,
            name=None if name in (None, "") else str(name),
            within="",
            of=id_,
            elsewhere=True,
        )
        if is_related(place, query):
            assign(kept, row, True)
    return kept


def _watching(policy: AssignedPolicy, type_: str, prepared: PreparedPolicy) -> Watching:
    lookup = prepared.rule.lookup
    names = {name.lower() for name in lookup}
    name = lookup.get("name")
    if name is not None and any(read != _NAME for read in name.inputs):
        name = None
    related = _ANY_TYPE
    if not lookup["type"].inputs:
        try:
            related = plain_type(str(lookup["type"].compute([]))).lower()
        except EvaluationError:
            related = _ANY_TYPE
    return Watching(
        policy=policy,
        resource_type=type_,
        related_type=related,
        wide=bool(names & {"existencescope", "resourcegroupname"}),
        name=name,
    )


def _sources(prepared: PreparedPolicy) -> Iterator[Source]:
    nodes = [prepared.rule.condition]
    if prepared.rule.existence is not None:
        nodes.append(prepared.rule.existence)
    for node in nodes:
        for leaf in leaves_of(node):
            yield from (read.source for read in leaf.inputs)
    for computation in prepared.rule.lookup.values():
        yield from (read.source for read in computation.inputs)


def _is_at(key: str, subscription: str) -> bool:
    return bool(subscription) and (key == subscription or key.startswith(subscription + "/"))

"""Rules that ask for a related resource (auditIfNotExists, deployIfNotExists) over the rows of a table.

Such a rule is true on a resource when its condition is and no related resource passes; which are related is
`goldsmith.policy.related`. They are tried in the order of their ids; the first that passes or fails decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from goldsmith.compliance.scan.bitmaps import Bits, Verdict, assign, is_set, rows_of
from goldsmith.compliance.scan.columns import grown
from goldsmith.compliance.scan.conditions import Conditions, Root, leaves_of
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.related import Anchor, RelatedRows, anchored_to, only_free, stands_on_resource
from goldsmith.compliance.scan.scopes import subscription_of
from goldsmith.compliance.scan.truth import ERROR, FALSE, TRUE
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.compile import CompiledRule
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_computation, evaluate_node
from goldsmith.policy.paths import project
from goldsmith.policy.related import RelatedQuery, plain_type, related_query
from goldsmith.policy.scope import Place, place_of
from goldsmith.policy.target import Target
from goldsmith.policy.tree import Input, Source

# An existence condition that reads nothing else says the same of a related resource whoever asks for it.
_OF_ITS_OWN = frozenset((Source.RELATED, Source.CLOCK, Source.REQUEST))

# The id of a related resource that decides, and whether it passes (TRUE) or has no result (ERROR).
Decision = tuple[str, int]


class ExistenceRule:
    """One rule on one resource type. `relations` gives rows and conditions of a type that is looked for."""

    def __init__(
        self,
        index: FleetIndex,
        conditions: Conditions,
        rule: CompiledRule,
        relations: Callable[[str], tuple[RelatedRows, Conditions]],
    ) -> None:
        self._index, self._conditions, self._rule = index, conditions, rule
        self._table = conditions.table
        self._root = conditions.add(rule.condition)
        self._related, self._others = relations(_related_type(rule))
        self._looked_nowhere = False
        self._names_differ = any(key.lower() == "name" and value.inputs for key, value in rule.lookup.items())
        self._existence: Root | None = None
        self._asks_target = False
        reads = [input_ for value in rule.lookup.values() for input_ in value.inputs]
        if rule.existence is not None:
            inputs = [input_ for leaf in leaves_of(rule.existence) for input_ in leaf.inputs]
            self._asks_target = any(input_.source not in _OF_ITS_OWN for input_ in inputs)
            if self._asks_target:
                index.require(self._related.table.type, _fields(inputs, Source.RELATED))
                reads += inputs
            else:
                self._existence = self._others.add(rule.existence)
        index.require(self._table.type, _fields(reads, Source.RESOURCE))
        self._sources = {input_.source for input_ in reads}
        reads += [input_ for leaf in leaves_of(rule.condition) for input_ in leaf.inputs]
        self._fields = frozenset(_fields(reads, Source.RESOURCE))
        self._true: Bits = np.zeros(self._table.bitmap_bytes, np.uint8)
        self._error: Bits = self._true.copy()
        # Rows to judge again; None: all.
        self._stale: set[int] | None = None
        # Where rows have looked: in a scope that they are in themselves, or in another of their subscription.
        self._scopes: set[tuple[Anchor, str]] = set()
        self._foreign: set[tuple[Anchor, str]] = set()
        self._pools: dict[tuple[Anchor, str, str | None], Decision | None] = {}
        self._table.observe(self)
        self._related.watch(self.related_changed)
        index.watch(self)

    def remove(self) -> None:
        """Give back what only this rule needed."""
        self._table.forget(self)
        self._related.forget(self.related_changed)
        self._index.forget(self)
        self._conditions.remove(self._root)
        if self._existence is not None:
            self._others.remove(self._existence)

    def verdict(self) -> Verdict:
        """True where the condition is and nothing related passes; error where one of them has no result.

        The bitmaps follow later changes when they are asked for again.
        """
        if self._stale is None:
            self._judge_all()
        elif self._stale:
            for row in self._stale:
                alive = is_set(self._table.alive, row)
                self._set(row, self._conditions.answer(self._root, row) if alive else FALSE)
        self._stale = set()
        return Verdict(self._true, self._error)

    def _judge_all(self) -> None:
        self._scopes.clear()
        self._foreign.clear()
        condition = self._conditions.verdict(self._root)
        self._true = condition.true.copy()
        self._error = np.zeros_like(self._true) if condition.error is None else condition.error.copy()
        rows = rows_of(condition.true).tolist()
        if rows and not self._nobody_passes(rows[0]):
            for row in rows:
                self._set(row, TRUE)

    def _set(self, row: int, condition: int) -> None:
        """Put down what is true of a row on which the condition is `condition`."""
        passes = self._judged(row) if condition == TRUE else FALSE
        assign(self._true, row, condition == TRUE and passes == FALSE)
        assign(self._error, row, ERROR in (condition, passes))

    def value(self, wanted: Input, row: int, related: int | None) -> JsonValue:
        """An input on a row of the table and a row of what is related to it."""
        field = (wanted.path, wanted.narrowing)
        match wanted.source:
            case Source.RESOURCE:
                column = self._table.columns[field]
                return column.dictionary.value(column.codes.item(row))
            case Source.RELATED:
                assert related is not None, "only an existence condition reads a related resource"
                column = self._related.table.columns[field]
                return column.dictionary.value(column.codes.item(related))
            case Source.RESOURCE_GROUP:
                return project(self._index.scopes.group(self._table.ids[row] or ""), *field)
            case Source.SUBSCRIPTION:
                return project(self._index.scopes.subscription(self._table.ids[row] or ""), *field)
            case Source.CLOCK | Source.REQUEST:
                return self._conditions.constant(wanted)

    def related_changed(self, id_: str | None) -> None:
        """A resource of the related type came, changed or went; None: any may have."""
        self._pools.clear()
        if id_ is None or self._stale is None or self._looked_nowhere:
            self._stale = None
            return
        ways = (Anchor.ANYWHERE,) if stands_on_resource(id_) else (Anchor.ANYWHERE, Anchor.FREE)
        for above in anchored_to(id_):
            row = self._table.row_of(above)
            if row is not None:
                self._stale.add(row)
            if any((way, above) in self._scopes for way in ways):
                self._stale.update(self._table.rows_under(above))
            if any((way, above) in self._foreign for way in ways):
                self._stale.update(self._table.rows_under(subscription_of(above)))

    def constants_changed(self, source: Source) -> None:
        """What `utcNow()` or `requestContext()` give is something else."""
        if source in self._sources or self._existence is not None:
            self.rows_changed()

    def scopes_changed(self) -> None:
        self.rows_changed()

    def rows_changed(self) -> None:
        self._pools.clear()
        self._stale = None

    def row_changed(self, row: int, fields: frozenset[Field] | None) -> None:
        if self._stale is not None and (fields is None or not fields.isdisjoint(self._fields)):
            self._stale.add(row)

    def room_grown(self) -> None:
        size = self._table.bitmap_bytes
        self._true, self._error = grown(self._true, size), grown(self._error, size)

    def _nobody_passes(self, row: int) -> bool:
        """There is nothing of the type at all, and looking for it fails on no resource."""
        self._looked_nowhere = False
        if len(self._related.table) or any(value.inputs for value in self._rule.lookup.values()):
            return False
        try:
            self._query(row)
        except (EvaluationError, InvalidInputError):
            return False
        self._looked_nowhere = True
        return True

    def _judged(self, row: int) -> int:
        """TRUE when a related resource passes, FALSE when none does, ERROR when one before has no result."""
        try:
            query = self._query(row)
        except (EvaluationError, InvalidInputError):
            return ERROR
        if query.within == query.of:
            decisions = [self._decision(self._related.rows(Anchor.UNDER, query.of), query, row)]
        elif query.elsewhere:
            decisions = [self._pooled(Anchor.ANYWHERE, query, row)]
        else:
            near = list(self._related.rows(Anchor.STANDING, query.of))
            itself = self._related.table.row_of(query.of)
            if itself is not None:
                near.append(itself)
            only = only_free(self._related.table.type, query)
            if only is None:
                decisions = [self._decision(near, query, row), self._pooled(Anchor.FREE, query, row)]
            else:
                one = self._related.table.row_of(only)
                if one is not None and one != itself:
                    near.append(one)
                if only != query.of:
                    self._looked(Anchor.FREE, query)
                decisions = [self._decision(near, query, row)]
        decided = [decision for decision in decisions if decision is not None]
        return min(decided)[1] if decided else FALSE

    def _pooled(self, anchor: Anchor, query: RelatedQuery, row: int) -> Decision | None:
        """What all resources of a scope share that look for the same."""
        self._looked(anchor, query)
        if self._asks_target or self._names_differ:
            return self._decision(self._related.rows(anchor, query.within, query.name), query, row)
        key = (anchor, query.within, query.name)
        if key not in self._pools:
            rows = self._related.rows(anchor, query.within, query.name)
            self._pools[key] = self._decision(rows, query, row)
        return self._pools[key]

    def _looked(self, anchor: Anchor, query: RelatedQuery) -> None:
        is_inside = query.of.startswith(query.within + "/")
        (self._scopes if is_inside else self._foreign).add((anchor, query.within))

    def _decision(self, rows: list[int], query: RelatedQuery, row: int) -> Decision | None:
        for related in self._related.named(rows, query):
            answer = self._answer(row, related)
            if answer != FALSE:
                return self._related.table.ids[related] or "", answer
        return None

    def _answer(self, row: int, related: int) -> int:
        if self._existence is not None:
            return self._others.answer(self._existence, related)
        if self._rule.existence is None:
            return TRUE
        try:
            passes = evaluate_node(self._rule.existence, _RowDocument(self, row, related))
        except EvaluationError:
            return ERROR
        return TRUE if passes else FALSE

    def _query(self, row: int) -> RelatedQuery:
        id_ = self._table.ids[row]
        assert id_ is not None, "only living rows are judged"
        place = place_of(id_)
        if place.type.lower() != self._table.type:
            place = replace(place, type=self._table.type)
        # A whole target takes longer to make than the query, which asks it for nothing else.
        return related_query(self._rule, cast(Target, _Looking(place, _RowDocument(self, row))))


@dataclass(frozen=True, slots=True)
class _Looking:
    """As much of a target as looking for related resources asks for."""

    place: Place
    document: Document


class _RowDocument(Document):
    """A row, and a row of what is related to it, as the one evaluator reads them: out of the columns."""

    __slots__ = ("_related", "_row", "_rule")

    def __init__(self, rule: ExistenceRule, row: int, related: int | None = None) -> None:
        super().__init__(None)
        self._rule, self._row, self._related = rule, row, related

    def value(self, wanted: Input) -> JsonValue:
        return self._rule.value(wanted, self._row, self._related)


def _related_type(rule: CompiledRule) -> str:
    """Raises InvalidInputError when the rule does not say once and for all which type it looks for."""
    value = rule.lookup.get("type")
    try:
        found = None if value is None or value.inputs else evaluate_computation(value, Document(None))
    except EvaluationError:
        found = None
    if not isinstance(found, str) or not found:
        raise InvalidInputError(
            "the member 'policyRule.then.details.type' does not name a resource type",
            hint="a policy that looks for related resources names their type, by itself or by a parameter",
        )
    return plain_type(found)


def _fields(inputs: list[Input], source: Source) -> list[Field]:
    return [(input_.path, input_.narrowing) for input_ in inputs if input_.source is source]

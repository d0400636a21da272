"""Gives states to many resources at once: what `policy.verdict` says of each, found by bitmaps.

Conditions are found for all rows together. What looks beyond the resource (related resources, changes that
contradict one another) is found one by one, by the functions that judge a single resource.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from goldsmith.compliance import catalog
from goldsmith.compliance.applying import Rows
from goldsmith.compliance.documents import StoredDocuments
from goldsmith.compliance.hierarchy import Hierarchy
from goldsmith.compliance.model import PolicyKey
from goldsmith.compliance.scan.bitmaps import Bits, Verdict, assign, is_set, rows_of
from goldsmith.compliance.scan.conditions import Conditions, Root
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.states import States
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.applicability import is_evaluated_type, may_set_identity, sets_identity
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.catalog.check import types_of
from goldsmith.policy.coverage import attestation_for
from goldsmith.policy.details import read_default_state
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.modify import PlannedChanges, conflicting, plan
from goldsmith.policy.prepared import Compiler, PreparedPolicy, leaves_of
from goldsmith.policy.reasons import ReasonCode
from goldsmith.policy.related import RelatedResources
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import SUBSCRIPTION_TYPE
from goldsmith.policy.target import NEWEST_API_VERSION, Target, round_trip, target_of
from goldsmith.policy.tree import Node, Source
from goldsmith.policy.verdict import ComplianceState, Settings, evaluate_policy
from goldsmith.policy.verdict import Verdict as PolicyVerdict

_CHANGING = (Effect.MODIFY, Effect.APPEND)
_CHECK_EVERY = 256


@dataclass(slots=True, kw_only=True)
class Around:
    """What decides states beside resources and policies, as it was when this was made."""

    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    exemptions: Sequence[PolicyExemption] = ()
    attestations: Sequence[Attestation] = ()
    _exemptions: dict[str, list[PolicyExemption]] = field(init=False, default_factory=dict)
    _attestations: dict[str, list[Attestation]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        # Under the assignment and under the scope, both ids in lower case.
        for exemption in self.exemptions:
            for key in _two_keys(exemption):
                self._exemptions.setdefault(key, []).append(exemption)
        for attestation in self.attestations:
            for key in _two_keys(attestation):
                self._attestations.setdefault(key, []).append(attestation)

    def exemptions_of(self, assignment_id: str) -> list[PolicyExemption]:
        return self._exemptions.get("of " + assignment_id.rstrip("/").lower(), [])

    def attestations_of(self, assignment_id: str) -> list[Attestation]:
        return self._attestations.get("of " + assignment_id.rstrip("/").lower(), [])

    def covering(self, id_: str) -> tuple[list[PolicyExemption], list[Attestation]]:
        """The exemptions and attestations that can speak of a resource."""
        key = id_.rstrip("/").lower()
        if not self._exemptions:
            return [], self._attestations.get("at " + key, [])
        parts = key.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        exemptions = [
            each
            for scope in (*above, *self.hierarchy.above(key))
            for each in self._exemptions.get("at " + scope, ())
        ]
        return exemptions, self._attestations.get("at " + key, [])


def _two_keys(each: PolicyExemption | Attestation) -> tuple[str, str]:
    return "of " + each.assignment_id.rstrip("/").lower(), "at " + each.scope.rstrip("/").lower()


@dataclass(slots=True, eq=False)
class _Added:
    node: Node
    root: Root


class Judge:
    """Keeps conditions of the policies it has judged, so that the next time only what changed is found.

    `spellings` maps types in lower case to how their resources spell them.
    """

    def __init__(self, index: FleetIndex, compiler: Compiler, documents: StoredDocuments) -> None:
        self.index = index
        self.compiler = compiler
        self.documents = documents
        self.around = Around()
        self.spellings: dict[str, str] = {}
        self._conditions: dict[str, Conditions] = {}
        self._roots: dict[tuple[PolicyKey, str], dict[str, _Added]] = {}

    # --- one resource --------------------------------------------------------------------------------------

    def target(self, document: JsonObject, now: datetime) -> Target:
        id_ = str(document["id"])
        scopes = self.index.scopes
        return target_of(
            document,
            now=now,
            resource_group=scopes.group(id_),
            subscription=scopes.subscription(id_),
            management_groups=self.around.hierarchy.above(id_),
        )

    def settings(self, id_: str, related: RelatedResources, *, with_reasons: bool = False) -> Settings:
        exemptions, attestations = self.around.covering(id_)
        return Settings(
            compiler=self.compiler,
            related=related,
            exemptions=exemptions,
            attestations=attestations,
            with_reasons=with_reasons,
        )

    def considers(self, policy: AssignedPolicy, resource_type: str) -> bool:
        """False when the policy has no state on any resource of the type, whatever the resource holds."""
        definition = policy.definition
        if not definition.evaluated or not is_evaluated_type(resource_type):
            return False
        if policy.effect == Effect.DISABLED and not policy.elsewhere:
            return False
        if resource_type.lower() in catalog.TYPES:
            # Rules that are about no type in particular are not meant for policy objects.
            assert definition.rule is not None, "evaluated definitions have a rule"
            return resource_type.lower() in {each.lower() for each in types_of(definition.rule)}
        if policy.elsewhere:
            return True
        try:
            prepared = self._prepare(policy, resource_type)
        except InvalidInputError:
            return True
        applies = prepared.applies
        never = applies if isinstance(applies, bool) else getattr(applies, "value", None)
        return never is not False and not prepared.rule.unknown

    def prepared(self, policy: AssignedPolicy, resource_type: str) -> list[PreparedPolicy]:
        """The policy as it is at each location, as far as it can be compiled."""
        found = []
        for each in (policy, *policy.elsewhere.values()):
            try:
                found.append(self._prepare(each, resource_type))
            except InvalidInputError:
                continue
        return found

    def under(self, resource_type: str, scope: str) -> Bits:
        """The rows of the type at the scope and below it."""
        table = self.index.table(resource_type)
        spelling = self.spellings.get(table.type, table.type)
        return Rows(self.index, table, self.around.hierarchy, spelling=spelling).under(scope)

    def root(self, key: PolicyKey, type_: str, node: Node) -> tuple[Conditions, Root] | None:
        """The bitmap that is kept of a condition; None when nothing has asked for it yet."""
        added = self._roots.get((key, type_), {}).get(str(node.index))
        return None if added is None else (self._conditions[type_], added.root)

    # --- many resources ------------------------------------------------------------------------------------

    def forget(self, key: PolicyKey) -> None:
        """The policy is in force no longer: drop its conditions."""
        for name, type_ in [each for each in self._roots if each[0] == key]:
            for added in self._roots.pop((name, type_)).values():
                self._conditions[type_].remove(added.root)

    def states(
        self,
        policies: Sequence[AssignedPolicy],
        resource_type: str,
        *,
        among: Bits,
        now: datetime,
        related: RelatedResources,
        cancel: Cancel | None = None,
        on_resource: Callable[[], None] | None = None,
    ) -> "Judged":
        """The states of the rows of `among` under each of the policies; a row without one is in none.

        `on_resource` is called for each resource that has to be looked at by itself.

        Where policies that change resources are among them they must be all that there are on the type:
        whether two contradict each other depends on both.
        """
        cancel = cancel or NeverCancel()
        table = self.index.table(resource_type)
        rows = Rows(
            self.index, table, self.around.hierarchy, spelling=self.spellings.get(table.type, table.type)
        )
        work = _Work(
            rows=rows,
            among=among & table.alive,
            now=now,
            related=related,
            cancel=cancel,
            on_resource=on_resource,
        )
        conditions = self._of(table.type, now)
        self._add(policies, table.type, conditions)
        pending: list[tuple[AssignedPolicy, Bits]] = []
        found: dict[PolicyKey, States] = {}
        for policy in policies:
            cancel.check()
            states: States = {}
            if self.considers(policy, rows.spelling):
                for variant, variant_rows in _variants(policy, work):
                    rowwise = self._judge(policy, variant, variant_rows, work, states)
                    if rowwise.any():
                        pending.append((policy, rowwise))
            found[policy.key] = states
        self._judge_rowwise(pending, work, found)
        self._settle_conflicts([each for each in policies if changes_resources(each)], work, found)
        return Judged(states=found, not_matching=work.not_matching)

    def _judge(
        self, policy: AssignedPolicy, variant: AssignedPolicy, rows: Bits, work: "_Work", states: States
    ) -> Bits:
        """Adds to `states`; gives the rows that have to be judged one by one."""
        nothing = np.zeros_like(rows)
        if variant.effect == Effect.DISABLED:
            return nothing
        definition, assignment = variant.definition, variant.assignment
        rows = rows & work.rows.in_scope(assignment)
        if definition.indexed:
            rows &= work.rows.indexed()
        if not rows.any():
            return nothing
        rows = work.rows.selected(rows, assignment.resource_selectors, variant.reference_id)
        try:
            prepared = self._prepare(variant, work.rows.spelling)
        except InvalidInputError:
            _join(states, ComplianceState.ERROR, rows)
            return nothing
        if never_meant(prepared):
            return nothing
        applies = prepared.applies
        if isinstance(applies, bool):
            rows = rows if applies else nothing
        else:
            rows = self._split(policy, work, applies, rows, states)
        if not rows.any():
            return nothing
        exempt = self._exempt(variant, rows, work)
        _join(states, ComplianceState.EXEMPT, exempt)
        rows = rows & ~exempt
        if prepared.reads_identity or variant.effect == Effect.AUDIT_ACTION or not rows.any():
            return nothing
        # Where its rule does not hold a manual policy is not about the resource.
        others = None if variant.effect == Effect.MANUAL else ComplianceState.COMPLIANT
        true = self._split(policy, work, prepared.rule.condition, rows, states, others=others)
        match variant.effect:
            case Effect.MANUAL:
                self._attest(prepared, true, work, states)
            case Effect.DENY_ACTION:
                _join(states, ComplianceState.PROTECTED, true)
            case Effect.AUDIT_IF_NOT_EXISTS | Effect.DEPLOY_IF_NOT_EXISTS:
                return true
            case _:
                _join(states, ComplianceState.NON_COMPLIANT, true)
        return nothing

    def _split(
        self,
        policy: AssignedPolicy,
        work: "_Work",
        node: Node,
        rows: Bits,
        states: States,
        *,
        others: ComplianceState | None = None,
    ) -> Bits:
        """The rows on which the condition holds; those on which it fails are in error, others in `others`."""
        verdict = self._verdict(policy, work.rows.table.type, node)
        error = None if verdict.error is None else verdict.error & rows
        if error is not None:
            _join(states, ComplianceState.ERROR, error)
            rows = rows & ~error
        true = rows & verdict.true
        if others is not None:
            _join(states, others, rows & ~true)
        return true

    def _exempt(self, variant: AssignedPolicy, rows: Bits, work: "_Work") -> Bits:
        found = np.zeros_like(rows)
        reference = (variant.reference_id or "").lower()
        for each in self.around.exemptions_of(variant.assignment.id):
            named = {name.lower() for name in each.reference_ids}
            expired = each.expires_on is not None and each.expires_on <= work.now
            if expired or (named and reference not in named):
                continue
            covered = rows & work.rows.under(each.scope)
            found |= work.rows.selected(covered, each.resource_selectors, variant.reference_id)
        return found

    def _attest(self, prepared: PreparedPolicy, rows: Bits, work: "_Work", states: States) -> None:
        assigned = prepared.assigned
        rule = assigned.definition.rule
        assert rule is not None, "only definitions with a rule of ours are prepared"
        attestations = self.around.attestations_of(assigned.assignment.id)
        rest = rows.copy()
        for row in {work.rows.table.row_of(each.scope.rstrip("/")) for each in attestations} - {None}:
            assert row is not None, "None is left out"
            if not is_set(rest, row):
                continue
            subject = work.rows.subject(row, assigned.reference_id)
            found = attestation_for(attestations, assigned.assignment.id, subject, now=work.now)
            if found is not None and found.state is not None:
                one = np.zeros_like(rows)
                assign(one, row, True)
                _join(states, ComplianceState(str(found.state)), one)
                assign(rest, row, False)
        try:
            default = ComplianceState(str(read_default_state(rule.details, assigned.parameters)))
        except InvalidInputError:
            default = ComplianceState.ERROR
        _join(states, default, rest)

    def _judge_rowwise(
        self, pending: list[tuple[AssignedPolicy, Bits]], work: "_Work", found: dict[PolicyKey, States]
    ) -> None:
        for row, document in self._documents([bits for _, bits in pending], work):
            target = self.target(document, work.now)
            settings = self.settings(target.place.id, work.related)
            for policy, bits in pending:
                if is_set(bits, row):
                    verdict = evaluate_policy(policy, target, settings)
                    state = kept(verdict)
                    if state is not None:
                        _join_row(found[policy.key], state, row, len(bits))
                    if verdict.code is ReasonCode.RELATED_NOT_MATCHING:
                        marked = work.not_matching.setdefault(policy.key, np.zeros_like(bits))
                        assign(marked, row, True)

    def _settle_conflicts(
        self, policies: list[AssignedPolicy], work: "_Work", found: dict[PolicyKey, States]
    ) -> None:
        wrong = {
            policy.key: found[policy.key][ComplianceState.NON_COMPLIANT]
            for policy in policies
            if ComplianceState.NON_COMPLIANT in found[policy.key]
        }
        rivals = [policy for policy in policies if policy.key in wrong]
        if len(rivals) < 2:
            return
        once = np.zeros_like(work.among)
        twice = np.zeros_like(work.among)
        for bits in wrong.values():
            twice |= once & bits
            once |= bits
        for row, document in self._documents([twice], work):
            target = self.target(document, work.now)
            concerned = [policy for policy in rivals if is_set(wrong[policy.key], row)]
            for key in self._contradicting(concerned, target):
                assign(wrong[key], row, False)
                _join_row(found[key], ComplianceState.CONFLICT, row, len(work.among))

    def _contradicting(self, policies: Iterable[AssignedPolicy], target: Target) -> frozenset[PolicyKey]:
        plans: list[PlannedChanges] = []
        for policy in policies:
            variant = policy.at_location(target.location)
            if variant.effect not in _CHANGING:
                continue
            try:
                prepared = self._prepare(variant, target.type)
                plans.append(plan(prepared, target, compiler=self.compiler))
            except (EvaluationError, InvalidInputError):
                # What it would write cannot be computed; that it is non-compliant stands all the same.
                continue
        return conflicting(plans)

    def _documents(self, wanted: Sequence[Bits], work: "_Work") -> Iterable[tuple[int, JsonObject]]:
        together = np.zeros_like(work.among)
        for bits in wanted:
            together |= bits
        table = work.rows.table
        ids = [table.ids[row] or "" for row in rows_of(together).tolist()]
        if not ids:
            return
        for number, document in enumerate(self.documents.many(work.rows.spelling, ids, of=len(table))):
            if number % _CHECK_EVERY == 0:
                work.cancel.check()
            if work.on_resource is not None:
                work.on_resource()
            row = table.row_of(str(document["id"]))
            if row is not None:
                yield row, document

    # --- conditions ----------------------------------------------------------------------------------------

    def _of(self, type_: str, now: datetime) -> Conditions:
        if type_ not in self._conditions:
            conditions = self._conditions[type_] = Conditions(self.index, type_)
            conditions.set_constant(Source.REQUEST, {"apiVersion": NEWEST_API_VERSION})
        self._conditions[type_].set_constant(Source.CLOCK, round_trip(now))
        return self._conditions[type_]

    def _add(self, policies: Sequence[AssignedPolicy], type_: str, conditions: Conditions) -> None:
        wanted: dict[PolicyKey, list[Node]] = {}
        for policy in policies:
            if self.considers(policy, self.spellings.get(type_, type_)):
                wanted[policy.key] = [
                    node
                    for prepared in self.prepared(policy, self.spellings.get(type_, type_))
                    for node in (prepared.applies, prepared.rule.condition)
                    if not isinstance(node, bool)
                ]
        # All columns in one reading of the resources, not one for each condition.
        self.index.require(type_, fields_of(node for nodes in wanted.values() for node in nodes))
        for key, nodes in wanted.items():
            known = self._roots.setdefault((key, type_), {})
            names = {str(node.index): node for node in nodes}
            for name, node in names.items():
                if name not in known:
                    known[name] = _Added(node, conditions.add(node))
            for name in [each for each in known if each not in names]:
                conditions.remove(known.pop(name).root)
        conditions.settle()

    def _verdict(self, policy: AssignedPolicy, type_: str, node: Node) -> Verdict:
        root = self._roots[(policy.key, type_)][str(node.index)].root
        return self._conditions[type_].verdict(root)

    def _prepare(self, policy: AssignedPolicy, resource_type: str) -> PreparedPolicy:
        return self.compiler.prepare(policy, self.spellings.get(resource_type.lower(), resource_type))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    rows: Rows
    among: Bits
    now: datetime
    related: RelatedResources
    cancel: Cancel
    on_resource: Callable[[], None] | None
    not_matching: dict[PolicyKey, Bits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """`not_matching`: rows that have related resources of which none passes, of those non-compliant."""

    states: dict[PolicyKey, States]
    not_matching: dict[PolicyKey, Bits]


def kept(verdict: PolicyVerdict) -> ComplianceState | None:
    """The state of a verdict, None when it is none."""
    none = (ComplianceState.NOT_APPLICABLE, ComplianceState.NOT_EVALUATED)
    return None if verdict.state in none else verdict.state


def fields_of(nodes: Iterable[Node]) -> list[Field]:
    """The columns that conditions read of the resources themselves."""
    found: dict[Field, None] = {}
    for node in nodes:
        for leaf in leaves_of(node):
            for read in leaf.inputs:
                if read.source is Source.RESOURCE:
                    found[(read.path, read.narrowing)] = None
    return sorted(found)


def changes_resources(policy: AssignedPolicy) -> bool:
    """Whether it writes into resources, so that another policy can contradict it."""
    return any(each.effect in _CHANGING for each in (policy, *policy.elsewhere.values()))


def _variants(policy: AssignedPolicy, work: _Work) -> list[tuple[AssignedPolicy, Bits]]:
    if not policy.elsewhere:
        return [(policy, work.among)]
    return [
        (policy if location is None else policy.elsewhere[location], rows & work.among)
        for location, rows in work.rows.by_location(policy.elsewhere)
    ]


def never_meant(prepared: PreparedPolicy) -> bool:
    """Whether the compiled policy says nothing of any resource of its type."""
    assigned, type_ = prepared.assigned, prepared.resource_type
    rule = assigned.definition.rule
    if prepared.rule.unknown:
        return True
    if (
        assigned.effect == Effect.MODIFY
        and not may_set_identity(type_)
        and rule is not None
        and sets_identity(rule.details)
    ):
        return True
    return prepared.mentions_location and type_.lower() == SUBSCRIPTION_TYPE.lower()


def _join(states: States, state: ComplianceState, rows: Bits) -> None:
    known = states.get(state)
    states[state] = rows.copy() if known is None else known | rows


def _join_row(states: States, state: ComplianceState, row: int, size: int) -> None:
    if state not in states:
        states[state] = np.zeros(size, np.uint8)
    assign(states[state], row, True)

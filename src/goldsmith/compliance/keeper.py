"""Keeps the states of the fleet right: follows the feed of changes and the clock, and scans from scratch.

A step reads changes, finds what they change, and commits states and position together. A process that dies
anywhere has committed all of a step or nothing, and the same changes found again change nothing again.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from goldsmith.compliance import catalog
from goldsmith.compliance.assigned import InForce
from goldsmith.compliance.board import Board, code_of
from goldsmith.compliance.catalog import PolicyObjects
from goldsmith.compliance.dependencies import Dependencies, judged_beside
from goldsmith.compliance.documents import StoredDocuments
from goldsmith.compliance.hierarchy import SUBSCRIPTION, Hierarchy, hierarchy_of
from goldsmith.compliance.hierarchy import TYPES as HIERARCHY_TYPES
from goldsmith.compliance.judge import Around, Judge, changes_resources, fields_of, kept
from goldsmith.compliance.loading import place_states, rosters_of
from goldsmith.compliance.model import Cause, CauseKind, PolicyKey, Progress
from goldsmith.compliance.plain import plain_state, roots_of
from goldsmith.compliance.related import RelatedByContainer, StoredRelated
from goldsmith.compliance.reporting import Reporter
from goldsmith.compliance.saved import SavedColumns
from goldsmith.compliance.scan.bitmaps import Bits, count, rows_of
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.schedule import HORIZON, Schedule, expired, next_expiry, turn
from goldsmith.compliance.step import Step
from goldsmith.compliance.store import ComplianceStore, Followed, Snapshot, Started, Update
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import GROUP_TYPE, SUBSCRIPTION_TYPE, scope_of
from goldsmith.policy.verdict import ComplianceState, evaluate_policies, evaluate_policy
from goldsmith.resources.model import Change
from goldsmith.resources.store import ResourceStore

logger = logging.getLogger(__name__)

CHANGES_A_STEP = 500
# More rows than this are judged by bitmaps rather than one by one.
_ONE_BY_ONE_MAX = 64
_POLICIES_A_ROUND = 25
_CONTAINERS = frozenset((GROUP_TYPE.lower(), SUBSCRIPTION_TYPE.lower()))
_LOOKING = (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What a step did; `changes` 0 means that the end of the feed was reached."""

    changes: int
    transitions: int


class Keeper:
    """For one thread. Another process may do the same: whoever commits second finds out and reads again."""

    def __init__(
        self,
        *,
        resources: ResourceStore,
        store: ComplianceStore,
        aliases: AliasTable,
        clock: Clock,
        columns: Path | None = None,
    ) -> None:
        """With `columns`, a directory, what is read of the resources is kept there for the next process."""
        self.resources = resources
        self.store = store
        self.documents = StoredDocuments(resources)
        self._saved = None if columns is None else SavedColumns(columns, resources, self.documents)
        self._clock = clock
        self._aliases = aliases
        self._loaded = False
        self._in_doubt = False
        self._live: set[PolicyKey] = set()
        self._first_at: dict[tuple[PolicyKey, str], datetime] = {}
        self._empty()

    # --- reading what is known -----------------------------------------------------------------------------

    @property
    def followed(self) -> Followed:
        self.load()
        return self._followed

    @property
    def problems(self) -> dict[str, str]:
        """Policy objects that have no effect, with the reason: they cannot be read or resolved."""
        self.load()
        return {**self.objects.problems, **self.in_force.problems}

    def load(self, *, cancel: Cancel | None = None, on_resource: Callable[[], None] | None = None) -> None:
        """Read states, policies and resources unless that was done; other methods do so by themselves."""
        if self._loaded:
            return
        self._load(
            None if self._saved is None else self._saved.open(), cancel=cancel, on_resource=on_resource
        )

    def _load(
        self,
        index: FleetIndex | None,
        *,
        cancel: Cancel | None,
        on_resource: Callable[[], None] | None,
    ) -> None:
        self._empty(index)
        stored = self.store.load()
        self._followed = stored.followed
        self._live = set(stored.live)
        self._read_policies()
        self._fill_index(cancel or NeverCancel(), on_resource)
        placed = place_states(stored, self.board, at=self._clock.now())
        self._first_at = placed
        self._depend()
        # What was just read may be newer than the states: of what changes in between nobody knows how it was.
        self._in_doubt = True
        self._loaded = True

    # --- following -----------------------------------------------------------------------------------------

    def catch_up(self, *, cancel: Cancel | None = None) -> int:
        """Follow to the end of the feed as it is now; the number of transitions. Raises as `advance`."""
        cancel = cancel or NeverCancel()
        transitions = 0
        while True:
            cancel.check()
            step = self.advance()
            transitions += step.transitions
            if step.changes < CHANGES_A_STEP:
                self._save_columns(whole=False)
                return transitions

    def advance(self, *, limit: int = CHANGES_A_STEP) -> Advance:
        """Take the next changes of the feed and what the clock has brought, and commit what follows.

        Raises ConflictError when another process did so meanwhile; then, as after any error, the next call
        starts from what is stored.
        """
        self.load()
        now = self._clock.now()
        changes = self.resources.changes(self._followed.position, limit)
        try:
            step = self._step(now)
            self._take(changes, step)
            self._follow_clock(step)
            position = changes[-1].seq if changes else self._followed.position
            transitions = len(self.board.transitions)
            if changes or transitions or step.due or step.started or step.ended:
                self._commit(step, position)
            self._in_doubt = self._in_doubt and len(changes) == limit
        except BaseException:
            self._loaded = False
            raise
        return Advance(changes=len(changes), transitions=transitions)

    def next_due(self) -> datetime | None:
        """When the clock will next change something, or may; None: never."""
        self.load()
        now = self._clock.now()
        coming = [
            self._schedule.next(),
            next_expiry(self.objects.exemptions.values(), now=now),
            next_expiry(self.objects.attestations.values(), now=now),
        ]
        return min((each for each in coming if each is not None), default=None)

    def scan(
        self, *, cancel: Cancel | None = None, on_progress: Callable[[Progress], None] | None = None
    ) -> int:
        """Read everything anew, judge all of it, and record what differs; the number of transitions.

        Afterwards all states are snapshots as of now, and the feed is followed from where it was when the
        scan began. Raises CanceledError (nothing is changed then) and ConflictError as `advance`.
        """
        cancel = cancel or NeverCancel()
        head = self.store.feed_head()
        self._loaded = False
        report = Reporter(self._clock, on_progress)
        report.phase("reading")
        try:
            self._load(None, cancel=cancel, on_resource=report.resource)
        except CorruptError as error:
            logger.warning("the stored compliance states are damaged and found anew: %s", error.message)
            self.store.forget(at=self._clock.now())
            self._load(None, cancel=cancel, on_resource=report.resource)
        try:
            step = self._step(self._clock.now())
            self._start_and_end(step)
            report.phase("evaluating", total=sum(len(table) for table in self.index.tables.values()))
            for type_ in sorted(self.index.tables):
                self._scan_type(type_, step, cancel=cancel, report=report)
            for key, type_ in self._clocked_units():
                self._schedule.set(key, type_, step.now)
            transitions = len(self.board.transitions)
            self._commit(step, head, scanned=True)
        except BaseException:
            self._loaded = False
            raise
        self._save_columns(whole=True)
        report.phase("done")
        logger.info("a full scan found %d changed states", transitions)
        return transitions

    def _step(self, now: datetime) -> Step:
        return Step(now=now, related=self.related(), related_of_many=RelatedByContainer(self.documents))

    # --- one resource, for explanations --------------------------------------------------------------------

    def policies_on(self, resource_type: str) -> list[AssignedPolicy]:
        """The policies in force that can have a state on resources of the type."""
        self.load()
        known = self._depends.by_type.get(resource_type.lower())
        if known is None:
            policies = self.in_force.policies.values()
            known = [each for each in policies if self.judge.considers(each, resource_type)]
        return known

    def related(self) -> StoredRelated:
        """Where a single resource's related resources are found, as the store is from now on."""
        tables = self.index.tables
        return StoredRelated(self.documents, exists=lambda type_: type_ in tables and len(tables[type_]) > 0)

    @property
    def now(self) -> datetime:
        return self._clock.now()

    # --- filling -------------------------------------------------------------------------------------------

    def _save_columns(self, *, whole: bool) -> None:
        if self._saved is not None:
            self._saved.save(self.index, self._followed.position, whole=whole)

    def _empty(self, index: FleetIndex | None = None) -> None:
        self.objects = PolicyObjects()
        self.in_force = InForce()
        self.index = index or FleetIndex(self.documents)
        self.judge = Judge(self.index, Compiler(self._aliases), self.documents)
        self.board = Board(self.index)
        self._depends = Dependencies(self.judge, (), ())
        self._schedule = Schedule()
        self._live = set()
        self._first_at = {}
        self._followed = Followed(position=0, clock_at=None, scanned_at=None, revision=0)

    def _read_policies(self) -> None:
        for type_ in catalog.READ:
            for document in self.documents.of_type(type_):
                self.objects.put(document)
        self.in_force.renew(self.objects)
        self._surround(self._read_hierarchy())

    def _read_hierarchy(self) -> Hierarchy:
        return hierarchy_of(each for type_ in HIERARCHY_TYPES for each in self.documents.of_type(type_))

    def _surround(self, hierarchy: Hierarchy) -> None:
        self.judge.around = Around(
            hierarchy=hierarchy,
            exemptions=tuple(self.objects.exemptions.values()),
            attestations=tuple(self.objects.attestations.values()),
        )

    def _fill_index(self, cancel: Cancel, on_resource: Callable[[], None] | None) -> None:
        policies = list(self.in_force.policies.values())
        for spelling in self.store.resource_types():
            self.judge.spellings[spelling.lower()] = spelling
            fields = fields_of(
                node
                for policy in policies
                if self.judge.considers(policy, spelling)
                for prepared in self.judge.prepared(policy, spelling)
                for node in (prepared.applies, prepared.rule.condition)
                if not isinstance(node, bool)
            )
            # While the table is empty its columns cost nothing: then all resources are read once.
            known = len(self.index.table(spelling)) > 0
            self.index.require(spelling, fields)
            if known:
                continue
            self.index.put_many(_counted(self.documents.of_type(spelling), cancel, on_resource))

    def _depend(self) -> None:
        types = [self.judge.spellings[type_] for type_ in self.index.tables if type_ in self.judge.spellings]
        policies = list(self.in_force.policies.values())
        self._depends = Dependencies(self.judge, policies, types)
        self._schedule.keep(self._clocked_units(), now=self._clock.now())

    def _clocked_units(self) -> list[tuple[PolicyKey, str]]:
        return [(each.key, type_) for type_ in self.index.tables for each in self._depends.clocked(type_)]

    # --- a step --------------------------------------------------------------------------------------------

    def _take(self, changes: Sequence[Change], step: Step) -> None:
        last = {change.resource_id.rstrip("/").lower(): change for change in changes}
        everything = self._take_policies(last, step)
        documents = self._take_resources(last, step)
        if everything:
            self._renew_all(step, Cause(kind=CauseKind.SCOPE))
        self._judge_renewed(step)
        for document, change in documents:
            cause = Cause(kind=CauseKind.RESOURCE, id=change.resource_id)
            self._judge_one(document, step, cause)
        self._judge_exempted(step)
        for change in last.values():
            self._judge_beside(change.resource_id, change.resource_type, step)
        for id_, type_ in step.replaced:
            self._judge_beside(id_, type_, step)

    def _take_policies(self, last: dict[str, Change], step: Step) -> bool:
        """Whether everything has to be judged again."""
        touched: set[str] = set()
        for key, change in last.items():
            if change.resource_type.lower() not in catalog.READ:
                continue
            before = (self.objects.exemptions.get(key), self.objects.attestations.get(key))
            document = self.documents.find(change.resource_id)
            if document is None:
                self.objects.delete(key)
            else:
                self.objects.put(document)
            after = (self.objects.exemptions.get(key), self.objects.attestations.get(key))
            if self._in_doubt or before == after:
                step.doubted.append(change)
            else:
                step.exempted += [(each, key) for each in (*before, *after) if each is not None]
            touched |= {key, key.rsplit("/versions/", 1)[0]}
        if touched:
            self._surround(self.judge.around.hierarchy)
            old = dict(self.in_force.policies)
            renewed = self.in_force.renew(self.objects, touched)
            step.renewed.update((key, Cause(kind=CauseKind.POLICY, id=key[0])) for key in renewed.renewed)
            step.rivalry |= self._in_doubt or any(
                changes_resources(policies[key])
                for policies in (old, self.in_force.policies)
                for key in (*renewed.renewed, *renewed.ended)
                if key in policies
            )
            step.depends = bool(renewed.renewed or renewed.ended)
        moved = {change.resource_type.lower() for change in last.values()} & HIERARCHY_TYPES
        if not moved:
            return False
        hierarchy, before_it = self._read_hierarchy(), self.judge.around.hierarchy
        self._surround(hierarchy)
        # Most changes of a subscription are not about where it stands.
        return self._in_doubt or moved != {SUBSCRIPTION} or hierarchy != before_it

    def _take_resources(self, last: dict[str, Change], step: Step) -> list[tuple[JsonObject, Change]]:
        found = []
        for key, change in last.items():
            document = self.documents.find(change.resource_id)
            type_ = "" if document is None else str(document["type"]).lower()
            cause = Cause(kind=CauseKind.RESOURCE, id=change.resource_id)
            for table in list(self.index.tables.values()):
                # A resource that is gone, or that was put again as one of another type.
                row = table.row_of(key) if table.type != type_ else None
                if row is not None:
                    self.board.clear_row(table.type, row, resource=key, at=step.now, cause=cause)
                    self.index.delete(key, table.type)
                    if document is not None:
                        step.replaced.append((change.resource_id, table.type))
            if document is None:
                self.index.scopes.delete(key)
                continue
            if type_ not in self.judge.spellings:
                self.judge.spellings[type_] = str(document["type"])
                step.depends = True
            self.index.put(document)
            found.append((document, change))
        return found

    def _judge_renewed(self, step: Step) -> None:
        if step.depends:
            self._depend()
        self._start_and_end(step)
        for type_ in list(self.index.tables):
            keys = {key for key in step.renewed if key in self.in_force.policies}
            if step.rivalry:
                keys |= {policy.key for policy in self._depends.rivals(type_)}
            considered = {policy.key for policy in self._depends.by_type.get(type_, ())}
            # A policy that says nothing of the type any more leaves nothing behind.
            units = self.board.units.get(type_, {})
            keys &= considered | units.keys()
            alive = self.index.table(type_).alive
            self._judge_many([self.in_force.policies[key] for key in sorted(keys)], type_, alive, step)

    def _start_and_end(self, step: Step) -> None:
        for key in [key for key in self._live if key not in self.in_force.policies]:
            self._live.discard(key)
            self.board.drop(key)
            # Whether it changed resources is not known of one that went while nobody followed.
            step.rivalry = True
            self.judge.forget(key)
            self._first_at = {unit: at for unit, at in self._first_at.items() if unit[0] != key}
            step.ended.append(key)
        for key in self.in_force.policies:
            if key not in self._live:
                self._live.add(key)
                step.started[key] = None
                step.renewed.setdefault(key, Cause(kind=CauseKind.POLICY, id=key[0]))
                step.rivalry |= changes_resources(self.in_force.policies[key])

    def _renew_all(self, step: Step, cause: Cause) -> None:
        for key in self.in_force.policies:
            step.renewed.setdefault(key, cause)

    def _judge_one(self, document: JsonObject, step: Step, cause: Cause) -> None:
        """All policies on one resource."""
        type_, id_ = str(document["type"]).lower(), str(document["id"]).rstrip("/").lower()
        row = self.index.table(type_).row_of(id_)
        assert row is not None, "what is judged is in the index"
        target = self.judge.target(document, step.now)
        settings = self.judge.settings(id_, step.related)
        plain, others = self._depends.plain(type_)
        policies = list(others)
        for each in plain:
            roots = None if settings.exemptions else roots_of(self.judge, each, type_)
            if roots is None:
                policies.append(each.policy)
                continue
            state = plain_state(each, target, row, roots)
            self.board.set(
                each.policy.key,
                type_,
                row,
                state,
                resource=id_,
                code=code_of(each.policy, state),
                at=step.now,
                cause=cause,
            )
        for verdict in evaluate_policies(policies, target, settings):
            self.board.set(
                verdict.assigned.key,
                type_,
                row,
                kept(verdict),
                resource=id_,
                code=str(verdict.code),
                at=step.now,
                cause=cause,
            )
        self._reschedule(document, type_, step)

    def _judge_many(
        self,
        policies: Sequence[AssignedPolicy],
        type_: str,
        among: Bits,
        step: Step,
        *,
        cause: Cause | None = None,
    ) -> None:
        """These policies, and what contradicts them, on the rows of `among`."""
        if not policies or not among.any():
            return
        chosen = {policy.key: policy for policy in policies}
        if any(changes_resources(policy) for policy in policies):
            chosen |= {policy.key: policy for policy in self._depends.rivals(type_)}
        self._apply(list(chosen.values()), type_, among, step, cause=cause)

    def _apply(
        self,
        policies: Sequence[AssignedPolicy],
        type_: str,
        among: Bits,
        step: Step,
        *,
        cause: Cause | None,
        cancel: Cancel | None = None,
        on_resource: Callable[[], None] | None = None,
    ) -> None:
        judged = self.judge.states(
            policies,
            type_,
            among=among,
            now=step.now,
            related=step.related_of_many,
            cancel=cancel,
            on_resource=on_resource,
        )
        for policy in policies:
            why = cause or step.renewed.get(policy.key) or Cause(kind=CauseKind.POLICY, id=policy.key[0])
            self.board.replace(
                policy,
                type_,
                judged.states[policy.key],
                among=among,
                not_matching=judged.not_matching.get(policy.key),
                at=step.now,
                # The first evaluation of a policy is its snapshot, not a change of each of its pairs.
                cause=None if policy.key in step.started else why,
            )
            if self._schedule.at(policy.key, type_) is not None:
                # Looked at once all of the step is done, when states are what they will be.
                step.turning.add((policy.key, type_))

    def _judge_exempted(self, step: Step) -> None:
        for change in step.doubted:
            if change.resource_type.lower() in (catalog.EXEMPTION, catalog.ATTESTATION):
                exempts = change.resource_type.lower() == catalog.EXEMPTION
                kind = CauseKind.EXEMPTION if exempts else CauseKind.ATTESTATION
                cause = Cause(kind=kind, id=change.resource_id)
                self._judge_scope(scope_of(change.resource_id), None, step, cause)
        for each, id_ in step.exempted:
            kind = CauseKind.EXEMPTION if isinstance(each, PolicyExemption) else CauseKind.ATTESTATION
            self._judge_covered(each, step, Cause(kind=kind, id=id_))

    def _judge_covered(self, each: PolicyExemption | Attestation, step: Step, cause: Cause) -> None:
        keys = set(self.in_force.of_assignment(each.assignment_id))
        self._judge_scope(each.scope, keys, step, cause)

    def _judge_scope(self, scope: str, keys: set[PolicyKey] | None, step: Step, cause: Cause) -> None:
        """These policies, or all (None), on what is at the scope and below it."""
        for type_, table in list(self.index.tables.items()):
            policies = self._depends.by_type.get(type_, ())
            concerned = [policy for policy in policies if keys is None or policy.key in keys]
            if concerned:
                rows = self.judge.under(type_, scope.rstrip("/").lower())
                self._judge_many(concerned, type_, rows & table.alive, step, cause=cause)

    def _judge_beside(self, id_: str, changed_type: str, step: Step) -> None:
        """What may change elsewhere because this resource did."""
        key, changed_type = id_.rstrip("/").lower(), changed_type.lower()
        cause = Cause(kind=CauseKind.RELATED, id=id_)
        for watching in list(self._depends.watching(changed_type)):
            type_ = watching.resource_type.lower()
            rows = judged_beside(watching, key, self.index.table(type_))
            # Without a state before, the `if` did not hold, and no related resource changes that.
            unit = self.board.units.get(type_, {}).get(watching.policy.key)
            if unit is None:
                continue
            rows = rows & unit.any(len(rows))
            if count(rows) <= _ONE_BY_ONE_MAX:
                self._judge_few(watching.policy, type_, rows, step, cause)
            else:
                self._judge_many([watching.policy], type_, rows, step, cause=cause)
        if changed_type in _CONTAINERS:
            cause = Cause(kind=CauseKind.SCOPE, id=id_)
            for type_ in list(self.index.tables):
                rows = self.judge.under(type_, key)
                self._judge_many(self._depends.scoped(type_), type_, rows, step, cause=cause)

    def _judge_few(self, policy: AssignedPolicy, type_: str, rows: Bits, step: Step, cause: Cause) -> None:
        for row in rows_of(rows).tolist():
            id_ = self.index.table(type_).ids[row] or ""
            document = self.documents.find(id_)
            if document is None:
                continue
            settings = self.judge.settings(id_, step.related)
            verdict = evaluate_policy(policy, self.judge.target(document, step.now), settings)
            self.board.set(
                policy.key,
                type_,
                row,
                kept(verdict),
                resource=id_,
                code=str(verdict.code),
                at=step.now,
                cause=cause,
            )
            self._reschedule(document, type_, step)

    # --- the clock -----------------------------------------------------------------------------------------

    def _follow_clock(self, step: Step) -> None:
        since = self._followed.clock_at or step.now
        cause = Cause(kind=CauseKind.CLOCK)
        lapsed = [
            *expired(self.objects.exemptions.values(), after=since, now=step.now),
            *expired(self.objects.attestations.values(), after=since, now=step.now),
        ]
        for each in lapsed:
            self._judge_covered(each, step, cause)
        due = self._schedule.due(step.now)
        for key, type_ in due:
            alive = self.index.table(type_).alive
            self._judge_many([self.in_force.policies[key]], type_, alive, step, cause=cause)
            step.turning.add((key, type_))
        step.due = bool(lapsed or due)
        for key, type_ in sorted(step.turning):
            if self._schedule.at(key, type_) is not None:
                self._schedule.set(key, type_, self._next_turn(key, type_, step))

    def _next_turn(self, key: PolicyKey, type_: str, step: Step) -> datetime:
        """When the policy has to be looked at again because of the clock alone."""
        policy = self.in_force.policies[key]
        table = self.index.table(type_)
        due = step.now + HORIZON
        if not len(table):
            return due
        related = step.related_of_many
        later = self.judge.states([policy], type_, among=table.alive, now=due, related=related)
        now = self.judge.states([policy], type_, among=table.alive, now=step.now, related=related)
        turned = np.zeros_like(table.alive)
        for state in {*later.states[key], *now.states[key]}:
            nothing = np.zeros_like(turned)
            turned |= later.states[key].get(state, nothing) ^ now.states[key].get(state, nothing)
        ids = [table.ids[row] or "" for row in rows_of(turned).tolist()]
        for document in self.documents.many(type_, ids, of=len(table)):
            due = self._turn_of(policy, document, step, due) or due
        return due

    def _turn_of(
        self, policy: AssignedPolicy, document: JsonObject, step: Step, until: datetime
    ) -> datetime | None:
        settings = self.judge.settings(str(document["id"]), step.related)

        def state_at(moment: datetime) -> ComplianceState | None:
            return kept(evaluate_policy(policy, self.judge.target(document, moment), settings))

        return turn(state_at, low=step.now, high=until)

    def _reschedule(self, document: JsonObject, type_: str, step: Step) -> None:
        """A resource that has changed may turn before anything else does."""
        for policy in self._depends.clocked(type_):
            until = self._schedule.at(policy.key, type_)
            if until is not None and until > step.now:
                sooner = self._turn_of(policy, document, step, until)
                if sooner is not None:
                    self._schedule.set(policy.key, type_, sooner)

    # --- scanning and writing ------------------------------------------------------------------------------

    def _scan_type(self, type_: str, step: Step, *, cancel: Cancel, report: Reporter) -> None:
        table = self.index.table(type_)
        considered = self._depends.by_type.get(type_, [])
        keys = {policy.key for policy in considered}
        rowwise = [each for each in considered if _looks(each)]
        changing = [each for each in considered if changes_resources(each) and not _looks(each)]
        plain = [each for each in considered if not _looks(each) and not changes_resources(each)]
        rounds = [
            plain[first : first + _POLICIES_A_ROUND] for first in range(0, len(plain), _POLICIES_A_ROUND)
        ]
        report.policies(len(considered))
        cause = Cause(kind=CauseKind.SCAN)
        for policies in (*rounds, changing, rowwise):
            cancel.check()
            if policies:
                self._apply(
                    policies,
                    type_,
                    table.alive,
                    step,
                    cause=cause,
                    cancel=cancel,
                    on_resource=report.evaluated,
                )
                report.judged(len(policies), len(table))
        for key in self.board.units.get(type_, {}).keys() - keys:
            self.board.replace(
                self.in_force.policies[key],
                type_,
                {},
                among=table.alive,
                not_matching=None,
                at=step.now,
                cause=cause,
            )
        report.type_done(len(table))

    def _commit(self, step: Step, position: int, *, scanned: bool = False) -> None:
        update = Update(at=step.now, position=position, clock_at=step.now, scanned=scanned)
        for key in step.started:
            policy = self.in_force.policies[key]
            initiative = policy.initiative
            update.started.append(
                Started(
                    policy=key,
                    definition_id=policy.definition.id,
                    initiative_id=None if initiative is None else initiative.id,
                )
            )
        update.ended = step.ended
        started = set(step.started)
        units = [
            (key, type_)
            for type_, found in self.board.units.items()
            for key in found
            if scanned or key in started
        ]
        rosters = rosters_of(self.index, {type_ for _, type_ in units})
        for key, type_ in units:
            self._first_at.setdefault((key, type_), step.now)
            self.board.touch(key, type_)
            update.snapshots.append(
                Snapshot(
                    policy=key,
                    resource_type=type_,
                    roster=rosters[type_].digest,
                    bits=self.board.unit(key, type_).bits,
                    first_at=self._first_at[(key, type_)],
                )
            )
        update.rosters = {each.digest: each for each in rosters.values()}
        ended = set(step.ended)
        self.board.transitions = [each for each in self.board.transitions if each.policy not in ended]
        update.transitions, update.counts = self.board.take_changes(step.now.strftime("%Y-%m-%d"))
        revision = self.store.commit(update, revision=self._followed.revision)
        self._followed = Followed(
            position=position,
            clock_at=step.now,
            scanned_at=step.now if scanned else self._followed.scanned_at,
            revision=revision,
        )


def _looks(policy: AssignedPolicy) -> bool:
    return any(each.effect in _LOOKING for each in (policy, *policy.elsewhere.values()))


def _counted(
    documents: Iterable[JsonObject], cancel: Cancel, on_resource: Callable[[], None] | None
) -> Iterable[JsonObject]:
    for number, document in enumerate(documents):
        if number % 256 == 0:
            cancel.check()
        if on_resource is not None:
            on_resource()
        yield document

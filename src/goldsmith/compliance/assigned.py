"""The policies in force: every assignment resolved to the definitions it puts on its scope."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from goldsmith.compliance.catalog import PolicyObjects
from goldsmith.compliance.model import PolicyKey
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.library import AssignedPolicy, assigned_policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """Policies that were resolved anew (they may be as before), and those that are in force no longer."""

    renewed: tuple[PolicyKey, ...]
    ended: tuple[PolicyKey, ...]


class InForce:
    """`policies` by key. An assignment that cannot be resolved has none, and a problem instead."""

    def __init__(self) -> None:
        self.policies: dict[PolicyKey, AssignedPolicy] = {}
        self.problems: dict[str, str] = {}
        self._by_assignment: dict[str, tuple[PolicyKey, ...]] = {}

    def of_assignment(self, assignment_id: str) -> tuple[PolicyKey, ...]:
        return self._by_assignment.get(assignment_id.rstrip("/").lower(), ())

    def renew(self, objects: PolicyObjects, touched: Iterable[str] | None = None) -> Renewed:
        """Resolve again what depends on the objects with the ids of `touched`; None: everything."""
        wanted = {*objects.assignments, *self._by_assignment, *self.problems}
        if touched is not None:
            ids = {id_.rstrip("/").lower() for id_ in touched}
            wanted = {key for key in wanted if _depends(key, objects, ids)}
        renewed: list[PolicyKey] = []
        ended: list[PolicyKey] = []
        for assignment_key in sorted(wanted):
            before = self._by_assignment.pop(assignment_key, ())
            self.problems.pop(assignment_key, None)
            for key in before:
                del self.policies[key]
            found = self._resolved(assignment_key, objects.assignments.get(assignment_key), objects)
            if found:
                self._by_assignment[assignment_key] = tuple(each.key for each in found)
                self.policies.update((each.key, each) for each in found)
            renewed += [each.key for each in found]
            ended += [key for key in before if key not in self.policies]
        return Renewed(renewed=tuple(renewed), ended=tuple(ended))

    def _resolved(
        self, key: str, assignment: PolicyAssignment | None, objects: PolicyObjects
    ) -> tuple[AssignedPolicy, ...]:
        if assignment is None:
            return ()
        try:
            return assigned_policies(assignment, objects.library)
        except (InvalidInputError, NotFoundError) as error:
            self.problems[key] = error.message
            return ()


def _depends(assignment_key: str, objects: PolicyObjects, ids: set[str]) -> bool:
    assignment = objects.assignments.get(assignment_key)
    if assignment_key in ids or assignment is None:
        return assignment_key in ids
    return any(each in ids for each in _needs(assignment, objects))


def _needs(assignment: PolicyAssignment, objects: PolicyObjects) -> Iterator[str]:
    """Ids in lower case of the definitions and initiatives that an assignment leads to, in any version."""
    wanted = assignment.definition_id.rstrip("/").lower()
    yield wanted
    if assignment.assigns_initiative:
        for initiative in objects.library.initiatives():
            if initiative.id.rstrip("/").lower() == wanted:
                yield from (each.definition_id.rstrip("/").lower() for each in initiative.references)

"""The state of one resource under policies that only look at the resource: read off the fleet's bitmaps.

The index has found each condition on the changed row already; most policies need nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from goldsmith.compliance.judge import Judge, never_meant
from goldsmith.compliance.scan.bitmaps import is_set
from goldsmith.compliance.scan.conditions import Conditions, Root
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.prepared import PreparedPolicy
from goldsmith.policy.rule import Effect
from goldsmith.policy.target import Target
from goldsmith.policy.verdict import ComplianceState

_WRONG = {
    Effect.AUDIT: ComplianceState.NON_COMPLIANT,
    Effect.DENY: ComplianceState.NON_COMPLIANT,
    Effect.DENY_ACTION: ComplianceState.PROTECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlainPolicy:
    """A policy without selectors, overrides by location, related resources, attestations and the clock."""

    policy: AssignedPolicy
    prepared: PreparedPolicy
    wrong: ComplianceState


def plain_of(policy: AssignedPolicy, prepared: Sequence[PreparedPolicy]) -> PlainPolicy | None:
    """None when the state can depend on more than the resource and the scope."""
    if policy.elsewhere or policy.assignment.resource_selectors or len(prepared) != 1:
        return None
    wrong = next((state for effect, state in _WRONG.items() if policy.effect == effect), None)
    (only,) = prepared
    if wrong is None or only.reads_identity or only.rule.reads_clock or never_meant(only):
        return None
    return PlainPolicy(policy=policy, prepared=only, wrong=wrong)


def plain_state(
    plain: PlainPolicy, target: Target, row: int, roots: tuple[Conditions, Root | None, Root]
) -> ComplianceState | None:
    """The state on a row of the index; nothing may exempt the resource. `roots`: see `Judge.roots`."""
    if not target.is_in_scope(plain.policy.assignment):
        return None
    if plain.policy.definition.indexed and not target.indexed:
        return None
    conditions, applies, condition = roots
    if applies is None:
        if not plain.prepared.applies:
            return None
    else:
        answer = _answer(conditions, applies, row)
        if answer is not True:
            return ComplianceState.ERROR if answer is None else None
    answer = _answer(conditions, condition, row)
    if answer is None:
        return ComplianceState.ERROR
    return plain.wrong if answer else ComplianceState.COMPLIANT


def _answer(conditions: Conditions, root: Root, row: int) -> bool | None:
    """None when the condition fails on the row."""
    if root.true is None:
        conditions.settle((root,))
    assert root.true is not None, "it was settled"
    if root.error is not None and is_set(root.error, row):
        return None
    return is_set(root.true, row)


def roots_of(judge: Judge, plain: PlainPolicy, type_: str) -> tuple[Conditions, Root | None, Root] | None:
    """The bitmaps of the policy's conditions; None when they have not been found in this process."""
    applies = plain.prepared.applies
    condition = judge.root(plain.policy.key, type_, plain.prepared.rule.condition)
    if condition is None:
        return None
    if isinstance(applies, bool):
        return condition[0], None, condition[1]
    first = judge.root(plain.policy.key, type_, applies)
    return None if first is None else (condition[0], first[1], condition[1])

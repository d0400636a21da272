"""One state of many: the documented rank, and the documented percentage.

Specification: Azure Policy compliance states, "how compliance works".
"""

from collections.abc import Iterable, Mapping

from goldsmith.policy.verdict import ComplianceState

# The first one that any policy gives a resource is the state of the resource.
RANK = (
    ComplianceState.NON_COMPLIANT,
    ComplianceState.COMPLIANT,
    ComplianceState.ERROR,
    ComplianceState.CONFLICT,
    ComplianceState.PROTECTED,
    ComplianceState.EXEMPT,
    ComplianceState.UNKNOWN,
)
_GOOD = (ComplianceState.COMPLIANT, ComplianceState.EXEMPT, ComplianceState.UNKNOWN)
_BAD = (ComplianceState.NON_COMPLIANT, ComplianceState.CONFLICT, ComplianceState.ERROR)


def rolled_up(states: Iterable[ComplianceState | None]) -> ComplianceState | None:
    """The state that stands for all; None when none of them is a state."""
    found = set(states)
    return next((state for state in RANK if state in found), None)


def percentage(counts: Mapping[ComplianceState, int]) -> float | None:
    """(compliant + exempt + unknown) of these and non-compliant, conflicting and failed ones, 0-100.

    Counts are of distinct resources. None when there is nothing to take a share of: protected resources do
    not count.
    """
    good = sum(counts.get(state, 0) for state in _GOOD)
    total = good + sum(counts.get(state, 0) for state in _BAD)
    return None if total == 0 else 100.0 * good / total

"""What is kept of the fleet's compliance: states of (resource, policy) pairs, their changes, and counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from goldsmith.policy.verdict import ComplianceState

# Assignment id and reference id in lower case, as `AssignedPolicy.key`: one policy in force.
PolicyKey: TypeAlias = tuple[str, str]

# The states a pair can have; a pair that is not applicable or not evaluated has none and is not kept.
STATES = (
    ComplianceState.NON_COMPLIANT,
    ComplianceState.COMPLIANT,
    ComplianceState.ERROR,
    ComplianceState.CONFLICT,
    ComplianceState.PROTECTED,
    ComplianceState.EXEMPT,
    ComplianceState.UNKNOWN,
)


class CauseKind(StrEnum):
    """What made a pair change its state."""

    RESOURCE = "resource"
    RELATED = "relatedResource"
    SCOPE = "scope"
    POLICY = "policy"
    EXEMPTION = "exemption"
    ATTESTATION = "attestation"
    CLOCK = "clock"
    SCAN = "scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`id` is the resource or policy object that changed ("" for clock and scan)."""

    kind: CauseKind
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of one pair; None stands for no state (not applicable, not there).

    `resource` is the id in lower case, `code` the reason code of the new state ("" when it has none).
    """

    policy: PolicyKey
    resource_type: str
    resource: str
    before: ComplianceState | None
    after: ComplianceState | None
    at: datetime
    code: str
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCounts:
    """How many resources had each state at the end of that day (UTC), or have it now if it is today.

    `policy` is None for the resources as a whole, each counted once with its worst state.
    """

    day: str
    policy: PolicyKey | None
    counts: Mapping[ComplianceState, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a scan has come; `rate` is evaluations (resource, policy) a second, about."""

    phase: str
    resources_done: int
    resources_total: int
    policies_done: int
    policies_total: int
    evaluations: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.evaluations / self.seconds if self.seconds > 0 else 0.0

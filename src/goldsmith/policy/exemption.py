"""An exemption: resources that an assignment, or some of its policies, does not judge for a while.

Specification: Azure Policy exemption structure.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.selectors import ResourceSelector


class ExemptionCategory(StrEnum):
    WAIVER = "Waiver"
    MITIGATED = "Mitigated"


class AssignmentScopeValidation(StrEnum):
    DEFAULT = "Default"
    DO_NOT_VALIDATE = "DoNotValidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyExemption:
    """`scope` is what it exempts; past `expires_on` it is kept and no longer honoured."""

    id: str
    name: str
    scope: str
    assignment_id: str
    category: ExemptionCategory
    reference_ids: tuple[str, ...] = ()
    expires_on: datetime | None = None
    resource_selectors: tuple[ResourceSelector, ...] = ()
    scope_validation: AssignmentScopeValidation = AssignmentScopeValidation.DEFAULT
    display_name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None

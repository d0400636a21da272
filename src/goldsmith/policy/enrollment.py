"""An enrollment: where an assignment in Enroll mode is enforced.

Specification: Azure Policy enrollment structure (preview).
"""

from dataclasses import dataclass

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.exemption import AssignmentScopeValidation
from goldsmith.policy.selectors import ResourceSelector


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEnrollment:
    id: str
    name: str
    scope: str
    assignment_id: str
    reference_ids: tuple[str, ...] = ()
    resource_selectors: tuple[ResourceSelector, ...] = ()
    scope_validation: AssignmentScopeValidation = AssignmentScopeValidation.DEFAULT
    display_name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None

"""An assignment: a definition or initiative put on a scope with parameter values.

Specification: Azure Policy assignment structure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.scope import covers
from goldsmith.policy.selectors import ResourceSelector, Selector
from goldsmith.policy.versions import VersionPin


class EnforcementMode(StrEnum):
    """ENROLL enforces only where an enrollment says so; compliance is computed in every mode."""

    DEFAULT = "Default"
    DO_NOT_ENFORCE = "DoNotEnforce"
    ENROLL = "Enroll"


class AssignmentType(StrEnum):
    NOT_SPECIFIED = "NotSpecified"
    SYSTEM = "System"
    SYSTEM_HIDDEN = "SystemHidden"
    CUSTOM = "Custom"


class OverrideKind(StrEnum):
    """The prose of the service says policyVersion, its schema definitionVersion; both are read."""

    POLICY_EFFECT = "policyEffect"
    DEFINITION_VERSION = "definitionVersion"
    POLICY_VERSION = "policyVersion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    kind: OverrideKind
    value: str
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NonComplianceMessage:
    """Without `reference_id` the message of the whole assignment."""

    message: str
    reference_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfServeExemptionSettings:
    enabled: bool
    reference_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAssignment:
    """`definition_id` names a definition or an initiative; `parameters` are the values given."""

    id: str
    name: str
    scope: str
    definition_id: str
    display_name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None
    version_pin: VersionPin | None = None
    not_scopes: tuple[str, ...] = ()
    parameters: Mapping[str, JsonValue]
    enforcement_mode: EnforcementMode = EnforcementMode.DEFAULT
    non_compliance_messages: tuple[NonComplianceMessage, ...] = ()
    resource_selectors: tuple[ResourceSelector, ...] = ()
    overrides: tuple[Override, ...] = ()
    assignment_type: AssignmentType | None = None
    self_serve_exemption: SelfServeExemptionSettings | None = None
    location: str | None = None
    identity: JsonObject | None = None

    @property
    def label(self) -> str:
        return self.display_name or self.name

    @property
    def assigns_initiative(self) -> bool:
        return "/policysetdefinitions/" in self.definition_id.lower()


def in_scope(assignment: PolicyAssignment, resource_id: str, management_groups: Iterable[str] = ()) -> bool:
    """Whether the resource lies under the scope and under none of the excluded ones."""
    above = tuple(management_groups)
    return covers(assignment.scope, resource_id, above) and not any(
        covers(excluded, resource_id, above) for excluded in assignment.not_scopes
    )


def message_for(assignment: PolicyAssignment, reference_id: str | None) -> str | None:
    """The non-compliance message for one policy: its own, else that of the assignment."""
    general = None
    for each in assignment.non_compliance_messages:
        if each.reference_id is None:
            general = general or each.message
        elif reference_id is not None and each.reference_id.lower() == reference_id.lower():
            return each.message
    return general

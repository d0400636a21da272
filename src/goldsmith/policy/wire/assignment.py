"""`Microsoft.Authorization/policyAssignments`: ARM JSON to `PolicyAssignment` and back."""

from typing import Any

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.assignment import (
    AssignmentType,
    EnforcementMode,
    NonComplianceMessage,
    Override,
    OverrideKind,
    PolicyAssignment,
    SelfServeExemptionSettings,
)
from goldsmith.policy.members import Members, refused, without_absent
from goldsmith.policy.scope import covers, scope_of
from goldsmith.policy.selectors import SelectorKind
from goldsmith.policy.versions import parse_pin
from goldsmith.policy.wire.definition import (
    DESCRIPTION_LONGEST,
    DISPLAY_NAME_LONGEST,
    envelope_json,
    identity_of,
    metadata_of,
)
from goldsmith.policy.wire.initiative import parse_values, values_json
from goldsmith.policy.wire.selector import (
    parse_resource_selectors,
    parse_selectors,
    resource_selectors_json,
    selectors_json,
)

TYPE = "Microsoft.Authorization/policyAssignments"
NOT_SCOPES_MOST = 400
OVERRIDES_MOST = 10
_IDENTITY_TYPES = ("SystemAssigned", "UserAssigned", "None")
_OVERRIDE_KINDS = {
    OverrideKind.POLICY_EFFECT: frozenset(
        {
            SelectorKind.POLICY_DEFINITION_REFERENCE_ID,
            SelectorKind.RESOURCE_LOCATION,
            SelectorKind.RESOURCE_WITHOUT_LOCATION,
        }
    ),
    OverrideKind.DEFINITION_VERSION: frozenset(
        {
            SelectorKind.POLICY_DEFINITION_REFERENCE_ID,
            SelectorKind.RESOURCE_LOCATION,
            SelectorKind.RESOURCE_WITHOUT_LOCATION,
        }
    ),
}
_DEFINITION_SEGMENTS = ("/policydefinitions/", "/policysetdefinitions/")


def parse_assignment(body: Any, *, id_: str | None = None) -> PolicyAssignment:
    """An assignment as a PUT body or `az policy assignment show` has it; raises InvalidInputError."""
    envelope = Members(body, model="PolicyAssignment")
    id_, name = identity_of(envelope, id_, TYPE)
    location = envelope.text("location")
    identity = _parse_identity(envelope)
    properties = envelope.object("properties", "PolicyAssignmentProperties") or envelope
    scope = properties.text("scope") or scope_of(id_)
    pin = properties.text("definitionVersion")
    assignment = PolicyAssignment(
        id=id_,
        name=name,
        scope=scope,
        definition_id=_definition_id(properties),
        display_name=properties.text("displayName", longest=DISPLAY_NAME_LONGEST),
        description=properties.text("description", longest=DESCRIPTION_LONGEST),
        metadata=metadata_of(properties),
        version_pin=None if pin is None else parse_pin(pin, properties.at("definitionVersion")),
        not_scopes=_not_scopes(properties, scope),
        parameters=parse_values(properties),
        enforcement_mode=properties.choice("enforcementMode", EnforcementMode) or EnforcementMode.DEFAULT,
        non_compliance_messages=tuple(
            _parse_message(each)
            for each in properties.objects("nonComplianceMessages", "NonComplianceMessage")
        ),
        resource_selectors=parse_resource_selectors(properties),
        overrides=tuple(
            _parse_override(each) for each in properties.objects("overrides", "Override", most=OVERRIDES_MOST)
        ),
        assignment_type=properties.choice("assignmentType", AssignmentType),
        self_serve_exemption=_parse_self_serve(properties),
        location=location,
        identity=identity,
    )
    # The documented sample puts the identity among the properties; the service reads it at the top.
    properties.ignore("latestDefinitionVersion", "effectiveDefinitionVersion", "instanceId", "identity")
    if properties is not envelope:
        properties.close()
    return assignment


def assignment_json(assignment: PolicyAssignment) -> JsonObject:
    settings = assignment.self_serve_exemption
    properties = {
        "displayName": assignment.display_name,
        "description": assignment.description,
        "policyDefinitionId": assignment.definition_id,
        "definitionVersion": None if assignment.version_pin is None else str(assignment.version_pin),
        "scope": assignment.scope,
        "notScopes": list(assignment.not_scopes),
        "parameters": values_json(dict(assignment.parameters)),
        "metadata": assignment.metadata,
        "enforcementMode": str(assignment.enforcement_mode),
        "nonComplianceMessages": [
            without_absent({"message": each.message, "policyDefinitionReferenceId": each.reference_id})
            for each in assignment.non_compliance_messages
        ]
        or None,
        "resourceSelectors": resource_selectors_json(assignment.resource_selectors) or None,
        "overrides": [
            {"kind": str(each.kind), "value": each.value, "selectors": selectors_json(each.selectors)}
            for each in assignment.overrides
        ]
        or None,
        "assignmentType": None if assignment.assignment_type is None else str(assignment.assignment_type),
        "selfServeExemptionSettings": None
        if settings is None
        else {"enabled": settings.enabled, "policyDefinitionReferenceIds": list(settings.reference_ids)},
    }
    return envelope_json(
        assignment.id,
        assignment.name,
        TYPE,
        properties,
        location=assignment.location,
        identity=assignment.identity,
    )


def _definition_id(properties: Members) -> str:
    id_ = properties.needed_text("policyDefinitionId")
    if not any(segment in id_.lower() for segment in _DEFINITION_SEGMENTS):
        raise refused(
            properties.at("policyDefinitionId"),
            f"is '{id_}', expected the id of a policy definition or policy set definition",
            code="InvalidPolicyDefinitionId",
        )
    return id_


def _not_scopes(properties: Members, scope: str) -> tuple[str, ...]:
    found = properties.texts("notScopes", most=NOT_SCOPES_MOST)
    # Below a management group stand subscriptions whose ids do not show it.
    if not scope.lower().startswith("/subscriptions/"):
        return found
    for index, each in enumerate(found):
        if not covers(scope, each):
            raise refused(
                f"{properties.at('notScopes')}[{index}]",
                f"is '{each}', expected a scope under '{scope}'",
                code="InvalidNotScopes",
            )
    return found


def _parse_identity(envelope: Members) -> JsonObject | None:
    members = envelope.object("identity", "Identity")
    if members is None:
        return None
    identity = envelope.mapping("identity")
    kind = members.text("type") or "None"
    if kind.lower() not in {each.lower() for each in _IDENTITY_TYPES}:
        raise refused(members.at("type"), f"is '{kind}', expected one of {', '.join(_IDENTITY_TYPES)}")
    assigned = members.mapping("userAssignedIdentities")
    if kind.lower() == "userassigned" and len(assigned) != 1:
        raise refused(
            members.at("userAssignedIdentities"), f"names {len(assigned)} identities, expected exactly one"
        )
    return identity


def _parse_message(members: Members) -> NonComplianceMessage:
    message = NonComplianceMessage(
        message=members.needed_text("message"), reference_id=members.text("policyDefinitionReferenceId")
    )
    members.close()
    return message


def _parse_override(members: Members) -> Override:
    kind = members.choice("kind", OverrideKind)
    if kind is None:
        raise refused(members.at("kind"), f"is missing, expected one of {', '.join(OverrideKind)}")
    if kind is OverrideKind.POLICY_VERSION:
        kind = OverrideKind.DEFINITION_VERSION
    value = members.needed_text("value")
    if kind is OverrideKind.DEFINITION_VERSION:
        parse_pin(value, members.at("value"))
    override = Override(kind=kind, value=value, selectors=parse_selectors(members, _OVERRIDE_KINDS[kind]))
    members.close()
    return override


def _parse_self_serve(properties: Members) -> SelfServeExemptionSettings | None:
    members = properties.object("selfServeExemptionSettings", "SelfServeExemptionSettings")
    if members is None:
        return None
    settings = SelfServeExemptionSettings(
        enabled=members.boolean("enabled") or False,
        reference_ids=members.texts("policyDefinitionReferenceIds"),
    )
    members.close()
    return settings

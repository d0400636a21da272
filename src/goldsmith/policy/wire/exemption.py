"""`policyExemptions`, `policyEnrollments` and `attestations`: ARM JSON to models and back."""

from typing import Any

from goldsmith.kernel.clock import iso
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.attestation import Attestation, AttestedState, Evidence
from goldsmith.policy.enrollment import PolicyEnrollment
from goldsmith.policy.exemption import AssignmentScopeValidation, ExemptionCategory, PolicyExemption
from goldsmith.policy.members import Members, refused, without_absent
from goldsmith.policy.scope import scope_of
from goldsmith.policy.wire.definition import (
    DESCRIPTION_LONGEST,
    DISPLAY_NAME_LONGEST,
    envelope_json,
    identity_of,
    metadata_of,
)
from goldsmith.policy.wire.selector import parse_resource_selectors, resource_selectors_json

EXEMPTION_TYPE = "Microsoft.Authorization/policyExemptions"
ENROLLMENT_TYPE = "Microsoft.Authorization/policyEnrollments"
ATTESTATION_TYPE = "Microsoft.PolicyInsights/attestations"


def parse_exemption(body: Any, *, id_: str | None = None) -> PolicyExemption:
    """An exemption as a PUT body or `az policy exemption show` has it; raises InvalidInputError."""
    envelope = Members(body, model="PolicyExemption")
    id_, name = identity_of(envelope, id_, EXEMPTION_TYPE)
    properties = envelope.object("properties", "PolicyExemptionProperties") or envelope
    category = properties.choice("exemptionCategory", ExemptionCategory)
    if category is None:
        raise refused(
            properties.at("exemptionCategory"), f"is missing, expected one of {', '.join(ExemptionCategory)}"
        )
    exemption = PolicyExemption(
        id=id_,
        name=name,
        scope=scope_of(id_),
        assignment_id=properties.needed_text("policyAssignmentId"),
        category=category,
        reference_ids=properties.texts("policyDefinitionReferenceIds"),
        expires_on=properties.instant("expiresOn"),
        resource_selectors=parse_resource_selectors(properties),
        scope_validation=_validation(properties),
        display_name=properties.text("displayName", longest=DISPLAY_NAME_LONGEST),
        description=properties.text("description", longest=DESCRIPTION_LONGEST),
        metadata=metadata_of(properties),
    )
    if properties is not envelope:
        properties.close()
    return exemption


def exemption_json(exemption: PolicyExemption) -> JsonObject:
    properties = {
        "policyAssignmentId": exemption.assignment_id,
        "policyDefinitionReferenceIds": list(exemption.reference_ids) or None,
        "exemptionCategory": str(exemption.category),
        "expiresOn": None if exemption.expires_on is None else iso(exemption.expires_on),
        "displayName": exemption.display_name,
        "description": exemption.description,
        "metadata": exemption.metadata,
        "resourceSelectors": resource_selectors_json(exemption.resource_selectors) or None,
        "assignmentScopeValidation": str(exemption.scope_validation),
    }
    return envelope_json(exemption.id, exemption.name, EXEMPTION_TYPE, properties)


def parse_enrollment(body: Any, *, id_: str | None = None) -> PolicyEnrollment:
    """An enrollment as a PUT body has it; raises InvalidInputError."""
    envelope = Members(body, model="PolicyEnrollment")
    id_, name = identity_of(envelope, id_, ENROLLMENT_TYPE)
    properties = envelope.object("properties", "PolicyEnrollmentProperties") or envelope
    enrollment = PolicyEnrollment(
        id=id_,
        name=name,
        scope=scope_of(id_),
        assignment_id=properties.needed_text("policyAssignmentId"),
        reference_ids=properties.texts("policyDefinitionReferenceIds"),
        resource_selectors=parse_resource_selectors(properties),
        scope_validation=_validation(properties),
        display_name=properties.text("displayName", longest=DISPLAY_NAME_LONGEST),
        description=properties.text("description", longest=DESCRIPTION_LONGEST),
        metadata=metadata_of(properties),
    )
    if properties is not envelope:
        properties.close()
    return enrollment


def enrollment_json(enrollment: PolicyEnrollment) -> JsonObject:
    properties = {
        "policyAssignmentId": enrollment.assignment_id,
        "policyDefinitionReferenceIds": list(enrollment.reference_ids) or None,
        "displayName": enrollment.display_name,
        "description": enrollment.description,
        "metadata": enrollment.metadata,
        "resourceSelectors": resource_selectors_json(enrollment.resource_selectors) or None,
        "assignmentScopeValidation": str(enrollment.scope_validation),
    }
    return envelope_json(enrollment.id, enrollment.name, ENROLLMENT_TYPE, properties)


def parse_attestation(body: Any, *, id_: str | None = None) -> Attestation:
    """An attestation as a PUT body or `az policy attestation show` has it; raises InvalidInputError."""
    envelope = Members(body, model="Attestation")
    id_, name = identity_of(envelope, id_, ATTESTATION_TYPE)
    properties = envelope.object("properties", "AttestationProperties") or envelope
    attestation = Attestation(
        id=id_,
        name=name,
        scope=scope_of(id_),
        assignment_id=properties.needed_text("policyAssignmentId"),
        reference_id=properties.text("policyDefinitionReferenceId"),
        state=properties.choice("complianceState", AttestedState),
        expires_on=properties.instant("expiresOn"),
        owner=properties.text("owner"),
        comments=properties.text("comments"),
        evidence=tuple(
            Evidence(description=each.text("description"), source_uri=each.text("sourceUri"))
            for each in properties.objects("evidence", "AttestationEvidence")
        ),
        assessment_date=properties.instant("assessmentDate"),
        metadata=metadata_of(properties),
    )
    properties.ignore("provisioningState", "lastComplianceStateChangeAt")
    if properties is not envelope:
        properties.close()
    return attestation


def attestation_json(attestation: Attestation) -> JsonObject:
    expires, assessed = attestation.expires_on, attestation.assessment_date
    properties = {
        "policyAssignmentId": attestation.assignment_id,
        "policyDefinitionReferenceId": attestation.reference_id,
        "complianceState": None if attestation.state is None else str(attestation.state),
        "expiresOn": None if expires is None else iso(expires),
        "owner": attestation.owner,
        "comments": attestation.comments,
        "evidence": [
            without_absent({"description": each.description, "sourceUri": each.source_uri})
            for each in attestation.evidence
        ]
        or None,
        "assessmentDate": None if assessed is None else iso(assessed),
        "metadata": attestation.metadata,
    }
    return envelope_json(attestation.id, attestation.name, ATTESTATION_TYPE, properties)


def _validation(properties: Members) -> AssignmentScopeValidation:
    return properties.choice("assignmentScopeValidation", AssignmentScopeValidation) or (
        AssignmentScopeValidation.DEFAULT
    )

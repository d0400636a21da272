"""The 403 `RequestDisallowedByPolicy` of a denied request, as the service words it."""

import json
from collections.abc import Sequence

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.door import Denial
from goldsmith.policy.effects import wire_effect
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.members import without_absent
from goldsmith.policy.wire.evaluation import expression_json

CODE = "RequestDisallowedByPolicy"


def denied_json(resource_name: str, denials: Sequence[Denial]) -> JsonObject:
    """The body of the response: one PolicyViolation for every policy that denies."""
    return {
        "error": {
            "code": CODE,
            "target": resource_name,
            "message": denied_message(resource_name, denials),
            "additionalInfo": [
                {"type": "PolicyViolation", "info": violation_json(denial)} for denial in denials
            ],
        }
    }


def denied_message(resource_name: str, denials: Sequence[Denial]) -> str:
    """Assignments that say why in words of their own are quoted; else the policies are named."""
    messages = list(dict.fromkeys(denial.message for denial in denials if denial.message))
    if messages:
        quoted = ", ".join(f"'{message}'" for message in messages)
        return (
            f"Resource '{resource_name}' was disallowed by policy. Reasons: {quoted}. "
            "See error details for policy resource IDs."
        )
    identifiers = json.dumps(
        [_identifiers(denial.assigned) for denial in denials], separators=(",", ":"), ensure_ascii=False
    )
    return f"Resource '{resource_name}' was disallowed by policy. Policy identifiers: '{identifiers}'."


def violation_json(denial: Denial) -> JsonObject:
    """`info` of one PolicyViolation."""
    assigned = denial.assigned
    definition, assignment, initiative = assigned.definition, assigned.assignment, assigned.initiative
    details: JsonObject = {"evaluatedExpressions": [expression_json(each) for each in denial.expressions]}
    if not denial.expressions:
        # Nothing was evaluated to the end: the reason is all there is to say.
        details["reason"] = " ".join(denial.reasons)
    return without_absent(
        {
            "policyDefinitionDisplayName": definition.label,
            "policySetDefinitionDisplayName": None if initiative is None else initiative.label,
            "evaluationDetails": details,
            "policyDefinitionId": definition.id,
            "policySetDefinitionId": None if initiative is None else initiative.id,
            "policyDefinitionReferenceId": assigned.reference_id,
            "policySetDefinitionName": None if initiative is None else initiative.name,
            "policyDefinitionName": definition.name,
            "policyDefinitionEffect": wire_effect(assigned.effect),
            "policyAssignmentId": assignment.id,
            "policyAssignmentName": assignment.name,
            "policyAssignmentDisplayName": assignment.label,
            "policyAssignmentScope": assignment.scope,
            "policyAssignmentParameters": dict(assignment.parameters),
            "policyExemptionIds": [],
        }
    )


def _identifiers(assigned: AssignedPolicy) -> JsonObject:
    assignment, definition, initiative = assigned.assignment, assigned.definition, assigned.initiative
    identifiers: JsonObject = {
        "policyAssignment": {"name": assignment.label, "id": assignment.id},
        "policyDefinition": {"name": definition.label, "id": definition.id},
    }
    if initiative is not None:
        identifiers["policySetDefinition"] = {"name": initiative.label, "id": initiative.id}
    return identifiers

"""Requests at the door: what is written into them, what forbids them, and the 403 that says so."""

import json
from datetime import timedelta
from typing import Any

import pytest

from goldsmith.policy.details import After
from goldsmith.policy.door import (
    AdmissionRequest,
    Decision,
    DeletedWith,
    DenialKind,
    RequestKind,
    Rules,
    decide,
)
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.wire.denial import denied_json
from goldsmith.policy.wire.exemption import parse_enrollment, parse_exemption
from tests.policies import (
    AUTHORIZATION,
    GROUP,
    ROLE,
    SUBSCRIPTION,
    VM_TYPE,
    assigned,
    assignment,
    compiler,
    definition,
    deny,
    initiative_of,
    modify,
    target,
    vm,
)

IS_VM = {"field": "type", "equals": VM_TYPE}
UNTAGGED = {"allOf": [IS_VM, {"field": "tags.owner", "exists": False}]}
EAST = {"field": "location", "equals": "eastus"}
PROTECT = {"actionNames": ["delete"]}


def _decide(
    policies: list[AssignedPolicy],
    resource: dict[str, Any] | None = None,
    *,
    kind: RequestKind = RequestKind.WRITE,
    deleted_with: DeletedWith = DeletedWith.NOTHING,
    identity: Any = None,
    **rules: Any,
) -> Decision:
    context = {"apiVersion": "2024-03-01", "identity": identity or {"idtyp": "user"}}
    about = target(resource if resource is not None else vm(), request_context=context)
    request = AdmissionRequest(target=about, kind=kind, deleted_with=deleted_with)
    return decide(request, policies, Rules(compiler=compiler(), **rules))


def _protect(**details: Any) -> AssignedPolicy:
    mode = details.pop("mode", "Indexed")
    return assigned(definition(IS_VM, "denyAction", details={**PROTECT, **details}, mode=mode))


def test_a_request_that_no_policy_is_against_is_allowed_as_it_is() -> None:
    decision = _decide([deny(UNTAGGED)], vm(tags={"owner": "me"}))
    assert decision.allowed
    assert decision.resource == vm(tags={"owner": "me"})
    assert decision.denials == ()


def test_every_policy_that_denies_is_named() -> None:
    policies = [
        deny(UNTAGGED, name="one"),
        deny(EAST, name="two"),
        deny({"field": "name", "equals": "x"}, name="3"),
    ]
    decision = _decide(policies)
    assert not decision.allowed
    assert [each.assigned.definition.name for each in decision.denials] == ["one", "two"]
    assert all(each.kind is DenialKind.CONDITION for each in decision.denials)


def test_a_change_comes_before_the_denial_it_prevents() -> None:
    tag = modify([{"operation": "add", "field": "tags.owner", "value": "ops"}], name="m", condition=UNTAGGED)
    decision = _decide([deny(UNTAGGED), tag])
    assert decision.allowed
    assert decision.resource["tags"] == {"owner": "ops"}
    ((by, change),) = decision.changes
    assert by is tag
    assert change.field == "tags.owner"


def test_a_change_that_brings_about_a_denial_is_denied() -> None:
    forbidden = deny({"field": "tags.owner", "equals": "ops"})
    tag = modify([{"operation": "add", "field": "tags.owner", "value": "ops"}], name="m")
    assert not _decide([forbidden, tag]).allowed


def test_append_that_would_override_denies() -> None:
    policy = assigned(definition(IS_VM, "append", details=[{"field": "tags.owner", "value": "ops"}]))
    decision = _decide([policy], vm(tags={"owner": "me"}))
    (denial,) = decision.denials
    assert denial.kind is DenialKind.CHANGE
    assert "tags.owner" in denial.reasons[0]


def test_a_conflict_with_audit_lets_the_request_through_and_is_noted() -> None:
    policy = modify(
        [{"operation": "addOrReplace", "field": f"{VM_TYPE}/vmId", "value": "x"}], name="m", conflict="audit"
    )
    decision = _decide([policy])
    assert decision.allowed
    assert decision.resource == vm()
    assert [each.assigned for each in decision.audits] == [policy]


def test_two_changes_of_one_field_with_deny_are_denied_as_a_conflict() -> None:
    policies = [
        modify([{"operation": "addOrReplace", "field": "tags.a", "value": value}], name=f"m{value}")
        for value in "12"
    ]
    decision = _decide(policies)
    assert {each.kind for each in decision.denials} == {DenialKind.CHANGE}
    assert len(decision.denials) == 2


def test_an_audit_is_noted_and_does_not_deny() -> None:
    policy = assigned(definition(UNTAGGED, "audit"))
    decision = _decide([policy])
    assert decision.allowed
    (audit,) = decision.audits
    assert "Current value must exist." in audit.reasons


def test_a_denied_request_is_not_audited_and_nothing_is_due() -> None:
    policies = [
        assigned(definition(UNTAGGED, "audit", name="a"), name="a"),
        assigned(definition(IS_VM, "auditIfNotExists", details={"type": "T/x"}, name="n"), name="n"),
        deny(EAST),
    ]
    decision = _decide(policies)
    assert (decision.audits, decision.due) == ((), ())


def test_what_looks_for_related_resources_is_due_later() -> None:
    details: dict[str, Any] = {"type": f"{VM_TYPE}/extensions"}
    policies = [
        assigned(definition(IS_VM, "auditIfNotExists", details=details, name="n1"), name="n1"),
        assigned(
            definition(
                IS_VM,
                "deployIfNotExists",
                details={
                    **details,
                    "evaluationDelay": "AfterProvisioning",
                    "roleDefinitionIds": [ROLE],
                    "deployment": {"properties": {"mode": "incremental", "template": {}}},
                },
                name="n2",
            ),
            name="n2",
        ),
    ]
    decision = _decide(policies)
    assert decision.allowed
    assert [each.delay.after for each in decision.due] == [None, After.PROVISIONING]
    assert decision.due[0].delay.duration == timedelta(minutes=10)


@pytest.mark.parametrize("effect", ["deny", "audit"])
def test_a_rule_that_fails_denies(effect: str) -> None:
    policy = assigned(definition({"allOf": [IS_VM, {"value": "[int(field('name'))]", "equals": 1}]}, effect))
    (denial,) = _decide([policy]).denials
    assert denial.kind is DenialKind.ERROR


def test_a_modify_that_fails_denies() -> None:
    policy = modify([{"operation": "add", "field": "tags.a", "value": "[int(field('name'))]"}], name="m")
    (denial,) = _decide([policy]).denials
    assert denial.kind is DenialKind.ERROR


def test_a_failure_that_comes_after_success_does_not_deny() -> None:
    failing = {"allOf": [IS_VM, {"value": "[int(field('name'))]", "equals": 1}]}
    policy = assigned(definition(failing, "auditIfNotExists", details={"type": "T/x"}))
    assert _decide([policy]).allowed


def test_do_not_enforce_has_no_part_at_the_door() -> None:
    policies = [
        deny(UNTAGGED, enforcementMode="DoNotEnforce"),
        assigned(definition(UNTAGGED, "audit"), enforcementMode="DoNotEnforce"),
    ]
    decision = _decide(policies)
    assert (decision.allowed, decision.audits) == (True, ())


def _enrollment(scope: str, **properties: Any) -> Any:
    body = {
        "properties": {
            "policyAssignmentId": f"{SUBSCRIPTION}{AUTHORIZATION}/policyAssignments/d",
            **properties,
        }
    }
    return parse_enrollment(body, id_=f"{scope}{AUTHORIZATION}/policyEnrollments/n")


def test_enroll_enforces_only_where_enrolled() -> None:
    policy = deny(UNTAGGED, enforcementMode="Enroll")
    assert _decide([policy]).allowed
    assert not _decide([policy], enrollments=[_enrollment(GROUP)]).allowed
    assert _decide([policy], enrollments=[_enrollment(f"{SUBSCRIPTION}/resourceGroups/h")]).allowed


def test_an_exemption_and_an_excluded_scope_let_the_request_through() -> None:
    exemption = parse_exemption(
        {
            "properties": {
                "policyAssignmentId": f"{SUBSCRIPTION}{AUTHORIZATION}/policyAssignments/d",
                "exemptionCategory": "Mitigated",
            }
        },
        id_=f"{GROUP}{AUTHORIZATION}/policyExemptions/e",
    )
    assert _decide([deny(UNTAGGED)], exemptions=[exemption]).allowed
    assert _decide([deny(UNTAGGED, notScopes=[GROUP])]).allowed


def test_a_change_of_tags_alone_asks_only_policies_that_look_at_tags() -> None:
    policies = [deny(EAST, name="place"), deny(UNTAGGED, name="tags")]
    decision = _decide(policies, kind=RequestKind.TAGS)
    assert [each.assigned.definition.name for each in decision.denials] == ["tags"]


def test_deny_action_forbids_a_deletion_and_nothing_else() -> None:
    assert _decide([_protect()]).allowed
    (denial,) = _decide([_protect()], kind=RequestKind.DELETE).denials
    assert denial.kind is DenialKind.ACTION


def test_deny_has_no_part_in_deletions() -> None:
    assert _decide([deny(UNTAGGED)], kind=RequestKind.DELETE).allowed


@pytest.mark.parametrize(
    ("details", "deleted_with", "allowed"),
    [
        ({}, DeletedWith.RESOURCE_GROUP, False),
        ({"cascadeBehaviors": {"resourceGroup": "deny"}}, DeletedWith.RESOURCE_GROUP, False),
        ({"cascadeBehaviors": {"resourceGroup": "allow"}}, DeletedWith.RESOURCE_GROUP, True),
        ({"cascadeBehaviors": {"resourceGroup": "allow"}}, DeletedWith.NOTHING, False),
        ({"mode": "All"}, DeletedWith.RESOURCE_GROUP, True),
        ({}, DeletedWith.PARENT, True),
        ({}, DeletedWith.SUBSCRIPTION, True),
    ],
)
def test_what_goes_with_something_else(details: Any, deleted_with: DeletedWith, allowed: bool) -> None:
    decision = _decide([_protect(**details)], kind=RequestKind.DELETE, deleted_with=deleted_with)
    assert decision.allowed is allowed


def test_what_would_lock_everybody_out_is_never_protected() -> None:
    policy = assigned(definition({"field": "type", "exists": True}, "denyAction", details=PROTECT))
    lock = {
        "id": f"{GROUP}/providers/Microsoft.Authorization/locks/l",
        "type": "Microsoft.Authorization/locks",
    }
    assert _decide([policy], lock, kind=RequestKind.DELETE).allowed
    assert not _decide([policy], kind=RequestKind.DELETE).allowed


def test_audit_action_notes_a_deletion_by_who_asks() -> None:
    condition = {"value": "[requestContext().identity.idtyp]", "equals": "user"}
    policy = assigned(definition(condition, "auditAction", details=PROTECT))
    assert len(_decide([policy], kind=RequestKind.DELETE).audits) == 1
    assert _decide([policy], kind=RequestKind.DELETE, identity={"idtyp": "app"}).audits == ()
    assert _decide([policy]).audits == ()


def test_a_caller_can_be_selected() -> None:
    selectors = [{"selectors": [{"kind": "userPrincipalId", "notIn": ["admin"]}]}]
    policy = deny(UNTAGGED, resourceSelectors=selectors)
    for caller, allowed in (("admin", True), ("somebody", False)):
        request = AdmissionRequest(target=target(vm(), caller=caller))
        assert decide(request, [policy], Rules(compiler=compiler())).allowed is allowed


def test_the_effect_at_the_resources_location_counts() -> None:
    overrides = [
        {
            "kind": "policyEffect",
            "value": "audit",
            "selectors": [{"kind": "resourceLocation", "in": ["eastus"]}],
        }
    ]
    policy = deny(UNTAGGED, overrides=overrides)
    assert _decide([policy]).allowed
    assert not _decide([policy], vm(location="westus")).allowed


def test_the_403_has_the_body_of_the_service() -> None:
    policy = assigned(
        definition(
            {"allOf": [IS_VM, {"field": f"{VM_TYPE}/sku.name", "exists": "false"}]},
            "[parameters('effect')]",
            name="sku",
            displayName="Needs a size",
            parameters={"effect": {"type": "String"}},
        ),
        values={"effect": "deny"},
        name="a1",
        displayName="Sizes",
    )
    body = denied_json("vm1", _decide([policy]).denials)
    error = body["error"]
    assert error["code"] == "RequestDisallowedByPolicy"
    assert error["target"] == "vm1"
    identifiers = [
        {
            "policyAssignment": {"name": "Sizes", "id": policy.assignment.id},
            "policyDefinition": {"name": "Needs a size", "id": policy.definition.id},
        }
    ]
    assert error["message"] == (
        "Resource 'vm1' was disallowed by policy. Policy identifiers: "
        f"'{json.dumps(identifiers, separators=(',', ':'))}'."
    )
    assert error["additionalInfo"] == [
        {
            "type": "PolicyViolation",
            "info": {
                "policyDefinitionDisplayName": "Needs a size",
                "evaluationDetails": {
                    "evaluatedExpressions": [
                        {
                            "result": "True",
                            "expressionKind": "Field",
                            "expression": "type",
                            "path": "type",
                            "expressionValue": VM_TYPE,
                            "targetValue": VM_TYPE,
                            "operator": "Equals",
                        },
                        {
                            "result": "True",
                            "expressionKind": "Field",
                            "expression": f"{VM_TYPE}/sku.name",
                            "path": "properties.hardwareProfile.vmSize",
                            "targetValue": "False",
                            "operator": "Exists",
                        },
                    ]
                },
                "policyDefinitionId": policy.definition.id,
                "policyDefinitionName": "sku",
                "policyDefinitionEffect": "Deny",
                "policyAssignmentId": policy.assignment.id,
                "policyAssignmentName": "a1",
                "policyAssignmentDisplayName": "Sizes",
                "policyAssignmentScope": SUBSCRIPTION,
                "policyAssignmentParameters": {"effect": "deny"},
                "policyExemptionIds": [],
            },
        }
    ]


def test_the_403_quotes_the_assignments_own_message() -> None:
    policy = deny(UNTAGGED, nonComplianceMessages=[{"message": "Name an owner."}])
    body = denied_json("vm1", _decide([policy]).denials)
    assert body["error"]["message"] == (
        "Resource 'vm1' was disallowed by policy. Reasons: 'Name an owner.'. "
        "See error details for policy resource IDs."
    )


def test_the_403_of_an_initiative_names_it() -> None:
    body = definition(UNTAGGED, "deny")
    made = initiative_of([body], displayName="The set")
    (policy,) = assigned_policies(assignment(made.id), Library([body], [made]))
    error = denied_json("vm1", _decide([policy]).denials)["error"]
    assert '"policySetDefinition":{"name":"The set"' in error["message"]
    info = error["additionalInfo"][0]["info"]
    assert info["policySetDefinitionId"] == made.id
    assert info["policySetDefinitionName"] == "set"
    assert info["policySetDefinitionDisplayName"] == "The set"
    assert info["policyDefinitionReferenceId"] == "ref-d"


def test_a_resource_nested_deeper_than_the_language_allows_is_denied_and_not_changed() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"a": deep}
    policy = modify([{"operation": "add", "field": "tags.a", "value": "1"}], name="m")
    (denial,) = _decide([policy], vm(properties=deep)).denials
    assert denial.kind is DenialKind.ERROR

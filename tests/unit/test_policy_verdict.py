"""The compliance of a resource under a policy: applicability, effects, related resources, exemptions."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.clock import iso
from goldsmith.policy.details import DeploymentScope
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.reasons import NO_RELATED, ReasonCode, reason
from goldsmith.policy.related import ResourceList, find_related
from goldsmith.policy.rule import Operator
from goldsmith.policy.scope import place_of
from goldsmith.policy.target import round_trip
from goldsmith.policy.verdict import (
    ComplianceState,
    Settings,
    Verdict,
    consider,
    evaluate_policies,
    evaluate_policy,
)
from goldsmith.policy.wire.exemption import parse_attestation, parse_exemption
from tests.policies import (
    AUTHORIZATION,
    GROUP,
    NOW,
    ROLE,
    STORAGE_TYPE,
    SUBSCRIPTION,
    VM_TYPE,
    assigned,
    compiler,
    definition,
    deny,
    modify,
    storage,
    target,
    vm,
)

CASES = Path(__file__).parents[1] / "cases/policy"
APPLICABILITY = yaml.safe_load((CASES / "applicability.yaml").read_text())
RELATED = yaml.safe_load((CASES / "related.yaml").read_text())
REASONS = yaml.safe_load((CASES / "reasons.yaml").read_text())
IS_VM = {"field": "type", "equals": VM_TYPE}
UNTAGGED = {"allOf": [IS_VM, {"field": "tags.owner", "exists": False}]}
EXTENSION = f"{GROUP}/providers/{VM_TYPE}/vm1/extensions/e"


def _verdict(policy: AssignedPolicy, resource: dict[str, Any], **settings: Any) -> Verdict:
    surroundings = settings.pop("surroundings", {})
    return evaluate_policy(
        policy, target(resource, **surroundings), Settings(compiler=compiler(), **settings)
    )


def _not_exists(effect: str = "auditIfNotExists", **details: Any) -> AssignedPolicy:
    return assigned(definition(IS_VM, effect, details={"type": f"{VM_TYPE}/extensions", **details}))


def _resource(id_: str, **properties: Any) -> dict[str, Any]:
    place = place_of(id_)
    return {"id": id_, "type": place.type, "name": place.name, "properties": properties}


@pytest.mark.parametrize("case", APPLICABILITY, ids=lambda case: case["holds"])
def test_what_a_policy_is_about(case: dict[str, Any]) -> None:
    details = {"type": "T/x"} if case.get("effect") else None
    policy = assigned(
        definition(case["if"], case.get("effect", "deny"), details=details, mode=case.get("mode", "All"))
    )
    for type_, applies in case["applies"].items():
        resource = {"id": f"{GROUP}/providers/{type_}/n", "type": type_, "name": "n", "properties": {}}
        if type_ == "Microsoft.Resources/subscriptions":
            resource["id"] = SUBSCRIPTION
        if type_.endswith("resourceGroups"):
            resource |= {"id": GROUP, "location": "eastus"}
        found = consider(policy, target(resource), compiler())
        assert (found.prepared is not None) is applies, type_


def test_a_resource_that_meets_the_condition_is_non_compliant_with_the_sentence_why() -> None:
    verdict = _verdict(deny(UNTAGGED), vm())
    assert verdict.state is ComplianceState.NON_COMPLIANT
    assert verdict.code is ReasonCode.CONDITION
    assert "Current value must exist." in verdict.reasons
    assert verdict.effect == "deny"


def test_a_resource_that_does_not_is_compliant() -> None:
    assert _verdict(deny(UNTAGGED), vm(tags={"owner": "me"})).state is ComplianceState.COMPLIANT


def test_another_type_is_not_applicable() -> None:
    assert _verdict(deny(UNTAGGED), storage()).state is ComplianceState.NOT_APPLICABLE


@pytest.mark.parametrize("effect", ["audit", "deny"])
def test_effects_by_condition_judge_existing_resources(effect: str) -> None:
    verdict = _verdict(assigned(definition(UNTAGGED, effect)), vm())
    assert verdict.state is ComplianceState.NON_COMPLIANT


def test_modify_judges_by_its_condition() -> None:
    policy = modify([{"operation": "add", "field": "tags.owner", "value": "x"}], name="m", condition=UNTAGGED)
    assert _verdict(policy, vm()).state is ComplianceState.NON_COMPLIANT
    assert _verdict(policy, vm(tags={"owner": "x"})).state is ComplianceState.COMPLIANT


def test_disabled_is_not_evaluated() -> None:
    verdict = _verdict(assigned(definition(UNTAGGED, "disabled")), vm())
    assert (verdict.state, verdict.code) == (ComplianceState.NOT_EVALUATED, ReasonCode.DISABLED)


def test_a_resource_provider_mode_is_never_compliant() -> None:
    policy = assigned(definition({"field": "x"}, "audit", mode="Microsoft.KeyVault.Data"))
    verdict = _verdict(policy, vm())
    assert (verdict.state, verdict.code) == (ComplianceState.NOT_EVALUATED, ReasonCode.MODE)


def test_a_rule_that_fails_is_an_error_with_its_reason() -> None:
    policy = deny({"allOf": [IS_VM, {"value": "[int(field('name'))]", "greater": 1}]})
    verdict = _verdict(policy, vm())
    assert verdict.state is ComplianceState.ERROR
    assert verdict.reason


def test_out_of_scope_has_no_state() -> None:
    excluded = deny(UNTAGGED, notScopes=[GROUP])
    assert _verdict(excluded, vm()).code is ReasonCode.OUT_OF_SCOPE
    assert _verdict(excluded, vm()).state is ComplianceState.NOT_APPLICABLE


def test_selectors_narrow_what_is_judged() -> None:
    selectors = [{"selectors": [{"kind": "resourceLocation", "in": ["westus"]}]}]
    policy = deny(UNTAGGED, resourceSelectors=selectors)
    assert _verdict(policy, vm()).code is ReasonCode.NOT_SELECTED
    assert _verdict(policy, vm(location="West US")).state is ComplianceState.NON_COMPLIANT


def test_deny_action_protects_what_it_matches() -> None:
    policy = assigned(definition(UNTAGGED, "denyAction", details={"actionNames": ["delete"]}))
    assert _verdict(policy, vm()).state is ComplianceState.PROTECTED
    assert _verdict(policy, vm(tags={"owner": "x"})).state is ComplianceState.COMPLIANT


def test_a_rule_on_the_caller_says_nothing_of_resources_at_rest() -> None:
    policy = deny({"value": "[requestContext().identity.idtyp]", "equals": "user"})
    assert _verdict(policy, vm()).code is ReasonCode.IDENTITY


def test_a_rule_on_the_api_version_is_judged_by_the_newest() -> None:
    policy = deny(
        {"allOf": [IS_VM, {"value": "[requestContext().apiVersion]", "greaterOrEquals": "2099-01-01"}]}
    )
    assert _verdict(policy, vm()).state is ComplianceState.NON_COMPLIANT


def test_a_clock_rule_reads_the_instant_of_the_target() -> None:
    condition = {"value": "[utcNow()]", "greater": "2026-06-01T00:00:00.0000000Z"}
    policy = deny({"allOf": [IS_VM, condition]})
    assert _verdict(policy, vm()).state is ComplianceState.NON_COMPLIANT
    early = {"now": NOW - timedelta(days=365)}
    assert _verdict(policy, vm(), surroundings=early).state is ComplianceState.COMPLIANT
    assert round_trip(NOW) == "2026-11-26T12:00:00.0000000Z"


def _exemption(scope: str, **properties: Any) -> Any:
    body = {
        "properties": {
            "policyAssignmentId": f"{SUBSCRIPTION}{AUTHORIZATION}/policyAssignments/d",
            "exemptionCategory": "Waiver",
            **properties,
        }
    }
    return parse_exemption(body, id_=f"{scope}{AUTHORIZATION}/policyExemptions/e")


@pytest.mark.parametrize(
    ("scope", "properties", "exempt"),
    [
        (vm()["id"], {}, True),
        (GROUP, {}, True),
        (f"{SUBSCRIPTION}/resourceGroups/other", {}, False),
        (GROUP, {"expiresOn": iso(NOW + timedelta(hours=1))}, True),
        (GROUP, {"expiresOn": iso(NOW)}, False),
        (GROUP, {"policyAssignmentId": "/providers/x/another"}, False),
        (GROUP, {"policyDefinitionReferenceIds": ["r"]}, False),
        (
            GROUP,
            {"resourceSelectors": [{"selectors": [{"kind": "resourceLocation", "in": ["westus"]}]}]},
            False,
        ),
    ],
)
def test_an_exemption_exempts_what_it_covers_while_it_holds(
    scope: str, properties: Any, exempt: bool
) -> None:
    verdict = _verdict(deny(UNTAGGED), vm(), exemptions=[_exemption(scope, **properties)])
    assert verdict.state is (ComplianceState.EXEMPT if exempt else ComplianceState.NON_COMPLIANT)
    assert (verdict.exemption is not None) is exempt


def test_what_is_not_applicable_is_not_exempt() -> None:
    assert _verdict(deny(UNTAGGED), storage(), exemptions=[_exemption(GROUP)]).state is (
        ComplianceState.NOT_APPLICABLE
    )


def _attestation(state: str, **properties: Any) -> Any:
    body = {
        "properties": {
            "policyAssignmentId": f"{SUBSCRIPTION}{AUTHORIZATION}/policyAssignments/a",
            "complianceState": state,
            **properties,
        }
    }
    return parse_attestation(body, id_=f"{vm()['id']}/providers/Microsoft.PolicyInsights/attestations/t")


@pytest.mark.parametrize("default", [None, "Compliant", "NonCompliant", "Non-compliant", "Unknown"])
def test_a_manual_policy_has_its_default_state(default: str | None) -> None:
    details = {} if default is None else {"defaultState": default}
    verdict = _verdict(assigned(definition(IS_VM, "manual", details=details)), vm())
    assert str(verdict.state) == (default or "Unknown").replace("-c", "C")


def test_an_attestation_wins_until_it_expires() -> None:
    policy = assigned(definition(IS_VM, "manual", details={"defaultState": "NonCompliant"}))
    said = _attestation("Compliant", owner="me")
    verdict = _verdict(policy, vm(), attestations=[said])
    assert (verdict.state, verdict.attestation) == (ComplianceState.COMPLIANT, said)
    late = _attestation("Compliant", expiresOn=iso(NOW))
    assert _verdict(policy, vm(), attestations=[late]).state is ComplianceState.NON_COMPLIANT
    assert _verdict(policy, vm("vm2"), attestations=[said]).state is ComplianceState.NON_COMPLIANT


@pytest.mark.parametrize("case", RELATED["cases"], ids=lambda case: case["holds"])
def test_which_related_resources_are_found(case: dict[str, Any]) -> None:
    resources = {name: _resource(id_) for name, id_ in RELATED["resources"].items()} | {"itself": vm()}
    policy = assigned(definition(IS_VM, "auditIfNotExists", details=case["details"]))
    prepared = compiler().prepare(policy, VM_TYPE)
    for listed in (resources, {name: each for name, each in resources.items() if name != "itself"}):
        found = find_related(prepared.rule, target(vm()), ResourceList(listed.values()))
        names = {each["id"]: name for name, each in resources.items()}
        assert [names[each["id"]] for each in found] == case["found"]


def test_no_related_resource_is_non_compliant() -> None:
    verdict = _verdict(_not_exists(), vm())
    assert verdict.state is ComplianceState.NON_COMPLIANT
    assert verdict.reasons == (NO_RELATED,)
    assert verdict.if_not_exists is not None
    assert (verdict.if_not_exists.resource_id, verdict.if_not_exists.total_resources) == (None, 0)


def test_any_related_resource_satisfies_without_condition() -> None:
    related = ResourceList([_resource(EXTENSION)])
    verdict = _verdict(_not_exists(), vm(), related=related)
    assert verdict.state is ComplianceState.COMPLIANT
    assert verdict.if_not_exists is not None
    assert verdict.if_not_exists.resource_id == EXTENSION


def test_any_one_that_meets_the_existence_condition_satisfies() -> None:
    policy = _not_exists(existenceCondition={"field": f"{VM_TYPE}/extensions/publisher", "equals": "P"})
    wrong, right = _resource(EXTENSION + "1", publisher="Q"), _resource(EXTENSION + "2", publisher="p")
    assert _verdict(policy, vm(), related=ResourceList([wrong, right])).state is ComplianceState.COMPLIANT
    verdict = _verdict(policy, vm(), related=ResourceList([wrong]))
    assert verdict.state is ComplianceState.NON_COMPLIANT
    assert verdict.code is ReasonCode.RELATED_NOT_MATCHING
    assert verdict.reasons == (NO_RELATED, "Current value must be equal to the target value.")


def test_an_existence_condition_may_compare_with_the_judged_resource() -> None:
    policy = _not_exists(
        existenceCondition={"field": f"{VM_TYPE}/extensions/publisher", "equals": "[field('location')]"}
    )
    related = ResourceList([_resource(EXTENSION, publisher="eastus")])
    assert _verdict(policy, vm(), related=related).state is ComplianceState.COMPLIANT


def test_if_not_exists_is_not_applicable_where_the_condition_fails() -> None:
    assert _verdict(_not_exists(), storage()).state is ComplianceState.NOT_APPLICABLE


def _deploying(**details: Any) -> AssignedPolicy:
    return _not_exists(
        "deployIfNotExists",
        roleDefinitionIds=[ROLE],
        deployment={
            "location": "westeurope",
            "properties": {
                "mode": "incremental",
                "template": {"resources": [{"name": "[parameters('vmName')]"}]},
                "parameters": {"vmName": {"value": "[field('name')]"}, "fixed": {"value": [1, "[[x]"]}},
            },
        },
        **details,
    )


def test_a_deployment_is_handed_over_with_its_parameters_computed() -> None:
    verdict = _verdict(_deploying(), vm())
    deployment = verdict.deployment
    assert deployment is not None
    assert deployment.scope is DeploymentScope.RESOURCE_GROUP
    assert (deployment.subscription, deployment.resource_group) == ("s-1", "g")
    assert deployment.parameters == {"vmName": "vm1", "fixed": [1, "[x]"]}
    assert deployment.template == {"resources": [{"name": "[parameters('vmName')]"}]}
    assert deployment.role_definition_ids == (ROLE,)


def test_a_deployment_goes_to_the_named_group_or_to_the_subscription() -> None:
    named = _verdict(_deploying(resourceGroupName="[concat('rg-', field('name'))]"), vm()).deployment
    assert named is not None
    assert named.resource_group == "rg-vm1"
    wide = _verdict(_deploying(deploymentScope="subscription"), vm()).deployment
    assert wide is not None
    assert (wide.scope, wide.resource_group, wide.location) == (
        DeploymentScope.SUBSCRIPTION,
        None,
        "westeurope",
    )


def test_a_satisfied_policy_deploys_nothing() -> None:
    related = ResourceList([_resource(EXTENSION)])
    assert _verdict(_deploying(), vm(), related=related).deployment is None


def test_modify_of_an_identity_is_about_machines_only() -> None:
    operations = [{"operation": "addOrReplace", "field": "identity.type", "value": "SystemAssigned"}]
    policy = modify(operations, name="m")
    assert _verdict(policy, storage()).state is ComplianceState.NOT_APPLICABLE
    assert _verdict(policy, vm()).state is ComplianceState.NON_COMPLIANT


def test_two_policies_that_contradict_each_other_are_in_conflict() -> None:
    policies = [
        modify([{"operation": "addOrReplace", "field": "tags.a", "value": value}], name=f"m{value}")
        for value in "12"
    ]
    verdicts = evaluate_policies([*policies, deny(UNTAGGED)], target(vm()), Settings(compiler=compiler()))
    assert [str(each.state) for each in verdicts] == ["Conflict", "Conflict", "NonCompliant"]


@pytest.mark.parametrize("row", REASONS, ids=lambda row: row[0])
def test_every_requirement_has_its_sentence(row: list[str]) -> None:
    operator, negation, sentence = row
    assert reason(Operator(operator), negated=False) == sentence
    assert reason(Operator(negation), negated=True) == sentence


def test_existence_has_two_sentences() -> None:
    assert reason(Operator.EXISTS, negated=False) == "Current value must exist."
    assert reason(Operator.EXISTS, negated=True) == "Current value must not exist."
    assert reason(Operator.EXISTS, negated=False, exists=False) == "Current value must not exist."


def test_a_storage_account_is_judged_under_its_own_aliases() -> None:
    condition = {
        "allOf": [
            {"field": "type", "equals": STORAGE_TYPE},
            {"field": f"{STORAGE_TYPE}/networkAcls.ipRules[*].action", "notEquals": "Deny"},
        ]
    }
    assert _verdict(deny(condition), storage(networkAcls={"ipRules": [{"action": "Allow"}]})).state is (
        ComplianceState.NON_COMPLIANT
    )
    assert _verdict(deny(condition), storage(networkAcls={"ipRules": [{"action": "deny"}]})).state is (
        ComplianceState.COMPLIANT
    )


def test_a_deployment_that_cannot_be_computed_leaves_the_resource_non_compliant() -> None:
    policy = _not_exists(
        "deployIfNotExists",
        roleDefinitionIds=[ROLE],
        deployment={
            "properties": {
                "mode": "incremental",
                "template": {},
                "parameters": {"n": {"value": "[int(field('name'))]"}},
            }
        },
    )
    verdict = _verdict(policy, vm())
    assert (verdict.state, verdict.deployment) == (ComplianceState.NON_COMPLIANT, None)
    assert "cannot be computed" in verdict.reasons[1]

"""Bodies of definitions, initiatives, assignments and exemptions: read, refused, written back; versions."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.assignment import EnforcementMode, OverrideKind
from goldsmith.policy.definition import Absent, ParameterType, PolicyType
from goldsmith.policy.exemption import ExemptionCategory
from goldsmith.policy.parameters import check_update, effective_values
from goldsmith.policy.versions import parse_pin, parse_version, resolve
from goldsmith.policy.wire.assignment import assignment_json, parse_assignment
from goldsmith.policy.wire.definition import definition_json, parse_definition
from goldsmith.policy.wire.exemption import (
    attestation_json,
    enrollment_json,
    exemption_json,
    parse_attestation,
    parse_enrollment,
    parse_exemption,
)
from goldsmith.policy.wire.initiative import initiative_json, parse_initiative
from tests.policies import AUTHORIZATION, GROUP, SUBSCRIPTION, definition_body

CASES = Path(__file__).parents[1] / "cases/policy"
VERSIONS = yaml.safe_load((CASES / "versions.yaml").read_text())
PARAMETERS = yaml.safe_load((CASES / "parameters.yaml").read_text())
REFUSED = yaml.safe_load((CASES / "refused.yaml").read_text())
CONDITION = {"field": "type", "equals": "Microsoft.Compute/virtualMachines"}
BUILT_IN = f"{AUTHORIZATION}/policyDefinitions/e56962a6"
DEFINITION: JsonObject = {
    "id": BUILT_IN,
    "name": "e56962a6",
    "type": "Microsoft.Authorization/policyDefinitions",
    "properties": {
        "displayName": "Allowed locations",
        "description": "d",
        "policyType": "BuiltIn",
        "mode": "Indexed",
        "metadata": {"category": "General"},
        "version": "1.1.0",
        "versions": ["1.1.0", "1.0.0"],
        "parameters": {
            "locations": {
                "type": "Array",
                "metadata": {"strongType": "location", "displayName": "Locations"},
                "defaultValue": ["eastus"],
            },
            "effect": {"type": "String", "allowedValues": ["Audit", "Deny"], "defaultValue": "Deny"},
            "more": {"type": "Object", "schema": {"type": "object"}, "defaultValue": None},
        },
        "policyRule": {
            "if": {"field": "location", "notIn": "[parameters('locations')]"},
            "then": {"effect": "[parameters('effect')]"},
        },
    },
}
INITIATIVE: JsonObject = {
    "id": f"{SUBSCRIPTION}{AUTHORIZATION}/policySetDefinitions/set",
    "name": "set",
    "type": "Microsoft.Authorization/policySetDefinitions",
    "properties": {
        "displayName": "Set",
        "policyType": "Custom",
        "metadata": {"category": "Tags"},
        "version": "2.0.0",
        "parameters": {"tag": {"type": "String"}},
        "policyDefinitions": [
            {
                "policyDefinitionReferenceId": "one",
                "policyDefinitionId": BUILT_IN,
                "definitionVersion": "1.*.*",
                "parameters": {"tag": {"value": "[parameters('tag')]"}},
                "groupNames": ["g1"],
            }
        ],
        "policyDefinitionGroups": [{"name": "g1", "category": "c", "additionalMetadataId": "/m/1"}],
    },
}
ASSIGNMENT: JsonObject = {
    "id": f"{GROUP}{AUTHORIZATION}/policyAssignments/a",
    "name": "a",
    "type": "Microsoft.Authorization/policyAssignments",
    "location": "eastus",
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "displayName": "A",
        "policyDefinitionId": BUILT_IN,
        "definitionVersion": "1.1.*",
        "scope": GROUP,
        "notScopes": [f"{GROUP}/providers/Microsoft.Compute/virtualMachines/x"],
        "parameters": {"locations": {"value": ["westus"]}},
        "metadata": {"assignedBy": "me"},
        "enforcementMode": "Enroll",
        "nonComplianceMessages": [
            {"message": "general"},
            {"message": "special", "policyDefinitionReferenceId": "one"},
        ],
        "resourceSelectors": [
            {"name": "s", "selectors": [{"kind": "resourceRolloutPercentage", "progress": 80}]}
        ],
        "overrides": [
            {
                "kind": "policyEffect",
                "value": "disabled",
                "selectors": [{"kind": "policyDefinitionReferenceId", "in": ["one"]}],
            },
            {"kind": "definitionVersion", "value": "1.2.*", "selectors": []},
        ],
        "assignmentType": "Custom",
        "selfServeExemptionSettings": {"enabled": True, "policyDefinitionReferenceIds": ["one"]},
    },
}
EXEMPTION: JsonObject = {
    "id": f"{GROUP}{AUTHORIZATION}/policyExemptions/e",
    "name": "e",
    "type": "Microsoft.Authorization/policyExemptions",
    "properties": {
        "policyAssignmentId": ASSIGNMENT["id"],
        "policyDefinitionReferenceIds": ["one"],
        "exemptionCategory": "Waiver",
        "expiresOn": "2027-01-01T00:00:00Z",
        "displayName": "E",
        "metadata": {"ticket": "1"},
        "resourceSelectors": [{"name": "s", "selectors": [{"kind": "resourceLocation", "in": ["eastus"]}]}],
        "assignmentScopeValidation": "DoNotValidate",
    },
}
ENROLLMENT: JsonObject = {
    "id": f"{GROUP}{AUTHORIZATION}/policyEnrollments/n",
    "name": "n",
    "type": "Microsoft.Authorization/policyEnrollments",
    "properties": {
        "policyAssignmentId": ASSIGNMENT["id"],
        "policyDefinitionReferenceIds": ["one"],
        "displayName": "N",
        "assignmentScopeValidation": "Default",
    },
}
ATTESTATION: JsonObject = {
    "id": f"{GROUP}/providers/Microsoft.PolicyInsights/attestations/t",
    "name": "t",
    "type": "Microsoft.PolicyInsights/attestations",
    "properties": {
        "policyAssignmentId": ASSIGNMENT["id"],
        "policyDefinitionReferenceId": "one",
        "complianceState": "Compliant",
        "expiresOn": "2027-07-14T00:00:00Z",
        "owner": "o",
        "comments": "c",
        "evidence": [{"description": "d", "sourceUri": "https://example.org/e"}],
        "assessmentDate": "2026-11-14T00:00:00Z",
        "metadata": {"departmentId": "x"},
    },
}


def test_a_definition_comes_back_as_it_was_read() -> None:
    assert definition_json(parse_definition(DEFINITION)) == DEFINITION


def test_an_initiative_comes_back_as_it_was_read() -> None:
    assert initiative_json(parse_initiative(INITIATIVE)) == INITIATIVE


def test_an_assignment_comes_back_as_it_was_read() -> None:
    assert assignment_json(parse_assignment(ASSIGNMENT)) == ASSIGNMENT


def test_exemptions_enrollments_and_attestations_come_back_as_they_were_read() -> None:
    assert exemption_json(parse_exemption(EXEMPTION)) == EXEMPTION
    assert enrollment_json(parse_enrollment(ENROLLMENT)) == ENROLLMENT
    assert attestation_json(parse_attestation(ATTESTATION)) == ATTESTATION


def test_a_definition_is_read_with_its_words() -> None:
    definition = parse_definition(DEFINITION)
    assert definition.policy_type is PolicyType.BUILT_IN
    assert definition.indexed
    assert definition.evaluated
    assert definition.category == "General"
    assert definition.version == parse_version("1.1.0", "version")
    assert definition.parameters["locations"].type is ParameterType.ARRAY
    assert definition.parameters["locations"].strong_type == "location"
    assert definition.parameters["more"].default is None
    assert definition.parameters["effect"].default == "Deny"


def test_a_flattened_definition_reads_as_the_nested_one() -> None:
    flat = {"id": DEFINITION["id"], "name": DEFINITION["name"], **DEFINITION["properties"]}
    assert definition_json(parse_definition(flat)) == DEFINITION


def test_names_of_members_ignore_case() -> None:
    properties = {key.upper(): value for key, value in DEFINITION["properties"].items()}
    assert definition_json(parse_definition({**DEFINITION, "properties": properties})) == DEFINITION


def test_a_parameter_without_default_needs_a_value() -> None:
    body = definition_body(CONDITION, parameters={"p": {"type": "string"}})
    assert parse_definition(body).parameters["p"].default is Absent.ABSENT


@pytest.mark.parametrize("mode", ["Microsoft.Kubernetes.Data", "Microsoft.KeyVault.Data"])
def test_resource_provider_modes_are_kept_and_not_evaluated(mode: str) -> None:
    body = definition_body({"field": "x", "anything": {}}, "enforceRegoPolicy", mode=mode)
    definition = parse_definition(body)
    assert not definition.evaluated
    assert definition_json(definition)["properties"]["policyRule"] == body["properties"]["policyRule"]


def test_a_static_definition_is_not_evaluated() -> None:
    body = definition_body(CONDITION, policyType="Static")
    assert not parse_definition(body).evaluated


def test_the_scope_of_an_assignment_comes_from_its_id() -> None:
    body = {"properties": {"policyDefinitionId": BUILT_IN}}
    made = parse_assignment(body, id_=f"{GROUP}{AUTHORIZATION}/policyAssignments/x")
    assert made.scope == GROUP
    assert made.name == "x"
    assert made.enforcement_mode is EnforcementMode.DEFAULT


def test_policy_version_is_another_word_for_definition_version() -> None:
    body = copy.deepcopy(ASSIGNMENT)
    body["properties"]["overrides"] = [{"kind": "policyVersion", "value": "2.*.*"}]
    (override,) = parse_assignment(body).overrides
    assert override.kind is OverrideKind.DEFINITION_VERSION


def test_the_category_of_an_exemption_ignores_case() -> None:
    body = copy.deepcopy(EXEMPTION)
    body["properties"]["exemptionCategory"] = "mitigated"
    assert parse_exemption(body).category is ExemptionCategory.MITIGATED


_PARSERS: dict[str, tuple[Callable[[Any], object], JsonObject]] = {
    "definition": (parse_definition, DEFINITION),
    "initiative": (parse_initiative, INITIATIVE),
    "assignment": (parse_assignment, ASSIGNMENT),
    "exemption": (parse_exemption, EXEMPTION),
    "attestation": (parse_attestation, ATTESTATION),
}
_LARGE = {
    "LONG129": "x" * 129,
    "MANY21": {f"p{number}": {"type": "String"} for number in range(21)},
    "MANY11": [{"name": "s", "selectors": []}] * 11,
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["holds"])
def test_what_is_against_the_rules_is_refused(case: dict[str, Any]) -> None:
    parse, base = _PARSERS[case["kind"]]
    body = {**base, **case.get("around", {})}
    changes = {
        name: _LARGE[value] if isinstance(value, str) and value in _LARGE else value
        for name, value in case.get("set", {}).items()
    }
    body["properties"] = {**base["properties"], **changes}
    with pytest.raises(InvalidInputError) as caught:
        parse(body)
    assert caught.value.code == case["code"]
    assert case["says"] in str(caught.value)


@pytest.mark.parametrize("case", VERSIONS, ids=lambda case: case["holds"])
def test_a_pin_resolves(case: dict[str, Any]) -> None:
    pin = None if case["pin"] is None else parse_pin(case["pin"], "pin")
    found = resolve(pin, [parse_version(text, "version") for text in case["versions"]])
    assert (None if found is None else str(found)) == case["chosen"]


@pytest.mark.parametrize("text", ["1", "1.0", "v1.0.0", "*.*.*", "1.*.3", "1.0.0.0", ""])
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"at\.this\.path"):
        parse_pin(text, "at.this.path")


@pytest.mark.parametrize("case", PARAMETERS, ids=lambda case: case["holds"])
def test_parameter_values(case: dict[str, Any]) -> None:
    declared = parse_definition(definition_body(CONDITION, parameters=case["declared"])).parameters

    def values() -> dict[str, Any]:
        return dict(
            effective_values(declared, case["given"], user="u", owner="o", at="properties.parameters")
        )

    if "code" in case:
        with pytest.raises(InvalidInputError) as caught:
            values()
        assert caught.value.code == case["code"]
    else:
        assert values() == case["values"]


@pytest.mark.parametrize(
    ("updated", "says"),
    [
        ({}, "'p' are removed"),
        ({"p": {"type": "Array"}}, "from 'String' to 'Array'"),
        ({"p": {"type": "String"}, "q": {"type": "String"}}, "new parameter(s) 'q'"),
    ],
)
def test_an_update_that_assignments_cannot_follow_is_refused(updated: Any, says: str) -> None:
    before = parse_definition(definition_body(CONDITION, parameters={"p": {"type": "String"}})).parameters
    after = parse_definition(definition_body(CONDITION, parameters=updated)).parameters
    with pytest.raises(InvalidInputError) as caught:
        check_update(before, after, owner="policy definition 'd'")
    assert caught.value.code == "InvalidPolicyParameterUpdate"
    assert says in str(caught.value)


def test_an_update_may_add_a_parameter_with_default() -> None:
    before = parse_definition(definition_body(CONDITION, parameters={"p": {"type": "String"}})).parameters
    more = {"P": {"type": "string"}, "q": {"type": "String", "defaultValue": "x"}}
    after = parse_definition(definition_body(CONDITION, parameters=more)).parameters
    check_update(before, after, owner="policy definition 'd'")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "((a+))+", "(a|aa)*", "([a-z]+,)*", "(?:a*)+", "x" * 1001])
def test_a_schema_pattern_that_can_take_for_ever_is_refused(pattern: str) -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": pattern}}}
    body = definition_body(CONDITION, parameters={"p": {"type": "Object", "schema": schema}})
    with pytest.raises(InvalidInputError, match="pattern"):
        parse_definition(body)


@pytest.mark.parametrize(
    "pattern", [r"^(-|\+)[0-9]{2}:[0-9]{2}$", r"^\d{2}:\d{2}$", r"^[(a+)]+$", r"\(a+\)+"]
)
def test_ordinary_schema_patterns_are_taken(pattern: str) -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": pattern}}}
    body = definition_body(CONDITION, parameters={"p": {"type": "Object", "schema": schema}})
    assert parse_definition(body).parameters["p"].schema == schema


def test_a_value_nested_too_deep_is_refused() -> None:
    deep: Any = {}
    for _ in range(1000):
        deep = {"a": deep}
    schema = {
        "$ref": "#/definitions/n",
        "definitions": {"n": {"properties": {"a": {"$ref": "#/definitions/n"}}}},
    }
    body = definition_body(CONDITION, parameters={"p": {"type": "Object", "schema": schema}})
    declared = parse_definition(body).parameters
    with pytest.raises(InvalidInputError, match="levels deep"):
        effective_values(declared, {"p": deep}, user="u", owner="o", at="x")

"""Every rule of the linter finds what it is for, lets the mended document pass, and mends it where it can."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.policy.aliases import AliasPath, AliasTable, Modifiable, from_paths
from goldsmith.policy.lint.checks.compiling import INVALID_JSON, TOO_DEEP
from goldsmith.policy.lint.fixes import apply_fixes
from goldsmith.policy.lint.model import Finding, Severity, Suppression
from goldsmith.policy.lint.report import to_json, to_text
from goldsmith.policy.lint.rules import RULES, rules_named
from goldsmith.policy.lint.run import counted, lint_definition, lint_text, unknown_ids

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "policy" / "lint.yaml").read_text())
_VM = "Microsoft.Compute/virtualMachines"
_NICS = f"{_VM}/networkProfile.networkInterfaces"
_GROUPS = "Microsoft.Network/networkSecurityGroups"
ALIASES: AliasTable = from_paths(
    {
        _VM: [
            AliasPath(
                name=f"{_VM}/sku.name", path="properties.hardwareProfile.vmSize", modifiable=Modifiable.NO
            ),
            AliasPath(name=_NICS, path="properties.networkProfile.networkInterfaces"),
            AliasPath(name=f"{_NICS}[*]", path="properties.networkProfile.networkInterfaces[*]"),
            AliasPath(name=f"{_NICS}[*].id", path="properties.networkProfile.networkInterfaces[*].id"),
            AliasPath(
                name=f"{_VM}/storageProfile.osDisk.osType", path="properties.storageProfile.osDisk.osType"
            ),
            AliasPath(
                name=f"{_VM}/storageProfile.osDisk.diskSizeGB",
                path="properties.storageProfile.osDisk.diskSizeGB",
                token_type="Integer",
            ),
            AliasPath(
                name=f"{_VM}/securityProfile.encryptionAtHost",
                path="properties.securityProfile.encryptionAtHost",
                token_type="Boolean",
                modifiable=Modifiable.YES,
            ),
        ],
        _GROUPS: [
            AliasPath(name=f"{_GROUPS}/securityRules[*]", path="properties.securityRules[*]"),
            AliasPath(
                name=f"{_GROUPS}/securityRules[*].access",
                path="properties.securityRules[*].properties.access",
            ),
        ],
        "Microsoft.Network/virtualNetworks": [
            AliasPath(
                name="Microsoft.Network/virtualNetworks/subnets.group.interface.name",
                path="properties.subnets.properties.group.properties.interface.properties.name",
            )
        ],
    }
)
_ROLE = "/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"
_THEN: dict[str, dict[str, Any]] = {
    "if_not_exists": {
        "effect": "auditIfNotExists",
        "details": {
            "type": "Microsoft.GuestConfiguration/guestConfigurationAssignments",
            "existenceCondition": {"field": "name", "equals": "x"},
        },
    },
    "modify": {
        "effect": "modify",
        "details": {
            "roleDefinitionIds": [_ROLE],
            "operations": [{"operation": "addOrReplace", "field": "tags['a']", "value": "x"}],
        },
    },
    "deploy": {
        "effect": "deployIfNotExists",
        "details": {
            "type": "Microsoft.Compute/virtualMachines/extensions",
            "existenceCondition": {"field": "name", "equals": "x"},
            "roleDefinitionIds": [_ROLE],
            "deployment": {
                "properties": {
                    "mode": "incremental",
                    "parameters": {"name": {"value": "[field('name')]"}},
                    "template": {"parameters": {"name": {"type": "string"}}, "resources": []},
                }
            },
        },
    },
}


def clean() -> dict[str, Any]:
    """A definition in which no rule finds anything."""
    return {
        "displayName": "Machines have an owner",
        "description": "Somebody answers for each machine; write who into the tag owner.",
        "mode": "Indexed",
        "metadata": {"version": "1.0.0", "category": "Tags"},
        "parameters": {
            "effect": {
                "type": "String",
                "metadata": {
                    "displayName": "Effect",
                    "description": "What happens to machines without owner.",
                },
                "allowedValues": ["Audit", "Deny", "Disabled"],
                "defaultValue": "Audit",
            }
        },
        "policyRule": {
            "if": {"allOf": [{"field": "type", "equals": _VM}, {"field": "tags['owner']", "exists": False}]},
            "then": {"effect": "[parameters('effect')]"},
        },
    }


def laid_over(below: Any, above: Any) -> Any:
    if not isinstance(above, dict) or not isinstance(below, dict):
        return above
    merged = {**below, **{key: laid_over(below.get(key), value) for key, value in above.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def built(case: Mapping[str, Any]) -> dict[str, Any]:
    properties = clean()
    condition, then = case.get("if"), case.get("then")
    for name, whole in _THEN.items():
        if name in case:
            then = laid_over(whole, {"details": case[name]})
    if condition is not None:
        properties["policyRule"]["if"] = condition
    if then is not None:
        properties["policyRule"]["then"] = then
        if "parameters('effect')" not in json.dumps(then):
            del properties["parameters"]["effect"]
    parameters = {
        name: laid_over({"type": "String", "metadata": {"displayName": name, "description": name}}, one)
        if name != "effect"
        else one
        for name, one in case.get("parameters", {}).items()
    }
    properties["parameters"] = laid_over(properties["parameters"], parameters)
    properties = laid_over(properties, case.get("properties", {}))
    _multiplied(properties, case)
    return {"name": "x", "properties": properties}


def _multiplied(properties: dict[str, Any], case: Mapping[str, Any]) -> None:
    leaf: dict[str, Any] = {"field": "name", "equals": "x"}
    where = {"field": f"{_NICS}[*].id", "equals": "x"}
    rule = properties.get("policyRule", {})
    for number in range(case.get("many_parameters", 0)):
        properties["parameters"][f"p{number}"] = {"type": "String"}
    if many := case.get("many_conditions"):
        rule["if"] = {"anyOf": [{"field": "name", "like": f"x{number}*"} for number in range(many)]}
    if many := case.get("many_functions"):
        rule["if"] = {"anyOf": [{"field": "name", "like": f"[field('x{number}')]"} for number in range(many)]}
    if many := case.get("many_field_counts"):
        counts = [{"count": {"field": f"{_NICS}[*]", "where": where}, "greater": one} for one in range(many)]
        rule["if"] = {"anyOf": counts}
    if many := case.get("many_value_counts"):
        counts = [
            {"count": {"value": ["a"], "where": {"value": "[current()]", "equals": "x"}}, "greater": one}
            for one in range(many)
        ]
        rule["if"] = {"anyOf": counts}
    for number in range(case.get("nested", 0)):
        leaf = {"not" if number % 2 else "allOf": leaf if number % 2 else [leaf]}
        rule["if"] = leaf
    if long := case.get("repeat_text"):
        rule["if"] = {"field": "name", "equals": "x" * long}
    if long := case.get("repeat_metadata"):
        properties["metadata"]["note"] = "x" * long


def lint(document: dict[str, Any], **options: Any) -> tuple[Finding, ...]:
    return lint_text(json.dumps(document, indent=2), aliases=ALIASES, source="x.json", **options)


def found(document: dict[str, Any]) -> set[str]:
    return {finding.rule for finding in lint(document)}


def test_the_clean_definition_has_no_findings() -> None:
    assert lint({"name": "x", "properties": clean()}) == ()


def _names(cases: list[dict[str, Any]]) -> list[str]:
    return [f"{number}-{case['rule']}" for number, case in enumerate(cases)]


@pytest.mark.parametrize("case", CASES, ids=_names(CASES))
def test_what_a_rule_is_for_is_found(case: dict[str, Any]) -> None:
    findings = [finding for finding in lint(built(case["bad"])) if finding.rule == case["rule"]]
    assert findings
    for finding in findings:
        assert finding.region is not None
        assert finding.region.line > 1 or finding.path == ()


@pytest.mark.parametrize("case", CASES, ids=_names(CASES))
def test_what_is_right_is_not_found(case: dict[str, Any]) -> None:
    assert case["rule"] not in found(built(case["good"]))


def test_every_rule_has_a_case() -> None:
    with_cases = {case["rule"] for case in CASES} | {INVALID_JSON, TOO_DEEP}
    assert with_cases == {rule.id for rule in RULES}


def test_ids_are_unique_and_rules_are_explained() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.explanation.endswith("."), rule.id
        assert not rule.hint.endswith("."), rule.id
        assert rule.id == rule.id.lower()


FIXABLE = [
    case
    for case in CASES
    if any(finding.fix for finding in lint(built(case["bad"])) if finding.rule == case["rule"])
]


@pytest.mark.parametrize("case", FIXABLE, ids=_names(FIXABLE))
def test_a_fix_mends_what_was_found(case: dict[str, Any]) -> None:
    text = json.dumps(built(case["bad"]), indent=2)
    findings = [one for one in lint_text(text, aliases=ALIASES, source="x") if one.rule == case["rule"]]
    mended, made = apply_fixes(text, findings)
    assert made >= 1
    json.loads(mended)
    left = [one for one in lint_text(mended, aliases=ALIASES, source="x") if one.rule == case["rule"]]
    assert len(left) < len(findings)


def test_there_are_fixes() -> None:
    assert len({case["rule"] for case in FIXABLE}) >= 25


def test_fixes_keep_comments_and_the_rest_of_the_text() -> None:
    text = """{
  // who may be asked
  "mode": "indexed",
  "policyRule": {"if": {"field": "name", "like": "vm"}, "then": {"effect": "audit"}}, /* end */
}"""
    findings = lint_text(text, aliases=ALIASES, source="x")
    mended, made = apply_fixes(text, findings)
    assert made == 2
    assert mended == text.replace('"indexed"', '"Indexed"').replace('"like"', '"equals"')


def test_findings_say_line_and_column() -> None:
    text = '{"policyRule": {\n  "if": {"field": "name",\n    "like": "vm"},\n  "then": {"effect": "audit"}}}'
    (finding,) = (
        one for one in lint_text(text, aliases=ALIASES, source="x") if one.rule == "like-without-wildcard"
    )
    assert finding.path == ("policyRule", "if", "like")
    assert finding.region is not None
    assert (finding.region.line, finding.region.column) == (3, 5)
    assert (finding.region.end_line, finding.region.end_column) == (3, 17)


@pytest.mark.parametrize(
    ("text", "line", "column"), [("{", 1, 2), ('{\n  "a": tru\n}', 2, 8), ("", 1, 1), ('{"a": NaN}', 1, 1)]
)
def test_a_text_that_is_no_json_is_one_finding_with_its_place(text: str, line: int, column: int) -> None:
    (finding,) = lint_text(text, aliases=ALIASES, source="x.json")
    assert finding.rule == INVALID_JSON
    assert finding.region is not None
    assert (finding.region.line, finding.region.column) == (line, column)


def test_bytes_that_are_no_text_are_a_finding() -> None:
    (finding,) = lint_text(b"\xff\xfe\x00", aliases=ALIASES, source="x.json")
    assert finding.rule == INVALID_JSON


def test_deep_nesting_is_a_finding_and_not_an_error() -> None:
    document: dict[str, Any] = {"field": "name", "equals": "x"}
    for _ in range(3_000):
        document = {"not": document}
    findings = lint_definition({"policyRule": {"if": document}}, aliases=ALIASES, source="x")
    assert {finding.rule for finding in findings} == {TOO_DEEP, "limit-nesting"}
    nested: Any = "x"
    for _ in range(290):
        nested = {"a": [nested]} if isinstance(nested, str) else {"a": nested}
    for place in ("mode", "metadata", "parameters", "policyRule", "displayName", "policyType", "version"):
        assert lint_definition(clean() | {place: nested}, aliases=ALIASES, source="x")
    for effect in ("modify", "append", "denyAction", "auditIfNotExists"):
        then = {"effect": effect, "details": nested}
        rule = {"if": {"field": "name", "in": [nested, nested]}, "then": then}
        assert lint_definition({"policyRule": rule}, aliases=ALIASES, source="x")
    text = "[" * 200_000
    assert [one.rule for one in lint_text(text, aliases=ALIASES, source="x")] == [INVALID_JSON]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"properties": None},
        {"properties": {"policyRule": []}},
        {"policyRule": {"if": [], "then": "deny"}},
        {"policyRule": {"if": {"allOf": {"field": 1}}, "then": {"effect": 1, "details": 3}}},
        {"policyRule": {"if": {"count": [], "in": {}}, "then": {"effect": "modify", "details": [1]}}},
        {
            "policyRule": {
                "if": {"not": [1]},
                "then": {"effect": "deployIfNotExists", "details": {"deployment": 1}},
            }
        },
        {
            "parameters": {"a": 1, "b": {"type": 1, "allowedValues": 2, "metadata": 3}},
            "metadata": 1,
            "mode": 1,
        },
        {"policyRule": {"if": {"field": None, "equals": {"a": [None]}}, "then": {"effect": None}}},
    ],
)
def test_malformed_documents_are_linted_without_an_error(document: dict[str, Any]) -> None:
    assert found(document)


def test_a_rule_by_itself_is_linted_without_its_envelope() -> None:
    rules = found({"if": {"field": "name", "like": "x"}, "then": {"effect": "audit"}})
    assert rules == {"like-without-wildcard"}


def test_every_definition_of_a_list_is_linted() -> None:
    bare = {"if": {"field": "name", "like": "x"}, "then": {"effect": "audit"}}
    paths = [one.path for one in lint({"value": [bare, bare]})]
    assert paths == [("value", 0, "if", "like"), ("value", 1, "if", "like")]


def test_findings_are_suppressed_by_either_id_from_inside_and_from_outside() -> None:
    document = built({"if": {"field": "name", "like": "x"}})
    document["properties"]["metadata"]["lintIgnore"] = ["like-notlike-without-wildcards"]
    (finding,) = lint(document)
    assert finding.suppression is Suppression.IN_SOURCE
    assert to_text([finding]) == ""
    assert to_json([finding])[0]["suppressed"] == "inSource"
    assert counted([finding])[Severity.WARNING] == 0
    del document["properties"]["metadata"]["lintIgnore"]
    (finding,) = lint(document, ignore=["like-without-wildcard"])
    assert finding.suppression is Suppression.EXTERNAL


def test_ids_of_azures_own_linter_name_our_rules() -> None:
    assert [rule.id for rule in rules_named("type-condition-first-in-allof")] == ["type-condition-first"]
    assert unknown_ids(["type-condition-first", "no-such-rule"]) == ("no-such-rule",)


def test_the_text_form_can_be_jumped_to() -> None:
    text = to_text(lint(built({"if": {"field": "name", "like": "x"}})))
    first, second = text.splitlines()
    assert first.startswith("x.json:")
    assert first.endswith("[like-without-wildcard]")
    assert second.strip().endswith("can be fixed")

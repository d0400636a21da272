"""Explanations: every condition with what it saw, as a tree and in the JSON of the service."""

from typing import Any

import pytest

from goldsmith.policy.explain import ExpressionKind, evaluated_expressions, explain, reasons
from goldsmith.policy.related import ResourceList
from goldsmith.policy.verdict import Settings, evaluate_policy
from goldsmith.policy.wire.evaluation import (
    explained_json,
    explanation_json,
    expression_json,
    policy_evaluation_details,
)
from tests.policies import (
    GROUP,
    STORAGE_TYPE,
    VM_TYPE,
    assigned,
    compiler,
    definition,
    deny,
    storage,
    target,
    vm,
)

IS_VM = {"field": "type", "equals": VM_TYPE}
DISKS = f"{VM_TYPE}/storageProfile.dataDisks[*]"


def _explain(condition: Any, resource: dict[str, Any], **rest: Any) -> Any:
    made, about = compiler(), target(resource)
    policy = deny(condition, **rest)
    return explain(made.prepare(policy, about.type), about, compiler=made).condition


def _json(condition: Any, resource: dict[str, Any]) -> list[Any]:
    return [expression_json(each) for each in evaluated_expressions(_explain(condition, resource))]


def test_a_field_shows_the_path_of_its_alias_as_the_table_spells_it() -> None:
    resource = vm(properties={"hardwareProfile": {"vmSize": "Standard_A1"}})
    assert _json({"field": f"{VM_TYPE}/SKU.NAME", "in": ["Standard_A1", "Standard_A2"]}, resource) == [
        {
            "result": "True",
            "expressionKind": "Field",
            "expression": f"{VM_TYPE}/SKU.NAME",
            "path": "properties.hardwareProfile.vmSize",
            "expressionValue": "Standard_A1",
            "targetValue": ["Standard_A1", "Standard_A2"],
            "operator": "In",
        }
    ]


def test_what_is_absent_has_no_value() -> None:
    (shown,) = _json({"field": "tags.owner", "exists": False}, vm())
    assert "expressionValue" not in shown
    assert shown["targetValue"] == "False"


def test_a_value_shows_its_expression_and_what_it_gave() -> None:
    (shown,) = _json({"value": "[length(field('name'))]", "less": 5}, vm())
    assert shown == {
        "result": "True",
        "expressionKind": "Value",
        "expression": "[length(field('name'))]",
        "expressionValue": 3,
        "targetValue": 5,
        "operator": "Less",
    }


@pytest.mark.parametrize("disks", [0, 1, 2, 3, 7, 8, 9])
def test_a_count_shows_how_many_it_counted(disks: int) -> None:
    resource = vm(properties={"storageProfile": {"dataDisks": [{"lun": lun} for lun in range(disks)]}})
    condition = {"count": {"field": DISKS}, "greaterOrEquals": 0}
    (shown,) = _json(condition, resource)
    assert shown["expressionKind"] == "Count"
    assert shown["expressionValue"] == disks
    assert shown["path"] == "properties.storageProfile.dataDisks[*]"


def test_a_count_with_where_counts_those_for_which_it_holds() -> None:
    resource = vm(properties={"storageProfile": {"dataDisks": [{"lun": lun} for lun in range(5)]}})
    where = {"field": f"{DISKS}.lun", "greater": 2}
    (shown,) = _json({"count": {"field": DISKS, "where": where}, "equals": 2}, resource)
    assert (shown["result"], shown["expressionValue"]) == ("True", 2)


def test_a_value_count_counts() -> None:
    condition = {
        "count": {
            "value": ["a*", "v*", "w*"],
            "name": "p",
            "where": {"field": "name", "like": "[current('p')]"},
        },
        "greater": 0,
    }
    (shown,) = _json(condition, vm())
    assert (shown["result"], shown["expressionValue"]) == ("True", 1)


def test_parameters_are_put_in() -> None:
    policy = assigned(
        definition(
            {"field": "[concat('tags[', parameters('t'), ']')]", "equals": "[parameters('v')]"},
            "deny",
            parameters={"t": {"type": "String"}, "v": {"type": "String"}},
        ),
        values={"t": "env", "v": "prod"},
    )
    made, about = compiler(), target(vm(tags={"env": "prod"}))
    explained = explain(made.prepare(policy, VM_TYPE), about, compiler=made).condition
    (shown,) = evaluated_expressions(explained)
    assert (shown.expression, shown.value, shown.target) == ("tags[env]", "prod", "prod")
    assert shown.kind is ExpressionKind.FIELD


def test_what_the_short_circuit_leaves_out_is_in_the_tree_and_not_in_the_list() -> None:
    condition = {"allOf": [{"field": "type", "equals": "T/other"}, {"field": "name", "equals": "vm1"}]}
    explained = _explain(condition, vm())
    assert [each.result for each in explained.children] == [False, True]
    assert [each.reached for each in explained.children] == [True, False]
    assert len(list(evaluated_expressions(explained))) == 1
    assert explained.at == "properties.policyRule.if"
    assert explained.children[1].at == "properties.policyRule.if.allOf[1]"


def test_a_failure_is_shown_where_it_is_and_is_the_result_of_what_reached_it() -> None:
    fails = {"value": "[int(field('name'))]", "equals": 1}
    explained = _explain({"anyOf": [{"not": fails}, {"field": "name", "equals": "vm1"}]}, vm())
    assert explained.result is None
    assert explained.error
    assert explained.children[0].children[0].result is None
    assert explained.children[1].reached is False
    spared = _explain({"anyOf": [{"field": "name", "equals": "vm1"}, fails]}, vm())
    assert spared.result is True


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"field": "location", "notIn": ["westus"]}, ["Current value must be in the target value."]),
        ({"not": {"field": "location", "in": ["westus"]}}, ["Current value must be in the target value."]),
        ({"field": "tags.a", "exists": "false"}, ["Current value must exist."]),
        ({"not": {"field": "tags.a", "exists": "true"}}, ["Current value must exist."]),
        ({"field": "name", "exists": True}, ["Current value must not exist."]),
        (
            {"anyOf": [{"field": "name", "equals": "x"}, {"field": "name", "like": "v*"}]},
            ["Current value must not be like the target value."],
        ),
        (
            {"not": {"allOf": [{"field": "name", "equals": "vm1"}, {"field": "kind", "equals": "y"}]}},
            ["Current value must be equal to the target value."],
        ),
    ],
)
def test_the_sentences_say_what_must_change(condition: Any, expected: list[str]) -> None:
    assert list(reasons(_explain(condition, vm()), wanted=False)) == expected


def test_the_tree_renders_with_every_node() -> None:
    condition = {"allOf": [IS_VM, {"not": {"field": "tags.owner", "exists": True}}]}
    shown = explained_json(_explain(condition, vm()))
    assert (shown["kind"], shown["result"], shown["reached"]) == ("allOf", "True", True)
    assert [each["kind"] for each in shown["conditions"]] == ["condition", "not"]
    assert shown["conditions"][1]["conditions"][0]["result"] == "False"


def test_related_resources_are_explained_one_by_one() -> None:
    policy = assigned(
        definition(
            IS_VM,
            "auditIfNotExists",
            details={
                "type": f"{VM_TYPE}/extensions",
                "existenceCondition": {"field": f"{VM_TYPE}/extensions/publisher", "equals": "P"},
            },
        )
    )
    id_ = f"{GROUP}/providers/{VM_TYPE}/vm1/extensions/e"
    extension = {"id": id_, "type": f"{VM_TYPE}/extensions", "properties": {"publisher": "Q"}}
    made, about = compiler(), target(vm())
    explanation = explain(
        made.prepare(policy, VM_TYPE), about, compiler=made, related=ResourceList([extension])
    )
    shown = explanation_json(explanation)
    assert shown["relatedType"] == f"{VM_TYPE}/extensions"
    (related,) = shown["related"]
    assert related["resourceId"] == id_
    assert related["existenceCondition"]["expression"] == {
        "result": "False",
        "expressionKind": "Field",
        "expression": f"{VM_TYPE}/extensions/publisher",
        "path": "properties.publisher",
        "expressionValue": "Q",
        "targetValue": "P",
        "operator": "Equals",
    }


def test_policy_evaluation_details_name_the_related_resource() -> None:
    policy = assigned(definition(IS_VM, "auditIfNotExists", details={"type": f"{VM_TYPE}/extensions"}))
    verdict = evaluate_policy(policy, target(vm()), Settings(compiler=compiler()))
    assert policy_evaluation_details(verdict, ()) == {
        "evaluatedExpressions": [],
        "ifNotExistsDetails": {"totalResources": 0},
    }


def test_members_of_an_array_are_shown_as_a_list() -> None:
    resource = storage(networkAcls={"ipRules": [{"action": "Allow"}, {"action": "Deny"}]})
    (shown,) = _json({"field": f"{STORAGE_TYPE}/networkAcls.ipRules[*].action", "equals": "Allow"}, resource)
    assert shown["expressionValue"] == ["Allow", "Deny"]
    assert shown["result"] == "False"


def test_an_explanation_leaves_nothing_in_the_pool_of_evaluations() -> None:
    made, about = compiler(), target(vm())
    prepared = made.prepare(deny({"count": {"field": DISKS}, "equals": 0}), VM_TYPE)
    before = len(made.pool.nodes)
    explain(prepared, about, compiler=made)
    assert len(made.pool.nodes) == before

"""Running case tables: what passes, what a failure says, and which branches were seen."""

from typing import Any

import pytest

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import from_providers
from goldsmith.policy.content import packaged
from goldsmith.policy.testing.engine import Engine
from goldsmith.policy.testing.model import CaseResult, SuiteResult, Verdict
from goldsmith.policy.testing.run import contains, run_table
from goldsmith.policy.testing.table import parse_table

_VM = "Microsoft.Compute/virtualMachines"
_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web-1"
_MACHINE: dict[str, Any] = {
    "id": _ID,
    "name": "web-1",
    "type": _VM,
    "location": "westeurope",
    "tags": {"team": "shop"},
    "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}},
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(aliases=from_providers(packaged.alias_listing()))


def nothing(name: str) -> JsonValue:
    raise AssertionError(name)


def run(engine: Engine, **table: Any) -> SuiteResult:
    body = {"resource": _MACHINE, **table}
    return run_table(parse_table(body, name="t", definition=nothing), engine)


def only(suite: SuiteResult) -> CaseResult:
    (result,) = suite.results
    return result


def rule(condition: Any, effect: str = "audit", details: Any = None) -> Any:
    return {"if": condition, "then": {"effect": effect} | ({"details": details} if details else {})}


def case(**expect: Any) -> list[Any]:
    return [{"name": "one", "expect": expect}]


IS_MACHINE = {"field": "type", "equals": _VM}
SIZE = f"{_VM}/hardwareProfile.vmSize"


def test_case_that_holds_passes(engine: Engine) -> None:
    suite = run(
        engine,
        rule=rule({"allOf": [IS_MACHINE, {"field": SIZE, "like": "Standard_D*"}]}, "deny"),
        cases=case(
            effect="Deny",
            state="nonCompliant",
            reasons=["must not be like"],
            evaluated=[
                {"expression": SIZE, "path": "properties.hardwareProfile.vmSize", "operator": "Like"},
                {"expression": "type", "result": "True", "targetValue": _VM},
            ],
        ),
    )
    assert only(suite).problems == ()
    assert suite.passed
    assert only(suite).seconds >= 0


def test_failure_says_what_differs_and_shows_the_rule(engine: Engine) -> None:
    suite = run(
        engine,
        rule=rule(
            {
                "allOf": [
                    IS_MACHINE,
                    {"field": SIZE, "equals": "Standard_B1s"},
                    {"field": "tags['team']", "equals": "x"},
                ]
            }
        ),
        cases=case(
            effect="deny", state="NonCompliant", evaluated=[{"expression": "name"}], reasons=["because"]
        ),
    )
    result = only(suite)
    assert result.verdict is Verdict.FAILED
    assert not suite.passed
    assert result.problems[:2] == (
        "effect is none, expected deny",
        "state is Compliant, expected NonCompliant",
    )
    assert "expected 'because' among them" in result.problems[2]
    assert 'expected one with {"expression":"name"}' in result.problems[3]
    assert result.explanation.splitlines() == [
        "if",
        "  false        allOf",
        f'    true         field type equals "{_VM}", is "{_VM}"',
        f'    false        field {SIZE} equals "Standard_B1s", is "Standard_D2s_v5"',
        '    not reached  field tags[\'team\'] equals "x", is "shop"',
    ]


def test_failure_shows_the_related_resources(engine: Engine) -> None:
    details = {
        "type": f"{_VM}/extensions",
        "existenceCondition": {"field": f"{_VM}/extensions/publisher", "equals": "Contoso"},
    }
    extension = {
        "id": f"{_ID}/extensions/agent",
        "name": "agent",
        "type": f"{_VM}/extensions",
        "properties": {"publisher": "Fabrikam"},
    }
    suite = run(
        engine,
        rule=rule(IS_MACHINE, "auditIfNotExists", details),
        cases=[
            {"name": "there", "related": [extension], "expect": "none"},
            {"name": "absent", "expect": "none"},
        ],
    )
    there, absent = suite.results
    assert there.problems == ("effect is auditIfNotExists, expected none",)
    assert f"existenceCondition on {_ID}/extensions/agent" in there.explanation
    assert 'equals "Contoso", is "Fabrikam"' in there.explanation
    assert f"no related resource of type {_VM}/extensions was found" in absent.explanation


def test_evaluation_error_is_expected_or_reported(engine: Engine) -> None:
    broken = rule({"value": "[int(field('name'))]", "equals": 1}, "deny")
    suite = run(
        engine,
        rule=broken,
        cases=[
            {"name": "expected", "expect": {"error": "int()", "state": "Error"}},
            {"name": "any", "expect": {"error": ""}},
            {"name": "another", "expect": {"error": "float()"}},
            {"name": "unexpected", "expect": "deny"},
        ],
    )
    assert [result.verdict for result in suite.results] == ["passed", "passed", "failed", "failed"]
    assert "effect is none (int() cannot convert" in suite.results[3].problems[0]
    fine = run(engine, rule=rule(IS_MACHINE), cases=case(error="x"))
    assert "does not fail" in only(fine).problems[0]


def test_definition_that_cannot_be_read_fails_each_case(engine: Engine) -> None:
    suite = run(engine, rule=rule({"field": "type", "eqals": _VM}), cases=case(effect="audit"))
    assert "it is refused" in only(suite).problems[0]
    assert "policyRule.if" in only(suite).problems[0]
    assert suite.branches == ()


def test_parameters_are_checked_as_in_an_assignment(engine: Engine) -> None:
    definition = {
        "properties": {
            "mode": "All",
            "parameters": {"effect": {"type": "String", "allowedValues": ["Audit", "Deny"]}},
            "policyRule": rule(IS_MACHINE, "[parameters('effect')]"),
        }
    }
    suite = run(
        engine,
        definition=definition,
        cases=[
            {"name": "given", "parameters": {"effect": "Deny"}, "expect": "deny"},
            {"name": "missing", "expect": "deny"},
            {"name": "expected to be missing", "expect": {"error": "missing the parameter"}},
            {"name": "not allowed", "parameters": {"effect": "deny"}, "expect": {"error": "not allowed"}},
        ],
    )
    assert [result.verdict for result in suite.results] == ["passed", "failed", "passed", "passed"]


def test_definition_that_says_a_thing_twice_is_refused(engine: Engine) -> None:
    definition = {"mode": "All", "properties": {"mode": "Indexed", "policyRule": rule(IS_MACHINE)}}
    suite = run(engine, definition=definition, cases=case(effect="audit"))
    assert "'mode' stands beside 'properties' and in it" in only(suite).problems[0]


def test_definition_of_another_engine_is_not_evaluated(engine: Engine) -> None:
    definition = {
        "properties": {
            "mode": "Microsoft.Kubernetes.Data",
            "policyRule": {"if": {}, "then": {"effect": "audit"}},
        }
    }
    suite = run(engine, definition=definition, cases=case(effect="none", state="NotEvaluated"))
    assert suite.passed, only(suite).problems


MODIFY = {
    "roleDefinitionIds": ["/providers/Microsoft.Authorization/roleDefinitions/r"],
    "operations": [{"operation": "addOrReplace", "field": "tags['owner']", "value": "[field('name')]"}],
}


def test_rewritten_resource_is_compared(engine: Engine) -> None:
    rewritten = {**_MACHINE, "tags": {"team": "shop", "owner": "web-1"}}
    suite = run(
        engine,
        rule=rule(IS_MACHINE, "modify", MODIFY),
        cases=[
            {"name": "whole", "expect": {"effect": "modify", "resource": rewritten}},
            {"name": "part", "expect": {"rewritten": {"tags": {"owner": "web-1"}}}},
            {"name": "details", "expect": {"details": {"operations": [{"value": "web-1"}]}}},
            {
                "name": "details as written",
                "expect": {"details": {"operations": [{"value": "[field('name')]"}]}},
            },
            {"name": "wrong", "expect": {"resource": {**rewritten, "tags": {"owner": "web-2"}}}},
            {"name": "wrong part", "expect": {"rewritten": {"tags": {"cost": "1"}}}},
        ],
    )
    assert [result.verdict for result in suite.results] == ["passed"] * 4 + ["failed"] * 2
    assert suite.results[4].problems == (
        'resource.tags.owner is "web-1", expected "web-2"',
        'resource.tags.team is "shop", expected it to be missing',
    )
    assert suite.results[5].problems == ('rewritten.tags.cost is missing, expected "1"',)


def test_change_that_conflicts_has_its_conflict_effect(engine: Engine) -> None:
    append = [{"field": "tags['team']", "value": "other"}]
    suite = run(engine, rule=rule(IS_MACHINE, "append", append), cases=case(effect="deny", resource=_MACHINE))
    assert suite.passed, only(suite).problems


def test_parameters_of_the_deployment_are_compared(engine: Engine) -> None:
    table = packaged.case_tables()["tattoo-configure"]
    table = {**table, "cases": [dict(each) for each in table["cases"]]}
    table["cases"][1] = {
        "name": "wrong",
        "related": {"tattoo": None},
        "expect": {"effect": "deployIfNotExists", "deployment": {"machine": "web-2", "cost": 1}},
    }
    suite = run_table(parse_table(table, name="t", definition=packaged.find), engine)
    (failed,) = suite.failed
    assert failed.problems == (
        'deployment.machine is "web-1", expected "web-2"',
        "deployment.cost is missing, expected 1",
    )


def test_clock_and_request_are_those_of_the_case(engine: Engine) -> None:
    suite = run(
        engine,
        rule=rule(
            {
                "allOf": [
                    {"value": "[utcNow()]", "equals": "2026-11-26T08:00:00.0000000Z"},
                    {"value": "[requestContext().apiVersion]", "equals": "2024-07-01"},
                    {"value": "[subscription().subscriptionId]", "equals": "s"},
                    {"value": "[resourceGroup().name]", "equals": "g"},
                ]
            }
        ),
        clock="2026-11-26T08:00:00Z",
        request={"apiVersion": "2024-07-01"},
        cases=[
            {"name": "as it is", "expect": "audit"},
            {"name": "later", "clock": "2026-11-26T08:00:01Z", "expect": "none"},
            {"name": "another version", "request": {"apiVersion": "2023-07-01"}, "expect": "none"},
            {"name": "no version is the newest", "request": {"apiVersion": None}, "expect": "none"},
            {"name": "no instant", "clock": "yesterday", "expect": {"error": "expected an ISO 8601 instant"}},
        ],
    )
    assert [result.problems for result in suite.failed] == []


def test_table_may_bring_aliases_of_its_own(engine: Engine) -> None:
    listing = [
        {
            "namespace": "Contoso.Shop",
            "resourceTypes": [
                {
                    "resourceType": "tills",
                    "aliases": [
                        {"name": "Contoso.Shop/tills/drawer", "defaultPath": "properties.d", "paths": []}
                    ],
                }
            ],
        }
    ]
    till = {"id": None, "name": "t", "type": "Contoso.Shop/tills", "properties": {"d": "open"}}
    suite = run(
        engine,
        aliases=listing,
        rule=rule({"field": "Contoso.Shop/tills/drawer", "equals": "open"}),
        cases=[{"name": "one", "resource": till, "expect": "audit"}],
    )
    assert suite.passed, only(suite).problems


def test_excluded_case_is_not_run(engine: Engine) -> None:
    cases = [{"name": "one", "excluded": "needs the service", "expect": "deny"}]
    result = only(run(engine, rule=rule(IS_MACHINE), cases=cases))
    assert (result.verdict, result.reason) == (Verdict.EXCLUDED, "needs the service")


def seen(suite: SuiteResult) -> dict[str, tuple[bool, bool]]:
    return {branch.text: (branch.seen_true, branch.seen_false) for branch in suite.branches}


def test_branches_behind_a_short_circuit_are_not_seen(engine: Engine) -> None:
    condition = {
        "allOf": [
            IS_MACHINE,
            {"anyOf": [{"field": "name", "equals": "web-1"}, {"not": {"field": "kind", "equals": "x"}}]},
        ]
    }
    table: Any = {"rule": rule(condition), "coverage": 0.9}
    first = run(engine, **table, cases=[{"name": "one", "expect": "audit"}])
    assert seen(first) == {
        "field type equals": (True, False),
        "field name equals": (True, False),
        "field kind equals": (False, False),
    }
    assert first.coverage == pytest.approx(2 / 6)
    assert not first.passed
    assert not first.failed
    more = run(
        engine,
        **table,
        cases=[
            {"name": "one", "expect": "audit"},
            {"name": "two", "resource": {"name": "web-2"}, "expect": "audit"},
            {"name": "three", "resource": {"name": "web-2", "kind": "x"}, "expect": "none"},
            {"name": "four", "resource": {"type": "Microsoft.Compute/disks"}, "expect": "none"},
        ],
    )
    assert more.coverage == 1.0
    assert more.passed


def test_conditions_inside_counts_are_seen_by_member(engine: Engine) -> None:
    disks = f"{_VM}/storageProfile.dataDisks[*]"
    inner = {"allOf": [{"field": f"{disks}.caching", "equals": "None"}, {"field": f"{disks}.lun", "less": 2}]}
    condition = {"count": {"field": disks, "where": inner}, "greater": 0}

    def with_disks(*members: Any) -> Any:
        resource = {"properties": {"storageProfile": {"dataDisks": list(members)}}}
        return run(
            engine,
            rule=rule(condition),
            cases=[{"name": "one", "resource": resource, "expect": {"error": "x"}}],
        )

    assert seen(with_disks({"caching": "None", "lun": 0})) == {
        f"count {disks} greater": (True, False),
        f"field {disks}.caching equals": (True, False),
        f"field {disks}.lun less": (True, False),
    }
    both = seen(with_disks({"caching": "None", "lun": 3}, {"caching": "ReadOnly", "lun": 1}))
    assert both[f"count {disks} greater"] == (False, True)
    assert both[f"field {disks}.caching equals"] == (True, True)
    assert both[f"field {disks}.lun less"] == (True, True)


def test_nested_value_counts_are_seen_by_member(engine: Engine) -> None:
    inner = {"value": "[concat(current('a'), current('b'))]", "equals": "xy"}
    condition = {
        "count": {
            "value": ["x", "z"],
            "name": "a",
            "where": {"count": {"value": ["y"], "name": "b", "where": inner}, "equals": 1},
        },
        "equals": 1,
    }
    suite = run(engine, rule=rule(condition), cases=case(effect="audit"))
    assert suite.passed, only(suite).problems
    assert [(branch.seen_true, branch.seen_false) for branch in suite.branches] == [
        (True, False),
        (True, True),
        (True, True),
    ]


@pytest.mark.parametrize(
    ("value", "part", "holds"),
    [
        ({"A": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ("x", "X", False),
        (None, {}, False),
    ],
)
def test_parts_are_looked_for_in_objects(value: Any, part: Any, holds: bool) -> None:
    assert contains(value, part) is holds

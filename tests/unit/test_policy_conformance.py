"""The language as its documentation and linter have it, condition by condition, through the whole engine.

Each condition is the `if` of a definition, and judged as the offline runner and the door do: what the
explanation says of it must be what it says itself.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.aliases import from_rows
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.explain import explain
from goldsmith.policy.testing.engine import Engine
from goldsmith.policy.testing.model import NO_EFFECT, Case, Expectation
from goldsmith.policy.testing.outcome import outcome_of
from goldsmith.policy.testing.run import run_table
from goldsmith.policy.testing.table import bare_rule, merge, parse_table

_TYPE = "Microsoft.Test/resourceType"


@cache
def _table() -> Any:
    path = Path(__file__).parents[1] / "cases/policy/conformance.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def _engine() -> Engine:
    aliases = _table()["aliases"]
    rows = [(_TYPE, f"{_TYPE}/{name}", f"properties.{name}") for name in aliases["names"]]
    rows += [(alias.rpartition("/")[0], alias, path) for alias, path in aliases["others"].items()]
    return Engine(aliases=from_rows(rows))


def _cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{group}-{number}")
        for group, cases in _table()["groups"].items()
        for number, case in enumerate(cases)
    ]


def _said(case: Any) -> str | bool:
    table = _table()
    rule = {"if": case["is"], "then": {"effect": "audit"}}
    posed_case = Case(
        name="case",
        at="groups",
        definition=bare_rule(rule),
        declared=False,
        parameters={**table["parameters"], **case.get("parameters", {})},
        resource=merge(table["resource"], case.get("with", {})),
        rule_only=True,
        request=case.get("request", table["request"]),
        resource_group=table["resourceGroup"],
        subscription=table["subscription"],
        policy=table["policy"],
        clock=table["clock"],
        expect=Expectation(effect="audit"),
    )
    engine = _engine()
    try:
        posed = engine.pose(posed_case)
    except InvalidInputError:
        return "refused"
    assert posed is not None
    outcome = outcome_of(posed)
    explained = explain(posed.prepared, posed.target, compiler=posed.compiler).condition.result
    if outcome.error is not None:
        assert explained is None
        return "error"
    assert explained is (outcome.effect != NO_EFFECT), "the explanation says something else"
    return explained


@pytest.mark.parametrize("case", _cases())
def test_condition_says_what_the_language_says(case: Any) -> None:
    assert _said(case) == case["says"]


@cache
def _definition_engine() -> Engine:
    written: list[tuple[str, str, str]] = []
    for type_, aliases in _table()["definition_aliases"].items():
        if type_ == "rows":
            written += [(owner, alias, path) for owner, alias, path in aliases]
        else:
            written += [(type_, f"{type_}/{name}", f"properties.{path}") for name, path in aliases.items()]
    return Engine(aliases=from_rows(written))


def _no_definition(name: str) -> Any:
    raise AssertionError(f"tables here write their definitions out, and do not name {name}")


@pytest.mark.parametrize("body", _table()["tables"], ids=lambda body: body["about"])
def test_definition_does_what_the_documentation_says(body: Any) -> None:
    table = parse_table(body, name=body["about"], definition=_no_definition)
    failed = run_table(table, _definition_engine()).failed
    assert [(result.name, *result.problems) for result in failed] == []


def _conditions(number: int) -> Any:
    return {"anyOf": [{"field": "kind", "equals": "x"}] * (number - 1)}


def _field_counts(number: int) -> Any:
    return {"allOf": [{"count": {"field": f"{_TYPE}/stringArray[*]"}, "equals": 3}] * number}


def _value_counts(number: int) -> Any:
    return {"allOf": [{"count": {"value": [1]}, "equals": 1}] * number}


def _iterations(*sizes: int) -> Any:
    condition: Any = {"field": "kind", "exists": True}
    for depth, size in reversed(list(enumerate(sizes))):
        counted = {"value": list(range(size)), "name": f"n{depth}", "where": condition}
        condition = {"count": counted, "equals": size}
    return condition


def _expression(text: str) -> Any:
    return {"value": f"[{text}]", "exists": True}


# docs: policy rule, "policy rule limits"
@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (_conditions(4096), False),
        (_conditions(4097), "refused"),
        (_field_counts(5), True),
        (_field_counts(6), "refused"),
        (_value_counts(10), True),
        (_value_counts(11), "refused"),
        (_iterations(100), True),
        (_iterations(101), "error"),
        (_iterations(10, 10), True),
        (_iterations(10, 11), "error"),
        (_iterations(5, 5, 4), True),
        (_iterations(5, 5, 5), "error"),
        (_iterations(*[100] * 10), "error"),
        (_expression("concat(" + ",".join(["'a'"] * 128) + ")"), True),
        (_expression("concat(" + ",".join(["'a'"] * 129) + ")"), "refused"),
        (_expression("trim(" * 63 + "'a'" + ")" * 63), True),
        (_expression("trim(" * 65 + "'a'" + ")" * 65), "refused"),
        (_expression("'" + "a" * (81_920 - 4) + "'"), True),
        (_expression("'" + "a" * (81_920 - 3) + "'"), "refused"),
        (_expression("concat(parameters('long'), '1234567890ab')"), True),
        (_expression("concat(parameters('long'), '1234567890abc')"), "error"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_limits_of_rules_are_those_of_the_documentation(condition: Any, says: Any) -> None:
    assert _said({"is": condition, "parameters": {"long": "a" * 131_060}}) == says


@pytest.mark.parametrize("depth", [127, 1000, 5000])
@pytest.mark.parametrize("kind", [list, dict])
def test_values_nested_beyond_measure_compare_all_the_same(depth: int, kind: type) -> None:
    values: list[Any] = []
    for _ in range(2):
        value: Any = "x"
        for _ in range(depth):
            value = [value] if kind is list else {"k": value}
        values.append(value)
    resource = {**_table()["resource"], "properties": dict(zip(("text", "missing"), values, strict=True))}
    rule: Any = {
        "if": {"field": f"{_TYPE}/text", "equals": f"[field('{_TYPE}/missing')]"},
        "then": {"effect": "audit"},
    }
    case = Case(
        name="c", at="c", definition=bare_rule(rule), resource=resource, rule_only=True, expect=Expectation()
    )
    posed = _engine().pose(case)
    assert posed is not None
    assert evaluate_node(posed.prepared.rule.condition, posed.target.document) is True


def test_counts_inside_counts_end() -> None:
    condition: Any = {"field": "kind", "exists": True}
    for name in ("stringArray", "numberArray", "prefixes", "rules"):
        condition = {"count": {"field": f"{_TYPE}/{name}[*]", "where": condition}, "greater": 0}
    arrays: Any = {name: [{}] * 200 for name in ("stringArray", "numberArray", "prefixes", "rules")}
    assert _said({"is": condition, "with": {"properties": arrays}}) == "error"
    assert _said({"is": condition}) is True

"""Rules as JSON become rules, or an error that names the JSON path; whatever their size, in bounded time."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.model import Call, Literal
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy import limits
from goldsmith.policy.reader import read_condition, read_operand, read_rule
from goldsmith.policy.rule import (
    AllOf,
    Computed,
    Constant,
    CountCondition,
    FieldCondition,
    FieldCount,
    ListOf,
    Not,
    ObjectOf,
    Operator,
    ValueCount,
)

_CASES = Path(__file__).parents[1] / "cases/policy/refused_rules.yaml"
_TABLE = yaml.safe_load(_CASES.read_text(encoding="utf-8"))
IS_TYPE = {"field": "type", "equals": "x"}


def rule(condition: Any, **then: Any) -> Any:
    return {"if": condition, "then": {"effect": "audit", **then}}


@pytest.mark.parametrize(
    ("written", "message"),
    [*([rule(condition), message] for condition, message in _TABLE["conditions"]), *_TABLE["rules"]],
)
def test_bad_rule_is_refused_naming_its_json_path(written: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        read_rule(written)
    assert message in str(error.value)
    assert str(error.value).startswith("policyRule")
    assert error.value.hint


def test_rule_is_read_whatever_the_case_of_its_keys() -> None:
    details = {
        "Type": "A.B/c",
        "name": "[field('name')]",
        "ExistenceCondition": {"NOT": {"Field": "tags.x", "EXISTS": "False"}},
        "deployment": {"any": ["thing"]},
    }
    written: Any = {
        "If": {
            "ALLOF": [{"FIELD": "type", "NotEQUALS": "[[x]"}, {"count": {"Field": "A.B/c[*]"}, "GREATER": 1}]
        },
        "Then": {"Effect": "auditIFnotexists", "Details": details},
        "extraKey": "ignored",
    }
    found = read_rule(written)
    assert found.condition == AllOf(
        conditions=(
            FieldCondition(
                field=Constant("type"),
                operator=Operator.NOT_EQUALS,
                target=Constant("[x]"),
                at="policyRule.if.allOf[0]",
            ),
            CountCondition(
                count=FieldCount(field="A.B/c[*]", where=None),
                operator=Operator.GREATER,
                target=Constant(1),
                at="policyRule.if.allOf[1]",
            ),
        ),
        at="policyRule.if",
    )
    assert found.effect == Constant("auditIFnotexists")
    assert found.details == details
    assert isinstance(found.existence, Not)
    assert found.existence.condition.at == "policyRule.then.details.existenceCondition.not"
    assert set(found.lookup) == {"type", "name"}
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301  # what this process has just written


def test_value_count_takes_the_documented_default_name() -> None:
    found = read_condition(
        {"count": {"value": ["a"], "where": {"value": "[current('DEFAULT')]", "equals": "a"}}, "equals": 1},
        at="if",
    )
    assert isinstance(found, CountCondition)
    assert isinstance(found.count, ValueCount)
    assert found.count.name == "default"


def test_operand_is_constant_as_far_as_it_can_be() -> None:
    call = Computed(Call("toLower".lower(), (Literal("X"),)), "[toLower('X')]")
    assert read_operand(["a", "[[b]", {"c": None}], at="v") == Constant(["a", "[b]", {"c": None}])
    assert read_operand(["a", "[toLower('X')]"], at="v") == ListOf((Constant("a"), call))
    assert read_operand({"k": "[toLower('X')]", "l": 1}, at="v") == ObjectOf(
        (("k", call), ("l", Constant(1)))
    )
    assert read_operand("[open", at="v") == Constant("[open")


def test_effects_of_other_modes_are_read_when_asked_for() -> None:
    written: Any = {"if": IS_TYPE, "then": {"effect": "mutate"}}
    with pytest.raises(InvalidInputError, match="no effect 'mutate'"):
        read_rule(written)
    assert read_rule(written, any_effect=True).effect == Constant("mutate")


def _nested(depth: int, wrap: Callable[[Any], Any], inner: Any) -> Any:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


@pytest.mark.parametrize(
    "wrap", [lambda inner: {"allOf": [inner]}, lambda inner: {"anyOf": [inner]}, lambda inner: {"not": inner}]
)
def test_nesting_has_a_limit(wrap: Callable[[Any], Any]) -> None:
    read_rule(rule(_nested(limits.NESTED_CONDITIONS_MAX - 1, wrap, IS_TYPE)))
    for depth in (limits.NESTED_CONDITIONS_MAX, 1_000, 50_000):
        with pytest.raises(InvalidInputError, match="policyRule: conditions nest deeper than 512"):
            read_rule(rule(_nested(depth, wrap, IS_TYPE)))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (rule({"field": "name", "in": ["x"] * 900_000}), "policyRule.if.in: the value has more than"),
        (rule({"anyOf": [IS_TYPE] * 200_000}), r"policyRule.if.anyOf\[4095\]: the rule has more than 4096"),
        (rule({"field": "name", "equals": "x" * 10_000_000}), "policyRule.if.equals: a string has 10000000"),
        (rule({"value": "[concat(" + "'a'," * 20_000 + "'a')]", "equals": "x"}), "policyRule.if.value: "),
        (
            rule({"value": "[" + "toLower(" * 5_000 + "'a'" + ")" * 5_000 + "]", "equals": "x"}),
            "policyRule.if.value: ",
        ),
        (rule({"field": "[" * 100_000, "equals": "x"}), "policyRule.if.field: "),
        (
            rule({f"k{number}": 1 for number in range(300_000)} | {"K1": 1}),
            "policyRule.if: 'K1' is there twice",
        ),
        (
            rule({"field": "name", "in": _nested(50_000, lambda inner: [inner], 1)}),
            "policyRule.if.in: .* nests deeper",
        ),
        (
            rule(IS_TYPE, details=_nested(50_000, lambda inner: {"a": inner}, 1)),
            "policyRule.then.details: .* nests",
        ),
        (rule(IS_TYPE, details=[0] * 300_000), "policyRule.then.details: the value has more than"),
        (
            rule({"allOf": [{"count": {"value": [1]}, "equals": 1}] * 11}),
            r"policyRule.if.allOf\[10\].count: .* 10 value",
        ),
        (
            rule({"allOf": [{"count": {"field": "a/b[*]"}, "equals": 1}] * 6}),
            r"allOf\[5\].count.field: .* more than 5",
        ),
        (
            rule(
                {
                    "allOf": [{"value": "[concat(" + ",".join(["toLower('a')"] * 99) + ")]", "equals": "a"}]
                    * 21
                }
            ),
            "2048",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rule_beyond_a_limit_is_refused(written: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_rule(written)


def test_large_rule_within_the_limits_is_read() -> None:
    written = rule({"anyOf": [{"field": "name", "in": [f"n{number}" for number in range(5_000)]}] * 50})
    assert len(json.dumps(written)) > 2_000_000
    assert isinstance(read_rule(written).condition.at, str)

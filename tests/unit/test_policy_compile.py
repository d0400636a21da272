"""What conditions mean once compiled, by table; what is folded, shared and narrowed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable, from_providers, from_rows
from goldsmith.policy.compile import CompiledRule, compile_condition, compile_operand, compile_rule
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_computation, evaluate_node
from goldsmith.policy.pool import Pool
from goldsmith.policy.reader import read_condition, read_operand, read_rule
from goldsmith.policy.tree import All, Always, Input, LeafNode, Narrowing, Negation, Source

_TABLE = yaml.safe_load(
    (Path(__file__).parents[1] / "cases/policy/conditions.yaml").read_text(encoding="utf-8")
)
THINGS = "Contoso.Test/things"
NOW = "2026-01-01T00:00:00.0000000Z"


def _aliases() -> AliasTable:
    return from_rows(
        (name.split("[")[0].rpartition("/")[0], name, path) for name, path in _TABLE["aliases"].items()
    )


def _document(resource: Any, related: JsonValue = None) -> Document:
    return Document(
        resource,
        related=related,
        resource_group={"name": "g", "location": "westus", "tags": {"env": "dev"}},
        subscription={"subscriptionId": "s"},
        request_context={"apiVersion": "2020-06-01", "identity": {}},
        now=NOW,
    )


@pytest.mark.parametrize("case", _TABLE["cases"], ids=lambda case: str(case["is"]))
def test_condition_says_what_the_table_says(case: dict[str, Any]) -> None:
    pool = Pool()
    node = compile_condition(
        read_condition(case["is"], at="condition"),
        parameters=_TABLE["parameters"],
        policy_context={"assignmentId": "the-assignment"},
        aliases=_aliases(),
        resource_type=THINGS,
        pool=pool,
    )
    document = _document({**_TABLE["resource"], **case.get("resource", {})})
    if case["says"] == "error":
        with pytest.raises(EvaluationError):
            evaluate_node(node, document)
        assert pool.may_fail(node)
    else:
        assert evaluate_node(node, document) is case["says"]
    assert isinstance(node, Always) is case.get("decided", False)
    if "inputs" in case:
        read = [
            f"{wanted.narrowing} {'.'.join(wanted.path)}" for leaf in pool.leaves for wanted in leaf.inputs
        ]
        assert read == case["inputs"]


def compiled(rule: Any, **changes: Any) -> CompiledRule:
    settings: dict[str, Any] = {
        "parameters": {},
        "policy_context": {},
        "aliases": _aliases(),
        "resource_type": THINGS,
        "pool": Pool(),
        **changes,
    }
    return compile_rule(read_rule(rule), **settings)


def rule(condition: Any, effect: str = "audit", **details: Any) -> Any:
    return {"if": condition, "then": {"effect": effect, **({"details": details} if details else {})}}


def test_equal_conditions_of_different_rules_are_one_node() -> None:
    pool = Pool()
    one = compiled(rule({"field": "name", "equals": "[parameters('n')]"}), parameters={"n": "X"}, pool=pool)
    other = compiled(rule({"FIELD": "Name", "Equals": "X"}), pool=pool)
    opposite = compiled(rule({"not": {"field": "name", "notEquals": "X"}}), pool=pool)
    assert one.condition is other.condition is opposite.condition
    assert len(pool.leaves) == 1
    assert compiled(rule({"field": "name", "equals": "x!"}), pool=pool).condition is not one.condition


def test_negative_operators_share_the_leaf_of_their_opposite() -> None:
    pool = Pool()
    for positive, negative, target in [
        ("equals", "notEquals", "a"),
        ("in", "notIn", ["a"]),
        ("like", "notLike", "a*"),
        ("exists", "exists", True),
    ]:
        one = compiled(rule({"field": "name", positive: target}), pool=pool).condition
        other_target = False if positive == "exists" else target
        other = compiled(rule({"field": "name", negative: other_target}), pool=pool).condition
        assert isinstance(other, Negation)
        assert other.child is one


def test_nested_connectives_are_flattened_and_repetitions_dropped() -> None:
    name, size = {"field": "name", "equals": "a"}, {"field": "kind", "equals": "b"}
    node = compiled(
        rule({"allOf": [name, {"allOf": [size, name, {"allOf": [name]}]}, {"not": {"not": size}}]})
    ).condition
    assert isinstance(node, All)
    assert [child.leaf.inputs[0].path for child in node.children if isinstance(child, LeafNode)] == [
        ("name",),
        ("kind",),
    ]


def test_leaf_is_a_predicate_over_the_values_of_its_inputs() -> None:
    pool = Pool()
    alias = f"{THINGS}/objectArray[*]"
    where = {
        "allOf": [{"field": f"{alias}.property", "like": "v*"}, {"field": f"{alias}.nested[*]", "less": 3}]
    }
    compiled(rule({"count": {"field": alias, "where": where}, "equals": 1}), pool=pool)
    (leaf,) = pool.leaves
    array = ("properties", "objectarray", "[*]")
    assert leaf.inputs == (
        Input(Source.RESOURCE, (*array, "property"), Narrowing.VALUE),
        Input(Source.RESOURCE, (*array, "nested", "[*]"), Narrowing.VALUE),
    )
    assert leaf.test([["v1", "x"], [[1, 2], [1]]]) is True
    assert leaf.test([["v1", "v2"], [[1, 2], []]]) is False
    assert leaf.test([[], []]) is False


def test_existence_condition_reads_the_related_resource_and_functions_the_first() -> None:
    child = f"{THINGS}/children"
    aliases = from_rows(
        [(THINGS, f"{THINGS}/size", "properties.size"), (child, f"{child}/size", "properties.inner.size")]
    )
    found = compiled(
        rule(
            {"field": "type", "equals": THINGS},
            "[parameters('effect')]",
            type=child,
            name="[concat(field('name'), '/default')]",
            existenceScope="resourceGroup",
            existenceCondition={
                "allOf": [
                    {"field": "type", "equals": child},
                    {"field": f"{child}/size", "equals": f"[field('{THINGS}/size')]"},
                    {"field": "name", "notEquals": "[field('name')]"},
                ]
            },
        ),
        aliases=aliases,
        parameters={"Effect": "AuditIfNotExists"},
    )
    assert found.effect == "AuditIfNotExists"
    assert found.existence is not None
    resource = {"name": "r", "type": THINGS, "properties": {"size": 3}}
    for name, size, expected in [("c", 3, True), ("r", 3, False), ("c", 4, False)]:
        related: JsonValue = {"name": name, "properties": {"inner": {"size": size}}}
        assert evaluate_node(found.existence, _document(resource, related)) is expected
    values = {name: evaluate_computation(value, _document(resource)) for name, value in found.lookup.items()}
    assert values == {"type": child, "name": "r/default", "existenceScope": "resourceGroup"}


def test_alias_path_of_the_api_version_is_read() -> None:
    aliases = from_providers(
        [
            {
                "namespace": "Contoso.Test",
                "resourceTypes": [
                    {
                        "resourceType": "things",
                        "aliases": [
                            {
                                "name": f"{THINGS}/mode",
                                "defaultPath": "properties.mode",
                                "paths": [{"path": "sku.mode", "apiVersions": ["2030-01-01"]}],
                            }
                        ],
                    }
                ],
            }
        ]
    )
    resource = {"sku": {"mode": "new"}, "properties": {"mode": "old"}}
    for version, expected in [(None, "old"), ("2020-01-01", "old"), ("2030-01-01", "new")]:
        found = compiled(
            rule({"field": f"{THINGS}/mode", "equals": expected}), aliases=aliases, api_version=version
        )
        assert evaluate_node(found.condition, _document(resource))


def test_aliases_without_a_listed_path_are_named() -> None:
    found = compiled(
        rule(
            {
                "anyOf": [
                    {"field": f"{THINGS}/size", "equals": 1},
                    {"field": f"{THINGS}/brandNew", "equals": 1},
                    {"field": "Fabrikam.Test/x/y", "equals": 1},
                    {"field": "properties.raw", "equals": 1},
                ]
            }
        )
    )
    assert found.unknown == {"Fabrikam.Test/x/y"}
    assert found.derived == {f"{THINGS}/brandNew", "properties.raw"}
    assert evaluate_node(found.condition, _document({"properties": {"brandNew": "1"}}))


def test_rule_says_whether_it_reads_the_request_or_the_clock() -> None:
    quiet = compiled(rule({"field": "name", "equals": "a"}))
    asking = compiled(rule({"value": "[requestContext().apiVersion]", "less": "2020"}))
    late = compiled(rule({"not": {"value": "[utcNow()]", "less": "2020"}}))
    decided = compiled(
        rule({"allOf": [{"field": "type", "equals": "x"}, {"value": "[utcNow()]", "less": "2020"}]})
    )
    assert [(found.reads_request, found.reads_clock) for found in (quiet, asking, late, decided)] == [
        (False, False),
        (True, False),
        (False, True),
        (False, False),
    ]


def test_operand_outside_conditions_is_computed() -> None:
    def value(written: Any) -> JsonValue:
        computation = compile_operand(
            read_operand(written, at="value"),
            parameters={"p": [1]},
            policy_context={},
            aliases=_aliases(),
            resource_type=THINGS,
        )
        return evaluate_computation(computation, _document(_TABLE["resource"]))

    assert value("[[literal]") == "[literal]"
    assert value({"a": ["[field('name')]", 1], "b": "[parameters('p')]"}) == {"a": ["thing-1", 1], "b": [1]}
    assert value("[concat(field('tags').env, '-', resourceGroup().tags.env)]") == "prod-dev"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": "[parameters('b')]", "b": ["[concat(parameters('A'))]"]}, "circle: a -> b -> a"),
        (
            {f"p{n}": f"[parameters('p{n + 1}')]" for n in range(500)} | {"a": "[parameters('p0')]"},
            "refer on",
        ),
        ({"a": "[field('name')]"}, "parameters.a: the value is not constant"),
        ({"a": "[nothing()]"}, "parameters.a"),
    ],
)
def test_parameter_values_that_lead_nowhere_are_refused(parameters: Any, message: str) -> None:
    written = rule({"value": "[parameters('a')]", "equals": "x"})
    with pytest.raises(InvalidInputError, match=message):
        compiled(written, parameters=parameters)


@pytest.mark.parametrize(
    ("effect", "parameters"),
    [("[parameters('e')]", {}), ("[parameters('e')]", {"e": 5}), ("[field('name')]", {})],
)
def test_effect_that_is_no_constant_text_is_refused(effect: str, parameters: Any) -> None:
    with pytest.raises(InvalidInputError, match="effect"):
        compiled(rule({"field": "name", "equals": "a"}, effect), parameters=parameters)


def test_missing_parameter_matters_only_where_it_is_reached() -> None:
    guarded = rule(
        {"allOf": [{"field": "type", "equals": "x"}, {"field": "name", "in": "[parameters('nobody')]"}]},
        "deny",
    )
    assert isinstance(compiled(guarded).condition, Always)


def test_value_count_has_a_limit_of_iterations() -> None:
    written = rule(
        {"count": {"value": "[field('tags')]", "where": {"value": "[current()]", "equals": 1}}, "equals": 100}
    )
    node = compiled(written).condition
    assert evaluate_node(node, _document({"tags": [1] * 100}))
    with pytest.raises(EvaluationError, match="101 members"):
        evaluate_node(node, _document({"tags": [1] * 101}))


def test_deepest_rule_allowed_compiles_and_evaluates() -> None:
    condition: Any = {"field": "name", "equals": "x"}
    for level in range(511):
        other = {"field": f"tags.t{level}", "equals": "x"}
        condition = {"anyOf": [condition, other]} if level % 2 else {"allOf": [other, condition]}
    found = compiled(rule(condition))
    assert evaluate_node(found.condition, _document({"tags": {}})) is False
    assert evaluate_node(found.condition, _document({"tags": {"t509": "x", "t510": "x"}})) is True

"""Every function by example, and the table that holds them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.evaluate import compile_expression, evaluate
from goldsmith.expressions.functions.resources import resource_id, subscription_resource_id
from goldsmith.expressions.functions.table import FUNCTIONS, lookup
from goldsmith.expressions.model import Call, Context, Expression, Literal
from goldsmith.expressions.parse import parse_expression
from goldsmith.expressions.values import json_text
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

TABLES = yaml.safe_load((Path(__file__).parent.parent / "cases/expressions/functions.yaml").read_text())
CASES = [case for name, cases in TABLES.items() if name != "names" for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_function_gives_what_the_service_gives(case: Any) -> None:
    expression = parse_expression(case["text"], at="value")
    if "says" in case:
        with pytest.raises(EvaluationError) as failure:
            evaluate(expression, context=Context.TEMPLATE)
        assert case["says"] in failure.value.message
    else:
        value = evaluate(expression, context=Context.TEMPLATE)
        assert (type(value), json_text(value)) == (type(case["value"]), json_text(case["value"]))


@pytest.mark.parametrize("name", TABLES["names"]["in rules"].split())
def test_rules_may_call_every_function_of_the_official_list(name: str) -> None:
    function = FUNCTIONS[name.lower()]
    assert function.name == name
    assert lookup(name.upper(), function.arguments_min, context=Context.POLICY) is function


@pytest.mark.parametrize("name", TABLES["names"]["not in rules"].split())
def test_rules_may_not_call_what_the_documentation_forbids(name: str) -> None:
    function = FUNCTIONS[name.lower()]
    with pytest.raises(InvalidInputError, match=f"{name}.. may not be called in a policy rule"):
        lookup(name, function.arguments_min, context=Context.POLICY)
    assert lookup(name, function.arguments_min, context=Context.TEMPLATE) is function


def test_every_function_is_documented_and_has_a_case_when_it_is_pure() -> None:
    texts = " ".join(case["text"] for case in CASES)
    for function in FUNCTIONS.values():
        assert function.doc
        assert function.pure == (function.call is not None)
        assert function.call is None or f"{function.name}(" in texts


def test_unknown_function_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInputError, match="there is no function 'tolowr'") as refusal:
        evaluate(parse_expression("[toLowr('A')]", at="value"), context=Context.POLICY)
    assert refusal.value.hint == "did you mean toLower()?"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[not()]", r"not\(\) expects 1 arguments, got 0"),
        ("[concat()]", r"concat\(\) expects at least 1 arguments, got 0"),
        ("[substring('a')]", r"substring\(\) expects 2 to 3 arguments, got 1"),
    ],
)
def test_wrong_number_of_arguments_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        evaluate(parse_expression(text, at="value"), context=Context.POLICY)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Microsoft.A/b", "n"], "/subscriptions/S/resourceGroups/G/providers/Microsoft.A/b/n"),
        (
            ["g", "Microsoft.A/b/c", "n", "m"],
            "/subscriptions/S/resourceGroups/g/providers/Microsoft.A/b/n/c/m",
        ),
        (["s", "g", "Microsoft.A/b", "n"], "/subscriptions/s/resourceGroups/g/providers/Microsoft.A/b/n"),
    ],
)
def test_resource_id_takes_what_is_not_given_from_the_deployment(
    arguments: list[JsonValue], expected: str
) -> None:
    assert resource_id(arguments, subscription="S", group="G") == expected


def test_resource_id_without_a_type_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="expects a resource type"):
        resource_id(["a", "b"], subscription="S", group="G")
    with pytest.raises(EvaluationError, match="expects 1 names"):
        subscription_resource_id(["s", "Microsoft.A/b", "n", "m"], subscription="S")


def test_what_a_function_builds_is_bounded() -> None:
    long, wide = "a" * 131_072, [None] * 32_767
    deep: JsonValue = []
    for _ in range(100_000):
        deep = [deep]
    too_much: dict[str, list[Any]] = {
        "replace": [long, "a", long],
        "concat": [long, "a"],
        "join": [[long, long], ""],
        "format": ["{0}{0}", long],
        "base64": [long],
        "string": [deep],
        "union": [[deep], []],
        "intersection": [[deep], [deep]],
        "dataUri": [deep],
        "uniqueString": [long, long],
        "flatten": [[wide, wide]],
    }
    for name, arguments in too_much.items():
        expression = parse_expression(
            f"[{name}({', '.join(f'parameters({index})' for index in range(len(arguments)))})]", at="value"
        )
        with pytest.raises(EvaluationError, match=r"limit|than|nested"):
            _evaluate_with(expression, arguments)


def _evaluate_with(expression: Expression, arguments: list[Any]) -> JsonValue:
    def bind(call: Call) -> Callable[[None], JsonValue] | None:
        if call.name == "parameters" and isinstance(call.arguments[0], Literal):
            value: JsonValue = arguments[int(str(call.arguments[0].value))]
            return lambda _: value
        return None

    return compile_expression(expression, context=Context.TEMPLATE, bind=bind)(None)

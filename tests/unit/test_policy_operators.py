"""The table of operators, and that the fast forms of them say the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.errors import EvaluationError
from goldsmith.policy.operators import COMPLEMENTS, Test, holds, like, prepare, prepare_location
from goldsmith.policy.rule import Operator

_TABLE = Path(__file__).parents[1] / "cases/policy/operators.yaml"
_NEGATIVE = {positive: negative for negative, positive in COMPLEMENTS.items()}


def _cases() -> list[Any]:
    table = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return [
        pytest.param(Operator(name), *row, id=f"{name}-{row[0]!r}-{row[1]!r}")
        for name, rows in table.items()
        for row in rows
    ]


def _answer(test: Test, value: Any) -> bool | str:
    try:
        return test(value)
    except EvaluationError:
        return "error"


@pytest.mark.parametrize(("operator", "value", "target", "expected"), _cases())
def test_operator_answers_as_the_table_says(
    operator: Operator, value: Any, target: Any, expected: bool | str
) -> None:
    assert _answer(lambda given: holds(operator, given, target), value) == expected
    assert _answer(prepare(operator, target), value) == expected
    negative = _NEGATIVE.get(operator)
    if negative is not None:
        opposite = expected if expected == "error" else not expected
        assert _answer(lambda given: holds(negative, given, target), value) == opposite
        assert _answer(prepare(negative, target), value) == opposite


def test_every_operator_is_in_the_table() -> None:
    table = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    assert {Operator(name) for name in table} == set(Operator) - set(COMPLEMENTS)


@pytest.mark.parametrize(
    ("operator", "target", "expected"),
    [
        (Operator.EQUALS, "eastus2", True),
        (Operator.EQUALS, "East US 2", True),
        (Operator.EQUALS, "eastus", False),
        (Operator.IN, ["westus", "EAST US 2"], True),
        (Operator.NOT_IN, ["eastus2"], False),
        (Operator.LIKE, "East US*", True),
    ],
)
@pytest.mark.parametrize("value", ["East US 2", "eastus2", "EASTUS2"])
def test_locations_compare_in_their_normal_form(
    operator: Operator, target: Any, expected: bool, value: str
) -> None:
    assert prepare_location(operator, target)(value) is expected


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a" * 100_000, "*a" * 50 + "b"),
        ("a" * 100_000, "*" + "a?" * 30_000 + "b*"),
        ("a" * 20_000, "*a?a?ab*" * 200 + "c"),
    ],
)
def test_like_takes_no_more_than_linear_time(text: str, pattern: str) -> None:
    # Trying each place in turn would take hours, and the time limit of all tests would end it.
    assert like(text, pattern) is False

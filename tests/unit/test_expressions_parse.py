"""The text of expressions: what parses to what, what is refused, and the bounds."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.evaluate import render
from goldsmith.expressions.parse import is_expression, parse_expression, unescape
from goldsmith.kernel.errors import InvalidInputError

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases/expressions/parse.yaml").read_text())


@pytest.mark.parametrize("case", CASES["parsed"], ids=lambda case: case["text"])
def test_expression_parses_to_what_it_means(case: Any) -> None:
    assert render(parse_expression(case["text"], at="if.value")) == case["rendered"]


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["text"])
def test_malformed_expression_is_refused_with_its_place(case: Any) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_expression(case["text"], at="policyRule.if.value")
    assert refusal.value.message.startswith("policyRule.if.value: ")
    assert case["says"] in refusal.value.message


@pytest.mark.parametrize("case", CASES["literal"], ids=lambda case: case["text"])
def test_text_that_is_no_expression_stands_for_itself(case: Any) -> None:
    assert not is_expression(case["text"])
    assert unescape(case["text"]) == case["value"]


@pytest.mark.parametrize(
    "text",
    [
        "[" + "not(" * 1000 + "true" + ")" * 1000 + "]",
        "[" + "not(" * 100_000 + "]",
        "[a()" + "[a()" * 1000 + "]" * 1000 + "]",
        "[a()" + ".b" * 1000 + "]",
        "[" + "-" * 1000 + "a()]",
        "[" + "not(" * 65 + "true" + ")" * 65 + "]",
    ],
    ids=["calls", "open calls", "indexes", "members", "signs", "one too many"],
)
def test_deep_nesting_is_refused_clearly(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"nests deeper than 64 levels|has 400002 characters"):
        parse_expression(text, at="if")


def test_nesting_of_64_is_accepted() -> None:
    text = "[" + "not(" * 63 + "true" + ")" * 63 + "]"
    assert render(parse_expression(text, at="if")).count("not(") == 63


def test_length_and_arguments_are_bounded() -> None:
    fits = "['" + "x" * 81_916 + "']"
    assert len(fits) == 81_920
    parse_expression(fits, at="if")
    with pytest.raises(InvalidInputError, match="81921 characters"):
        parse_expression("['" + "x" * 81_917 + "']", at="if")
    parse_expression("[a(" + ",".join(["1"] * 128) + ")]", at="if")
    with pytest.raises(InvalidInputError, match="'a' has more than 128 arguments"):
        parse_expression("[a(" + ",".join(["1"] * 129) + ")]", at="if")

"""Folding and compiling: what is bound, what is lazy, and what stays for later."""

from collections.abc import Callable

import pytest

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.evaluate import calls, compile_expression, fold, render
from goldsmith.expressions.model import Call, Context, Literal
from goldsmith.expressions.moments import format_moment, moment_of, read_iso, round_trip
from goldsmith.expressions.parse import parse_expression
from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

Frame = dict[str, JsonValue]
PARAMETERS: dict[str, JsonValue] = {
    "two": 2,
    "regions": ["eastus", "westus"],
    "tags": {"Owner": "me"},
    "yes": True,
    "no": False,
    "nothing": None,
}


def known(call: Call) -> Literal | None:
    match call:
        case Call("parameters", (Literal(str(name)),)):
            return Literal(PARAMETERS[name])
        case Call("policy"):
            return Literal({"assignmentId": "/a/1"})
    return None


def bind(call: Call) -> Callable[[Frame], JsonValue] | None:
    """`field(x)` reads the frame; its argument may be computed."""
    if call.name == "field":
        name = compile_expression(call.arguments[0], context=Context.POLICY, bind=bind)
        return lambda frame: frame.get(str(name(frame)))
    return None


def folded(text: str) -> str:
    return render(fold(parse_expression(text, at="value"), context=Context.POLICY, known=known))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[parameters('two')]", "2"),
        ("[add(parameters('two'), 1)]", "3"),
        ("[parameters('regions')[1]]", "'westus'"),
        ("[parameters(concat('t', 'wo'))]", "2"),
        ("[policy().assignmentId]", "'/a/1'"),
        ("[concat(field('a'), toLower('B'))]", "concat(field('a'), 'b')"),
        ("[field(concat('tags[', 'x', ']'))]", "field('tags[x]')"),
        ("[union(parameters('regions'), createArray('x'))]", '["eastus","westus","x"]'),
        ("[if(parameters('yes'), field('a'), field('b'))]", "field('a')"),
        ("[if(equals(field('a'), 1), add(1, 1), 3)]", "if(equals(field('a'), 1), 2, 3)"),
        ("[and(parameters('yes'), field('a'), field('b'))]", "and(field('a'), field('b'))"),
        ("[and(field('a'), parameters('no'), field('b'))]", "and(field('a'), false)"),
        ("[and(parameters('yes'), field('a'))]", "and(field('a'), true)"),
        ("[and(parameters('yes'), parameters('yes'))]", "true"),
        ("[or(parameters('no'), parameters('yes'), field('a'))]", "true"),
        ("[or(parameters('no'), 5)]", "or(5, false)"),
        ("[coalesce(parameters('nothing'), field('a'))]", "field('a')"),
        ("[coalesce(field('a'), parameters('two'), field('b'))]", "coalesce(field('a'), 2)"),
        ("[coalesce(null(), null())]", "null"),
    ],
)
def test_folding_puts_in_what_is_known(text: str, expected: str) -> None:
    assert folded(text) == expected


@pytest.mark.parametrize(
    "text", ["[div(1, 0)]", "[parameters('regions')[7]]", "[parameters('tags').other]", "[utcNow()]"]
)
def test_folding_leaves_failures_and_the_unknown_to_evaluation(text: str) -> None:
    assert not isinstance(
        fold(parse_expression(text, at="value"), context=Context.POLICY, known=known), Literal
    )


def test_what_is_never_reached_may_fail() -> None:
    expression = parse_expression("[if(field('ok'), 'fine', div(1, 0))]", at="value")
    compiled = compile_expression(
        fold(expression, context=Context.POLICY, known=known), context=Context.POLICY, bind=bind
    )
    assert compiled({"ok": True}) == "fine"
    with pytest.raises(EvaluationError, match="divide by zero"):
        compiled({"ok": False})


def test_bindings_compile_their_own_arguments() -> None:
    expression = parse_expression("[field(concat('a', field('which')))]", at="value")
    compiled = compile_expression(expression, context=Context.POLICY, bind=bind)
    assert compiled({"which": "1", "a1": ["x"]}) == ["x"]


def test_contextual_function_without_a_binding_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"current\(\) cannot be called here"):
        compile_expression(parse_expression("[current()]", at="value"), context=Context.POLICY, bind=bind)


def test_functions_of_a_template_itself_are_the_callers() -> None:
    expression = parse_expression("[contoso.twice(21)]", at="value")

    def twice(call: Call) -> Callable[[None], JsonValue] | None:
        if call.name == "contoso.twice" and isinstance(call.arguments[0], Literal):
            value = int(str(call.arguments[0].value))
            return lambda _: 2 * value
        return None

    assert compile_expression(expression, context=Context.TEMPLATE, bind=twice)(None) == 42
    with pytest.raises(InvalidInputError, match=r"no function 'contoso\.twice'"):
        compile_expression(expression, context=Context.TEMPLATE, bind=lambda _: None)


def test_calls_lists_all_of_an_expression() -> None:
    expression = parse_expression("[concat(field('a')[add(1, 2)], b().c)]", at="value")
    assert [call.name for call in calls(expression)] == ["concat", "field", "add", "b"]


def test_moments_are_written_as_the_service_writes_them() -> None:
    moment = moment_of(parse_iso("2026-11-26T07:05:09.120000+02:00"))
    assert round_trip(moment) == "2026-11-26T05:05:09.1200000Z"
    assert format_moment(moment, "yyyyMMddTHHmmssZ") == "20261126T050509Z"
    assert read_iso("2026-11-26T05:05:09.12Z") == moment
    east = read_iso("2026-11-26T07:05:09.12+02:00")
    assert east is not None
    assert east.universal() == moment
    assert format_moment(east, "R") == "Thu, 26 Nov 2026 05:05:09 GMT"
    with pytest.raises(EvaluationError, match="'q' is no standard date format"):
        format_moment(moment, "q")

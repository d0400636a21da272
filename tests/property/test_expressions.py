"""Laws of the expression language over arbitrary texts and values."""

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.evaluate import compile_expression, evaluate, fold, render
from goldsmith.expressions.functions.table import FUNCTIONS
from goldsmith.expressions.limits import within_limits
from goldsmith.expressions.model import Call, Context, Expression, Index, Literal
from goldsmith.expressions.parse import parse_expression
from goldsmith.expressions.text import cut, length, replace_ignoring_case
from goldsmith.expressions.values import deep_equals, identity_key
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

PURE = sorted(name for name, function in FUNCTIONS.items() if function.call is not None)

# Texts that the functions look into, so that generated arguments get past their first check.
_telling = st.sampled_from(
    [
        *("{0}", "{0:N2}", "{0,-9:X}", "{1:#,##0.0%}", "{0:E+000}", "{{", "{0:D99}", "{0:0;;}", "{0:0%%%}"),
        *(
            "2024-01-31T12:00:00Z",
            "9999-12-31T23:59:59.9999999Z",
            "P1Y2M3DT4H5M6.7S",
            "-P99999Y",
            "yyyy-MM-ddK",
        ),
        *("10.0.0.0/8", "10.1", "::1/64", "fe80::1%1", "1.2.3.4-5.6.7.8", "0x7f.1", "08.1", "999.1", "-"),
        *(
            "aGVsbG8=",
            "data:;base64,aGk=",
            "data:,%",
            "%u20AC+%zz",
            "{'a': [1,], /* x */}",
            "[[[",
            "NaN",
            "1e999",
        ),
        *(
            "https://Host:443/a/../b?c#d",
            "http://[::1",
            "mailto:x",
            "//h",
            "Microsoft.A/b/c",
            "true",
            " -5 ",
            "1,0",
        ),
        *("ß", "STRASSE", "İ", "😀", "\ud800", "\udc00x", "é", "", " ", "a", "A-b"),
    ]
)
_texts = st.one_of(_telling, st.text(st.characters(), max_size=12))
_numbers = st.one_of(
    st.integers(-3, 20),
    st.integers(),
    st.sampled_from([2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, 10**40]),
    st.floats(),
)
_scalars = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_values: st.SearchStrategy[JsonValue] = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_texts, inner, max_size=4), st.lists(_texts, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(arguments=st.lists(_values, min_size=0, max_size=4))
@pytest.mark.parametrize("name", PURE)
def test_a_function_gives_a_json_value_within_the_limits_or_an_evaluation_error(
    name: str, arguments: list[JsonValue]
) -> None:
    function = FUNCTIONS[name]
    low, high = function.arguments_min, function.arguments_max
    fitting = (arguments + [None] * low)[: max(low, len(arguments))][:high]
    before = repr(fitting)
    try:
        value = evaluate(Call(name, tuple(map(Literal, fitting))), context=Context.TEMPLATE)
    except EvaluationError as error:
        value = error.message
    within_limits(value)
    json.dumps(value)
    assert repr(fitting) == before


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.text("[]()'.,-a1 ", max_size=40).map(lambda inner: f"[{inner}]")))
@example("[" * 1000)
@example("['" + "''" * 1000)
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        written = render(parse_expression(text, at="if"))
    except InvalidInputError:
        return
    assert render(parse_expression(f"[{written}]", at="if")) == written


_names = st.sampled_from(
    ["concat", "equals", "if", "and", "or", "coalesce", "length", "add", "first", "tryGet", "field"]
)


def _call(name: str, arguments: list[Expression]) -> Expression:
    function = FUNCTIONS[name.lower()]
    padded = arguments + [Literal("x")] * function.arguments_min
    count = max(function.arguments_min, len(arguments))
    return Call(name.lower(), tuple(padded[:count][: function.arguments_max]))


_leaves: st.SearchStrategy[Expression] = st.one_of(
    st.sampled_from([True, False, None, 1, 2, "x", "name"]).map(Literal),
    st.just(Call("field", (Literal("name"),))),
    st.just(Call("field", (Literal("flag"),))),
    st.just(Call("parameters", (Literal("p"),))),
)
_expressions: st.SearchStrategy[Expression] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(_call, _names, st.lists(inner, min_size=1, max_size=3)), st.builds(Index, inner, inner)
    ),
    max_leaves=12,
)
_frames = st.fixed_dictionaries({"name": _scalars, "flag": st.booleans(), "p": _values})
Frame = dict[str, JsonValue]


def _bind(call: Call) -> Callable[[Frame], JsonValue] | None:
    if call.name not in ("field", "parameters"):
        return None
    name = compile_expression(call.arguments[0], context=Context.POLICY, bind=_bind)
    return lambda frame: frame.get(str(name(frame)))


def _outcome(expression: Expression, frame: Frame) -> str:
    compiled = compile_expression(expression, context=Context.POLICY, bind=_bind)
    try:
        return json.dumps(compiled(frame))
    except EvaluationError:
        return "error"


@settings(max_examples=400, deadline=None)
@given(expression=_expressions, frame=_frames)
def test_folding_changes_no_outcome(expression: Expression, frame: Frame) -> None:
    def known(call: Call) -> Literal | None:
        return Literal(frame["p"]) if call == Call("parameters", (Literal("p"),)) else None

    folded = fold(expression, context=Context.POLICY, known=known)
    assert _outcome(folded, frame) == _outcome(expression, frame)


@settings(max_examples=200, deadline=None)
@given(left=_values, right=_values)
def test_equal_values_have_equal_keys(left: JsonValue, right: JsonValue) -> None:
    assert deep_equals(left, left) or "NaN" in json.dumps(left)
    if deep_equals(left, right):
        assert json.dumps(left, sort_keys=True).replace("-0.0", "0.0") == json.dumps(
            right, sort_keys=True
        ).replace("-0.0", "0.0")
    else:
        assert identity_key(left) != identity_key(right) or "NaN" in json.dumps(left)


@given(text=_texts, start=st.integers(0, 15), size=st.integers(0, 15))
def test_a_cut_counts_in_utf16_units(text: str, start: int, size: int) -> None:
    total = length(text)
    assert length(cut(text, start, start + size)) == max(0, min(total, start + size) - start)
    if max(text, default="a") < "\ud800":
        assert cut(text, 0, start) + cut(text, start) == text


@given(text=_texts, old=_texts.filter(bool), new=_texts)
def test_replacing_by_the_same_word_ignoring_case_keeps_the_rest(text: str, old: str, new: str) -> None:
    replaced = replace_ignoring_case(text, old, new)
    if old.casefold() not in text.casefold():
        assert replaced == text
    assert replace_ignoring_case(text, old, old).casefold() == text.casefold()

"""Reading case tables and vector files, and writing results for CI."""

from typing import Any
from xml.etree import ElementTree

import pytest

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.testing.functions import run_functions, same_json
from goldsmith.policy.testing.junit import to_junit
from goldsmith.policy.testing.model import (
    NO_EFFECT,
    Branch,
    CaseResult,
    Refusal,
    SuiteResult,
    Table,
    Unstated,
    Verdict,
)
from goldsmith.policy.testing.table import is_table, merge, parse_table
from goldsmith.policy.testing.vectors import (
    NO_QUARANTINE,
    function_name,
    is_function_vectors,
    is_vectors,
    parse_function_vectors,
    parse_quarantine,
    parse_vectors,
)

_RULE = {"if": {"field": "type", "equals": "Microsoft.Compute/disks"}, "then": {"effect": "audit"}}


def unknown_definition(name: str) -> JsonValue:
    raise AssertionError(name)


def parse(**members: Any) -> Table:
    body = {"rule": _RULE, "cases": [{"name": "one", "expect": "audit"}], **members}
    return parse_table(body, name="t", definition=unknown_definition)


@pytest.mark.parametrize(
    ("value", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a", "b"], ["c"], ["c"]),
        ({"a": "foo"}, "bar", "bar"),
        (None, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_cases_change_the_table_as_merge_patches(value: Any, patch: Any, merged: Any) -> None:
    assert merge(value, patch) == merged


def test_case_takes_what_it_does_not_say_from_the_table() -> None:
    table = parse(
        parameters={"a": 1, "b": 2},
        resource={"type": "x", "tags": {"a": "1"}},
        related={"one": {"name": "one"}, "two": {"name": "two"}},
        clock="2026-01-01T00:00:00Z",
        cases=[
            {"name": "as it is", "expect": "none"},
            {
                "name": "changed",
                "parameters": {"b": 3},
                "resource": {"tags": {"a": None, "b": "2"}},
                "related": {"one": None, "two": {"name": "zwei"}},
                "clock": "2027-01-01T00:00:00Z",
                "expect": {"effect": "audit", "state": "NonCompliant"},
            },
        ],
    )
    same, changed = table.cases
    assert same.resource == {"type": "x", "tags": {"a": "1"}}
    assert same.related == ({"name": "one"}, {"name": "two"})
    assert changed.parameters == {"a": 1, "b": 3}
    assert changed.resource == {"type": "x", "tags": {"b": "2"}}
    assert changed.related == ({"name": "zwei"},)
    assert (same.clock, changed.clock) == ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    assert changed.expect.state == "NonCompliant"
    assert same.expect.effect == NO_EFFECT


def test_expectation_tells_null_from_silence() -> None:
    (case,) = parse(cases=[{"name": "one", "expect": {"effect": "audit", "details": None}}]).cases
    assert case.expect.details is None
    assert case.expect.resource is Unstated.UNSTATED


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"cases": []}, "'cases'"),
        ({"cases": [{"expect": "audit"}]}, r"'cases\[0\].name'"),
        ({"cases": [{"name": "one"}]}, r"'cases\[0\].expect'"),
        ({"cases": [{"name": "one", "expect": {}}]}, r"'cases\[0\].expect'"),
        ({"cases": [{"name": "one", "expect": {"efect": "deny"}}]}, r"'cases\[0\].expect.efect'"),
        ({"cases": [{"name": "one", "expect": "deny", "resorce": {}}]}, r"'cases\[0\].resorce'"),
        ({"cases": [{"name": "one", "expect": "deny", "clock": 5}]}, r"'cases\[0\].clock'"),
        ({"cases": [{"name": "one", "expect": "deny", "related": "x"}]}, r"'cases\[0\].related'"),
        ({"definition": "x"}, "'definition'"),
        ({"rule": None}, "'definition'"),
        ({"parameters": [1]}, r"'cases\[0\].parameters'"),
        ({"coverage": 2}, "'coverage'"),
        ({"aliases": "x.json"}, "'aliases'"),
    ],
)
def test_malformed_table_is_refused_with_its_path(members: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInputError, match=path):
        parse(**members)


def test_named_definition_is_asked_for() -> None:
    asked: list[str] = []

    def definition(name: str) -> JsonValue:
        asked.append(name)
        rule: Any = _RULE
        return {"name": name, "properties": {"policyRule": rule}}

    body: Any = {"definition": "x.json", "cases": [{"name": "one", "expect": "audit"}]}
    assert is_table(body)
    table = parse_table(body, name="t", definition=definition)
    assert asked == ["x.json"]
    assert table.cases[0].declared
    assert not parse().cases[0].declared


def test_vector_file_is_read_as_it_is() -> None:
    body: Any = {
        "aliases": "a.json",
        "cases": [
            {
                "note": "hit",
                "policy_rule": '{"if": {"field": "type", "equals": "a"}, "then": {"effect": "deny"}}',
                "resource": {"type": "a"},
                "api_version": "2020-01-01",
                "context": {"utcNow": "2025-02-20T12:00:00Z", "resourceGroup": {"name": "g"}},
                "host_await": [{"response": {"name": "r"}}, {"key": {"type": "t"}, "response": None}],
                "want_effect": "deny",
            },
            {
                "note": "miss",
                "policy_rule": "{}",
                "resource": {},
                "want_effect": None,
                "want_undefined": True,
            },
            {"note": "no json", "policy_rule": "{not json", "want_parse_error": True},
            {"note": "refused", "policy_rule": "{}", "want_compile_error": True},
            {"note": "whole", "policy_definition": '{"policyRule": {}}', "want_effect": "deny"},
            {"note": "only read", "parse_level": "policy_definition", "policy_rule": '{"policyRule": {}}'},
        ],
    }
    assert is_vectors(body)
    assert not is_function_vectors(body)
    asked: list[str] = []

    def aliases(name: str) -> JsonValue:
        asked.append(name)
        return []

    quarantine = parse_quarantine({"about": "x", "artificial": ["f/mi*"]})
    table = parse_vectors(body, name="f", aliases=aliases, quarantine=quarantine)
    hit, miss, broken, refused, whole, read = table.cases
    assert asked == ["a.json"]
    assert hit.request == {"apiVersion": "2020-01-01"}
    assert hit.related == ({"name": "r"},)
    assert hit.rule_only
    assert hit.clock == "2025-02-20T12:00:00Z"
    assert hit.resource_group == {"name": "g"}
    assert (hit.excluded, miss.excluded) == (None, "artificial")
    assert miss.expect.effect == NO_EFFECT
    assert broken.expect.refused is Refusal.READING
    assert refused.expect.refused is Refusal.COMPILING
    assert whole.declared
    assert read.declared
    assert read.expect.effect is None


@pytest.mark.parametrize(
    ("builtin", "name"),
    [
        ("azure.policy.fn.add_days", "addDays"),
        ("azure.policy.if", "if"),
        ("azure.policy.fn.int_div", "div"),
        ("azure.policy.fn.base64_to_json", "base64ToJson"),
        ("azure.policy.logic_any", "or"),
    ],
)
def test_vector_function_is_named_as_in_the_language(builtin: str, name: str) -> None:
    assert function_name(builtin) == name


def test_function_vectors_run() -> None:
    body: JsonValue = {
        "builtin": "azure.policy.fn.pad_left",
        "cases": [
            {"note": "right", "args": ["7", 3, "0"], "want": "007"},
            {"note": "wrong", "args": ["7", 3, "0"], "want": "07"},
            {"note": "fails", "args": [[], 3, "0"], "want_undefined": True},
            {"note": "does not fail", "args": ["7", 3, "0"], "want_error": "no"},
            {"note": "left out", "args": [], "want": 1},
        ],
    }
    assert is_function_vectors(body)
    quarantine = parse_quarantine({"why": ["pad/left*"]})
    suite = run_functions(parse_function_vectors(body, name="pad", quarantine=quarantine))
    assert [result.verdict for result in suite.results] == [
        "passed",
        "failed",
        "passed",
        "failed",
        "excluded",
    ]
    assert suite.failed[0].problems == ('padLeft("7", 3, "0") gives "007", expected "07"',)
    assert suite.results[-1].reason == "why"
    assert NO_QUARANTINE.reason("pad", "left out") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1, 1.0, True), (1, True, False), ([1], [1.0], True), ({"a": 1}, {"a": "1"}, False), (None, None, True)],
)
def test_values_are_compared_as_json(one: JsonValue, other: JsonValue, same: bool) -> None:
    assert same_json(one, other) is same


def test_junit_counts_failures_and_says_what_differs() -> None:
    branch = Branch(at="if", text="field type equals", seen_true=True, seen_false=False)
    suite = SuiteResult(
        name="t",
        results=(
            CaseResult(name="fine", verdict=Verdict.PASSED, seconds=0.5),
            CaseResult(
                name="bad \x01 <name>",
                verdict=Verdict.FAILED,
                problems=("effect is none, expected deny",),
                explanation="tree",
            ),
            CaseResult(name="left out", verdict=Verdict.EXCLUDED, reason="contradicts the documentation"),
        ),
        branches=(branch,),
        coverage_min=1.0,
    )
    root = ElementTree.fromstring(to_junit([suite]))
    (element,) = root
    assert element.attrib["tests"] == "4"
    assert element.attrib["failures"] == "2"
    assert element.attrib["skipped"] == "1"
    fine, bad, left_out, coverage = element
    assert fine.attrib["time"] == "0.500000"
    assert bad.attrib["name"] == "bad \ufffd <name>"
    assert bad[0].attrib["message"] == "effect is none, expected deny"
    assert bad[0].text == "effect is none, expected deny\ntree"
    assert left_out[0].attrib["message"] == "contradicts the documentation"
    assert coverage[0].text == "if: field type equals: never false"
    assert not suite.passed
    assert suite.coverage == 0.5

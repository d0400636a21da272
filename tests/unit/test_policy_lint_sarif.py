"""Findings as SARIF 2.1.0: what the specification demands of a run, and what viewers need."""

import json
from typing import Any
from urllib.parse import urlparse

from goldsmith.policy.aliases import from_paths
from goldsmith.policy.lint.positions import Positions
from goldsmith.policy.lint.rules import RULES
from goldsmith.policy.lint.run import lint_text
from goldsmith.policy.lint.sarif import to_sarif, uri_of

TEXT = """{
  "mode": "all",
  "metadata": {"version": "1.0.0", "category": "x", "lintIgnore": "no-description"},
  "displayName": "Größe",
  "policyRule": {
    "if": {"allOf": [{"field": "name", "like": "vm"}, {"field": "type", "equals": "A.B/c"}]},
    "then": {"effect": "deny"}
  }
}
"""


def sarif() -> dict[str, Any]:
    findings = lint_text(TEXT, aliases=from_paths({}), source="policies/größe 1.json")
    return to_sarif(findings, version="1.2.3", texts={"policies/größe 1.json": TEXT})


def test_the_log_has_one_run_with_every_rule() -> None:
    log = sarif()
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["semanticVersion"] == "1.2.3"
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in RULES]
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
        for key in ("shortDescription", "fullDescription", "help"):
            assert rule[key]["text"]
    json.dumps(log)


def test_each_result_names_its_rule_its_place_and_itself() -> None:
    (run,) = sarif()["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["results"]
    lines = TEXT.splitlines()
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"].endswith(".")
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        uri = physical["artifactLocation"]["uri"]
        assert uri.isascii()
        assert " " not in uri
        assert urlparse(uri).path == uri
        region = physical["region"]
        assert 1 <= region["startLine"] <= region["endLine"] <= len(lines)
        assert 1 <= region["startColumn"] <= len(lines[region["startLine"] - 1]) + 1
        assert 1 <= region["endColumn"] <= len(lines[region["endLine"] - 1]) + 1
    prints = [result["partialFingerprints"]["rulePathMessage/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)


def test_what_is_suppressed_says_so() -> None:
    (run,) = sarif()["runs"]
    suppressed = {result["ruleId"] for result in run["results"] if "suppressions" in result}
    assert suppressed == {"no-description"}


def test_replacements_make_the_fix_when_they_are_applied() -> None:
    (run,) = sarif()["runs"]
    fixed = {result["ruleId"]: result["fixes"][0] for result in run["results"] if "fixes" in result}
    assert {"mode-case", "like-without-wildcard", "type-condition-first"} <= set(fixed)
    (change,) = fixed["type-condition-first"]["artifactChanges"]
    assert json.loads(applied(TEXT, change["replacements"]))["policyRule"]["if"]["allOf"] == [
        {"field": "type", "equals": "A.B/c"},
        {"field": "name", "like": "vm"},
    ]


def applied(text: str, replacements: list[dict[str, Any]]) -> str:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offset(region: dict[str, int], which: str) -> int:
        return starts[region[f"{which}Line"] - 1] + region[f"{which}Column"] - 1

    for one in sorted(replacements, key=lambda one: offset(one["deletedRegion"], "start"), reverse=True):
        region = one["deletedRegion"]
        text = (
            text[: offset(region, "start")] + one["insertedContent"]["text"] + text[offset(region, "end") :]
        )
    return text


def test_fingerprints_stay_when_lines_move() -> None:
    def prints(text: str) -> list[str]:
        findings = lint_text(text, aliases=from_paths({}), source="x")
        (run,) = to_sarif(findings, version="1")["runs"]
        return [result["partialFingerprints"]["rulePathMessage/v1"] for result in run["results"]]

    assert sorted(prints(TEXT)) == sorted(prints("\n\n" + TEXT.replace("\n", "\n\n")))


def test_sources_are_uri_references() -> None:
    assert uri_of("a b/c#d.json") == "a%20b/c%23d.json"
    assert uri_of("c\\d.json") == "c/d.json"
    assert uri_of("https://example.org/x.json") == "https://example.org/x.json"


def test_positions_are_found_in_texts_with_comments_escapes_and_repeated_keys() -> None:
    text = '{"a": [1, {"b\\u0020c": "x\\"y"}, // ]\n  /* } */ [true, null,],\n], "d": {"d": -1.5e3}}'
    paths: list[tuple[str | int, ...]] = [("a", 1, "b c"), ("a", 2, 1), ("d", "d"), ("nowhere",)]
    positions = Positions(text, paths)

    def text_at(path: tuple[str | int, ...]) -> str | None:
        span = positions.span(path)
        return text[span.start : span.end] if span else None

    assert [text_at(path) for path in paths] == ['"b\\u0020c": "x\\"y"', "null", '"d": -1.5e3', None]
    region = positions.region(("d", "nowhere"))
    assert region is not None
    assert region.line == 3


def test_positions_never_raise_and_take_time_in_proportion() -> None:
    for text in ("", "]", "}{", '"', "{" * 100_000, '"\\' * 100_000, "/*" * 100_000, '{"a":' * 50_000):
        Positions(text, [("a", "a")])

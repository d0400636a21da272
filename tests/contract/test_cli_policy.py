"""`goldsmith policy test|lint|import --check`: what is printed, what is written, and how it ends."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.contract.cli import goldsmith

SHARED = Path(__file__).resolve().parents[3] / "shared" / "azure-policy"
_VM = "Microsoft.Compute/virtualMachines"
_START_SECONDS = 120


def definition(**changes: Any) -> dict[str, Any]:
    properties = {
        "displayName": "Machines have an owner",
        "description": "Each machine has the tag owner.",
        "mode": "Indexed",
        "metadata": {"category": "Tags", "version": "1.0.0"},
        "policyRule": {
            "if": {"allOf": [{"field": "type", "equals": _VM}, {"field": "tags.owner", "exists": "false"}]},
            "then": {"effect": "[parameters('effect')]"},
        },
        "parameters": {
            "effect": {
                "type": "String",
                "allowedValues": ["Deny", "Audit", "Disabled"],
                "defaultValue": "Audit",
                "metadata": {"displayName": "Effect", "description": "What to do."},
            }
        },
    }
    return {"name": "owner", "properties": properties | changes}


TABLE = """
definition: owner.json
parameters: {effect: Deny}
resource: {type: Microsoft.Compute/virtualMachines, name: a, tags: {owner: ann}}
cases:
  - {name: with an owner, expect: none}
  - {name: without one, resource: {tags: null}, expect: deny}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOLDSMITH_STATE", str(tmp_path / "state"))
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "owner.json").write_text(json.dumps(definition(), indent=2))
    (folder / "owner.cases.yaml").write_text(TABLE)
    return folder


Capture = pytest.CaptureFixture[str]


def test_all_cases_hold(folder: Path, capsys: Capture) -> None:
    ran = goldsmith(capsys, "policy", "test", folder)
    assert ran.status == 0
    assert "2 passed in 1 table" in ran.out


def test_failed_case_shows_expected_actual_and_the_tree(folder: Path, capsys: Capture) -> None:
    (folder / "owner.cases.yaml").write_text(TABLE.replace("expect: none", "expect: deny"))
    ran = goldsmith(capsys, "policy", "test", folder)
    assert ran.status == 1
    assert "owner.cases.yaml: with an owner" in ran.out
    assert "effect is none, expected deny" in ran.out
    assert "field tags.owner exists" in ran.out
    assert "1 passed, 1 failed" in ran.out


def test_results_for_programs(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "owner.cases.yaml").write_text(TABLE.replace("expect: none", "expect: deny"))
    report = tmp_path / "report.xml"
    ran = goldsmith(capsys, "policy", "test", folder, "--json", "--junit", report)
    assert ran.status == 1
    assert (ran.json["passed"], ran.json["failed"]) == (1, 1)
    assert [case["verdict"] for case in ran.json["tables"][0]["cases"]] == ["failed", "passed"]
    suite = ElementTree.fromstring(report.read_text()).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"


def test_filter_runs_only_the_named_cases(folder: Path, capsys: Capture) -> None:
    ran = goldsmith(capsys, "policy", "test", folder, "--filter", "WITHOUT")
    assert "1 passed" in ran.out
    nothing = goldsmith(capsys, "policy", "test", folder, "--filter", "elsewhere")
    assert nothing.status == 1
    assert "none of the 2 cases" in nothing.err


def test_coverage_names_what_no_case_saw(folder: Path, capsys: Capture) -> None:
    (folder / "owner.cases.yaml").write_text(TABLE.replace("  - {name: without", "  # - {name: without"))
    seen = goldsmith(capsys, "policy", "test", folder, "--coverage")
    assert seen.status == 0
    assert "50% of the branches seen" in seen.out
    assert "field type equals: never false" in seen.out
    too_little = goldsmith(capsys, "policy", "test", folder, "--coverage-min", "80")
    assert too_little.status == 1
    assert "expected 80%" in too_little.out


def test_excluded_cases_are_counted_with_their_reason(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    listed = tmp_path / "exclusions.json"
    listed.write_text(json.dumps({"known to be wrong": ["owner.cases.yaml/without one"]}))
    ran = goldsmith(capsys, "policy", "test", folder, "--exclusions", listed)
    assert ran.status == 0
    assert "1 passed, 1 excluded" in ran.out
    assert "excluded 1: known to be wrong" in ran.out


def test_unreadable_file_does_not_stop_the_others(folder: Path, capsys: Capture) -> None:
    (folder / "broken.json").write_text('{"cases": [\n  oh\n]}')
    ran = goldsmith(capsys, "policy", "test", folder)
    assert ran.status == 1
    assert "is not JSON: Expecting value at line 2, column 3" in ran.out
    assert "2 passed, 1 unreadable" in ran.out


@pytest.mark.parametrize("named", ["nowhere", "empty"])
def test_nothing_to_test_is_an_error_with_a_hint(tmp_path: Path, capsys: Capture, named: str) -> None:
    (tmp_path / "empty").mkdir()
    ran = goldsmith(capsys, "policy", "test", tmp_path / named)
    assert ran.status == 1
    assert ran.err.startswith("error: there is no ")
    assert "hint: " in ran.err


def test_published_vectors_pass_as_they_are(capsys: Capture) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/azure-policy")
    ran = goldsmith(capsys, "policy", "test", SHARED / "vectors", "--json")
    assert ran.status == 0, [case for table in ran.json["tables"] for case in table["cases"]]
    assert ran.json["failed"] == 0
    assert ran.json["passed"] > 1000


def test_offline_commands_load_nothing_heavy() -> None:
    modules = ("test", "lint", "evaluate", "explain", "importing")
    code = "import sys\n" + "".join(f"import goldsmith.cli.policy.{name}\n" for name in modules)
    code += "print(sorted({'sqlalchemy', 'dbos', 'numpy', 'rich', 'obstore'} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=_START_SECONDS, check=True
    )
    assert ran.stdout.decode().strip() == "[]"


def mistaken(effect: str = "[parameters('effect')]") -> dict[str, Any]:
    rule = {
        "if": {"allOf": [{"field": "name", "like": "web"}, {"field": "type", "equals": _VM}]},
        "then": {"effect": effect},
    }
    return definition(policyRule=rule)


def test_clean_definition_has_no_findings(folder: Path, capsys: Capture) -> None:
    ran = goldsmith(capsys, "policy", "lint", folder, "--severity", "warning")
    assert (ran.status, ran.out) == (0, "")
    assert "no findings in 1 file" in ran.err


def test_findings_have_place_rule_and_what_to_do(folder: Path, capsys: Capture) -> None:
    (folder / "bad.json").write_text(json.dumps(mistaken("deni"), indent=2))
    ran = goldsmith(capsys, "policy", "lint", folder / "bad.json")
    assert ran.status == 1
    assert "bad.json:16:13: warning: like compares with 'web', which has no *" in ran.out
    assert "[like-without-wildcard]" in ran.out
    assert "put one * into the value, or use equals" in ran.out


def test_warnings_count_only_when_strict_and_ignored_ones_never(folder: Path, capsys: Capture) -> None:
    body = mistaken()
    path = folder / "bad.json"
    path.write_text(json.dumps(body))
    assert goldsmith(capsys, "policy", "lint", path).status == 0
    assert goldsmith(capsys, "policy", "lint", path, "--strict").status == 1
    ignored = ("--ignore", "like-without-wildcard", "--ignore", "type-condition-first")
    ran = goldsmith(capsys, "policy", "lint", path, "--strict", *ignored)
    assert ran.status == 0
    assert "2 ignored" in ran.err


def test_lint_as_json_and_sarif(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    path = folder / "bad.json"
    path.write_text(json.dumps(mistaken("deni"), indent=2))
    found = goldsmith(capsys, "policy", "lint", path, "--json").json
    assert {"like-without-wildcard", "type-condition-first"} <= {one["rule"] for one in found}
    output = tmp_path / "lint.sarif"
    ran = goldsmith(capsys, "policy", "lint", path, "--format", "sarif", "--output", output)
    assert (ran.status, ran.out) == (1, "")
    log = json.loads(output.read_text())
    assert log["version"] == "2.1.0"
    assert len(log["runs"][0]["results"]) == len(found)


def test_lint_fixes_what_can_be_fixed(folder: Path, capsys: Capture) -> None:
    path = folder / "bad.json"
    path.write_text(json.dumps(mistaken(), indent=2))
    goldsmith(capsys, "policy", "lint", path, "--fix")
    first = json.loads(path.read_text())["properties"]["policyRule"]["if"]["allOf"][0]
    assert first == {"field": "type", "equals": _VM}


def test_lines_of_json_lines_are_named(folder: Path, capsys: Capture) -> None:
    path = folder / "all.jsonl.gz"
    path.write_bytes(gzip.compress(f"{json.dumps(definition())}\n{json.dumps(mistaken('deni'))}\n".encode()))
    found = goldsmith(capsys, "policy", "lint", path, "--json", "--severity", "error").json
    assert {one["line"] for one in found} == {2}


def test_lint_rules_explain_themselves(capsys: Capture) -> None:
    one = goldsmith(capsys, "policy", "lint", "--explain", "like-without-wildcard")
    assert one.status == 0
    assert "what to do" in one.out
    assert "like-without-wildcard" in goldsmith(capsys, "policy", "lint", "--explain", "all").out
    unknown = goldsmith(capsys, "policy", "lint", "--explain", "no-such-rule")
    assert unknown.status == 1
    assert "--explain all" in unknown.err


def test_lint_without_files_is_wrong_usage(capsys: Capture) -> None:
    assert goldsmith(capsys, "policy", "lint").status == 2


def test_import_check_counts_and_lists_what_fails(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    body = definition()
    body["properties"]["policyRule"]["if"]["allOf"][1] = {"field": "name", "lyke": "x"}
    (folder / "wrong.json").write_text(json.dumps(body | {"name": "wrong"}))
    ran = goldsmith(capsys, "policy", "import", folder, "--check")
    assert ran.status == 1
    assert f"{folder}/wrong.json at properties.policyRule.if.allOf[1]" in ran.out
    assert "there is no operator 'lyke'" in ran.out
    assert "1 failed; nothing was stored" in ran.out
    assert not (tmp_path / "state").exists()
    found = goldsmith(capsys, "policy", "import", folder, "--check", "--json").json
    assert (found["definitions"], found["compiled"], found["stored"]) == (1, 1, None)
    assert found["modes"] == {"Indexed": 1}
    assert [one["path"] for one in found["failures"]] == ["properties.policyRule.if.allOf[1]"]


def test_import_of_a_folder_without_policies_says_so(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "package.json").write_text("{}")
    ran = goldsmith(capsys, "policy", "import", tmp_path, "--check")
    assert ran.status == 1
    assert "there is no policy definition in" in ran.err


def test_every_published_definition_compiles(capsys: Capture) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/azure-policy")
    ran = goldsmith(
        capsys, "policy", "import", "--check", "--json", SHARED / "policyDefinitions.evaluable.jsonl.gz"
    )
    assert ran.status == 0, ran.json["failures"]
    assert (ran.json["definitions"], ran.json["compiled"], ran.json["notEvaluated"]) == (2769, 2635, 134)

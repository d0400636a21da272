"""The published function cases: every one that no better source contradicts gives the expected value."""

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.evaluate import calls, evaluate
from goldsmith.expressions.functions.table import FUNCTIONS, lookup
from goldsmith.expressions.model import Call, Context, Literal
from goldsmith.expressions.parse import is_expression, parse_expression
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

ROOT = Path(__file__).parents[2]
VECTORS = ROOT.parent / "shared/azure-policy/vectors"
EXCLUDED = yaml.safe_load((ROOT / "tests/cases/policy/exclusions.yaml").read_text())["functions"]
RENAMED = {"logic_all": "and", "logic_any": "or", "int_div": "div", "int_mod": "mod"}

pytestmark = pytest.mark.skipif(not VECTORS.exists(), reason="../shared/azure-policy/vectors is not here")


def _is_excluded(file: str, note: str) -> bool:
    return any(row["file"] == file and ("notes" not in row or note in row["notes"]) for row in EXCLUDED)


def _cases() -> list[Any]:
    found = []
    for path in sorted((VECTORS / "builtins").glob("*.json")):
        document = json.loads(path.read_text())
        builtin = document["builtin"].rpartition(".")[2]
        for case in document["cases"]:
            if not _is_excluded(path.stem, case["note"]):
                name = RENAMED.get(builtin, builtin).replace("_", "")
                found.append(pytest.param(name, case, id=f"{path.stem}/{case['note']}"))
    return found


def _evaluated(function: str, arguments: list[JsonValue]) -> JsonValue:
    return evaluate(Call(function, tuple(map(Literal, arguments))), context=Context.TEMPLATE)


@pytest.mark.parametrize(("function", "case"), _cases())
def test_function_case_holds(function: str, case: Any) -> None:
    if "want_error" in case or case.get("want_undefined"):
        with pytest.raises((EvaluationError, InvalidInputError)):
            _evaluated(function, case["args"])
    else:
        wanted = None if case.get("want_null") else case["want"]
        assert _sorted(_evaluated(function, case["args"])) == _sorted(wanted)


def _sorted(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True)


def test_every_exclusion_names_a_case_and_a_document() -> None:
    for row in EXCLUDED:
        path = VECTORS / "builtins" / f"{row['file']}.json"
        notes = {case["note"] for case in json.loads(path.read_text())["cases"]}
        assert set(row.get("notes", notes)) <= notes
        assert row["because"]
        assert row["document"]


def test_unique_string_is_what_a_real_deployment_gave() -> None:
    extra = json.loads((VECTORS / "functions.extra.json").read_text())
    for case in extra["uniqueString"]:
        assert _evaluated("uniquestring", case["args"]) == case["want"]
    expected = uuid.uuid5(uuid.UUID(extra["guidNamespace"]), "a-b")
    assert _evaluated("guid", ["a", "b"]) == str(expected)


def test_every_expression_of_the_vectors_parses_unless_it_should_not() -> None:
    texts = []
    for path in [*(VECTORS / "parser").glob("*.json"), *(VECTORS / "eval").glob("*.json")]:
        document = json.loads(path.read_text())
        document["cases"] = [case for case in document["cases"] if "malformed" not in case["note"]]
        texts += _expressions(document)
    assert len(texts) > 600
    for text in texts:
        parse_expression(text, at="case")


def test_malformed_expressions_of_the_vectors_are_refused() -> None:
    refused = 0
    for path in VECTORS.glob("*/parse_errors.json"):
        for case in json.loads(path.read_text())["cases"]:
            for text in _expressions(case) if "malformed" in case["note"] else []:
                with pytest.raises(InvalidInputError):
                    parse_expression(text, at="case")
                refused += 1
    assert refused == 2


def _expressions(value: Any) -> list[str]:
    if isinstance(value, str):
        if is_expression(value):
            return [value]
        return _expressions(json.loads(value)) if value.lstrip().startswith("{") else []
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for member in members for text in _expressions(member)]


def test_table_has_every_function_of_the_vectors() -> None:
    internal = {row["file"] for row in EXCLUDED if "notes" not in row}
    for path in (VECTORS / "builtins").glob("*.json"):
        name = RENAMED.get(path.stem, path.stem).replace("_", "")
        assert path.stem in internal or name in FUNCTIONS


def test_every_expression_of_the_built_in_rules_parses_and_calls_what_rules_may_call() -> None:
    count = 0
    with gzip.open(VECTORS.parent / "policyDefinitions.evaluable.jsonl.gz", "rt") as lines:
        for line in lines:
            definition = json.loads(line)
            rule = definition.get("properties", definition)["policyRule"]
            details = rule["then"].get("details", {})
            # A deployment's template is another language's; the values handed to it are the rule's.
            if isinstance(details, dict) and "deployment" in details:
                details["deployment"]["properties"].pop("template", None)
            for text in _expressions(rule):
                for call in calls(parse_expression(text, at=definition.get("name", "?"))):
                    lookup(call.name, len(call.arguments), context=Context.POLICY)
                count += 1
    assert count > 10_000

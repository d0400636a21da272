"""The linter and the catalogue over all built-in definitions: nothing raises, and all of them compile."""

import gzip
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from goldsmith.policy.aliases import from_shared
from goldsmith.policy.catalog.check import check
from goldsmith.policy.catalog.known import decode, encode
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.catalog.read import read_collection
from goldsmith.policy.lint.run import lint_definition

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "azure-policy"
DEFINITIONS = SHARED / "policyDefinitions.evaluable.jsonl.gz"
ALIASES = SHARED / "aliases" / "aliases.full.json.gz"

pytestmark = pytest.mark.skipif(not DEFINITIONS.exists(), reason="needs ../shared/azure-policy")


@cache
def aliases() -> Any:
    return from_shared(json.loads(gzip.decompress(ALIASES.read_bytes())))


@cache
def collection() -> ImportReport:
    names = (DEFINITIONS, SHARED / "policySetDefinitions.vm.jsonl.gz")
    return read_collection((path.name, path.read_bytes()) for path in names)


def test_every_built_in_is_linted_and_none_fails_to_compile() -> None:
    rules: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    number = 0
    for line in gzip.decompress(DEFINITIONS.read_bytes()).splitlines():
        document = json.loads(line)
        number += 1
        for finding in lint_definition(document, aliases=aliases(), source=document["name"]):
            rules[finding.rule] += 1
            errors[finding.rule] += finding.severity.value == "error"
    assert number == 2769
    for rule in ("does-not-compile", "expression-does-not-parse", "undeclared-parameter", "unknown-function"):
        assert rules[rule] == 0
    assert rules["mode-not-evaluated"] == 134
    assert rules["deprecated"] == 361
    assert rules["mode-case"] == 7
    # The service lets its own definitions be larger than anybody else's; its other mistakes are few and real.
    assert {rule for rule, count in errors.items() if count} <= {
        "list-too-long",
        "text-too-long",
        "limit-parameters",
    }


def test_the_whole_corpus_is_read_and_compiles() -> None:
    report = collection()
    assert report.failures == ()
    assert len(report.definitions) == 2769
    assert len(report.initiatives) == 60
    assert report.modes["Indexed"] == 1728
    assert report.modes["All"] == 907
    assert len(report.not_evaluated) == 134
    assert report.policy_types == {"BuiltIn": 2769}
    checked = check(report, aliases=aliases())
    assert checked.failures == ()
    assert checked.compiled == 2635
    assert checked.reused < checked.compiled


def test_what_was_found_out_is_not_found_out_again() -> None:
    first = check(collection(), aliases=aliases())
    known = decode(encode(first.summaries, engine="1"), engine="1")
    again = check(collection(), aliases=aliases(), known=known)
    assert again.reused == again.compiled == 2635
    assert again.summaries == first.summaries
    assert (again.trees, again.unknown, again.derived) == (first.trees, first.unknown, first.derived)

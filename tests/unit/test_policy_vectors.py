"""The published evaluation, parser and normalisation vectors, run on the compiled rules alone.

The same vectors run through definitions, assignments and effects in `test_policy_testing_files`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.aliases import AliasTable, from_providers, from_rows
from goldsmith.policy.compile import CompiledRule, compile_rule
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_computation, evaluate_node
from goldsmith.policy.paths import alias_segments, project
from goldsmith.policy.pool import Pool
from goldsmith.policy.reader import read_rule
from goldsmith.policy.testing.vectors import Quarantine, parse_quarantine

_TESTS = Path(__file__).parents[1]
VECTORS = _TESTS.parents[1] / "shared/azure-policy/vectors"
pytestmark = pytest.mark.skipif(not VECTORS.exists(), reason="../shared/azure-policy/vectors is not here")

# What these say of is no part of a compiled rule: definitions as a whole, and what modify may write.
_NOT_OF_RULES = {"modifiable_check/modify_mixed_modifiable_non_modifiable_error"}


def _quarantine() -> Quarantine:
    published = parse_quarantine(json.loads((VECTORS / "quarantine.json").read_text(encoding="utf-8")))
    listed = yaml.safe_load((_TESTS / "cases/policy/exclusions.yaml").read_text(encoding="utf-8"))
    ours = parse_quarantine({"exclusions": listed["evaluation"]})
    return Quarantine(reasons={**published.reasons, **ours.reasons})


def _cases(folder: str) -> Iterator[tuple[str, dict[str, Any], AliasTable]]:
    for file in sorted((VECTORS / folder).glob("*.json")):
        body = json.loads(file.read_text(encoding="utf-8"))
        aliases = from_rows(())
        if "aliases" in body:
            listing = (VECTORS / "aliases" / body["aliases"]).read_text(encoding="utf-8")
            aliases = from_providers(json.loads(listing))
        for case in body["cases"]:
            yield (
                f"{file.stem}/{case['note']}",
                {"policy_definition": body.get("policy_definition"), **case},
                aliases,
            )


def _outcome(case: dict[str, Any], aliases: AliasTable) -> str:
    """The effect, or what became of the rule: `no effect`, `not read`, `not compiled`, `failed`."""
    parameters = dict(case.get("parameters") or {})
    resource = case.get("resource") or {}
    context = case.get("context") or {}
    api_version = case.get("api_version")
    try:
        body = json.loads(case.get("policy_rule") or case["policy_definition"])
        if "policy_rule" not in case:
            definition = body.get("properties", body)
            body = definition.get("policyRule")
            for name, declared in (definition.get("parameters") or {}).items():
                if "defaultValue" in declared:
                    parameters.setdefault(name, declared["defaultValue"])
        rule = read_rule(body)
    except (InvalidInputError, ValueError):
        return "not read"
    try:
        compiled = compile_rule(
            rule,
            parameters=parameters,
            policy_context=context.get("policy") or {},
            aliases=aliases,
            resource_type=resource.get("type") or "",
            api_version=api_version,
            pool=Pool(),
        )
    except InvalidInputError:
        return "not compiled"
    request = case.get("request_context") or context.get("requestContext") or {}
    document = Document(
        resource,
        resource_group=context.get("resourceGroup"),
        subscription={
            "subscriptionId": "00000000-0000-0000-0000-000000000000",
            **context.get("subscription", {}),
        },
        request_context={"identity": {}, "apiVersion": api_version, **request},
        now=context.get("utcNow") or "2026-01-01T00:00:00.0000000Z",
    )
    try:
        takes_hold = evaluate_node(compiled.condition, document) and _lacks_related(compiled, case, document)
    except EvaluationError as error:
        return f"failed: {error}"
    return compiled.effect if takes_hold and compiled.effect.lower() != "disabled" else "no effect"


def _lacks_related(compiled: CompiledRule, case: dict[str, Any], document: Document) -> bool:
    if compiled.effect.lower() not in ("auditifnotexists", "deployifnotexists"):
        return True
    for value in compiled.lookup.values():
        evaluate_computation(value, document)
    answers = [answer["response"] for answer in case.get("host_await") or [] if answer.get("response")]
    return not any(
        compiled.existence is None or evaluate_node(compiled.existence, document.with_related(answer))
        for answer in answers
    )


def _wanted(case: dict[str, Any]) -> str | None:
    if case.get("want_parse_error"):
        return "not read"
    if case.get("want_compile_error"):
        return "not compiled"
    if case.get("want_undefined") or ("want_effect" in case and case["want_effect"] is None):
        return "no effect"
    effect = case.get("want_effect")
    return effect if effect is None else str(effect)


@pytest.mark.parametrize("folder", ["eval", "parser"])
def test_vectors_hold(folder: str) -> None:
    quarantine = _quarantine()
    counted: Counter[str] = Counter()
    wrong = []
    for name, case, aliases in _cases(folder):
        if quarantine.reason(*name.split("/", 1)) is not None:
            counted["excluded"] += 1
        elif name in _NOT_OF_RULES or case.get("parse_level") == "policy_definition":
            counted["not of rules"] += 1
        else:
            wanted, got = _wanted(case), _outcome(case, aliases)
            counted["run"] += 1
            if got != (wanted or got) or (wanted is None and got == "not read"):
                wrong.append(f"{name}: wanted {wanted}, got {got}")
    assert wrong == []
    assert counted["run"] > 90, "the files hold hundreds of cases"
    assert counted["excluded"] < counted["run"] / 20


def test_every_exclusion_names_its_document() -> None:
    listed = yaml.safe_load((_TESTS / "cases/policy/exclusions.yaml").read_text(encoding="utf-8"))
    for entry in listed["evaluation"]:
        assert entry["because"]
        assert entry["document"].startswith(("linter: ", "docs: "))


def test_alias_paths_find_in_arm_json_what_the_normalisation_vectors_normalise() -> None:
    """An alias reads from the ARM form what stands under its own name in the normalised form.

    So those vectors apply that give both forms for a type with aliases; the others are about the normaliser's
    own shapes (data-plane manifests, values that are no resources, keys such as `_p_type`).
    """
    compared, wrong = 0, []
    for name, arm, normal, aliases, api_version in _normalised():
        resource_type = str(arm.get("type", ""))
        for entry in aliases.entries(resource_type).values():
            rest = entry.name[len(resource_type) + 1 :]
            if "[*]" in rest or rest in ("type", "name") or not entry.name.startswith(resource_type + "/"):
                continue
            expected = project(normal, alias_segments(rest))
            got = project(arm, alias_segments(entry.path_in(api_version)))
            if expected is not None and not isinstance(expected, list | dict):
                compared += 1
                if got != expected:
                    wrong.append(f"{name}: {entry.name} is {got!r}, expected {expected!r}")
    assert wrong == []
    assert compared > 5, compared


def _normalised() -> Iterator[tuple[str, dict[str, Any], dict[str, Any], AliasTable, str | None]]:
    for file in sorted((VECTORS / "normalization").glob("*.json")):
        body = json.loads(file.read_text(encoding="utf-8"))
        for case in body["cases"]:
            listing = case.get("aliases_json") or body.get("aliases_json")
            normal, arm = case.get("expected_normalized"), case.get("input")
            if "expected_denormalized" in case:
                normal, arm = case["input"], case["expected_denormalized"]
            if listing and isinstance(normal, dict) and isinstance(arm, dict):
                aliases = from_providers(json.loads(listing) if isinstance(listing, str) else listing)
                yield f"{file.stem}/{case['note']}", arm, normal, aliases, case.get("api_version")

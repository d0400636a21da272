"""What the packaged policies promise: they read, compile, refer to one another, and their cases hold."""

import gzip
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.aliases import Modifiable, from_providers
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.content import packaged
from goldsmith.policy.content.description import expand
from goldsmith.policy.library import Library, assigned_policies
from goldsmith.policy.lint.run import lint_definition
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.reader import read_rule
from goldsmith.policy.related import ResourceList
from goldsmith.policy.target import target_of
from goldsmith.policy.testing.engine import Engine
from goldsmith.policy.testing.model import Verdict
from goldsmith.policy.testing.run import run_table
from goldsmith.policy.testing.table import parse_table
from goldsmith.policy.verdict import ComplianceState, Settings, evaluate_policies
from goldsmith.policy.wire.definition import parse_definition
from goldsmith.policy.wire.initiative import parse_initiative

_SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "azure-policy"
_ALIASES = from_providers(packaged.alias_listing())
_KEYS = sorted(packaged.definitions())
_OURS = ("microsoft.compute", "microsoft.hybridcompute", "microsoft.guestconfiguration")
_ALIAS = re.compile(r"Microsoft\.[A-Za-z]+(?:/[A-Za-z]+)*/[A-Za-z][\w.]*(?:\[\*\][\w.]*)*")


def shared(name: str) -> Path:
    path = _SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/azure-policy")
    return path


def texts(value: object) -> Iterator[str]:
    match value:
        case dict():
            for member in value.values():
                yield from texts(member)
        case list():
            for member in value:
                yield from texts(member)
        case str():
            yield value


@pytest.mark.parametrize("key", _KEYS)
def test_definition_reads_and_offers_its_effect(key: str) -> None:
    definition = parse_definition(packaged.definitions()[key])
    assert definition.rule is not None
    assert definition.name == packaged.guid_of(key)
    assert definition.category == "Golden images"
    assert str(definition.version) == "1.0.0"
    effect = definition.parameters["effect"]
    assert effect.allowed is not None
    assert "Disabled" in effect.allowed
    assert effect.default in effect.allowed


@pytest.mark.parametrize("key", _KEYS)
def test_definition_uses_only_aliases_we_ship(key: str) -> None:
    engine = Engine(aliases=_ALIASES)
    for case in parse_table(packaged.case_tables()[key], name=key, definition=packaged.find).cases:
        posed = engine.pose(case)
        assert posed is not None
        assert not posed.prepared.rule.unknown
        assert not posed.prepared.rule.derived


@pytest.mark.parametrize("key", _KEYS)
def test_cases_of_definition_hold_and_see_every_branch(key: str) -> None:
    table = parse_table(packaged.case_tables()[key], name=key, definition=packaged.find)
    suite = run_table(table, Engine(aliases=_ALIASES))
    assert [(result.name, result.problems) for result in suite.failed] == []
    effects = {case.expect.effect for case in table.cases}
    assert "none" in effects, "no case is compliant"
    assert len(effects) > 1, "no case is non-compliant"
    assert suite.coverage == 1.0, [(branch.at, branch.missing) for branch in suite.branches if branch.missing]
    assert suite.count(Verdict.EXCLUDED) == 0


def test_every_definition_has_a_case_table() -> None:
    assert sorted(packaged.case_tables()) == _KEYS


def test_ids_stay_what_they_were() -> None:
    # Assignments in the field refer to these; a changed one would orphan them.
    assert packaged.guid_of("gallery-images-only") == "b7ff09e6-ea56-57e5-8194-ada31f95c0bd"
    assert packaged.guid_of("golden-images") == "8a6f5c52-c96f-5668-988c-a9c9171ab921"
    assert all(uuid.UUID(body["name"]).version == 5 for body in packaged.definitions().values())


def test_definitions_are_found_by_key_name_and_id() -> None:
    body = packaged.definitions()["image-age"]
    assert packaged.find("Image-Age") is body
    assert packaged.find(body["name"].upper()) is body
    assert packaged.find(body["id"]) is body
    with pytest.raises(NotFoundError):
        packaged.find("image-agee")


@pytest.mark.parametrize("key", sorted(packaged.initiatives()))
def test_initiative_refers_to_what_exists(key: str) -> None:
    body = packaged.initiatives()[key]
    initiative = parse_initiative(body)
    groups = {group.name for group in initiative.groups}
    by_id = {each["id"]: parse_definition(each) for each in packaged.definitions().values()}
    assert len({reference.reference_id for reference in initiative.references}) == len(initiative.references)
    for reference in initiative.references:
        definition = by_id[reference.definition_id]
        assert set(reference.group_names) <= groups
        assert set(reference.parameters) <= set(definition.parameters)
        for value in reference.parameters.values():
            name = re.fullmatch(r"\[parameters\('(\w+)'\)\]", str(value))
            assert name, value
            assert name[1] in initiative.parameters
        given = {name.lower() for name in reference.parameters}
        needed = {n.lower() for n, p in definition.parameters.items() if p.default == "absent"}
        assert needed <= given, reference.reference_id


def test_assigned_initiative_judges_a_machine_and_its_image_version() -> None:
    (body,) = packaged.initiatives().values()
    library = Library(
        [parse_definition(each) for each in packaged.definitions().values()], [parse_initiative(body)]
    )
    assignment = PolicyAssignment(
        id="/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/golden",
        name="golden",
        scope="/",
        definition_id=body["id"],
        parameters={"allowedGalleries": ["/subscriptions/other/galleries/g"]},
    )
    policies = assigned_policies(assignment, library)
    cases = parse_table(
        packaged.case_tables()["image-version-usable"], name="t", definition=packaged.find
    ).cases
    machine, version = cases[0].resource, cases[0].related[0]
    assert isinstance(machine, dict)
    assert isinstance(version, dict)
    settings = Settings(compiler=Compiler(_ALIASES), related=ResourceList([machine, version]))
    moment = datetime(2026, 11, 26, 8, tzinfo=UTC)
    states = {
        verdict.assigned.reference_id: str(verdict.state)
        for verdict in evaluate_policies(policies, target_of(machine, now=moment), settings)
    }
    assert states == {
        "gallery-images-only": "Compliant",
        "trusted-sources": "NonCompliant",
        "image-version-usable": "Compliant",
        "image-age": "Compliant",
        "image-latest": "Compliant",
        "tattoo-matches": "NonCompliant",
        "trusted-launch": "NonCompliant",
        "machine-configuration": "NonCompliant",
        "machine-configuration-deviation": "NotApplicable",
        "required-tags": "NonCompliant",
        "image-version-signed-sbom": "NotApplicable",
        "machine-image-signed-sbom": "Compliant",
        "no-critical-advisory": "NonCompliant",
    }
    judged = {
        verdict.assigned.reference_id
        for verdict in evaluate_policies(policies, target_of(version, now=moment), settings)
        if verdict.state not in (ComplianceState.NOT_APPLICABLE, ComplianceState.NOT_EVALUATED)
    }
    assert judged == {"image-version-signed-sbom", "no-critical-advisory"}


@pytest.mark.parametrize("key", _KEYS)
def test_definition_is_free_of_known_mistakes(key: str) -> None:
    findings = lint_definition(packaged.definitions()[key], aliases=_ALIASES, source=key)
    assert [(each.rule, each.path) for each in findings if each.suppression is None] == []


def test_initiative_covers_every_definition_that_only_looks() -> None:
    (body,) = packaged.initiatives().values()
    ids = {reference["policyDefinitionId"] for reference in body["properties"]["policyDefinitions"]}
    left_out = [key for key, each in packaged.definitions().items() if each["id"] not in ids]
    assert left_out == ["tattoo-configure"]


def test_alias_listing_is_what_the_description_says() -> None:
    # After a change of aliases.txt: python scripts/aliases.py
    description = files("goldsmith.policy.content").joinpath("aliases.txt").read_text("utf-8")
    assert expand(description) == packaged.alias_listing()


def test_description_names_what_it_does_not_know() -> None:
    with pytest.raises(InvalidInputError, match="unknown word '%bad'"):
        expand("type Microsoft.X/y\n  2020-01-01\n  good %bad\n")
    with pytest.raises(InvalidInputError, match="expected 'type' or 'share'"):
        expand("kind Microsoft.X/y\n")


def test_description_expands_arrays_and_inner_properties() -> None:
    (provider,) = expand(
        "type Microsoft.X/y\n  2020-01-01\n  a[]{ id ^b? } /sku{ name } n!{ m# } old=properties.new\n"
    )
    (type_,) = provider["resourceTypes"]
    assert type_["apiVersions"] == ["2020-01-01"]
    found = {
        a["name"].removeprefix("Microsoft.X/y/"): (a["defaultPath"], a["defaultMetadata"])
        for a in type_["aliases"]
    }
    assert found == {
        "a": ("properties.a", {"type": "Array"}),
        "a[*]": ("properties.a[*]", {"type": "Object"}),
        "a[*].id": ("properties.a[*].id", {"type": "String"}),
        "a[*].b": ("properties.a[*].properties.b", {"type": "Boolean"}),
        "sku": ("sku", {"type": "Object"}),
        "sku.name": ("sku.name", {"type": "String"}),
        "n": ("properties.n", {"type": "Object", "attributes": "Modifiable"}),
        "n.m": ("properties.n.m", {"type": "Number"}),
        "old": ("properties.new", {"type": "Any"}),
    }


def test_short_image_aliases_differ_by_type() -> None:
    def path(type_: str) -> str:
        found = _ALIASES.resolve(type_, "microsoft.compute/imageoffer")
        assert found is not None
        return found.path

    assert path("Microsoft.Compute/virtualMachines") == "properties.storageProfile.imageReference.offer"
    assert path("Microsoft.Compute/disks") == "properties.creationData.imageReference.id"
    assert path("Microsoft.Compute/virtualMachineScaleSets").startswith("properties.virtualMachineProfile.")


def test_alias_table_contradicts_no_other_table() -> None:
    rows = [line.split("\t") for line in shared("aliases/aliases.core.tsv").read_text().splitlines()[1:]]
    theirs = {(type_.lower(), alias.lower()): path for type_, alias, path in rows}
    known_types = {type_ for type_, _ in theirs}
    contradictions, unknown = [], []
    for type_ in _ALIASES.types() & known_types:
        for name, entry in _ALIASES.entries(type_).items():
            path = theirs.get((type_, name))
            if path is None:
                unknown.append((type_, name))
            elif path.lower() != entry.path.lower():
                contradictions.append((type_, name, entry.path, path))
    assert contradictions == []
    assert unknown == []


def test_alias_table_has_all_that_policies_about_machines_use() -> None:
    rows = [line.split("\t") for line in shared("aliases/aliases.core.tsv").read_text().splitlines()[1:]]
    real = {alias.lower() for _, alias, _ in rows}
    used: set[str] = set()
    with gzip.open(shared("policyDefinitions.vm.jsonl.gz"), "rt") as lines:
        for line in lines:
            body: dict[str, Any] = json.loads(line)
            for text in texts(body.get("properties", body)["policyRule"]):
                used |= {alias.lower() for alias in _ALIAS.findall(text)}
    used = {
        alias
        for alias in used & real
        if alias.partition("/")[0] in (*_OURS, "microsoft.virtualmachineimages")
    }
    assert len(used) >= 110
    assert sorted(alias for alias in used if not _ALIASES.knows(alias)) == []


def test_aliases_that_built_in_policies_modify_are_modifiable() -> None:
    body = json.loads(shared("aliases/modifiable.lower-bound.json").read_text())
    written = [alias for alias in body["aliases"] if alias.lower().startswith(_OURS)]
    assert written
    for alias in written:
        entries = [entry for type_ in _ALIASES.types_with(alias) if (entry := _ALIASES.resolve(type_, alias))]
        assert entries, alias
        assert all(entry.modifiable is Modifiable.YES for entry in entries), alias


def test_rule_of_each_definition_is_bounded() -> None:
    for body in packaged.definitions().values():
        rule = read_rule(body["properties"]["policyRule"])
        assert rule.condition is not None
        assert len(json.dumps(body)) < 20_000

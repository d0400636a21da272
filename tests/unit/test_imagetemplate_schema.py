"""The editor schema, the reference page and the examples, against the parser."""

import dataclasses
import hashlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.imagetemplate import model
from goldsmith.imagetemplate.fields import TEMPLATE
from goldsmith.imagetemplate.logic import network_open, refuse_unsupported, steps, validation_steps
from goldsmith.imagetemplate.model import File, ImageTemplate, OsType
from goldsmith.imagetemplate.reference import reference_markdown
from goldsmith.imagetemplate.schema import json_schema
from goldsmith.imagetemplate.shape import ListOf, MapOf, OneOf, Record, Shape
from goldsmith.imagetemplate.text import load_template_text
from goldsmith.imagetemplate.wire import parse_template
from goldsmith.kernel.json import JsonObject

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NAMES = ["minimal.yaml", "hardened.yaml", "hardened-13.yaml"]


def document(name: str) -> JsonObject:
    return load_template_text((EXAMPLES / name).read_text(), format="yaml", source_name=name)


def example(name: str) -> ImageTemplate:
    return parse_template(document(name), source_name=name)


def records(shape: Shape) -> Iterator[Record]:
    match shape:
        case Record(fields=members):
            yield shape
            for member in members:
                yield from records(member.shape)
        case OneOf(cases=cases):
            for record in cases.values():
                yield from records(record)
        case ListOf(item=inner) | MapOf(value=inner):
            yield from records(inner)
        case _:
            pass


def validator() -> Any:
    if importlib.util.find_spec("jsonschema") is None:
        pytest.skip("the package jsonschema is not installed")
    draft = importlib.import_module("jsonschema").Draft202012Validator
    draft.check_schema(json_schema())
    return draft(json_schema())


def test_description_and_model_name_the_same_fields() -> None:
    described: dict[type, set[str]] = {}
    for record in records(TEMPLATE):
        names = described.setdefault(record.model, set())
        names |= {member.attribute for member in record.fields if not (member.read_only or member.spread)}
    described[ImageTemplate] -= {"type"}
    described[ImageTemplate] |= {"warnings"}
    assert described == {
        class_: {member.name for member in dataclasses.fields(class_)}
        for class_ in vars(model).values()
        if dataclasses.is_dataclass(class_) and isinstance(class_, type)
    }


def test_every_field_without_a_default_in_the_model_is_required() -> None:
    for record in records(TEMPLATE):
        needed = {
            member.name
            for member in dataclasses.fields(record.model)
            if member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING
        } - {"api_version"}
        for member in record.fields:
            if not member.read_only and not member.spread:
                assert member.required == (member.attribute in needed), member


@pytest.mark.parametrize("name", NAMES)
def test_schema_accepts_the_examples(name: str) -> None:
    assert [error.message for error in validator().iter_errors(document(name))] == []


@pytest.mark.parametrize(
    "change",
    [
        {"nope": 1},
        {"customize": [{"type": "Shell", "inlines": ["x"]}]},
        {"customize": [{"type": "Shell", "inline": ["x"], "scriptUri": "y"}]},
        {"customize": [{"type": "PowerShell", "inline": ["x"], "runAsSystem": True}]},
        {"distribute": []},
        {"buildTimeoutInMinutes": 3},
        {"source": {"type": "ManagedImage"}},
    ],
    ids=str,
)
def test_schema_refuses_what_the_parser_refuses(change: JsonObject) -> None:
    changed = document("minimal.yaml")
    changed["properties"] |= change
    assert not validator().is_valid(changed)


def test_schema_and_reference_describe_every_field() -> None:
    page, schema = reference_markdown(), str(json_schema())
    for record in records(TEMPLATE):
        for member in record.fields:
            assert re.search(rf"[.`]{re.escape(member.name)}` \|", page), member.name
            assert member.meaning.replace("|", "\\|") in page
            assert f"'{member.name}'" in schema
    assert "| `properties.buildTimeoutInMinutes` | whole number, 6 to 960, or 0 | `240` |" in page


@pytest.mark.parametrize("name", NAMES)
def test_examples_can_run_on_linux_and_their_files_are_those_they_mean(name: str) -> None:
    template = example(name)
    refuse_unsupported(template, OsType.LINUX)
    for step in steps(template):
        if isinstance(step.action, File):
            found = hashlib.sha256((EXAMPLES / step.action.source_uri).read_bytes()).hexdigest()
            assert found == step.action.sha256_checksum


def test_hardened_example_has_ten_steps_five_tests_and_a_network() -> None:
    template = example("hardened.yaml")
    assert (len(steps(template)), len(validation_steps(template))) == (10, 5)
    assert network_open(template)
    assert not network_open(example("minimal.yaml"))


def test_hardened_examples_differ_in_nothing_but_the_release() -> None:
    text = (EXAMPLES / "hardened.yaml").read_text()
    text = (
        text.replace("Debian 12", "Debian 13").replace("debian-12", "debian-13").replace("12-gen2", "13-gen2")
    )
    assert yaml.safe_load(text) == yaml.safe_load((EXAMPLES / "hardened-13.yaml").read_text())

"""Laws of image templates over generated ones."""

import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.imagetemplate.fields import TEMPLATE
from goldsmith.imagetemplate.logic import next_version, steps, template_digest
from goldsmith.imagetemplate.model import ImageTemplate, VersioningLatest
from goldsmith.imagetemplate.shape import (
    ArmId,
    Choice,
    Field,
    Flag,
    ListOf,
    MapOf,
    OneOf,
    Record,
    Shape,
    Text,
    Whole,
)
from goldsmith.imagetemplate.text import TextFormat, load_template_text
from goldsmith.imagetemplate.wire import parse_template, to_wire
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
FIELD_NAMES = ("location", "properties", "tags", "identity", "source", "customize", "distribute", "type")


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """What a well-formed document may hold at a place of this shape."""
    match shape:
        case Text(pattern=str() as pattern) if "(?!" in pattern:
            return st.from_regex(r"\A/[a-z ]{1,9}[a-z]\Z")
        case Text(pattern=str() as pattern):
            return st.from_regex(pattern.removesuffix("$") + r"\Z")
        case Text():
            return WORDS
        case ArmId(types=types):
            return st.sampled_from([_arm_id(type_) for type_ in types])
        case Choice(of=choices):
            return st.sampled_from([str(choice) for choice in choices])
        case Whole(minimum=minimum, maximum=maximum, unset=unset):
            return st.integers(minimum, maximum) | (st.nothing() if unset is None else st.just(unset))
        case Flag():
            return st.booleans()
        case ListOf(item=item, minimum=minimum):
            return st.lists(values(item), min_size=minimum, max_size=3)
        case MapOf(key=key, value=value, maximum=maximum):
            return st.dictionaries(values(key), values(value), max_size=min(maximum, 3))
        case OneOf(tag=tag, cases=cases):
            return st.one_of([_tagged(tag, name, record) for name, record in cases.items()])
        case Record():
            return objects(shape)


def objects(record: Record) -> st.SearchStrategy[JsonObject]:
    def members(required: bool) -> dict[str, st.SearchStrategy[Any]]:
        return {
            member.name: _member(member)
            for member in record.fields
            if member.required is required and not member.read_only
        }

    return st.fixed_dictionaries(members(True), optional=members(False))


def _tagged(tag: str, name: str, record: Record) -> st.SearchStrategy[JsonObject]:
    return objects(record).map(lambda value: {tag: name, **value})


def _member(member: Field) -> st.SearchStrategy[Any]:
    if member.name == "apiVersion":
        return st.just("2025-10-01")
    return values(member.shape)


def _arm_id(type_: str) -> str:
    namespace, *types = type_.split("/")
    names = [f"/{kind}/{'1.2.3' if kind == 'versions' else 'x'}" for kind in types]
    return f"/subscriptions/s/resourceGroups/g/providers/{namespace}{''.join(names)}"


DOCUMENTS = values(TEMPLATE)


RULES = ("cannot be given", "has neither", "needs ", "is required")


def parsed(document: JsonObject) -> ImageTemplate | None:
    """The template, or None where a rule between fields, which the strategies do not know, is broken."""
    template, details = outcome(document)
    assert all(message.startswith(RULES) or "already taken" in message for _, message in details), details
    return template


def outcome(document: JsonObject) -> tuple[ImageTemplate | None, tuple[tuple[str, str], ...]]:
    try:
        return parse_template(document, source_name="t"), ()
    except InvalidInputError as error:
        return None, error.details


def loaded(text: str, format: TextFormat | None) -> JsonObject | str:
    try:
        return load_template_text(text, format=format, source_name="t")
    except InvalidInputError as error:
        return error.message


@given(DOCUMENTS)
@settings(max_examples=60, deadline=None)
def test_well_formed_documents_break_nothing_but_rules_and_survive_the_wire(document: JsonObject) -> None:
    template = parsed(document)
    if template is not None:
        again = parse_template(to_wire(template), source_name="t")
        assert again == template
        assert to_wire(again) == to_wire(template)
        assert template_digest(again) == template_digest(template)
        assert len({step.name for step in steps(template)}) == len(template.customize)


@given(DOCUMENTS)
@settings(max_examples=30, deadline=None)
def test_json_and_yaml_say_the_same(document: JsonObject) -> None:
    as_json = load_template_text(json.dumps(document), format="json", source_name="t")
    as_yaml = load_template_text(json.dumps(document), format="yaml", source_name="t")
    # PyYAML writes YAML 1.1, which takes 0E0 for text; quoted, with a tag where it is not, all is plain.
    dumped = yaml.safe_dump(document, default_style='"', sort_keys=False)
    assert as_json == as_yaml == load_template_text(dumped, format="yaml", source_name="t") == document


@given(st.dictionaries(WORDS | st.sampled_from(FIELD_NAMES), JSON))
@settings(max_examples=60, deadline=None)
def test_any_object_is_read_or_refused_with_reasons(document: JsonObject) -> None:
    template, details = outcome({"location": "local", "properties": document})
    assert (template is None) == bool(details)
    assert all(path and message for path, message in details)


@given(st.text(max_size=60) | st.text("{}[]:,\"'&*!|>-# \n\tab1\\", max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    formats: tuple[TextFormat | None, ...] = (None, "json", "yaml")
    for format in formats:
        result = loaded(text, format)
        assert isinstance(result, dict) or result.startswith("t")


@given(st.text('{}[]:,"ab1\\ \n', max_size=30))
@settings(max_examples=200, deadline=None)
def test_repeated_json_keys_are_found_wherever_they_are(text: str) -> None:
    repeated = False

    def note(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated
        repeated = repeated or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    text = '{"a": {"b": 1}, "c": [' + text + "]}"
    try:
        json.loads(text, object_pairs_hook=note)
    except ValueError:
        return
    result = loaded(text, "json")
    assert repeated == (isinstance(result, str) and "is given twice" in result)


@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 3).map(lambda v: ".".join(map(str, v))), max_size=12),
    st.none() | st.integers(0, 30),
)
def test_next_version_is_new_and_above_all_of_its_kind(existing: list[str], major: int | None) -> None:
    version = next_version(existing, VersioningLatest(major=major), "0.0.0")
    number = [int(part) for part in version.split(".")]
    others = [[int(part) for part in other.split(".")] for other in existing]
    assert all(other < number for other in others if major is None or other[0] == major)
    assert version not in existing
    assert major is None or number[0] == major

"""Field names, and what paths select, by table."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.document import Document
from goldsmith.policy.paths import parse_field, project
from goldsmith.policy.tree import Input, Narrowing, Source

_TABLE = yaml.safe_load((Path(__file__).parents[1] / "cases/policy/paths.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "kind", "path"), _TABLE["fields"])
def test_field_name_is_read(text: str, kind: str, path: list[str]) -> None:
    field = parse_field(text)
    assert (field.kind, field.path, field.text) == (kind, tuple(path), text)


@pytest.mark.parametrize("text", _TABLE["refused"])
def test_field_name_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        parse_field(text)
    assert error.value.hint


@pytest.mark.parametrize("row", _TABLE["selections"], ids=lambda row: ".".join(row[0]))
def test_path_selects(row: list[Any]) -> None:
    path, *values = row
    narrowings = [Narrowing.VALUE, Narrowing.EXISTS, Narrowing.LENGTH]
    for narrowing, expected in zip(narrowings, values, strict=False):
        assert project(_TABLE["document"], path, narrowing) == expected
        wanted = Input(Source.RESOURCE, tuple(path), narrowing)
        assert Document(_TABLE["document"]).value(wanted) == expected


def test_empty_path_is_the_whole_document() -> None:
    assert project({"A": 1}, ()) == {"A": 1}
    assert Document({"A": 1}).value(Input(Source.RESOURCE, ())) == {"A": 1}


@pytest.mark.parametrize(
    "keys", [("TAGS", "Tags", "tags"), ("tags", "Tags", "TAGS"), ("Tags", "tags", "TAGS")]
)
def test_lower_case_key_wins_whatever_the_order(keys: tuple[str, ...]) -> None:
    document: Any = {key: key for key in keys}
    assert project(document, ("tags",)) == "tags"
    assert Document(document).value(Input(Source.RESOURCE, ("tags",))) == "tags"


@pytest.mark.parametrize("keys", [("TAGS", "Tags"), ("Tags", "TAGS")])
def test_without_a_lower_case_key_the_first_spelling_wins(keys: tuple[str, ...]) -> None:
    document: Any = {key: key for key in keys}
    assert project(document, ("tags",)) == "TAGS"
    assert Document(document).value(Input(Source.RESOURCE, ("tags",))) == "TAGS"


def test_document_with_another_related_resource_keeps_the_rest() -> None:
    name, other = Input(Source.RESOURCE, ("name",)), Input(Source.RELATED, ("name",))
    document = Document({"name": "vm"}, related={"name": "one"}, now="2026-01-01T00:00:00.0000000Z")
    assert (document.value(name), document.value(other)) == ("vm", "one")
    second = document.with_related({"name": "two"})
    assert (second.value(name), second.value(other)) == ("vm", "two")
    assert second.value(Input(Source.CLOCK, ())) == "2026-01-01T00:00:00.0000000Z"
    assert document.value(other) == "one"

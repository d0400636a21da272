"""Reading template text."""

from typing import Any

import pytest

from goldsmith.imagetemplate.text import TextFormat, line_of, load_template_text
from goldsmith.kernel.errors import InvalidInputError


def load(text: str, format: TextFormat | None = None) -> Any:
    return load_template_text(text, format=format, source_name="t.yaml")


def message_of(text: str, format: TextFormat | None = None) -> str:
    with pytest.raises(InvalidInputError) as caught:
        load(text, format)
    assert caught.value.code == "InvalidTemplateText"
    return caught.value.message


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("On", "On"),
        ("off", "off"),
        ("y", "y"),
        ("2020-02-14", "2020-02-14"),
        ("2020-02-14T10:00:00Z", "2020-02-14T10:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1.5e3", 1500.0),
        (".inf", ".inf"),
        ("<<", "<<"),
        ("=", "="),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("Null", None),
    ],
)
def test_yaml_scalars_are_those_of_the_core_schema(written: str, value: object) -> None:
    loaded = load(f"a: {written}\n")
    assert loaded == {"a": value}
    assert type(loaded["a"]) is type(value)


def test_yaml_keys_are_always_text() -> None:
    assert load("{on: 1, 2: 3, null: 4, 2020-02-14: 5}", "yaml") == {
        "on": 1,
        "2": 3,
        "null": 4,
        "2020-02-14": 5,
    }


def test_yaml_anchors_stand_for_what_they_name() -> None:
    assert load("a: &x [1, {b: 2}]\nc: *x\n") == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


@pytest.mark.parametrize(
    ("text", "format", "position", "what"),
    [
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "yaml", "5:3", "the key 'c' is given twice, first on line 3"),
        ('{"a": 1,\n "b": [{"c": 1}, {"c": 1,\n\t"c": 2}]}', "json", "3:2", "the key 'c' is given twice, "),
        ('{"\\u0061": 1,\n "a": 2}', "json", "2:2", "the key 'a' is given twice, first on line 1"),
        ('{"a": 1,\n "b" 2}', "json", "2:6", "expecting ':' delimiter"),
        ("a: 1\n b: 2\n", "yaml", "2:3", "mapping values are not allowed here"),
        ("a: [1,\n", "yaml", "2:1", "while parsing a flow node"),
        ("a: \t\x01", "yaml", "1", "character"),
        ("a: 1\n---\nb: 2\n", "yaml", "2:1", "expected a single document in the stream"),
        (
            "a: !!python/object:os.system x",
            "yaml",
            "1:4",
            "the tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("a: !!binary aGk=", "yaml", "1:4", "the tag tag:yaml.org,2002:binary is not supported"),
        ("? [a]\n: 1", "yaml", "1:3", "a key must be text"),
        ("a: *x", "yaml", "1:4", "found undefined alias"),
        ("a: 1e999", "yaml", "1:4", "'1e999' is not a number that can be held"),
    ],
)
def test_fault_names_its_line_and_column(text: str, format: TextFormat, position: str, what: str) -> None:
    assert message_of(text, format).startswith(f"t.yaml:{position} cannot be read as a template: {what}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "it holds nothing"),
        ("# only a comment\n", "it holds nothing"),
        ("[1]", "it holds list"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": ' + "1" * 5000 + "}", "a number in it has too many digits"),
        ("{" + '"a":{' * 100_000, "it is nested too deeply"),
        ("a: " + "[" * 20_000, "it is nested too deeply"),
        ("a: &a [*a]\n", "it is nested too deeply"),
        ("a" * (5 << 20), "it is 5242880 characters long"),
    ],
)
def test_text_that_is_no_template_is_refused(text: str, what: str) -> None:
    assert what in message_of(text)


def test_aliases_of_aliases_do_not_multiply_without_end() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "its aliases expand to more than" in message_of("\n".join(lines))


def test_json_is_told_by_its_brace_and_a_byte_order_mark_is_passed_over() -> None:
    assert load('\ufeff\n {"a": "\\ud83d\\ude00", "on": [true, 1.5]}') == {"a": "😀", "on": [True, 1.5]}


def test_json_keys_in_strings_and_siblings_are_not_repeated_keys() -> None:
    text = '{"a": "\\"a\\": {", "b": [{"a": 1}, {"a": {"a": "}"}}], "c": {"a": ":"}}'
    assert load(text, "json")["b"] == [{"a": 1}, {"a": {"a": "}"}}]


LOCATED = """\
location: local
tags: {a: b,
  "it's": 1}
properties:
  customize:
    - type: Shell
      inlines: [x]
    - {type: File}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("location", 1),
        ("properties.customize", 5),
        ("properties.customize[0]", 6),
        ("properties.customize[0].inlines", 7),
        ("properties.customize[0].inlines[0]", 7),
        ("properties.customize[1].sourceUri", 8),
        ("properties.customize[7].type", 5),
        ("properties.source", 4),
        ("""tags["it's"]""", 3),
        ("", None),
        ("nope", None),
    ],
)
def test_line_of_a_path(path: str, line: int | None) -> None:
    assert line_of(LOCATED, path) == line


def test_line_of_a_path_in_json_is_known_unless_tabs_indent_it() -> None:
    assert line_of('{\n "a": {\n  "b": 1}}', "a.b") == 3
    assert line_of('{\n\t"a": {\n\t\t"b": 1}}', "a.b") is None

"""The image template's fields as a reference page."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from goldsmith.imagetemplate.fields import API_VERSION_DEFAULT, API_VERSION_STRICT, API_VERSIONS, TEMPLATE
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
    default_of,
)

_OPENING = f"""# Image template

The fields of `Microsoft.VirtualMachineImages/imageTemplates`, api-version {API_VERSION_DEFAULT}.
A template is one JSON object or one YAML mapping.
Names of fields are case-sensitive.
A field set to null, or an optional text set to "", counts as left out.
From api-version {API_VERSION_STRICT} on a field that is not listed here is refused; before it, it is let pass with a warning.
Known api-versions: {", ".join(API_VERSIONS)}.
"""  # noqa: E501  (one sentence, one line)


def reference_markdown() -> str:
    """A section for each object of the template, with the path, type, default and meaning of every field."""
    return "\n".join((_OPENING, *_sections("", TEMPLATE, heading="The template"))) + "\n"


def _sections(path: str, record: Record, *, heading: str) -> Iterator[str]:
    yield f"## {heading}\n"
    if record.fields:
        yield "| field | type | default | meaning |"
        yield "|---|---|---|---|"
    else:
        yield "It has no fields of its own."
    for member in record.fields:
        cells = (f"`{_join(path, member)}`", _type(member), _default(record, member), member.meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
    if record.rules:
        yield from (rule.sentence for rule in record.rules)
        yield ""
    for member in record.fields:
        yield from _inner(_join(path, member), member.shape)


def _inner(path: str, shape: Shape) -> Iterator[str]:
    match shape:
        case Record():
            yield from _sections(path, shape, heading=f"`{path}`")
        case OneOf(tag=tag, cases=cases):
            for name, record in cases.items():
                yield from _sections(path, record, heading=f"`{path}` with `{tag}: {name}`")
        case ListOf(item=item):
            yield from _inner(f"{path}[]", item)
        case MapOf(value=value):
            yield from _inner(f"{path}.*", value)
        case _:
            pass


def _join(path: str, member: Field) -> str:
    return f"{path}.{member.name}" if path else member.name


def _type(member: Field) -> str:
    return "any" if member.read_only else _shape(member.shape)


def _shape(shape: Shape) -> str:
    match shape:
        case Text(must_be=must_be):
            return must_be
        case ArmId(types=types, version_must_be=version):
            return f"id of a {' or '.join(types)}" + (f", a version being {version}" if version else "")
        case Choice(of=choices):
            return ", ".join(f"`{choice}`" for choice in choices)
        case Whole(minimum=minimum, maximum=maximum, unset=unset):
            return f"whole number, {minimum} to {maximum}" + ("" if unset is None else f", or {unset}")
        case Flag():
            return "true or false"
        case ListOf(item=item):
            return f"list of {_shape(item)}"
        case MapOf(value=value):
            return f"names to {_shape(value)}"
        case Record():
            return "object"
        case OneOf(tag=tag, cases=cases):
            return f"object, `{tag}` one of " + ", ".join(f"`{name}`" for name in cases)


def _default(record: Record, member: Field) -> str:
    if member.required:
        return "required"
    if member.read_only:
        return "read-only"
    default: Any = default_of(record, member)
    match default:
        case None:
            return ""
        case bool():
            return "`true`" if default else "`false`"
        case tuple():
            return f"`{list(default)}`" if default else ""
        case dict():
            return ""
        case _ if is_dataclass(default):
            return ""
        case _:
            return f"`{default}`"

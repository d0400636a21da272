"""Turns JSON into model values by the description of its fields, and back, collecting every problem."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from goldsmith.imagetemplate.shape import (
    ArmId,
    Choice,
    Flag,
    ListOf,
    MapOf,
    OneOf,
    Record,
    Shape,
    Text,
    Whole,
    default_of,
    is_left_out,
)
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonObject

# Stands for a value with a problem, which is then already in the list.
_BAD: Final = object()

_PLAIN_MEMBER = re.compile(r"[$A-Za-z_][\w-]*")
_SHOWN_CHARACTERS = 80


@dataclass(slots=True, kw_only=True)
class Findings:
    """What is wrong with a document: (path, message) pairs in the order of the description."""

    unknown_fields_are_problems: bool
    problems: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)


def sentence(path: str, message: str) -> str:
    """Path and message of a finding as one clause."""
    if message.startswith("unknown field"):
        return f"unknown field {path}{message.removeprefix('unknown field')}"
    return f"{path or 'the document'} {message}"


def read_record(record: Record, value: JsonObject, *, findings: Findings) -> dict[str, Any] | None:
    """The attributes that `value` gives the record's model, or None when there is a problem in it."""
    before = len(findings.problems)
    attributes = _attributes(record, value, path="", findings=findings)
    return attributes if len(findings.problems) == before else None


def write_record(record: Record, value: object) -> JsonObject:
    """The wire form of a model: scalars always, the rest only where it differs from its default."""
    document: JsonObject = {}
    for member in record.fields:
        if member.read_only:
            continue
        if member.spread:
            assert isinstance(member.shape, Record)
            document[member.name] = write_record(member.shape, value)
            continue
        part = getattr(value, member.attribute)
        if part is None or (
            isinstance(member.shape, Record | ListOf | MapOf) and part == default_of(record, member)
        ):
            continue
        document[member.name] = _write(member.shape, part)
    return document


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def join(path: str, member: str) -> str:
    if not member:
        return path
    if not _PLAIN_MEMBER.fullmatch(member):
        return f"{path}[{member!r}]"
    return f"{path}.{member}" if path else member


def _attributes(record: Record, value: object, *, path: str, findings: Findings) -> dict[str, Any]:
    if not isinstance(value, dict):
        findings.problems.append((path, f"must be an object, got {_shown(value)}"))
        return {}
    _refuse_unknown(value, [member.name for member in record.fields], path=path, findings=findings)
    attributes: dict[str, Any] = {}
    given: JsonObject = {}
    for member in record.fields:
        inner, part = join(path, member.name), value.get(member.name)
        if member.read_only:
            continue
        if is_left_out(member, part):
            if member.required:
                findings.problems.append((inner, "is required"))
            continue
        given[member.name] = part
        if member.spread:
            assert isinstance(member.shape, Record)
            attributes.update(_attributes(member.shape, part, path=inner, findings=findings))
        else:
            attributes[member.attribute] = _read(member.shape, part, path=inner, findings=findings)
    for rule in record.rules:
        findings.problems += [(join(path, name), message) for name, message in rule.check(given)]
    return attributes


def _refuse_unknown(value: JsonObject, known: list[str], *, path: str, findings: Findings) -> None:
    for name in value:
        if name not in known:
            close = nearest(name, known)
            message = "unknown field" + (f"; did you mean {close}?" if close else f"; known: {_list(known)}")
            if findings.unknown_fields_are_problems:
                findings.problems.append((join(path, name), message))
            else:
                findings.warnings.append((join(path, name), message))


def _read(shape: Shape, value: object, *, path: str, findings: Findings) -> Any:
    """The model value of `value`, or _BAD with the reasons added to the findings."""
    before = len(findings.problems)
    match shape:
        case Record():
            attributes = _attributes(shape, value, path=path, findings=findings)
            result = shape.model(**attributes) if len(findings.problems) == before else _BAD
        case OneOf():
            result = _read_one_of(shape, value, path=path, findings=findings)
        case ListOf():
            result = _read_list(shape, value, path=path, findings=findings)
        case MapOf():
            result = _read_map(shape, value, path=path, findings=findings)
        case _:
            message = _scalar_problem(shape, value)
            if message:
                findings.problems.append((path, message))
            result = shape.of(str(value)) if isinstance(shape, Choice) and not message else value
    return result if len(findings.problems) == before else _BAD


def _read_one_of(shape: OneOf, value: object, *, path: str, findings: Findings) -> Any:
    if not isinstance(value, dict):
        findings.problems.append((path, f"must be an object, got {_shown(value)}"))
        return _BAD
    tag = value.get(shape.tag)
    record = shape.cases.get(tag) if isinstance(tag, str) else None
    if record is None:
        problem = "is required" if tag is None else f"has the value {_shown(tag)}"
        close = nearest(tag, shape.cases) if isinstance(tag, str) else None
        question = f"; did you mean {close}?" if close else ""
        findings.problems.append(
            (join(path, shape.tag), f"{problem}, expected one of {_list(shape.cases)}{question}")
        )
        return _BAD
    rest = {name: part for name, part in value.items() if name != shape.tag}
    return _read(record, rest, path=path, findings=findings)


def _read_list(shape: ListOf, value: object, *, path: str, findings: Findings) -> Any:
    if not isinstance(value, list):
        findings.problems.append((path, f"must be a list, got {_shown(value)}"))
        return _BAD
    if not shape.minimum <= len(value) <= shape.maximum:
        findings.problems.append(
            (path, f"has {len(value)} items, expected {shape.minimum} to {shape.maximum}")
        )
        return _BAD
    items = tuple(
        _read(shape.item, item, path=f"{path}[{index}]", findings=findings)
        for index, item in enumerate(value)
    )
    findings.problems += _repeated(shape, value, path=path)
    return items


def _repeated(shape: ListOf, items: list[object], *, path: str) -> Iterator[tuple[str, str]]:
    if shape.unique_by is None:
        return
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        key = item.get(shape.unique_by) if isinstance(item, dict) else item
        if not isinstance(key, str) or not key:
            continue
        earlier = first.setdefault(shape.fold(key), index)
        if earlier != index:
            where = join(f"{path}[{index}]", shape.unique_by)
            yield where, f"{_shown(key)} is already taken by {path}[{earlier}]"


def _read_map(shape: MapOf, value: object, *, path: str, findings: Findings) -> Any:
    if not isinstance(value, dict):
        findings.problems.append((path, f"must be an object, got {_shown(value)}"))
        return _BAD
    if len(value) > shape.maximum:
        findings.problems.append((path, f"has {len(value)} entries, expected at most {shape.maximum}"))
        return _BAD
    result = {}
    for key, part in value.items():
        inner = join(path, key) if key else f"{path}['']"
        if message := _scalar_problem(shape.key, key):
            findings.problems.append((inner, f"has a bad name: {message}"))
        part = {} if part is None and isinstance(shape.value, Record) else part
        result[key] = _read(shape.value, part, path=inner, findings=findings)
    return result


def _scalar_problem(shape: Shape, value: object) -> str | None:
    match shape:
        case Text():
            return _text_problem(shape, value)
        case ArmId():
            return _arm_id_problem(shape, value)
        case Choice(of=choices):
            if value in [str(choice) for choice in choices]:
                return None
            close = nearest(value, choices) if isinstance(value, str) else None
            question = f"; did you mean {close}?" if close else ""
            return f"has the value {_shown(value)}, expected one of {_list(choices)}{question}"
        case Whole(minimum=minimum, maximum=maximum):
            if not isinstance(value, int) or isinstance(value, bool):
                return f"must be a whole number, got {_shown(value)}"
            if not minimum <= value <= maximum:
                return f"is {_shown(value)}, expected {minimum} to {maximum}"
            return None
        case Flag():
            return None if isinstance(value, bool) else f"must be true or false, got {_shown(value)}"
        case _:
            raise AssertionError(f"{shape} is not a scalar")


def _text_problem(shape: Text, value: object) -> str | None:
    if not isinstance(value, str):
        advice = "; put it in quotes" if isinstance(value, int | float) else ""
        return f"must be text, got {_shown(value)}{advice}"
    # No program argument, file or environment can carry NUL; a lone surrogate has no bytes at all.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return "must be text without NUL characters and lone surrogates"
    if not value and not shape.may_be_empty:
        return "must not be empty"
    if shape.pattern and not _compiled(shape.pattern)(value):
        return f"must be {shape.must_be}, got {_shown(value)}"
    return None


def _arm_id_problem(shape: ArmId, value: object) -> str | None:
    if message := _text_problem(Text(), value):
        return message
    expected = f"must be the id of a {' or '.join(shape.types)}, got {_shown(value)}"
    try:
        resource = parse_resource_id(str(value))
    except InvalidInputError:
        return expected
    if resource.type.lower() not in [type_.lower() for type_ in shape.types]:
        return expected
    is_version = resource.types[-1].lower() == "versions"
    if is_version and shape.version and not re.fullmatch(shape.version, resource.name, re.ASCII):
        return f"must end in {shape.version_must_be}, got {_shown(resource.name)}"
    return None


def _compiled(pattern: str) -> Callable[[str], re.Match[str] | None]:
    # JSON Schema's `$` matches at the very end only, Python's also before a last newline.
    return re.compile(re.sub(r"\$$", r"\\Z", pattern)).search


def _write(shape: Shape, value: Any) -> Any:
    match shape:
        case Record():
            return write_record(shape, value)
        case OneOf(tag=tag, cases=cases):
            name, record = next((n, r) for n, r in cases.items() if r.model is type(value))
            return {tag: name, **write_record(record, value)}
        case ListOf(item=item):
            return [_write(item, part) for part in value]
        case MapOf(value=inner):
            return {key: _write(inner, part) for key, part in value.items()}
        case Choice():
            return str(value)
        case _:
            return value


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            short = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
            return repr(short)
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def _list(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)

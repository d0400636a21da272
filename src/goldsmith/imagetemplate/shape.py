"""The words a wire format is described in: shapes, fields and the rules between fields."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass
from dataclasses import fields as dataclass_fields
from enum import StrEnum
from typing import Any, TypeAlias

from goldsmith.kernel.json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text. Where a field is optional, "" means the same as leaving it out: Azure's clients send that."""

    pattern: str | None = None
    # Completes "must be …" when the pattern does not match.
    must_be: str = "text"
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmId:
    """The id of an ARM resource of one of `types`; `version` is what a version's name must match."""

    types: tuple[str, ...]
    version: str | None = None
    version_must_be: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    of: type[StrEnum]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number; the value `unset`, when there is one, means the same as leaving the field out."""

    minimum: int
    maximum: int = 2**31 - 1
    unset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """`unique_by` names the item's field that no two items may share ("" for the item itself)."""

    item: "Shape"
    minimum: int = 0
    maximum: int = 1000
    unique_by: str | None = None
    # Two values that fold to the same are the same.
    fold: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    value: "Shape"
    maximum: int = 50
    key: "Text | ArmId" = Text()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object with known fields, and the dataclass it becomes."""

    model: type[Any]
    fields: tuple["Field", ...]
    rules: tuple["Rule", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    """An object whose text field `tag` says which of `cases` it is."""

    tag: str
    cases: Mapping[str, Record]


Shape: TypeAlias = Text | ArmId | Choice | Whole | Flag | ListOf | MapOf | Record | OneOf


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a record: its name on the wire, what it holds and what it means.

    `read_only`: the service writes it; on input it is accepted and dropped.
    `spread`: it holds a record whose members are attributes of the model around it.
    """

    name: str
    shape: Shape
    meaning: str
    _: KW_ONLY
    required: bool = False
    read_only: bool = False
    spread: bool = False

    @property
    def attribute(self) -> str:
        """The same name in the model: `osDiskSizeGB` → `os_disk_size_gb`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.name).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What must hold between the fields of one record.

    `check` gets the record's members as given (without those that count as left out) and yields
    (member, message) for each breach; it must bear members of any type. `schema` says the same in JSON
    Schema where that can be said.
    """

    sentence: str
    check: Callable[[JsonObject], Iterator[tuple[str, str]]]
    schema: Mapping[str, Any] | None = None


def exactly_one(first: str, second: str) -> Rule:
    def check(given: JsonObject) -> Iterator[tuple[str, str]]:
        if first in given and second in given:
            yield second, f"cannot be given together with {first}; keep one of them"
        if first not in given and second not in given:
            yield "", f"has neither {first} nor {second}; give one of them"

    return Rule(
        sentence=f"Exactly one of `{first}` and `{second}` is given.",
        check=check,
        schema={"oneOf": [{"required": [first]}, {"required": [second]}]},
    )


def not_both(first: str, second: str) -> Rule:
    def check(given: JsonObject) -> Iterator[tuple[str, str]]:
        if first in given and second in given:
            yield second, f"cannot be given together with {first}; keep one of them"

    return Rule(
        sentence=f"`{second}` excludes `{first}`.",
        check=check,
        schema={"not": {"required": [first, second]}},
    )


def needs(member: str, other: str) -> Rule:
    def check(given: JsonObject) -> Iterator[tuple[str, str]]:
        if member in given and other not in given:
            yield member, f"needs {other} to be given too"

    return Rule(
        sentence=f"`{member}` needs `{other}`.", check=check, schema={"dependentRequired": {member: [other]}}
    )


def needs_true(member: str, other: str) -> Rule:
    def check(given: JsonObject) -> Iterator[tuple[str, str]]:
        if given.get(member) is True and given.get(other) is not True:
            yield member, f"needs {other}: true"

    return Rule(
        sentence=f"`{member}: true` needs `{other}: true`.",
        check=check,
        schema={
            "if": {"required": [member], "properties": {member: {"const": True}}},
            "then": {"required": [other], "properties": {other: {"const": True}}},
        },
    )


def is_left_out(field: Field, value: object) -> bool:
    """Whether `value` counts as if the field had not been given."""
    match field.shape:
        case _ if value is None:
            return True
        case Text(may_be_empty=False) | ArmId():
            return value == "" and not field.required
        case Whole(unset=int() as unset):
            return value == unset and not isinstance(value, bool)
        case ListOf(minimum=minimum):
            return value == [] and minimum > 0 and not field.required
        case _:
            return False


def default_of(record: Record, field: Field) -> Any:
    """The model's value for a field left out; None where the model has none to give."""
    for member in dataclass_fields(record.model):
        if member.name == field.attribute:
            if member.default is not MISSING:
                return member.default
            if member.default_factory is not MISSING:
                return member.default_factory()
    return None

"""The packaged definitions, initiatives, case tables and alias table, read from this package's own files.

A definition's key is its file's name without the ending: `gallery-images-only`. Its ARM name is
`guid_of(key)`, so that it is the same in every installation.
"""

import json
import uuid
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from goldsmith.kernel.errors import NotFoundError
from goldsmith.kernel.json import JsonObject, JsonValue

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:goldsmith:policy")
_CASES = ".cases.json"


def guid_of(key: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, key))


@cache
def definitions() -> Mapping[str, JsonObject]:
    """Policy definitions by key, as `az policy definition show` prints them with a `properties` object."""
    return MappingProxyType(_folder("definitions"))


@cache
def initiatives() -> Mapping[str, JsonObject]:
    """Policy set definitions by key."""
    return MappingProxyType(_folder("initiatives"))


@cache
def case_tables() -> Mapping[str, JsonObject]:
    """For each definition's key the cases that come with it, in the form that `testing.table` reads."""
    return MappingProxyType(_folder("definitions", cases=True))


@cache
def alias_listing() -> JsonValue:
    """Our own alias table, in the shape of `az provider list --expand resourceTypes/aliases`."""
    listing: JsonValue = json.loads(files(__package__).joinpath("aliases.json").read_text("utf-8"))
    return listing


def find(name: str) -> JsonObject:
    """The packaged definition with that key, ARM name or ARM id, in any case; raises NotFoundError."""
    wanted = name.lower().rstrip("/").rpartition("/")[2]
    for key, definition in definitions().items():
        if wanted in (key, definition["name"]):
            return definition
    raise NotFoundError(
        f"there is no packaged policy definition '{name}'",
        hint=f"expected one of {', '.join(definitions())}, or its id",
    )


def _folder(name: str, *, cases: bool = False) -> dict[str, JsonObject]:
    found: dict[str, JsonObject] = {}
    entries = sorted(files(__package__).joinpath(name).iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        ending = _CASES if cases else ".json"
        if entry.name.endswith(ending) and entry.name.endswith(_CASES) == cases:
            found[entry.name.removesuffix(ending)] = json.loads(entry.read_text("utf-8"))
    return found

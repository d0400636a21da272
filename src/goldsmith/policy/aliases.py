"""Aliases: (resource type, alias name) -> path in the resource.

The same alias has other paths for other types (`Microsoft.Compute/imagePublisher` belongs to VMs and scale
sets alike), so nothing here is keyed by the alias alone. Specification: the definition structure, "alias".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue


class Modifiable(StrEnum):
    """Whether modify policies may write through the alias; UNKNOWN when the table does not say."""

    YES = "Modifiable"
    NO = "None"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasPath:
    """`path` is the default path as written (`properties.a[*].b`), `versions` has others by API version.

    `token_type` is what the table says of the value (`String`, `Array`, ...), `derived` that nobody listed
    the alias and the path was guessed from its name.
    """

    name: str
    path: str
    versions: Mapping[str, str] = field(default_factory=dict)
    modifiable: Modifiable = Modifiable.UNKNOWN
    token_type: str | None = None
    derived: bool = False

    def path_in(self, api_version: str | None) -> str:
        """The path in that API version; the default path where the table does not name the version."""
        return self.versions.get(api_version.lower(), self.path) if api_version else self.path


# A type's aliases by lower-case name; plain text is a default path and nothing else is known.
TypeAliases = Mapping[str, AliasPath | str]


class AliasTable:
    """Aliases by resource type. Immutable; a type's entries are built when that type is first asked for."""

    def __init__(self, types: Mapping[str, Callable[[], TypeAliases]]) -> None:
        """`types` maps lower-case resource types to a function that builds their entries."""
        self._pending = dict(types)
        self._types: dict[str, TypeAliases] = {}
        self._owners: dict[str, tuple[str, ...]] | None = None

    def resolve(self, resource_type: str, alias: str) -> AliasPath | None:
        """The alias as that type has it, or None when the type has none of that name.

        An alias whose name says that it is of this type is taken from another type where a table lists it
        there (a child's alias with its parent), and is guessed as `properties.<rest of the name>` and marked
        as derived where no table has it.
        """
        lowered_type, lowered = resource_type.lower(), alias.lower()
        found = self._of(lowered_type).get(lowered)
        if isinstance(found, AliasPath):
            return found
        if found is not None:
            return AliasPath(name=alias, path=found)
        if lowered_type and lowered.startswith(lowered_type + "/"):
            rest = alias[len(lowered_type) + 1 :]
            # `type/child/rest` belongs to a child type, not to this one.
            if "/" not in rest:
                owners = self.types_with(alias)
                if owners:
                    return self.entries(owners[0])[lowered]
                return AliasPath(name=alias, path=f"properties.{rest}", derived=True)
        return None

    def knows(self, alias: str) -> bool:
        """Whether any type has this alias."""
        return bool(self.types_with(alias))

    def types_with(self, alias: str) -> tuple[str, ...]:
        """The types, in lower case, that have this alias."""
        if self._owners is None:
            owners: dict[str, list[str]] = {}
            for resource_type in (*self._types, *self._pending):
                for name in self._of(resource_type):
                    owners.setdefault(name, []).append(resource_type)
            self._owners = {name: tuple(sorted(set(types))) for name, types in owners.items()}
        return self._owners.get(alias.lower(), ())

    def types(self) -> frozenset[str]:
        """Every type with entries, in lower case."""
        return frozenset(self._types) | frozenset(self._pending)

    def entries(self, resource_type: str) -> Mapping[str, AliasPath]:
        """The aliases of one type, by lower-case name."""
        return {
            name: entry if isinstance(entry, AliasPath) else AliasPath(name=name, path=entry)
            for name, entry in self._of(resource_type.lower()).items()
        }

    def _of(self, resource_type: str) -> TypeAliases:
        found = self._types.get(resource_type)
        if found is None:
            build = self._pending.get(resource_type)
            if build is None:
                return {}
            found = self._types[resource_type] = build()
            del self._pending[resource_type]
        return found


def from_providers(listing: JsonValue) -> AliasTable:
    """What `az provider list --expand resourceTypes/aliases` prints, or the service's `{"value": [...]}`.

    Raise InvalidInputError when it is neither. An alias without any path is left out.
    """
    if isinstance(listing, dict):
        listing = listing.get("value")
    if not isinstance(listing, list):
        raise InvalidInputError(
            "the alias listing is not an array of providers",
            hint="pass what `az provider list --expand resourceTypes/aliases` prints",
        )
    types: dict[str, list[JsonValue]] = {}
    for provider in listing:
        if not isinstance(provider, dict):
            continue
        members = {key.lower(): member for key, member in provider.items()}
        namespace, resource_types = members.get("namespace"), members.get("resourcetypes")
        for resource_type in resource_types if isinstance(resource_types, list) else []:
            if isinstance(resource_type, dict):
                name = resource_type.get("resourceType")
                aliases = resource_type.get("aliases")
                if isinstance(aliases, list) and aliases:
                    types.setdefault(f"{namespace}/{name}".lower(), []).extend(aliases)
    return AliasTable({name: _provider_builder(aliases) for name, aliases in types.items()})


def _provider_builder(aliases: list[JsonValue]) -> Callable[[], TypeAliases]:
    def build() -> TypeAliases:
        entries = (_provider_entry(alias) for alias in aliases if isinstance(alias, dict))
        return {entry.name.lower(): entry for entry in entries if entry is not None}

    return build


def _provider_entry(alias: Mapping[str, JsonValue]) -> AliasPath | None:
    name, path = alias.get("name"), alias.get("defaultPath")
    versions: dict[str, str] = {}
    first: str | None = None
    listed = alias.get("paths")
    for other in listed if isinstance(listed, list) else []:
        if isinstance(other, dict) and isinstance(other.get("path"), str):
            first = first or str(other["path"])
            known_in = other.get("apiVersions")
            for version in known_in if isinstance(known_in, list) else []:
                if isinstance(version, str):
                    versions[version.lower()] = str(other["path"])
    if not path:
        # Older listings name no default: scans judge by the newest API version.
        path = versions[max(versions)] if versions else first
    if not isinstance(name, str) or not isinstance(path, str):
        return None
    metadata = alias.get("defaultMetadata")
    attributes = metadata.get("attributes") if isinstance(metadata, dict) else None
    token_type = metadata.get("type") if isinstance(metadata, dict) else None
    return AliasPath(
        name=name,
        path=path,
        versions=versions,
        modifiable=_modifiable(attributes),
        token_type=token_type if isinstance(token_type, str) else None,
    )


def _modifiable(attributes: JsonValue) -> Modifiable:
    if not isinstance(attributes, str):
        return Modifiable.UNKNOWN
    words = {word.strip().lower() for word in attributes.split(",")}
    return Modifiable.YES if "modifiable" in words else Modifiable.NO


def from_shared(table: JsonValue) -> AliasTable:
    """A table by namespace and type, with paths only.

    `{"providers": {namespace: {type: {"aliases": {alias: path}}}}, "unscoped": {namespace: {alias: path}}}`.
    An alias listed under a namespace alone belongs to the type before its last slash. Raise
    InvalidInputError for any other shape.
    """
    if not isinstance(table, dict) or not isinstance(table.get("providers"), dict):
        raise InvalidInputError(
            "the alias table has no 'providers' object", hint="pass a table of namespaces, types and aliases"
        )
    pending: dict[str, Callable[[], TypeAliases]] = {}
    providers = table["providers"]
    assert isinstance(providers, dict)
    for namespace, resource_types in providers.items():
        if not isinstance(resource_types, dict):
            continue
        for name, entry in resource_types.items():
            aliases = entry.get("aliases") if isinstance(entry, dict) else None
            if isinstance(aliases, dict) and aliases:
                pending[f"{namespace}/{name}".lower()] = _shared_builder(aliases)
    unscoped = table.get("unscoped")
    rows = (
        (alias.rpartition("/")[0], alias, path)
        for aliases in (unscoped.values() if isinstance(unscoped, dict) else ())
        if isinstance(aliases, dict)
        for alias, path in aliases.items()
        if isinstance(path, str)
    )
    return merged(AliasTable(pending), from_rows(rows))


def _shared_builder(aliases: Mapping[str, JsonValue]) -> Callable[[], TypeAliases]:
    return lambda: {name.lower(): path for name, path in aliases.items() if isinstance(path, str)}


def from_rows(rows: Iterable[tuple[str, str, str]]) -> AliasTable:
    """(resource type, alias, default path) rows, as tables of tab-separated values have them."""
    types: dict[str, dict[str, AliasPath | str]] = {}
    for resource_type, alias, path in rows:
        types.setdefault(resource_type.lower(), {})[alias.lower()] = path
    return AliasTable({name: _constant_builder(entries) for name, entries in types.items()})


def from_paths(types: Mapping[str, Iterable[AliasPath]]) -> AliasTable:
    """Aliases that are already known in full, by resource type."""
    return AliasTable(
        {
            name.lower(): _constant_builder({entry.name.lower(): entry for entry in entries})
            for name, entries in types.items()
        }
    )


def _constant_builder(entries: TypeAliases) -> Callable[[], TypeAliases]:
    return lambda: entries


def merged(*tables: AliasTable) -> AliasTable:
    """One table of all; the earlier one wins where two have the same (type, alias)."""
    types = frozenset[str]().union(*(table.types() for table in tables))
    return AliasTable({name: _merged_builder(name, tables) for name in types})


def _merged_builder(resource_type: str, tables: tuple[AliasTable, ...]) -> Callable[[], TypeAliases]:
    def build() -> TypeAliases:
        entries: dict[str, AliasPath | str] = {}
        for table in reversed(tables):
            entries.update(table._of(resource_type))
        return entries

    return build

"""The alias table as a compact description of resource types, and its expansion to what Azure lists.

`aliases.txt` beside this module is the description and explains its signs; `aliases.json` is what `expand`
makes of it, in the shape of `az provider list --expand resourceTypes/aliases`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

_TOKEN = re.compile(
    r"(?P<close>\})|(?P<share>\*)?(?P<sign>[/^]?)(?P<name>[A-Za-z][\w./]*(?:\[\*\][\w.]*)*)"
    r"(?P<array>\[\])?(?P<kind>[?#@]?)(?P<modifiable>!?)(?:=(?P<path>\S+))?(?P<open>\{)?"
)
_PARAGRAPH = re.compile(r"^(?=type |share )", re.MULTILINE)
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_KINDS = {"?": "Boolean", "#": "Number", "@": "Object", "": "String"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    sign: str
    name: str
    array: bool
    kind: str
    modifiable: bool
    path: str | None
    members: "list[_Member] | None"


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    versions: list[str]
    members: list[_Member]


def expand(description: str) -> list[JsonObject]:
    """The providers that `description` lists; raises InvalidInputError for a sign that it does not know."""
    providers: dict[str, list[JsonObject]] = {}
    for described in _read(description):
        namespace, _, rest = described.name.partition("/")
        aliases = sorted(_aliases(described), key=lambda alias: str(alias["name"]).lower())
        providers.setdefault(namespace, []).append(
            {"resourceType": rest, "apiVersions": described.versions, "aliases": aliases}
        )
    return [
        {"namespace": namespace, "resourceTypes": types} for namespace, types in sorted(providers.items())
    ]


def _aliases(described: _Type) -> Iterator[JsonObject]:
    for member in described.members:
        if member.path is not None:
            whole = member.name.startswith("Microsoft.")
            name = member.name if whole else f"{described.name}/{member.name}"
            yield _alias(name, member.path, "Any", modifiable=False)
        else:
            path = "" if member.sign == "/" else "properties."
            yield from _below(member, f"{described.name}/", path)


def _below(member: _Member, name: str, path: str) -> Iterator[JsonObject]:
    name += member.name
    path += ("properties." if member.sign == "^" else "") + member.name
    kind = "Object" if member.members is not None else _KINDS[member.kind]
    yield _alias(name, path, "Array" if member.array else kind, modifiable=member.modifiable)
    if member.array:
        yield _alias(f"{name}[*]", f"{path}[*]", kind, modifiable=False)
    each = "[*]" if member.array else ""
    for child in member.members or ():
        yield from _below(child, f"{name}{each}.", f"{path}{each}.")


def _alias(name: str, path: str, kind: str, *, modifiable: bool) -> JsonObject:
    metadata = {"type": kind} | ({"attributes": "Modifiable"} if modifiable else {})
    return {"name": name, "defaultPath": path, "defaultMetadata": metadata, "paths": []}


def _read(description: str) -> list[_Type]:
    shares: dict[str, list[_Member]] = {}
    types: list[_Type] = []
    lines = [line for line in description.splitlines() if not line.lstrip().startswith("#")]
    for paragraph in _PARAGRAPH.split("\n".join(lines)):
        keyword, *words = paragraph.split() or [""]
        match keyword:
            case "share":
                shares[words[0]], _ = _members(words, 2, shares)
            case "type":
                versions = [word for word in words if _VERSION.fullmatch(word)]
                members, _ = _members(words, 1 + len(versions), shares)
                types.append(_Type(words[0], versions, members))
            case "":
                continue
            case _:
                raise InvalidInputError(f"the alias description has '{keyword}', expected 'type' or 'share'")
    return types


def _members(
    words: Sequence[str], position: int, shares: Mapping[str, list[_Member]]
) -> tuple[list[_Member], int]:
    members: list[_Member] = []
    while position < len(words):
        match = _TOKEN.fullmatch(words[position])
        if match is None:
            raise InvalidInputError(f"the alias description has the unknown word '{words[position]}'")
        position += 1
        if match["close"]:
            break
        if match["share"]:
            members.extend(shares[match["name"]])
            continue
        below: list[_Member] | None = None
        if match["open"]:
            below, position = _members(words, position, shares)
        members.append(
            _Member(
                sign=match["sign"],
                name=match["name"],
                array=bool(match["array"]),
                kind=match["kind"],
                modifiable=bool(match["modifiable"]),
                path=match["path"],
                members=below,
            )
        )
    return members, position

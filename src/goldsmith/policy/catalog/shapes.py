"""The forms that repositories give definitions, brought into ARM's own: what its parsers take."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

DEFINITIONS = "/providers/Microsoft.Authorization/policyDefinitions/"
INITIATIVES = "/providers/Microsoft.Authorization/policySetDefinitions/"
_ASSIGNMENTS = "/providers/Microsoft.Authorization/policyAssignments/"
_ENVELOPE = ("id", "name", "type", "location", "identity", "systemData")
# What exports and repositories write beside the members that ARM has.
_FOREIGN = (
    "$schema",
    "etag",
    "resourceGroup",
    "resourceId",
    "resourceName",
    "resourceType",
    "subscriptionId",
    "importPolicyDefinitionGroups",
    "createdOn",
    "lastSyncedToArgOn",
)
_GENERIC_STEMS = ("azurepolicy", "azurepolicyset", "policy", "policyset", "definition", "index")
_TREE_DEPTH_MAX = 32


def arm_body(body: JsonObject, *, source: str) -> JsonObject:
    """Envelope and `properties`, without what only exports have; a missing name is taken from the file."""
    wrapped = body.get("properties")
    if isinstance(wrapped, dict):
        properties = {key: value for key, value in wrapped.items() if key not in _FOREIGN}
    else:
        properties = {key: value for key, value in body.items() if key not in (*_ENVELOPE, *_FOREIGN)}
    envelope = {key: body[key] for key in _ENVELOPE if body.get(key) is not None}
    if "id" not in envelope and "name" not in envelope:
        envelope["name"] = name_of(source)
    return {**envelope, "properties": properties}


def name_of(source: str) -> str:
    """The file's own name; that of its folder where the file has the name all such files have."""
    path = PurePosixPath(source.replace("\\", "/"))
    stem = path.name.split(".")[0]
    return path.parent.name if stem.lower() in _GENERIC_STEMS and path.parent.name else stem


def initiative_body(body: JsonObject, *, source: str, ids: Mapping[str, str]) -> JsonObject:
    """As `arm_body`; references by `policyDefinitionName` become references by id.

    `ids` maps names of definitions in the collection, in lower case, to their ids.
    """
    made = arm_body(body, source=source)
    listed = made["properties"].get("policyDefinitions")
    if isinstance(listed, list):
        made["properties"]["policyDefinitions"] = [_reference(one, ids) for one in listed]
    return made


def _reference(one: Any, ids: Mapping[str, str]) -> Any:
    if not isinstance(one, dict) or "policyDefinitionName" not in one:
        return one
    name = str(one["policyDefinitionName"])
    rest = {key: value for key, value in one.items() if key != "policyDefinitionName"}
    return {**rest, "policyDefinitionId": ids.get(name.lower(), DEFINITIONS + name)}


def assignment_bodies(
    tree: JsonObject, *, definitions: Mapping[str, str], initiatives: Mapping[str, str]
) -> Iterator[JsonObject]:
    """The assignments of an EPAC tree: one for each scope and definition entry of each branch that has
    scopes.

    Along a branch names and texts are joined, parameters and metadata merged, everything else replaced.
    Raises InvalidInputError for a tree that nests too deep or an entry that names no definition.
    """
    stack: list[tuple[JsonObject, JsonObject, int]] = [(tree, {}, 0)]
    while stack:
        node, above, depth = stack.pop()
        if depth > _TREE_DEPTH_MAX:
            raise InvalidInputError(
                f"the tree of assignments nests deeper than {_TREE_DEPTH_MAX} levels", hint="flatten it"
            )
        branch = _joined(above, node)
        children = node.get("children")
        if isinstance(children, list) and children:
            stack.extend(
                (child, branch, depth + 1) for child in reversed(children) if isinstance(child, dict)
            )
        elif branch.get("scope"):
            yield from _of_branch(branch, definitions, initiatives)


def _joined(above: JsonObject, node: JsonObject) -> JsonObject:
    branch = {**above, **{key: value for key, value in node.items() if key != "children"}}
    branch["nodeName"] = f"{above.get('nodeName', '')}{node.get('nodeName', '')}"
    branch["assignment"] = _named(above.get("assignment"), node.get("assignment"))
    for key in ("parameters", "metadata", "scope", "notScopes", "notScope"):
        branch[key] = {**_object(above.get(key)), **_object(node.get(key))}
    return branch


def _named(above: Any, node: Any) -> JsonObject:
    outer, inner = _object(above), _object(node)
    return {
        key: f"{outer.get(key) or ''}{inner.get(key) or ''}" for key in ("name", "displayName", "description")
    }


def _of_branch(
    branch: JsonObject, definitions: Mapping[str, str], initiatives: Mapping[str, str]
) -> Iterator[JsonObject]:
    entries = branch.get("definitionEntryList") or [branch.get("definitionEntry")]
    excluded = [
        one for key in ("notScopes", "notScope") for each in branch[key].values() for one in each or ()
    ]
    for entry in entries:
        if not isinstance(entry, dict):
            raise InvalidInputError(
                f"{branch['nodeName']} names no definition",
                hint="add definitionEntry with policyName or policySetName",
            )
        named = _named(branch["assignment"], entry.get("assignment"))
        for scope in dict.fromkeys(one for each in branch["scope"].values() for one in each or ()):
            values = {key: {"value": value} for key, value in branch["parameters"].items()}
            properties = {
                "displayName": named["displayName"] or None,
                "description": named["description"] or None,
                "policyDefinitionId": _target(entry, branch, definitions, initiatives),
                "definitionVersion": entry.get("definitionVersion") or branch.get("definitionVersion"),
                "notScopes": [
                    one for one in excluded if str(one).lower().startswith(str(scope).lower() + "/")
                ],
                "parameters": values,
                "metadata": branch["metadata"] or None,
                "enforcementMode": branch.get("enforcementMode"),
                "nonComplianceMessages": _messages(branch, entry),
                "overrides": branch.get("overrides"),
                "resourceSelectors": branch.get("resourceSelectors"),
            }
            id_ = f"{str(scope).rstrip('/')}{_ASSIGNMENTS}{named['name']}"
            yield {
                "id": id_,
                "properties": {key: value for key, value in properties.items() if value is not None},
            }


def _target(
    entry: JsonObject, branch: JsonObject, definitions: Mapping[str, str], initiatives: Mapping[str, str]
) -> str:
    for key, known, prefix in (
        ("policyName", definitions, DEFINITIONS),
        ("policySetName", initiatives, INITIATIVES),
    ):
        name = entry.get(key)
        if isinstance(name, str) and name:
            return known.get(name.lower(), prefix + name)
    for key in ("policyId", "policySetId", "initiativeId"):
        if isinstance(entry.get(key), str) and entry[key]:
            return str(entry[key])
    raise InvalidInputError(
        f"{branch['nodeName']} names no definition",
        hint="give policyName, policyId, policySetName or policySetId",
    )


def _messages(branch: JsonObject, entry: JsonObject) -> Any:
    return entry.get("nonComplianceMessages") or branch.get("nonComplianceMessages")


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}

"""Management groups: which of them stand above a subscription.

Read from resources of Microsoft.Management as its provider shows them, and from the ancestors that Resource
Graph exports with a subscription.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.paths import member_of
from goldsmith.policy.scope import MANAGEMENT_GROUP_TYPE, SUBSCRIPTION_TYPE

GROUP = MANAGEMENT_GROUP_TYPE.lower()
MEMBERSHIP = f"{GROUP}/subscriptions"
SUBSCRIPTION = SUBSCRIPTION_TYPE.lower()
TYPES = frozenset({GROUP, MEMBERSHIP, SUBSCRIPTION})
_PREFIX = "/providers/microsoft.management/managementgroups/"


class Hierarchy:
    """`parents` leads from management group to management group, `homes` from subscription to its group."""

    def __init__(
        self, parents: Mapping[str, str] | None = None, homes: Mapping[str, str] | None = None
    ) -> None:
        self._parents = dict(parents or {})
        self._homes = dict(homes or {})
        self._chains: dict[str, tuple[str, ...]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hierarchy) and (self._parents, self._homes) == (other._parents, other._homes)

    __hash__ = None  # type: ignore[assignment]  # compared by value, and never a key

    def above(self, id_: str) -> tuple[str, ...]:
        """Ids in lower case of the management groups above what has this id, nearest first."""
        key = _root_of(id_)
        known = self._chains.get(key)
        if known is None:
            known = self._chains[key] = tuple(self._walk(key))
        return known

    def _walk(self, key: str) -> Iterable[str]:
        group = self._homes.get(key) if key.startswith("/subscriptions/") else self._parents.get(key)
        seen: list[str] = []
        # A circle of groups is nothing that the service would have; it must not keep us here.
        while group is not None and group not in seen:
            seen.append(group)
            group = self._parents.get(group)
        return seen


def hierarchy_of(documents: Iterable[JsonObject]) -> Hierarchy:
    """From documents of the types in TYPES, in any order."""
    parents: dict[str, str] = {}
    homes: dict[str, str] = {}
    for document in documents:
        id_ = str(document.get("id", "")).rstrip("/").lower()
        match str(document.get("type", "")).lower():
            case "microsoft.management/managementgroups":
                parent = _member(document, "properties", "details", "parent", "id")
                if isinstance(parent, str):
                    parents[id_] = parent.rstrip("/").lower()
            case "microsoft.management/managementgroups/subscriptions":
                group, _, subscription = id_.rpartition("/subscriptions/")
                homes[f"/subscriptions/{subscription}"] = group
            case "microsoft.resources/subscriptions":
                _read_chain(id_, document, parents, homes)
    return Hierarchy(parents, homes)


def _read_chain(id_: str, document: JsonObject, parents: dict[str, str], homes: dict[str, str]) -> None:
    chain = _member(document, "properties", "managementGroupAncestorsChain")
    names = [member_of(each, "name") for each in chain] if isinstance(chain, list) else []
    groups = [_PREFIX + name.lower() for name in names if isinstance(name, str)]
    if groups:
        homes.setdefault(id_, groups[0])
        for below, above in pairwise(groups):
            parents.setdefault(below, above)


def _member(value: object, *path: str) -> object:
    for segment in path:
        value = member_of(value, segment) if isinstance(value, dict) else None
    return value


def _root_of(id_: str) -> str:
    key = id_.lower()
    if key.startswith("/subscriptions/"):
        return "/".join(key.split("/", 3)[:3])
    if key.startswith(_PREFIX):
        return "/".join(key.split("/", 5)[:5])
    return ""

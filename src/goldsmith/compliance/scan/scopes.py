"""Resource groups and subscriptions: what `resourceGroup()` and `subscription()` are on a row."""

from functools import lru_cache

from goldsmith.compliance.scan.columns import Codes, Column
from goldsmith.compliance.scan.dictionary import key_of
from goldsmith.compliance.scan.projection import Field
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.paths import project
from goldsmith.policy.scope import GROUP_TYPE, SUBSCRIPTION_TYPE
from goldsmith.policy.tree import Source

# The second is how templates and Resource Graph name resource groups.
_TYPES = frozenset(
    (GROUP_TYPE.lower(), "microsoft.resources/resourcegroups", SUBSCRIPTION_TYPE.lower()),
)


class Scopes:
    """The documents of resource groups and subscriptions; of one never put there is what its id says."""

    def __init__(self) -> None:
        self.documents: dict[str, JsonObject] = {}

    def put(self, id_: str, resource_type: str, document: JsonObject) -> bool:
        """Whether it is one of them, and another one than before."""
        if resource_type.lower() not in _TYPES:
            return False
        key = id_.rstrip("/").lower()
        # Python takes False and 0 for equal, rules do not.
        if key_of(self.documents.get(key)) == key_of(document):
            return False
        self.documents[key] = document
        return True

    def delete(self, id_: str) -> bool:
        """Whether it was one of them."""
        return self.documents.pop(id_.rstrip("/").lower(), None) is not None

    def group(self, id_: str) -> JsonObject:
        """The resource group in which the resource is; without members when it is in none."""
        key = group_of(id_)
        if key and key not in self.documents:
            return {"id": key, "name": key.rsplit("/", 1)[1], "type": GROUP_TYPE}
        return self.documents.get(key, {})

    def subscription(self, id_: str) -> JsonObject:
        """The subscription in which the resource is; without members when it is in none."""
        key = subscription_of(id_)
        if key and key not in self.documents:
            return {"id": key, "subscriptionId": key.rsplit("/", 1)[1], "type": SUBSCRIPTION_TYPE}
        return self.documents.get(key, {})


class ScopeColumn:
    """An input that is the same on all resources of a container: its codes are those of the containers."""

    def __init__(self, containers: Column, scopes: Scopes, source: Source, field: Field) -> None:
        self._containers, self._scopes, self._source, self._field = containers, scopes, source, field

    @property
    def codes(self) -> Codes:
        return self._containers.codes

    def __len__(self) -> int:
        return len(self._containers)

    def values(self, code: int) -> tuple[JsonValue, ...]:
        key = str(self._containers.dictionary.value(code))
        scopes = self._scopes
        document = scopes.group(key) if self._source is Source.RESOURCE_GROUP else scopes.subscription(key)
        return (project(document, *self._field),)


def group_of(id_: str) -> str:
    """The id, in lower case, of the resource group that a resource is in or that it is; "" outside of any."""
    parts = id_.lower().split("/", 5)
    if len(parts) < 5 or parts[1] != "subscriptions" or parts[3] != "resourcegroups":
        return ""
    return "/".join(parts[:5])


def container_of(id_: str) -> str:
    """The resource group, else the subscription, else ""."""
    head, _, _ = id_.partition("/providers/")
    # Fleets have few resource groups; a group that is itself named "providers" is read the long way.
    return _container(head if head.count("/") == 4 else id_)


@lru_cache(maxsize=1 << 16)
def _container(id_: str) -> str:
    return group_of(id_) or subscription_of(id_)


def subscription_of(id_: str) -> str:
    """The same for its subscription."""
    parts = id_.lower().split("/", 3)
    if len(parts) < 3 or parts[1] != "subscriptions":
        return ""
    return "/".join(parts[:3])

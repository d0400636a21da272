"""Related resources out of the store, for one judged resource and for many."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from goldsmith.compliance.documents import StoredDocuments
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.related import RelatedQuery, is_related, plain_type
from goldsmith.policy.scope import Place, place_of

_CONTAINERS_KEPT = 64


class StoredRelated:
    """`RelatedResources` over a store as it was when it was first asked for something: one for each step.

    `exists` says whether there are resources of a type (in lower case) at all: most rules look for some that
    are nowhere.
    """

    def __init__(self, documents: StoredDocuments, *, exists: Callable[[str], bool]) -> None:
        self._documents = documents
        self._exists = exists
        self._near: dict[tuple[str, str], list[JsonObject]] = {}

    def find(self, query: RelatedQuery) -> Sequence[JsonObject]:
        """Reads what stands on the resource and directly in its group, and more only where it must."""
        type_ = plain_type(query.type)
        if not type_ or not self._exists(type_.lower()):
            return []
        if query.elsewhere or (query.within != query.of and "/" in type_.partition("/")[2]):
            found = self._under(type_, query.within)
        elif query.within == query.of:
            found = self._under(type_, query.of)
        elif _is_group(query.within):
            found = [*self._under(type_, query.of), *self._inside(type_, query.within)]
            found.sort(key=lambda document: str(document["id"]).lower())
        else:
            found = self._under(type_, query.within)
        return [document for document in found if is_related(place_of(str(document["id"])), query)]

    def _under(self, type_: str, scope: str) -> list[JsonObject]:
        key = (type_.lower(), scope + "/")
        if key not in self._near:
            self._near[key] = list(self._documents.under(type_, scope))
        return self._near[key]

    def _inside(self, type_: str, parent: str) -> list[JsonObject]:
        key = (type_.lower(), parent)
        if key not in self._near:
            self._near[key] = list(self._documents.inside(type_, parent))
        return self._near[key]


class RelatedByContainer:
    """The same for many judged resources: whole containers are read, each once when they come in order."""

    def __init__(self, documents: StoredDocuments) -> None:
        self._documents = documents
        self._containers: OrderedDict[tuple[str, str], _Container] = OrderedDict()

    def find(self, query: RelatedQuery) -> Sequence[JsonObject]:
        type_ = plain_type(query.type)
        if not type_:
            return []
        container = self._container(type_, _container_of(query.within))
        return [document for place, document in container.candidates(query) if is_related(place, query)]

    def _container(self, type_: str, scope: str) -> "_Container":
        key = (type_.lower(), scope)
        if key not in self._containers:
            if len(self._containers) >= _CONTAINERS_KEPT:
                self._containers.popitem(last=False)
            self._containers[key] = _Container(self._documents.under(type_, scope))
        self._containers.move_to_end(key)
        return self._containers[key]


class _Container:
    """Resources of one type in one container, in the order of their ids."""

    def __init__(self, documents: Iterator[JsonObject]) -> None:
        self._all = [(place_of(str(document["id"])), document) for document in documents]
        self._below: dict[str, list[int]] = {}
        self._free: list[int] = []
        for number, (place, _) in enumerate(self._all):
            for ancestor in ancestors_of(place.id):
                self._below.setdefault(ancestor, []).append(number)
            if "/" in place.full_name or place.holder is None or _is_container(place.holder):
                self._free.append(number)

    def candidates(self, query: RelatedQuery) -> Iterator[tuple[Place, JsonObject]]:
        """All that can be meant, and others."""
        if query.elsewhere:
            yield from self._all
            return
        numbers = set(self._below.get(query.of, ()))
        if query.within != query.of:
            numbers.update(self._free)
        yield from (self._all[number] for number in sorted(numbers))


def ancestors_of(id_: str) -> Iterator[str]:
    """The id itself and the ids of the resources that it is below, in lower case, nearest first."""
    parts = id_.rstrip("/").lower().split("/")
    end = len(parts)
    for start in range(len(parts) - 1, 0, -1):
        if parts[start] != "providers" or end - start < 4 or parts[start + 1] == "microsoft.management":
            continue
        # Pairs of type and name follow the namespace.
        for last in range(end - (end - start) % 2, start + 3, -2):
            yield "/".join(parts[:last])
        end = start


def _container_of(scope: str) -> str:
    """The resource group or subscription that a scope lies in; the scope itself outside of any."""
    parts = scope.rstrip("/").lower().split("/")
    if len(parts) > 2 and parts[1] == "subscriptions":
        return "/".join(parts[:5] if len(parts) > 4 and parts[3] == "resourcegroups" else parts[:3])
    return scope


def _is_group(scope: str) -> bool:
    parts = scope.split("/")
    return len(parts) == 5 and parts[1] == "subscriptions" and parts[3] == "resourcegroups"


def _is_container(id_: str) -> bool:
    return place_of(id_).type.lower() in (
        "",
        "microsoft.resources/subscriptions",
        "microsoft.resources/subscriptions/resourcegroups",
        "microsoft.management/managementgroups",
    )

"""Resources of the store as the ARM documents that rules read, and back."""

from collections.abc import Iterable, Iterator
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.paths import member_of
from goldsmith.policy.scope import GROUP_TYPE, SUBSCRIPTION_TYPE, place_of
from goldsmith.resources.model import Resource, ResourceDraft
from goldsmith.resources.store import ResourceStore

_PAGE = 1000
# Columns of an export that say nothing of the resource but where it stands, and what the store writes itself.
_NOT_KEPT = frozenset(
    {
        "resourcegroup",
        "subscriptionid",
        "tenantid",
        "apiversion",
        "systemdata",
        "etag",
        "createdtime",
        "changedtime",
        "provisioningstate",
    }
)
_OWN = frozenset({"id", "type", "name", "location", "tags", "properties"})


def document_of(resource: Resource | ResourceDraft) -> JsonObject:
    """The resource as its provider would show it; a resource without location or tags shows none."""
    document: JsonObject = {**resource.extra, "id": resource.id, "name": resource.name, "type": resource.type}
    if resource.location is not None:
        document["location"] = resource.location
    if resource.tags:
        document["tags"] = dict(resource.tags)
    document["properties"] = resource.properties
    return document


def draft_of(document: Any) -> ResourceDraft:
    """A draft from what `az resource list` or Resource Graph prints of one resource; null counts as absent.

    Raises InvalidInputError when it has no id, or tags or properties that are no objects.
    """
    if not isinstance(document, dict):
        raise InvalidInputError(
            "a resource is no JSON object", hint="expected what `az resource list` or Resource Graph exports"
        )
    id_ = member_of(document, "id")
    if not isinstance(id_, str) or not id_.startswith("/"):
        raise InvalidInputError(
            f"a resource has the id {id_!r}, expected an ARM resource id", hint="export the column `id` too"
        )
    place = place_of(id_)
    type_, name, location = (member_of(document, each) for each in ("type", "name", "location"))
    return ResourceDraft(
        id=id_.rstrip("/"),
        # A listing of resource groups calls their type otherwise than their ids do.
        type=type_ if isinstance(type_, str) and type_ and not _is_container(place.type) else place.type,
        name=name if isinstance(name, str) and name else place.name,
        location=location if isinstance(location, str) and location else None,
        tags={
            key: value if isinstance(value, str) else str(value)
            for key, value in _object(document, "tags", id_).items()
            if value is not None
        },
        properties=_object(document, "properties", id_),
        extra={
            key: value
            for key, value in document.items()
            if value is not None and key.lower() not in _NOT_KEPT | _OWN
        },
    )


class StoredDocuments:
    """The documents of a store, read when they are asked for."""

    def __init__(self, resources: ResourceStore) -> None:
        self._resources = resources

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        """All resources of the type, in the order of their ids."""
        return self._pages(resource_type, None)

    def every(self) -> Iterator[JsonObject]:
        return self._pages(None, None)

    def under(self, resource_type: str, scope: str) -> Iterator[JsonObject]:
        """Those at the scope and below it."""
        return self._pages(resource_type, scope)

    def inside(self, resource_type: str, parent: str) -> Iterator[JsonObject]:
        """Those directly in the parent."""
        return self._pages(resource_type, None, parent)

    def find(self, id_: str) -> JsonObject | None:
        found = self._resources.find(id_)
        return None if found is None else document_of(found)

    def many(self, resource_type: str, ids: Iterable[str], *, of: int) -> Iterator[JsonObject]:
        """Those of `ids` (in lower case) that are there; `of` is how many there are of the type."""
        wanted = set(ids)
        if len(wanted) * 20 > of:
            # Reading pages of the whole type is cheaper than asking for so many by one.
            yield from (each for each in self.of_type(resource_type) if each["id"].lower() in wanted)
            return
        for id_ in sorted(wanted):
            if (document := self.find(id_)) is not None:
                yield document

    def _pages(
        self, resource_type: str | None, scope: str | None, parent: str | None = None
    ) -> Iterator[JsonObject]:
        after: str | None = None
        while True:
            page = self._resources.list(
                type=resource_type, scope_prefix=scope, parent=parent, after=after, limit=_PAGE
            )
            yield from map(document_of, page)
            if len(page) < _PAGE:
                return
            after = page[-1].id


def _is_container(resource_type: str) -> bool:
    return resource_type.lower() in (GROUP_TYPE.lower(), SUBSCRIPTION_TYPE.lower())


def _object(document: JsonObject, name: str, id_: str) -> JsonObject:
    value = member_of(document, name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError(
            f"the member '{name}' of {id_} is {value!r}, expected an object", hint="export it as JSON"
        )
    return value

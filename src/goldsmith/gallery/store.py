"""The gallery's port over the resource store.

What is stored is the ARM body itself, rendered by `wire`: policies, the console and `az resource show` read
the same JSON, and there is one mapping to keep right.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from goldsmith.gallery.model import (
    DEFINITION_TYPE,
    GALLERY_TYPE,
    VERSION_TYPE,
    Gallery,
    GalleryResource,
    ImageDefinition,
    ImageVersion,
)
from goldsmith.gallery.wire.definition import definition_json, parse_definition
from goldsmith.gallery.wire.gallery import gallery_json, parse_gallery
from goldsmith.gallery.wire.version import parse_version, version_json
from goldsmith.kernel.errors import CorruptError, InvalidInputError
from goldsmith.kernel.ids import ResourceId, parse_resource_id
from goldsmith.kernel.json import JsonObject
from goldsmith.resources.model import Resource, ResourceDraft
from goldsmith.resources.store import ResourceStore
from goldsmith.resources.transaction import ResourceTransaction

_PAGE = 1000


class _Reading(Protocol):
    """What the store and its transactions have in common."""

    def find(self, id_: str) -> Resource | None: ...

    def list(
        self,
        *,
        type: str | None = None,
        scope_prefix: str | None = None,
        parent: str | None = None,
        after: str | None = None,
        limit: int = _PAGE,
    ) -> list[Resource]: ...


class _StoredReading:
    """`GalleryReading` over whatever can find and list resources."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading

    def gallery(self, id_: ResourceId) -> Gallery | None:
        found = self._reading.find(str(id_))
        return _gallery(found) if found else None

    def definition(self, id_: ResourceId) -> ImageDefinition | None:
        found = self._reading.find(str(id_))
        return _definition(found) if found else None

    def version(self, id_: ResourceId) -> ImageVersion | None:
        found = self._reading.find(str(id_))
        return _version(found) if found else None

    def galleries(self, subscription: str, *, group: str | None = None) -> list[Gallery]:
        scope = f"/subscriptions/{subscription}" + (f"/resourceGroups/{group}" if group else "")
        return [_gallery(found) for found in self._all(type=GALLERY_TYPE, scope_prefix=scope)]

    def definitions(self, gallery_id: ResourceId) -> list[ImageDefinition]:
        children = self._all(type=DEFINITION_TYPE, parent=str(gallery_id))
        return [_definition(found) for found in children]

    def versions(self, definition_id: ResourceId) -> list[ImageVersion]:
        children = self._all(type=VERSION_TYPE, parent=str(definition_id))
        return [_version(found) for found in children]

    def _all(
        self, *, type: str, scope_prefix: str | None = None, parent: str | None = None
    ) -> Iterator[Resource]:
        after: str | None = None
        while True:
            page = self._reading.list(
                type=type, scope_prefix=scope_prefix, parent=parent, after=after, limit=_PAGE
            )
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].id


class StoredGalleryTransaction(_StoredReading):
    """A `GalleryTransaction` within a transaction of the resource store."""

    def __init__(self, transaction: ResourceTransaction, *, actor: str) -> None:
        super().__init__(transaction)
        self._transaction = transaction
        self._actor = actor

    def lock(self, id_: ResourceId) -> None:
        # An update that changes nothing writes nothing, and holds the row until the transaction ends.
        self._transaction.update(str(id_), lambda resource: resource, actor=self._actor)

    def put(self, resource: GalleryResource) -> None:
        self._transaction.put(
            _draft(resource),
            actor=self._actor,
            if_match=resource.etag,
            if_none_match=resource.etag is None,
        )

    def delete(self, id_: ResourceId) -> None:
        self._transaction.delete(str(id_), actor=self._actor)


class StoredGalleries(_StoredReading):
    """The `GalleryStore` over the resource store."""

    def __init__(self, resources: ResourceStore) -> None:
        super().__init__(resources)
        self._resources = resources

    @contextlib.contextmanager
    def transaction(self, *, actor: str) -> Iterator[StoredGalleryTransaction]:
        with self._resources.transaction() as transaction:
            yield StoredGalleryTransaction(transaction, actor=actor)


def _draft(resource: GalleryResource) -> ResourceDraft:
    """What is stored; read back before it is, so that nothing is that could not be read again.

    Raises InvalidInputError.
    """
    match resource:
        case Gallery():
            body = gallery_json(resource)
            parse_gallery(resource.id, _stored_part(body), stored=True)
        case ImageDefinition():
            body = definition_json(resource)
            parse_definition(resource.id, _stored_part(body), stored=True)
        case ImageVersion():
            body = version_json(resource, stored=True)
            parse_version(resource.id, _stored_part(body), stored=True)
    return ResourceDraft(
        id=body["id"],
        type=body["type"],
        name=body["name"],
        location=body["location"],
        tags=body["tags"],
        properties=body["properties"],
        extra={"identity": body["identity"]} if "identity" in body else {},
    )


def _gallery(found: Resource) -> Gallery:
    with _readable(found):
        gallery = parse_gallery(parse_resource_id(found.id), _body(found), stored=True)
    return replace(gallery, etag=found.etag)


def _definition(found: Resource) -> ImageDefinition:
    with _readable(found):
        definition = parse_definition(parse_resource_id(found.id), _body(found), stored=True)
    return replace(definition, etag=found.etag)


def _version(found: Resource) -> ImageVersion:
    with _readable(found):
        version = parse_version(parse_resource_id(found.id), _body(found), stored=True)
    return replace(version, etag=found.etag)


def _stored_part(body: JsonObject) -> JsonObject:
    names = ("location", "tags", "properties", "identity")
    return {name: body[name] for name in names if name in body}


def _body(found: Resource) -> JsonObject:
    return {
        "location": found.location,
        "tags": dict(found.tags),
        "properties": found.properties,
        **found.extra,
    }


@contextlib.contextmanager
def _readable(found: Resource) -> Iterator[None]:
    try:
        yield
    except (InvalidInputError, KeyError, ValueError) as error:
        raise CorruptError(
            f"the stored {found.type} {found.id} cannot be read: {error}",
            hint="it was written by something else than the gallery: put it again",
        ) from error

"""The columns of a fleet: every resource by type, kept up by the feed of changes."""

import contextlib
import gc
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.scopes import Scopes
from goldsmith.compliance.scan.table import Table
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.paths import member_of


class Documents(Protocol):
    """Where resources are read again when a rule needs something of them that no column has."""

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        """All resources of the type (its case is ignored) as ARM documents, in any order."""
        ...


class Watcher(Protocol):
    """Told when what lies around resources has changed."""

    def scopes_changed(self) -> None:
        """The document of a resource group or subscription is another one."""
        ...


class FleetIndex:
    """A table for each resource type, and the position in the feed of changes up to which they are right.

    For one thread. A document is an ARM resource: `id` and `type` at the top, keys in any case.
    """

    def __init__(self, documents: Documents, *, position: int = 0) -> None:
        self.tables: dict[str, Table] = {}
        self.scopes = Scopes()
        self.position = position
        self._documents = documents
        self._watchers: list[Watcher] = []

    def table(self, resource_type: str) -> Table:
        """The table of a type, empty when there is no such resource."""
        key = resource_type.lower()
        if key not in self.tables:
            self.tables[key] = Table(key)
        return self.tables[key]

    def watch(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    def forget(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)

    def put(self, document: JsonObject, *, position: int | None = None) -> int:
        """The row, in the table of its type, of a resource that is new or has changed.

        Raises InvalidInputError when the document has no `id` or no `type`.
        """
        id_, resource_type = identity_of(document)
        if self.scopes.put(id_, resource_type, document):
            self._tell_of_scopes()
        row = self.table(resource_type).put(id_, document)
        self._advance(position)
        return row

    def put_many(self, documents: Iterable[JsonObject], *, position: int | None = None) -> None:
        """As `put` for each; for filling an index, and for more changes than a few hundred at a time."""
        with without_cycle_collection():
            # Documents come in runs of one type: each run goes to its table while it is being read.
            for resource_type, run in groupby(self._identified(documents), key=itemgetter(0)):
                self.table(resource_type).put_many(map(itemgetter(1, 2), run))
        self._advance(position)

    def delete(self, id_: str, resource_type: str, *, position: int | None = None) -> int | None:
        """The row that was the resource's; None when it was not there."""
        if self.scopes.delete(id_):
            self._tell_of_scopes()
        row = self.table(resource_type).delete(id_)
        self._advance(position)
        return row

    def require(self, resource_type: str, fields: Iterable[Field]) -> None:
        """See to it that the type has a column for each of `fields`; reads its resources for new ones."""
        with without_cycle_collection():
            self.table(resource_type).add_columns(fields, self._read(resource_type))

    def _read(self, resource_type: str) -> Iterator[tuple[str, JsonObject]]:
        for document in self._documents.of_type(resource_type):
            yield identity_of(document)[0], document

    def _identified(self, documents: Iterable[JsonObject]) -> Iterator[tuple[str, str, JsonObject]]:
        for document in documents:
            id_, resource_type = identity_of(document)
            if self.scopes.put(id_, resource_type, document):
                self._tell_of_scopes()
            yield resource_type, id_, document

    def _advance(self, position: int | None) -> None:
        if position is not None:
            self.position = position

    def _tell_of_scopes(self) -> None:
        for watcher in self._watchers:
            watcher.scopes_changed()


@contextlib.contextmanager
def without_cycle_collection() -> Iterator[None]:
    """While many documents come and go the cyclic collector would walk them again and again, in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def identity_of(document: JsonObject) -> tuple[str, str]:
    """(id, type) of an ARM document. Raises InvalidInputError when one is missing or no text."""
    id_, resource_type = document.get("id"), document.get("type")
    if not isinstance(id_, str) or not isinstance(resource_type, str):
        id_, resource_type = member_of(document, "id"), member_of(document, "type")
    if not isinstance(id_, str) or not isinstance(resource_type, str):
        raise InvalidInputError(
            f"a resource has id {id_!r} and type {resource_type!r}, expected texts",
            hint="a document of a fleet needs `id` and `type` at its top",
        )
    return id_, resource_type

"""The fleet's columns kept between processes, so that a start reads what has changed, not every resource."""

import logging
from pathlib import Path

from goldsmith.compliance.documents import StoredDocuments
from goldsmith.compliance.scan import segments
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import canonical
from goldsmith.resources.model import Change
from goldsmith.resources.store import ResourceStore

logger = logging.getLogger(__name__)

_CHANGES_AT_ONCE = 1000
# Fewer changes are followed again by the next process in no time.
_WORTH_SAVING = 200
_MARK = "feed.json"


class SavedColumns:
    """Columns below one directory: a cache. Damaged, absent or of another store, they are made anew."""

    def __init__(self, directory: Path, resources: ResourceStore, documents: StoredDocuments) -> None:
        self._directory = directory
        self._resources = resources
        self._documents = documents
        self._saved_at: int | None = None

    def open(self) -> FleetIndex | None:
        """The columns as the store is now; None when none are saved that belong to its feed."""
        index = segments.load(self._directory, self._documents)
        if index is None or not self._is_of_this_store(index.position):
            return None
        self._saved_at = index.position
        while changes := self._resources.changes(index.position, _CHANGES_AT_ONCE):
            for change in {each.resource_id.lower(): each for each in changes}.values():
                self._follow(index, change)
            index.position = changes[-1].seq
        return index

    def save(self, index: FleetIndex, position: int, *, whole: bool) -> None:
        """Keep the columns, which are right for the feed up to `position` at least.

        Unless `whole`, only when it is worth it: when much has changed since the last time.
        """
        if not whole and self._saved_at is not None and position - self._saved_at < _WORTH_SAVING:
            return
        change = self._resources.change_at(position)
        if change is None:
            return
        index.position = position
        segments.save(index, self._directory)
        write_atomic(self._directory / _MARK, _mark(change))
        self._saved_at = position

    def _is_of_this_store(self, position: int) -> bool:
        """Whether the change that the columns end with is one of this store's, and not its namesake's."""
        change = self._resources.change_at(position)
        try:
            known = change is not None and (self._directory / _MARK).read_bytes() == _mark(change)
        except OSError:
            known = False
        if not known:
            logger.info("the saved columns end with a change that is not in this store; they are made anew")
        return known

    def _follow(self, index: FleetIndex, change: Change) -> None:
        document = self._documents.find(change.resource_id)
        if document is None or str(document["type"]).lower() != change.resource_type.lower():
            index.delete(change.resource_id, change.resource_type)
        if document is not None:
            index.put(document)


def _mark(change: Change) -> bytes:
    return canonical({"seq": change.seq, "resource": change.resource_id, "etag": change.etag})

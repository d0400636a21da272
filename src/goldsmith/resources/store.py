"""The resource store: each call one transaction, many writes in one on request, and the feed of changes."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy as sa

from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import ConflictError
from goldsmith.kernel.ids import Ids
from goldsmith.resources.engine import begin_write, is_transient
from goldsmith.resources.model import Change, ChangeOperation, Resource, ResourceDraft
from goldsmith.resources.schema import change
from goldsmith.resources.transaction import LIST_LIMIT, ResourceTransaction

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05
# Before every transaction number there is.
_BEFORE_ALL = -(2**63)

T = TypeVar("T")


class ResourceStore:
    """Every ARM resource, whatever its type: the store knows no provider. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock, ids: Ids) -> None:
        self._engine = engine
        self._clock = clock
        self._ids = ids

    @contextlib.contextmanager
    def transaction(self) -> Iterator[ResourceTransaction]:
        """Several writes that all happen or, when the block raises, none of them, nor their changes.

        Raises ConflictError when the database gave up the transaction because of another one.
        """
        try:
            with begin_write(self._engine) as connection:
                yield ResourceTransaction(connection, self._clock, self._ids)
        except sa.exc.DBAPIError as error:
            if is_transient(error):
                raise ConflictError(
                    "the transaction met another one that changes the same resources",
                    hint="run the request again",
                ) from error
            raise

    def find(self, id_: str) -> Resource | None:
        with self._reading() as reading:
            return reading.find(id_)

    def get(self, id_: str) -> Resource:
        """Raises NotFoundError when there is no such resource."""
        with self._reading() as reading:
            return reading.get(id_)

    def changes(self, after: int, limit: int = LIST_LIMIT) -> list[Change]:
        """The next changes in feed order; continue with the `seq` of the last one returned.

        No change is ever missed or moved behind that position, also when its transaction commits late. On
        PostgreSQL the feed waits for every older transaction of the cluster, and the numbers themselves need
        not rise from one change to the next: keep the last one, not the greatest. 0, or a position that is
        not known here, begins at the oldest change.
        """
        # Numbers from a sequence become visible in any order, and a transaction may take a lower one than a
        # transaction older than itself. Transaction numbers below the oldest running one cannot get new rows,
        # so the order (transaction, sequence) only ever grows at its end.
        known = sa.select(change.c.xid).where(change.c.seq == after).scalar_subquery()
        position = sa.tuple_(sa.func.coalesce(known, _BEFORE_ALL), sa.literal(after))
        query = (
            sa.select(change)
            .where(sa.tuple_(change.c.xid, change.c.seq) > position)
            .order_by(change.c.xid, change.c.seq)
            .limit(limit)
        )
        if self._engine.dialect.name == "postgresql":
            query = query.where(
                change.c.xid
                < sa.literal_column("(pg_snapshot_xmin(pg_current_snapshot())::text)::bigint", sa.BigInteger)
            )
        with self._engine.connect() as connection:
            return [_change_from_row(row) for row in connection.execute(query).mappings()]

    def change_at(self, seq: int) -> Change | None:
        """The change at a position of the feed; None when this store has no such change."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(change).where(change.c.seq == seq)).mappings().first()
        return None if row is None else _change_from_row(row)

    def list(
        self,
        *,
        type: str | None = None,
        scope_prefix: str | None = None,
        parent: str | None = None,
        tag: tuple[str, str | None] | None = None,
        after: str | None = None,
        limit: int = LIST_LIMIT,
    ) -> list[Resource]:
        """As `ResourceTransaction.list`."""
        with self._reading() as reading:
            return reading.list(
                type=type, scope_prefix=scope_prefix, parent=parent, tag=tag, after=after, limit=limit
            )

    def put(
        self, draft: ResourceDraft, *, actor: str, if_match: str | None = None, if_none_match: bool = False
    ) -> Resource:
        """As `ResourceTransaction.put`, committed when it returns."""
        return self._retried(
            lambda writing: writing.put(draft, actor=actor, if_match=if_match, if_none_match=if_none_match)
        )

    def update(self, id_: str, edit: Callable[[Resource], Resource], *, actor: str) -> Resource:
        """As `ResourceTransaction.update`, committed when it returns; tried again after a conflict."""
        return self._retried(lambda writing: writing.update(id_, edit, actor=actor))

    def delete(self, id_: str, *, actor: str, if_match: str | None = None) -> None:
        """As `ResourceTransaction.delete`, committed when it returns."""
        self._retried(lambda writing: writing.delete(id_, actor=actor, if_match=if_match))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[ResourceTransaction]:
        with self._engine.connect() as connection:
            yield ResourceTransaction(connection, self._clock, self._ids)

    def _retried(self, write: Callable[[ResourceTransaction], T]) -> T:
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._once(write)
            except sa.exc.DBAPIError as error:
                if not is_transient(error):
                    raise
                logger.debug("attempt %d of a write met another transaction: %s", attempt, error.orig)
                time.sleep(_PAUSE_SECONDS * attempt)
        with self.transaction() as writing:
            return write(writing)

    def _once(self, write: Callable[[ResourceTransaction], T]) -> T:
        with begin_write(self._engine) as connection:
            return write(ResourceTransaction(connection, self._clock, self._ids))


def _change_from_row(row: sa.RowMapping) -> Change:
    return Change(
        seq=row["seq"],
        resource_id=row["resource_id"],
        resource_type=row["resource_type"],
        operation=ChangeOperation(row["operation"]),
        etag=row["etag"],
        at=row["at"],
        actor=row["actor"],
    )

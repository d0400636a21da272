"""All resources of one type: which row is whose, and the columns that rules read."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np

from goldsmith.compliance.scan.bitmaps import Bits, assign, gathered, rows_of
from goldsmith.compliance.scan.columns import Column, Rows, grown
from goldsmith.compliance.scan.projection import Field, Projector, missing, narrowed
from goldsmith.compliance.scan.scopes import container_of
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.tree import Narrowing

_ROWS_MIN = 64
# Whole documents of one batch should stay in the processor's cache; of their projections more can be held.
_BATCH_DOCUMENTS = 64
_BATCH_ROWS = 1024


class Observer(Protocol):
    """Told what changes in a table, after it has changed."""

    def row_changed(self, row: int, fields: frozenset[Field] | None) -> None:
        """`fields` have another value; None: the row is another resource's, or nobody's now."""
        ...

    def rows_changed(self) -> None:
        """Any row may have changed."""
        ...

    def room_grown(self) -> None:
        """There is room for more rows."""
        ...


class Table:
    """Rows are given once and used again after a deletion; `alive` has the bits of those in use.

    Columns and bitmaps have room for `room` rows, a multiple of 64. `containers` has for each row the id,
    in lower case, of its resource group, or of its subscription when it is in no group, or "".
    """

    def __init__(self, resource_type: str) -> None:
        self.type = resource_type.lower()
        self.room = _ROWS_MIN
        self.columns: dict[Field, Column] = {}
        self.containers = Column("", rows=self.room)
        self.alive: Bits = np.zeros(self.bitmap_bytes, np.uint8)
        self.ids: list[str | None] = []
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._observers: list[Observer] = []
        self._projector = Projector(())
        self._rows_under: tuple[str, list[int]] = ("", [])

    @classmethod
    def stored(
        cls, resource_type: str, *, ids: list[str | None], containers: Column, columns: dict[Field, Column]
    ) -> "Table":
        """A table as it was saved: `ids` by row."""
        table = cls(resource_type)
        table.ids = ids
        table._rows = {id_: row for row, id_ in enumerate(ids) if id_ is not None}
        table._free = [row for row, id_ in enumerate(ids) if id_ is None]
        table.columns, table.containers = columns, containers
        table._projector = Projector(tuple(columns))
        table._make_room(len(ids))
        for row in table._rows.values():
            assign(table.alive, row, True)
        return table

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bitmap_bytes(self) -> int:
        return self.room >> 3

    def observe(self, observer: Observer) -> None:
        self._observers.append(observer)

    def forget(self, observer: Observer) -> None:
        self._observers.remove(observer)

    def row_of(self, id_: str) -> int | None:
        return self._rows.get(id_.lower())

    def put(self, id_: str, document: JsonObject) -> int:
        """The resource's row, new or as before."""
        key = id_.lower()
        row = self._rows.get(key)
        is_new = row is None
        if row is None:
            row = self._give_row(key)
            self.containers.write_one(row, container_of(key))
            assign(self.alive, row, True)
        projected = zip(self._projector.fields, self._projector.columns((document,)), strict=True)
        changed = frozenset(
            field for field, values in projected if self.columns[field].write_one(row, values[0])
        )
        if is_new or changed:
            for observer in self._observers:
                observer.row_changed(row, None if is_new else changed)
        return row

    def put_many(self, resources: Iterable[tuple[str, JsonObject]]) -> None:
        """As `put` for each in their order; much faster, but what was found of the table is found anew."""
        try:
            self._write(resources)
        finally:
            for observer in self._observers:
                observer.rows_changed()

    def delete(self, id_: str) -> int | None:
        """The row that was the resource's; None when there is no such resource."""
        key = id_.lower()
        row = self._rows.pop(key, None)
        if row is None:
            return None
        self.ids[row] = None
        self._rows_under = ("", [])
        self._free.append(row)
        assign(self.alive, row, False)
        for observer in self._observers:
            observer.row_changed(row, None)
        return row

    def add_columns(self, fields: Iterable[Field], resources: Iterable[tuple[str, JsonObject]]) -> None:
        """Afterwards there is a column for each of `fields`.

        `resources` are all of the table, as (id, document); they are only read for a column that cannot be
        made from another one.
        """
        wanted = [field for field in dict.fromkeys(fields) if field not in self.columns]
        for field in wanted:
            if (column := self._narrower(field)) is not None:
                self.columns[field] = column
        unread = [field for field in wanted if field not in self.columns]
        if unread:
            fresh = {field: Column(missing(field), rows=self.room) for field in unread}
            if self._rows:
                self._fill(fresh, resources)
            self.columns.update(fresh)
        if wanted:
            self._projector = Projector(tuple(self.columns))

    def in_containers(self, containers: Iterable[str]) -> Bits:
        """The rows of resources whose container is one of these (ids in lower case)."""
        wanted = {self.containers.dictionary.find(container) for container in containers}
        return self._with_codes([code for code in wanted if code is not None])

    def under(self, scope: str) -> Bits:
        """The rows of resources in a resource group or subscription (its id in lower case)."""
        if "/resourcegroups/" in scope:
            return self.in_containers((scope,))
        keys = self.containers.dictionary.keys
        below = scope + "/"
        return self._with_codes(
            [code for code, key in enumerate(keys) if key == scope or str(key).startswith(below)]
        )

    def rows_under(self, scope: str) -> list[int]:
        """As `under`, as row numbers; the last answer is kept until a resource comes or goes."""
        if self._rows_under[0] != scope:
            self._rows_under = (scope, rows_of(self.under(scope)).tolist())
        return self._rows_under[1]

    def _with_codes(self, codes: list[int]) -> Bits:
        table = np.zeros(len(self.containers), np.bool_)
        table[codes] = True
        return gathered(table, self.containers.codes) & self.alive

    def _write(self, resources: Iterable[tuple[str, JsonObject]]) -> None:
        rest = iter(resources)
        while (projected := _Projected(self._projector)).take(rest, _BATCH_ROWS):
            rows = self._rows_of(projected.ids)
            for field, values in projected.columns():
                self.columns[field].write(rows, values)

    def _rows_of(self, ids: Iterable[str]) -> Rows:
        """The rows of resources, given to those that have none."""
        rows: list[int] = []
        fresh: list[int] = []
        for id_ in ids:
            key = id_.lower()
            row = self._rows.get(key)
            if row is None:
                row = self._give_row(key)
                fresh.append(row)
            rows.append(row)
        if fresh:
            containers = [container_of(self.ids[row] or "") for row in fresh]
            self.containers.write(np.array(fresh), containers)
            places = np.array(fresh)
            np.bitwise_or.at(self.alive, places >> 3, (1 << (places & 7)).astype(np.uint8))
        return np.array(rows)

    def _give_row(self, key: str) -> int:
        if self._free:
            row = self._free.pop()
            self.ids[row] = key
        else:
            row = len(self.ids)
            self.ids.append(key)
            self._make_room(len(self.ids))
        self._rows[key] = row
        self._rows_under = ("", [])
        return row

    def _make_room(self, rows: int) -> None:
        if rows <= self.room and len(self.containers.codes) >= self.room:
            return
        self.room = max(self.room, -(-rows * 5 // 4 // 64) * 64)
        self.alive = grown(self.alive, self.bitmap_bytes)
        self.containers.reserve(self.room)
        for column in self.columns.values():
            column.reserve(self.room)
        for observer in self._observers:
            observer.room_grown()

    def _narrower(self, field: Field) -> Column | None:
        """A narrow column from the one with the whole values, when that is there."""
        path, narrowing = field
        whole = self.columns.get((path, Narrowing.VALUE))
        if narrowing is Narrowing.VALUE or whole is None:
            return None
        column = Column(missing(field))
        values = [whole.dictionary.value(code) for code in range(len(whole))]
        column.write_through(narrowed(values, field), whole.codes)
        return column

    def _fill(self, fresh: dict[Field, Column], resources: Iterable[tuple[str, JsonObject]]) -> None:
        projector = Projector(tuple(fresh))
        known = ((id_, document) for id_, document in resources if id_.lower() in self._rows)
        while (projected := _Projected(projector)).take(known, _BATCH_ROWS):
            rows: Rows = np.array([self._rows[id_.lower()] for id_ in projected.ids])
            for field, values in projected.columns():
                fresh[field].write(rows, values)


class _Projected:
    """Ids and projections of some resources."""

    def __init__(self, projector: Projector) -> None:
        self.ids: list[str] = []
        self._projector = projector
        self._columns: list[list[JsonValue]] = [[] for _ in projector.fields]

    def take(self, resources: Iterator[tuple[str, JsonObject]], count: int) -> bool:
        """Take `count` resources, fewer when there are no more; whether there was one."""
        while len(self.ids) < count and (batch := list(islice(resources, _BATCH_DOCUMENTS))):
            self.ids += [id_ for id_, _ in batch]
            projected = self._projector.columns([document for _, document in batch])
            for column, values in zip(self._columns, projected, strict=True):
                column += values
        return bool(self.ids)

    def columns(self) -> Iterable[tuple[Field, list[JsonValue]]]:
        return zip(self._projector.fields, self._columns, strict=True)

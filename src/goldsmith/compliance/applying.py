"""Which rows of a table lie under a scope and which of them selectors choose, as bitmaps."""

from collections.abc import Iterable, Sequence

import numpy as np

from goldsmith.compliance.hierarchy import Hierarchy
from goldsmith.compliance.scan.bitmaps import Bits, assign, gathered, packed, rows_of
from goldsmith.compliance.scan.columns import Column
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.scopes import container_of
from goldsmith.compliance.scan.table import Table
from goldsmith.policy.applicability import is_indexed
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.scope import (
    GROUP_TYPE,
    MANAGEMENT_GROUP_TYPE,
    SUBSCRIPTION_TYPE,
    covers,
    normal_location,
    place_of,
)
from goldsmith.policy.selectors import ResourceSelector, Subject, selected
from goldsmith.policy.tree import Narrowing

LOCATION = (("location",), Narrowing.VALUE)
TAGS = (("tags",), Narrowing.EXISTS)
_CONTAINERS = frozenset(each.lower() for each in ("", GROUP_TYPE, SUBSCRIPTION_TYPE, MANAGEMENT_GROUP_TYPE))


class Rows:
    """Rows of one table, chosen by what stands around the resources. `spelling` is the type as written."""

    def __init__(self, index: FleetIndex, table: Table, hierarchy: Hierarchy, *, spelling: str) -> None:
        self.table = table
        self.spelling = spelling
        self._index = index
        self._hierarchy = hierarchy
        self._scopes: dict[str, Bits] = {}
        self._indexed: Bits | None = None

    def in_scope(self, assignment: PolicyAssignment) -> Bits:
        """The rows that the assignment reaches."""
        rows = self.under(assignment.scope)
        for excluded in assignment.not_scopes:
            rows = rows & ~self.under(excluded)
        return rows

    def under(self, scope: str) -> Bits:
        """The rows of what is at the scope or below it; shared, not to be written into."""
        key = scope.rstrip("/").lower()
        if key not in self._scopes:
            self._scopes[key] = self._under(key)
        return self._scopes[key]

    def indexed(self) -> Bits:
        """The rows that mode Indexed looks at."""
        if self._indexed is None:
            self._indexed = self._find_indexed()
        return self._indexed

    def selected(self, rows: Bits, selectors: Sequence[ResourceSelector], reference_id: str | None) -> Bits:
        if not selectors:
            return rows
        chosen = np.zeros_like(rows)
        for row in rows_of(rows).tolist():
            if selected(selectors, self.subject(row, reference_id)):
                assign(chosen, row, True)
        return chosen

    def subject(self, row: int, reference_id: str | None) -> Subject:
        return Subject(
            id=self.table.ids[row] or "",
            type=self.spelling,
            location=self.location(row),
            reference_id=reference_id,
        )

    def location(self, row: int) -> str | None:
        column = self._column(LOCATION)
        value = column.dictionary.value(int(column.codes[row]))
        return value if isinstance(value, str) else None

    def by_location(self, locations: Iterable[str]) -> list[tuple[str | None, Bits]]:
        """The rows at each of these locations (as `normal_location` writes them, "" is none), and others."""
        column = self._column(LOCATION)
        wanted = set(locations)
        codes: dict[str | None, list[int]] = {}
        for code in range(len(column)):
            value = column.dictionary.value(code)
            place = normal_location(value) if isinstance(value, str) and value else ""
            codes.setdefault(place if place in wanted else None, []).append(code)
        found: list[tuple[str | None, Bits]] = []
        for name, members in codes.items():
            table = np.zeros(len(column), np.bool_)
            table[members] = True
            found.append((name, gathered(table, column.codes) & self.table.alive))
        return found

    def _under(self, key: str) -> Bits:
        keys = self.table.containers.dictionary.keys
        if key == "":
            return self.table.alive.copy()
        place = place_of(key)
        if place.type.lower() in _CONTAINERS:
            within = [
                str(each)
                for each in keys
                if each and covers(key, str(each), self._hierarchy.above(str(each)))
            ]
            rows = self.table.in_containers(within)
            # What stands in no subscription is looked at one by one.
            candidates = self.table.in_containers([""])
        else:
            rows = np.zeros_like(self.table.alive)
            if place.type.lower() == self.table.type:
                own = self.table.row_of(key)
                candidates = rows.copy()
                if own is not None:
                    assign(candidates, own, True)
            else:
                candidates = self.table.in_containers([container_of(key)])
        for row in rows_of(candidates).tolist():
            id_ = self.table.ids[row] or ""
            if covers(key, id_, self._hierarchy.above(id_)):
                assign(rows, row, True)
        return rows

    def _find_indexed(self) -> Bits:
        if is_indexed(self.spelling, {}):
            return self.table.alive
        if not is_indexed(self.spelling, {"location": "somewhere"}):
            return np.zeros_like(self.table.alive)
        locations, tags = self._column(LOCATION), self._column(TAGS)
        located = np.array([bool(locations.dictionary.value(code)) for code in range(len(locations))])
        tagged = np.array([bool(tags.dictionary.value(code)) for code in range(len(tags))])
        return packed(located[locations.codes] | tagged[tags.codes]) & self.table.alive

    def _column(self, field: Field) -> Column:
        self._index.require(self.table.type, [field])
        return self.table.columns[field]

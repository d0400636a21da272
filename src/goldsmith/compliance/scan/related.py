"""Where the resources of one type stand, to find those that an existence condition looks at."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.scopes import container_of, group_of, subscription_of
from goldsmith.compliance.scan.table import Table
from goldsmith.policy.related import WILDCARD, RelatedQuery, is_related
from goldsmith.policy.scope import GROUP_TYPE, MANAGEMENT_GROUP_TYPE, SUBSCRIPTION_TYPE, place_of

_CONTAINERS = frozenset(
    ("", GROUP_TYPE.lower(), SUBSCRIPTION_TYPE.lower(), MANAGEMENT_GROUP_TYPE.lower()),
)


# Fewer rows than this are looked through one by one.
_FEW = 4


class Anchor(StrEnum):
    """How a resource hangs on an id.

    UNDER the resources above it, STANDING on the resource it extends, ANYWHERE in its resource group and its
    subscription, and FREE there when it stands on no resource.
    """

    UNDER = "under"
    STANDING = "standing"
    ANYWHERE = "anywhere"
    FREE = "free"


class RelatedRows:
    """Rows of a table by what they hang on, a way of hanging at a time when it is first asked for.

    `touched` is told the id, in lower case, of every resource that came, changed or went, and None when any
    may have.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._hung: dict[Anchor, dict[str, list[int]]] = {}
        self._ids: list[str | None] = []
        self._by_name: dict[tuple[Anchor, str], dict[str, list[int]]] = {}
        self._watchers: list[Callable[[str | None], None]] = []
        table.observe(self)

    def watch(self, touched: Callable[[str | None], None]) -> None:
        self._watchers.append(touched)

    def forget(self, touched: Callable[[str | None], None]) -> None:
        self._watchers.remove(touched)

    def rows(self, anchor: Anchor, id_: str, name: str | None = None) -> list[int]:
        """The rows that hang on `id_` (in lower case) that way, in no particular order.

        With a name all those that have it and maybe others.
        """
        rows = self._all_rows(anchor, id_)
        if name is None or name.endswith(f"/{WILDCARD}") or len(rows) <= _FEW:
            return rows
        key = (anchor, id_)
        if key not in self._by_name:
            named = self._by_name[key] = {}
            for row in rows:
                named.setdefault((self.table.ids[row] or "").rpartition("/")[2], []).append(row)
        return self._by_name[key].get(name.lower().rpartition("/")[2], [])

    def _all_rows(self, anchor: Anchor, id_: str) -> list[int]:
        if not self._hung:
            self._ids = list(self.table.ids)
        if anchor not in self._hung:
            self._hung[anchor] = {}
            for row, known in enumerate(self._ids):
                if known is not None:
                    self._hang(anchor, row, known)
        return self._hung[anchor].get(id_, [])

    def named(self, rows: list[int], query: RelatedQuery) -> list[int]:
        """Those of the rows that the query means, in the order of their ids."""
        found = [(id_, row) for row in rows if (id_ := self.table.ids[row]) is not None]
        return [row for id_, row in sorted(found) if is_related(place_of(id_), query)]

    def row_changed(self, row: int, fields: frozenset[Field] | None) -> None:
        self._by_name.clear()
        now = self.table.ids[row]
        before = self._ids[row] if row < len(self._ids) else None
        if self._hung and before != now:
            self._move(row, before, now)
        for id_ in {before, now} - {None} if self._hung else {None}:
            for watcher in self._watchers:
                watcher(id_)

    def rows_changed(self) -> None:
        self._hung.clear()
        self._by_name.clear()
        self._ids = []
        for watcher in self._watchers:
            watcher(None)

    def room_grown(self) -> None:
        pass

    def _move(self, row: int, before: str | None, now: str | None) -> None:
        for anchor, hung in self._hung.items():
            if before is not None:
                for id_ in _anchors(anchor, before):
                    hung[id_].remove(row)
            if now is not None:
                self._hang(anchor, row, now)
        self._ids.extend([None] * (row + 1 - len(self._ids)))
        self._ids[row] = now

    def _hang(self, anchor: Anchor, row: int, id_: str) -> None:
        hung = self._hung[anchor]
        for key in _anchors(anchor, id_):
            hung.setdefault(key, []).append(row)


def _anchors(anchor: Anchor, id_: str) -> Iterator[str]:
    container = container_of(id_)
    if id_.count("/") == container.count("/") + 4 and id_.startswith("/providers/", len(container)):
        # Directly in its container, as most resources are; the rest is slower.
        if anchor in (Anchor.FREE, Anchor.ANYWHERE):
            yield from {container, subscription_of(container)} - {""}
        return
    place = place_of(id_)
    stands = stands_on_resource(id_)
    match anchor:
        case Anchor.UNDER:
            above = _resource(place.holder)
            while above is not None:
                yield above
                above = _resource(place_of(above).holder)
        case Anchor.STANDING:
            if stands:
                yield (place.holder or "").lower()
        case Anchor.FREE | Anchor.ANYWHERE:
            if anchor is Anchor.ANYWHERE or not stands:
                yield from {group_of(id_), subscription_of(id_)} - {""}


def only_free(resource_type: str, query: RelatedQuery) -> str | None:
    """The id of the one resource of the type that stands on no other and that the query can mean.

    None when it can mean several: it names no resource in full, or looks in more than one resource group.
    """
    name = query.name
    namespace, *types = resource_type.split("/")
    if name is None or query.elsewhere or "/resourcegroups/" not in query.within:
        return None
    names = name.lower().split("/")
    if names[-1] == WILDCARD or (len(types) > 1 and len(types) != len(names)):
        return None
    if len(types) != len(names):
        # A resource of a plain type has a plain name: nothing can be meant but an extension.
        return f"{query.within}/{name.lower()}"
    path = "/".join(f"{type_}/{one}" for type_, one in zip(types, names, strict=True))
    return f"{query.within}/providers/{namespace}/{path}"


def stands_on_resource(id_: str) -> bool:
    """As `is_related` has it: extensions do; children are found in their scope like any resource."""
    place = place_of(id_)
    return "/" not in place.full_name and _resource(place.holder) is not None


def anchored_to(id_: str) -> Iterator[str]:
    """Every resource, resource group and subscription that a resource hangs on in some way, and itself."""
    yield id_
    yield from _anchors(Anchor.UNDER, id_)
    yield from _anchors(Anchor.ANYWHERE, id_)


def _resource(holder: str | None) -> str | None:
    """The id, in lower case, of a holder that is a resource."""
    if holder is None or place_of(holder).type.lower() in _CONTAINERS:
        return None
    return holder.rstrip("/").lower()

"""Documents -> columns: every path that the rules read, taken from many resources in one walk.

The walk goes over the tree of paths, and at each of its nodes over all documents, so that the inner loops are
list comprehensions. Keys ignore case: a node looks at the spellings that occur among its objects, and as long
as a segment has one of them, exact look-ups are right. What a path means is `goldsmith.policy.paths.project`.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.paths import WILDCARD, member_of, narrow, project
from goldsmith.policy.tree import Narrowing

Path = tuple[str, ...]
Field = tuple[Path, Narrowing]

_NOTHING: JsonObject = {}
_EMPTY: list[Any] = []
_NO_SPELLING: frozenset[str] = frozenset()
# Objects with free keys (tags) bring ever new spellings; what is remembered of them stays within this.
_SPELLINGS_MAX = 4096


class Projector:
    """Projects documents on `fields`; made once for a set of fields and used for any number of documents."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._root = _Node()
        slots: dict[Path, int] = {}
        self._wanted: list[tuple[int, Field]] = []
        for field in self.fields:
            slot = slots.setdefault(field[0], len(slots))
            self._root.add(field[0], slot)
            self._wanted.append((slot, field))
        self._slots = len(slots)

    def columns(self, documents: Sequence[JsonValue]) -> list[list[JsonValue]]:
        """For each field the values of all documents, in their order; they are shared with the documents."""
        taken: list[list[Any]] = [_EMPTY] * self._slots
        self._root.take(documents, taken)
        return [narrowed(taken[slot], field) for slot, field in self._wanted]


def narrowed(values: list[JsonValue], field: Field) -> list[JsonValue]:
    """What the field's narrowing keeps of the values of its path."""
    path, narrowing = field
    if narrowing is Narrowing.VALUE:
        return values
    depth = path.count(WILDCARD)
    if narrowing is Narrowing.EXISTS and depth == 0:
        return [value is not None for value in values]
    return [narrow(value, narrowing, depth) for value in values]


def missing(field: Field) -> JsonValue:
    """What a resource without members has there."""
    return project({}, *field)


class _Node:
    """A place in the tree of paths: which columns end here, and what goes on below."""

    __slots__ = ("_members", "_properties", "_slots", "_spellings", "_spelt")

    def __init__(self) -> None:
        self._slots: list[int] = []
        self._members: _Node | None = None
        self._properties: dict[str, _Node] = {}
        self._spellings: dict[str, set[str]] = {}
        self._spelt: set[str] = set()

    def add(self, path: Path, slot: int) -> None:
        if not path:
            if slot not in self._slots:
                self._slots.append(slot)
        elif path[0] == WILDCARD:
            self._members = self._members or _Node()
            self._members.add(path[1:], slot)
        else:
            self._properties.setdefault(path[0], _Node()).add(path[1:], slot)

    def slots(self) -> Iterator[int]:
        """The columns that end here or below."""
        yield from self._slots
        below = [self._members] if self._members is not None else []
        for node in chain(below, self._properties.values()):
            yield from node.slots()

    def take(self, values: Sequence[JsonValue], taken: list[list[Any]]) -> None:
        """Fill in the columns that end here or below, from the values that the documents have here."""
        for slot in self._slots:
            taken[slot] = list(values)
        if self._members is not None:
            self._take_members(self._members, values, taken)
        if self._properties:
            self._take_properties(values, taken)

    def _take_members(self, below: "_Node", values: Sequence[JsonValue], taken: list[list[Any]]) -> None:
        arrays = [value if isinstance(value, list) else _EMPTY for value in values]
        below.take(list(chain.from_iterable(arrays)), taken)
        lengths = list(map(len, arrays))
        for slot in below.slots():
            members = iter(taken[slot])
            taken[slot] = [list(islice(members, length)) for length in lengths]

    def _take_properties(self, values: Sequence[JsonValue], taken: list[list[Any]]) -> None:
        objects = _objects(values)
        met: set[str] = set().union(*objects)
        if not met <= self._spelt:
            self._learn(met)
        for segment, below in self._properties.items():
            spellings = met & self._spellings.get(segment, _NO_SPELLING)
            if segment.isdigit() or len(spellings) > 1:
                below.take([member_of(value, segment) for value in values], taken)
            elif spellings:
                key = spellings.pop()
                below.take([one.get(key) for one in objects], taken)
            else:
                below.take([None] * len(objects), taken)

    def _learn(self, met: set[str]) -> None:
        if len(self._spelt) > _SPELLINGS_MAX:
            self._spelt.clear()
        for key in met - self._spelt:
            segment = key.lower()
            if segment in self._properties:
                self._spellings.setdefault(segment, set()).add(key)
        self._spelt |= met


def _objects(values: Sequence[Any]) -> Sequence[JsonObject]:
    """The values with an object without members in the place of everything that is no object."""
    kinds = set(map(type, values))
    if kinds == {dict}:
        return values
    if kinds == {dict, type(None)}:
        return [value or _NOTHING for value in values]
    return [value if isinstance(value, dict) else _NOTHING for value in values]

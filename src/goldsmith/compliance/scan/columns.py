"""Columns: one code a row, in the narrowest type that holds every code, and pairs of columns seen as one."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from goldsmith.compliance.scan.dictionary import Dictionary
from goldsmith.kernel.json import JsonValue

Codes = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

_WIDTHS = (np.uint8, np.uint16, np.uint32)
# A table over all pairs of codes is quicker than sorting the pairs, as long as it stays small.
_TABLE_MAX = 1 << 23
_LOW = 0xFFFFFFFF


class Coded(Protocol):
    """What a truth table is laid over: a code for each row, and what the codes stand for."""

    @property
    def codes(self) -> Codes: ...

    def __len__(self) -> int:
        """How many codes there are; a code never changes its meaning."""
        ...

    def values(self, code: int) -> tuple[JsonValue, ...]:
        """One value an input, in their order."""
        ...


class Column:
    """One input of all resources of a type: `codes[row]` into `dictionary`.

    `missing` is what the input has on a resource without members; code 0 stands for it, and rows that were
    never written hold it.
    """

    __slots__ = ("codes", "dictionary")

    def __init__(self, missing: JsonValue, *, rows: int = 0) -> None:
        self.dictionary = Dictionary()
        self.dictionary.code(missing)
        self.codes: Codes = np.zeros(rows, np.uint8)

    @classmethod
    def stored(cls, dictionary: Dictionary, codes: Codes) -> "Column":
        """A column as it was saved."""
        column = cls.__new__(cls)
        column.dictionary, column.codes = dictionary, codes
        return column

    def __len__(self) -> int:
        return len(self.dictionary)

    def values(self, code: int) -> tuple[JsonValue, ...]:
        return (self.dictionary.value(code),)

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows; the new ones hold code 0."""
        self.codes = grown(self.codes, rows)

    def write(self, rows: Rows, values: Sequence[JsonValue]) -> None:
        codes = self.dictionary.encode(values)
        self.codes = widened(self.codes, len(self.dictionary))
        self.codes[rows] = codes

    def write_through(self, values: Sequence[JsonValue], codes: Codes) -> None:
        """The value of each row is the one in `values` under the row's code in `codes`."""
        through = np.array(self.dictionary.encode(values), np.int64)
        self.codes = widened(through.astype(_narrowest(len(self.dictionary)))[codes], len(self.dictionary))

    def write_one(self, row: int, value: JsonValue) -> bool:
        """Whether the row holds another value than before."""
        code = self.dictionary.code(value)
        if code == self.codes.item(row):
            return False
        self.codes = widened(self.codes, len(self.dictionary))
        self.codes[row] = code
        return True


class Pair:
    """Two columns as one: a code for each combination that has occurred. Pairs of pairs make longer ones.

    After rows have changed in the columns, `refresh` or `refresh_one` bring it up to date.
    """

    __slots__ = ("_first", "_later", "_second", "_sorted", "_sorted_codes", "codes", "keys")

    def __init__(self, first: Coded, second: Coded) -> None:
        self._first, self._second = first, second
        # Combinations by code, each as (first code << 32 | second code).
        self.keys: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._sorted: npt.NDArray[np.int64] = self.keys
        self._sorted_codes: npt.NDArray[np.int64] = self.keys
        # Those that single rows brought after the last `refresh`.
        self._later: dict[int, int] = {}
        self.codes: Codes = np.zeros(0, np.uint8)
        self.refresh()

    def __len__(self) -> int:
        return len(self.keys) + len(self._later)

    def values(self, code: int) -> tuple[JsonValue, ...]:
        if code >= len(self.keys):
            self._settle()
        key = int(self.keys[code])
        return (*self._first.values(key >> 32), *self._second.values(key & _LOW))

    def refresh(self) -> None:
        """Take over the columns as they are now, all rows."""
        self._settle()
        occurring, spread = _occurring(self._first, self._second)
        codes = self._places(occurring)
        fresh = occurring[codes < 0]
        if len(fresh):
            self.keys = np.concatenate((self.keys, fresh))
            self._sort()
            codes = self._places(occurring)
        self.codes = spread(codes.astype(_narrowest(len(self.keys))))

    def refresh_one(self, row: int) -> bool:
        """Take over one row; whether it holds another combination than before."""
        key = self._first.codes.item(row) << 32 | self._second.codes.item(row)
        code = self._code(key)
        if code == self.codes.item(row):
            return False
        self.codes = widened(self.codes, len(self))
        self.codes[row] = code
        return True

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows; the new ones hold no meaning until `refresh_one` was called on them."""
        self.codes = grown(self.codes, rows)

    def _code(self, key: int) -> int:
        place = int(np.searchsorted(self._sorted, key))
        if place < len(self._sorted) and self._sorted.item(place) == key:
            return self._sorted_codes.item(place)
        return self._later.setdefault(key, len(self))

    def _settle(self) -> None:
        if self._later:
            self.keys = np.concatenate((self.keys, np.fromiter(self._later, np.int64, len(self._later))))
            self._later.clear()
            self._sort()

    def _sort(self) -> None:
        self._sorted_codes = np.argsort(self.keys)
        self._sorted = self.keys[self._sorted_codes]

    def _places(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The code of each key, -1 for those without one."""
        if not len(self._sorted):
            return np.full(len(keys), -1, np.int64)
        places = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[places] == keys, self._sorted_codes[places], -1)


class _Spread(Protocol):
    def __call__(self, codes: Codes) -> Codes:
        """From a code for each combination to a code for each row."""
        ...


def _occurring(first: Coded, second: Coded) -> tuple[npt.NDArray[np.int64], _Spread]:
    """The combinations that occur, rising, and how to bring something known of each of them to the rows."""
    count = len(second)
    if len(first) * count <= _TABLE_MAX:
        slots = first.codes.astype(np.uint32) * np.uint32(count) + second.codes
        mark = np.zeros(len(first) * count, np.bool_)
        mark[slots] = True
        occurring = np.flatnonzero(mark)

        def through_table(codes: Codes) -> Codes:
            table: Codes = np.zeros(len(mark), codes.dtype)
            table[occurring] = codes
            spread: Codes = table[slots]
            return spread

        return (occurring // count) << 32 | occurring % count, through_table
    keys = first.codes.astype(np.int64) << 32 | second.codes
    distinct, inverse = np.unique(keys, return_inverse=True)
    return distinct, lambda codes: codes[inverse]


def widened(codes: Codes, count: int) -> Codes:
    """`codes` in a type that holds all codes below `count`."""
    width = _narrowest(count)
    return codes if codes.dtype.itemsize >= np.dtype(width).itemsize else codes.astype(width)


def grown(array: Codes, length: int) -> Codes:
    """`array` with at least `length` places, zeros in the new ones."""
    if len(array) >= length:
        return array
    larger = np.zeros(length, array.dtype)
    larger[: len(array)] = array
    return larger


def _narrowest(count: int) -> Any:
    return next(width for width in _WIDTHS if count <= np.iinfo(width).max + 1)

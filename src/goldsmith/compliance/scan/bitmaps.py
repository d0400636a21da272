"""Packed bitmaps over the rows of a table: where a condition is true, and where it has no result.

A row's bit is `1 << (row & 7)` of byte `row >> 3`. Conditions are tried in their order and only as far as
they decide, as for one resource: an error counts where it was reached, and there the whole has no result.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

# Up to this many comparisons of all codes with one are quicker than looking each code up.
_COMPARISONS_MAX = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """`true` and `error` have no bit in common; `error` is None where there is none at all.

    Bitmaps of verdicts are shared: nobody writes into one that it did not make.
    """

    true: Bits
    error: Bits | None


class Conjunction:
    """Conditions that all have to hold, tried in their order on the rows of `among`."""

    def __init__(self, among: Bits) -> None:
        self._reached = among.copy()
        self._error: Bits | None = None

    @property
    def decided(self) -> bool:
        """No row is left on which a further condition counts."""
        return not self._reached.any()

    def add(self, child: Verdict) -> None:
        if child.error is not None:
            failed = child.error & self._reached
            self._error = failed if self._error is None else self._error | failed
        self._reached &= child.true

    def verdict(self) -> Verdict:
        return Verdict(self._reached, self._error)


class Disjunction:
    """Conditions of which one has to hold, tried in their order on the rows of `among`."""

    def __init__(self, among: Bits) -> None:
        self._reached = among.copy()
        self._true = np.zeros_like(among)
        self._error: Bits | None = None

    @property
    def decided(self) -> bool:
        """No row is left on which a further condition counts."""
        return not self._reached.any()

    def add(self, child: Verdict) -> None:
        self._true |= child.true & self._reached
        if child.error is not None:
            failed = child.error & self._reached
            self._error = failed if self._error is None else self._error | failed
            self._reached &= ~child.error
        self._reached &= ~child.true

    def verdict(self) -> Verdict:
        return Verdict(self._true, self._error)


def negated(child: Verdict, among: Bits) -> Verdict:
    true = among & ~child.true
    if child.error is None:
        return Verdict(true, None)
    return Verdict(true & ~child.error, child.error & among)


def gathered(table: npt.NDArray[np.bool_], codes: npt.NDArray[Any]) -> Bits:
    """The bitmap of `table[codes]`."""
    hits = np.flatnonzero(table)
    size = -(-len(codes) // 8)
    if not len(hits):
        return np.zeros(size, np.uint8)
    if len(hits) == len(table):
        return packed(np.ones(len(codes), np.bool_))
    if len(hits) <= _COMPARISONS_MAX:
        return packed(_equal_to_one(codes, hits))
    if len(table) - len(hits) <= _COMPARISONS_MAX:
        return packed(~_equal_to_one(codes, np.flatnonzero(~table)))
    if codes.dtype == np.uint8:
        # Three times as fast as an index look-up, which first widens the indices to 64 bits.
        every = table.tobytes().ljust(256, b"\0")[:256]
        return packed(np.frombuffer(codes.tobytes().translate(every), np.bool_))
    return packed(table[codes])


def _equal_to_one(codes: npt.NDArray[Any], wanted: Rows) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = codes == codes.dtype.type(wanted[0])
    for code in wanted[1:]:
        equal |= codes == codes.dtype.type(code)
    return equal


def packed(flags: npt.NDArray[np.bool_]) -> Bits:
    return np.packbits(flags, bitorder="little")


def rows_of(bits: Bits) -> Rows:
    """The rows whose bit is set, rising."""
    return np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def count(bits: Bits | None) -> int:
    return 0 if bits is None else int(np.bitwise_count(bits).sum())


def is_set(bits: Bits, row: int) -> bool:
    return bool(bits.item(row >> 3) >> (row & 7) & 1)


def assign(bits: Bits, row: int, value: bool) -> bool:
    """Set the bit of `row`, in place; whether it was another one before."""
    if is_set(bits, row) is value:
        return False
    bits[row >> 3] ^= 1 << (row & 7)
    return True

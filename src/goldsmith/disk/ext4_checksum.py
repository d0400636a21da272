"""CRC-32C as ext4 keeps it (a register with no final inversion), of many rows at once."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_WORD_BYTES = 4
_HALF = np.uint32(0xFFFF)
_SHIFT = np.uint32(16)


def crc32c_rows(registers: int | NDArray[np.uint32], rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The register after each row of `rows` (count × bytes, whole words of 4); `registers` are those before.

    All rows go forward together, a word at a time, each word by two tables of its halves.
    """
    assert rows.shape[1] % _WORD_BYTES == 0
    low, high = _word_tables()
    result = np.empty(len(rows), np.uint32)
    result[:] = registers
    # By columns, because the same word of all rows is looked at together.
    for column in np.ascontiguousarray(np.ascontiguousarray(rows).view("<u4").T):
        result ^= column
        result = low[result & _HALF] ^ high[result >> _SHIFT]
    return result


def words(values: NDArray[np.uint64], *, count: int) -> NDArray[np.uint8]:
    """Numbers as rows of `count` little-endian words of 4 bytes, for `crc32c_rows`."""
    wide = np.ascontiguousarray(values.astype("<u8")).view(np.uint8).reshape(-1, 8)
    rows = np.zeros((len(values), count * _WORD_BYTES), np.uint8)
    rows[:, : min(8, count * _WORD_BYTES)] = wide[:, : count * _WORD_BYTES]
    return rows


@cache
def _word_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What the low and the high half of a word become in the 32 steps that the word takes."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    high = _steps(halves, 16)
    return _steps(high, 16), high


def _steps(registers: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    for _ in range(count):
        registers = (registers >> np.uint32(1)) ^ (registers & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    return registers

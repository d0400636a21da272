"""uniqueString() and guid(): names that are always the same for the same input."""

import uuid

from goldsmith.expressions.functions.function import Function, text_argument
from goldsmith.expressions.limits import check_string_length
from goldsmith.expressions.text import utf8
from goldsmith.kernel.json import JsonValue

# The name space in which the service makes version 5 UUIDs.
_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_WORD = 0xFFFFFFFF


def _unique_string(*values: JsonValue) -> str:
    number = murmur_hash_64(_joined("uniqueString", values))
    # 13 characters of 5 bits from the top; the last one has but 4 bits left.
    return "".join(_BASE32[(number << 5 * index & 0xFFFFFFFFFFFFFFFF) >> 59] for index in range(13))


def _guid(*values: JsonValue) -> str:
    digest = uuid.uuid5(_NAMESPACE, _joined("guid", values).decode())
    return str(digest)


def _joined(function: str, values: tuple[JsonValue, ...]) -> bytes:
    texts = [text_argument(function, position, value) for position, value in enumerate(values, 1)]
    check_string_length(sum(map(len, texts)) + len(texts) - 1)
    return utf8("-".join(texts))


def murmur_hash_64(data: bytes) -> int:
    """The variant of MurmurHash3 that the service uses: two 32-bit halves that are mixed with each other."""
    low = high = 0
    whole = len(data) - len(data) % 8
    for position in range(0, whole, 8):
        first = int.from_bytes(data[position : position + 4], "little")
        second = int.from_bytes(data[position + 4 : position + 8], "little")
        low = _rotated(low ^ _first_mixed(first), 19)
        low = ((low + high) * 5 + 0x561CCD1B) & _WORD
        high = _rotated(high ^ _second_mixed(second), 13)
        high = ((high + low) * 5 + 0x0BCAA747) & _WORD
    tail = data[whole:]
    low ^= _first_mixed(int.from_bytes(tail[:4], "little"))
    high ^= _second_mixed(int.from_bytes(tail[4:], "little"))
    low, high = low ^ len(data), high ^ len(data)
    low = (low + high) & _WORD
    high = (high + low) & _WORD
    low, high = _finished(low), _finished(high)
    low = (low + high) & _WORD
    high = (high + low) & _WORD
    return high << 32 | low


def _first_mixed(word: int) -> int:
    return _rotated(word * 0x239B961B & _WORD, 15) * 0xAB0E9789 & _WORD


def _second_mixed(word: int) -> int:
    return _rotated(word * 0xAB0E9789 & _WORD, 17) * 0x239B961B & _WORD


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _WORD


def _finished(word: int) -> int:
    word = (word ^ word >> 16) * 0x85EBCA6B & _WORD
    word = (word ^ word >> 13) * 0xC2B2AE35 & _WORD
    return word ^ word >> 16


FUNCTIONS = (
    Function(
        "uniqueString", 1, None, _unique_string, "13 letters and digits that depend on the strings only"
    ),
    Function("guid", 1, None, _guid, "a GUID (version 5) that depends on the strings only"),
)

"""The distinct values of a column, each with a code; told apart exactly: True, 1, 1.0 and "1" are four."""

import json
import math
from collections.abc import Iterable, Sequence
from itertools import chain, islice

import orjson

from goldsmith.kernel.json import JsonValue

# Text, null and booleans stand for themselves, everything else for its canonical JSON. No number is a key, so
# that `True == 1` joins nothing, and no list is kept, so that the cyclic collector has none to walk.
Key = str | bytes | bool | None

_OUTSIDE = b"\x00"
_PLAIN = frozenset((str, bool, type(None)))
_WHOLE_NUMBERS = frozenset((int, type(None)))
_FLAT = frozenset((str, type(None)))


def key_of(value: JsonValue) -> Key:
    """The form in which two JSON values are equal exactly when they are of the same types throughout."""
    kind = value.__class__
    if kind in _PLAIN:
        return value  # type: ignore[return-value]  # what _PLAIN says
    if kind is float and not math.isfinite(value):  # type: ignore[arg-type]  # what `kind` says
        return _outside(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return _outside(value)


def value_of(key: Key) -> JsonValue:
    """The value that `key_of` was given, with the members of its objects in the order of their names."""
    if not isinstance(key, bytes):
        return key
    value: JsonValue = json.loads(key[1:]) if key.startswith(_OUTSIDE) else orjson.loads(key)
    return value


def _outside(value: JsonValue) -> bytes:
    # Whole numbers beyond 64 bits, lone surrogates, numbers that are none: rare, and not in orjson's JSON.
    return _OUTSIDE + json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Dictionary:
    """Values in the order in which they were first met; the place of a value is its code."""

    __slots__ = ("_codes", "_keys", "_numbers")

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys: list[Key] = list(keys)
        # In the order of codes, because a dict keeps the order of insertion.
        self._codes: dict[Key, int] = {key: code for code, key in enumerate(self._keys)}
        # Codes of whole numbers by the number: encoding one as JSON takes ten times as long.
        self._numbers: dict[int | None, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def keys(self) -> Sequence[Key]:
        """The keys by code."""
        if len(self._keys) < len(self._codes):
            self._keys.extend(islice(self._codes, len(self._keys), None))
        return self._keys

    def value(self, code: int) -> JsonValue:
        return value_of(self.keys[code])

    def code(self, value: JsonValue) -> int:
        """The code of `value`, a new one when it has not been met."""
        return self._code_of_key(key_of(value))

    def find(self, value: JsonValue) -> int | None:
        """The code of `value`, None when it has not been met."""
        return self._codes.get(key_of(value))

    def encode(self, values: Sequence[JsonValue]) -> list[int]:
        """The codes of many values: what `code` gives for each, several times as fast."""
        kinds = set(map(type, values))
        if kinds <= _PLAIN:
            return self._codes_of_keys(values)  # type: ignore[arg-type]  # what `kinds` says
        if kinds <= _WHOLE_NUMBERS:
            return self._codes_of_numbers(values)  # type: ignore[arg-type]  # what `kinds` says
        if kinds == {list} and set(map(type, chain.from_iterable(values))) <= _FLAT:  # type: ignore[arg-type]
            return self._codes_of_keys(_flat_keys(values))
        return self._codes_of_keys(list(map(key_of, values)))

    def _codes_of_keys(self, keys: Sequence[Key]) -> list[int]:
        known = self._codes
        try:
            return list(map(known.__getitem__, keys))
        except KeyError:
            return list(map(self._code_of_key, keys))

    def _code_of_key(self, key: Key) -> int:
        code = self._codes.get(key)
        if code is None:
            # What orjson returns keeps the buffer it was written in, several times its size.
            kept = bytes(memoryview(key)) if isinstance(key, bytes) else key
            code = self._codes[kept] = len(self._codes)
        return code

    def _codes_of_numbers(self, numbers: Sequence[int | None]) -> list[int]:
        known = self._numbers
        try:
            return list(map(known.__getitem__, numbers))
        except KeyError:
            for number in numbers:
                if number not in known:
                    known[number] = self.code(number)
            return list(map(known.__getitem__, numbers))


def _flat_keys(values: Sequence[JsonValue]) -> list[Key]:
    try:
        return list(map(orjson.dumps, values))
    except TypeError:
        return list(map(key_of, values))

"""JSON as a type, and the one byte form of a value that digests are taken over."""

import json
from typing import Any, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
# What `json.loads` returns is only known once a wire module has read it.
JsonObject: TypeAlias = dict[str, Any]


def canonical(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

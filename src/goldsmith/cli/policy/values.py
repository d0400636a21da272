"""Values of resources and rules as people read them in a terminal."""

from goldsmith.kernel.json import JsonValue, canonical
from goldsmith.policy.definition import Absent

_SHOWN_CHARACTERS = 100


def value_text(value: "JsonValue | Absent") -> str:
    """A value as JSON, cut when it is long."""
    if isinstance(value, Absent):
        return "missing"
    text = canonical(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"

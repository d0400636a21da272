"""What compiling has found out about rules, kept across starts: plain JSON, keyed by digest.

What is worth keeping was measured over the 2,635 built-in rules of modes All and Indexed. Parsed rules are
not:
unpickling them takes as long as parsing them (0.41 s against 0.38 s), and would run code from a file.
Compiled
trees cannot be kept, their leaves are functions. What a rule is for, and that it compiles, can: with it a
start
touches only the rules that matter to a type, and checking a collection again costs its digests.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldsmith.kernel import digest
from goldsmith.kernel.json import canonical
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.wire.definition import parameters_json

_FORM = "goldsmith.policy.known/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of one rule with its parameters. `types` are those it names, in lower case; it was compiled for each.

    `only` are the types outside which the rule is certain to be false, None when there is no such limit.
    `problem` is why it does not compile, with `path` where; None when it does.
    """

    types: tuple[str, ...]
    only: tuple[str, ...] | None
    trees: int
    unknown: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    problem: str | None = None
    path: str = ""
    hint: str | None = None

    def concerns(self, type_: str) -> bool:
        """Whether the rule can say anything about a resource of that type."""
        return self.only is None or type_.lower() in self.only


def digest_of(definition: PolicyDefinition) -> str:
    """Of all that compiling depends on; names and descriptions are not among it."""
    return digest.of_value([definition.policy_rule, parameters_json(definition.parameters)])


def encode(summaries: Mapping[str, Summary], *, engine: str) -> bytes:
    """`engine` says what found them out: the version of the code and of the alias tables."""
    rows = [
        {"digest": key, **{name: getattr(one, name) for name in Summary.__slots__}}
        for key, one in sorted(summaries.items())
    ]
    return canonical({"form": _FORM, "engine": engine, "rules": rows})


def decode(data: bytes, *, engine: str) -> dict[str, Summary]:
    """What `encode` was given; empty when the bytes are damaged, or of another engine: then it is found out
    anew."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or value.get("form") != _FORM or value.get("engine") != engine:
        return {}
    rows = value.get("rules")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        try:
            found[str(row["digest"])] = _summary(row)
        except (KeyError, TypeError):
            return {}
    return found


def _summary(row: Mapping[str, Any]) -> Summary:
    """Raises KeyError or TypeError for what `encode` cannot have written."""
    only = row["only"]
    return Summary(
        types=_texts(row["types"]),
        only=None if only is None else _texts(only),
        trees=row["trees"] + 0,
        unknown=_texts(row["unknown"]),
        derived=_texts(row["derived"]),
        problem=_text_or_none(row["problem"]),
        path=_text_or_none(row["path"]) or "",
        hint=_text_or_none(row["hint"]),
    )


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise TypeError("expected a list of texts")
    return tuple(values)


def _text_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("expected a text")
    return value

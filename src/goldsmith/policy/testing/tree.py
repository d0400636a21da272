"""The rule of a case as a tree for people, with the result of each condition."""

from collections.abc import Iterator

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.json import JsonValue, canonical
from goldsmith.policy.definition import Absent
from goldsmith.policy.explain import Explained, explain
from goldsmith.policy.testing.engine import Posed

_SHOWN_CHARACTERS = 120


def tree_text(posed: Posed) -> str:
    """One condition a line: its result, what it compares, and where the evaluation stopped."""
    try:
        explanation = explain(posed.prepared, posed.target, compiler=posed.compiler, related=posed.related)
    except EvaluationError as error:
        return f"what to look for cannot be computed: {error.message}"
    lines = ["if", *_lines(explanation.condition, "  ")]
    for related in explanation.related or ():
        lines.append(f"existenceCondition on {related.resource_id or 'a related resource'}")
        if related.condition is not None:
            lines += _lines(related.condition, "  ")
    if explanation.related == ():
        lines.append(f"no related resource of type {explanation.related_type} was found")
    return "\n".join(lines)


def _lines(explained: Explained, indent: str) -> Iterator[str]:
    yield f"{indent}{_result(explained):<12} {_what(explained)}"
    for child in explained.children:
        yield from _lines(child, indent + "  ")


def _result(explained: Explained) -> str:
    if not explained.reached:
        return "not reached"
    return "error" if explained.result is None else str(explained.result).lower()


def _what(explained: Explained) -> str:
    expression = explained.expression
    if expression is None:
        return explained.kind
    value = f", is {_shown(expression.value)}" if expression.value is not Absent.ABSENT else ", is missing"
    failure = f" - {explained.error}" if explained.error and explained.reached else ""
    target = "" if expression.target is Absent.ABSENT else f" {_shown(expression.target)}"
    return f"{expression.kind.lower()} {expression.expression} {expression.operator}{target}{value}{failure}"


def _shown(value: "JsonValue | Absent") -> str:
    text = canonical(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"

"""The explanation of a verdict as a tree in the terminal: what each condition saw, where it stopped."""

from collections.abc import Iterator

import click

from goldsmith.cli.policy.values import value_text
from goldsmith.policy.definition import Absent
from goldsmith.policy.explain import EvaluatedExpression, Explained, Explanation
from goldsmith.policy.rule import Operator

_NAMES = {"allOf": "all of", "anyOf": "any of", "not": "not"}


def tree_lines(explanation: Explanation) -> Iterator[str]:
    """`✔` a condition that holds, `✘` one that does not, `!` one that failed, `·` one not reached."""
    yield click.style("if", bold=True)
    yield from _lines(explanation.condition, "", last=True)
    if explanation.related is None:
        return
    if not explanation.related:
        yield click.style(f"no {explanation.related_type} was found", fg="yellow")
    for each in explanation.related:
        yield click.style("existenceCondition", bold=True) + f" on {each.resource_id or 'a related resource'}"
        if each.condition is None:
            yield f"└─ {click.style('✔', fg='green')} it exists, which is all that is asked"
        else:
            yield from _lines(each.condition, "", last=True)


def _lines(explained: Explained, indent: str, *, last: bool) -> Iterator[str]:
    branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
    dim = not explained.reached
    if explained.expression is None:
        words = [_NAMES.get(explained.kind, explained.kind)]
    else:
        words = list(_condition(explained.expression, explained))
    yield indent + branch + _mark(explained) + " " + click.style(words[0], dim=dim, bold=not dim)
    follow = indent + below + ("│ " if explained.children else "  ")
    for word in words[1:]:
        yield follow + click.style(word, dim=dim)
    if explained.error and explained.reached and explained.expression is not None:
        yield follow + click.style(explained.error, fg="magenta")
    for number, child in enumerate(explained.children, start=1):
        yield from _lines(child, indent + below, last=number == len(explained.children))


def _mark(explained: Explained) -> str:
    if not explained.reached:
        return click.style("·", dim=True)
    if explained.result is None:
        return click.style("!", fg="magenta", bold=True)
    return click.style("✔", fg="green") if explained.result else click.style("✘", fg="red")


def _condition(expression: EvaluatedExpression, explained: Explained) -> Iterator[str]:
    """What is compared, and on further lines with what path and actual value."""
    kind = expression.kind.value.lower()
    target = "" if isinstance(expression.target, Absent) else f" {value_text(expression.target)}"
    yield f"{kind} {expression.expression} {expression.operator.value}{target}"
    if not explained.reached:
        yield "not reached"
        return
    path = expression.path
    shown_path = f"{path} " if path is not None and path != expression.expression else ""
    if path is None and kind == "field":
        shown_path = "no such alias on this type: "
    if expression.operator is Operator.EXISTS and not isinstance(expression.value, Absent):
        yield f"{shown_path}exists: {value_text(expression.value)}"
    else:
        yield f"{shown_path}is {value_text(expression.value)}"

"""The rules of the linter as a reference page."""

from collections.abc import Iterator

from goldsmith.policy.lint.model import LintRule
from goldsmith.policy.lint.rules import GROUPS, RULES

_OPENING = f"""# Policy lint rules

`goldsmith policy lint` knows {len(RULES)} mistakes that authors of policies make.
An error fails to deploy or to evaluate, or can never do what it says; a warning surprises; a note is a matter of style.
A rule that stands for one of Azure's own policy linter is found under that id too.

A finding is suppressed by naming its rule, by either id, on the command line,
or in the definition itself: `"metadata": {{"lintIgnore": ["like-without-wildcard"]}}`.
Suppressed findings stay in SARIF and JSON, marked as such, and do not count.
"""  # noqa: E501  (one sentence, one line)


def reference_markdown() -> str:
    """A section for each group, a heading for each rule."""
    return "\n".join((_OPENING, *(line for group in GROUPS for line in _group(*group))))


def _group(name: str, rules: tuple[LintRule, ...]) -> Iterator[str]:
    yield f"## {name}\n"
    for rule in rules:
        yield f"### {rule.id}\n"
        yield f"{rule.title}: {rule.severity.value}.\n"
        yield _sentences(rule.explanation)
        yield f"To mend it: {rule.hint}."
        if rule.official:
            yield "In Azure's linter: " + ", ".join(f"`{name}`" for name in rule.official) + "."
        yield ""


def _sentences(text: str) -> str:
    """One sentence a line."""
    return text.replace(". ", ".\n")

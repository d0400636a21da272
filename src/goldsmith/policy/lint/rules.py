"""The table of all rules, in the order of the reference page."""

from goldsmith.policy.lint.checks import (
    arrays,
    compiling,
    details,
    effects,
    envelope,
    expressions,
    fields,
    limits,
    logic,
    operators,
    parameters,
    targets,
)
from goldsmith.policy.lint.model import LintRule

# Headings of the reference page with the rules below each.
GROUPS: tuple[tuple[str, tuple[LintRule, ...]], ...] = (
    ("Reading and compiling", compiling.RULES),
    ("Resource types", targets.RULES),
    ("Fields and aliases", fields.RULES),
    ("Operators and their values", operators.RULES),
    ("Arrays and counts", arrays.RULES),
    ("Logic", logic.RULES),
    ("Expressions", expressions.RULES),
    ("Parameters", parameters.RULES),
    ("Effects", effects.RULES),
    ("Details of effects", details.RULES),
    ("The definition around the rule", envelope.RULES),
    ("Limits", limits.RULES),
)
RULES: tuple[LintRule, ...] = tuple(rule for _, rules in GROUPS for rule in rules)
BY_ID: dict[str, LintRule] = {rule.id: rule for rule in RULES}
# What asks about the envelope has no answer for a rule that stands by itself.
ENVELOPE_IDS: frozenset[str] = frozenset(rule.id for rule in envelope.RULES) - {
    "unknown-key",
    "two-conditions-in-one",
}


def rules_named(name: str) -> tuple[LintRule, ...]:
    """The rules an id means: one of ours, or all that stand for that id of Azure's own linter."""
    return tuple(rule for rule in RULES if rule.answers_to(name))

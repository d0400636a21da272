"""The reference pages of the policy language have a word for everything the language has."""

from goldsmith.expressions.functions.table import FUNCTIONS
from goldsmith.policy.lint.reference import reference_markdown as lint_markdown
from goldsmith.policy.lint.rules import RULES
from goldsmith.policy.operators import COMPLEMENTS
from goldsmith.policy.reference import EFFECTS, OPERATORS, reference_markdown
from goldsmith.policy.rule import Effect, Operator


def test_every_operator_effect_and_function_is_on_the_page() -> None:
    assert set(OPERATORS) | set(COMPLEMENTS) == set(Operator)
    assert set(EFFECTS) == set(Effect)
    page = reference_markdown()
    for name in [*Operator, *Effect, *(function.name for function in FUNCTIONS.values())]:
        assert f"`{name}`" in page, name


def test_every_lint_rule_is_on_its_page() -> None:
    page = lint_markdown()
    for rule in RULES:
        assert f"### {rule.id}\n" in page

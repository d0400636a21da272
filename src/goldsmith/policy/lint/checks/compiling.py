"""Rules about whether there is a rule, and whether the engine takes it."""

import re
from collections.abc import Iterator

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.lint.definition import Definition, member
from goldsmith.policy.lint.model import Found, LintRule, Path, Severity
from goldsmith.policy.reader import read_rule

INVALID_JSON = "invalid-json"
TOO_DEEP = "too-deep"
_STEP = re.compile(r"\.?([^.\[\]:\s]+)|\[(\d+)\]")
_AT = "policyRule"


def no_rule(definition: Definition) -> Iterator[Found]:
    if definition.rule is None:
        yield Found(definition.base, "there is no policyRule")


def does_not_compile(definition: Definition) -> Iterator[Found]:
    if definition.rule is None:
        return
    try:
        read_rule(definition.rule.value, at=_AT, any_effect=not definition.is_evaluated)
    except InvalidInputError as error:
        where, _, rest = error.message.partition(": ")
        path = _written_path(definition, where)
        yield Found(path, rest if rest and where.startswith(_AT) else error.message)


def never(_: Definition) -> Iterator[Found]:
    """The check of rules that are found while a text is read, before there is a definition."""
    return iter(())


def _written_path(definition: Definition, where: str) -> Path:
    """The path that an error names, in the spelling of the document and as far as it leads."""
    assert definition.rule is not None
    path, value = definition.rule.path, definition.rule.value
    for name, number in _STEP.findall(where.removeprefix(_AT)):
        if number and isinstance(value, list) and int(number) < len(value):
            path, value = (*path, int(number)), value[int(number)]
        elif name and isinstance(value, dict) and (found := member(value, name, path)):
            path, value = found.path, found.value
        else:
            break
    return path


RULES = (
    LintRule(
        id=INVALID_JSON,
        title="The file is no JSON",
        severity=Severity.ERROR,
        explanation="Nothing else can be said before the text can be read. Comments and a comma after the "
        "last member "
        "are let pass.",
        hint="correct the text at the place that is named",
        check=never,
    ),
    LintRule(
        id=TOO_DEEP,
        title="The document nests too deep to be looked at",
        severity=Severity.WARNING,
        explanation="Only whether the rule compiles is looked at in a document whose lists and objects "
        "nest this deep.",
        hint="flatten allOf in allOf and anyOf in anyOf",
        check=never,
    ),
    LintRule(
        id="no-rule",
        title="There is no rule",
        severity=Severity.ERROR,
        explanation="A definition has a policyRule with if and then.",
        hint="add policyRule, or give the file of the definition",
        check=no_rule,
    ),
    LintRule(
        id="does-not-compile",
        title="The rule does not compile",
        severity=Severity.ERROR,
        explanation="The engine, and most likely the service, refuses the rule as it is written.",
        hint="correct what the message names",
        check=does_not_compile,
    ),
)

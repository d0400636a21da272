"""Rules about operators and the values they compare with."""

import re
from collections.abc import Iterator
from typing import Any

from goldsmith.expressions.model import Call, Literal
from goldsmith.policy.lint.definition import Definition, Node, Parameter, is_expression, parse
from goldsmith.policy.lint.model import Fix, Found, LintRule, Rename, Replace, Severity
from goldsmith.policy.rule import Operator

_LIKE = {Operator.LIKE: Operator.EQUALS, Operator.NOT_LIKE: Operator.NOT_EQUALS}
_MATCH = {
    Operator.MATCH_INSENSITIVELY: Operator.EQUALS,
    Operator.NOT_MATCH_INSENSITIVELY: Operator.NOT_EQUALS,
}
_MATCHES = (*_MATCH, Operator.MATCH, Operator.NOT_MATCH)
_ORDERING = (Operator.LESS, Operator.LESS_OR_EQUALS, Operator.GREATER, Operator.GREATER_OR_EQUALS)
_MEMBERSHIP = (Operator.IN, Operator.NOT_IN)
_TAKES_TEXT = (
    Operator.EQUALS,
    Operator.NOT_EQUALS,
    *_LIKE,
    *_MATCHES,
    Operator.CONTAINS_KEY,
    Operator.NOT_CONTAINS_KEY,
    *_ORDERING,
)
_VALUES_MAX = 50
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{4}.*")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?")


def like_without_wildcard(definition: Definition) -> Iterator[Found]:
    for node, value in _texts(definition, _LIKE):
        if "*" not in value:
            assert node.operator is not None
            plain = _LIKE[node.operator]
            fix = Fix(f"Use {plain.value}.", (Rename(node.target_path, plain.value),))
            yield Found(node.target_path, f"{node.operator_key} compares with '{value}', which has no *", fix)


def like_with_wildcards(definition: Definition) -> Iterator[Found]:
    for node, value in _texts(definition, _LIKE):
        if value.count("*") > 1:
            yield Found(node.target_path, f"{node.operator_key} takes one *, got '{value}'")


def match_without_placeholder(definition: Definition) -> Iterator[Found]:
    for node, value in _texts(definition, _MATCH):
        if not set("#?.") & set(value):
            assert node.operator is not None
            plain = _MATCH[node.operator]
            fix = Fix(f"Use {plain.value}.", (Rename(node.target_path, plain.value),))
            yield Found(
                node.target_path, f"{node.operator_key} compares with '{value}', which has no #, ? or .", fix
            )


def match_with_asterisk(definition: Definition) -> Iterator[Found]:
    for node, value in _texts(definition, _MATCHES):
        if "*" in value:
            yield Found(node.target_path, f"in {node.operator_key} the * of '{value}' means itself")


def date_as_text(definition: Definition) -> Iterator[Found]:
    for node, value in _texts(definition, _ORDERING):
        # API versions are dates, all written alike.
        of_version = "apiversion" in str(node.subject).lower()
        if not of_version and _DATE.fullmatch(value) and not _MOMENT.fullmatch(value):
            yield Found(node.target_path, f"'{value}' is compared as text, character by character")


def no_order(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator not in _ORDERING:
            continue
        value = node.target
        parameter = _parameter(definition, value)
        if isinstance(value, bool | list | dict) or value is None:
            yield Found(node.target_path, f"{node.operator_key} cannot order {_kind(value)}")
        elif parameter is not None and parameter.type in ("boolean", "array", "object"):
            yield Found(
                node.target_path,
                f"{node.operator_key} cannot order parameter '{parameter.name}' of type {parameter.type}",
            )


def null_target(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator is not None and node.operator not in _ORDERING and node.target is None:
            yield Found(node.target_path, f"{node.operator_key} is given null, which fails every evaluation")


def exists_without_boolean(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        value = node.target
        if node.operator is not Operator.EXISTS or isinstance(value, bool) or is_expression(value):
            continue
        if not (isinstance(value, str) and value.lower() in ("true", "false")):
            yield Found(node.target_path, f"exists takes true or false, got {_kind(value)}")


def empty_list(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator in _MEMBERSHIP and node.target == []:
            always = "false" if node.operator is Operator.IN else "true"
            yield Found(node.target_path, f"{node.operator_key} an empty list is always {always}")


def list_too_long(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator in _MEMBERSHIP and isinstance(node.target, list) and len(node.target) > _VALUES_MAX:
            yield Found(
                node.target_path, f"{len(node.target)} values are listed, at most {_VALUES_MAX} may be"
            )


def list_expected(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator not in _MEMBERSHIP:
            continue
        value = node.target
        parameter = _parameter(definition, value)
        if parameter is not None and parameter.type not in ("array", ""):
            yield Found(
                node.target_path,
                f"{node.operator_key} takes a list, parameter '{parameter.name}' is of type {parameter.type}",
            )
        elif not isinstance(value, list) and not is_expression(value):
            fix = Fix("Put the value in a list.", (Replace(node.target_path, [value]),))
            yield Found(node.target_path, f"{node.operator_key} takes a list, got {_kind(value)}", fix)


def array_parameter_as_text(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        parameter = _parameter(definition, node.target)
        if (
            parameter is not None
            and parameter.type == "array"
            and node.operator in _TAKES_TEXT[: -len(_ORDERING)]
        ):
            better = {Operator.EQUALS: Operator.IN, Operator.NOT_EQUALS: Operator.NOT_IN}.get(node.operator)
            fix = Fix(f"Use {better.value}.", (Rename(node.target_path, better.value),)) if better else None
            yield Found(
                node.target_path,
                f"{node.operator_key} is given parameter '{parameter.name}' of type Array",
                fix,
            )


def repeated_value(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator in _MEMBERSHIP and isinstance(node.target, list):
            seen: set[str] = set()
            kept: list[Any] = []
            repeated: list[Any] = []
            for value in node.target:
                folded = value.casefold() if isinstance(value, str) else repr(value)
                (repeated if folded in seen else kept).append(value)
                seen.add(folded)
            if repeated:
                fix = Fix("List each value once.", (Replace(node.target_path, kept),))
                yield Found(
                    node.target_path, f"'{repeated[0]}' is listed more than once; case is ignored", fix
                )


def count_always_decided(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        value = node.target
        if node.kind != "count" or isinstance(value, bool) or not isinstance(value, int):
            continue
        always: bool | None = None
        match node.operator:
            case Operator.LESS:
                always = False if value <= 0 else None
            case Operator.LESS_OR_EQUALS | Operator.EQUALS:
                always = False if value < 0 else None
            case Operator.GREATER_OR_EQUALS:
                always = True if value <= 0 else None
            case Operator.GREATER | Operator.NOT_EQUALS:
                always = True if value < 0 else None
            case _:
                pass
        if always is not None:
            yield Found(
                node.target_path, f"a count {node.operator_key} {value} is always {str(always).lower()}"
            )


def missing_operator(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.operator is None:
            yield Found(node.path, f"the {node.kind} is compared with nothing")


def _texts(definition: Definition, operators: Any) -> Iterator[tuple[Node, str]]:
    for node in definition.leaves:
        if node.operator in operators and isinstance(node.target, str) and not is_expression(node.target):
            yield node, node.target


def _parameter(definition: Definition, value: object) -> Parameter | None:
    match parse(value):
        case Call("parameters", (Literal(str() as name),)):
            return definition.parameters.get(name.lower())
        case _:
            return None


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"'{value}'"
        case list():
            return "a list"
        case _:
            return "an object"


RULES = (
    LintRule(
        id="like-without-wildcard",
        title="like without a wildcard",
        severity=Severity.WARNING,
        explanation="Without a * the operator compares whole texts, as equals does. Most often a * was "
        "forgotten.",
        hint="put one * into the value, or use equals",
        check=like_without_wildcard,
        official=("like-notlike-without-wildcards",),
    ),
    LintRule(
        id="like-with-wildcards",
        title="like with more than one wildcard",
        severity=Severity.ERROR,
        explanation="The language allows one * in the value of like and notLike.",
        hint="use contains for a text in the middle, or several conditions",
        check=like_with_wildcards,
    ),
    LintRule(
        id="match-without-placeholder",
        title="match without a placeholder",
        severity=Severity.WARNING,
        explanation="Without # (digit), ? (letter) or . (any character) the operator compares whole texts.",
        hint="use equals or notEquals, or put placeholders in",
        check=match_without_placeholder,
        official=("match-without-wildcards",),
    ),
    LintRule(
        id="match-with-asterisk",
        title="match with an asterisk",
        severity=Severity.WARNING,
        explanation="match knows #, ? and . only; an asterisk stands for itself, so the pattern fits "
        "nothing real.",
        hint="use like for a *, or the placeholders of match",
        check=match_with_asterisk,
        official=("literal-asterisk-in-match-operator",),
    ),
    LintRule(
        id="date-compared-as-text",
        title="A date is compared as text",
        severity=Severity.WARNING,
        explanation="Two moments with a time of day, such as 2026-01-31T00:00:00Z, are compared as "
        "moments. Any other "
        "text is ordered character by character, also a date without a time.",
        hint="write the date in UTC as yyyy-MM-ddTHH:mm:ssZ, or compute it with addDays(utcNow(), -30)",
        check=date_as_text,
    ),
    LintRule(
        id="no-order",
        title="A value that has no order is compared by order",
        severity=Severity.ERROR,
        explanation="Numbers, texts and dates can be ordered. Booleans, lists and objects make the "
        "evaluation fail, "
        "which denies the request.",
        hint="use equals, contains or a count",
        check=no_order,
        official=("ordering-operator-on-incompatible-field-type",),
    ),
    LintRule(
        id="null-target",
        title="The operator's value is null",
        severity=Severity.ERROR,
        explanation="A null on the right side fails the evaluation, which denies the request.",
        hint="use exists: false to ask for a missing value",
        check=null_target,
    ),
    LintRule(
        id="exists-without-boolean",
        title="exists takes true or false",
        severity=Severity.ERROR,
        explanation="exists asks whether the field has a value; its own value says which answer is wanted.",
        hint="write true or false",
        check=exists_without_boolean,
    ),
    LintRule(
        id="empty-list",
        title="in or notIn with an empty list",
        severity=Severity.WARNING,
        explanation="Nothing is in an empty list, so the condition is decided before any resource is seen.",
        hint="list the values, or leave the condition out",
        check=empty_list,
    ),
    LintRule(
        id="list-too-long",
        title="in or notIn with too many values",
        severity=Severity.ERROR,
        explanation=f"The language allows {_VALUES_MAX} values in the list of in and notIn.",
        hint="take the list from a parameter of type Array, or split it over two conditions",
        check=list_too_long,
    ),
    LintRule(
        id="list-expected",
        title="in or notIn without a list",
        severity=Severity.ERROR,
        explanation="in and notIn compare with each member of a list; a single value is refused.",
        hint="use equals, put the value in a list, or give the parameter the type Array",
        check=list_expected,
    ),
    LintRule(
        id="array-parameter-as-text",
        title="A parameter of type Array is compared as one value",
        severity=Severity.ERROR,
        explanation="A parameter of type Array can be used with in, notIn and value counts only; the "
        "service refuses "
        "it elsewhere.",
        hint="use in or notIn",
        check=array_parameter_as_text,
        official=("array-compared-as-scalar",),
    ),
    LintRule(
        id="repeated-value",
        title="A value is listed twice",
        severity=Severity.NOTE,
        explanation="in and notIn ignore case; a value that differs in case only adds nothing.",
        hint="list each value once",
        check=repeated_value,
    ),
    LintRule(
        id="count-always-decided",
        title="The count is compared with an impossible number",
        severity=Severity.ERROR,
        explanation="A count is a whole number from 0 up, so the comparison has the same outcome for every "
        "resource.",
        hint="use greater: 0 for 'at least one' and equals: 0 for 'none'",
        check=count_always_decided,
    ),
    LintRule(
        id="missing-operator",
        title="A condition without an operator",
        severity=Severity.ERROR,
        explanation="field, value and count need exactly one operator beside them.",
        hint="add an operator such as equals, and check its spelling",
        check=missing_operator,
    ),
)

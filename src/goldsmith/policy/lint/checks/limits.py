"""Rules about the limits of the language (Azure Policy, "policy limits" and "policy rule limits")."""

from collections.abc import Callable, Iterator

from goldsmith.kernel.json import canonical
from goldsmith.policy.limits import (
    CONDITIONS_MAX,
    EXISTENCE_CONDITIONS_MAX,
    FIELD_COUNTS_PER_ARRAY_MAX,
    FUNCTION_CALLS_MAX,
    VALUE_COUNTS_MAX,
)
from goldsmith.policy.lint.definition import DEPTH_MAX, Definition, Member, calls, member, walk
from goldsmith.policy.lint.model import Found, LintRule, Path, Severity

_PARAMETERS_MAX = 20
_BODY_BYTES_MAX = 1_048_576
_ITERATIONS_MAX = 100


def parameters(definition: Definition) -> Iterator[Found]:
    found = definition.own("parameters")
    if found and len(definition.parameters) > _PARAMETERS_MAX:
        yield Found(
            found.path, f"{len(definition.parameters)} parameters, at most {_PARAMETERS_MAX} are allowed"
        )


def conditions(definition: Definition) -> Iterator[Found]:
    for root, most in ((definition.root, CONDITIONS_MAX), (definition.existence, EXISTENCE_CONDITIONS_MAX)):
        if root is not None:
            number = sum(1 for node in root.below() if not node.is_quantifier)
            if number > most:
                yield Found(root.path, f"{number} conditions, at most {most} are allowed")


def nesting(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if node.depth >= DEPTH_MAX:
            yield Found(node.path, f"conditions nest deeper than {DEPTH_MAX} levels")
            return


def functions(definition: Definition) -> Iterator[Found]:
    number = sum(1 for one in definition.written if one.tree is not None for _ in calls(one.tree))
    if number > FUNCTION_CALLS_MAX and definition.rule:
        yield Found(
            definition.rule.path, f"{number} functions are called, at most {FUNCTION_CALLS_MAX} are allowed"
        )


def size(definition: Definition) -> Iterator[Found]:
    length = len(canonical(definition.document))
    if length > _BODY_BYTES_MAX:
        yield Found(
            definition.at, f"the definition has {length} bytes, at most {_BODY_BYTES_MAX} are allowed"
        )


def field_counts(definition: Definition) -> Iterator[Found]:
    number: dict[str, int] = {}
    for path, name in _counts(definition, "field"):
        if isinstance(name.value, str):
            key = name.value.lower()
            number[key] = number.get(key, 0) + 1
            if number[key] == FIELD_COUNTS_PER_ARRAY_MAX + 1:
                yield Found(path, f"'{name.value}' is counted more than {FIELD_COUNTS_PER_ARRAY_MAX} times")


def value_counts(definition: Definition) -> Iterator[Found]:
    found = list(_counts(definition, "value"))
    if len(found) > VALUE_COUNTS_MAX:
        yield Found(
            found[VALUE_COUNTS_MAX][0], f"{len(found)} value counts, at most {VALUE_COUNTS_MAX} are allowed"
        )


def iterations(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if node.kind != "count" or not isinstance(node.subject, dict):
            continue
        times, outer = 1, node
        while True:
            value = member(outer.subject, "value") if isinstance(outer.subject, dict) else None
            if value and isinstance(value.value, list):
                times *= len(value.value)
            above = outer.parent
            while above is not None and above.kind != "count":
                above = above.parent
            if above is None:
                break
            outer = above
        if times > _ITERATIONS_MAX and member(node.subject, "value"):
            yield Found(
                node.path, f"the value count goes round {times} times, at most {_ITERATIONS_MAX} are allowed"
            )


def _counts(definition: Definition, kind: str) -> Iterator[tuple[Path, Member]]:
    for node in definition.nodes:
        found = (
            member(node.subject, kind) if node.kind == "count" and isinstance(node.subject, dict) else None
        )
        if found:
            yield node.path, found


def depth(document: object) -> int:
    """How deep lists and objects nest; found without recursion."""
    return max((len(path) for path, _ in walk(document, ())), default=0)


def _rule(id: str, title: str, explanation: str, check: Callable[[Definition], Iterator[Found]]) -> LintRule:
    return LintRule(
        id=id,
        title=title,
        severity=Severity.ERROR,
        explanation=explanation,
        hint="split the policy into several, grouped in an initiative",
        check=check,
    )


RULES = (
    _rule(
        "limit-parameters",
        "Too many parameters",
        f"A definition may have {_PARAMETERS_MAX} parameters.",
        parameters,
    ),
    _rule(
        "limit-conditions",
        "Too many conditions",
        f"if may have {CONDITIONS_MAX} conditions, the existence condition {EXISTENCE_CONDITIONS_MAX}.",
        conditions,
    ),
    _rule("limit-nesting", "Conditions nest too deep", f"Conditions may nest {DEPTH_MAX} levels.", nesting),
    _rule(
        "limit-functions", "Too many functions", f"A rule may call {FUNCTION_CALLS_MAX} functions.", functions
    ),
    _rule("limit-size", "The definition is too big", f"A request may have {_BODY_BYTES_MAX} bytes.", size),
    _rule(
        "limit-field-counts",
        "One array is counted too often",
        f"A rule may count the same array {FIELD_COUNTS_PER_ARRAY_MAX} times.",
        field_counts,
    ),
    _rule(
        "limit-value-counts",
        "Too many value counts",
        f"A rule may have {VALUE_COUNTS_MAX} value counts.",
        value_counts,
    ),
    _rule(
        "limit-iterations",
        "A value count goes round too often",
        f"Value counts may go round {_ITERATIONS_MAX} times, nested ones multiplied.",
        iterations,
    ),
)

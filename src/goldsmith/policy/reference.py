"""The policy language as this engine has it, as a reference page: operators, functions, effects, limits."""

from collections.abc import Iterator, Mapping

from goldsmith.expressions.functions.function import Function
from goldsmith.expressions.functions.table import FUNCTIONS
from goldsmith.expressions.limits import ARGUMENTS_MAX, EXPRESSION_LENGTH_MAX, NESTING_MAX
from goldsmith.expressions.model import Context
from goldsmith.policy import limits
from goldsmith.policy.operators import COMPLEMENTS
from goldsmith.policy.rule import Effect, Operator

_OPENING = """# The policy language

What rules of modes All and Indexed may say.
Names of keys, operators, functions, effects and fields ignore case.
Definitions of resource-provider modes (`Microsoft.Kubernetes.Data` and others that end in `.Data`) are accepted and stored,
and reported as not evaluated, never as compliant.

## Conditions

A condition is `{"allOf": [...]}`, `{"anyOf": [...]}`, `{"not": {...}}`, or a left side with one operator:

| left side | meaning |
|---|---|
| `field` | `name`, `fullName`, `kind`, `type`, `location`, `id`, `identity.type`, `tags`, `tags.name`, `tags['name']`, or an alias |
| `value` | any value, mostly an expression |
| `count` with `field` | how many members of an array alias (`[*]`) fulfil `where` |
| `count` with `value` and `name` | how many members of a list fulfil `where`; `current('name')` is the member |

Conditions are tried in order, and what comes after the deciding one is not looked at.
An error that is reached fails the evaluation: at the door the request is denied, in compliance the state is
Error.
An alias with `[*]` outside a count holds when its condition holds for every member, and so for an empty
array.

## Operators

Texts are compared without case, but for `match` and `notMatch`.
A missing or null left side counts as the empty text, but for `exists` and the orderings.

| operator | holds when |
|---|---|
"""  # noqa: E501  (one sentence, one line)

OPERATORS: Mapping[Operator, str] = {
    Operator.EQUALS: "both sides are the same as text; arrays and objects are compared member by member",
    Operator.LIKE: "the text fits a pattern with one `*`",
    Operator.MATCH: "the text fits a pattern, with case: `#` a digit, `?` a letter, `.` any character",
    Operator.MATCH_INSENSITIVELY: "as `match`, without case",
    Operator.CONTAINS: "the text has the other as a part; an array has the value as a member",
    Operator.IN: "the value equals a member of the list",
    Operator.CONTAINS_KEY: "the object has the key",
    Operator.LESS: "numbers, texts or moments are in this order; other kinds fail",
    Operator.LESS_OR_EQUALS: "as `less`, or both are equal",
    Operator.GREATER: "as `less`, the other way round",
    Operator.GREATER_OR_EQUALS: "as `greater`, or both are equal",
    Operator.EXISTS: "the field has a value other than null (`true`), or has none (`false`)",
}

EFFECTS: Mapping[Effect, tuple[str, str]] = {
    Effect.DISABLED: ("nothing: the policy is not evaluated", ""),
    Effect.APPEND: (
        "fields are added to the request; another value that is there denies it",
        "a list of `field`, `value`",
    ),
    Effect.MODIFY: (
        "tags, identity or modifiable aliases are written, at the door and by remediation",
        "`roleDefinitionIds`, `operations`, `conflictEffect`",
    ),
    Effect.DENY: ("the request is refused", ""),
    Effect.AUDIT: ("the resource is non-compliant", ""),
    Effect.MANUAL: ("the state is that of an attestation", "`defaultState`"),
    Effect.AUDIT_IF_NOT_EXISTS: (
        "the resource is non-compliant unless a related resource passes",
        "`type`, `name`, `resourceGroupName`, `existenceScope`, `existenceCondition`, `evaluationDelay`",
    ),
    Effect.DEPLOY_IF_NOT_EXISTS: (
        "as `auditIfNotExists`, and yields the deployment that puts it right",
        "as above, `roleDefinitionIds`, `deployment`, `deploymentScope`",
    ),
    Effect.DENY_ACTION: ("an action on the resource is refused", "`actionNames`, `cascadeBehaviors`"),
    Effect.AUDIT_ACTION: ("an action on the resource is recorded", "`actionNames`"),
}


def reference_markdown() -> str:
    """The whole page; a new operator, effect or function without its words is a KeyError here."""
    lines = [*_operators(), "", *_functions(), "", *_effects(), "", *_limits()]
    return _OPENING + "\n".join(lines) + "\n"


def _operators() -> Iterator[str]:
    for operator in Operator:
        positive = COMPLEMENTS.get(operator)
        meaning = f"`{positive.value}` does not hold" if positive else OPERATORS[operator]
        yield f"| `{operator.value}` | {meaning} |"


def _functions() -> Iterator[str]:
    functions = sorted(FUNCTIONS.values(), key=lambda one: one.name.lower())
    allowed = [one for one in functions if Context.POLICY in one.contexts]
    yield "## Functions\n"
    yield "A text in brackets is an expression; `[[` begins a plain text with one bracket.\n"
    yield "| function | arguments | gives |"
    yield "|---|---|---|"
    yield from (f"| `{one.name}` | {_arguments(one)} | {one.doc} |" for one in allowed)
    only = ", ".join(f"`{one.name}`" for one in functions if one not in allowed)
    yield "\nIn templates of deployments only (`details.deployment.properties.template`), refused in rules:"
    yield f"{only}."


def _arguments(function: Function) -> str:
    low, high = function.arguments_min, function.arguments_max
    if high is None:
        return f"{low} or more"
    return str(low) if low == high else f"{low} to {high}"


def _effects() -> Iterator[str]:
    yield "## Effects\n"
    yield "At the door in this order: `disabled`, `append` and `modify`, `deny`, `audit`, `manual`, "
    yield "`auditIfNotExists`, `denyAction`.\n"
    yield "| effect | what happens when the condition holds | `details` |"
    yield "|---|---|---|"
    yield from (f"| `{one.value}` | {EFFECTS[one][0]} | {EFFECTS[one][1]} |" for one in Effect)


def _limits() -> Iterator[str]:
    yield "## Limits\n"
    yield "| limit | value |"
    yield "|---|---|"
    for what, most in (
        ("nested conditions", limits.NESTED_CONDITIONS_MAX),
        ("conditions in `if`", limits.CONDITIONS_MAX),
        ("conditions in `existenceCondition`", limits.EXISTENCE_CONDITIONS_MAX),
        ("calls of functions in a rule", limits.FUNCTION_CALLS_MAX),
        ("value counts in a rule", limits.VALUE_COUNTS_MAX),
        ("field counts of one array", limits.FIELD_COUNTS_PER_ARRAY_MAX),
        ("characters of an expression", EXPRESSION_LENGTH_MAX),
        ("nested calls", NESTING_MAX),
        ("arguments of a call", ARGUMENTS_MAX),
    ):
        yield f"| {what} | {most:,} |"

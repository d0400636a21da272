"""Rules about template expressions: look-ups that may fail, functions that may not be used, constants."""

import difflib
import re
from collections.abc import Iterator

from goldsmith.expressions.functions.table import FUNCTIONS
from goldsmith.expressions.model import Call, Context, Expression, Index, Literal
from goldsmith.policy.lint.definition import Definition, Written, calls, parts
from goldsmith.policy.lint.model import Fix, Found, LintRule, Path, Replace, Severity
from goldsmith.policy.lint.rewrite import rewritten
from goldsmith.policy.rule import Operator

# Functions of deployment templates that the table of functions need not have.
_FORBIDDEN = frozenset(
    {
        "copyindex",
        "datetimeadd",
        "datetimefromepoch",
        "datetimetoepoch",
        "deployment",
        "environment",
        "extensionresourceid",
        "lambda",
        "list",
        "managementgroup",
        "newguid",
        "pickzones",
        "providers",
        "reference",
        "resourceid",
        "subscriptionresourceid",
        "tenant",
        "tenantresourceid",
        "variables",
    }
)
# What gives a value that differs between resources, requests, assignments or moments.
_FROM_RESOURCE = frozenset({"field", "current", "requestcontext", "resourcegroup", "subscription"})
_VARYING = _FROM_RESOURCE | {"utcnow", "policy", "parameters", "true", "false", "null"}
_SAFE_MEMBERS = {
    "requestcontext": {"apiversion", "identity"},
    "subscription": {"id", "subscriptionid", "tenantid", "displayname"},
    "resourcegroup": {"id", "name", "type", "location", "tags", "properties", "managedby"},
    "policy": {"assignmentid", "definitionid", "setdefinitionid", "definitionreferenceid"},
}
_COERCING = (
    Operator.EQUALS,
    Operator.NOT_EQUALS,
    Operator.LIKE,
    Operator.NOT_LIKE,
    Operator.IN,
    Operator.NOT_IN,
    Operator.CONTAINS,
    Operator.NOT_CONTAINS,
    Operator.MATCH,
    Operator.NOT_MATCH,
    Operator.MATCH_INSENSITIVELY,
    Operator.NOT_MATCH_INSENSITIVELY,
)
_LOOKS_COMPUTED = re.compile(
    r"\[(parameters|field|concat|current|resourceGroup|subscription|utcNow|requestContext)\(", re.IGNORECASE
)


def unparsable(definition: Definition) -> Iterator[Found]:
    for one in definition.written:
        if one.problem is not None:
            yield Found(one.path, one.problem)


def unguarded_member(definition: Definition) -> Iterator[Found]:
    for one, part in _indexes(definition):
        chain = _chain(part)
        if chain is None or not _may_be_missing(chain[0], chain[1]) or _is_identity(chain):
            continue
        target, keys = chain
        guarded = Call("tryget", (target, *(Literal(key) for key in keys)))
        fix = _fix("Use tryGet.", one, part, guarded) if _is_left_side(one.path) else None
        yield Found(one.path, f"'{keys[-1]}' is looked up in {target.name}() and may be missing", fix)


def unguarded_identity(definition: Definition) -> Iterator[Found]:
    for one, part in _indexes(definition):
        chain = _chain(part)
        if chain is not None and _is_identity(chain):
            target, keys = chain
            guarded = Call(
                "tryget", (Index(target, Literal("identity")), *(Literal(key) for key in keys[1:]))
            )
            fix = _fix("Use tryGet.", one, part, guarded) if _is_left_side(one.path) else None
            yield Found(one.path, f"not every token has the claim '{keys[-1]}'", fix)


def unguarded_number(definition: Definition) -> Iterator[Found]:
    for one, part in _indexes(definition):
        match part:
            case Index(Call("split", _) as target, Literal(int() as number)) if number > 0 and _varies(
                target
            ):
                if not isinstance(number, bool) and not _is_guarded(one):
                    yield Found(one.path, f"the text may have fewer than {number + 1} parts when it is split")
            case _:
                pass


def null_operand(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        for one in definition.written_in(node.target, node.target_path):
            if one.path == node.target_path and isinstance(one.tree, Call) and one.tree.name == "tryget":
                fix = _fix("Add a fall-back.", one, one.tree, Call("coalesce", (one.tree, Literal(""))))
                yield Found(one.path, "tryGet gives null when there is nothing", fix)


def null_compared(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        path = node.subject_path
        for one in definition.written_in(node.subject, path) if node.operator in _COERCING else ():
            if one.path == path and isinstance(one.tree, Call) and one.tree.name == "tryget":
                yield Found(one.path, f"where tryGet gives null, {node.operator_key} compares an empty text")


def unguarded_substring(definition: Definition) -> Iterator[Found]:
    for one in definition.written:
        for call in calls(one.tree) if one.tree is not None else ():
            match call:
                case Call("substring", (source, *bounds)) if _is_resource_value(source) and not _is_guarded(
                    one
                ):
                    if all(isinstance(bound, Literal) for bound in bounds):
                        yield Found(one.path, "substring fails when the text is shorter")
                case _:
                    pass


def forbidden_function(definition: Definition) -> Iterator[Found]:
    for one, call in _calls(definition):
        function = FUNCTIONS.get(call.name)
        known = call.name in _FORBIDDEN or call.name.startswith("list")
        if known if function is None else Context.POLICY not in function.contexts:
            name = function.name if function else call.name
            yield Found(one.path, f"{name}() cannot be used in a policy rule")


def unknown_function(definition: Definition) -> Iterator[Found]:
    for one, call in _calls(definition):
        if call.name not in FUNCTIONS and call.name not in _FORBIDDEN and not call.name.startswith("list"):
            near = difflib.get_close_matches(call.name, FUNCTIONS, n=1, cutoff=0.75)
            meant = f"; did you mean {FUNCTIONS[near[0]].name}()" if near else ""
            yield Found(one.path, f"there is no function {call.name[:60]}(){meant}")


def argument_count(definition: Definition) -> Iterator[Found]:
    for one, call in _calls(definition):
        function = FUNCTIONS.get(call.name)
        if function is None or Context.POLICY not in function.contexts:
            continue
        low, high, given = function.arguments_min, function.arguments_max, len(call.arguments)
        if given < low or (high is not None and given > high):
            wanted = f"at least {low}" if high is None else f"{low}" if low == high else f"{low} to {high}"
            yield Found(one.path, f"{function.name}() takes {wanted} arguments, got {given}")


def _calls(definition: Definition) -> Iterator[tuple[Written, Call]]:
    for one in definition.written if definition.is_evaluated else ():
        for call in calls(one.tree) if one.tree is not None else ():
            yield one, call


def reads_identity(definition: Definition) -> Iterator[Found]:
    for one in definition.written:
        for part in parts(one.tree) if one.tree is not None else ():
            match part:
                case Index(Call("requestcontext"), Literal(str() as key)) if key.lower() == "identity":
                    yield Found(one.path, "who asks is known at the door only")
                    return
                case _:
                    pass


def reads_clock(definition: Definition) -> Iterator[Found]:
    roots = [node.path for node in (definition.root, definition.existence) if node is not None]
    for one in definition.written:
        inside = any(one.path[: len(root)] == root for root in roots)
        if inside and one.tree is not None and any(call.name == "utcnow" for call in calls(one.tree)):
            yield Found(one.path, "the outcome changes with time, without any change of the resource")


def constant_expression(definition: Definition) -> Iterator[Found]:
    for one in definition.written:
        if one.tree is None or _is_escape(one.tree):
            continue
        if not any(call.name in _VARYING or call.name.startswith("list") for call in calls(one.tree)):
            yield Found(one.path, f"{one.text} has the same value everywhere")


def expression_inside_text(definition: Definition) -> Iterator[Found]:
    for path, text in definition.texts:
        found = _LOOKS_COMPUTED.search(text)
        if found and not text.startswith("["):
            yield Found(path, f"'{text[:60]}' is taken as it stands: only a whole text can be an expression")


def unclosed(definition: Definition) -> Iterator[Found]:
    for path, text in definition.texts:
        if _LOOKS_COMPUTED.match(text) and not text.endswith("]"):
            yield Found(path, f"'{text[:60]}' begins like an expression and does not end in ]")


def _fix(description: str, one: Written, part: Expression, new: Expression) -> Fix:
    assert one.tree is not None
    return Fix(description, (Replace(one.path, rewritten(one.text, one.tree, part, new)),))


def _indexes(definition: Definition) -> Iterator[tuple[Written, Index]]:
    """The outermost look-ups: of `a.b.c` the one that gives c."""
    for one in definition.written:
        inner: set[int] = set()
        for part in parts(one.tree) if one.tree is not None else ():
            if isinstance(part, Index):
                if id(part) not in inner:
                    yield one, part
                if isinstance(part.target, Index):
                    inner.add(id(part.target))


def _chain(part: Index) -> tuple[Call, list[str]] | None:
    """`f().a.b` as the call and its keys; None when a key is computed or a number."""
    keys: list[str] = []
    target: Expression = part
    while isinstance(target, Index):
        if not isinstance(target.key, Literal) or not isinstance(target.key.value, str):
            return None
        keys.insert(0, target.key.value)
        target = target.target
    return (target, keys) if isinstance(target, Call) else None


def _may_be_missing(call: Call, keys: list[str]) -> bool:
    if call.name in _SAFE_MEMBERS:
        return len(keys) > 1 or keys[0].lower() not in _SAFE_MEMBERS[call.name]
    return call.name in _FROM_RESOURCE


def _is_identity(chain: tuple[Call, list[str]]) -> bool:
    call, keys = chain
    return call.name == "requestcontext" and len(keys) > 1 and keys[0].lower() == "identity"


def _is_left_side(path: Path) -> bool:
    return str(path[-1]).lower() == "value"


def _varies(tree: Expression) -> bool:
    return any(call.name in _FROM_RESOURCE for call in calls(tree))


def _is_resource_value(tree: Expression) -> bool:
    return isinstance(tree, Call) and tree.name in ("field", "current")


def _is_guarded(one: Written) -> bool:
    """Whether the expression asks first: an if() in it, or a length."""
    return one.tree is not None and any(call.name in ("if", "length", "coalesce") for call in calls(one.tree))


def _is_escape(tree: Expression) -> bool:
    # A text in brackets may begin with a bracket; true(), false() and null() have no other form.
    return isinstance(tree, Literal) or (isinstance(tree, Call) and not tree.arguments)


RULES = (
    LintRule(
        id="expression-does-not-parse",
        title="An expression that cannot be read",
        severity=Severity.ERROR,
        explanation="A text in brackets is an expression of the template language.",
        hint="correct the expression, or double the opening bracket for a plain text",
        check=unparsable,
    ),
    LintRule(
        id="unguarded-member",
        title="A member is looked up that may be missing",
        severity=Severity.WARNING,
        explanation="A look-up of a member that is not there fails the evaluation. At the door that denies "
        "the "
        "request, whatever the effect; in compliance the state is Error.",
        hint="use tryGet(object, 'name'), with coalesce around it for a fall-back",
        check=unguarded_member,
    ),
    LintRule(
        id="unguarded-identity",
        title="A claim is looked up that may be missing",
        severity=Severity.WARNING,
        explanation="requestContext().identity is always there, its members depend on the token. Looking "
        "one up that "
        "is missing fails the evaluation, which denies the request.",
        hint="use tryGet(requestContext().identity, 'claims', 'name')",
        check=unguarded_identity,
        official=("unguarded-request-context-identity-access", "claims-function-usage"),
    ),
    LintRule(
        id="unguarded-index",
        title="A part of a split text that may be missing",
        severity=Severity.WARNING,
        explanation="An index behind the end of a list fails the evaluation, which denies the request.",
        hint="use last(), or ask for the length in an if() first",
        check=unguarded_number,
    ),
    LintRule(
        id="null-operand",
        title="tryGet as an operator's value",
        severity=Severity.ERROR,
        explanation="tryGet gives null when there is nothing, and a null on the right side fails the "
        "evaluation.",
        hint="wrap it: coalesce(tryGet(...), '')",
        check=null_operand,
        official=("unguarded-tryget-operator-value", "unguarded-tryget-equality-operand"),
    ),
    LintRule(
        id="null-compared",
        title="tryGet compared without a fall-back",
        severity=Severity.NOTE,
        explanation="A null on the left side counts as an empty text, so that negative operators hold.",
        hint="make sure that this is meant, or add a fall-back with coalesce",
        check=null_compared,
        official=("tryget-use-with-null-coercing-operator", "unguarded-tryget-in-compared-value"),
    ),
    LintRule(
        id="unguarded-substring",
        title="substring of a text that may be too short",
        severity=Severity.ERROR,
        explanation="substring fails when its bounds lie outside the text; that denies the request.",
        hint="ask for the length in an if() first, or use like, startsWith or take",
        check=unguarded_substring,
        official=("unguarded-substring-on-resource-value", "unguarded-substring-function"),
    ),
    LintRule(
        id="forbidden-function",
        title="A function that policy rules cannot use",
        severity=Severity.ERROR,
        explanation="Functions that look at other resources, deploy, or differ from call to call belong to "
        "deployment templates; inside details.deployment.properties.template they are fine.",
        hint="use field(), parameters(), resourceGroup(), subscription() or utcNow()",
        check=forbidden_function,
    ),
    LintRule(
        id="unknown-function",
        title="A function that does not exist",
        severity=Severity.ERROR,
        explanation="The service refuses a rule that calls a function it does not know.",
        hint="correct its name",
        check=unknown_function,
    ),
    LintRule(
        id="argument-count",
        title="A function with too few or too many arguments",
        severity=Severity.ERROR,
        explanation="The service refuses the rule, or every evaluation fails.",
        hint="give the arguments that the function takes",
        check=argument_count,
    ),
    LintRule(
        id="identity-only-at-the-door",
        title="The rule asks who makes the request",
        severity=Severity.WARNING,
        explanation="A policy that reads requestContext().identity is enforced on requests; it has no "
        "compliance "
        "data, because a scan has nobody who asks.",
        hint="keep it to policies that need no compliance state",
        check=reads_identity,
        official=(
            "request-context-identity-is-enforcement-only",
            "request-context-identity-disables-compliance-scans",
        ),
    ),
    LintRule(
        id="depends-on-time",
        title="The rule reads the clock",
        severity=Severity.NOTE,
        explanation="A resource becomes non-compliant with nobody touching it. It is noticed at the next "
        "evaluation "
        "of the clock, not at a write.",
        hint="nothing to do when it is meant",
        check=reads_clock,
    ),
    LintRule(
        id="constant-expression",
        title="An expression without anything that varies",
        severity=Severity.NOTE,
        explanation="The expression reads no field, parameter or context, so its value could be written "
        "down.",
        hint="write the value itself",
        check=constant_expression,
    ),
    LintRule(
        id="expression-inside-text",
        title="An expression in the middle of a text",
        severity=Severity.WARNING,
        explanation="A text is an expression as a whole or not at all: brackets in the middle stay what "
        "they are.",
        hint="use concat('text', parameters('name')) in brackets",
        check=expression_inside_text,
    ),
    LintRule(
        id="unclosed-expression",
        title="An expression without its closing bracket",
        severity=Severity.WARNING,
        explanation="A text that begins with a bracket and does not end with one is a plain text.",
        hint="close the bracket",
        check=unclosed,
    ),
)

"""Policy rule as JSON -> `Rule`, or an error that names the JSON path.

Specification: the Azure Policy definition structure, "policy rule", and its table of limits. Keys, operators
and effects ignore case. Everything is bounded before it is looked at, so a rule of any size or nesting ends
in a clear error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from goldsmith.expressions.evaluate import calls
from goldsmith.expressions.functions.table import lookup
from goldsmith.expressions.model import Call, Context, Expression, Literal
from goldsmith.expressions.parse import is_expression, parse_expression, unescape
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.limits import (
    CONDITIONS_MAX,
    DETAILS_NODES_MAX,
    EXISTENCE_CONDITIONS_MAX,
    FIELD_COUNTS_PER_ARRAY_MAX,
    FUNCTION_CALLS_MAX,
    NESTED_CONDITIONS_MAX,
    OPERAND_NODES_MAX,
    TEXT_LENGTH_MAX,
    VALUE_COUNTS_MAX,
    check_size,
)
from goldsmith.policy.operators import target_problem
from goldsmith.policy.paths import parse_field
from goldsmith.policy.rule import (
    AllOf,
    AnyOf,
    Computed,
    Condition,
    Constant,
    CountCondition,
    Effect,
    FieldCondition,
    FieldCount,
    ListOf,
    Not,
    ObjectOf,
    Operand,
    Operator,
    Rule,
    ValueCondition,
    ValueCount,
)

DEFAULT_COUNT_NAME = "default"

_OPERATORS = {operator.value.lower(): operator for operator in Operator}
_EFFECTS = {effect.value.lower(): effect for effect in Effect}
_LOGICAL = ("allof", "anyof", "not")
_SUBJECTS = ("field", "value", "count")
_LOOKUP = ("type", "name", "resourceGroupName", "existenceScope")


def read_rule(policy_rule: JsonValue, *, at: str = "policyRule", any_effect: bool = False) -> Rule:
    """Raise InvalidInputError naming the JSON path when the rule is not one.

    `any_effect` accepts effects that only resource-provider modes have. Keys of the rule and of `then` that
    the language does not know are ignored, as the service does; those of a condition are errors.
    """
    members = _members(policy_rule, at, what="a policy rule")
    condition = _required(members, "if", at)
    then_at = f"{at}.then"
    then = _members(_required(members, "then", at), then_at, what="then")
    effect = read_effect(_required(then, "effect", then_at), at=f"{then_at}.effect", any_effect=any_effect)
    reading = _Reading(at=at)
    parsed = reading.condition(condition, f"{at}.if", 1, ())
    details = then.get("details")
    details_at = f"{then_at}.details"
    check_size(details, details_at, nodes_max=DETAILS_NODES_MAX, text_max=None)
    existence = None
    lookup: dict[str, Operand] = {}
    if isinstance(details, dict):
        detail_members = _members(details, details_at, what="details")
        existence_condition = detail_members.get("existencecondition")
        if existence_condition is not None:
            reading.conditions_left = EXISTENCE_CONDITIONS_MAX
            existence = reading.condition(existence_condition, f"{details_at}.existenceCondition", 1, ())
        for name in _LOOKUP:
            if detail_members.get(name.lower()) is not None:
                lookup[name] = reading.operand(detail_members[name.lower()], f"{details_at}.{name}", ())
    return Rule(condition=parsed, effect=effect, details=details, existence=existence, lookup=lookup)


def read_condition(value: JsonValue, *, at: str) -> Condition:
    """One condition by itself. Raise InvalidInputError naming the JSON path."""
    return _Reading(at=at).condition(value, at, 1, ())


def read_operand(value: JsonValue, *, at: str) -> Operand:
    """Any JSON value whose strings may be `[expressions]`: a value that modify writes, a parameter's value.

    Raise InvalidInputError naming the JSON path.
    """
    return _Reading(at=at).operand(value, at, ())


def read_effect(value: JsonValue, *, at: str, any_effect: bool = False) -> Constant | Computed:
    """The effect, its spelling kept. Raise InvalidInputError for what is neither effect nor expression."""
    if not isinstance(value, str):
        raise InvalidInputError(
            f"{at}: expected the name of an effect, got {_kind(value)}",
            hint='write "audit" or "[parameters(\'effect\')]"',
        )
    operand = _Reading(at=at).operand(value, at, ())
    assert isinstance(operand, Constant | Computed)
    if isinstance(operand, Constant) and not any_effect and value.lower() not in _EFFECTS:
        raise InvalidInputError(
            f"{at}: there is no effect {_shown(value)}",
            hint="the effects are " + ", ".join(effect.value for effect in Effect),
        )
    return operand


@dataclass(frozen=True, slots=True)
class _Scope:
    """A count whose `where` is being read: the alias it counts members of, or the name of its value."""

    alias: str | None = None
    name: str | None = None


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What is left of the limits that hold for a whole rule."""

    at: str
    conditions_left: int = CONDITIONS_MAX
    calls_left: int = FUNCTION_CALLS_MAX
    value_counts_left: int = VALUE_COUNTS_MAX
    field_counts: dict[str, int] = field(default_factory=dict)

    def condition(self, value: JsonValue, at: str, depth: int, scopes: tuple[_Scope, ...]) -> Condition:
        # One Python frame for each level of nesting: the documented 512 levels fit into the interpreter's
        # own limit only so.
        if depth > NESTED_CONDITIONS_MAX:
            raise InvalidInputError(
                f"{self.at}: conditions nest deeper than {NESTED_CONDITIONS_MAX} levels, at {_ending(at)}",
                hint="flatten allOf in allOf and anyOf in anyOf",
            )
        self.conditions_left -= 1
        if self.conditions_left < 0:
            raise InvalidInputError(
                f"{at}: the rule has more than {CONDITIONS_MAX} conditions", hint="split it into several"
            )
        members = _members(value, at, what="a condition")
        key = next((name for name in _LOGICAL if name in members), None)
        if key is None:
            subject, operator, target = self.leaf(members, at, scopes)
            if subject == "count":
                count, where, inner = self.count(members["count"], f"{at}.count", scopes)
                if where is not None:
                    parsed = self.condition(where, f"{at}.count.where", depth + 1, inner)
                    count = _with_where(count, parsed)
                return CountCondition(count=count, operator=operator, target=target, at=at)
            if subject == "value":
                operand = self.operand(members["value"], f"{at}.value", scopes)
                return ValueCondition(value=operand, operator=operator, target=target, at=at)
            name = self.field_name(members["field"], f"{at}.field", scopes)
            return FieldCondition(field=name, operator=operator, target=target, at=at)
        if len(members) > 1:
            other = next(name for name in members if name != key)
            raise InvalidInputError(
                f"{at}: '{other}' stands beside '{key}'",
                hint=f"put all of it into an allOf, or remove '{other}'",
            )
        if key == "not":
            return Not(condition=self.condition(members["not"], f"{at}.not", depth + 1, scopes), at=at)
        listed = members[key]
        spelling = "allOf" if key == "allof" else "anyOf"
        if not isinstance(listed, list):
            raise InvalidInputError(
                f"{at}.{spelling}: expected an array of conditions, got {_kind(listed)}",
                hint=f"write {spelling}: [ ... ]",
            )
        parts: list[Condition] = []
        for index, part in enumerate(listed):
            parts.append(self.condition(part, f"{at}.{spelling}[{index}]", depth + 1, scopes))
        if key == "allof":
            return AllOf(conditions=tuple(parts), at=at)
        return AnyOf(conditions=tuple(parts), at=at)

    def leaf(
        self, members: Mapping[str, JsonValue], at: str, scopes: tuple[_Scope, ...]
    ) -> tuple[str, Operator, Operand]:
        """Which left side a condition has, its operator and its right side."""
        subjects = [name for name in _SUBJECTS if name in members]
        operators = [name for name in members if name in _OPERATORS]
        unknown = next((name for name in members if name not in _SUBJECTS and name not in _OPERATORS), None)
        if "source" in members:
            raise InvalidInputError(
                f"{at}: 'source' conditions are a legacy form that the language has dropped",
                hint="use a field condition",
            )
        if unknown is not None:
            raise InvalidInputError(
                f"{at}: there is no operator {_shown(unknown)}",
                hint="the operators are " + ", ".join(operator.value for operator in Operator),
            )
        if len(subjects) != 1 or len(operators) != 1:
            raise InvalidInputError(
                f"{at}: expected one of field, value and count and one operator, got "
                + (", ".join(f"'{name}'" for name in members) or "nothing"),
                hint='a condition is {"field": "type", "equals": "..."}, or allOf, anyOf, not',
            )
        operator = _OPERATORS[operators[0]]
        target_at = f"{at}.{operator}"
        target = self.operand(members[operators[0]], target_at, scopes)
        problem = target_problem(operator, target.value) if isinstance(target, Constant) else None
        if problem is not None:
            raise InvalidInputError(f"{target_at}: {problem}", hint=f"see the reference of {operator}")
        return subjects[0], operator, target

    def field_name(self, value: JsonValue, at: str, scopes: tuple[_Scope, ...]) -> Constant | Computed:
        if not isinstance(value, str):
            raise InvalidInputError(
                f"{at}: expected the name of a field, got {_kind(value)}",
                hint="write type, location, tags['name'] or an alias",
            )
        operand = self.operand(value, at, scopes)
        assert isinstance(operand, Constant | Computed)
        if isinstance(operand, Constant):
            _check_field(str(operand.value), at)
        return operand

    def count(
        self, value: JsonValue, at: str, scopes: tuple[_Scope, ...]
    ) -> tuple[FieldCount | ValueCount, JsonValue, tuple[_Scope, ...]]:
        """A count without its `where`, the `where` as written, and the scopes it stands in."""
        members = _members(value, at, what="a count")
        unknown = next((key for key in members if key not in ("field", "value", "name", "where")), None)
        if unknown is not None or ("field" in members) == ("value" in members):
            raise InvalidInputError(
                f"{at}: expected 'field' or 'value', got "
                + (", ".join(f"'{key}'" for key in members) or "nothing"),
                hint="a count has field or value, and may have where (and name beside value)",
            )
        where = members.get("where")
        if "where" in members and where is None:
            raise InvalidInputError(f"{at}.where: expected a condition, got null", hint="leave where out")
        if "field" in members:
            alias = self.counted_field(members, at)
            return FieldCount(field=alias, where=None), where, (*scopes, _Scope(alias=alias.lower()))
        name = self.count_name(members.get("name"), f"{at}.name", scopes)
        self.value_counts_left -= 1
        if self.value_counts_left < 0:
            raise InvalidInputError(
                f"{at}: the rule has more than {VALUE_COUNTS_MAX} value counts", hint="split the rule"
            )
        operand = self.operand(members["value"], f"{at}.value", scopes)
        if isinstance(operand, Constant) and not isinstance(operand.value, list):
            raise InvalidInputError(
                f"{at}.value: expected an array, got {_kind(operand.value)}",
                hint="a value count goes through the members of an array",
            )
        inner = (*scopes, _Scope(name=name.lower()))
        return ValueCount(value=operand, name=name, where=None), where, inner

    def counted_field(self, members: Mapping[str, JsonValue], at: str) -> str:
        alias = members["field"]
        if not isinstance(alias, str) or "[*]" not in alias or is_expression(alias):
            raise InvalidInputError(
                f"{at}.field: expected an array alias with [*], got {_shown(alias)}",
                hint="name the members, as in Microsoft.Compute/virtualMachines/zones[*]",
            )
        if "name" in members:
            raise InvalidInputError(
                f"{at}.name: only a value count has a name", hint="refer to the member by its alias"
            )
        _check_field(alias, f"{at}.field")
        array = alias.lower()
        self.field_counts[array] = self.field_counts.get(array, 0) + 1
        if self.field_counts[array] > FIELD_COUNTS_PER_ARRAY_MAX:
            raise InvalidInputError(
                f"{at}.field: the rule counts {alias} more than {FIELD_COUNTS_PER_ARRAY_MAX} times",
                hint="put the conditions into one where",
            )
        return alias

    def count_name(self, name: JsonValue, at: str, scopes: tuple[_Scope, ...]) -> str:
        around = [scope.name for scope in scopes if scope.name is not None]
        if name is None:
            if around:
                raise InvalidInputError(
                    f"{at}: a value count inside another one needs a name", hint='add "name": "..."'
                )
            return DEFAULT_COUNT_NAME
        if not isinstance(name, str) or not name or is_expression(name):
            raise InvalidInputError(
                f"{at}: expected the name of the count, got {_shown(name)}", hint="write it out as text"
            )
        if name.lower() in around:
            raise InvalidInputError(
                f"{at}: {_shown(name)} is the name of a count around this one", hint="choose another name"
            )
        return name

    def operand(self, value: JsonValue, at: str, scopes: tuple[_Scope, ...]) -> Operand:
        check_size(value, at, nodes_max=OPERAND_NODES_MAX, text_max=TEXT_LENGTH_MAX)
        return self.part(value, at, scopes)

    def part(self, value: JsonValue, at: str, scopes: tuple[_Scope, ...]) -> Operand:
        """An operand of bounded size; its nesting bounds the recursion."""
        if isinstance(value, str):
            if is_expression(value):
                return Computed(expression=self.expression(value, at, scopes), text=value)
            return Constant(unescape(value))
        if isinstance(value, list):
            parts = [self.part(member, f"{at}[{index}]", scopes) for index, member in enumerate(value)]
            if all(isinstance(part, Constant) for part in parts):
                return Constant([part.value for part in parts if isinstance(part, Constant)])
            return ListOf(tuple(parts))
        if isinstance(value, dict):
            pairs = [(key, self.part(member, f"{at}.{key}", scopes)) for key, member in value.items()]
            if all(isinstance(part, Constant) for _, part in pairs):
                return Constant({key: part.value for key, part in pairs if isinstance(part, Constant)})
            return ObjectOf(tuple(pairs))
        return Constant(value)

    def expression(self, text: str, at: str, scopes: tuple[_Scope, ...]) -> Expression:
        try:
            expression, found = _parsed(text)
        except InvalidInputError:
            # Parsed again for an error that names this place.
            expression = parse_expression(text, at=at)
            _check_functions(calls(expression), at)
            raise
        self.calls_left -= len(found)
        if self.calls_left < 0:
            raise InvalidInputError(
                f"{at}: the rule calls more than {FUNCTION_CALLS_MAX} functions", hint="split it into several"
            )
        for call in found:
            if call.name == "current":
                _check_current(call, at, scopes)
        return expression


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[Expression, tuple[Call, ...]]:
    """Definitions repeat one another: most of their expressions occur many times."""
    expression = parse_expression(text, at="expression")
    found = tuple(calls(expression))
    _check_functions(found, "expression")
    return expression, found


def _check_functions(found: tuple[Call, ...] | list[Call], at: str) -> None:
    for call in found:
        try:
            lookup(call.name, len(call.arguments), context=Context.POLICY)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"{at}: {error.message}", hint=error.hint or "see the reference of functions"
            ) from error
        if call.name == "utcnow" and call.arguments:
            raise InvalidInputError(
                f"{at}: utcNow() takes no argument in a policy rule", hint="its form is that of a round trip"
            )
        if call.name == "field" and isinstance(call.arguments[0], Literal):
            name = call.arguments[0].value
            if not isinstance(name, str):
                raise InvalidInputError(
                    f"{at}: field() expects the name of a field", hint="write field('name')"
                )
            _check_field(name, at)


def _check_field(name: str, at: str) -> None:
    try:
        parse_field(name)
    except InvalidInputError as error:
        raise InvalidInputError(f"{at}: {error.message}", hint=error.hint) from error


def _check_current(call: Call, at: str, scopes: tuple[_Scope, ...]) -> None:
    if not scopes:
        raise InvalidInputError(
            f"{at}: current() outside the where of a count", hint="only a where has a current member"
        )
    # Without a name it is the innermost count's, as the case files have it; the service allows it only where
    # there is one count around it.
    if not call.arguments:
        return
    if not isinstance(call.arguments[0], Literal):
        return
    name = call.arguments[0].value
    lowered = name.lower() if isinstance(name, str) else ""
    for scope in scopes:
        if scope.name == lowered:
            return
        if scope.alias is not None and (lowered + ".").startswith((scope.alias + ".", scope.alias + "[")):
            return
    raise InvalidInputError(
        f"{at}: current({_shown(name)}) names no count around it",
        hint="use the name of a value count, or an alias that begins with the counted one",
    )


def _with_where(count: FieldCount | ValueCount, where: Condition) -> FieldCount | ValueCount:
    if isinstance(count, FieldCount):
        return FieldCount(field=count.field, where=where)
    return ValueCount(value=count.value, name=count.name, where=where)


def _members(value: JsonValue, at: str, *, what: str) -> dict[str, JsonValue]:
    """The members of an object by lower-case key."""
    if not isinstance(value, dict):
        raise InvalidInputError(
            f"{at}: expected {what} as an object, got {_kind(value)}", hint="write { ... }"
        )
    members = {key.lower(): member for key, member in value.items()}
    if len(members) != len(value):
        spelling = _spelt_twice(value)
        raise InvalidInputError(
            f"{at}: {_shown(spelling)} is there twice, spelt differently", hint="keys ignore case: remove one"
        )
    return members


def _spelt_twice(value: Mapping[str, JsonValue]) -> str:
    seen: set[str] = set()
    for key in value:
        if key.lower() in seen:
            return key
        seen.add(key.lower())
    raise AssertionError("no key is there twice")


def _required(members: Mapping[str, JsonValue], key: str, at: str) -> JsonValue:
    if key not in members:
        raise InvalidInputError(f"{at}: '{key}' is missing", hint=f"add '{key}'")
    return members[key]


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"


def _shown(value: JsonValue) -> str:
    return f"'{value[:80]}'" if isinstance(value, str) else _kind(value)


def _ending(at: str) -> str:
    return at if len(at) <= 120 else f"...{at[-120:]}"

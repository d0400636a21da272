"""What a rule is compiled for: parameter values, policy(), the resource type and its aliases.

Folds into expressions whatever that decides, and resolves field names to paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.evaluate import fold
from goldsmith.expressions.model import Call, Context, Expression, Index, Literal
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.paths import WILDCARD, FieldKind, FieldName, alias_segments, parse_field
from goldsmith.policy.reader import read_operand
from goldsmith.policy.rule import Computed, Constant, ListOf, ObjectOf, Operand

_PARAMETER_CHAIN_MAX = 20
_POLICY_MEMBERS = ("assignmentId", "definitionId", "setDefinitionId", "definitionReferenceId")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of one resource type. `path` is None for an alias that the type does not have."""

    kind: FieldKind
    path: tuple[str, ...] | None
    is_collection: bool


@dataclass(slots=True, kw_only=True)
class Setting:
    """`unknown` gathers the aliases met that no table knows, `derived` those whose path was guessed."""

    parameters: Mapping[str, JsonValue]
    policy_context: Mapping[str, JsonValue]
    aliases: AliasTable
    resource_type: str
    api_version: str | None = None
    related_type: str = ""
    unknown: set[str] = field(default_factory=set)
    derived: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(init=False)
    _resolved: dict[str, Literal] = field(default_factory=dict)
    _resolving: list[str] = field(default_factory=list)
    _fields: dict[tuple[str, bool], Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = {name.lower(): name for name in self.parameters}

    def operand(self, operand: Operand, current: Mapping[str, JsonValue]) -> Operand:
        """The operand with everything folded that is known; `current` holds members of unrolled counts."""
        match operand:
            case Constant():
                return operand
            case Computed(expression, text):
                return Computed(expression=self.folded(expression, current), text=text)
            case ListOf(members):
                return ListOf(tuple(self.operand(member, current) for member in members))
            case ObjectOf(pairs):
                return ObjectOf(tuple((key, self.operand(member, current)) for key, member in pairs))

    def folded(self, expression: Expression, current: Mapping[str, JsonValue]) -> Expression:
        """A parameter without a value stays: it fails when (and only if) its value is needed.

        Raise InvalidInputError for values of parameters that refer to each other in a circle.
        """

        def known(call: Call) -> Literal | None:
            match call:
                case Call("parameters", (Literal(str(name)),)) if name.lower() in self._names:
                    return self.parameter(name)
                case Call("policy", ()):
                    return self._policy
                case Call("field", (Literal(str(name)),)) if name.lower() == "type" and self.resource_type:
                    return Literal(self.resource_type)
                case Call("current", (Literal(str(name)),)) if name.lower() in current:
                    return Literal(current[name.lower()])
                case Call("current", ()) if "" in current:
                    return Literal(current[""])
                case _:
                    return None

        return _with_lenient_members(fold(expression, context=Context.POLICY, known=known))

    def parameter(self, name: str) -> Literal:
        """A parameter's value; an expression in it is evaluated, and may refer to other parameters."""
        lowered = name.lower()
        found = self._resolved.get(lowered)
        if found is not None:
            return found
        if lowered not in self._names:
            raise InvalidInputError(
                f"parameter {name!r} has no value", hint="give it in the assignment or add a defaultValue"
            )
        if lowered in self._resolving:
            chain = " -> ".join([*self._resolving[self._resolving.index(lowered) :], lowered])
            raise InvalidInputError(
                f"parameters.{name}: the values of parameters refer to each other in a circle: {chain}",
                hint="give one of them a value of its own",
            )
        if len(self._resolving) == _PARAMETER_CHAIN_MAX:
            raise InvalidInputError(
                f"parameters.{name}: more than {_PARAMETER_CHAIN_MAX} parameters refer on to one another",
                hint="give one of them a value of its own",
            )
        self._resolving.append(lowered)
        try:
            value = self._constant(self.parameters[self._names[lowered]], at=f"parameters.{name}")
        finally:
            self._resolving.pop()
        self._resolved[lowered] = Literal(value)
        return self._resolved[lowered]

    def _constant(self, value: JsonValue, *, at: str) -> JsonValue:
        operand = self.operand(read_operand(value, at=at), {})
        try:
            return constant_of(operand)
        except EvaluationError as error:
            raise InvalidInputError(
                f"{at}: the value is not constant: {error.message}",
                hint="only parameters() may be used in it",
            ) from error

    @property
    def _policy(self) -> Literal:
        given = {key.lower(): value for key, value in self.policy_context.items()}
        # A policy that is assigned by itself has no initiative: its ids are empty texts, not missing members.
        return Literal({name: given.get(name.lower()) or "" for name in _POLICY_MEMBERS})

    def field(self, name: str, *, related: bool) -> Field:
        """What a field name means for the resource type (or the related one). Raise InvalidInputError."""
        key = (name, related)
        found = self._fields.get(key)
        if found is None:
            found = self._fields[key] = self._resolve(_parsed(name), related=related)
        return found

    def _resolve(self, name: FieldName, *, related: bool) -> Field:
        if name.kind is FieldKind.ALIAS:
            path = self._alias_path(name.text, related=related)
            is_collection = WILDCARD in (name.text if path is None else path)
            return Field(kind=name.kind, path=path, is_collection=is_collection)
        if name.kind is FieldKind.PATH:
            self.derived.add(name.text)
        return Field(kind=name.kind, path=name.path, is_collection=WILDCARD in name.path)

    def _alias_path(self, alias: str, *, related: bool) -> tuple[str, ...] | None:
        resource_type = self.related_type if related else self.resource_type
        if not resource_type:
            # Nothing says what the resource is: take the alias as the first type that has it does.
            owners = self.aliases.types_with(alias)
            resource_type = owners[0] if owners else alias.rpartition("/")[0]
        entry = self.aliases.resolve(resource_type, alias)
        if entry is None:
            if not self.aliases.knows(alias):
                self.unknown.add(alias)
            return None
        if entry.derived:
            self.derived.add(alias)
        return _segments(entry.path_in(None if related else self.api_version))


def constant_of(operand: Operand) -> JsonValue:
    """The value of an operand that folding has decided; raises EvaluationError when it has not."""
    match operand:
        case Constant(value):
            return value
        case Computed(expression, text):
            if isinstance(expression, Literal):
                return expression.value
            raise EvaluationError(f"{text} depends on what is evaluated")
        case ListOf(members):
            return [constant_of(member) for member in members]
        case ObjectOf(pairs):
            return {key: constant_of(member) for key, member in pairs}


def is_constant(operand: Operand) -> bool:
    match operand:
        case Constant():
            return True
        case Computed(expression, _):
            return isinstance(expression, Literal)
        case ListOf(members):
            return all(is_constant(member) for member in members)
        case ObjectOf(pairs):
            return all(is_constant(member) for _, member in pairs)


@lru_cache(maxsize=8192)
def _parsed(name: str) -> FieldName:
    return parse_field(name)


@lru_cache(maxsize=8192)
def _segments(path: str) -> tuple[str, ...]:
    return alias_segments(path)


def _with_lenient_members(expression: Expression) -> Expression:
    """What a resource group or subscription does not have reads as null, a tag of it as the empty text.

    The service's own policies compare `resourceGroup().tags[x]` with '' to learn whether the tag is there,
    and ask what `resourceGroup().managedBy` of any group contains: neither is a failed look-up, as it would
    be for other objects.
    """
    match expression:
        case Literal():
            return expression
        case Index(
            Index(Call("resourcegroup" | "subscription") as owner, Literal(str(tags)) as member), key
        ) if tags.lower() == "tags":
            found = Call("tryget", (Call("tryget", (owner, member)), _with_lenient_members(key)))
            return Call("coalesce", (found, Literal("")))
        case Index(Call("resourcegroup" | "subscription") as owner, key):
            return Call("tryget", (owner, _with_lenient_members(key)))
        case Index(Call("requestcontext") as owner, Literal(str(name)) as member) if (
            name.lower() == "identity"
        ):
            # Linter, "unguarded requestContext identity access": the identity itself is always there; its
            # members are not, and reading one of no identity fails.
            return Call("tryget", (owner, member))
        case Index(target, key):
            return Index(_with_lenient_members(target), _with_lenient_members(key))
        case Call(name, arguments):
            return Call(name, tuple(_with_lenient_members(argument) for argument in arguments))

"""A policy rule once it is parsed: conditions with their operators, and the effect with its details.

Every node carries `at`, the JSON path of where it stands in the definition (`policyRule.if.allOf[1]`).
Specification: the Azure Policy definition structure, "policy rule".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from goldsmith.expressions.model import Expression
from goldsmith.kernel.json import JsonValue


class Operator(StrEnum):
    """The conditions of the language, as the wire spells them (the spelling ignores case)."""

    EQUALS = "equals"
    NOT_EQUALS = "notEquals"
    LIKE = "like"
    NOT_LIKE = "notLike"
    MATCH = "match"
    NOT_MATCH = "notMatch"
    MATCH_INSENSITIVELY = "matchInsensitively"
    NOT_MATCH_INSENSITIVELY = "notMatchInsensitively"
    CONTAINS = "contains"
    NOT_CONTAINS = "notContains"
    IN = "in"
    NOT_IN = "notIn"
    CONTAINS_KEY = "containsKey"
    NOT_CONTAINS_KEY = "notContainsKey"
    LESS = "less"
    LESS_OR_EQUALS = "lessOrEquals"
    GREATER = "greater"
    GREATER_OR_EQUALS = "greaterOrEquals"
    EXISTS = "exists"


class Effect(StrEnum):
    """The effects of Resource Manager modes; those of resource-provider modes are kept as plain text."""

    DISABLED = "disabled"
    APPEND = "append"
    MODIFY = "modify"
    DENY = "deny"
    AUDIT = "audit"
    MANUAL = "manual"
    AUDIT_IF_NOT_EXISTS = "auditIfNotExists"
    DEPLOY_IF_NOT_EXISTS = "deployIfNotExists"
    DENY_ACTION = "denyAction"
    AUDIT_ACTION = "auditAction"


@dataclass(frozen=True, slots=True)
class Constant:
    """An operand without expressions; a leading `[[` is already unescaped."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Computed:
    """An operand that is one expression; `text` is how it is written, brackets included."""

    expression: Expression
    text: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array of which at least one member is computed."""

    members: tuple["Operand", ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object of which at least one member is computed."""

    members: tuple[tuple[str, "Operand"], ...]


Operand: TypeAlias = Constant | Computed | ListOf | ObjectOf


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    conditions: tuple["Condition", ...]
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    conditions: tuple["Condition", ...]
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    condition: "Condition"
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCondition:
    """`{"field": ..., <operator>: ...}`; `field` is Constant text or Computed."""

    field: Constant | Computed
    operator: Operator
    target: Operand
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCondition:
    value: Operand
    operator: Operator
    target: Operand
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCount:
    """Members of the array that `field` (an alias with `[*]`) selects, for which `where` holds."""

    field: str
    where: "Condition | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCount:
    """Members of `value` for which `where` holds; `current(name)` is the member."""

    value: Operand
    name: str
    where: "Condition | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCondition:
    count: FieldCount | ValueCount
    operator: Operator
    target: Operand
    at: str


Condition: TypeAlias = AllOf | AnyOf | Not | FieldCondition | ValueCondition | CountCondition


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`effect` is Constant text or Computed; `details` is `then.details` as written, keys not yet folded.

    `existence` is its `existenceCondition` parsed, and `lookup` the operands of `type`, `name`,
    `resourceGroupName` and `existenceScope` under those names, as far as they are given.
    """

    condition: Condition
    effect: Constant | Computed
    details: JsonValue
    existence: Condition | None
    lookup: Mapping[str, Operand]

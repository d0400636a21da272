"""Whether a policy is about a resource at all, which is asked before whether the resource complies.

Specification: Azure Policy applicability logic.
"""

import json
import re
from collections.abc import Iterator

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.rule import (
    AllOf,
    AnyOf,
    Computed,
    Condition,
    Constant,
    CountCondition,
    Effect,
    FieldCondition,
    ListOf,
    Not,
    ObjectOf,
    ValueCondition,
    ValueCount,
)
from goldsmith.policy.scope import GROUP_TYPE, MANAGEMENT_GROUP_TYPE, SUBSCRIPTION_TYPE

_LOCATION_FUNCTION = re.compile(r"field\(\s*'location'\s*\)", re.IGNORECASE)
_IDENTITY_FUNCTION = re.compile(
    r"requestcontext\(\s*\)(?!\s*(?:\.\s*apiversion\b|\[\s*'apiversion'\s*\]))", re.IGNORECASE
)
_CONTAINERS = frozenset(each.lower() for each in (SUBSCRIPTION_TYPE, GROUP_TYPE, MANAGEMENT_GROUP_TYPE))
_IDENTITY_TYPES = frozenset(
    {"microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets"}
)
# Top-level types of these stand on other resources and have neither tags nor location.
_EXTENSION_NAMESPACES = frozenset(
    {"microsoft.authorization", "microsoft.guestconfiguration", "microsoft.policyinsights"}
)


def applicability_condition(condition: Condition, effect: str) -> Condition | bool:
    """The part of the `if` that decides applicability; a boolean when nothing of the resource matters.

    The whole of it for auditIfNotExists and deployIfNotExists. Otherwise the conditions on type, name and
    kind alone, with all others taken so that they never hinder.
    """
    if effect in (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS):
        return condition
    fields = {_field_of(leaf) for leaf in leaves(condition)}
    counted = fields & {"type", "name", "kind"}
    if "type" not in fields and not (len(counted) and fields - counted):
        # Only name, only kind or neither: applicable to everything.
        return True
    if not fields - counted:
        # Conditions on type beside name or kind and nothing else: the type alone counts.
        counted = {"type"}
    return _relaxed(condition, counted, neutral=True)


def leaves(condition: Condition) -> Iterator[FieldCondition | ValueCondition | CountCondition]:
    """The conditions of the outermost level: those inside a count belong to the count."""
    match condition:
        case AllOf() | AnyOf():
            for each in condition.conditions:
                yield from leaves(each)
        case Not():
            yield from leaves(condition.condition)
        case _:
            yield condition


def is_evaluated_type(resource_type: str) -> bool:
    """False for what is under Microsoft.Resources, subscriptions and resource groups excepted."""
    lower = resource_type.lower()
    return not lower.startswith("microsoft.resources/") or lower in _CONTAINERS


def is_indexed(resource_type: str, resource: JsonObject) -> bool:
    """Whether mode Indexed looks at the resource: its type has tags and location.

    Which types have is not listed anywhere; a resource that shows one of the two has, and so have the
    top-level types of namespaces that are no extensions.
    """
    lower = resource_type.lower()
    if lower in _CONTAINERS:
        return False
    members = {key.lower(): value for key, value in resource.items()}
    if members.get("location") or "tags" in members:
        return True
    namespace, _, rest = lower.partition("/")
    return "/" not in rest and namespace not in _EXTENSION_NAMESPACES


def mentions_location(policy_rule: JsonObject) -> bool:
    """Whether any condition or deployment parameter looks at the location: then no subscription is meant."""
    return _mentions(policy_rule, ())


def reads_identity(condition: Condition) -> bool:
    """Whether a condition looks at the request beyond its API version: who asks, with which claims."""
    return any(_IDENTITY_FUNCTION.search(text) for text in _texts(condition))


def sets_identity(details: JsonValue) -> bool:
    """Whether a modify policy writes identity.type, which only machines and scale sets let it."""
    return '"identity.type"' in json.dumps(details).lower()


def may_set_identity(resource_type: str) -> bool:
    return resource_type.lower() in _IDENTITY_TYPES


def _texts(node: object) -> Iterator[str]:
    """The expressions written in a condition, as text."""
    match node:
        case Computed():
            yield node.text
        case AllOf() | AnyOf():
            for each in node.conditions:
                yield from _texts(each)
        case Not():
            yield from _texts(node.condition)
        case FieldCondition():
            yield from _texts(node.field)
            yield from _texts(node.target)
        case ValueCondition():
            yield from _texts(node.value)
            yield from _texts(node.target)
        case CountCondition():
            if isinstance(node.count, ValueCount):
                yield from _texts(node.count.value)
            yield from _texts(node.count.where)
            yield from _texts(node.target)
        case ListOf():
            for member in node.members:
                yield from _texts(member)
        case ObjectOf():
            for _, member in node.members:
                yield from _texts(member)
        case _:
            return


def _field_of(leaf: FieldCondition | ValueCondition | CountCondition) -> str:
    if isinstance(leaf, FieldCondition) and isinstance(leaf.field, Constant):
        return str(leaf.field.value).lower()
    return ""


def _relaxed(condition: Condition, counted: set[str], *, neutral: bool) -> Condition | bool:
    match condition:
        case AllOf():
            parts = [_relaxed(each, counted, neutral=neutral) for each in condition.conditions]
            if any(part is False for part in parts):
                return False
            kept = tuple(part for part in parts if not isinstance(part, bool))
            return AllOf(conditions=kept, at=condition.at) if kept else True
        case AnyOf():
            parts = [_relaxed(each, counted, neutral=neutral) for each in condition.conditions]
            if any(part is True for part in parts):
                return True
            kept = tuple(part for part in parts if not isinstance(part, bool))
            return AnyOf(conditions=kept, at=condition.at) if kept else False
        case Not():
            inner = _relaxed(condition.condition, counted, neutral=not neutral)
            return not inner if isinstance(inner, bool) else Not(condition=inner, at=condition.at)
        case _:
            return condition if _field_of(condition) in counted else neutral


def _mentions(value: JsonValue, path: tuple[str, ...]) -> bool:
    if path[-1:] == ("template",):
        return False
    if isinstance(value, dict):
        return any(_mentions(member, (*path, key.lower())) for key, member in value.items())
    if isinstance(value, list):
        return any(_mentions(member, path) for member in value)
    if not isinstance(value, str):
        return False
    if path[-1:] == ("field",) and value.lower() == "location":
        return True
    return _LOCATION_FUNCTION.search(value) is not None

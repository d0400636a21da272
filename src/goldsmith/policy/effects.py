"""Effects by name: which there are, in which order they come, and which a definition can take.

Specification: Azure Policy effect basics, "interchanging effects" and "order of evaluation".
"""

import re

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.rule import Constant, Effect

# The order in which a request meets them; auditIfNotExists and deployIfNotExists follow its success.
REQUEST_ORDER = (
    Effect.DISABLED,
    Effect.APPEND,
    Effect.MODIFY,
    Effect.DENY,
    Effect.AUDIT,
    Effect.MANUAL,
    Effect.AUDIT_IF_NOT_EXISTS,
    Effect.DENY_ACTION,
)
AFTER_SUCCESS = (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS)
ON_ACTIONS = (Effect.DENY_ACTION, Effect.AUDIT_ACTION)

_PARAMETER = re.compile(r"\[\s*parameters\(\s*'([^']+)'\s*\)\s*\]", re.IGNORECASE)
_BY_NAME = {effect.lower(): effect for effect in Effect}


def known_effect(text: str) -> str:
    """The effect in the spelling of the language; one of a resource-provider mode as it is written."""
    return _BY_NAME.get(text.lower(), text)


def wire_effect(effect: str) -> str:
    """As compliance data and errors spell it: `deny` gives `Deny`, `auditIfNotExists` `AuditIfNotExists`."""
    return effect[:1].upper() + effect[1:]


def check_effect(definition: PolicyDefinition, effect: str, *, at: str) -> None:
    """Raises InvalidInputError when the definition cannot have this effect by an override.

    A parametrised effect allows what its parameter allows, a fixed one what its details suffice for.
    """
    allowed = effects_of(definition)
    if effect.lower() not in {each.lower() for each in allowed}:
        raise InvalidInputError(
            f"the override at '{at}' gives the effect '{effect}', "
            f"expected one that the policy definition '{definition.name}' allows: {', '.join(allowed)}",
            code="InvalidPolicyOverride",
            hint="choose an allowed effect, or leave this definition out by its selectors",
        )


def effects_of(definition: PolicyDefinition) -> tuple[str, ...]:
    """The effects that the definition can have, as its parameter or the service spells them."""
    if definition.rule is None:
        return _written(definition)
    effect = definition.rule.effect
    if isinstance(effect, Constant):
        return _interchangeable(known_effect(str(effect.value)), definition.rule.details)
    return _written(definition) or tuple(Effect)


def _written(definition: PolicyDefinition) -> tuple[str, ...]:
    """What the parameter that the effect is taken from allows; empty when it allows anything."""
    then = definition.policy_rule.get("then")
    match = _PARAMETER.fullmatch(str(then.get("effect", ""))) if isinstance(then, dict) else None
    if match is None:
        return ()
    for name, parameter in definition.parameters.items():
        if name.lower() == match[1].lower():
            return tuple(str(each) for each in parameter.allowed or ())
    return ()


def _interchangeable(effect: str, details: object) -> tuple[str, ...]:
    keys = {key.lower() for key in details} if isinstance(details, dict) else set()
    found = [effect, Effect.DISABLED]
    match effect:
        case Effect.AUDIT | Effect.DENY:
            found += [Effect.AUDIT, Effect.DENY]
            if "operations" in keys:
                found.append(Effect.MODIFY)
        case Effect.MODIFY | Effect.APPEND:
            found += [Effect.AUDIT, Effect.DENY]
        case Effect.DEPLOY_IF_NOT_EXISTS:
            found.append(Effect.AUDIT_IF_NOT_EXISTS)
        case Effect.AUDIT_IF_NOT_EXISTS if {"deployment", "roledefinitionids"} <= keys:
            found.append(Effect.DEPLOY_IF_NOT_EXISTS)
        case Effect.DENY_ACTION | Effect.AUDIT_ACTION:
            found += [Effect.DENY_ACTION, Effect.AUDIT_ACTION]
        case _:
            pass
    return tuple(dict.fromkeys(str(each) for each in found))

"""Rules about the effect and the parameter that chooses it."""

from collections.abc import Iterator

from goldsmith.policy.lint.definition import Definition, effect_of, is_expression, member, parse
from goldsmith.policy.lint.model import Fix, Found, LintRule, Replace, Severity
from goldsmith.policy.rule import Effect

_SPELLING = {effect: effect.value[0].upper() + effect.value[1:] for effect in Effect}
_ENFORCING = {
    Effect.DENY: Effect.AUDIT,
    Effect.MODIFY: Effect.AUDIT,
    Effect.APPEND: Effect.AUDIT,
    Effect.DEPLOY_IF_NOT_EXISTS: Effect.AUDIT_IF_NOT_EXISTS,
    Effect.DENY_ACTION: Effect.AUDIT_ACTION,
}
# Effects of one group share the form of `details`; no two groups do.
_GROUPS = (
    frozenset({Effect.MODIFY}),
    frozenset({Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS}),
    frozenset({Effect.DENY_ACTION, Effect.AUDIT_ACTION}),
    frozenset({Effect.APPEND}),
)
_NEEDS_DETAILS = frozenset().union(*_GROUPS) | {Effect.MANUAL}


def missing_effect(definition: Definition) -> Iterator[Found]:
    if definition.rule is not None and definition.effect is None:
        yield Found(definition.rule.path, "then has no effect")


def unknown_effect(definition: Definition) -> Iterator[Found]:
    if not definition.is_evaluated or definition.effect is None:
        return
    value = definition.effect.value
    if not is_expression(value) and effect_of(value) is None:
        yield Found(definition.effect.path, f"'{value}' is no effect of mode All or Indexed")


def unknown_allowed_effect(definition: Definition) -> Iterator[Found]:
    parameter = definition.effect_parameter
    if not definition.is_evaluated or parameter is None:
        return
    for name in ("allowedValues", "defaultValue"):
        found = member(parameter.body, name, parameter.path)
        listed = found is not None and isinstance(found.value, list)
        for number, value in enumerate(found.value if found and listed else [found.value] if found else []):
            if effect_of(value) is None:
                assert found is not None
                path = (*found.path, number) if listed else found.path
                yield Found(path, f"'{value}' is no effect of mode All or Indexed")


def hard_coded(definition: Definition) -> Iterator[Found]:
    if definition.effect is not None and effect_of(definition.effect.value) in _ENFORCING:
        yield Found(definition.effect.path, f"the effect is always {definition.effect.value}")


def computed_effect(definition: Definition) -> Iterator[Found]:
    if definition.effect is None or not is_expression(definition.effect.value):
        return
    if definition.effect_parameter is None and parse(definition.effect.value) is not None:
        yield Found(
            definition.effect.path, "the effect is computed, so that nothing can say beforehand what it is"
        )


def effect_not_text(definition: Definition) -> Iterator[Found]:
    parameter = definition.effect_parameter
    if parameter is not None and parameter.type not in ("string", ""):
        yield Found(
            parameter.path, f"the effect's parameter is of type {parameter.get('type')}, expected String"
        )


def without_allowed(definition: Definition) -> Iterator[Found]:
    parameter = definition.effect_parameter
    if parameter is not None and not parameter.has("allowedValues"):
        yield Found(parameter.path, f"parameter '{parameter.name}' takes any text for an effect")


def without_default(definition: Definition) -> Iterator[Found]:
    parameter = definition.effect_parameter
    if parameter is not None and not parameter.has("defaultValue"):
        yield Found(parameter.path, f"parameter '{parameter.name}' must be given in every assignment")


def without_disabled(definition: Definition) -> Iterator[Found]:
    yield from _lacking(definition, Effect.DISABLED)


def without_audit(definition: Definition) -> Iterator[Found]:
    effects = definition.effects
    enforcing = [effect for effect in _ENFORCING if effect in effects]
    if enforcing and not any(_ENFORCING[effect] in effects for effect in enforcing):
        yield from _lacking(definition, _ENFORCING[enforcing[0]])


def mixed(definition: Definition) -> Iterator[Found]:
    parameter = definition.effect_parameter
    groups = [group for group in _GROUPS if group & definition.effects]
    if parameter is not None and len(groups) > 1 and definition.is_evaluated:
        names = ", ".join(
            sorted(_SPELLING[effect] for group in groups for effect in group & definition.effects)
        )
        yield Found(parameter.path, f"{names} need different details")


def risky_default(definition: Definition) -> Iterator[Found]:
    parameter = definition.effect_parameter
    found = member(parameter.body, "defaultValue", parameter.path) if parameter else None
    if found and effect_of(found.value) in _ENFORCING:
        yield Found(found.path, f"an assignment that says nothing gets {found.value}")


def without_details(definition: Definition) -> Iterator[Found]:
    needing = sorted(effect.value for effect in definition.effects & _NEEDS_DETAILS - {Effect.MANUAL})
    if needing and definition.details is None and definition.then is not None:
        yield Found(definition.then.path, f"{needing[0]} needs details")


def needless_details(definition: Definition) -> Iterator[Found]:
    effects = definition.effects
    if definition.details is None or not effects or effects & _NEEDS_DETAILS or not definition.is_evaluated:
        return
    names = ", ".join(sorted(effect.value for effect in effects))
    yield Found(definition.details.path, f"nothing reads details with {names}")


def _lacking(definition: Definition, effect: Effect) -> Iterator[Found]:
    """The effect's parameter has a list of values without `effect`."""
    parameter = definition.effect_parameter
    allowed = member(parameter.body, "allowedValues", parameter.path) if parameter else None
    if (
        allowed
        and isinstance(allowed.value, list)
        and definition.is_evaluated
        and effect not in definition.effects
    ):
        lower = bool(allowed.value) and str(allowed.value[0])[:1].islower()
        name = effect.value if lower else _SPELLING[effect]
        fix = Fix(f"Allow {name}.", (Replace(allowed.path, [*allowed.value, name]),))
        yield Found(allowed.path, f"{name} cannot be chosen", fix)


RULES = (
    LintRule(
        id="missing-effect",
        title="A rule without an effect",
        severity=Severity.ERROR,
        explanation="then.effect says what happens when the condition holds.",
        hint="add then.effect",
        check=missing_effect,
    ),
    LintRule(
        id="unknown-effect",
        title="An effect that does not exist",
        severity=Severity.ERROR,
        explanation="Resource Manager modes know the effects of the language reference and no others.",
        hint="correct its spelling, or the mode",
        check=unknown_effect,
    ),
    LintRule(
        id="unknown-allowed-effect",
        title="The effect's parameter allows what is no effect",
        severity=Severity.ERROR,
        explanation="An assignment could choose a value that no effect has, and then fails.",
        hint="allow effects only",
        check=unknown_allowed_effect,
        official=("effect-must-be-parameterized-with-correct-values",),
    ),
    LintRule(
        id="hard-coded-effect",
        title="An enforcing effect that cannot be chosen",
        severity=Severity.WARNING,
        explanation="Without a parameter a policy can only be tried out by enforcing it, or by an override "
        "in the "
        "assignment.",
        hint="make the effect a parameter with Audit and Disabled among its values",
        check=hard_coded,
        official=("hard-coded-policy-enforcement-effect",),
    ),
    LintRule(
        id="computed-effect",
        title="An effect that is computed",
        severity=Severity.WARNING,
        explanation="Overrides and the list of allowed effects work with an effect that is one parameter.",
        hint="use [parameters('effect')] as the whole effect",
        check=computed_effect,
    ),
    LintRule(
        id="effect-parameter-type",
        title="The effect's parameter is no text",
        severity=Severity.ERROR,
        explanation="An effect is a name.",
        hint="give the parameter the type String",
        check=effect_not_text,
    ),
    LintRule(
        id="effect-without-allowed-values",
        title="The effect's parameter has no allowed values",
        severity=Severity.WARNING,
        explanation="A misspelled effect is found at the assignment only when the parameter lists what it "
        "takes.",
        hint="add allowedValues",
        check=without_allowed,
        official=(
            "effect-parameter-missing-allowed-values",
            "effect-parameter-should-have-allowed-and-default-values",
        ),
    ),
    LintRule(
        id="effect-without-default",
        title="The effect's parameter has no default",
        severity=Severity.NOTE,
        explanation="With a default, a policy can be assigned and put into an initiative without a word "
        "about it.",
        hint="add a defaultValue that does not enforce",
        check=without_default,
        official=("effect-parameter-missing-default-value",),
    ),
    LintRule(
        id="effect-without-disabled",
        title="The effect cannot be switched off",
        severity=Severity.NOTE,
        explanation="Disabled switches one policy of an initiative off without touching the initiative.",
        hint="add Disabled to allowedValues",
        check=without_disabled,
        official=("missing-disabled-effect-allowed-value",),
    ),
    LintRule(
        id="effect-without-audit",
        title="The effect can only enforce",
        severity=Severity.NOTE,
        explanation="With the auditing twin among its values a policy can be watched before it is enforced.",
        hint="add the auditing twin to allowedValues",
        check=without_audit,
        official=("missing-audit-effect-counterpart",),
    ),
    LintRule(
        id="mixed-effects",
        title="Effects that need different details",
        severity=Severity.ERROR,
        explanation="details has one form for modify, one for the ...IfNotExists effects, one for "
        "denyAction and "
        "auditAction and one for append. A definition has one details.",
        hint="keep the effects of one form, and Audit, Deny and Disabled, which need none",
        check=mixed,
        official=("effect-allowed-values-should-not-mix-incompatible-effects",),
    ),
    LintRule(
        id="risky-default-effect",
        title="The default effect enforces",
        severity=Severity.WARNING,
        explanation="An assignment made in a hurry blocks or changes requests.",
        hint="let the default be the auditing twin, or leave it out",
        check=risky_default,
        official=("risky-effect-parameter-default-value",),
    ),
    LintRule(
        id="effect-without-details",
        title="An effect without its details",
        severity=Severity.ERROR,
        explanation="The effect is told by then.details what to do, and does nothing without.",
        hint="add then.details",
        check=without_details,
    ),
    LintRule(
        id="needless-details",
        title="Details that no effect reads",
        severity=Severity.NOTE,
        explanation="audit, deny and disabled have no details.",
        hint="take them out, or correct the effect",
        check=needless_details,
    ),
)

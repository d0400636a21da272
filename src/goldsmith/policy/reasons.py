"""Why a resource is non-compliant, in the service's own sentences.

Specification: Azure Policy, determine causes of non-compliance, "compliance reasons".
"""

from enum import StrEnum

from goldsmith.policy.rule import Operator

NO_RELATED = "No related resources match the effect details in the policy definition."


class ReasonCode(StrEnum):
    """Why a verdict is what it is, for programs; `CONDITION` comes with the sentences of its conditions."""

    NONE = ""
    CONDITION = "ConditionMet"
    NO_RELATED_RESOURCES = "NoRelatedResources"
    RELATED_NOT_MATCHING = "RelatedResourcesDoNotMatch"
    CONFLICT = "ConflictingPolicies"
    EVALUATION_ERROR = "EvaluationError"
    UNKNOWN_ALIAS = "UnknownAlias"
    OUT_OF_SCOPE = "OutOfScope"
    NOT_SELECTED = "NotSelected"
    MODE = "ModeNotEvaluated"
    DISABLED = "EffectDisabled"
    ACTION = "JudgesActionsOnly"
    IDENTITY = "JudgesCallersOnly"
    RESOURCE_TYPE = "ResourceTypeNotEvaluated"
    CONDITION_NOT_MET = "ConditionNotMet"
    EXEMPTION = "Exemption"
    ATTESTATION = "Attestation"
    DEFAULT_STATE = "DefaultState"


_NEGATIONS = {
    Operator.EQUALS: Operator.NOT_EQUALS,
    Operator.LIKE: Operator.NOT_LIKE,
    Operator.MATCH: Operator.NOT_MATCH,
    Operator.MATCH_INSENSITIVELY: Operator.NOT_MATCH_INSENSITIVELY,
    Operator.CONTAINS: Operator.NOT_CONTAINS,
    Operator.IN: Operator.NOT_IN,
    Operator.CONTAINS_KEY: Operator.NOT_CONTAINS_KEY,
    Operator.LESS: Operator.GREATER_OR_EQUALS,
    Operator.GREATER: Operator.LESS_OR_EQUALS,
}
_NEGATIONS |= {negation: operator for operator, negation in _NEGATIONS.items()}

_SENTENCES = {
    Operator.CONTAINS_KEY: "Current value must contain the target value as a key.",
    Operator.CONTAINS: "Current value must contain the target value.",
    Operator.EQUALS: "Current value must be equal to the target value.",
    Operator.LESS: "Current value must be less than the target value.",
    Operator.GREATER_OR_EQUALS: "Current value must be greater than or equal to the target value.",
    Operator.GREATER: "Current value must be greater than the target value.",
    Operator.LESS_OR_EQUALS: "Current value must be less than or equal to the target value.",
    Operator.IN: "Current value must be in the target value.",
    Operator.LIKE: "Current value must be like the target value.",
    Operator.MATCH: "Current value must case-sensitive match the target value.",
    Operator.MATCH_INSENSITIVELY: "Current value must case-insensitive match the target value.",
    Operator.NOT_CONTAINS_KEY: "Current value must not contain the target value as a key.",
    Operator.NOT_CONTAINS: "Current value must not contain the target value.",
    Operator.NOT_EQUALS: "Current value must not be equal to the target value.",
    Operator.NOT_IN: "Current value must not be in the target value.",
    Operator.NOT_LIKE: "Current value must not be like the target value.",
    Operator.NOT_MATCH: "Current value must not case-sensitive match the target value.",
    Operator.NOT_MATCH_INSENSITIVELY: "Current value must not case-insensitive match the target value.",
}
_MUST_EXIST = "Current value must exist."
_MUST_NOT_EXIST = "Current value must not exist."


def reason(operator: Operator, *, negated: bool, exists: bool = True) -> str:
    """The sentence for a requirement: the condition `operator`, or `not` of it.

    `exists` is the target of an exists condition: `exists: false` required is "must not exist".
    """
    if operator is Operator.EXISTS:
        return _MUST_EXIST if exists != negated else _MUST_NOT_EXIST
    return _SENTENCES[_NEGATIONS[operator] if negated else operator]


def requirement(operator: Operator, *, result: bool, wanted: bool, exists: bool = True) -> str | None:
    """What must change about a condition with this result so that it is as wanted; None when it is so."""
    return None if result is wanted else reason(operator, negated=not wanted, exists=exists)

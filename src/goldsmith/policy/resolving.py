"""Values that depend on parameters alone: initiative parameters, effects, members of effect details."""

from collections.abc import Mapping

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.compile import compile_operand
from goldsmith.policy.reader import read_operand
from goldsmith.policy.rule import Operand

_NO_ALIASES = AliasTable({})


def resolve_value(value: JsonValue, parameters: Mapping[str, JsonValue], *, at: str) -> JsonValue:
    """The value with its `[expressions]` over parameters replaced; raises InvalidInputError naming `at`."""
    return resolve_operand(read_operand(value, at=at), parameters, at=at)


def resolve_operand(operand: Operand, parameters: Mapping[str, JsonValue], *, at: str) -> JsonValue:
    """As `resolve_value`; also raises when the operand reads a resource, the request or the clock."""
    computation = compile_operand(
        operand, parameters=parameters, policy_context={}, aliases=_NO_ALIASES, resource_type=""
    )
    if computation.inputs:
        raise InvalidInputError(
            f"the value at '{at}' reads the resource, expected parameters only",
            code="InvalidPolicyParameters",
            hint="use functions of parameters() there",
        )
    try:
        return computation.compute([])
    except EvaluationError as error:
        raise InvalidInputError(
            f"the value at '{at}' cannot be computed: {error.message}", code="InvalidPolicyParameters"
        ) from error

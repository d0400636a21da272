"""Compiles what a collection holds, for every resource type that its rules name."""

from collections.abc import Iterable, Iterator, Mapping

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.catalog.known import Summary, digest_of
from goldsmith.policy.catalog.model import CheckReport, Failure, ImportReport
from goldsmith.policy.compile import compile_rule
from goldsmith.policy.definition import Absent, Parameter, ParameterType, PolicyDefinition
from goldsmith.policy.operators import ORDERINGS
from goldsmith.policy.pool import Pool
from goldsmith.policy.rule import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    FieldCondition,
    Not,
    Operator,
    Rule,
)

_SAMPLES: dict[ParameterType, JsonValue] = {
    ParameterType.STRING: "",
    ParameterType.ARRAY: [],
    ParameterType.OBJECT: {},
    ParameterType.BOOLEAN: False,
    ParameterType.INTEGER: 0,
    ParameterType.FLOAT: 0.0,
    ParameterType.DATE_TIME: "2020-01-01T00:00:00.0000000Z",
}
_CONTEXT: dict[str, JsonValue] = {
    "assignmentId": "/providers/Microsoft.Authorization/policyAssignments/check",
    "definitionId": "",
    "setDefinitionId": "",
    "definitionReferenceId": "",
}


def check(
    report: ImportReport, *, aliases: AliasTable, known: Mapping[str, Summary] | None = None
) -> CheckReport:
    """Compiles every definition of an evaluated mode; one that names no type is compiled once, for any type.

    Parameters have their defaults, else the first allowed value, else an empty one of their type. What
    `known` has by digest (see known.decode) is not compiled again. Raises nothing for what is in the
    collection.
    """
    failures: list[Failure] = []
    unknown: dict[str, list[str]] = {}
    derived: dict[str, list[str]] = {}
    summaries: dict[str, Summary] = {}
    reused = 0
    pool = Pool()
    for definition in report.definitions:
        if definition.rule is None:
            continue
        key = digest_of(definition)
        summary = (known or {}).get(key) or summaries.get(key)
        if summary is not None:
            reused += 1
        else:
            summary = _compiled(definition, definition.rule, aliases, pool)
        summaries[key] = summary
        if summary.problem is not None:
            source = report.sources.get(definition.id.lower(), definition.id)
            failures.append(
                Failure(source=source, path=summary.path, message=summary.problem, hint=summary.hint)
            )
        for table, found in ((unknown, summary.unknown), (derived, summary.derived)):
            for alias in found:
                table.setdefault(alias, []).append(definition.id)
    return CheckReport(
        compiled=sum(1 for one in report.definitions if one.rule is not None) - len(failures),
        trees=sum(one.trees for one in summaries.values()),
        reused=reused,
        not_evaluated=len(report.not_evaluated),
        failures=tuple(failures),
        unknown={alias: tuple(users) for alias, users in sorted(unknown.items())},
        derived={alias: tuple(users) for alias, users in sorted(derived.items())},
        summaries=summaries,
    )


def _compiled(definition: PolicyDefinition, rule: Rule, aliases: AliasTable, pool: Pool) -> Summary:
    types = types_of(rule)
    unknown: set[str] = set()
    derived: set[str] = set()
    only = types_required(rule.condition)
    for number, type_ in enumerate(types or ("",)):
        try:
            result = compile_rule(
                rule,
                parameters=sample_values(definition.parameters.values()),
                policy_context=_CONTEXT | {"definitionId": definition.id},
                aliases=aliases,
                resource_type=type_,
                pool=pool,
            )
        except InvalidInputError as error:
            said = f"{error.message} (for type {type_})" if type_ else error.message
            return Summary(
                types=tuple(name.lower() for name in types),
                only=None,
                trees=number,
                problem=said,
                path=_path_in(error.message),
                hint=error.hint,
            )
        unknown |= result.unknown
        derived |= result.derived
    return Summary(
        types=tuple(name.lower() for name in types),
        only=None if only is None else tuple(sorted(only)),
        trees=len(types) or 1,
        unknown=tuple(sorted(unknown)),
        derived=tuple(sorted(derived)),
    )


def types_of(rule: Rule) -> tuple[str, ...]:
    """The resource types that conditions on type compare with equals or in, outside any `not`, as written."""
    found: dict[str, str] = {}
    for condition in _positive(rule.condition):
        for name in _type_values(condition) or ():
            found.setdefault(name.lower(), name)
    return tuple(found.values())


def types_required(condition: Condition) -> frozenset[str] | None:
    """Types, in lower case, outside which the condition is false and cannot fail; None when it may hold
    anywhere.

    Conditions are tried in order, so one on type limits an allOf only where nothing before it can fail.
    """
    match condition:
        case AllOf(conditions=inner):
            for one in inner:
                found = types_required(one)
                if found is not None:
                    return found
                if _may_fail(one):
                    return None
            return None
        case AnyOf(conditions=inner):
            branches = [types_required(one) for one in inner]
            known = [one for one in branches if one is not None]
            return frozenset().union(*known) if inner and len(known) == len(branches) else None
        case _:
            names = _type_values(condition)
            return None if names is None else frozenset(name.lower() for name in names)


def sample_values(parameters: Iterable[Parameter]) -> dict[str, JsonValue]:
    """A value for each parameter, good enough to compile with."""
    values: dict[str, JsonValue] = {}
    for parameter in parameters:
        default = parameter.default
        if not isinstance(default, Absent):
            values[parameter.name] = default
        elif parameter.allowed and parameter.type is not ParameterType.ARRAY:
            values[parameter.name] = parameter.allowed[0]
        else:
            values[parameter.name] = _SAMPLES[parameter.type]
    return values


def _type_values(condition: Condition) -> list[str] | None:
    """What a condition compares the type with, None when it is another condition."""
    match condition:
        case FieldCondition(
            field=Constant(value=str() as name),
            operator=Operator.EQUALS | Operator.IN,
            target=Constant(value=value),
        ) if name.lower() == "type":
            values = value if isinstance(value, list) else [value]
            return [one for one in values if isinstance(one, str)]
        case _:
            return None


def _may_fail(condition: Condition) -> bool:
    match condition:
        case FieldCondition(field=Constant(), target=Constant(), operator=operator):
            return operator in ORDERINGS
        case _:
            return True


def _positive(condition: Condition) -> Iterator[Condition]:
    stack = [condition]
    while stack:
        one = stack.pop()
        match one:
            case AllOf(conditions=inner) | AnyOf(conditions=inner):
                stack.extend(reversed(inner))
            case Not():
                pass
            case _:
                yield one


def _path_in(message: str) -> str:
    where, found, _ = message.partition(": ")
    return where if found and " " not in where else ""

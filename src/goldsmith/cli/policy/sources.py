"""Policies out of files and out of the package, put in force with parameter values and effects."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.cli.meter import Meter
from goldsmith.kernel.errors import Error, InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.assignment import Override, OverrideKind, PolicyAssignment
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.catalog.read import is_candidate, read_collection
from goldsmith.policy.content import packaged
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.initiative import PolicySetDefinition
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.wire.definition import parse_definition
from goldsmith.policy.wire.initiative import parse_initiative

_PACKAGED = "packaged/"
_ASSIGNMENTS = "/providers/Microsoft.Authorization/policyAssignments/"
_BAD_OVERRIDE = "InvalidPolicyOverride"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A definition or assignment that cannot be put in force as things are, and why."""

    name: str
    error: Error


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is evaluated. `kept_effect` are definitions that do not allow the effect asked for."""

    policies: tuple[AssignedPolicy, ...]
    left_out: tuple[LeftOut, ...] = ()
    kept_effect: tuple[str, ...] = ()


def read_policies(paths: Sequence[Path], *, meter: Meter) -> ImportReport:
    """Everything of Azure Policy in the files and folders; a named file must hold some of it.

    Raises NotFoundError for a path that is not there and a folder without any.
    """
    report = read_collection(meter.each(policy_files(paths)))
    named = {str(path) for path in paths if path.is_file()}
    nothing = named.intersection(report.skipped)
    found = report.definitions or report.initiatives or report.assignments
    if nothing or not (found or report.failures):
        where = ", ".join(sorted(nothing)) or ", ".join(map(str, paths))
        raise NotFoundError(
            f"there is no policy definition in {where}",
            hint="a definition is a JSON object with 'policyRule', or 'properties' that have one",
        )
    return report


def policy_files(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Name and contents of each file that may hold policies."""
    for path in paths:
        if not path.exists():
            raise NotFoundError(
                f"there is no file or directory {path}",
                hint=f"packaged policies go by their key: {', '.join([*packaged.definitions()][:3])}, ...",
            )
        if path.is_file():
            if not is_candidate(path.name):
                raise InvalidInputError(
                    f"{path} is no JSON file by its name", hint="expected .json or .jsonl"
                )
            yield str(path), _contents(path)
            continue
        for found in sorted(path.rglob("*")):
            if is_candidate(found.name) and found.is_file():
                yield str(found), _contents(found)


def packaged_policies() -> ImportReport:
    """The definitions and initiatives that come with the product."""
    listed = {**packaged.definitions(), **packaged.initiatives()}
    return read_collection(
        (f"{_PACKAGED}{key}.json", json.dumps(body).encode()) for key, body in listed.items()
    )


def joined(*reports: ImportReport) -> ImportReport:
    """All of what several collections hold."""
    return ImportReport(
        definitions=tuple(one for report in reports for one in report.definitions),
        initiatives=tuple(one for report in reports for one in report.initiatives),
        assignments=tuple(one for report in reports for one in report.assignments),
        sources={id_: source for report in reports for id_, source in report.sources.items()},
        failures=tuple(one for report in reports for one in report.failures),
        duplicates=tuple(one for report in reports for one in report.duplicates),
        skipped=tuple(one for report in reports for one in report.skipped),
    )


def library_of(report: ImportReport) -> Library:
    """What assignments may refer to: the collection, and what is packaged where that does not have it."""
    library = Library(map(parse_definition, packaged.definitions().values()))
    for body in packaged.initiatives().values():
        library.add_initiative(parse_initiative(body))
    for definition in report.definitions:
        library.add_definition(definition)
    for initiative in report.initiatives:
        library.add_initiative(initiative)
    return library


def put_in_force(
    report: ImportReport,
    *,
    names: Sequence[str] = (),
    parameters: Mapping[str, JsonValue] | None = None,
    effect: str | None = None,
) -> InForce:
    """The collection's assignments, or without any each definition assigned at the root.

    `names` are definitions and initiatives to assign instead, by name, id or display name. A definition takes
    of `parameters` what it declares. Raises NotFoundError for an unknown name and InvalidInputError for a
    parameter that nothing declares.
    """
    library = library_of(report)
    given = parameters or {}
    if names:
        chosen: Sequence[PolicyDefinition | PolicySetDefinition] = [named(report, name) for name in names]
    else:
        chosen = () if report.assignments else report.definitions
    _check_declared(chosen, given)
    assignments = [
        *(report.assignments if not names else ()),
        *(_at_root(one, _declared(one, given)) for one in chosen),
    ]
    policies: list[AssignedPolicy] = []
    left_out: list[LeftOut] = []
    kept: list[str] = []
    for assignment in assignments:
        found = _try(_with_effect(assignment, effect), library)
        if effect is not None and isinstance(found, InvalidInputError) and found.code == _BAD_OVERRIDE:
            kept.append(assignment.label)
            found = _try(assignment, library)
        if isinstance(found, Error):
            left_out.append(LeftOut(name=assignment.label, error=found))
        else:
            policies += found
    return InForce(policies=tuple(policies), left_out=tuple(left_out), kept_effect=tuple(kept))


def named(report: ImportReport, name: str) -> PolicyDefinition | PolicySetDefinition:
    """The definition or initiative of that name, id, display name or packaged key; raises NotFoundError."""
    wanted = name.lower().rstrip("/")
    every: tuple[PolicyDefinition | PolicySetDefinition, ...] = (*report.definitions, *report.initiatives)
    found = [one for one in every if wanted in (one.id.lower(), one.name.lower(), one.label.lower())]
    if found:
        return found[0]
    if name in packaged.initiatives():
        return parse_initiative(packaged.initiatives()[name])
    try:
        return parse_definition(packaged.find(name))
    except NotFoundError as error:
        near = [one.name for one in every if wanted in one.name.lower() or wanted in one.label.lower()]
        hint = f"did you mean {', '.join(near[:3])}?" if near else error.hint
        raise NotFoundError(f"there is no policy '{name}'", hint=hint) from error


def parameters_of(one: PolicyDefinition | PolicySetDefinition) -> frozenset[str]:
    """Names of its parameters in lower case."""
    return frozenset(name.lower() for name in one.parameters)


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error


def _check_declared(
    chosen: Sequence[PolicyDefinition | PolicySetDefinition], given: Mapping[str, JsonValue]
) -> None:
    known = frozenset[str]().union(*(parameters_of(one) for one in chosen))
    for name in given:
        if name.lower() not in known:
            names = sorted({name for one in chosen for name in one.parameters})
            raise InvalidInputError(
                f"no policy that is assigned here declares the parameter '{name}'",
                hint=f"declared are: {', '.join(names[:12])}" if names else "they declare none",
            )


def _declared(
    one: PolicyDefinition | PolicySetDefinition, given: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    known = {name.lower(): name for name in one.parameters}
    return {known[name.lower()]: value for name, value in given.items() if name.lower() in known}


def _at_root(
    one: PolicyDefinition | PolicySetDefinition, values: Mapping[str, JsonValue]
) -> PolicyAssignment:
    return PolicyAssignment(
        id=_ASSIGNMENTS + one.name,
        name=one.name,
        scope="/",
        definition_id=one.id,
        display_name=one.label,
        parameters=values,
    )


def _with_effect(assignment: PolicyAssignment, effect: str | None) -> PolicyAssignment:
    if effect is None:
        return assignment
    override = Override(kind=OverrideKind.POLICY_EFFECT, value=effect)
    return replace(assignment, overrides=(*assignment.overrides, override))


def _try(assignment: PolicyAssignment, library: Library) -> tuple[AssignedPolicy, ...] | Error:
    try:
        return assigned_policies(assignment, library)
    except (InvalidInputError, NotFoundError) as error:
        return error

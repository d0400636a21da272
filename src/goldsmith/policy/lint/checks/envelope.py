"""Rules about what stands around the rule: names, mode, version, metadata, keys."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from goldsmith.policy.lint.definition import Definition, Member, member
from goldsmith.policy.lint.model import Fix, Found, LintRule, Path, Rename, Replace, Severity
from goldsmith.policy.rule import Effect, Operator

_DISPLAY_NAME_MAX = 128
_DESCRIPTION_MAX = 512
_METADATA_MAX = 1_024
_MODES = {"all": "All", "indexed": "Indexed"}
_PROVIDER_MODE = re.compile(r"Microsoft\.[A-Za-z]+(\.[A-Za-z0-9]+)*\.Data", re.IGNORECASE)
_VERSION = re.compile(r"\d+\.\d+\.\d+(-(preview|deprecated)(\.\d+)?)?", re.IGNORECASE)
_POLICY_TYPES = ("builtin", "custom", "static", "notspecified")
_PROPERTY_KEYS = (
    "displayName",
    "description",
    "policyType",
    "mode",
    "metadata",
    "parameters",
    "policyRule",
    "version",
    "versions",
    "externalEvaluationEnforcementSettings",
)
_PARAMETER_KEYS = (
    "type metadata defaultValue allowedValues schema displayName description strongType assignPermissions"
)
_CONDITION_KEYS = (
    "allOf",
    "anyOf",
    "not",
    "field",
    "value",
    "count",
    "source",
    *(one.value for one in Operator),
)
_RELATED = "type name kind resourceGroupName existenceScope evaluationDelay existenceCondition"
_DETAIL_KEYS = {
    Effect.MODIFY: "roleDefinitionIds operations conflictEffect",
    Effect.AUDIT_IF_NOT_EXISTS: _RELATED,
    Effect.DEPLOY_IF_NOT_EXISTS: f"{_RELATED} roleDefinitionIds deploymentScope deployment",
    Effect.DENY_ACTION: "actionNames cascadeBehaviors",
    Effect.AUDIT_ACTION: "actionNames cascadeBehaviors",
    Effect.MANUAL: "defaultState",
}


def no_display_name(definition: Definition) -> Iterator[Found]:
    if not _text(definition.own("displayName")):
        yield Found(definition.base, "the definition has no displayName")


def no_description(definition: Definition) -> Iterator[Found]:
    if not _text(definition.own("description")):
        yield Found(definition.base, "the definition has no description")


def same_description(definition: Definition) -> Iterator[Found]:
    name, said = definition.own("displayName"), definition.own("description")
    if said and name and _text(said) and _text(said).rstrip(".").lower() == _text(name).rstrip(".").lower():
        yield Found(said.path, "the description repeats the display name")


def too_long(definition: Definition) -> Iterator[Found]:
    for name, most in (("displayName", _DISPLAY_NAME_MAX), ("description", _DESCRIPTION_MAX)):
        found = definition.own(name)
        if found and len(_text(found)) > most:
            yield Found(found.path, f"{name} has {len(_text(found))} characters, at most {most} are allowed")


def metadata_too_long(definition: Definition) -> Iterator[Found]:
    place = definition.own("metadata")
    for key, value in definition.metadata.items():
        if place and isinstance(value, str) and len(value) > _METADATA_MAX:
            message = f"metadata.{key} has {len(value)} characters, at most {_METADATA_MAX} are allowed"
            yield Found((*place.path, key), message)


def no_mode(definition: Definition) -> Iterator[Found]:
    found = definition.own("mode")
    if found is None or found.value is None:
        yield Found(definition.base, "the definition has no mode")


def unknown_mode(definition: Definition) -> Iterator[Found]:
    found = definition.own("mode")
    if found and found.value is not None:
        known = isinstance(found.value, str) and (
            found.value.lower() in _MODES or _PROVIDER_MODE.fullmatch(found.value)
        )
        if not known:
            yield Found(found.path, f"'{found.value}' is no mode")


def mode_case(definition: Definition) -> Iterator[Found]:
    found = definition.own("mode")
    if found and isinstance(found.value, str):
        usual = _MODES.get(found.value.lower())
        if usual and usual != found.value:
            fix = Fix(f"Write {usual}.", (Replace(found.path, usual),))
            yield Found(found.path, f"mode is written '{found.value}'", fix)


def not_evaluated(definition: Definition) -> Iterator[Found]:
    found = definition.own("mode")
    if found and isinstance(found.value, str) and not definition.is_evaluated:
        yield Found(found.path, f"policies of mode {found.value} are kept and not evaluated here")


def version_form(definition: Definition) -> Iterator[Found]:
    place = definition.own("metadata")
    found = member(definition.metadata, "version", place.path) if place else None
    for one in (found, definition.own("version")):
        if one and not (isinstance(one.value, str) and _VERSION.fullmatch(one.value)):
            yield Found(
                one.path, f"'{one.value}' is no version of the form 1.2.3, 1.2.3-preview or 1.2.3-deprecated"
            )


def no_version(definition: Definition) -> Iterator[Found]:
    if member(definition.metadata, "version") is None and definition.own("version") is None:
        yield Found(definition.base, "the definition has no version")


def no_category(definition: Definition) -> Iterator[Found]:
    if member(definition.metadata, "category") is None:
        yield Found(definition.base, "metadata has no category")


def deprecation(definition: Definition) -> Iterator[Found]:
    flag = member(definition.metadata, "deprecated")
    version = member(definition.metadata, "version")
    name = _text(definition.own("displayName"))
    signs = {
        "metadata.deprecated": bool(flag and flag.value is True),
        "the version": bool(version and "deprecated" in str(version.value).lower()),
        "the display name": name.lower().startswith("[deprecated"),
    }
    if any(signs.values()) and not all(signs.values()):
        said = next(sign for sign, holds in signs.items() if holds)
        silent = next(sign for sign, holds in signs.items() if not holds)
        place = definition.own("metadata")
        yield Found(place.path if place else definition.base, f"{said} says deprecated, {silent} does not")


def is_deprecated(definition: Definition) -> Iterator[Found]:
    flag = member(definition.metadata, "deprecated")
    if flag and flag.value is True:
        instead = member(definition.metadata, "supersededBy")
        place = definition.own("metadata")
        more = f"; use {instead.value}" if instead else ""
        yield Found(place.path if place else definition.base, f"the definition is deprecated{more}")


def policy_type(definition: Definition) -> Iterator[Found]:
    found = definition.own("policyType")
    if found and str(found.value).lower() not in _POLICY_TYPES:
        yield Found(found.path, f"policyType is Custom, BuiltIn or Static, got '{found.value}'")


def unknown_key(definition: Definition) -> Iterator[Found]:
    if definition.base or definition.rule:
        outside = () if definition.base else ("id", "name", "type", "systemData", "$schema", "scope")
        yield from _strange(definition.properties, definition.base, (*_PROPERTY_KEYS, *outside))
    for parameter in definition.parameters.values():
        yield from _strange(parameter.body, parameter.path, _PARAMETER_KEYS.split())
    if definition.rule:
        yield from _strange(definition.rule.value, definition.rule.path, ("if", "then"))
    if definition.then and definition.is_evaluated:
        yield from _strange(definition.then.value, definition.then.path, ("effect", "details"))
    for node in definition.nodes:
        yield from _strange(node.body, node.path, _CONDITION_KEYS)
        if node.kind == "count" and isinstance(node.subject, dict):
            yield from _strange(node.subject, node.subject_path, ("field", "value", "name", "where"))
    known = " ".join(keys for effect, keys in _DETAIL_KEYS.items() if effect in definition.effects)
    if (
        known
        and definition.is_evaluated
        and definition.details
        and isinstance(definition.details.value, dict)
    ):
        yield from _strange(definition.details.value, definition.details.path, known.split())


def two_rules_in_one(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        heads = [
            key for key in node.body if key.lower() in ("allof", "anyof", "not", "field", "value", "count")
        ]
        operators = [key for key in node.body if key.lower() in {one.value.lower() for one in Operator}]
        if len(heads) > 1 or len(operators) > 1:
            both = heads if len(heads) > 1 else operators
            yield Found(node.path, f"a condition has one of {' and '.join(both)}, not both")


def _strange(body: dict[str, Any], path: Path, known: Any) -> Iterator[Found]:
    lower = {name.lower(): name for name in known}
    for key in body:
        if key.lower() not in lower and not key.startswith("$"):
            near = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=0.75)
            fix = Fix(f"Write {lower[near[0]]}.", (Rename((*path, key), lower[near[0]]),)) if near else None
            meant = f"; did you mean '{lower[near[0]]}'" if near else ""
            yield Found((*path, key), f"nothing reads '{key[:60]}'{meant}", fix)


def _text(found: Member | None) -> str:
    return found.value.strip() if found and isinstance(found.value, str) else ""


RULES = (
    LintRule(
        id="no-display-name",
        title="No display name",
        severity=Severity.WARNING,
        explanation="The display name is what denied requests and compliance pages show.",
        hint="add displayName",
        check=no_display_name,
        official=("missing-policy-definition-display-name", "display-name-and-description-must-be-specified"),
    ),
    LintRule(
        id="no-description",
        title="No description",
        severity=Severity.NOTE,
        explanation="The description says why the policy is there and what to do about a finding.",
        hint="add description",
        check=no_description,
        official=("missing-policy-definition-description",),
    ),
    LintRule(
        id="description-repeats-name",
        title="The description repeats the display name",
        severity=Severity.NOTE,
        explanation="A reader of the description has read the name already.",
        hint="say why, and what to do",
        check=same_description,
        official=("description-duplicates-display-name",),
    ),
    LintRule(
        id="text-too-long",
        title="A display name or description that is too long",
        severity=Severity.ERROR,
        explanation=f"displayName may have {_DISPLAY_NAME_MAX} characters, description {_DESCRIPTION_MAX}.",
        hint="shorten it",
        check=too_long,
        official=("policy-definition-name-length-limit",),
    ),
    LintRule(
        id="metadata-too-long",
        title="A metadata property that is too long",
        severity=Severity.ERROR,
        explanation=f"Each metadata property may have {_METADATA_MAX} characters.",
        hint="shorten it",
        check=metadata_too_long,
    ),
    LintRule(
        id="no-mode",
        title="No mode",
        severity=Severity.WARNING,
        explanation="Without mode some tools save Indexed, others All: the same file gives two policies.",
        hint="write mode: Indexed, or All for types without tags or location",
        check=no_mode,
    ),
    LintRule(
        id="unknown-mode",
        title="A mode that does not exist",
        severity=Severity.ERROR,
        explanation="Modes are All, Indexed, and those of resource providers, which end in .Data.",
        hint="write All or Indexed",
        check=unknown_mode,
    ),
    LintRule(
        id="mode-case",
        title="The mode in an unusual spelling",
        severity=Severity.NOTE,
        explanation="The service ignores case; scripts that compare the text do not.",
        hint="write All or Indexed",
        check=mode_case,
    ),
    LintRule(
        id="mode-not-evaluated",
        title="A mode of a resource provider",
        severity=Severity.NOTE,
        explanation="Modes that end in .Data are carried out by the provider's own components. This engine "
        "stores such "
        "policies and reports them as not evaluated, never as compliant.",
        hint="nothing to do",
        check=not_evaluated,
    ),
    LintRule(
        id="version-form",
        title="A version that is not semantic",
        severity=Severity.WARNING,
        explanation="Assignments pin versions as 1.*.*; that needs major, minor and patch.",
        hint="write it as 1.0.0",
        check=version_form,
    ),
    LintRule(
        id="no-version",
        title="No version",
        severity=Severity.NOTE,
        explanation="With a version in metadata, what changed can be told from what is assigned.",
        hint="add metadata.version",
        check=no_version,
    ),
    LintRule(
        id="no-category",
        title="No category",
        severity=Severity.NOTE,
        explanation="Lists of definitions are grouped by metadata.category.",
        hint="add metadata.category",
        check=no_category,
        official=("file-path-and-category-must-be-valid",),
    ),
    LintRule(
        id="half-deprecated",
        title="Deprecated in one place only",
        severity=Severity.WARNING,
        explanation="A deprecated definition says so in metadata.deprecated, in its version "
        "(1.0.0-deprecated) and in "
        "its display name; tools look at one of them.",
        hint="say it in all three places",
        check=deprecation,
    ),
    LintRule(
        id="deprecated",
        title="The definition is deprecated",
        severity=Severity.NOTE,
        explanation="Deprecated definitions stay for their assignments and should get no new ones.",
        hint="assign its successor",
        check=is_deprecated,
    ),
    LintRule(
        id="policy-type",
        title="A policy type that does not exist",
        severity=Severity.ERROR,
        explanation="policyType is set by the service: Custom for everybody's own definitions.",
        hint="leave it out, or write Custom",
        check=policy_type,
        official=("policy-type-must-be-custom",),
    ),
    LintRule(
        id="unknown-key",
        title="A key that nothing reads",
        severity=Severity.WARNING,
        explanation="An unknown key is refused or ignored; mostly it is a misspelled one.",
        hint="correct its spelling, or take it out",
        check=unknown_key,
    ),
    LintRule(
        id="two-conditions-in-one",
        title="Two conditions in one object",
        severity=Severity.ERROR,
        explanation="A condition is one quantifier, or one left side with one operator.",
        hint="make two conditions of it, in an allOf",
        check=two_rules_in_one,
    ),
)

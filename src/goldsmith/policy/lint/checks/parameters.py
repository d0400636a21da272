"""Rules about parameters: declared and used, typed, with sensible values."""

import json
import re
from collections.abc import Iterator
from typing import Any

from goldsmith.expressions.model import Call, Literal
from goldsmith.policy.lint.definition import Definition, Parameter, calls, member, walk
from goldsmith.policy.lint.model import Fix, Found, LintRule, Remove, Replace, Severity

_TYPES = ("string", "array", "object", "boolean", "integer", "float", "datetime")
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "boolean": (bool,),
    "integer": (int,),
    "float": (int, float),
    "datetime": (str,),
}
_USE = re.compile(r"parameters\(\s*'((?:[^']|'')+)'\s*\)", re.IGNORECASE)


def undeclared(definition: Definition) -> Iterator[Found]:
    for one in definition.written:
        for call in calls(one.tree) if one.tree is not None else ():
            match call:
                case Call("parameters", (Literal(str() as name),)) if (
                    name.lower() not in definition.parameters
                ):
                    yield Found(one.path, f"there is no parameter '{name}'")
                case _:
                    pass


def unused(definition: Definition) -> Iterator[Found]:
    used = {name.lower() for _, text in definition.texts for name in _USE.findall(text)}
    # The service hands these to the guest by name, without an expression.
    guest = member(definition.metadata, "guestConfiguration")
    handed = (
        member(guest.value, "configurationParameter") if guest and isinstance(guest.value, dict) else None
    )
    if handed and isinstance(handed.value, dict):
        used |= {name.lower() for name in handed.value}
    for name, parameter in definition.parameters.items():
        if name not in used and definition.rule is not None:
            fix = Fix("Take it out.", (Remove(parameter.path),))
            yield Found(parameter.path, f"parameter '{parameter.name}' is never used", fix)


def without_display_name(definition: Definition) -> Iterator[Found]:
    yield from _without(definition, "displayName")


def without_description(definition: Definition) -> Iterator[Found]:
    yield from _without(definition, "description")


def default_not_allowed(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        allowed, default = parameter.get("allowedValues"), parameter.get("defaultValue")
        if not isinstance(allowed, list) or not allowed or not parameter.has("defaultValue"):
            continue
        values = default if parameter.type == "array" and isinstance(default, list) else [default]
        for value in values:
            if not any(_same(value, one) for one in allowed):
                near = [one for one in allowed if isinstance(one, str) and one.lower() == str(value).lower()]
                path = (*parameter.path, _key(parameter, "defaultValue"))
                fix = Fix("Spell it as it is allowed.", (Replace(path, near[0]),)) if near else None
                yield Found(
                    path,
                    f"the default {json.dumps(value)} of parameter '{parameter.name}' is not among its "
                    f"allowed values",
                    fix if not isinstance(default, list) else None,
                )


def allowed_twice(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        allowed = parameter.get("allowedValues")
        seen: set[str] = set()
        for number, value in enumerate(allowed if isinstance(allowed, list) else []):
            folded = value.lower() if isinstance(value, str) else json.dumps(value, sort_keys=True)
            if folded in seen:
                path = (*parameter.path, _key(parameter, "allowedValues"), number)
                yield Found(
                    path,
                    f"{json.dumps(value)} is allowed twice, but for case",
                    Fix("Drop it.", (Remove(path),)),
                )
            seen.add(folded)


def empty_allowed(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        if parameter.get("allowedValues") == []:
            yield Found(
                (*parameter.path, _key(parameter, "allowedValues")),
                f"parameter '{parameter.name}' allows no value at all",
            )


def wrong_type(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        if not parameter.has("type"):
            yield Found(parameter.path, f"parameter '{parameter.name}' has no type")
        elif parameter.type not in _TYPES:
            yield Found(
                (*parameter.path, _key(parameter, "type")),
                f"parameter '{parameter.name}' has type {json.dumps(parameter.get('type'))}, expected one of "
                "String, Array, Object, Boolean, Integer, Float, DateTime",
            )


def wrong_default(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        if parameter.type not in _TYPES:
            continue
        default = parameter.get("defaultValue")
        if parameter.has("defaultValue") and not _fits(default, parameter.type):
            yield Found(
                (*parameter.path, _key(parameter, "defaultValue")),
                f"the default of parameter '{parameter.name}' is not of type {parameter.get('type')}",
            )
        allowed = parameter.get("allowedValues")
        for number, value in enumerate(allowed if isinstance(allowed, list) else []):
            if parameter.type != "array" and not _fits(value, parameter.type):
                path = (*parameter.path, _key(parameter, "allowedValues"), number)
                yield Found(path, f"{json.dumps(value)} is not of type {parameter.get('type')}")


def misplaced_schema(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        if parameter.has("schema") and parameter.type != "object":
            yield Found(
                (*parameter.path, _key(parameter, "schema")), "a schema is for parameters of type Object"
            )


def metadata_outside(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        for name in ("displayName", "description", "strongType", "assignPermissions"):
            if parameter.has(name):
                yield Found((*parameter.path, _key(parameter, name)), f"'{name}' belongs into the metadata")


def computed_default(definition: Definition) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        for path, value in walk(parameter.get("defaultValue"), (*parameter.path, "defaultValue")):
            if isinstance(value, str) and value.startswith("[") and _USE.search(value):
                yield Found(path, "a default is a plain value: parameters() is not evaluated in it")


def _without(definition: Definition, name: str) -> Iterator[Found]:
    for parameter in definition.parameters.values():
        metadata = parameter.get("metadata")
        found = member(metadata, name) if isinstance(metadata, dict) else None
        if found is None or not str(found.value or "").strip():
            yield Found(parameter.path, f"parameter '{parameter.name}' has no {name}")


def _key(parameter: Parameter, name: str) -> str:
    found = member(parameter.body, name)
    return found.key if found else name


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _fits(value: Any, type_: str) -> bool:
    if isinstance(value, bool):
        return type_ == "boolean"
    if type_ == "boolean" and isinstance(value, str):
        return value.lower() in ("true", "false")
    if type_ in ("integer", "float") and isinstance(value, float):
        return type_ == "float" or value.is_integer()
    return isinstance(value, _PYTHON_TYPES[type_])


RULES = (
    LintRule(
        id="undeclared-parameter",
        title="A parameter that is not declared",
        severity=Severity.ERROR,
        explanation="The service refuses a definition that uses a parameter it does not have.",
        hint="declare the parameter, or correct its name",
        check=undeclared,
        official=("all-parameter-references-must-resolve",),
    ),
    LintRule(
        id="unused-parameter",
        title="A parameter that nothing uses",
        severity=Severity.WARNING,
        explanation="Whoever assigns the policy sets a value that changes nothing. Once saved, a parameter "
        "cannot be "
        "taken out of a definition any more.",
        hint="use it, or take it out before the definition is saved",
        check=unused,
    ),
    LintRule(
        id="parameter-without-display-name",
        title="A parameter without a display name",
        severity=Severity.NOTE,
        explanation="The display name is what whoever assigns the policy sees.",
        hint="add metadata.displayName",
        check=without_display_name,
        official=("parameter-missing-display-name",),
    ),
    LintRule(
        id="parameter-without-description",
        title="A parameter without a description",
        severity=Severity.NOTE,
        explanation="The description says what a good value is.",
        hint="add metadata.description",
        check=without_description,
        official=("parameter-missing-description",),
    ),
    LintRule(
        id="default-not-allowed",
        title="A default value that is not allowed",
        severity=Severity.ERROR,
        explanation="allowedValues are compared with case. An assignment that leaves the parameter out is "
        "refused.",
        hint="spell the default as in allowedValues, or add it there",
        check=default_not_allowed,
    ),
    LintRule(
        id="allowed-twice",
        title="An allowed value stands twice",
        severity=Severity.WARNING,
        explanation="Two values that differ in case only are two entries to choose from that mean the same.",
        hint="keep one spelling",
        check=allowed_twice,
    ),
    LintRule(
        id="nothing-allowed",
        title="allowedValues is empty",
        severity=Severity.WARNING,
        explanation="Read by the letter, no value can be given to the parameter.",
        hint="list the values, or leave allowedValues out",
        check=empty_allowed,
    ),
    LintRule(
        id="parameter-type",
        title="A parameter of no known type",
        severity=Severity.ERROR,
        explanation="Types are String, Array, Object, Boolean, Integer, Float and DateTime; they cannot be "
        "changed "
        "once the definition is saved.",
        hint="give it one of the types",
        check=wrong_type,
    ),
    LintRule(
        id="value-of-wrong-type",
        title="A default or allowed value of another type",
        severity=Severity.ERROR,
        explanation="Values of a parameter are checked against its type.",
        hint="correct the value or the type",
        check=wrong_default,
    ),
    LintRule(
        id="schema-without-object",
        title="A schema on a parameter that is no object",
        severity=Severity.WARNING,
        explanation="The schema is checked for parameters of type Object only.",
        hint="use allowedValues, or the type Object",
        check=misplaced_schema,
    ),
    LintRule(
        id="parameter-metadata-outside",
        title="Metadata of a parameter in the wrong place",
        severity=Severity.WARNING,
        explanation="displayName, description, strongType and assignPermissions are read below metadata.",
        hint="move it into the parameter's metadata",
        check=metadata_outside,
    ),
    LintRule(
        id="parameter-in-default",
        title="A default that refers to another parameter",
        severity=Severity.WARNING,
        explanation="Defaults are plain values; the text is handed on as it stands.",
        hint="compute the value where it is used",
        check=computed_default,
    ),
)

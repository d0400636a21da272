"""Options that the policy commands share, and what they stand for: alias tables, parameter values."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from goldsmith.cli.policy.files import parse_text, read_file
from goldsmith.kernel.errors import Error, InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable, from_providers, from_shared, merged
from goldsmith.policy.content import packaged

F = TypeVar("F", bound=Callable[..., Any])

# What a run that worked ends with when it found what must not be.
EXIT_FOUND = 3
_COMPLETED_MAX = 200


def aliases(function: F) -> F:
    return click.option(
        "--aliases",
        "alias_files",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Further aliases, as `az provider list --expand resourceTypes/aliases` prints them.",
    )(function)


def parameters(function: F) -> F:
    return click.option(
        "--parameters",
        multiple=True,
        metavar="FILE|NAME=VALUE",
        help="Parameter values: a JSON or YAML file, or one value (JSON, else text).",
    )(function)


def alias_table(files: Sequence[Path]) -> AliasTable:
    """The shipped table with those of the files before it; raises InvalidInputError, NotFoundError."""
    shipped = from_providers(packaged.alias_listing())
    if not files:
        return shipped
    return merged(*(_alias_file(path) for path in files), shipped)


def _alias_file(path: Path) -> AliasTable:
    body = read_file(path)
    try:
        return from_shared(body) if isinstance(body, dict) and "providers" in body else from_providers(body)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.message}", hint=error.hint) from error


def parameter_values(given: Sequence[str]) -> dict[str, JsonValue]:
    """Values by name from `--parameters`; later ones win.

    A file may be an object of values, of `{"value": ...}`, or a deployment's parameter file.
    """
    values: dict[str, JsonValue] = {}
    for text in given:
        name, is_pair, value = text.partition("=")
        if is_pair and not Path(text).exists():
            values[name.strip()] = _written(value)
        else:
            values.update(_parameter_file(Path(text.removeprefix("@"))))
    return values


def _written(text: str) -> JsonValue:
    try:
        return parse_text(text.encode(), where="the value", is_yaml=False)
    except InvalidInputError:
        return text


def _parameter_file(path: Path) -> Mapping[str, JsonValue]:
    body = read_file(path)
    if isinstance(body, dict) and "$schema" in body and isinstance(body.get("parameters"), dict):
        body = body["parameters"]
    if not isinstance(body, dict):
        raise InvalidInputError(
            f"{path} holds no object of parameter values",
            hint='expected {"name": value} or {"name": {"value": ...}}',
        )
    return {
        name: value["value"] if isinstance(value, dict) and set(value) == {"value"} else value
        for name, value in body.items()
    }


def complete_policy(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files as the shell knows them, and the keys of the packaged definitions."""
    keys = [key for key in (*packaged.definitions(), *packaged.initiatives()) if key.startswith(incomplete)]
    return [CompletionItem(key) for key in keys] or [CompletionItem(incomplete, type="file")]


def complete_assignment(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the stored assignments."""
    from goldsmith.app import App
    from goldsmith.policy.wire.assignment import TYPE

    try:
        names = [resource.name for resource in App().resources.list(type=TYPE)]
    except Error:
        return []
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def complete_resource(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of stored resources below what is typed so far; some, when there are many."""
    from goldsmith.app import App

    try:
        above = incomplete.rpartition("/")[0] or None
        found = App().resources.list(scope_prefix=above, limit=_COMPLETED_MAX)
    except Error:
        return []
    wanted = incomplete.lower()
    return [CompletionItem(each.id) for each in found if each.id.lower().startswith(wanted)]

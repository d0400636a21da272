"""Options and completions that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from goldsmith.kernel.errors import Error

F = TypeVar("F", bound=Callable[..., Any])


def progress(function: F) -> F:
    """--json and --plain of commands that run a job."""
    function = click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")(function)
    return json_output(function)


def json_output(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="JSON for programs.")(function)


def region(function: F) -> F:
    return click.option("--region", metavar="NAME", help="The region asked (default: the first configured).")(
        function
    )


def complete_version(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """GALLERY/DEFINITION and GALLERY/DEFINITION/VERSION, as far as typed."""
    from goldsmith.app import App
    from goldsmith.gallery import service

    try:
        app = App()
        names = []
        for gallery in service.list_galleries(app.gallery, app.settings.subscription):
            for definition in service.list_definitions(app.gallery, gallery.id):
                names.append("/".join(definition.id.names))
                names += ["/".join(v.id.names) for v in service.list_versions(app.gallery, definition.id)]
    except Error:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_build(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of templates that were built, and build ids."""
    from goldsmith.app import App

    try:
        records = App().workshop.records.list()
    except Error:
        return []
    names = dict.fromkeys(n for r in records for n in (r.plan.template_name, r.plan.build_id))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]

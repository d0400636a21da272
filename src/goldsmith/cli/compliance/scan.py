"""`goldsmith compliance scan`: what changed is judged, or everything anew."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from goldsmith.cli import options
from goldsmith.cli.meter import Meter
from goldsmith.cli.output import print_json, seconds_text
from goldsmith.cli.policy import options as policy_options
from goldsmith.kernel.json import JsonObject

if TYPE_CHECKING:
    from goldsmith.app import App
    from goldsmith.compliance.importing import Imported

# More changed resources than these are judged faster all together than one after the other.
_CHANGES_MAX = 20_000
_SHOWN = 5


@click.command()
@click.option(
    "--resources",
    "resource_paths",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Put exported resources into the store first (repeatable); those not in it are kept.",
)
@click.option("--full", is_flag=True, help="Judge everything anew, not just what has changed.")
@options.json_output
def command(resource_paths: tuple[Path, ...], full: bool, as_json: bool) -> None:
    """Bring the states of all stored resources up to date. The first scan judges everything.

    Interrupted, it leaves the states as they were; resources that are stored by then stay.

    Example: goldsmith compliance scan --resources vms.json
    """
    from goldsmith.app import App
    from goldsmith.cli.compliance.parts import bring_up_to_date
    from goldsmith.cli.compliance.status import line_json, print_overall
    from goldsmith.compliance.summary import overall

    app = App()
    put = _put(app, resource_paths, quiet=as_json) if resource_paths else None
    keeper = app.keeper
    many = put is not None and put.created + put.updated > _CHANGES_MAX
    first = keeper.followed.scanned_at is None
    began = app.clock.monotonic_seconds()
    changed, everything = bring_up_to_date(keeper, full=full or many, quiet=as_json)
    seconds = app.clock.monotonic_seconds() - began
    line = overall(keeper)
    if as_json:
        print_json(
            {
                "resources": None if put is None else _put_json(put),
                "scan": "full" if everything else "changes",
                "changedStates": changed,
                "seconds": round(seconds, 3),
                "overall": line_json(line),
                "problems": keeper.problems,
            }
        )
        return
    if put is not None:
        click.echo(
            f"stored {put.created:,} new and {put.updated:,} changed resources, {put.unchanged:,} the same"
        )
        for refused in put.refused[:_SHOWN]:
            click.echo(click.style("not stored: ", fg="yellow", bold=True) + refused.message, err=True)
        if len(put.refused) > _SHOWN:
            click.echo(f"... and {len(put.refused) - _SHOWN:,} more that cannot be stored", err=True)
    judged = "everything" if everything else "what had changed"
    differing = "" if first else f"; {changed:,} states are other than before"
    click.echo(f"judged {judged} in {seconds_text(seconds)}{differing}")
    for id_, problem in keeper.problems.items():
        click.echo(click.style("problem: ", fg="red", bold=True) + f"{id_}: {problem}", err=True)
    print_overall(line, assigned=len(keeper.in_force.policies))


def _put(app: "App", paths: Sequence[Path], *, quiet: bool) -> "Imported":
    """Write the resources of the files; what is there already, just so, is left alone."""
    from goldsmith.cli.policy.resource_files import ResourceFile
    from goldsmith.cli.policy.resource_shapes import arm_shape
    from goldsmith.compliance import service

    aliases = policy_options.alias_table(())
    with Meter("storing", "resources", quiet=quiet) as meter:

        def documents() -> Iterator[JsonObject]:
            for number, path in enumerate(paths):
                file = ResourceFile(path)
                for body in file:
                    yield arm_shape(body, aliases)
                    meter.advance(fraction=(number + file.fraction) / len(paths))

        return service.import_resources(app.resources, documents(), actor=app.settings.actor)


def _put_json(put: "Imported") -> JsonObject:
    return {
        "created": put.created,
        "updated": put.updated,
        "unchanged": put.unchanged,
        "refused": [{"number": one.number, "id": one.id, "message": one.message} for one in put.refused],
    }

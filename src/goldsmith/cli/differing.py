"""`goldsmith gallery diff`: what changed in the packages from one image version to another."""

import json
from dataclasses import asdict

import click

from goldsmith.app import App
from goldsmith.cli import names, options
from goldsmith.cli.names import short
from goldsmith.cli.output import print_json, print_table
from goldsmith.gallery.model import ArtifactKind, ImageVersion
from goldsmith.publishing.evidence import read_artifact
from goldsmith.sbom.diff import Difference, compare


@click.command("diff")
@click.argument("before", metavar="BEFORE", shell_complete=options.complete_version)
@click.argument("after", metavar="AFTER", shell_complete=options.complete_version)
@options.region
@options.json_output
def command(before: str, after: str, region: str | None, as_json: bool) -> None:
    """Packages added, removed and changed from version BEFORE to version AFTER, by their bills of materials.

    Example: goldsmith gallery diff golden/web/1.0.0 golden/web/latest
    """
    app = App()
    one, other = (
        names.image_version(app, name, region=region or app.default_region) for name in (before, after)
    )
    difference = compare(_document(app, one), _document(app, other))
    if as_json:
        print_json({"before": str(one.id), "after": str(other.id), **asdict(difference)})
        return
    print_table(
        ("package", "change", short(one.id).rpartition("/")[2], short(other.id).rpartition("/")[2]),
        _rows(difference),
        empty="the same packages in both",
    )


def _document(app: App, version: ImageVersion) -> dict[str, object]:
    document: dict[str, object] = json.loads(read_artifact(app.workshop, version, ArtifactKind.SBOM))
    return document


def _rows(difference: Difference) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for change, packages in (("added", difference.added), ("removed", difference.removed)):
        for package in packages:
            sides = ("-", package.version) if change == "added" else (package.version, "-")
            found.append((package.name, change, *sides))
    for change, changes in (
        ("upgraded", difference.upgraded),
        ("downgraded", difference.downgraded),
        ("changed", difference.changed),
    ):
        found += [(item.name, change, item.before, item.after) for item in changes]
    found += [(item.name, "licence", item.before or "-", item.after or "-") for item in difference.licences]
    return found

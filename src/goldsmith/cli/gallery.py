"""`goldsmith gallery`: galleries, image definitions, image versions, and disks out of them."""

import uuid
from pathlib import Path

import click

from goldsmith.app import App
from goldsmith.cli import differing, names, options
from goldsmith.cli.output import print_facts, print_json, print_table, seconds_text
from goldsmith.gallery import lifecycle, service
from goldsmith.gallery.logic import latest as find_latest
from goldsmith.gallery.model import (
    Feature,
    Gallery,
    Identifier,
    ImageDefinition,
    ImageVersion,
    OsState,
    OsType,
)
from goldsmith.gallery.wire.definition import definition_json
from goldsmith.gallery.wire.gallery import gallery_json
from goldsmith.gallery.wire.version import version_json
from goldsmith.kernel.cancel import NeverCancel
from goldsmith.kernel.clock import iso
from goldsmith.publishing.disks import disk_of_version
from goldsmith.publishing.exporting import ExportFormat, export_disk

_AGED = "aged"


@click.group()
def command() -> None:
    """Galleries, image definitions and image versions."""


command.add_command(differing.command)


@command.command()
@click.argument("gallery")
@click.option("--location", help="Home region (default: the first configured).")
@click.option("--description", help="What it is for.")
@options.json_output
def create(gallery: str, location: str | None, description: str | None, as_json: bool) -> None:
    """Create GALLERY."""
    app = App()
    draft = Gallery(
        id=names.gallery_id(app, gallery), location=location or app.default_region, description=description
    )
    made = service.create_gallery(app.gallery, draft, actor=app.settings.actor)
    if as_json:
        print_json(gallery_json(made))
    else:
        click.echo(f"created {made.id}")


@command.command("list")
@options.json_output
def list_(as_json: bool) -> None:
    """Galleries with their definitions and what is latest in each."""
    app = App()
    galleries = service.list_galleries(app.gallery, app.settings.subscription)
    if as_json:
        print_json([gallery_json(gallery) for gallery in galleries])
        return
    rows = []
    for gallery in galleries:
        definitions = service.list_definitions(app.gallery, gallery.id)
        for definition in definitions:
            versions = service.list_versions(app.gallery, definition.id)
            rows.append(
                (
                    names.short(definition.id),
                    definition.os_type.value,
                    definition.feature("SecurityType") or "Standard",
                    len(versions),
                    _latest(app, definition),
                )
            )
        if not definitions:
            rows.append((gallery.id.name, "-", "-", 0, "-"))
    print_table(
        ("definition", "os", "security", "versions", "latest"),
        rows,
        empty="no galleries; 'goldsmith gallery create NAME' makes one",
    )


def _latest(app: App, definition: ImageDefinition) -> str:
    found = find_latest(app.gallery.versions(definition.id), region=app.default_region)
    return str(found.name) if found else "-"


@command.command()
@click.argument("name", metavar="NAME", shell_complete=options.complete_version)
@options.region
@options.json_output
def show(name: str, region: str | None, as_json: bool) -> None:
    """One gallery, definition or version: GALLERY[/DEFINITION[/VERSION]]; VERSION may be latest."""
    app = App()
    depth = name.strip("/").count("/")
    if depth == 0:
        gallery = service.show_gallery(app.gallery, names.gallery_id(app, name))
        if as_json:
            print_json(gallery_json(gallery))
        else:
            print_facts(_gallery_facts(app, gallery))
        return
    if depth == 1:
        definition = service.show_definition(app.gallery, names.definition_id(app, name))
        if as_json:
            print_json(definition_json(definition))
        else:
            print_facts(_definition_facts(app, definition))
        return
    version = names.image_version(app, name, region=region or app.default_region)
    if as_json:
        print_json(version_json(version))
    else:
        print_facts(_version_facts(version))


@command.command()
@click.argument("name", metavar="GALLERY/DEFINITION", shell_complete=options.complete_version)
@options.region
@options.json_output
def latest(name: str, region: str | None, as_json: bool) -> None:
    """The version that `latest` means now."""
    app = App()
    version = service.resolve_latest(
        app.gallery, names.definition_id(app, name), region=region or app.default_region
    )
    if as_json:
        print_json(version_json(version))
    else:
        click.echo(names.short(version.id))


@command.command()
@click.argument("name", metavar="VERSION", shell_complete=options.complete_version)
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice([item.value for item in ExportFormat]),
    help="Format of the file (default: by its name).",
)
@options.region
@options.json_output
def export(name: str, output: Path, format_: str | None, region: str | None, as_json: bool) -> None:
    """Write the disk of VERSION (GALLERY/DEFINITION[/VERSION]) to OUTPUT: raw, qcow2 or vhd."""
    app = App()
    version = names.image_version(app, name, region=region or app.default_region)
    disk = disk_of_version(app.workshop, version, cancel=NeverCancel())
    kind = ExportFormat(format_) if format_ else ExportFormat.of_name(output)
    published = version.publishing.published_date or app.clock.now()
    made = export_disk(
        disk,
        output,
        kind,
        epoch=int(published.timestamp()),
        id_=uuid.uuid5(uuid.NAMESPACE_URL, str(version.id)),
    )
    if as_json:
        print_json({"imageVersion": str(version.id), "path": str(output), "format": kind.value, **made})
    else:
        click.echo(f"wrote {output} ({kind.value}, {made['sizeBytes'] >> 20} MiB, {made['digest']})")


@command.command()
@click.argument("gallery")
@click.confirmation_option(prompt="Delete the gallery?")
def delete(gallery: str) -> None:
    """Delete an empty GALLERY."""
    app = App()
    service.delete_gallery(app.gallery, names.gallery_id(app, gallery), actor=app.settings.actor)
    click.echo(f"deleted {gallery}")


@command.group()
def definition() -> None:
    """Image definitions."""


@definition.command("create")
@click.argument("name", metavar="GALLERY/DEFINITION")
@click.option("--publisher", required=True)
@click.option("--offer", required=True)
@click.option("--sku", required=True)
@click.option("--location", help="Home region (default: the first configured).")
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME=VALUE",
    help="A feature; SecurityType is TrustedLaunch unless given.",
)
@options.json_output
def create_definition(
    name: str,
    publisher: str,
    offer: str,
    sku: str,
    location: str | None,
    features: tuple[str, ...],
    as_json: bool,
) -> None:
    """Create a definition for Linux images of generation 2."""
    app = App()
    pairs = dict(item.partition("=")[::2] for item in features)
    pairs.setdefault("SecurityType", "TrustedLaunch")
    draft = ImageDefinition(
        id=names.definition_id(app, name),
        location=location or app.default_region,
        os_type=OsType.LINUX,
        os_state=OsState.GENERALIZED,
        identifier=Identifier(publisher=publisher, offer=offer, sku=sku),
        features=tuple(Feature(name=key, value=value) for key, value in pairs.items()),
    )
    made = service.create_definition(app.gallery, draft, actor=app.settings.actor)
    if as_json:
        print_json(definition_json(made))
    else:
        click.echo(f"created {made.id}")


@definition.command("delete")
@click.argument("name", metavar="GALLERY/DEFINITION", shell_complete=options.complete_version)
@click.confirmation_option(prompt="Delete the image definition?")
def delete_definition(name: str) -> None:
    """Delete a definition that has no versions."""
    app = App()
    service.delete_definition(app.gallery, names.definition_id(app, name), actor=app.settings.actor)
    click.echo(f"deleted {name}")


@command.group()
def version() -> None:
    """Image versions."""


@version.command("list")
@click.argument("name", metavar="GALLERY/DEFINITION", shell_complete=options.complete_version)
@options.json_output
def list_versions(name: str, as_json: bool) -> None:
    """The versions of a definition, lowest first."""
    app = App()
    versions = service.list_versions(app.gallery, names.definition_id(app, name))
    newest = find_latest(versions, region=app.default_region)
    if as_json:
        print_json([version_json(item) for item in versions])
        return
    rows = []
    for item in versions:
        published = item.publishing.published_date
        rows.append(
            (
                item.name,
                item.provisioning_state.value,
                "withdrawn" if item.publishing.exclude_from_latest else "latest" if item == newest else "",
                item.tags.get(_AGED, ""),
                iso(published) if published else "-",
                ", ".join(region.name for region in item.publishing.target_regions),
            )
        )
    print_table(("version", "state", "latest", "aged", "published", "regions"), rows, empty="no versions yet")


@version.command()
@click.argument("name", metavar="GALLERY/DEFINITION/VERSION", shell_complete=options.complete_version)
def withdraw(name: str) -> None:
    """Stop handing a version out as latest; who names it exactly still gets it."""
    app = App()
    done = lifecycle.withdraw(app.gallery, app.clock, names.version_id(app, name), actor=app.settings.actor)
    click.echo(f"withdrew {names.short(done.id)} from latest")


@version.command()
@click.argument("name", metavar="GALLERY/DEFINITION/VERSION", shell_complete=options.complete_version)
def promote(name: str) -> None:
    """Let a version be latest."""
    app = App()
    done = lifecycle.promote(app.gallery, app.clock, names.version_id(app, name), actor=app.settings.actor)
    click.echo(f"promoted {names.short(done.id)}")


@version.command("delete")
@click.argument("name", metavar="GALLERY/DEFINITION/VERSION", shell_complete=options.complete_version)
@click.confirmation_option(prompt="Delete the image version?")
def delete_version(name: str) -> None:
    """Delete a version; a gallery with soft delete keeps it for its retention time."""
    app = App()
    lifecycle.delete_version(app.gallery, app.clock, names.version_id(app, name), actor=app.settings.actor)
    click.echo(f"deleted {name}")


def _gallery_facts(app: App, gallery: Gallery) -> list[tuple[str, object]]:
    definitions = service.list_definitions(app.gallery, gallery.id)
    kept = gallery.soft_delete_policy is not None and gallery.soft_delete_policy.enabled
    return [
        ("gallery", gallery.id),
        ("location", gallery.location),
        ("description", gallery.description or "-"),
        ("soft delete", "on" if kept else "off"),
        ("definitions", "\n".join(definition.id.name for definition in definitions) or "-"),
    ]


def _definition_facts(app: App, definition: ImageDefinition) -> list[tuple[str, object]]:
    identifier = definition.identifier
    versions = service.list_versions(app.gallery, definition.id)
    end = definition.end_of_life_date
    return [
        ("image definition", definition.id),
        ("os", f"{definition.os_type.value}, {definition.os_state.value}, {definition.architecture.value}"),
        ("identifier", f"{identifier.publisher}:{identifier.offer}:{identifier.sku}"),
        ("security", definition.feature("SecurityType") or "Standard"),
        ("end of life", iso(end) if end else "-"),
        ("versions", "\n".join(str(version.name) for version in versions) or "-"),
        ("latest", _latest(app, definition)),
    ]


def _version_facts(version: ImageVersion) -> list[tuple[str, object]]:
    evidence = version.evidence
    published = version.publishing.published_date
    facts: list[tuple[str, object]] = [
        ("image version", version.id),
        ("state", version.provisioning_state.value),
        ("latest", "excluded" if version.publishing.exclude_from_latest else "eligible"),
        ("published", iso(published) if published else "-"),
        ("regions", "\n".join(region.name for region in version.publishing.target_regions)),
        ("tags", "\n".join(f"{key}={value}" for key, value in sorted(version.tags.items())) or "-"),
    ]
    if evidence is not None:
        phases = [f"{name} {seconds_text(seconds)}" for name, seconds in evidence.boot_seconds.items()]
        facts += [
            ("build", evidence.build_id),
            ("disk", evidence.disk_digest or "-"),
            ("boot", "  ".join(phases) or "-"),
            ("evidence", "\n".join(artifact.path for artifact in evidence.artifacts)),
        ]
    return facts

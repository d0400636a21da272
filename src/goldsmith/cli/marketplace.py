"""`goldsmith marketplace`: what bases there are, and capturing them."""

from pathlib import Path

import click

from goldsmith.app import App
from goldsmith.cli import options
from goldsmith.cli.output import is_terminal, print_facts, print_json, print_table, size_text
from goldsmith.kernel.clock import iso
from goldsmith.kernel.errors import Error, InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.marketplace import disks, service
from goldsmith.marketplace.model import Capture, parse_urn
from goldsmith.marketplace.ports import OnProgress, Progress


@click.group()
def command() -> None:
    """Base images: offers, versions, captures."""


@command.command("list")
@click.argument("urn", required=False, metavar="[PUBLISHER:OFFER:SKU]")
@options.json_output
def list_(urn: str | None, as_json: bool) -> None:
    """Offers, or the versions of one SKU: those captured here and the one the mirror has now."""
    market = App().marketplace
    if urn is not None:
        text = urn if urn.count(":") == 3 else f"{urn}:latest"
        rows = service.list_versions(market, parse_urn(text))
        if as_json:
            print_json(
                [
                    {"urn": str(row.urn), "captured": row.capture is not None, "onMirror": row.on_mirror}
                    for row in rows
                ]
            )
            return
        table = [(row.urn, "yes" if row.capture else "no", "yes" if row.on_mirror else "no") for row in rows]
        print_table(("version", "captured", "on the mirror"), table, empty="no version is known")
        return
    offers = service.list_offers(market)
    captures = service.list_captures(market)
    if as_json:
        print_json(
            {
                "offers": [
                    {"publisher": o.publisher, "offer": o.name, "sku": s.name, "description": s.description}
                    for o in offers
                    for s in o.skus
                ],
                "captures": [_capture_json(capture) for capture in captures],
            }
        )
        return
    print_table(
        ("image", "description"),
        [(f"{o.publisher}:{o.name}:{s.name}:latest", s.description) for o in offers for s in o.skus],
        empty="no offers",
    )
    click.echo()
    print_table(
        ("captured", "digest", "packages", "size"),
        [(c.identity, c.digest[:19], c.package_count, size_text(c.size_bytes)) for c in captures],
        empty="nothing is captured yet",
    )


@command.command()
@click.argument("urn")
@options.json_output
def show(urn: str, as_json: bool) -> None:
    """One version: `latest` is resolved to a real one."""
    details = service.show(App().marketplace, parse_urn(urn))
    captured = details.capture
    if as_json:
        print_json(
            {
                "urn": str(details.urn),
                "description": details.sku.description,
                "architecture": details.sku.architecture,
                "releases": [
                    {"suite": r.suite, "date": iso(r.date), "digest": r.digest}
                    for r in details.resolved.releases
                ],
                "capture": _capture_json(captured) if captured else None,
            }
        )
        return
    facts: list[tuple[str, object]] = [
        ("image", details.urn),
        ("description", details.sku.description),
        ("architecture", details.sku.architecture),
    ]
    releases = "\n".join(f"{r.suite}  {iso(r.date)}  {r.digest[:19]}" for r in details.resolved.releases)
    facts.append(("on the mirror", releases or "not asked: the version is captured"))
    print_facts(facts + (_capture_facts(captured) if captured else [("captured", "no")]))


@command.command()
@click.argument("source", required=False, metavar="URN|DISK")
@click.option(
    "--from-lock", type=click.Path(path_type=Path), help="Make a base again from its lock, offline."
)
@options.json_output
def capture(source: str | None, from_lock: Path | None, as_json: bool) -> None:
    """Capture a base: URN is publisher:offer:sku:version, DISK a raw, qcow2 or VHD file.

    A version that is captured is left as it is.
    """
    app = App()
    progress = _say_progress(quiet=as_json)
    if from_lock is not None:
        made = service.capture_from_lock(app.marketplace, from_lock, on_progress=progress)
    elif source is None:
        raise InvalidInputError("nothing was named", hint="give a URN, a disk file, or --from-lock LOCK")
    elif source.count(":") == 3 and not Path(source).exists():
        made = service.capture(app.marketplace, parse_urn(source), on_progress=progress)
    else:
        extract = app.workshop.extract_root
        made = disks.capture_disk_file(app.marketplace, Path(source), extract=extract, on_progress=progress)
    if as_json:
        print_json(_capture_json(made))
    else:
        print_facts([("image", made.identity), *_capture_facts(made)])


@command.command()
@click.argument("urn")
def verify(urn: str) -> None:
    """Check a captured base against its manifest."""
    market = App().marketplace
    resolved = service.show(market, parse_urn(urn))
    if resolved.capture is None:
        raise Error(f"{resolved.urn} is not captured", hint=f"goldsmith marketplace capture {resolved.urn}")
    service.verify(market, resolved.capture)
    click.echo(f"{resolved.urn} is as it was captured ({resolved.capture.digest})")


def _say_progress(*, quiet: bool) -> OnProgress:
    last = ""

    def show_line(progress: Progress) -> None:
        nonlocal last
        if quiet:
            return
        text = progress.stage.value
        if is_terminal() and progress.total:
            click.echo(f"\r{text} {progress.done}/{progress.total}   ", nl=False, err=True)
            last = text
        elif text != last:
            click.echo(("\n" if is_terminal() and last else "") + text, err=True)
            last = text

    return show_line


def _capture_facts(capture: Capture) -> list[tuple[str, object]]:
    return [
        ("captured", iso(capture.captured_at)),
        ("digest", capture.digest),
        ("os version", capture.os_version),
        ("packages", capture.package_count),
        ("size", size_text(capture.size_bytes)),
        ("root", capture.root),
        ("lock", capture.lock or "none: made from a disk file"),
    ]


def _capture_json(capture: Capture) -> JsonObject:
    return {
        "kind": capture.kind.value,
        "identity": capture.identity,
        "digest": capture.digest,
        "sourceDigest": capture.source_digest,
        "osVersion": capture.os_version,
        "architecture": capture.architecture,
        "packages": capture.package_count,
        "sizeBytes": capture.size_bytes,
        "capturedAt": iso(capture.captured_at),
        "root": str(capture.root),
        "lock": str(capture.lock) if capture.lock else None,
    }

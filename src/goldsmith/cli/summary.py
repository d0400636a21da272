"""The end of a build, told to a person: where the image is, what it is, who vouches for it, what is next."""

import json
import sys
from pathlib import Path

import click

from goldsmith.app import App
from goldsmith.cli.names import short
from goldsmith.cli.output import print_facts, seconds_text, size_text
from goldsmith.gallery import service as galleries
from goldsmith.gallery.model import ArtifactKind, ImageVersion
from goldsmith.kernel import digest
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonObject
from goldsmith.provenance.verify import Expected, VerificationReport, verify_bundle
from goldsmith.publishing.model import BuildRecord
from goldsmith.publishing.planning import tattoo_of
from goldsmith.publishing.service import base_of
from goldsmith.tattoo.text import to_text

_PHASES = ("firmware", "loader", "kernel", "initrd", "userspace", "total")


def artifacts_directory(app: App, record: BuildRecord) -> Path:
    return app.workshop.records.directory(record.plan.build_id) / "artifacts"


def verify_record(app: App, record: BuildRecord, version: ImageVersion) -> VerificationReport:
    """The evidence kept with the build, checked against the digest the gallery knows."""
    assert version.evidence is not None
    return verify_bundle(
        artifacts_directory(app, record),
        app.keys.verifiers(),
        now=app.clock.now(),
        expected=Expected(version_id=str(version.id), disk_digest=version.evidence.disk_digest),
    )


def facts_of(app: App, record: BuildRecord) -> JsonObject:
    """Everything the summary says, as data."""
    version = galleries.show_version(app.gallery, parse_resource_id(record.result["versionId"]))
    evidence = version.evidence
    assert evidence is not None
    assert evidence.disk_digest is not None
    disk = app.workshop.disks / f"{digest.hex_of(evidence.disk_digest)}.raw"
    sbom = json.loads((artifacts_directory(app, record) / f"image.{ArtifactKind.SBOM}").read_bytes())
    checked = verify_record(app, record, version)
    provenance = evidence.artifact(ArtifactKind.PROVENANCE)
    folder = str(Path(provenance.path).parent) if provenance else "images"
    regions = [
        {"name": region.name, "evidence": app.stores[app.regions.get(region.name).key].where_named(folder)}
        for region in version.publishing.target_regions
    ]
    return {
        "imageVersion": str(version.id),
        "name": short(version.id),
        "excludeFromLatest": version.publishing.exclude_from_latest,
        "disk": str(disk) if disk.exists() else None,
        "diskDigest": evidence.disk_digest,
        "sizeBytes": evidence.disk_size_bytes,
        "usedBytes": disk.stat().st_blocks * 512 if disk.exists() else None,
        "regions": regions,
        "packages": sum(_is_deb(package) for package in sbom["packages"]),
        "bootSeconds": {
            name: evidence.boot_seconds[name] for name in _PHASES if name in evidence.boot_seconds
        },
        "signature": {
            "ok": checked.ok,
            "key": checked.key_id,
            "failed": [f"{check.name}: {check.reason}" for check in checked.failures],
        },
        "tattoo": to_text(tattoo_of(record.plan, base_of(app.workshop, record.plan))),
        "buildId": record.plan.build_id,
    }


def print_summary(facts: JsonObject) -> None:
    signature = facts["signature"]
    status = (
        click.style("verified", fg="green") + f" (ECDSA P-256, key {signature['key'][:16]})"
        if signature["ok"]
        else click.style("NOT VERIFIED: " + "; ".join(signature["failed"]), fg="red")
    )
    size = size_text(facts["sizeBytes"]) + (
        f", {size_text(facts['usedBytes'])} used" if facts["usedBytes"] else ""
    )
    phases = "  ".join(f"{name} {seconds_text(seconds)}" for name, seconds in facts["bootSeconds"].items())
    regions = "\n".join(f"{region['name']}: {region['evidence']}" for region in facts["regions"])
    click.echo()
    print_facts(
        [
            (
                "image version",
                facts["name"] + (" (excluded from latest)" if facts["excludeFromLatest"] else ""),
            ),
            ("disk", facts["disk"] or "not cached; 'goldsmith gallery export' fetches it"),
            ("size", size),
            ("digest", facts["diskDigest"]),
            ("regions", regions),
            ("packages", facts["packages"]),
            ("boot", phases or "not measured"),
            ("signature", status),
            ("tattoo", facts["tattoo"].rstrip()),
        ]
    )
    program = _program()
    click.echo()
    click.echo(click.style("next", bold=True))
    click.echo(f"  {program} image boot {facts['name']}      # start it, log in, read its tattoo")
    click.echo(f"  {program} image verify {facts['name']}    # check signature, digests and evidence")
    click.echo(f"  {program} gallery export {facts['name']} image.qcow2")


def _program() -> str:
    """How this very program was called, so that the commands can be copied."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m goldsmith"
    try:
        return str(called.resolve().relative_to(Path.cwd())) if called.is_absolute() else sys.argv[0]
    except ValueError:
        return str(called)


def _is_deb(package: JsonObject) -> bool:
    locators = [reference.get("referenceLocator", "") for reference in package.get("externalRefs", [])]
    return any(text.startswith("pkg:deb/") and "arch=source" not in text for text in locators)

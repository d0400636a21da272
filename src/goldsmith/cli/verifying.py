"""Checking a version's evidence: from its region, or from files alone on any machine."""

import tempfile
from pathlib import Path

from goldsmith.app import App
from goldsmith.cli.names import image_version
from goldsmith.gallery.model import ArtifactKind, ImageVersion
from goldsmith.kernel.clock import SystemClock
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.provenance.keys import PublicKey, parse_public_key
from goldsmith.provenance.model import KeyWindow
from goldsmith.provenance.ports import Verifier
from goldsmith.provenance.verify import Expected, VerificationReport, verify_bundle
from goldsmith.publishing.evidence import read_artifact

_KINDS = (
    ArtifactKind.SBOM,
    ArtifactKind.SBOM_SIGNATURE,
    ArtifactKind.PROVENANCE,
    ArtifactKind.TEST_REPORT,
    ArtifactKind.MEASUREMENTS,
)


def verify_version(
    app: App, name: str, *, region: str | None, disk: Path | None, key: Path | None
) -> VerificationReport:
    """The evidence and the disk of a version, fetched from its region and checked."""
    version = image_version(app, name, region=region or app.default_region)
    trusted: tuple[Verifier, ...] = (_read_key(key),) if key else app.keys.verifiers()
    with tempfile.TemporaryDirectory(prefix="goldsmith-verify-") as folder:
        for kind in _KINDS:
            if version.evidence is not None and version.evidence.artifact(kind) is not None:
                content = read_artifact(app.workshop, version, kind)
                (Path(folder) / f"image.{kind.value}").write_bytes(content)
        return verify_bundle(
            Path(folder),
            trusted,
            now=app.clock.now(),
            disk=disk,
            expected=Expected(version_id=str(version.id), disk_digest=_checked_disk(app, version, region)),
        )


def _checked_disk(app: App, version: ImageVersion, region: str | None) -> str | None:
    """The digest of the disk, once the region's copy has been read whole and found to have it."""
    if version.evidence is None or version.evidence.disk_digest is None:
        return None
    name = region or version.publishing.target_regions[0].name
    app.stores[app.regions.get(name).key].verify(version.evidence.disk_digest)
    return version.evidence.disk_digest


def verify_files(evidence: Path, *, disk: Path | None, key: Path | None) -> VerificationReport:
    """The evidence in a directory, with a public key: needs no state and no network."""
    if not evidence.is_dir():
        raise NotFoundError(f"there is no directory {evidence}")
    if key is None:
        raise InvalidInputError(
            "files can only be verified against a public key", hint="give --key signing.pub.pem"
        )
    return verify_bundle(evidence, (_read_key(key),), now=SystemClock().now(), disk=disk)


def _read_key(path: Path) -> PublicKey:
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"the key {path} cannot be read: {error.strerror}") from error
    from datetime import UTC, datetime

    return parse_public_key(pem, KeyWindow(not_before=datetime(1970, 1, 1, tzinfo=UTC)))

"""Check an image version's evidence offline: every check listed, with what it found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from goldsmith.kernel import digest
from goldsmith.kernel.clock import iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.provenance.dsse import ENVELOPE_BYTES_MAX, Envelope, accepted_by, parse_envelope
from goldsmith.provenance.logic import read_claims
from goldsmith.provenance.model import PAYLOAD_TYPE, Byproduct, Claims, KeyWindow
from goldsmith.provenance.ports import Verifier

SBOM_BYTES_MAX = 1 << 30
# How far the clock of whoever verifies may be behind the builder's.
CLOCK_SKEW = timedelta(minutes=5)


class EvidenceFile(StrEnum):
    """The files beside a disk, by the end of their names."""

    PROVENANCE = ".provenance.dsse.json"
    SBOM = ".spdx.json"
    SBOM_SIGNATURE = ".spdx.json.sig"
    TEST_REPORT = ".report.json"
    MEASUREMENTS = ".measurements.json"


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    checks: tuple[Check, ...]
    claims: Claims | None
    """What the provenance claims, if it could be read; to be believed only when `ok`."""
    key_id: str | None
    """The key whose signature was accepted."""

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.outcome is not Outcome.FAILED for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the caller knows beforehand; what is None is not compared."""

    version_id: str | None = None
    disk_digest: str | None = None
    builder_id: str | None = None


_OF_BYPRODUCT = {
    Byproduct.SBOM: EvidenceFile.SBOM,
    Byproduct.TEST_REPORT: EvidenceFile.TEST_REPORT,
    Byproduct.MEASUREMENTS: EvidenceFile.MEASUREMENTS,
}
_NO_EXPECTATION = Expected()


def verify_bundle(
    evidence: Path | Mapping[EvidenceFile, Path],
    trusted_keys: Sequence[Verifier],
    *,
    now: datetime,
    disk: Path | None = None,
    expected: Expected = _NO_EXPECTATION,
) -> VerificationReport:
    """Check the evidence in a directory (found by the ends of file names) or in the files named.

    Signature and key window, subject digest against the disk (hashed here when `disk` is given, else
    compared with `expected.disk_digest`, else skipped), SBOM, test report and measurements against the
    digests signed, and the SBOM's detached signature. Raises nothing for a failed check: look at `ok`.
    """
    found, checks = _locate(evidence)
    envelope = claims = None
    key_id = None
    try:
        envelope = parse_envelope(_read(found, EvidenceFile.PROVENANCE, ENVELOPE_BYTES_MAX))
        claims = _read_claims(envelope)
        checks.append(_ok("statement", f"in-toto statement of build {claims.build_id}"))
    except (InvalidInputError, OSError) as error:
        checks.append(_failed("statement", str(error)))
    if envelope is not None:
        key_id = _check_signature(envelope, claims, trusted_keys, now, checks)
    if claims is not None:
        checks.extend(_check_expectations(claims, expected))
        checks.append(_check_disk(claims, disk, expected))
        checks.extend(_check_byproduct(claims, kind, found) for kind in Byproduct)
        checks.append(_check_sbom_signature(claims, trusted_keys, now, found))
    return VerificationReport(checks=tuple(checks), claims=claims, key_id=key_id)


def report_json(report: VerificationReport) -> JsonObject:
    """The report as JSON, for `--json` and for storing beside a consumed version."""
    claims = report.claims
    return {
        "ok": report.ok,
        "keyId": report.key_id,
        "imageVersion": None if claims is None else claims.version_id,
        "diskDigest": None if claims is None else claims.disk_digest,
        "buildId": None if claims is None else claims.build_id,
        "finishedOn": None if claims is None else iso(claims.finished),
        "checks": [
            {"name": check.name, "outcome": check.outcome.value, "reason": check.reason}
            for check in report.checks
        ],
    }


def _locate(evidence: Path | Mapping[EvidenceFile, Path]) -> tuple[dict[EvidenceFile, Path], list[Check]]:
    if not isinstance(evidence, Path):
        return dict(evidence), []
    found: dict[EvidenceFile, Path] = {}
    checks = []
    try:
        names = sorted(path for path in evidence.iterdir() if path.is_file())
    except OSError as error:
        return {}, [_failed("files", f"cannot list {evidence}: {error.strerror}")]
    for kind in EvidenceFile:
        matches = [path for path in names if path.name.endswith(kind)]
        if len(matches) > 1:
            checks.append(_failed("files", f"{evidence} holds {len(matches)} files *{kind}, expected one"))
        elif matches:
            found[kind] = matches[0]
    return found, checks


def _read(found: Mapping[EvidenceFile, Path], kind: EvidenceFile, bytes_max: int) -> bytes:
    path = found.get(kind)
    if path is None:
        raise InvalidInputError(f"there is no file *{kind}")
    if path.stat().st_size > bytes_max:
        raise InvalidInputError(f"{path.name} has {path.stat().st_size} bytes, expected {bytes_max} at most")
    return path.read_bytes()


def _read_claims(envelope: Envelope) -> Claims:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise InvalidInputError(f"the payload type is '{envelope.payload_type}', expected '{PAYLOAD_TYPE}'")
    return read_claims(envelope.payload)


def _check_signature(
    envelope: Envelope,
    claims: Claims | None,
    trusted_keys: Sequence[Verifier],
    now: datetime,
    checks: list[Check],
) -> str | None:
    accepted = accepted_by(envelope, trusted_keys)
    if not accepted:
        hints = ", ".join(signature.key_id[:16] or "unnamed" for signature in envelope.signatures)
        reason = f"none of {len(trusted_keys)} trusted keys made it (it names {hints})"
        checks.append(_failed("signature", reason))
        return None
    refusals = {key.key_id: _window_refusal(key.window, claims, now) for key in accepted}
    good = next((key_id for key_id, refusal in refusals.items() if refusal is None), None)
    shown = good or accepted[0].key_id
    checks.append(_ok("signature", f"made by key {shown}"))
    if good is None:
        checks.append(_failed("key window", refusals[shown] or ""))
    else:
        checks.append(_ok("key window", "the key was valid when the build finished"))
    return good


def _window_refusal(window: KeyWindow, claims: Claims | None, now: datetime) -> str | None:
    if window.revoked:
        return "the key is revoked"
    if now + CLOCK_SKEW < window.not_before:
        return f"the key is valid from {iso(window.not_before)} on, and it is {iso(now)}"
    if claims is None:
        return "there is no statement that says when the build finished"
    if claims.finished > now + CLOCK_SKEW:
        return f"the build claims to have finished at {iso(claims.finished)}, and it is {iso(now)}"
    if window.not_after is not None and claims.finished > window.not_after:
        finished = iso(claims.finished)
        return f"the key was valid until {iso(window.not_after)}, and the build finished at {finished}"
    return None


def _check_expectations(claims: Claims, expected: Expected) -> Iterator[Check]:
    if expected.version_id is not None:
        # ARM ids are compared without regard to case.
        same = claims.version_id.lower() == expected.version_id.lower()
        yield _compare("image version", same, claims.version_id, expected.version_id)
    if expected.builder_id is not None:
        same = claims.builder_id == expected.builder_id
        yield _compare("builder", same, claims.builder_id, expected.builder_id)


def _check_disk(claims: Claims, disk: Path | None, expected: Expected) -> Check:
    actual = expected.disk_digest
    if disk is not None:
        try:
            actual = digest.of_file(disk)
        except OSError as error:
            return _failed("disk", f"cannot read {disk}: {error.strerror}")
        if expected.disk_digest not in (None, actual):
            return _failed("disk", f"{disk.name} is {actual}, the image version says {expected.disk_digest}")
    if actual is None:
        return Check(name="disk", outcome=Outcome.SKIPPED, reason="no disk was given")
    return _compare("disk", actual == claims.disk_digest, actual, claims.disk_digest)


def _check_byproduct(claims: Claims, kind: Byproduct, found: Mapping[EvidenceFile, Path]) -> Check:
    path = found.get(_OF_BYPRODUCT[kind])
    signed = claims.byproducts.get(kind)
    if signed is None and path is None:
        if kind is Byproduct.MEASUREMENTS:
            return Check(name=kind.value, outcome=Outcome.SKIPPED, reason="the build measured no boot")
        return _failed(kind.value, "the provenance does not name it")
    if signed is None:
        return _failed(kind.value, "there is a file that the provenance does not name")
    if path is None:
        return _failed(
            kind.value, f"the provenance names {signed}, and there is no file *{_OF_BYPRODUCT[kind]}"
        )
    try:
        actual = digest.of_file(path)
    except OSError as error:
        return _failed(kind.value, f"cannot read {path}: {error.strerror}")
    return _compare(kind.value, actual == signed, actual, signed)


def _check_sbom_signature(
    claims: Claims, trusted_keys: Sequence[Verifier], now: datetime, found: Mapping[EvidenceFile, Path]
) -> Check:
    name = "sbom signature"
    try:
        sbom = _read(found, EvidenceFile.SBOM, SBOM_BYTES_MAX)
        signature = _read(found, EvidenceFile.SBOM_SIGNATURE, ENVELOPE_BYTES_MAX)
    except (InvalidInputError, OSError) as error:
        return _failed(name, str(error))
    accepted = [key for key in trusted_keys if key.verifies(sbom, signature)]
    if not accepted:
        return _failed(name, f"none of {len(trusted_keys)} trusted keys made it")
    refusals = [_window_refusal(key.window, claims, now) for key in accepted]
    if None not in refusals:
        return _failed(name, refusals[0] or "")
    return _ok(name, f"made by key {accepted[refusals.index(None)].key_id}")


def _compare(name: str, same: bool, got: str, expected: str) -> Check:
    return _ok(name, got) if same else _failed(name, f"got {got}, expected {expected}")


def _ok(name: str, reason: str) -> Check:
    return Check(name=name, outcome=Outcome.OK, reason=reason)


def _failed(name: str, reason: str) -> Check:
    return Check(name=name, outcome=Outcome.FAILED, reason=reason)

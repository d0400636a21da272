"""Every way to spoil a bundle, and the checks that notice it; and what foreign verifiers say."""

import base64
import copy
import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # exported without __all__

from goldsmith.kernel import digest
from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.provenance.dsse import (
    Envelope,
    Signature,
    accepted_by,
    envelope_bytes,
    envelope_json,
    parse_envelope,
    sign,
    sign_again,
    sign_detached,
    sigstore_bundle,
)
from goldsmith.provenance.keys import PrivateKey, PublicKey
from goldsmith.provenance.logic import read_claims, statement, statement_bytes
from goldsmith.provenance.model import (
    BuildFacts,
    BuildStep,
    Byproduct,
    Emergency,
    KeyWindow,
    Measurements,
    StepInput,
)
from goldsmith.provenance.verify import EvidenceFile, Expected, report_json, verify_bundle

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/provenance/verification.yaml").read_text())
VERSION_ID = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/corp/images/web/versions/1.0.0"
)
FINISHED = datetime(2026, 11, 26, 4, tzinfo=UTC)
OPEN_WINDOW = KeyWindow(not_before=datetime(2026, 11, 1, tzinfo=UTC))
FILES = {
    "disk": "disk.raw",
    "provenance": "web.provenance.dsse.json",
    "sbom": "web.spdx.json",
    "sbom_signature": "web.spdx.json.sig",
    "test_report": "web.report.json",
    "measurements": "web.measurements.json",
}


@dataclass(frozen=True)
class Bundle:
    directory: Path
    key: PrivateKey


def new_key() -> PrivateKey:
    return PrivateKey(ec.generate_private_key(ec.SECP256R1()))


def facts(**changes: Any) -> BuildFacts:
    values: dict[str, Any] = {
        "build_id": "b-1",
        "version_id": VERSION_ID,
        "disk_digest": digest.of_bytes(b"disk"),
        "base_urn": "Debian:debian-12:12-gen2:0.20261101.1",
        "base_digest": digest.of_bytes(b"base"),
        "template_name": "web",
        "template_digest": digest.of_bytes(b"template"),
        "steps": (
            BuildStep(
                index=0,
                name="harden",
                layer_key=digest.of_bytes(b"key"),
                layer_digest=digest.of_bytes(b"layer"),
                inputs=(StepInput(name="harden.sh", digest=digest.of_bytes(b"script")),),
            ),
        ),
        "sbom_digest": digest.of_bytes(b"{}"),
        "test_report_digest": digest.of_bytes(b"[1]"),
        "measurements": Measurements(digest=digest.of_bytes(b"[2]"), values={"pcr4": "00ff"}),
        "builder_id": "https://builder.example.org/goldsmith",
        "builder_version": "0.1.0",
        "started": datetime(2026, 11, 26, 3, tzinfo=UTC),
        "finished": FINISHED,
        "parameters": {"channel": "monthly"},
    }
    return BuildFacts(**(values | changes))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    key = new_key()
    contents = {
        "disk": b"disk",
        "sbom": b"{}",
        "test_report": b"[1]",
        "measurements": b"[2]",
        "sbom_signature": sign_detached(b"{}", key),
        "provenance": envelope_bytes(sign(statement_bytes(facts()), [key])),
    }
    for name, data in contents.items():
        (tmp_path / FILES[name]).write_bytes(data)
    return Bundle(tmp_path, key)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verification_case(case: dict[str, Any], bundle: Bundle) -> None:
    for name, text in case.get("append", {}).items():
        with (bundle.directory / FILES[name]).open("ab") as file:
            file.write(text.encode())
    for name in case.get("remove", []):
        (bundle.directory / FILES[name]).unlink()
    if "extra_file" in case:
        (bundle.directory / case["extra_file"]).write_text("{}")
    window = OPEN_WINDOW
    if "key" in case:
        after = case["key"].get("not_after")
        window = KeyWindow(
            not_before=parse_iso(case["key"]["not_before"]),
            not_after=parse_iso(after) if after else None,
            revoked=case["key"].get("revoked", False),
        )
    ours = PublicKey(bundle.key.key.public_key(), window)
    stranger = PublicKey(new_key().key.public_key(), OPEN_WINDOW)
    trusted = {"ours": [ours], "stranger": [stranger], "none": [], "both": [stranger, ours]}
    expect = dict(case.get("expect", {}))
    spelled = {"same": VERSION_ID, "upper": VERSION_ID.upper()}
    if "version_id" in expect:
        expect["version_id"] = spelled.get(expect["version_id"], expect["version_id"])

    report = verify_bundle(
        bundle.directory,
        trusted[case.get("trusted", "ours")],
        now=parse_iso(case.get("now", "2026-11-27T00:00:00Z")),
        disk=None if case.get("disk") == "absent" else bundle.directory / FILES["disk"],
        expected=Expected(**expect),
    )

    assert [check.name for check in report.failures] == case["fails"]
    assert report.ok is (case["fails"] == [])
    assert all(check.reason for check in report.checks)
    assert report_json(report)["ok"] is report.ok


def test_a_directory_that_is_not_there_fails_without_raising(tmp_path: Path) -> None:
    report = verify_bundle(tmp_path / "absent", [], now=FINISHED)
    assert not report.ok
    assert [check.name for check in report.failures] == ["files", "statement"]


def test_evidence_may_be_named_file_by_file(bundle: Bundle) -> None:
    named = {kind: bundle.directory / f"web{kind}" for kind in EvidenceFile}
    keys = [PublicKey(bundle.key.key.public_key(), OPEN_WINDOW)]
    report = verify_bundle(named, keys, now=FINISHED)
    assert report.ok
    assert report.key_id == bundle.key.key_id


def test_evidence_of_a_build_without_measurements_needs_no_measurements_file(tmp_path: Path) -> None:
    key = new_key()
    made = facts(measurements=None)
    (tmp_path / FILES["provenance"]).write_bytes(envelope_bytes(sign(statement_bytes(made), [key])))
    (tmp_path / FILES["sbom"]).write_bytes(b"{}")
    (tmp_path / FILES["sbom_signature"]).write_bytes(sign_detached(b"{}", key))
    (tmp_path / FILES["test_report"]).write_bytes(b"[1]")
    keys = [PublicKey(key.key.public_key(), OPEN_WINDOW)]
    assert verify_bundle(tmp_path, keys, now=FINISHED).ok
    (tmp_path / FILES["measurements"]).write_bytes(b"[2]")
    unnamed = verify_bundle(tmp_path, keys, now=FINISHED)
    assert [check.name for check in unnamed.failures] == ["measurements"]


def test_statement_is_slsa_provenance_about_the_disk() -> None:
    emergency = Emergency(
        cves=("CVE-2026-1",), patch_date=date(2026, 11, 25), advisory="DSA-1", requested_by="ana"
    )
    made = statement(facts(emergency=emergency))
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    disk_hex = digest.hex_of(digest.of_bytes(b"disk"))
    assert made["subject"] == [{"name": VERSION_ID, "digest": {"sha256": disk_hex}}]
    definition = made["predicate"]["buildDefinition"]
    assert set(definition) == {
        "buildType",
        "externalParameters",
        "internalParameters",
        "resolvedDependencies",
    }
    assert definition["externalParameters"]["parameters"] == {"channel": "monthly"}
    assert definition["externalParameters"]["emergency"] == {
        "advisory": "DSA-1",
        "cves": ["CVE-2026-1"],
        "patchDate": "2026-11-25",
        "requestedBy": "ana",
    }
    names = [dependency["name"] for dependency in definition["resolvedDependencies"]]
    assert names == ["base", "template", "step/0/harden.sh"]
    details = made["predicate"]["runDetails"]
    assert details["builder"]["version"] == {"goldsmith": "0.1.0"}
    assert details["metadata"] == {
        "invocationId": "b-1",
        "startedOn": "2026-11-26T03:00:00Z",
        "finishedOn": "2026-11-26T04:00:00Z",
    }
    byproducts = {b["name"]: b for b in details["byproducts"]}
    assert set(byproducts) == {"sbom", "test-report", "measurements", "layer/0"}
    assert byproducts["measurements"]["annotations"] == {"values": {"pcr4": "00ff"}}


def test_claims_are_what_the_statement_says() -> None:
    made = facts()
    claims = read_claims(statement_bytes(made))
    assert (claims.version_id, claims.disk_digest, claims.build_id) == (VERSION_ID, made.disk_digest, "b-1")
    assert (claims.started, claims.finished) == (made.started, made.finished)
    assert made.measurements is not None
    assert claims.byproducts == {
        Byproduct.SBOM: made.sbom_digest,
        Byproduct.TEST_REPORT: made.test_report_digest,
        Byproduct.MEASUREMENTS: made.measurements.digest,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"disk_digest": "sha256:abc"}, "disk digest"),
        ({"sbom_digest": "0" * 64}, "sbom digest"),
        ({"base_digest": "sha256:" + "A" * 64}, "base digest"),
        ({"build_id": ""}, "build id"),
        ({"finished": datetime(2026, 11, 26, 2, tzinfo=UTC)}, "before it started"),
        ({"steps": facts().steps * 2}, "rising"),
    ],
)
def test_malformed_facts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        facts(**changes)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"{}",
        b"\xff",
        b'{"_type":"https://in-toto.io/Statement/v1"}',
        statement_bytes(facts()).replace(b"slsa.dev/provenance/v1", b"slsa.dev/provenance/v9"),
        statement_bytes(facts()).replace(b'"subject":[', b'"subject":[{},'),
        statement_bytes(facts()).replace(b'"_type":', b'"_type":"x","_type":'),
        statement_bytes(facts()).replace(b'"name":"test-report"', b'"name":"sbom"'),
        b"[" * 100_000,
    ],
)
def test_a_payload_that_is_no_statement_of_ours_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_claims(payload)


def test_securesystemslib_verifies_our_envelope_and_refuses_a_tampered_one() -> None:
    key = new_key()
    payload = statement_bytes(facts())
    foreign_key = SSlibKey.from_crypto(key.key.public_key(), key.key_id)
    good = envelope_json(sign(payload, [key]))
    # from_dict changes what it is given.
    accepted = ForeignEnvelope.from_dict(copy.deepcopy(good)).verify([foreign_key], 1)
    assert list(accepted) == [key.key_id]
    signatures = sign(payload, [key]).signatures
    tampered = Envelope(payload=payload.replace(b"1.0.0", b"1.0.1"), signatures=signatures)
    with pytest.raises(VerificationError):
        ForeignEnvelope.from_dict(envelope_json(tampered)).verify([foreign_key], 1)


def test_we_verify_what_securesystemslib_writes() -> None:
    key = new_key()
    payload = statement_bytes(facts())
    ours = sign(payload, [key])
    foreign = ForeignEnvelope.from_dict(envelope_json(ours))
    parsed = parse_envelope(json.dumps(foreign.to_dict()).encode())
    assert [v.key_id for v in accepted_by(parsed, [PublicKey(key.key.public_key(), OPEN_WINDOW)])] == [
        key.key_id
    ]


def test_openssl_verifies_the_detached_signature(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "sbom").write_bytes(b'{"spdxVersion":"SPDX-2.3"}')
    (tmp_path / "sig").write_bytes(sign_detached((tmp_path / "sbom").read_bytes(), key))
    (tmp_path / "pub.pem").write_bytes(PublicKey(key.key.public_key(), OPEN_WINDOW).pem)
    argv = ["openssl", "dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "sbom"]
    good = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (good.returncode, good.stdout.strip()) == (0, "Verified OK")
    (tmp_path / "sbom").write_bytes(b'{"spdxVersion":"SPDX-2.4"}')
    bad = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert bad.returncode == 1


def test_a_detached_signature_cannot_be_moved_into_an_envelope() -> None:
    with pytest.raises(InvalidInputError, match="DSSEv1"):
        sign_detached(b"DSSEv1 28 application/vnd.in-toto+json 2 {}", new_key())


def test_a_wrong_key_id_hides_no_good_signature() -> None:
    key = new_key()
    made = sign(b"payload", [key])
    renamed = Envelope(
        payload=made.payload, signatures=(Signature(key_id="other", value=made.signatures[0].value),)
    )
    assert len(accepted_by(renamed, [PublicKey(key.key.public_key(), OPEN_WINDOW)])) == 1


def test_one_key_that_signed_twice_counts_once() -> None:
    key = new_key()
    twice = sign(b"payload", [key, key])
    assert len(accepted_by(twice, [PublicKey(key.key.public_key(), OPEN_WINDOW)])) == 1


def test_signing_again_leaves_the_payload_as_it_is() -> None:
    old, fresh = new_key(), new_key()
    again = sign_again(sign(b"payload", [old]), fresh)
    assert again.payload == b"payload"
    assert not accepted_by(again, [PublicKey(old.key.public_key(), OPEN_WINDOW)])
    assert accepted_by(again, [PublicKey(fresh.key.public_key(), OPEN_WINDOW)])


def test_bundle_names_the_public_key_by_its_digest() -> None:
    key = new_key()
    made = sigstore_bundle(sign(b"payload", [key]))
    assert made["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    hint = base64.b64decode(made["verificationMaterial"]["publicKey"]["hint"])
    assert hint.hex() == key.key_id
    assert len(made["dsseEnvelope"]["signatures"]) == 1
    with pytest.raises(InvalidInputError, match="one signature"):
        sigstore_bundle(sign(b"payload", [key, new_key()]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"payload":"e30=","payloadType":"t","signatures":[]}',
        '{"payload":"e30=","payloadType":"t","signatures":[1]}',
        '{"payload":"e30=","payloadType":"t","signatures":[{"keyid":"k"}]}',
        '{"payload":"e30","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        '{"payload":"e31=","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        '{"payload":"e30=\\n","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        '{"payload":"é","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        '{"payload":"e30=","payloadType":1,"signatures":[{"sig":"AA=="}]}',
        '{"payload":"e30=","payload":"e30=","payloadType":"t","signatures":[{"sig":"AA=="}]}',
    ],
)
def test_a_malformed_envelope_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_envelope(text.encode())


def test_an_envelope_in_the_other_base64_alphabet_is_read() -> None:
    parsed = parse_envelope(
        b'{"payload":"-_8=","payloadType":"t","signatures":[{"sig":"AA==","keyid":null}]}'
    )
    assert parsed.payload == b"\xfb\xff"

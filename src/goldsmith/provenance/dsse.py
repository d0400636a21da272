"""DSSE envelopes: signed bytes that say what they are.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md and envelope.md
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.provenance.logic import parse_json
from goldsmith.provenance.model import PAYLOAD_TYPE
from goldsmith.provenance.ports import Signer, Verifier

ENVELOPE_BYTES_MAX = 16 << 20
SIGNATURES_MAX = 16
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_PAE_PREFIX = b"DSSEv1 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`key_id` is a hint that nobody has signed; `value` is ASN.1 DER."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    payload: bytes
    signatures: tuple[Signature, ...]
    payload_type: str = PAYLOAD_TYPE


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    name = payload_type.encode()
    return b"%s%d %s %d %s" % (_PAE_PREFIX, len(name), name, len(payload), payload)


def sign(payload: bytes, signers: Sequence[Signer], *, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """Sign `payload` with every signer; raises what the signers raise."""
    message = pae(payload_type, payload)
    signatures = tuple(Signature(key_id=signer.key_id, value=signer.sign(message)) for signer in signers)
    return Envelope(payload=payload, signatures=signatures, payload_type=payload_type)


def sign_again(envelope: Envelope, signer: Signer) -> Envelope:
    """The same payload under a new key only, as after a rotation."""
    return sign(envelope.payload, [signer], payload_type=envelope.payload_type)


def sign_detached(data: bytes, signer: Signer) -> bytes:
    """A signature over `data` alone, for `openssl dgst -sha256 -verify`.

    Raises InvalidInputError for data that begins like an envelope's signed bytes: such a signature could
    be moved into an envelope and make it look signed.
    """
    if data.startswith(_PAE_PREFIX):
        raise InvalidInputError("a detached signature was asked over bytes that begin with 'DSSEv1 '")
    return signer.sign(data)


def accepted_by(envelope: Envelope, verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """The verifiers that accept a signature of this envelope, each once; windows are not looked at.

    The key id only says where to look first: it is not signed, so a wrong one hides nothing.
    """
    message = pae(envelope.payload_type, envelope.payload)
    accepted: dict[str, Verifier] = {}
    for signature in envelope.signatures:
        by_hint = sorted(verifiers, key=lambda verifier: verifier.key_id != signature.key_id)
        found = next((v for v in by_hint if v.verifies(message, signature.value)), None)
        if found is not None:
            accepted.setdefault(found.key_id, found)
    return tuple(accepted.values())


def envelope_json(envelope: Envelope) -> JsonObject:
    return {
        "payloadType": envelope.payload_type,
        "payload": _encode(envelope.payload),
        "signatures": [{"keyid": s.key_id, "sig": _encode(s.value)} for s in envelope.signatures],
    }


def envelope_bytes(envelope: Envelope) -> bytes:
    return canonical(envelope_json(envelope))


def parse_envelope(data: bytes) -> Envelope:
    """Raises InvalidInputError unless `data` is an envelope in JSON with at least one signature."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise InvalidInputError(f"the envelope has {len(data)} bytes, expected {ENVELOPE_BYTES_MAX} at most")
    value = parse_json(data, what="the envelope")
    if not isinstance(value, dict):
        raise InvalidInputError("the envelope is no JSON object")
    listed = value.get("signatures")
    if not isinstance(listed, list) or not 1 <= len(listed) <= SIGNATURES_MAX:
        raise InvalidInputError(f"the envelope must hold between 1 and {SIGNATURES_MAX} signatures")
    signatures = []
    for entry in listed:
        if not isinstance(entry, dict):
            raise InvalidInputError("a signature of the envelope is no JSON object")
        # keyid is optional and may be null in what others write.
        key_id = _text(entry, "keyid") if entry.get("keyid") is not None else ""
        signatures.append(Signature(key_id=key_id, value=_decode(_text(entry, "sig"), "signature")))
    return Envelope(
        payload=_decode(_text(value, "payload"), "payload"),
        signatures=tuple(signatures),
        payload_type=_text(value, "payloadType"),
    )


def sigstore_bundle(envelope: Envelope) -> JsonObject:
    """The envelope as a Sigstore bundle v0.3 that names its public key by a hint.

    https://github.com/sigstore/protobuf-specs: a v0.3 bundle holds exactly one signature; the hint is the
    base64 of the SHA-256 of the key. Raises InvalidInputError for an envelope with none or several.
    """
    if len(envelope.signatures) != 1:
        raise InvalidInputError(f"a bundle holds one signature, the envelope has {len(envelope.signatures)}")
    (signature,) = envelope.signatures
    try:
        hint = _encode(bytes.fromhex(signature.key_id))
    except ValueError as error:
        raise InvalidInputError(f"the key id '{signature.key_id}' is no hex digest of a key") from error
    return {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": _encode(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [{"sig": _encode(signature.value), "keyid": ""}],
        },
    }


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, what: str) -> bytes:
    # DSSE: verifiers take both alphabets. One text for one value: spare bits and missing padding are refused.
    for alphabet in (b"+/", b"-_"):
        try:
            data = base64.b64decode(text.encode("ascii"), altchars=alphabet, validate=True)
        except (binascii.Error, UnicodeEncodeError):
            continue
        if base64.b64encode(data, altchars=alphabet).decode() == text:
            return data
    raise InvalidInputError(f"the {what} of the envelope is not base64")


def _text(value: dict[str, Any], key: str) -> str:
    got = value.get(key)
    if not isinstance(got, str):
        raise InvalidInputError(f"the envelope's {key} is missing or no text")
    return got

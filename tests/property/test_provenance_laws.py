"""Laws of envelopes: what was signed is what is read, and no changed byte passes."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.provenance.dsse import Envelope, accepted_by, envelope_bytes, pae, parse_envelope, sign
from goldsmith.provenance.keys import PrivateKey, PublicKey
from goldsmith.provenance.model import KeyWindow

KEY = PrivateKey(ec.generate_private_key(ec.SECP256R1()))
PUBLIC = PublicKey(KEY.key.public_key(), KeyWindow(not_before=datetime(2026, 1, 1, tzinfo=UTC)))
ENVELOPE = sign(b'{"_type":"https://in-toto.io/Statement/v1","subject":[]}', [KEY])
WHOLE = envelope_bytes(ENVELOPE)


@given(st.integers(0, len(ENVELOPE.payload) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_payload_fails(at: int, flip: int) -> None:
    changed = bytearray(ENVELOPE.payload)
    changed[at] ^= flip
    assert accepted_by(ENVELOPE, [PUBLIC])
    assert not accepted_by(Envelope(payload=bytes(changed), signatures=ENVELOPE.signatures), [PUBLIC])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_file_fails_or_leaves_what_was_signed(at: int, flip: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= flip
    try:
        parsed = parse_envelope(bytes(changed))
    except InvalidInputError:
        return
    if accepted_by(parsed, [PUBLIC]):  # only the key id is not covered
        assert (parsed.payload, parsed.payload_type) == (ENVELOPE.payload, ENVELOPE.payload_type)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_an_envelope_is_read_as_it_was_written(payload: bytes, payload_type: str) -> None:
    made = sign(payload, [KEY], payload_type=payload_type)
    assert parse_envelope(envelope_bytes(made)) == made


@given(
    st.tuples(st.text(max_size=9), st.binary(max_size=9)),
    st.tuples(st.text(max_size=9), st.binary(max_size=9)),
)
def test_two_messages_never_have_the_same_signed_bytes(
    one: tuple[str, bytes], other: tuple[str, bytes]
) -> None:
    assert (pae(*one) == pae(*other)) is (one == other)


@given(st.binary(max_size=100))
def test_bytes_that_are_no_signature_are_refused_without_raising(signature: bytes) -> None:
    assert not PUBLIC.verifies(b"data", signature)

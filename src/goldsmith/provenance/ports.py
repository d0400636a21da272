"""Where signatures come from and how they are judged, so that a key service can stand in for a key file."""

from typing import Protocol

from goldsmith.provenance.model import KeyWindow


class Signer(Protocol):
    @property
    def key_id(self) -> str:
        """SHA-256, in hex, of the public key's SubjectPublicKeyInfo in DER."""
        ...

    def sign(self, data: bytes) -> bytes:
        """An ECDSA P-256 signature over SHA-256 of `data`, in ASN.1 DER.

        Raises UnavailableError when the service that holds the key does not answer.
        """
        ...


class Verifier(Protocol):
    @property
    def key_id(self) -> str: ...

    @property
    def window(self) -> KeyWindow:
        """When the key was allowed to sign."""
        ...

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` over `data` was made with this key; never raises for a bad signature."""
        ...

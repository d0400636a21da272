"""ECDSA P-256 keys in files: one that signs, and a ring of those that have."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from goldsmith.kernel.clock import Clock, iso, parse_iso
from goldsmith.kernel.errors import ConflictError, CorruptError, InvalidInputError, NotFoundError
from goldsmith.kernel.files import FileLock, no_space, sync_directory, write_atomic
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.provenance.logic import parse_json
from goldsmith.provenance.model import KeyWindow

PUBLIC_KEY_NAME = "signing.pub.pem"
KEYRING_NAME = "keyring.json"

_KEYRING_VERSION = 1
_ALGORITHM = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A `Verifier` over one P-256 public key."""

    key: ec.EllipticCurvePublicKey
    window: KeyWindow

    @property
    def key_id(self) -> str:
        return key_id_of(self.key)

    @property
    def pem(self) -> bytes:
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verifies(self, data: bytes, signature: bytes) -> bool:
        try:
            self.key.verify(signature, data, _ALGORITHM)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A `Signer` over one P-256 private key held in memory."""

    key: ec.EllipticCurvePrivateKey

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, _ALGORITHM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keyring:
    active: str
    keys: tuple[PublicKey, ...]


class KeyStore:
    """A directory with one private key that signs, and every public key that ever did.

    `keyring.json` alone says which key is active, so a rotation is one atomic write: a process that is
    killed at any point leaves either the old key or the new one, never neither. The first use makes a
    key; of two processes that do so at once, one wins and both sign with its key.
    """

    def __init__(self, directory: Path, *, clock: Clock, passphrase: bytes | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._passphrase = passphrase
        self._lock = FileLock(directory / ".lock")

    def signer(self) -> PrivateKey:
        """The active key, made on first use.

        Raises CorruptError (key missing or unreadable), ConflictError (others may read the key file),
        InvalidInputError (wrong passphrase).
        """
        active = self._ensure().active
        while True:
            try:
                return self._read_private(active)
            except CorruptError:
                # A rotation between the two reads takes the old key away; the ring then names another.
                tried, active = active, self._ensure().active
                if tried == active:
                    raise

    def verifiers(self) -> tuple[PublicKey, ...]:
        """Every key of the ring, oldest first, made on first use."""
        return self._ensure().keys

    def public_key_path(self) -> Path:
        """The active public key as a PEM file, to hand to whoever verifies."""
        self._ensure()
        return self._directory / PUBLIC_KEY_NAME

    def rotate(self) -> PrivateKey:
        """Sign with a new key from now on; what the old one signed still verifies.

        The old private key is removed. Raises ConflictError while another process changes the ring.
        """
        self._ensure()
        with self._changing() as ring:
            now = self._clock.now()
            fresh = _generate()
            self._write_private(fresh)
            closed = tuple(
                _with_window(key, replace(key.window, not_after=now)) if key.key_id == ring.active else key
                for key in ring.keys
            )
            added = PublicKey(fresh.key.public_key(), KeyWindow(not_before=now))
            self._write_ring(_Keyring(active=fresh.key_id, keys=(*closed, added)))
            self._remove_private_but(fresh.key_id)
        return fresh

    def trust(self, key: PublicKey) -> None:
        """Accept another's key, such as that of the machine a bundle comes from.

        Raises ConflictError for a key that is in the ring already, or while another changes the ring.
        """
        self._ensure()
        with self._changing() as ring:
            if any(known.key_id == key.key_id for known in ring.keys):
                raise ConflictError(f"key {key.key_id} is in the keyring already")
            self._write_ring(replace(ring, keys=(*ring.keys, key)))

    def revoke(self, key_id: str) -> None:
        """Nothing signed with that key verifies any more, whenever it was signed.

        Raises NotFoundError (no such key), ConflictError (it is the active one: rotate first).
        """
        self._ensure()
        with self._changing() as ring:
            if key_id == ring.active:
                raise ConflictError(f"key {key_id} is the one that signs", hint="rotate the key, then revoke")
            if all(key.key_id != key_id for key in ring.keys):
                raise NotFoundError(f"no key {key_id} in {self._directory / KEYRING_NAME}")
            keys = tuple(
                _with_window(key, replace(key.window, revoked=True)) if key.key_id == key_id else key
                for key in ring.keys
            )
            self._write_ring(replace(ring, keys=keys))

    def _ensure(self) -> _Keyring:
        path = self._directory / KEYRING_NAME
        if not path.exists():
            self._create()
        ring = _parse_ring(path)
        self._repair_export(ring)
        return ring

    def _create(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = _generate()
        window = KeyWindow(not_before=self._clock.now())
        self._write_private(fresh)
        ring = _Keyring(active=fresh.key_id, keys=(PublicKey(fresh.key.public_key(), window),))
        if not _write_new(self._directory / KEYRING_NAME, canonical(_ring_json(ring))):
            self._private_path(fresh.key_id).unlink()

    def _repair_export(self, ring: _Keyring) -> None:
        # The export follows the ring; a process killed between the two left it missing or old.
        path = self._directory / PUBLIC_KEY_NAME
        if path.exists() and path.read_bytes() == _active(ring).pem:
            return
        if self._lock.try_acquire():
            try:
                write_atomic(path, _active(_parse_ring(self._directory / KEYRING_NAME)).pem)
            finally:
                self._lock.release()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Keyring]:
        self._lock.acquire()
        try:
            yield _parse_ring(self._directory / KEYRING_NAME)
        finally:
            self._lock.release()

    def _write_ring(self, ring: _Keyring) -> None:
        write_atomic(self._directory / KEYRING_NAME, canonical(_ring_json(ring)), mode=0o600)
        write_atomic(self._directory / PUBLIC_KEY_NAME, _active(ring).pem)

    def _private_path(self, key_id: str) -> Path:
        return self._directory / f"{key_id}.key.pem"

    def _write_private(self, key: PrivateKey) -> None:
        encryption: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(self._passphrase)
            if self._passphrase
            else serialization.NoEncryption()
        )
        pem = key.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        write_atomic(self._private_path(key.key_id), pem, mode=0o600)

    def _read_private(self, key_id: str) -> PrivateKey:
        path = self._private_path(key_id)
        try:
            mode = path.stat().st_mode
            pem = path.read_bytes()
        except FileNotFoundError as error:
            raise CorruptError(
                f"the active signing key {path} is missing",
                hint="restore it from a backup, or rotate to a new key",
            ) from error
        if mode & 0o077:
            raise ConflictError(
                f"the signing key {path} has mode {mode & 0o777:o}, expected 600",
                hint=f"make sure nobody copied it, then chmod 600 {path}",
            )
        encrypted = b"BEGIN ENCRYPTED PRIVATE KEY" in pem
        if encrypted and not self._passphrase:
            raise InvalidInputError(f"the signing key {path} is encrypted and no passphrase was given")
        try:
            key = serialization.load_pem_private_key(pem, self._passphrase if encrypted else None)
        except ValueError as error:
            reason = "the passphrase is wrong or " if encrypted else ""
            raise InvalidInputError(f"cannot read the signing key {path}: {reason}it is damaged") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key_id_of(key.public_key()) != key_id:
            raise CorruptError(f"{path} does not hold the key its name says")
        return PrivateKey(key)

    def _remove_private_but(self, key_id: str) -> None:
        for path in self._directory.glob("*.key.pem"):
            if path != self._private_path(key_id):
                path.unlink(missing_ok=True)
        sync_directory(self._directory)


def parse_public_key(pem: bytes, window: KeyWindow) -> PublicKey:
    """Raises InvalidInputError unless `pem` holds a P-256 public key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidInputError("the public key is not PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInputError("the public key is not an ECDSA P-256 key")
    return PublicKey(key, window)


def key_id_of(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256, in hex, of the key's SubjectPublicKeyInfo in DER."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _generate() -> PrivateKey:
    return PrivateKey(ec.generate_private_key(ec.SECP256R1()))


def _active(ring: _Keyring) -> PublicKey:
    return next(key for key in ring.keys if key.key_id == ring.active)


def _with_window(key: PublicKey, window: KeyWindow) -> PublicKey:
    return PublicKey(key.key, window)


def _ring_json(ring: _Keyring) -> JsonObject:
    return {
        "version": _KEYRING_VERSION,
        "active": ring.active,
        "keys": [
            {
                "keyId": key.key_id,
                "publicKey": key.pem.decode(),
                "notBefore": iso(key.window.not_before),
                "notAfter": None if key.window.not_after is None else iso(key.window.not_after),
                "revoked": key.window.revoked,
            }
            for key in ring.keys
        ],
    }


def _parse_ring(path: Path) -> _Keyring:
    try:
        value = parse_json(path.read_bytes(), what=str(path))
        if value["version"] != _KEYRING_VERSION:
            raise ValueError(f"version {value['version']}, expected {_KEYRING_VERSION}")
        keys = tuple(
            parse_public_key(
                entry["publicKey"].encode(),
                KeyWindow(
                    not_before=parse_iso(entry["notBefore"]),
                    not_after=_optional_instant(entry["notAfter"]),
                    revoked=bool(entry["revoked"]),
                ),
            )
            for entry in value["keys"]
        )
        if value["active"] not in {key.key_id for key in keys}:
            raise ValueError("the active key is not among the keys")
        return _Keyring(active=value["active"], keys=keys)
    except (InvalidInputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError(
            f"the keyring {path} cannot be read: {error}", hint="restore it from a backup"
        ) from error


def _optional_instant(text: str | None) -> datetime | None:
    return None if text is None else parse_iso(text)


def _write_new(path: Path, data: bytes) -> bool:
    """Whether we were the one that made `path`, whole; a file that is there already is left alone."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with no_space(path), temporary.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        sync_directory(path.parent)
        return True
    finally:
        temporary.unlink(missing_ok=True)

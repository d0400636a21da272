"""Keys in files: made once, kept private, rotated without losing what was signed."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from goldsmith.kernel.errors import ConflictError, CorruptError, InvalidInputError, NotFoundError
from goldsmith.kernel.files import FileLock
from goldsmith.provenance.keys import KEYRING_NAME, KeyStore, PublicKey, parse_public_key
from goldsmith.provenance.model import KeyWindow


class SteppingClock:
    """One day later every time it is asked."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(days=1)
        return self._now

    def monotonic_seconds(self) -> float:
        return 0.0


def store(directory: Path, passphrase: bytes | None = None) -> KeyStore:
    return KeyStore(directory, clock=SteppingClock(), passphrase=passphrase)


def private_files(directory: Path) -> list[Path]:
    return list(directory.glob("*.key.pem"))


def test_first_use_makes_a_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    made = store(tmp_path / "keys").signer()
    assert store(tmp_path / "keys").signer().key_id == made.key_id
    (path,) = private_files(tmp_path / "keys")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    window = KeyWindow(not_before=datetime(2026, 1, 1, tzinfo=UTC))
    exported = parse_public_key(store(tmp_path / "keys").public_key_path().read_bytes(), window)
    assert exported.key_id == made.key_id
    assert exported.verifies(b"data", made.sign(b"data"))
    assert not exported.verifies(b"date", made.sign(b"data"))


def test_a_passphrase_encrypts_the_key(tmp_path: Path) -> None:
    made = store(tmp_path, b"secret").signer()
    (path,) = private_files(tmp_path)
    assert b"ENCRYPTED" in path.read_bytes()
    assert store(tmp_path, b"secret").signer().key_id == made.key_id
    for wrong in (None, b"other"):
        with pytest.raises(InvalidInputError, match="passphrase"):
            store(tmp_path, wrong).signer()
    assert store(tmp_path).verifiers()[0].key_id == made.key_id


def test_many_threads_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        key_ids = {signer.key_id for signer in pool.map(lambda _: store(tmp_path).signer(), range(16))}
    assert len(key_ids) == 1
    assert len(private_files(tmp_path)) == 1


def test_two_processes_at_once_make_one_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from goldsmith.kernel.clock import SystemClock;"
        "from goldsmith.provenance.keys import KeyStore; sys.stdin.read();"
        "print(KeyStore(Path(sys.argv[1]), clock=SystemClock()).signer().key_id)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    processes = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:  # closing the pipes lets them all go at once
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(outputs)) == 1
    assert len(private_files(tmp_path)) == 1


def test_after_a_rotation_the_old_key_still_verifies_and_no_longer_signs(tmp_path: Path) -> None:
    keys = store(tmp_path)
    old = keys.signer()
    signature = old.sign(b"data")
    fresh = keys.rotate()
    assert keys.signer().key_id == fresh.key_id != old.key_id
    old_public, new_public = keys.verifiers()
    assert old_public.verifies(b"data", signature)
    assert old_public.window.not_after == new_public.window.not_before
    assert new_public.window.not_after is None
    assert [path.name for path in private_files(tmp_path)] == [f"{fresh.key_id}.key.pem"]
    assert keys.public_key_path().read_bytes() == new_public.pem


def test_a_rotation_waits_for_nobody(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.signer()
    lock = FileLock(tmp_path / ".lock")
    lock.acquire()
    with pytest.raises(ConflictError):
        keys.rotate()
    lock.release()
    keys.rotate()


def test_a_revoked_key_is_marked_and_the_active_one_cannot_be(tmp_path: Path) -> None:
    keys = store(tmp_path)
    old = keys.signer()
    with pytest.raises(ConflictError, match="signs"):
        keys.revoke(old.key_id)
    keys.rotate()
    keys.revoke(old.key_id)
    assert [key.window.revoked for key in store(tmp_path).verifiers()] == [True, False]
    with pytest.raises(NotFoundError):
        keys.revoke("00")


def test_a_key_of_another_machine_can_be_trusted(tmp_path: Path) -> None:
    theirs = store(tmp_path / "theirs").verifiers()[0]
    ours = store(tmp_path / "ours")
    ours.trust(theirs)
    assert ours.verifiers()[1] == PublicKey(theirs.key, theirs.window)
    with pytest.raises(ConflictError):
        ours.trust(theirs)


def test_a_lost_export_is_written_again(tmp_path: Path) -> None:
    keys = store(tmp_path)
    pem = keys.public_key_path().read_bytes()
    (tmp_path / "signing.pub.pem").write_bytes(b"stale")
    assert keys.public_key_path().read_bytes() == pem
    (tmp_path / "signing.pub.pem").unlink()
    assert keys.public_key_path().read_bytes() == pem


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    store(tmp_path).signer()
    (path,) = private_files(tmp_path)
    path.chmod(0o640)
    with pytest.raises(ConflictError, match="640"):
        store(tmp_path).signer()


def test_a_missing_or_swapped_key_is_noticed(tmp_path: Path) -> None:
    store(tmp_path / "a").signer()
    store(tmp_path / "b").signer()
    (ours,), (theirs,) = private_files(tmp_path / "a"), private_files(tmp_path / "b")
    ours.unlink()
    with pytest.raises(CorruptError, match="missing"):
        store(tmp_path / "a").signer()
    os.link(theirs, ours)
    with pytest.raises(CorruptError, match="does not hold"):
        store(tmp_path / "a").signer()


@pytest.mark.parametrize("text", ["", "{}", '{"version":2}', '{"version":1,"active":"x","keys":[]}', "[1]"])
def test_a_damaged_keyring_is_never_replaced_by_a_new_key(tmp_path: Path, text: str) -> None:
    (tmp_path / KEYRING_NAME).write_text(text)
    with pytest.raises(CorruptError, match="keyring"):
        store(tmp_path).signer()
    assert (tmp_path / KEYRING_NAME).read_text() == text


def test_only_p256_keys_are_taken() -> None:
    other = PublicKey(
        ec.generate_private_key(ec.SECP384R1()).public_key(), KeyWindow(not_before=datetime.now(UTC))
    )
    with pytest.raises(InvalidInputError, match="P-256"):
        parse_public_key(other.pem, other.window)
    with pytest.raises(InvalidInputError, match="PEM"):
        parse_public_key(b"x", other.window)

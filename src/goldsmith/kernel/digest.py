"""SHA-256 digests, written `sha256:<hex>`."""

import hashlib
from pathlib import Path
from typing import Any

from goldsmith.kernel.json import canonical

_CHUNK_BYTES = 4 << 20


def of_bytes(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def of_value(value: Any) -> str:
    """The digest of a JSON value's canonical bytes."""
    return of_bytes(canonical(value))


def of_file(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
    return "sha256:" + state.hexdigest()


def hex_of(digest: str) -> str:
    """`sha256:ab…` → `ab…`"""
    return digest.removeprefix("sha256:")

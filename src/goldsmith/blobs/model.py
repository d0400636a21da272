"""What the blob store hands out, and the names it takes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from goldsmith.kernel.errors import InvalidInputError

# Called with the bytes done so far and the bytes in all.
Progress: TypeAlias = Callable[[int, int], None]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@,-]{0,199}")
_NAME_LENGTH_MAX = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """A stored blob: `digest` is `sha256:<hex>` of its whole content, which has `size_bytes`.

    `stored_bytes`: what its distinct chunks take, compressed, shared with other blobs or not.
    `added_bytes`: what the call that returned this added to the store; no part of what the blob is.
    """

    digest: str
    size_bytes: int
    stored_bytes: int
    added_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a garbage collection removed; `damaged` blobs were kept, and all packs because of them."""

    blobs: int
    packs: int
    freed_bytes: int
    damaged: tuple[str, ...] = ()


def check_digest(digest: str) -> str:
    """The digest itself. Raises InvalidInputError unless it is `sha256:` and 64 lower-case hex digits."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInputError(
            f"'{digest}' is not a digest",
            hint="expected sha256: followed by 64 lower-case hexadecimal digits",
        )
    return digest


def check_name(name: str) -> str:
    """The name itself. Raises InvalidInputError unless it is a relative path of plain segments."""
    if len(name) > _NAME_LENGTH_MAX or not all(_SEGMENT.fullmatch(part) for part in name.split("/")):
        raise InvalidInputError(
            f"{name!r} is not a name for a stored object",
            hint="expected segments of letters, digits and . _ + = @ , - joined by single slashes",
        )
    return name

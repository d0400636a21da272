"""Which kernel of a root tree is booted: Debian's order of versions over the names in /boot."""

import re
from collections.abc import Iterable
from functools import cmp_to_key
from itertools import zip_longest

from goldsmith.kernel.errors import NotFoundError

_PARTS = re.compile(r"(\D*)(\d*)")


def choose_kernel(names: Iterable[str]) -> str:
    """The newest version of which `names` (the listing of /boot) has both vmlinuz- and initrd.img-.

    Raises NotFoundError when there is none.
    """
    present = set(names)
    versions = [
        name.removeprefix("vmlinuz-")
        for name in present
        if name.startswith("vmlinuz-") and f"initrd.img-{name.removeprefix('vmlinuz-')}" in present
    ]
    if not versions:
        raise NotFoundError(
            "the root has no kernel with an initrd in /boot",
            hint="install a kernel package and initramfs-tools in the image",
        )
    return max(versions, key=cmp_to_key(compare_versions))


def compare_versions(left: str, right: str) -> int:
    """Negative, zero or positive as `left` is older, equal or newer: deb-version(7), without epochs."""
    parts = zip_longest(_PARTS.findall(left), _PARTS.findall(right), fillvalue=("", ""))
    for (left_text, left_number), (right_text, right_number) in parts:
        left_ranks, right_ranks = _ranks(left_text), _ranks(right_text)
        if left_ranks != right_ranks:
            return -1 if left_ranks < right_ranks else 1
        difference = int(left_number or 0) - int(right_number or 0)
        if difference:
            return difference
    return 0


def _ranks(text: str) -> list[int]:
    # A tilde sorts before the end, the end before letters, letters before all else.
    return [-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 0x110000 for c in text] + [0]

"""Which distribution a root is of: os-release(5)."""

import shlex

from goldsmith.kernel.errors import CorruptError
from goldsmith.sbom.model import Distribution
from goldsmith.sbom.root import SealedRoot


def read_distribution(root: SealedRoot) -> Distribution:
    """Raises CorruptError when the root does not say what it is: packages could not be matched then."""
    data = root.read("etc/os-release") or root.read("usr/lib/os-release")
    fields = parse_os_release((data or b"").decode(errors="replace"))
    identity = fields.get("ID", "")
    # Testing and unstable releases have a code name only.
    release = fields.get("VERSION_ID") or fields.get("VERSION_CODENAME", "")
    if not identity or not release:
        raise CorruptError(
            "/etc/os-release of the root names no distribution and release, expected ID and VERSION_ID",
            hint="restore the file: without it no advisory can be matched to the packages",
        )
    return Distribution(id=identity.lower(), version_id=release, name=fields.get("NAME") or identity)


def parse_os_release(text: str) -> dict[str, str]:
    """os-release(5): shell-like assignments; lines that are none are left out."""
    fields = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        fields[name] = words[0] if words else ""
    return fields

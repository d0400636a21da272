"""Who a package comes from, in SPDX's form (SPDX 2.3, section 7.5)."""

import re

_MAINTAINER = re.compile(r"\s*(.*?)\s*<([^<>\s]+)>\s*")
_TEAM = re.compile(
    r"\b(?:maintainers?|team|developers|group|project|packagers|packaging|foundation|security|support"
    r"|inc|llc|ltd|gmbh|corporation|company|labs?|admins?|community|folks|software)\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"@(?:.*\.)?(?:lists?|packages|tracker|alioth-lists)\.|-(?:devel|maintainers|team)@", re.IGNORECASE
)


def supplier(maintainer: str) -> str:
    """`Name <address>` → `Person: Name (address)` or `Organization: …`; NOASSERTION when it names nobody.

    Debian does not say which of the two a maintainer is; names of teams and addresses of mailing lists tell.
    """
    match = _MAINTAINER.fullmatch(maintainer)
    name, address = (match[1], match[2]) if match else (maintainer.strip(), "")
    # Parentheses set off the address, so they cannot be in the name.
    name = _plain(name) or address
    if not name:
        return "NOASSERTION"
    kind = "Organization" if _TEAM.search(name) or _LIST.search(f"{address}") else "Person"
    return f"{kind}: {name} ({address})" if address else f"{kind}: {name}"


def organization(name: str) -> str:
    """An organization as SPDX writes it, one without an address."""
    return f"Organization: {_plain(name)}"


def _plain(name: str) -> str:
    return " ".join(name.replace('"', "").replace("(", "[").replace(")", "]").split())

"""Debian licence names as SPDX licence expressions."""

import re
from functools import cache

from goldsmith.kernel import digest
from goldsmith.sbom.copyright import CopyrightFile, parse_copyright
from goldsmith.sbom.expression import Operator, Tree, combine, render
from goldsmith.sbom.model import ExtractedLicence

# Debian's short names (copyright-format 1.0, section 7.1, and names in wide use) that no rule below covers.
_NAMES = {
    "agpl": "AGPL-3.0-or-later",
    "apache": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic-1": "Artistic-1.0",
    "artistic-2": "Artistic-2.0",
    "bzip": "bzip2-1.0.6",
    "boost": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "bsd-2-clauses": "BSD-2-Clause",
    "bsd-3-clauses": "BSD-3-Clause",
    "bsd-4-clauses": "BSD-4-Clause",
    "cc0": "CC0-1.0",
    "expat": "MIT",
    "gfdl": "GFDL-1.1-or-later",
    "gpl": "GPL-1.0-or-later",
    "isc license": "ISC",
    "lgpl": "LGPL-2.0-or-later",
    "mit/expat": "MIT",
    "mit/x11": "MIT",
    "psf": "PSF-2.0",
    "psf-2": "PSF-2.0",
    "python": "Python-2.0",
    "sil-1.1": "OFL-1.1",
    "zlib/libpng": "Zlib",
    "zope-2.1": "ZPL-2.1",
}
_PERL: Tree = ("or", ("Artistic-1.0-Perl", "GPL-1.0-or-later"))
_EXCEPTIONS = {
    "autoconf": "Autoconf-exception-generic",
    "bison": "Bison-exception-2.2",
    "classpath": "Classpath-exception-2.0",
    "font": "Font-exception-2.0",
    "gcc-runtime-library": "GCC-exception-3.1",
    "libtool": "Libtool-exception",
    "linux-syscall-note": "Linux-syscall-note",
    "llvm": "LLVM-exception",
    "texinfo": "Texinfo-exception",
}
_GNU = re.compile(r"(a|l)?gpl[- ]?v?\.?([123])(?:\.(\d))?(?:\.0)?(\+|-or-later|-only)?")
_GFDL = re.compile(r"gfdl(-niv)?-v?(1\.[123])(\+|-or-later|-only)?")
_EXCEPTION = re.compile(r"(\S+) with (?:the )?(\S+?)(?:[ -]exceptions?)?", re.IGNORECASE)
_OR_LATER = re.compile(
    r",? or (?:\(at your option\) )?(?:any )?(?:later|newer)(?: versions?)?", re.IGNORECASE
)
_COMMA = re.compile(r",\s*(and|or)?\s*", re.IGNORECASE)
_OR = re.compile(r"\s+or\s+|\s*\|\s*|_or_", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_/:~-]*")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9.-]+")


class LicenceReader:
    """Reads copyright files and keeps the texts of every licence that SPDX has no name for."""

    def __init__(self) -> None:
        self._extracted: dict[str, ExtractedLicence] = {}
        # The binaries of one source come with the same file.
        self._declared: dict[str, str | None] = {}

    @property
    def extracted(self) -> tuple[ExtractedLicence, ...]:
        return tuple(self._extracted[id_] for id_ in sorted(self._extracted))

    def declared(self, text: str) -> str | None:
        """The SPDX expression of a whole copyright file: all its licences, joined by AND; None when empty.

        A file that is free text becomes one LicenseRef with the whole of it.
        """
        if text not in self._declared:
            self._declared[text] = self._read(text) if text.strip() else None
        return self._declared[text]

    def _read(self, text: str) -> str:
        parsed = parse_copyright(text)
        if not parsed.machine_readable or not parsed.synopses:
            return self._reference("copyright", "the copyright file of the package", text.strip())
        return render(combine("and", (self._expression(synopsis, parsed) for synopsis in parsed.synopses)))

    def _expression(self, synopsis: str, file: CopyrightFile) -> Tree:
        names = parse_synopsis(synopsis)
        return self._unknown(synopsis, file) if names is None else self._resolve(names, file)

    def _resolve(self, names: Tree, file: CopyrightFile) -> Tree:
        if isinstance(names, str):
            return spdx_term(names) or self._unknown(names, file)
        operator, operands = names
        return combine(operator, [self._resolve(operand, file) for operand in operands])

    def _unknown(self, name: str, file: CopyrightFile) -> str:
        text = file.texts.get(name)
        if text is None:
            wanted = name.lower()
            text = next((body for key, body in file.texts.items() if key.lower() == wanted), "")
        return self._reference(name, name, text)

    def _reference(self, label: str, name: str, text: str) -> str:
        # Debian's names are local to a file: equal names with other texts are other licences.
        slug = _NOT_IN_ID.sub("-", label).strip("-.")[:40].strip("-.") or "unnamed"
        text = text or f"The package names the licence '{name}' and gives no text for it."
        content = " ".join(text.split()).lower()
        id_ = f"LicenseRef-{slug}-{digest.hex_of(digest.of_bytes(content.encode(errors='replace')))[:10]}"
        self._extracted.setdefault(id_, ExtractedLicence(id=id_, name=name[:200], text=text))
        return id_


@cache
def parse_synopsis(synopsis: str) -> Tree | None:
    """DEP-5's "A or B, and C" (a comma binds loosest, then `or`, then `and`); None for a sentence."""
    text = _OR_LATER.sub("+", synopsis.strip().rstrip(".;,"))
    pieces = _COMMA.split(text)
    tree = _parse_or(pieces[0])
    for operator, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        right = _parse_or(piece)
        if tree is None or right is None:
            return None
        tree = ("or" if (operator or "").lower() == "or" else "and", (tree, right))
    return tree


@cache
def spdx_term(name: str) -> Tree | None:
    """`GPL-2+ with Libtool exception` → `GPL-2.0-or-later WITH Libtool-exception`; None if unknown."""
    if name.lower() == "perl":
        return _PERL
    known = spdx_identifier(name)
    if known is not None:
        return known
    match = _EXCEPTION.fullmatch(name)
    if match is None:
        return None
    licence = spdx_identifier(match[1])
    exception = _EXCEPTIONS.get(match[2].lower()) or _spdx_list(exceptions=True).get(match[2].lower())
    return f"{licence} WITH {exception}" if licence and exception else None


@cache
def spdx_identifier(name: str) -> str | None:
    """The identifier of the SPDX licence list that a single name means, None if there is none."""
    lowered = name.lower()
    if match := _GNU.fullmatch(lowered):
        family = (match[1] or "").upper() + "GPL"
        suffix = "or-later" if match[4] in ("+", "-or-later") else "only"
        lowered = f"{family}-{match[2]}.{match[3] or '0'}-{suffix}".lower()
    elif match := _GFDL.fullmatch(lowered):
        suffix = "or-later" if match[3] in ("+", "-or-later") else "only"
        lowered = f"gfdl-{match[2]}{'-no-invariants' if match[1] else ''}-{suffix}"
    return _NAMES.get(lowered) or _spdx_list(exceptions=False).get(lowered)


def _parse_or(text: str) -> Tree | None:
    return _join("or", [_parse_and(part) for part in _OR.split(text)])


def _parse_and(text: str) -> Tree | None:
    return _join("and", [_parse_name(part) for part in _AND.split(text)])


def _join(operator: Operator, operands: list[Tree | None]) -> Tree | None:
    known = tuple(operand for operand in operands if operand is not None)
    if len(known) != len(operands):
        return None
    return known[0] if len(known) == 1 else (operator, known)


def _parse_name(text: str) -> Tree | None:
    name = " ".join(text.split()).removesuffix(" license").removesuffix(" licence")
    if _WORD.fullmatch(name) or _EXCEPTION.fullmatch(name) or name.lower() == "public domain":
        return name
    return None


@cache
def _spdx_list(*, exceptions: bool) -> dict[str, str]:
    """Lower-case → right form of the SPDX list's licences, or of its exceptions."""
    # Loaded on first use: reading the list takes longer than all else this module does.
    from license_expression import get_license_index

    keys = [
        entry["spdx_license_key"]
        for entry in get_license_index()
        if not entry["is_deprecated"] and entry["is_exception"] == exceptions
    ]
    return {key.lower(): key for key in keys if key and not key.startswith("LicenseRef-")}

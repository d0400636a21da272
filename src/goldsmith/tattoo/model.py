"""The tattoo: which image this is, where it came from, and why it was made."""

import re
from dataclasses import dataclass, fields
from datetime import date

from goldsmith.kernel.errors import InvalidInputError

_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHARACTERS_MAX = 1024
_NEVER_EMPTY = ("source_digest", "os_version", "template_name", "template_digest", "build_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tattoo:
    """The version facts of one image. A text is "" where the image has no such thing: one that goes to a
    VHD has no gallery.

    `out_of_band` tells an emergency release from a scheduled one; it comes with the CVEs it is made for
    and the date of the patch, and a scheduled release has neither.

    Raises InvalidInputError (code `InvalidTattoo`) for a fact that is malformed or cannot be written on one
    line: texts are printable (as `str.isprintable` has it), at most 1024 characters; digests `sha256:<hex>`.
    """

    source_publisher: str
    source_offer: str
    source_sku: str
    source_version: str
    source_digest: str
    os_version: str
    gallery: str
    image_definition: str
    image_version: str
    template_name: str
    template_digest: str
    build_id: str
    publish_date: date
    out_of_band: bool = False
    cves: tuple[str, ...] = ()
    patch_date: date | None = None

    def __post_init__(self) -> None:
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, str):
                _check_text(member.name, value)
        for name in ("source_digest", "template_digest"):
            if not _DIGEST.fullmatch(getattr(self, name)):
                raise _bad(name, getattr(self, name), "sha256: and 64 lowercase hexadecimal digits")
        for cve in self.cves:
            if not _CVE.fullmatch(cve):
                raise _bad("cves", cve, "a CVE id such as CVE-2026-12345")
        if len(set(self.cves)) != len(self.cves):
            raise _bad("cves", " ".join(self.cves), "each CVE id once")
        if self.out_of_band and not (self.cves and self.patch_date):
            raise InvalidInputError(
                "an out-of-band tattoo lacks its CVE ids or its patch date, expected both",
                code="InvalidTattoo",
                hint="name the CVEs the emergency build is for and the day of the patch",
            )
        if not self.out_of_band and (self.cves or self.patch_date):
            raise InvalidInputError(
                "a tattoo with CVE ids or a patch date is not marked out-of-band, expected it to be",
                code="InvalidTattoo",
                hint="mark it out-of-band, or leave the CVEs and the patch date out",
            )


def _check_text(name: str, value: str) -> None:
    if not value and name in _NEVER_EMPTY:
        raise _bad(name, value, "some text")
    if not value.isprintable():
        raise _bad(name, value, "printable characters on one line")
    if len(value) > _CHARACTERS_MAX:
        raise _bad(name, value[:40] + "…", f"at most {_CHARACTERS_MAX} characters")


def _bad(name: str, value: str, expected: str) -> InvalidInputError:
    return InvalidInputError(
        f"tattoo fact {name} is {value!r}, expected {expected}",
        code="InvalidTattoo",
        hint="correct the fact where it comes from: the source, the template or the release",
    )

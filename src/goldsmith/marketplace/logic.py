"""Decisions of the marketplace as functions of values: which offer a URN means, which version is latest."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from typing import TypeVar

from goldsmith.kernel.errors import CorruptError, NotFoundError
from goldsmith.marketplace.model import ImageNumber, Offer, ReleaseFile, Sku, Urn, number_of

_NEAREST_COUNT = 3
_Named = TypeVar("_Named")


def find(offers: Sequence[Offer], urn: Urn) -> tuple[Offer, Sku, Urn]:
    """The offer and SKU a URN names, and the URN in the catalogue's spelling.

    Raises NotFoundError with the nearest names when the publisher, offer or SKU is not in the catalogue.
    """
    publishers = {offer.publisher.lower(): offer.publisher for offer in offers}
    publisher = _named("publisher", urn.publisher, publishers)
    names = {offer.name.lower(): offer for offer in offers if offer.publisher == publisher}
    offer = _named(f"offer of {publisher}", urn.offer, names)
    skus = {name.lower(): sku for sku in offer.skus for name in (sku.name, *sku.aliases)}
    sku = _named(f"SKU of {publisher}:{offer.name}", urn.sku, skus)
    return offer, sku, Urn(publisher=publisher, offer=offer.name, sku=sku.name, number=urn.number)


def version_of(releases: Iterable[ReleaseFile]) -> ImageNumber:
    """The version of a mirror's state: the newest date among its suites."""
    return number_of(max(release.date for release in releases))


def nearest_versions(wanted: ImageNumber, known: Iterable[ImageNumber]) -> tuple[ImageNumber, ...]:
    """At most three known versions, the closest in time first."""
    by_distance = sorted(
        set(known), key=lambda number: (abs(_as_time(number) - _as_time(wanted)), -_as_time(number))
    )
    return tuple(by_distance[:_NEAREST_COUNT])


def no_such_version(urn: Urn, known: Iterable[ImageNumber]) -> NotFoundError:
    assert urn.number is not None
    nearest = nearest_versions(urn.number, known)
    hint = (
        "the nearest are " + ", ".join(str(number) for number in nearest)
        if nearest
        else "none is captured and the mirror offers another; use 'latest'"
    )
    return NotFoundError(f"no image {urn} is captured or offered by the mirror", hint=hint)


def parse_release(text: str, *, uri: str, digest: str) -> ReleaseFile:
    """A Debian Release file's codename and date (Debian repository format, Release files).

    Raises CorruptError when either is missing or unreadable.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.startswith((" ", "-")):
            fields.setdefault(name.lower(), value.strip())
    try:
        date = parsedate_to_datetime(fields["date"])
        return ReleaseFile(suite=fields["codename"], uri=uri, date=date.astimezone(UTC), digest=digest)
    except (KeyError, ValueError) as error:
        raise CorruptError(
            f"the release file of {uri} has no readable Codename and Date", hint="the mirror may be broken"
        ) from error


def _as_time(number: ImageNumber) -> float:
    try:
        instant = datetime.strptime(f"{number.minor:08d}{number.patch:06d}", "%Y%m%d%H%M%S")
    except ValueError:
        return float(number.minor) * 1e6 + number.patch
    return instant.replace(tzinfo=UTC).timestamp()


def _named(what: str, name: str, known: dict[str, _Named]) -> _Named:
    found = known.get(name.lower())
    if found is None:
        close = get_close_matches(name.lower(), known, n=_NEAREST_COUNT, cutoff=0.5) or sorted(known)
        raise NotFoundError(f"no {what} is named '{name}'", hint="the nearest names are " + ", ".join(close))
    return found

"""Which offer a URN means, and which version a mirror's state is."""

from datetime import UTC, datetime

import pytest

from goldsmith.kernel.errors import CorruptError, NotFoundError
from goldsmith.marketplace.catalogue import OFFERS
from goldsmith.marketplace.logic import (
    find,
    nearest_versions,
    no_such_version,
    parse_release,
    version_of,
)
from goldsmith.marketplace.model import ReleaseFile, parse_number, parse_urn


def release(suite: str, *when: int) -> ReleaseFile:
    year, month, day, hour, minute, second = when
    date = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return ReleaseFile(
        suite=suite, uri="http://deb.example.org/debian", date=date, digest="sha256:" + "0" * 64
    )


@pytest.mark.parametrize(
    ("text", "exact", "codename"),
    [
        ("Debian:debian-12:12-gen2:latest", "Debian:debian-12:12-gen2:latest", "bookworm"),
        ("debian:DEBIAN-13:13:latest", "Debian:debian-13:13-gen2:latest", "trixie"),
        ("DEBIAN:debian-12:12:0.20261124.1", "Debian:debian-12:12-gen2:0.20261124.1", "bookworm"),
    ],
)
def test_a_urn_is_found_in_any_case_and_by_an_alias(text: str, exact: str, codename: str) -> None:
    offer, sku, named = find(OFFERS, parse_urn(text))
    assert str(named) == exact
    assert offer.codename == codename
    assert sku.name == named.sku


@pytest.mark.parametrize(
    ("text", "what", "nearest"),
    [
        ("Debain:debian-12:12:latest", "publisher", "debian"),
        ("Debian:debian-14:14:latest", "offer", "debian-1"),
        ("Debian:debian-12:12-gen1:latest", "SKU", "12-gen2"),
        ("Canonical:ubuntu:22:latest", "publisher", "debian"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(text: str, what: str, nearest: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        find(OFFERS, parse_urn(text))
    assert what in raised.value.message
    assert nearest in (raised.value.hint or "")


def test_a_mirrors_version_is_the_newest_date_of_its_suites() -> None:
    suites = (
        release("bookworm", 2026, 7, 11, 10, 16, 37),
        release("bookworm-updates", 2026, 11, 24, 2, 12, 15),
        release("bookworm-security", 2026, 11, 24, 0, 34, 33),
    )
    assert str(version_of(suites)) == "0.20261124.21215"
    assert version_of(suites[::-1]) == version_of(suites)


def test_nearest_versions_are_near_in_time_not_in_digits() -> None:
    known = [
        parse_number(text) for text in ("0.20260131.235959", "0.20260101.0", "0.20250201.0", "0.20260203.0")
    ]
    nearest = nearest_versions(parse_number("0.20260201.0"), known)
    assert [str(number) for number in nearest] == ["0.20260131.235959", "0.20260203.0", "0.20260101.0"]


def test_an_unknown_version_says_which_there_are() -> None:
    urn = parse_urn("Debian:debian-12:12-gen2:0.20260201.0")
    assert "0.20260101.0" in (no_such_version(urn, [parse_number("0.20260101.0")]).hint or "")
    assert "latest" in (no_such_version(urn, []).hint or "")


def test_a_release_file_gives_its_codename_and_date() -> None:
    text = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nCodename: trixie-updates\n"
        "Date: Tue, 24 Nov 2026 02:12:15 UTC\nMD5Sum:\n 0 1 main/Date: Mon, 01 Jan 2001 00:00:00 UTC\n"
    )
    found = parse_release(text, uri="http://deb.example.org/debian", digest="sha256:0")
    assert (found.suite, found.date) == ("trixie-updates", datetime(2026, 11, 24, 2, 12, 15, tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "Codename: trixie\n", "Codename: trixie\nDate: yesterday\n"])
def test_a_release_file_without_a_date_is_broken(text: str) -> None:
    with pytest.raises(CorruptError):
        parse_release(text, uri="http://deb.example.org/debian", digest="sha256:0")

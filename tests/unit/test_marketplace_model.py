"""URNs and versions."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.marketplace.model import ImageNumber, epoch_of, number_of, parse_number, parse_urn

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases/marketplace/urns.yaml").read_text()
)


@pytest.mark.parametrize("case", CASES, ids=[case["text"] for case in CASES])
def test_a_urn_is_read_as_the_table_says(case: dict[str, Any]) -> None:
    if case.get("error"):
        with pytest.raises(InvalidInputError) as raised:
            parse_urn(case["text"])
        assert raised.value.hint
    else:
        urn = parse_urn(case["text"])
        assert [urn.publisher, urn.offer, urn.sku, urn.version] == case["is"]
        assert parse_urn(str(urn)) == urn


def test_urns_compare_without_regard_to_case() -> None:
    assert (
        parse_urn("DEBIAN:Debian-12:12-GEN2:Latest").key == parse_urn("Debian:debian-12:12-gen2:latest").key
    )


def test_versions_are_ordered_as_numbers_not_as_text() -> None:
    texts = ["0.20260101.90000", "0.20260101.100000", "0.9.1", "0.10.0", "1.0.0"]
    ordered = sorted(parse_number(text) for text in texts)
    assert [str(number) for number in ordered] == [
        "0.9.1",
        "0.10.0",
        "0.20260101.90000",
        "0.20260101.100000",
        "1.0.0",
    ]


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 11, 24, 2, 12, 15, tzinfo=UTC), "0.20261124.21215"),
        (datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC), "0.20260101.0"),
        (datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC), "0.20260101.7"),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), "0.20261231.235959"),
    ],
)
def test_a_version_stands_for_one_instant(instant: datetime, text: str) -> None:
    assert str(number_of(instant)) == text
    assert epoch_of(parse_number(text)) == int(instant.timestamp())


def test_a_version_that_is_no_date_has_no_epoch() -> None:
    with pytest.raises(InvalidInputError, match="is not a date"):
        epoch_of(ImageNumber(major=1, minor=2, patch=3))

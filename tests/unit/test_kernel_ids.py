"""ARM resource ids: parsed whole or refused."""

import pytest

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.ids import parse_resource_id

GALLERY = "/subscriptions/s1/resourceGroups/Images/providers/Microsoft.Compute/galleries/golden"


def test_an_id_prints_as_it_was_written() -> None:
    text = GALLERY + "/images/debian/versions/1.0.0"
    parsed = parse_resource_id(text)
    assert str(parsed) == text
    assert parsed.type == "Microsoft.Compute/galleries/images/versions"
    assert parsed.names == ("golden", "debian", "1.0.0")


def test_ids_are_compared_without_case() -> None:
    assert parse_resource_id(GALLERY).key == parse_resource_id(GALLERY.upper()).key


def test_an_id_knows_its_parent_and_children() -> None:
    gallery = parse_resource_id(GALLERY)
    definition = gallery.child("images", "debian")
    assert definition.parent == gallery
    assert gallery.parent is None


def test_doubled_slashes_are_one() -> None:
    assert str(parse_resource_id(GALLERY.replace("/providers", "//providers"))) == GALLERY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "golden",
        "subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/galleries/golden",
        "/subscriptions/s1/resourceGroups/g",
        "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/galleries",
        "/subscriptions/s1/groups/g/providers/Microsoft.Compute/galleries/golden",
        GALLERY + "/images",
        GALLERY + "/images/a?b",
    ],
)
def test_what_is_no_id_is_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_resource_id(text)
    assert "expected /subscriptions/" in (caught.value.hint or "")

"""Regions: the named places image versions are replicated to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from goldsmith.kernel.errors import InvalidInputError

SCHEMES = frozenset({"file", "s3", "gs", "az"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """`name` as people write it; `url` an absolute path or a `file:`, `s3:`, `gs:` or `az:` URL."""

    name: str
    url: str

    def __post_init__(self) -> None:
        if not region_key(self.name).isalnum():
            raise InvalidInputError(f"the region name '{self.name}' must be letters, digits and spaces")
        if not self.url.startswith("/") and urlsplit(self.url).scheme not in SCHEMES:
            raise InvalidInputError(
                f"region {self.name} is at '{self.url}', expected an absolute path or a URL",
                hint=f"the schemes known are {', '.join(sorted(SCHEMES))}",
            )

    @property
    def key(self) -> str:
        return region_key(self.name)


class Regions:
    """The regions of this installation, in the order they were configured."""

    def __init__(self, regions: Iterable[Region]) -> None:
        """Raises InvalidInputError when two are the same."""
        self._by_key: dict[str, Region] = {}
        for region in regions:
            if region.key in self._by_key:
                raise InvalidInputError(f"the region {region.name} is configured twice")
            self._by_key[region.key] = region

    def __iter__(self) -> Iterator[Region]:
        return iter(self._by_key.values())

    def get(self, name: str) -> Region:
        """Raises InvalidInputError for a region that is not configured."""
        region = self._by_key.get(region_key(name))
        if region is None:
            known = ", ".join(region.key for region in self._by_key.values()) or "none"
            raise InvalidInputError(
                f"The provided location '{name}' is not available for resource type "
                f"'Microsoft.Compute/galleries'. List of available regions for the resource type is "
                f"'{known}'.",
                code="LocationNotAvailableForResourceType",
                hint="add the region to the configuration, or choose one of those listed",
            )
        return region


def region_key(name: str) -> str:
    """The form regions are compared in: "South Central US" and "southcentralus" are one region."""
    return name.replace(" ", "").lower()


def same_region(one: str, other: str) -> bool:
    return region_key(one) == region_key(other)

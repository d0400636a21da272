"""The lock of a base: every package and setting it is made from, enough to make it again without a mirror."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.disk.bootstrap import Variant
from goldsmith.disk.debs import LockedDeb
from goldsmith.kernel import digest
from goldsmith.kernel.clock import iso, parse_iso
from goldsmith.kernel.errors import CorruptError, InvalidInputError, NotFoundError
from goldsmith.kernel.json import pretty
from goldsmith.marketplace.model import ReleaseFile, Urn, parse_urn
from goldsmith.marketplace.sources import SuiteSource

_FORMAT = "goldsmith-lock-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """`include` are the packages asked for, `debs` all that were chosen, sorted by name.

    `sources` are written into the image's apt configuration. `tree_digest` is what the lock must give.
    """

    urn: Urn
    epoch: int
    architecture: str
    variant: Variant
    include: tuple[str, ...]
    sources: tuple[SuiteSource, ...]
    releases: tuple[ReleaseFile, ...]
    debs: tuple[LockedDeb, ...]
    recipe_digest: str
    tree_digest: str | None = None

    @property
    def digest(self) -> str:
        """Of all that goes in, so the same before and after the tree is made."""
        return digest.of_value(_to_json(dataclasses.replace(self, tree_digest=None)))


def write_lock(lock: Lock) -> bytes:
    return pretty(_to_json(lock)).encode() + b"\n"


def read_lock(path: Path) -> Lock:
    """Raises NotFoundError when there is no such file, CorruptError when it is not a lock."""
    try:
        return _parse(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no lock at {path}") from error
    except (ValueError, KeyError, TypeError, InvalidInputError) as error:
        raise CorruptError(
            f"{path} is not a lock of a base: {error}",
            hint="take lock.json from the state of a captured base",
        ) from error


def release_to_json(release: ReleaseFile) -> dict[str, str]:
    return {
        "suite": release.suite,
        "uri": release.uri,
        "date": iso(release.date),
        "digest": release.digest,
    }


def parse_release_json(value: Mapping[str, Any]) -> ReleaseFile:
    return ReleaseFile(
        suite=value["suite"], uri=value["uri"], date=parse_iso(value["date"]), digest=value["digest"]
    )


def _to_json(lock: Lock) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "urn": str(lock.urn),
        "epoch": lock.epoch,
        "architecture": lock.architecture,
        "variant": str(lock.variant),
        "include": list(lock.include),
        "sources": [dataclasses.asdict(source) for source in lock.sources],
        "releases": [release_to_json(release) for release in lock.releases],
        "recipe_digest": lock.recipe_digest,
        "tree_digest": lock.tree_digest,
        "debs": [dataclasses.asdict(deb) for deb in lock.debs],
    }


def _parse(value: Mapping[str, Any]) -> Lock:
    if value["format"] != _FORMAT:
        raise ValueError(f"got format {value['format']}, expected {_FORMAT}")
    return Lock(
        urn=parse_urn(value["urn"]),
        epoch=int(value["epoch"]),
        architecture=value["architecture"],
        variant=Variant(value["variant"]),
        include=tuple(value["include"]),
        sources=tuple(SuiteSource(**source) for source in value["sources"]),
        releases=tuple(parse_release_json(release) for release in value["releases"]),
        recipe_digest=value["recipe_digest"],
        tree_digest=value["tree_digest"],
        debs=tuple(LockedDeb(**deb) for deb in value["debs"]),
    )

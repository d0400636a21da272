"""The disk of a published version as a file: from the cache, or fetched from a region and checked."""

from pathlib import Path

from goldsmith.gallery.model import ImageVersion
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import Error, NotFoundError
from goldsmith.publishing.workshop import Workshop


def disk_of_version(workshop: Workshop, version: ImageVersion, *, cancel: Cancel) -> Path:
    """A raw file with exactly the version's bytes; not to be changed.

    Raises NotFoundError when no region has it, CorruptError when what they have is damaged.
    """
    if version.evidence is None or version.evidence.disk_digest is None:
        raise NotFoundError(f"{version.id} has no disk here", hint="it was not published by a build")
    wanted = version.evidence.disk_digest
    cached = workshop.disks / f"{digest.hex_of(wanted)}.raw"
    if cached.exists():
        return cached
    workshop.disks.mkdir(parents=True, exist_ok=True)
    failure: Error | None = None
    for region in version.publishing.target_regions:
        cancel.check()
        try:
            workshop.stores[workshop.regions.get(region.name).key].get_file(wanted, cached)
        except Error as error:
            failure = error
            continue
        return cached
    raise failure or NotFoundError(f"{version.id} is in no region")

"""The base of a build: the template's source resolved to a version, captured, and pinned by digest."""

import urllib.parse
from collections.abc import Callable
from pathlib import Path

from goldsmith.gallery import service as galleries
from goldsmith.gallery.model import ImageVersion
from goldsmith.imagetemplate.model import (
    ManagedImageSource,
    PlatformImageSource,
    SharedImageVersionSource,
    Source,
)
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import CorruptError, UnsupportedError
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.marketplace import disks, service
from goldsmith.marketplace.model import Capture, SourceKind, parse_urn
from goldsmith.marketplace.ports import OnProgress
from goldsmith.publishing.workshop import Workshop


def find_captured(workshop: Workshop, source: Source, *, location: str, cancel: Cancel) -> Capture | None:
    """The base if it is captured already; asks the mirror what `latest` is, and makes nothing.

    Raises NotFoundError for a source that does not exist, UnavailableError when `latest` cannot be resolved.
    """
    match source:
        case PlatformImageSource():
            resolved = service.resolve(workshop.marketplace, parse_urn(str(source)), cancel=cancel)
            return workshop.marketplace.store.find(SourceKind.PLATFORM_IMAGE, str(resolved.urn))
        case ManagedImageSource(image_id=image_id):
            # Whether the file has changed is only known once it is read, which capturing does.
            _local_disk(image_id)
            return None
        case SharedImageVersionSource(image_version_id=version_id):
            version = _version(workshop, version_id, location=location)
            return workshop.marketplace.store.find(SourceKind.SHARED_IMAGE_VERSION, str(version.id))


def capture(
    workshop: Workshop,
    source: Source,
    *,
    location: str,
    disk_of: Callable[[ImageVersion], Path],
    cancel: Cancel,
    on_progress: OnProgress,
) -> Capture:
    """The captured base, made now when it is not there; `disk_of` gives a gallery version's disk file.

    Raises what `find_captured` raises, NoSpaceError, ProgramError, UnsupportedError, CorruptError.
    """
    match source:
        case PlatformImageSource():
            return service.capture(
                workshop.marketplace, parse_urn(str(source)), cancel=cancel, on_progress=on_progress
            )
        case ManagedImageSource(image_id=image_id):
            return disks.capture_disk_file(
                workshop.marketplace,
                _local_disk(image_id),
                extract=workshop.extract_root,
                cancel=cancel,
                on_progress=on_progress,
            )
        case SharedImageVersionSource(image_version_id=version_id):
            version = _version(workshop, version_id, location=location)
            known = workshop.marketplace.store.find(SourceKind.SHARED_IMAGE_VERSION, str(version.id))
            if known is not None:
                return known
            return disks.capture_image_version(
                workshop.marketplace,
                str(version.id),
                disk_of(version),
                extract=workshop.extract_root,
                cancel=cancel,
                on_progress=on_progress,
            )


def recapture_hint(error: CorruptError, base: Capture) -> CorruptError:
    """A damaged base, told with the way to have it again."""
    if base.lock is not None:
        hint = f"make it again from its packages: goldsmith marketplace capture --from-lock {base.lock}"
    else:
        hint = f"remove {base.root.parent} and run the same command again"
    return CorruptError(f"the base {base.identity} is damaged: {error.message}", hint=hint)


def _version(workshop: Workshop, image_id: str, *, location: str) -> ImageVersion:
    return galleries.resolve_image(
        workshop.gallery, parse_resource_id(image_id), region=location, clock=workshop.clock
    )


def _local_disk(image_id: str) -> Path:
    parts = urllib.parse.urlsplit(image_id)
    if parts.scheme == "file":
        return Path(urllib.parse.unquote(parts.path))
    if image_id.lower().startswith("/subscriptions/"):
        raise UnsupportedError(
            f"{image_id} is a managed image resource, which this release does not keep",
            hint="give imageId as the path or file:// URL of a disk file, or use a SharedImageVersion source",
        )
    return Path(image_id)

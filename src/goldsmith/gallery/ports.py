"""What the gallery's use cases need from where its resources are kept."""

from contextlib import AbstractContextManager
from typing import Protocol

from goldsmith.gallery.model import Gallery, GalleryResource, ImageDefinition, ImageVersion
from goldsmith.kernel.ids import ResourceId


class GalleryReading(Protocol):
    """Look-ups ignore the case of ids; lists are in the order of ids and hold soft-deleted versions too."""

    def gallery(self, id_: ResourceId) -> Gallery | None: ...

    def definition(self, id_: ResourceId) -> ImageDefinition | None: ...

    def version(self, id_: ResourceId) -> ImageVersion | None: ...

    def galleries(self, subscription: str, *, group: str | None = None) -> list[Gallery]: ...

    def definitions(self, gallery_id: ResourceId) -> list[ImageDefinition]: ...

    def versions(self, definition_id: ResourceId) -> list[ImageVersion]: ...


class GalleryTransaction(GalleryReading, Protocol):
    def lock(self, id_: ResourceId) -> None:
        """Nobody else who locks `id_` goes on until this transaction ends; what is read then is current.

        Raises NotFoundError when it does not exist.
        """
        ...

    def put(self, resource: GalleryResource) -> None:
        """Create it (`etag` is None) or replace the one that was read.

        Raises PreconditionFailedError when it exists already or has changed since it was read.
        """
        ...

    def delete(self, id_: ResourceId) -> None:
        """Raises NotFoundError when it does not exist."""
        ...


class GalleryStore(GalleryReading, Protocol):
    def transaction(self, *, actor: str) -> AbstractContextManager[GalleryTransaction]:
        """Writes by `actor` that all happen or, when the block raises, none of them.

        Raises ConflictError when another transaction got in the way.
        """
        ...

"""The evidence of a published version, read from the region it lies in and checked against its digest."""

from goldsmith.gallery.model import ArtifactKind, ImageVersion
from goldsmith.kernel import digest
from goldsmith.kernel.errors import CorruptError, Error, NotFoundError
from goldsmith.publishing.workshop import Workshop


def read_artifact(workshop: Workshop, version: ImageVersion, kind: ArtifactKind) -> bytes:
    """Raises NotFoundError (it has none, or no region answers) and CorruptError (it was changed)."""
    artifact = version.evidence.artifact(kind) if version.evidence else None
    if artifact is None:
        raise NotFoundError(f"{version.id} has no {kind.value}")
    failure: Error | None = None
    for region in version.publishing.target_regions:
        store = workshop.stores[workshop.regions.get(region.name).key]
        try:
            content = store.get_named(artifact.path)
        except Error as error:
            failure = error
            continue
        if digest.of_bytes(content) == artifact.digest:
            return content
        failure = CorruptError(
            f"{artifact.path} in region {region.name} has digest {digest.of_bytes(content)}, "
            f"the gallery says {artifact.digest}",
            hint="somebody changed it; 'goldsmith image verify' tells what else differs",
        )
    raise failure or NotFoundError(f"{version.id} is in no region")

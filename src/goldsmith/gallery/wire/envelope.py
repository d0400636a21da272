"""What the bodies of all three types have in common: the members around `properties`."""

from collections.abc import Mapping

from goldsmith.gallery.wire.reader import Reader, without_nulls
from goldsmith.kernel.ids import ResourceId
from goldsmith.kernel.json import JsonObject

DEFAULT_API_VERSION = "2026-03-03"
# From here on a definition is Generation 2 with Trusted Launch supported, a version prefers zone-redundant
# storage, unless the request says otherwise.
SECURE_BY_DEFAULT_SINCE = "2025-03-03"


def open_body(body: object, *, model: str) -> tuple[Reader, Reader | None]:
    """The body and its `properties`; members that ARM itself writes are passed over."""
    reader = Reader(body, path="", model=model)
    reader.ignore("id", "name", "type", "systemData", "etag")
    return reader, reader.object("properties")


def envelope(
    id_: ResourceId,
    type_: str,
    *,
    location: str,
    tags: Mapping[str, str],
    properties: JsonObject,
    identity: JsonObject | None = None,
) -> JsonObject:
    return without_nulls(
        {
            "id": str(id_),
            "name": id_.name,
            "type": type_,
            "location": location,
            "tags": dict(tags),
            "identity": identity,
            "properties": properties,
        }
    )

"""`Microsoft.Compute/galleries`: ARM JSON to `Gallery` and back."""

from goldsmith.gallery.model import GALLERY_TYPE, Gallery, ProvisioningState, SoftDeletePolicy
from goldsmith.gallery.naming import check_id
from goldsmith.gallery.wire.envelope import envelope, open_body
from goldsmith.gallery.wire.reader import Reader, invalid, missing, without_nulls
from goldsmith.kernel.ids import ResourceId
from goldsmith.kernel.json import JsonObject

_MODEL = "Gallery"
_RETENTION_DAYS = range(1, 91)

_IDENTITY = {
    "type": None,
    "principalId": None,
    "tenantId": None,
    "userAssignedIdentities": {"*": None},
}
_SHARING = {
    "permissions": None,
    "groups": [{"type": None, "ids": [None]}],
    "communityGalleryInfo": {
        "publisherUri": None,
        "publisherContact": None,
        "eula": None,
        "publicNamePrefix": None,
        "communityGalleryEnabled": None,
        "publicNames": [None],
    },
}


def parse_gallery(
    id_: ResourceId, body: object, *, existing: Gallery | None = None, stored: bool = False
) -> Gallery:
    """The gallery that a PUT of `body` asks for, or with `stored` the one that was rendered.

    Raises InvalidInputError for unknown members, wrong types and names against the rules.
    """
    check_id(id_)
    reader, properties = open_body(body, model=_MODEL)
    properties = properties or Reader({}, path="properties", model=_MODEL)
    location = reader.text("location") or (existing.location if existing else None)
    if not location:
        raise missing("location")
    properties.ignore("identifier", "sharingStatus")
    state = properties.choice("provisioningState", ProvisioningState)
    gallery = Gallery(
        id=id_,
        location=location,
        tags=reader.text_map("tags"),
        identity=reader.carried("identity", _IDENTITY),
        description=properties.text("description"),
        sharing_profile=properties.carried("sharingProfile", _SHARING),
        soft_delete_policy=_parse_soft_delete(properties.object("softDeletePolicy")),
        provisioning_state=(state if stored else None) or ProvisioningState.SUCCEEDED,
        etag=existing.etag if existing else None,
    )
    properties.close()
    reader.close()
    return gallery


def gallery_json(gallery: Gallery) -> JsonObject:
    """The body of a GET, read-only members included."""
    policy = gallery.soft_delete_policy
    properties = without_nulls(
        {
            "description": gallery.description,
            "identifier": {"uniqueName": gallery.unique_name},
            "provisioningState": gallery.provisioning_state.value,
            "sharingProfile": gallery.sharing_profile,
            "sharingStatus": {"aggregatedState": "Succeeded", "summary": []},
            "softDeletePolicy": None
            if policy is None
            else {
                "isSoftDeleteEnabled": policy.enabled,
                "retentionPeriodInDays": policy.retention_days,
                "gracePeriodInDays": policy.grace_days,
            },
        }
    )
    return envelope(
        gallery.id,
        GALLERY_TYPE,
        location=gallery.location,
        tags=gallery.tags,
        properties=properties,
        identity=gallery.identity,
    )


def _parse_soft_delete(reader: Reader | None) -> SoftDeletePolicy | None:
    if reader is None:
        return None
    default = SoftDeletePolicy()
    retention = reader.integer("retentionPeriodInDays")
    grace = reader.integer("gracePeriodInDays")
    policy = SoftDeletePolicy(
        enabled=bool(reader.boolean("isSoftDeleteEnabled")),
        retention_days=default.retention_days if retention is None else retention,
        grace_days=default.grace_days if grace is None else grace,
    )
    reader.close()
    if policy.retention_days not in _RETENTION_DAYS:
        raise invalid(
            reader.at("retentionPeriodInDays"), f"is {policy.retention_days}, expected 1 to 90 days"
        )
    if policy.grace_days < 0:
        raise invalid(reader.at("gracePeriodInDays"), f"is {policy.grace_days}, expected 0 days or more")
    return policy

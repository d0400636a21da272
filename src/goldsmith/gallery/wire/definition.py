"""`Microsoft.Compute/galleries/images`: ARM JSON to `ImageDefinition` and back."""

from goldsmith.gallery.model import (
    DEFINITION_TYPE,
    AmountRange,
    Architecture,
    Feature,
    HyperVGeneration,
    Identifier,
    ImageDefinition,
    OsState,
    OsType,
    ProvisioningState,
    PurchasePlan,
    SecurityType,
)
from goldsmith.gallery.naming import check_id
from goldsmith.gallery.wire.envelope import (
    DEFAULT_API_VERSION,
    SECURE_BY_DEFAULT_SINCE,
    envelope,
    open_body,
)
from goldsmith.gallery.wire.reader import Reader, missing, without_nulls
from goldsmith.kernel.clock import iso
from goldsmith.kernel.ids import ResourceId
from goldsmith.kernel.json import JsonObject

_MODEL = "GalleryImage"


def parse_definition(
    id_: ResourceId,
    body: object,
    *,
    api_version: str = DEFAULT_API_VERSION,
    existing: ImageDefinition | None = None,
    stored: bool = False,
) -> ImageDefinition:
    """The definition that a PUT of `body` asks for, or with `stored` the one that was rendered.

    What is fixed at creation and left out of an update stays as it is; at creation the api-version gives
    the default. Raises InvalidInputError.
    """
    check_id(id_)
    reader, properties = open_body(body, model=_MODEL)
    location = reader.text("location") or (existing.location if existing else None)
    if not location:
        raise missing("location")
    if properties is None:
        raise missing("properties")
    os_type = properties.choice("osType", OsType) or (existing.os_type if existing else None)
    os_state = properties.choice("osState", OsState) or (existing.os_state if existing else None)
    if os_type is None or os_state is None:
        raise missing(properties.at("osType" if os_type is None else "osState"))
    generation = properties.choice("hyperVGeneration", HyperVGeneration)
    architecture = properties.choice("architecture", Architecture)
    features = tuple(_parse_feature(feature) for feature in properties.objects("features"))
    if existing is not None:
        generation = generation or existing.hyper_v_generation
        architecture = architecture or existing.architecture
        features = features or existing.features
    elif not stored:
        generation, features = _secure_by_default(generation, features, api_version)
    recommended = properties.object("recommended")
    disallowed = properties.object("disallowed")
    state = properties.choice("provisioningState", ProvisioningState)
    definition = ImageDefinition(
        id=id_,
        location=location,
        tags=reader.text_map("tags"),
        os_type=os_type,
        os_state=os_state,
        identifier=_parse_identifier(properties, existing),
        hyper_v_generation=generation or HyperVGeneration.V1,
        architecture=architecture or Architecture.X64,
        features=features,
        allow_update_image=properties.boolean("allowUpdateImage"),
        recommended_vcpus=_parse_range(recommended, "vCPUs"),
        recommended_memory=_parse_range(recommended, "memory"),
        disallowed_disk_types=disallowed.texts("diskTypes") if disallowed else (),
        purchase_plan=_parse_plan(properties.object("purchasePlan")),
        end_of_life_date=properties.instant("endOfLifeDate"),
        description=properties.text("description"),
        eula=properties.text("eula"),
        privacy_statement_uri=properties.text("privacyStatementUri"),
        release_note_uri=properties.text("releaseNoteUri"),
        provisioning_state=(state if stored else None) or ProvisioningState.SUCCEEDED,
        etag=existing.etag if existing else None,
    )
    for part in (recommended, disallowed, properties, reader):
        if part is not None:
            part.close()
    return definition


def definition_json(definition: ImageDefinition) -> JsonObject:
    """The body of a GET, read-only members included."""
    end = definition.end_of_life_date
    plan = definition.purchase_plan
    recommended = without_nulls(
        {
            "vCPUs": _range_json(definition.recommended_vcpus),
            "memory": _range_json(definition.recommended_memory),
        }
    )
    properties = without_nulls(
        {
            "osType": definition.os_type.value,
            "osState": definition.os_state.value,
            "identifier": {
                "publisher": definition.identifier.publisher,
                "offer": definition.identifier.offer,
                "sku": definition.identifier.sku,
            },
            "hyperVGeneration": definition.hyper_v_generation.value,
            "architecture": definition.architecture.value,
            "features": [_feature_json(feature) for feature in definition.features] or None,
            "allowUpdateImage": definition.allow_update_image,
            "recommended": recommended or None,
            "disallowed": {"diskTypes": list(definition.disallowed_disk_types)}
            if definition.disallowed_disk_types
            else None,
            "purchasePlan": None
            if plan is None
            else without_nulls({"name": plan.name, "publisher": plan.publisher, "product": plan.product}),
            "endOfLifeDate": None if end is None else iso(end),
            "description": definition.description,
            "eula": definition.eula,
            "privacyStatementUri": definition.privacy_statement_uri,
            "releaseNoteUri": definition.release_note_uri,
            "provisioningState": definition.provisioning_state.value,
        }
    )
    return envelope(
        definition.id,
        DEFINITION_TYPE,
        location=definition.location,
        tags=definition.tags,
        properties=properties,
    )


def _secure_by_default(
    generation: HyperVGeneration | None, features: tuple[Feature, ...], api_version: str
) -> tuple[HyperVGeneration, tuple[Feature, ...]]:
    # A preview's date decides like a release's.
    if api_version[:10] < SECURE_BY_DEFAULT_SINCE:
        return generation or HyperVGeneration.V1, features
    generation = generation or HyperVGeneration.V2
    named = any(feature.name.lower() == "securitytype" for feature in features)
    # Trusted Launch needs Generation 2; who asks for Generation 1 gets none of it.
    if not named and generation is HyperVGeneration.V2:
        supported = Feature(name="SecurityType", value=SecurityType.TRUSTED_LAUNCH_SUPPORTED.value)
        features = (*features, supported)
    return generation, features


def _parse_identifier(properties: Reader, existing: ImageDefinition | None) -> Identifier:
    reader = properties.object("identifier")
    if reader is None:
        if existing is None:
            raise missing(properties.at("identifier"))
        return existing.identifier
    identifier = Identifier(
        publisher=reader.needed_text("publisher"),
        offer=reader.needed_text("offer"),
        sku=reader.needed_text("sku"),
    )
    reader.close()
    return identifier


def _parse_feature(reader: Reader) -> Feature:
    feature = Feature(
        name=reader.needed_text("name"),
        value=reader.needed_text("value"),
        starts_at_version=reader.text("startsAtVersion"),
    )
    reader.close()
    return feature


def _feature_json(feature: Feature) -> JsonObject:
    return without_nulls(
        {"name": feature.name, "value": feature.value, "startsAtVersion": feature.starts_at_version}
    )


def _parse_range(recommended: Reader | None, name: str) -> AmountRange | None:
    reader = recommended.object(name) if recommended else None
    if reader is None:
        return None
    amounts = AmountRange(min=reader.integer("min"), max=reader.integer("max"))
    reader.close()
    return amounts


def _range_json(amounts: AmountRange | None) -> JsonObject | None:
    return None if amounts is None else without_nulls({"min": amounts.min, "max": amounts.max})


def _parse_plan(reader: Reader | None) -> PurchasePlan | None:
    if reader is None:
        return None
    plan = PurchasePlan(
        name=reader.text("name"), publisher=reader.text("publisher"), product=reader.text("product")
    )
    reader.close()
    return plan

"""The end of a build: provenance signed, bytes and evidence in every region, the version completed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib import metadata
from pathlib import Path

import sqlalchemy as sa

from goldsmith.blobs.store import BlobStore
from goldsmith.gallery import lifecycle as versions
from goldsmith.gallery.model import (
    Artifact,
    ArtifactKind,
    DiskImage,
    Evidence,
    ExecutedValidation,
    ImageVersion,
    PublishingProfile,
    StorageAccountType,
    StorageProfile,
    TargetRegion,
    parse_version_name,
)
from goldsmith.gallery.naming import artifact_name
from goldsmith.gallery.ports import GalleryStore
from goldsmith.gallery.regions import Regions
from goldsmith.imagetemplate.model import ImageTemplate, SharedImageDistributor
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.ids import ResourceId, parse_resource_id
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.provenance import dsse, logic
from goldsmith.provenance.keys import KeyStore
from goldsmith.provenance.model import BuildFacts, BuildStep, Measurements, StepInput
from goldsmith.provenance.model import Emergency as SignedEmergency
from goldsmith.publishing.model import BuildPlan, StepOutcome
from goldsmith.sbom.store import index_sbom

BUILDER_ID = "urn:goldsmith:builder"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedImage:
    """The disk as it was validated, and the documents made about it; `path` is the raw file."""

    path: Path
    disk_digest: str
    size_bytes: int
    sbom: bytes
    report: bytes
    measurements: bytes | None
    golden: Mapping[str, str]
    boot_seconds: Mapping[str, float]


def version_id(plan: BuildPlan) -> ResourceId:
    return parse_resource_id(plan.definition_id).child("versions", plan.version)


def evidence_files(
    plan: BuildPlan,
    outcomes: Sequence[StepOutcome],
    image: SealedImage,
    *,
    template: ImageTemplate,
    keys: KeyStore,
    started: datetime,
    finished: datetime,
) -> dict[ArtifactKind, bytes]:
    """The signed provenance and everything it covers, by kind, as it lies beside the image."""
    signer = keys.signer()
    facts = _facts(plan, outcomes, image, template=template, started=started, finished=finished)
    envelope = dsse.sign(logic.statement_bytes(facts), [signer])
    files = {
        ArtifactKind.SBOM: image.sbom,
        ArtifactKind.SBOM_SIGNATURE: dsse.sign_detached(image.sbom, signer),
        ArtifactKind.TEST_REPORT: image.report,
        ArtifactKind.PROVENANCE: dsse.envelope_bytes(envelope),
        ArtifactKind.DISK_MANIFEST: canonical(_manifest(plan, image)),
    }
    if image.measurements is not None:
        files[ArtifactKind.MEASUREMENTS] = image.measurements
    return files


def publish(
    plan: BuildPlan,
    image: SealedImage,
    files: Mapping[ArtifactKind, bytes],
    *,
    template: ImageTemplate,
    distributor: SharedImageDistributor,
    regions: Regions,
    stores: Mapping[str, BlobStore],
    gallery: GalleryStore,
    clock: Clock,
    actor: str,
    passed: bool,
    cancel: Cancel,
) -> ImageVersion:
    """Afterwards every target region holds the bytes, and the gallery has the version; may be repeated.

    A version that did not pass is published excluded from latest. The gallery sees nothing before all
    regions hold everything. Raises CorruptError when the disk is not the one that was validated.
    """
    targets = target_regions(template, distributor)
    target = parse_resource_id(plan.definition_id)
    name = parse_version_name(plan.version)
    day = date.fromisoformat(plan.declared_date)
    paths = {
        kind: artifact_name(target.names[0], target.names[1], name, build_date=day, kind=kind)
        for kind in files
    }
    for region in targets:
        store = stores[regions.get(region.name).key]
        stored = store.put_file(image.path, cancel=cancel)
        if stored.digest != image.disk_digest:
            raise CorruptError(
                f"the sealed disk has digest {stored.digest}, but {image.disk_digest} was validated",
                hint="something changed the file in the state directory; build it again",
            )
        for kind, content in files.items():
            cancel.check()
            store.put_named(paths[kind], content)
    draft = ImageVersion(
        id=version_id(plan),
        location=template.location,
        tags=dict(distributor.artifact_tags),
        publishing=PublishingProfile(target_regions=targets),
        storage=StorageProfile(os_disk=DiskImage(source_uri=f"urn:goldsmith:build:{plan.build_id}")),
    )
    versions.begin_version(
        gallery, clock, draft, build_id=plan.build_id, disk_digest=image.disk_digest, actor=actor
    )
    return versions.complete_version(
        gallery,
        clock,
        draft.id,
        evidence=Evidence(
            build_id=plan.build_id,
            disk_digest=image.disk_digest,
            disk_size_bytes=image.size_bytes,
            artifacts=tuple(
                Artifact(kind=kind, path=paths[kind], digest=digest.of_bytes(content))
                for kind, content in sorted(files.items())
            ),
            boot_seconds=dict(image.boot_seconds),
            facts=_evidence_facts(plan),
        ),
        exclude_from_latest=distributor.exclude_from_latest or not passed,
        validations=[
            ExecutedValidation(
                type="GoldsmithBoot",
                succeeded=passed,
                version="1",
                executed=clock.now().replace(microsecond=0),
            )
        ],
        actor=actor,
    )


def target_regions(template: ImageTemplate, distributor: SharedImageDistributor) -> tuple[TargetRegion, ...]:
    """The regions the template names, in its newer or older form; without any, the template's own."""
    if distributor.target_regions:
        return tuple(
            TargetRegion(
                name=region.name,
                regional_replica_count=region.replica_count,
                storage_account_type=StorageAccountType(region.storage_account_type.value),
            )
            for region in distributor.target_regions
        )
    names = distributor.replication_regions or (template.location,)
    return tuple(TargetRegion(name=name, regional_replica_count=1) for name in names)


def _manifest(plan: BuildPlan, image: SealedImage) -> JsonObject:
    """What finds the disk again in its region: the digest is its key among the region's blobs."""
    return {
        "imageVersion": str(version_id(plan)),
        "format": "raw",
        "digest": image.disk_digest,
        "sizeBytes": image.size_bytes,
    }


def _evidence_facts(plan: BuildPlan) -> dict[str, str]:
    facts = {"source": plan.base_urn, "template": plan.template_name}
    if plan.emergency is not None:
        facts |= {"outOfBand": "true", "cves": " ".join(plan.emergency.cves)}
    return facts


def _facts(
    plan: BuildPlan,
    outcomes: Sequence[StepOutcome],
    image: SealedImage,
    *,
    template: ImageTemplate,
    started: datetime,
    finished: datetime,
) -> BuildFacts:
    layers = {outcome.key: outcome.layer_digest for outcome in outcomes}
    emergency = plan.emergency
    return BuildFacts(
        build_id=plan.build_id,
        version_id=str(version_id(plan)),
        disk_digest=image.disk_digest,
        base_urn=plan.base_urn,
        base_digest=plan.base_digest,
        template_name=plan.template_name,
        template_digest=plan.template_digest,
        steps=tuple(
            BuildStep(
                index=step.index,
                name=step.name,
                layer_key=step.key,
                layer_digest=layers[step.key],
                inputs=tuple(StepInput(name=item.uri, digest=item.digest) for item in step.inputs),
            )
            for step in plan.steps
        ),
        sbom_digest=digest.of_bytes(image.sbom),
        test_report_digest=digest.of_bytes(image.report),
        measurements=None
        if image.measurements is None
        else Measurements(digest=digest.of_bytes(image.measurements), values=dict(image.golden)),
        builder_id=BUILDER_ID,
        builder_version=metadata.version("goldsmith"),
        started=started,
        finished=finished,
        parameters={
            "declaredDate": plan.declared_date,
            "networkOpen": any(step.network_open for step in plan.steps),
            "location": template.location,
        },
        emergency=None
        if emergency is None
        else SignedEmergency(cves=emergency.cves, patch_date=date.fromisoformat(emergency.patch_date)),
    )


def index(database: sa.Engine, version: ImageVersion, sbom: bytes) -> None:
    """Make the version findable by its packages; may be repeated."""
    index_sbom(database, str(version.id), json.loads(sbom))

"""The last stages: evidence signed, the version published; or for a rebuild, the digests compared."""

from collections.abc import Callable
from pathlib import Path

from goldsmith.gallery import service as galleries
from goldsmith.gallery.model import ArtifactKind, ImageVersion
from goldsmith.kernel import digest
from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import Error
from goldsmith.kernel.files import remove_tree, write_atomic
from goldsmith.kernel.json import JsonObject
from goldsmith.publishing import planning, releasing
from goldsmith.publishing.attempt import Attempt, StageNote
from goldsmith.publishing.model import BuildPlan
from goldsmith.publishing.releasing import SealedImage


def release(
    attempt: Attempt,
    disk: Path,
    assembled: JsonObject,
    sbom: JsonObject,
    validated: JsonObject,
    plan: BuildPlan,
) -> JsonObject:
    measurements = attempt.artifact(plan, ArtifactKind.MEASUREMENTS)
    image = SealedImage(
        path=disk,
        disk_digest=assembled["diskDigest"],
        size_bytes=assembled["sizeBytes"],
        sbom=attempt.artifact(plan, ArtifactKind.SBOM).read_bytes(),
        report=attempt.artifact(plan, ArtifactKind.TEST_REPORT).read_bytes(),
        measurements=measurements.read_bytes() if measurements.exists() else None,
        golden=validated["golden"],
        boot_seconds=validated["bootSeconds"],
    )
    assert digest.of_bytes(image.sbom) == sbom["digest"]

    def sign(_: Callable[[str], None]) -> StageNote:
        files = releasing.evidence_files(
            plan,
            attempt.current().outcomes,
            image,
            template=attempt.template,
            keys=attempt.shop.keys,
            started=parse_iso(attempt.started),
            finished=attempt.shop.clock.now(),
        )
        for kind, content in files.items():
            write_atomic(attempt.artifact(plan, kind), content)
        key = attempt.shop.keys.signer().key_id
        return StageNote(value=[kind.value for kind in sorted(files)], text=f"key {key[:16]}")

    kinds = attempt.stage("sign", "sign the provenance", sign)

    def publish(_: Callable[[str], None]) -> StageNote:
        files = {
            ArtifactKind(kind): attempt.artifact(plan, ArtifactKind(kind)).read_bytes() for kind in kinds
        }
        version = releasing.publish(
            plan,
            image,
            files,
            template=attempt.template,
            distributor=planning.shared_image(attempt.template),
            regions=attempt.shop.regions,
            stores=attempt.shop.stores,
            gallery=attempt.shop.gallery,
            clock=attempt.shop.clock,
            actor=attempt.shop.actor,
            passed=validated["passed"],
            cancel=attempt.cancel,
        )
        releasing.index(attempt.shop.database, version, image.sbom)
        return StageNote(value=_published(version), text=f"{plan.version}")

    value: JsonObject = attempt.stage("publish", "publish", publish)
    return value


def compare(attempt: Attempt, plan: BuildPlan, disk_digest: str) -> JsonObject:
    """The end of a rebuild: the digest against that of the version it repeats."""
    version = galleries.show_version(attempt.shop.gallery, releasing.version_id(plan))
    assert version.evidence is not None
    published = version.evidence.disk_digest
    result = {
        "buildId": plan.build_id,
        "versionId": str(version.id),
        "diskDigest": disk_digest,
        "passed": True,
        "unchanged": published == disk_digest,
    }
    remove_tree(attempt.shop.state / "rebuilds" / plan.build_id)
    if published != disk_digest:
        raise Error(
            f"the rebuild of {version.id} gave disk {disk_digest}, published is {published}; "
            f"{_first_difference(attempt, plan)}",
            code="NotReproducible",
            hint="a step depends on something that is not pinned: time, network or random numbers",
        )
    return result


def _first_difference(attempt: Attempt, plan: BuildPlan) -> str:
    """Names the first step that gave other files, compared with what is recorded of the build."""
    before = {
        outcome.index: outcome.layer_digest for outcome in attempt.shop.records.get(plan.build_id).outcomes
    }
    for outcome in attempt.current().outcomes:
        if before.get(outcome.index, outcome.layer_digest) != outcome.layer_digest:
            return f"step {outcome.index} '{outcome.name}' is the first that gave other files"
    return "every step gave the same files, so the tools that write the disk differ"


def _published(version: ImageVersion) -> JsonObject:
    return {"versionId": str(version.id), "excludeFromLatest": version.publishing.exclude_from_latest}

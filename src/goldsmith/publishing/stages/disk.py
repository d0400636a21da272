"""From the layers to the sealed disk."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from goldsmith.disk.assemble import plan_from_json, plan_to_json
from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.disk.seal import seal
from goldsmith.kernel import digest
from goldsmith.kernel.errors import NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.publishing import assembling
from goldsmith.publishing.assembling import Root
from goldsmith.publishing.attempt import Attempt, StageNote
from goldsmith.publishing.model import BuildPlan, PlannedStep
from goldsmith.publishing.stages import customise
from goldsmith.publishing.workshop import Workshop

_GIB = 1 << 30


def assemble(attempt: Attempt, root: Root, plan: BuildPlan, layers: LayerStore) -> JsonObject:
    def work(_: Callable[[str], None]) -> StageNote:
        full, assembly = assembling.assemble(
            layers, root, plan, attempt.scratch(plan), size_bytes=_disk_bytes(attempt), cancel=attempt.cancel
        )
        return StageNote(
            value={"bootLayer": full.layers[-1].key, "assembly": plan_to_json(assembly)},
            text=f"{assembly.size_bytes >> 20} MiB",
        )

    value: JsonObject = attempt.stage("assemble", "assemble the disk", work)
    return value


def seal_disk(
    attempt: Attempt,
    assembled: JsonObject,
    root: Root,
    plan: BuildPlan,
    layers: LayerStore,
    planned: list[tuple[PlannedStep, Layer]],
    checked: "Future[None]",
) -> tuple[Path, JsonObject]:
    def work(note: Callable[[str], None]) -> StageNote:
        note("checking the base and the layers reused")
        customise.await_check(attempt, checked, layers)
        customise.check_whole(attempt, layers, root.base, [layer for _, layer in planned])
        note("taking the digest")
        scratch = attempt.scratch(plan)
        if not scratch.exists():
            _assemble_again(attempt, scratch, assembled, root, layers)
        sealed = seal(scratch, cancel=attempt.cancel)
        attempt.shop.disks.mkdir(parents=True, exist_ok=True)
        scratch.replace(_disk_path(attempt.shop, sealed.digest))
        value = {**assembled, "diskDigest": sealed.digest, "sizeBytes": sealed.size_bytes}
        return StageNote(value=value, text=digest.hex_of(sealed.digest)[:16])

    value: JsonObject = attempt.stage("seal", "seal the disk", work)
    disk = _disk_path(attempt.shop, value["diskDigest"])
    if not disk.exists():
        _assemble_again(attempt, disk, assembled, root, layers)
        seal(disk, cancel=attempt.cancel)
    return disk, value


def _assemble_again(
    attempt: Attempt, disk: Path, assembled: JsonObject, root: Root, layers: LayerStore
) -> None:
    """The disk was cleaned away between two attempts; the same bytes are made again."""
    layer = layers.find(assembled["bootLayer"])
    if layer is None:
        raise NotFoundError(
            "the disk and its last layer were removed while the build used them",
            hint="run the same command again",
        )
    full = Root(base=root.base, layers=(*root.layers, layer))
    assembling.write_disk(layers, full, plan_from_json(assembled["assembly"]), disk, cancel=attempt.cancel)


def _disk_bytes(attempt: Attempt) -> int | None:
    size = attempt.template.vm_profile.os_disk_size_gb
    return size * _GIB if size else None


def _disk_path(workshop: Workshop, disk_digest: str) -> Path:
    return workshop.disks / f"{digest.hex_of(disk_digest)}.raw"

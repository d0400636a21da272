"""From the sealed root to a disk and its bill of materials, both read from the same merged tree."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goldsmith.disk import kernels
from goldsmith.disk.assemble import (
    AssemblyPlan,
    boot_files,
    plan_assembly,
    plan_from_json,
    plan_to_json,
)
from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.disk.merged import MergedTree
from goldsmith.kernel import digest, proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import CorruptError, Error
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.marketplace.lock import read_lock
from goldsmith.marketplace.model import Capture
from goldsmith.publishing.bases import recapture_hint
from goldsmith.publishing.customising import debs_of
from goldsmith.publishing.model import BuildPlan, PlannedStep
from goldsmith.publishing.planning import tattoo_of
from goldsmith.publishing.workshop import Workshop
from goldsmith.sbom.model import Step, Subject
from goldsmith.sbom.service import describe_step, read_packages
from goldsmith.sbom.wire import deb_hashes_to_json, steps_to_json, subject_to_json
from goldsmith.tattoo import text as tattoo_text

_SBOM_SECONDS_MAX = 600.0
_ARCHITECTURES = {"x64": "x86_64", "Arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A sealed root: the base with every layer on it, lowest first."""

    base: Capture
    layers: tuple[Layer, ...]

    @property
    def tree(self) -> MergedTree:
        return MergedTree(layers=(*(layer.diff for layer in reversed(self.layers)), self.base.root))


def seed_of(plan: BuildPlan) -> str:
    """What the disk's identifiers are derived from: one set for all versions of a definition."""
    return plan.definition_id.lower()


def verify(workshop: Workshop, layers: LayerStore, base: Capture, reused: Sequence[Layer]) -> None:
    """Check what was made earlier against its manifest.

    Raises CorruptError naming the base or layer, and what to do.
    """
    try:
        workshop.marketplace.store.verify(base)
    except CorruptError as error:
        raise recapture_hint(error, base) from error
    for layer in reused:
        try:
            layers.verify(layer)
        except CorruptError as error:
            name = layer.step.get("name", layer.key)
            raise CorruptError(
                f"the layer of step '{name}' is damaged: {error.message}",
                hint=f"remove it, so that the step runs again: rm -r {layer.path}",
            ) from error


def assemble(
    layers: LayerStore, root: Root, plan: BuildPlan, out: Path, *, size_bytes: int | None, cancel: Cancel
) -> tuple[Root, AssemblyPlan]:
    """Write the raw disk `out`; the root with grub.cfg and fstab for it, and the plan it was made by.

    Raises NotFoundError when there is no kernel, InvalidInputError when the size asked for is too small.
    """
    # The names on the disk are known before its size, which the program that writes it measures.
    named = plan_assembly(
        seed_of(plan),
        content_bytes=0,
        epoch=root.base.epoch,
        size_bytes=None,
        architecture=_ARCHITECTURES[root.base.architecture],
    )
    full = _with_boot_files(layers, root, named, cancel)
    answer = _write(layers, full, out, {"seed": seed_of(plan), "size_bytes": size_bytes}, named, cancel)
    return full, plan_from_json(answer["plan"])


def write_disk(layers: LayerStore, root: Root, assembly: AssemblyPlan, out: Path, *, cancel: Cancel) -> None:
    """The raw disk at `out` once more, from the root with its boot files and the plan."""
    _write(layers, root, out, {}, assembly, cancel)


def _write(
    layers: LayerStore,
    root: Root,
    out: Path,
    measure: JsonObject,
    assembly: AssemblyPlan,
    cancel: Cancel,
) -> JsonObject:
    out.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"out": str(out), "plan": plan_to_json(assembly), **({"measure": measure} if measure else {})}
    return layers.with_root_do(root.base.root, root.layers, "assemble", arguments, cancel=cancel)


def _with_boot_files(layers: LayerStore, root: Root, assembly: AssemblyPlan, cancel: Cancel) -> Root:
    files = boot_files(kernels.choose_kernel(_boot_names(root)), assembly)
    written = [
        [item.path, item.content.decode() if isinstance(item.content, bytes) else None, item.mode]
        for item in files
    ]
    parent = root.layers[-1].key if root.layers else root.base.digest
    key = digest.hex_of(digest.of_value({"parent": parent, "boot": written}))
    layer = layers.add_files(
        key,
        base=root.base.root,
        parents=root.layers,
        files=files,
        epoch=root.base.epoch,
        step={"name": "boot files"},
        cancel=cancel,
    )
    return Root(base=root.base, layers=(*root.layers, layer))


def read_sbom(
    workshop: Workshop,
    layers: LayerStore,
    root: Root,
    plan: BuildPlan,
    planned: Sequence[tuple[PlannedStep, Layer]],
    *,
    disk_digest: str,
    work: Path,
    cancel: Cancel,
) -> tuple[bytes, JsonObject]:
    """The SPDX document of the sealed root, made by a program that sees it mounted read-only; and its counts.

    Raises CorruptError, UnsupportedError or InvalidInputError as the reader says.
    """
    work.mkdir(parents=True, exist_ok=True)
    target = parse_resource_id(plan.definition_id)
    subject = Subject(
        gallery=target.names[0],
        definition=target.names[1],
        version=plan.version,
        publisher=target.names[0],
        disk_digest=disk_digest,
        base_urn=plan.base_urn,
        base_digest=plan.base_digest,
        build_id=plan.build_id,
        created=datetime.fromisoformat(plan.declared_date).replace(tzinfo=UTC),
        facts=dict(tattoo_text.facts(tattoo_of(plan, root.base))),
    )
    write_atomic(work / "subject.json", canonical(subject_to_json(subject)))
    write_atomic(work / "steps.json", canonical(steps_to_json(describe_steps(root.base, planned))))
    write_atomic(work / "deb-hashes.json", canonical(deb_hashes_to_json(deb_hashes(workshop, root, planned))))
    out = work / "sbom.spdx.json"
    argv: list[str | Path] = [sys.executable, "-m", "goldsmith.sbom", "--root", "{root}"]
    argv += ["--subject", work / "subject.json", "--steps", work / "steps.json"]
    argv += ["--deb-hashes", work / "deb-hashes.json", "--output", out]
    done = layers.with_root(
        root.base.root, root.layers, argv, cancel=cancel, timeout_seconds=_SBOM_SECONDS_MAX
    )
    if done.returncode != 0:
        raise _sbom_error(done)
    counts: JsonObject = json.loads(done.stdout)
    return out.read_bytes(), counts


def describe_steps(base: Capture, planned: Sequence[tuple[PlannedStep, Layer]]) -> tuple[Step, ...]:
    """What each step did to the packages, told from the package databases of the layers."""
    before = read_packages(base.root) if (base.root / "var/lib/dpkg/status").exists() else ()
    described = []
    for step, layer in planned:
        has_status = (layer.diff / "var/lib/dpkg/status").is_file()
        after = read_packages(layer.diff) if has_status else before
        described.append(
            describe_step(
                before,
                after,
                index=step.index,
                name=step.name,
                digest=layer.digest,
                files_added=sum(1 for path in layer.diff.rglob("*") if not path.is_dir()),
            )
        )
        before = after
    return tuple(described)


def deb_hashes(
    workshop: Workshop, root: Root, planned: Sequence[tuple[PlannedStep, Layer]]
) -> dict[tuple[str, str, str], str]:
    """The SHA-256 of every .deb known to have been installed, by name, version and architecture."""
    debs = list(read_lock(root.base.lock).debs) if root.base.lock is not None else []
    for step, _ in planned:
        debs += debs_of(workshop, step.key)
    return {(deb.name, deb.version, deb.architecture): digest.hex_of(deb.digest) for deb in debs}


def _boot_names(root: Root) -> list[str]:
    tree = root.tree
    names = {
        path.name for layer in tree.layers if (layer / "boot").is_dir() for path in (layer / "boot").iterdir()
    }
    return sorted(name for name in names if tree.find(f"boot/{name}") is not None)


def _sbom_error(done: proc.Result) -> Error:
    last = proc.last_lines(done.error_text, 1)
    code, _, rest = last.partition(": ")
    message, _, hint = rest.partition("; ")
    return Error(
        f"the bill of materials could not be made: {message or last or 'the reader said nothing'}",
        code=code if message else None,
        hint=hint or None,
    )

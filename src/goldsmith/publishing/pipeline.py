"""One image build from request to published version, as a durable job: stage after stage, each recorded."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from goldsmith.disk.assemble import plan_from_json, plan_to_json
from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.disk.seal import seal
from goldsmith.gallery import service as galleries
from goldsmith.gallery.logic import requires_trusted_launch
from goldsmith.gallery.model import ArtifactKind, ImageVersion
from goldsmith.imagetemplate import logic as templates
from goldsmith.imagetemplate.model import File, ImageTemplate, OnBuildError, Shell, State
from goldsmith.jobs.context import JobContext
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel, Deadline
from goldsmith.kernel.clock import iso, parse_iso
from goldsmith.kernel.errors import CanceledError, CorruptError, Error, NotFoundError, UnsupportedError
from goldsmith.kernel.files import FileLock, no_space, remove_tree, write_atomic
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonObject, JsonValue, pretty
from goldsmith.marketplace.model import Capture, SourceKind
from goldsmith.marketplace.ports import Progress
from goldsmith.publishing import assembling, bases, customising, planning, releasing
from goldsmith.publishing.assembling import Root
from goldsmith.publishing.disks import disk_of_version
from goldsmith.publishing.model import (
    BuildPlan,
    BuildRecord,
    BuildState,
    PlannedStep,
    StepFailure,
    StepOutcome,
)
from goldsmith.publishing.planning import Versions
from goldsmith.publishing.releasing import SealedImage
from goldsmith.publishing.request import BuildRequest, from_json
from goldsmith.publishing.validation import (
    Finding,
    ValidationResult,
    ValidationSpec,
    suites_of,
    validate,
)
from goldsmith.publishing.workshop import Workshop
from goldsmith.tattoo import text as tattoo_text

logger = logging.getLogger(__name__)

KIND = "image-build"
_PLANNING_WAIT_SECONDS = 0.1
_GIB = 1 << 30


class ValidationError(Error):
    """The image did not pass; `details` are the findings that failed."""

    code = "ValidationFailed"


def run(workshop: Workshop, context: JobContext, arguments: JsonObject) -> JsonObject:
    """The job function. Returns `{buildId, versionId, diskDigest, unchanged}`.

    Every stage is a step of the job: what is recorded does not run again after a crash, and each stage can
    be repeated without harm when it was interrupted.
    """
    request = from_json(arguments)
    started = context.now()
    limit = timedelta(minutes=request.template.build_timeout_in_minutes)
    build = _Build(workshop, context, request)
    build.cancel = Deadline(
        context.cancel,
        workshop.clock,
        seconds=(started + limit - workshop.clock.now()).total_seconds(),
        what=f"the build took longer than its buildTimeoutInMinutes of {limit.total_seconds() / 60:.0f}",
    )
    build.started = iso(started)
    try:
        return build.run()
    except Error as error:
        build.failed(error)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNote:
    """What a stage says when it ends."""

    value: JsonValue
    text: str = ""
    reused: bool = False


class _Build:
    """One attempt; its fields are what earlier stages gave."""

    def __init__(self, workshop: Workshop, context: JobContext, request: BuildRequest) -> None:
        self._shop = workshop
        self._context = context
        self._request = request
        self._template: ImageTemplate = request.template
        self.cancel: Cancel = context.cancel
        self.started = ""
        self._record: BuildRecord | None = None
        self._whole: set[str] = set()

    def run(self) -> JsonObject:
        base = self._capture()
        record = self._plan(base)
        plan = record.plan
        layers = self._layers(plan)
        if self._template.validate.source_validation_only:
            return self._validate_source(base, plan, layers)
        # Beside the steps and the writing of the disk, which leave a core free most of the time.
        checked = self._start_checking(layers, base, plan)
        try:
            planned = self._customise(base, plan, layers)
            root = Root(base=base, layers=tuple(layer for _, layer in planned))
            assembled = self._assemble(root, plan, layers)
        except Error:
            # Damage below may be why it failed, and is then what must be told.
            self._await_check(checked, layers)
            raise
        disk, sealed = self._seal(assembled, root, plan, layers, planned, checked)
        if self._request.rebuild:
            return self._compare(plan, sealed["diskDigest"])
        sbom = self._sbom(sealed, root, plan, layers, planned)
        validated = self._validate(disk, sealed["diskDigest"], base, plan, planned)
        version = self._release(disk, sealed, sbom, validated, plan)
        result = {
            "buildId": plan.build_id,
            "versionId": str(version["versionId"]),
            "diskDigest": sealed["diskDigest"],
            "passed": validated["passed"],
            "unchanged": False,
        }
        if not validated["passed"]:
            raise self._validation_error(validated)
        self._update(state=BuildState.SUCCEEDED, finished_at=self._now(), result=result | version)
        return result

    # Stages

    def _capture(self) -> Capture:
        template = self._template
        planning.refuse(template)
        self._check_definition()

        def work(note: Callable[[str], None]) -> StageNote:
            known = {one.digest for one in self._shop.marketplace.store.list()}
            done: set[str] = set()

            def progress(step: Progress) -> None:
                if step.stage.value not in done:
                    done.add(step.stage.value)
                    note(step.stage.value)

            base = bases.capture(
                self._shop,
                template.source,
                location=template.location,
                disk_of=lambda version: disk_of_version(self._shop, version, cancel=self.cancel),
                cancel=self.cancel,
                on_progress=progress,
            )
            value: JsonObject = {
                "kind": base.kind.value,
                "identity": base.identity,
                "digest": base.digest,
            }
            return StageNote(value=value, text=base.identity, reused=base.digest in known)

        captured = self._stage("capture", "capture the base", work)
        base = self._shop.marketplace.store.find(SourceKind(captured["kind"]), captured["identity"])
        if base is None or base.digest != captured["digest"]:
            raise NotFoundError(f"the base {captured['identity']} was removed while the build used it")
        return base

    def _plan(self, base: Capture) -> BuildRecord:
        def work() -> JsonValue:
            customizers, validators = planning.fetch_inputs(
                self._request, self._shop.inputs, cancel=self.cancel
            )
            with _planning_lock(self._shop, self.cancel):
                versions = known_versions(self._shop, planning.shared_image(self._template).gallery_image_id)
                plan = planning.make_plan(
                    self._request,
                    base,
                    customizer_inputs=customizers,
                    validator_inputs=validators,
                    versions=versions,
                )
                self._shop.records.put(self._fresh_record(plan))
            self._announce(plan)
            return plan.build_id

        build_id = self._context.step("plan", work)
        self._record = self._shop.records.get(build_id)
        return self._record

    def _customise(
        self, base: Capture, plan: BuildPlan, layers: LayerStore
    ) -> list[tuple[PlannedStep, Layer]]:
        made: list[tuple[PlannedStep, Layer]] = []
        for step in plan.steps:
            parents = [layer for _, layer in made]
            work = functools.partial(self._make_layer, base, plan, step, parents, layers)
            key = self._stage(
                f"step-{step.index}",
                f"{step.index} {step.name}",
                work,
                log=self._log(plan, step),
            )
            layer = layers.find(key["key"])
            if layer is None:
                # Removed by hand between two attempts of the job: made again outside of its step.
                work(lambda _: None)
                layer = layers.find(key["key"])
                assert layer is not None
            made.append((step, layer))
        return made

    def _make_layer(
        self,
        base: Capture,
        plan: BuildPlan,
        step: PlannedStep,
        parents: list[Layer],
        layers: LayerStore,
        _: Callable[[str], None],
    ) -> StageNote:
        reused = layers.find(step.key) is not None
        layer = customising.make_layer(
            self._shop,
            layers,
            self._template,
            base,
            step,
            parents,
            template_name=self._request.name,
            log=self._log(plan, step),
            cancel=self.cancel,
        )
        outcome = StepOutcome(
            index=step.index,
            name=step.name,
            key=step.key,
            layer_digest=layer.digest,
            reused=reused,
            seconds=0.0 if reused else layer.seconds,
        )
        self._add_outcome(outcome)
        if not reused:
            self._whole.add(layer.key)
        return StageNote(value={"key": layer.key}, reused=reused)

    def _start_checking(self, layers: LayerStore, base: Capture, plan: BuildPlan) -> "Future[None]":
        """Whether the base and the layers there are as they were made, looked at meanwhile."""
        found = [layer for step in plan.steps if (layer := layers.find(step.key)) is not None]
        pool = ThreadPoolExecutor(1, thread_name_prefix="check")
        try:
            return pool.submit(self._check_whole, layers, base, found)
        finally:
            pool.shutdown(wait=False)

    def _await_check(self, checked: "Future[None]", layers: LayerStore) -> None:
        """Raises CorruptError when the base or a layer was damaged; what was made on it is then gone."""
        try:
            checked.result()
        except CorruptError:
            # A layer made on damage would carry it on after what is below was made again.
            for outcome in self._current().outcomes:
                if not outcome.reused:
                    layers.remove(outcome.key)
            raise

    def _check_whole(self, layers: LayerStore, base: Capture, found: list[Layer]) -> None:
        """What was made earlier is still as it was made; looked at once in an attempt."""
        unknown = [layer for layer in found if layer.key not in self._whole]
        if unknown or base.digest not in self._whole:
            assembling.verify(self._shop, layers, base, unknown)
        self._whole |= {base.digest, *(layer.key for layer in unknown)}

    def _assemble(self, root: Root, plan: BuildPlan, layers: LayerStore) -> JsonObject:
        def work(_: Callable[[str], None]) -> StageNote:
            full, assembly = assembling.assemble(
                layers, root, plan, self._scratch(plan), size_bytes=self._disk_bytes(), cancel=self.cancel
            )
            return StageNote(
                value={"bootLayer": full.layers[-1].key, "assembly": plan_to_json(assembly)},
                text=f"{assembly.size_bytes >> 20} MiB",
            )

        value: JsonObject = self._stage("assemble", "assemble the disk", work)
        return value

    def _seal(
        self,
        assembled: JsonObject,
        root: Root,
        plan: BuildPlan,
        layers: LayerStore,
        planned: list[tuple[PlannedStep, Layer]],
        checked: "Future[None]",
    ) -> tuple[Path, JsonObject]:
        def work(note: Callable[[str], None]) -> StageNote:
            note("checking the base and the layers reused")
            self._await_check(checked, layers)
            self._check_whole(layers, root.base, [layer for _, layer in planned])
            note("taking the digest")
            scratch = self._scratch(plan)
            if not scratch.exists():
                self._assemble_again(scratch, assembled, root, layers)
            sealed = seal(scratch, cancel=self.cancel)
            self._shop.disks.mkdir(parents=True, exist_ok=True)
            scratch.replace(_disk_path(self._shop, sealed.digest))
            value = {**assembled, "diskDigest": sealed.digest, "sizeBytes": sealed.size_bytes}
            return StageNote(value=value, text=digest.hex_of(sealed.digest)[:16])

        value: JsonObject = self._stage("seal", "seal the disk", work)
        disk = _disk_path(self._shop, value["diskDigest"])
        if not disk.exists():
            self._assemble_again(disk, assembled, root, layers)
            seal(disk, cancel=self.cancel)
        return disk, value

    def _assemble_again(self, disk: Path, assembled: JsonObject, root: Root, layers: LayerStore) -> None:
        """The disk was cleaned away between two attempts; the same bytes are made again."""
        layer = layers.find(assembled["bootLayer"])
        if layer is None:
            raise NotFoundError(
                "the disk and its last layer were removed while the build used them",
                hint="run the same command again",
            )
        full = Root(base=root.base, layers=(*root.layers, layer))
        assembling.write_disk(layers, full, plan_from_json(assembled["assembly"]), disk, cancel=self.cancel)

    def _scratch(self, plan: BuildPlan) -> Path:
        return self._directory(plan) / "disk.raw"

    def _sbom(
        self,
        assembled: JsonObject,
        root: Root,
        plan: BuildPlan,
        layers: LayerStore,
        planned: list[tuple[PlannedStep, Layer]],
    ) -> JsonObject:
        def work(_: Callable[[str], None]) -> StageNote:
            boot = layers.find(assembled["bootLayer"])
            full = Root(base=root.base, layers=(*root.layers, *([boot] if boot else [])))
            document, counts = assembling.read_sbom(
                self._shop,
                layers,
                full,
                plan,
                planned,
                disk_digest=assembled["diskDigest"],
                work=self._directory(plan) / "sbom",
                cancel=self.cancel,
            )
            write_atomic(self._artifact(plan, ArtifactKind.SBOM), document)
            text = f"{counts['packages']} packages, {counts['debHashes']} with the hash of their .deb"
            return StageNote(value={"digest": digest.of_bytes(document)}, text=text)

        value: JsonObject = self._stage("sbom", "bill of materials", work)
        return value

    def _validate(
        self,
        disk: Path,
        disk_digest: str,
        base: Capture,
        plan: BuildPlan,
        planned: list[tuple[PlannedStep, Layer]],
    ) -> JsonObject:
        def work(note: Callable[[str], None]) -> StageNote:
            result = validate(
                self._spec(disk, disk_digest, base, plan),
                work=self._directory(plan) / "vm",
                evidence=self._directory(plan) / "evidence",
                cancel=self.cancel,
                who_brought=customising.who_brought(base, planned),
                on_note=note,
            )
            self._keep_report(plan, result)
            if not result.ok and not self._template.validate.continue_distribute_on_failure:
                raise self._validation_error(_validated(result))
            seconds = result.boot_seconds.get("total", 0.0)
            text = f"{len(result.findings)} checks, boot {seconds:.1f} s" if result.ok else "FAILED"
            return StageNote(value=_validated(result), text=text)

        value: JsonObject = self._stage("validate", "boot and validate", work)
        return value

    def _validate_source(self, base: Capture, plan: BuildPlan, layers: LayerStore) -> JsonObject:
        """validate.sourceValidationOnly: the base alone is booted and tested; nothing is published."""
        checked = self._start_checking(layers, base, plan)
        root = Root(base=base, layers=())
        assembled = self._assemble(root, plan, layers)
        disk, sealed = self._seal(assembled, root, plan, layers, [], checked)
        validated = self._validate(disk, sealed["diskDigest"], base, plan, [])
        result: JsonObject = {
            "buildId": plan.build_id,
            "source": plan.base_urn,
            "diskDigest": assembled["diskDigest"],
            "passed": validated["passed"],
        }
        if not validated["passed"]:
            raise self._validation_error(validated)
        self._update(state=BuildState.SUCCEEDED, finished_at=self._now(), result=result)
        return result

    def _release(
        self,
        disk: Path,
        assembled: JsonObject,
        sbom: JsonObject,
        validated: JsonObject,
        plan: BuildPlan,
    ) -> JsonObject:
        measurements = self._artifact(plan, ArtifactKind.MEASUREMENTS)
        image = SealedImage(
            path=disk,
            disk_digest=assembled["diskDigest"],
            size_bytes=assembled["sizeBytes"],
            sbom=self._artifact(plan, ArtifactKind.SBOM).read_bytes(),
            report=self._artifact(plan, ArtifactKind.TEST_REPORT).read_bytes(),
            measurements=measurements.read_bytes() if measurements.exists() else None,
            golden=validated["golden"],
            boot_seconds=validated["bootSeconds"],
        )
        assert digest.of_bytes(image.sbom) == sbom["digest"]

        def sign(_: Callable[[str], None]) -> StageNote:
            files = releasing.evidence_files(
                plan,
                self._current().outcomes,
                image,
                template=self._template,
                keys=self._shop.keys,
                started=parse_iso(self.started),
                finished=self._shop.clock.now(),
            )
            for kind, content in files.items():
                write_atomic(self._artifact(plan, kind), content)
            key = self._shop.keys.signer().key_id
            return StageNote(value=[kind.value for kind in sorted(files)], text=f"key {key[:16]}")

        kinds = self._stage("sign", "sign the provenance", sign)

        def publish(_: Callable[[str], None]) -> StageNote:
            files = {
                ArtifactKind(kind): self._artifact(plan, ArtifactKind(kind)).read_bytes() for kind in kinds
            }
            version = releasing.publish(
                plan,
                image,
                files,
                template=self._template,
                distributor=planning.shared_image(self._template),
                regions=self._shop.regions,
                stores=self._shop.stores,
                gallery=self._shop.gallery,
                clock=self._shop.clock,
                actor=self._shop.actor,
                passed=validated["passed"],
                cancel=self.cancel,
            )
            releasing.index(self._shop.database, version, image.sbom)
            return StageNote(value=_published(version), text=f"{plan.version}")

        value: JsonObject = self._stage("publish", "publish", publish)
        return value

    def _compare(self, plan: BuildPlan, disk_digest: str) -> JsonObject:
        """The end of a rebuild: the digest against that of the version it repeats."""
        version = galleries.show_version(self._shop.gallery, releasing.version_id(plan))
        assert version.evidence is not None
        published = version.evidence.disk_digest
        result = {
            "buildId": plan.build_id,
            "versionId": str(version.id),
            "diskDigest": disk_digest,
            "passed": True,
            "unchanged": published == disk_digest,
        }
        remove_tree(self._shop.state / "rebuilds" / plan.build_id)
        if published != disk_digest:
            raise Error(
                f"the rebuild of {version.id} gave disk {disk_digest}, published is {published}",
                code="NotReproducible",
                hint="a step depends on something that is not pinned: time, network or random numbers",
            )
        return result

    # Helpers

    def failed(self, error: Error) -> None:
        """Write down how the build ended, for `resume`, `shell` and `list`; nothing before a plan."""
        if self._record is None:
            return
        failure = getattr(error, "failure", None)
        state = BuildState.CANCELED if isinstance(error, CanceledError) else BuildState.FAILED
        if self._request.rebuild:
            return
        record = self._current()
        kept = failure if isinstance(failure, StepFailure) else record.failure
        self._update(state=state, finished_at=self._now(), error=error.message, failure=kept)

    def _stage(
        self,
        name: str,
        title: str,
        work: Callable[[Callable[[str], None]], StageNote],
        *,
        log: Path | None = None,
    ) -> Any:
        """Run `work` as the durable step `name`, with events around it."""
        kind = name if not name.startswith("step-") else f"{self._request.name}/{title}"

        def step() -> JsonValue:
            expected = self._shop.history.expected_seconds(kind)
            self._context.emit(
                "stage.started",
                stage=name,
                title=title,
                expected_seconds=expected,
                log=str(log) if log else "",
            )
            started = time.monotonic()
            try:
                with no_space(self._shop.state):
                    note = work(lambda text: self._context.emit("stage.note", stage=name, text=text))
            except Error as error:
                self._remember_failure(error)
                self._context.emit("stage.failed", stage=name, error=error.message)
                raise
            seconds = time.monotonic() - started
            if not note.reused:
                self._shop.history.add(kind, seconds)
            self._context.emit(
                "stage.finished",
                stage=name,
                seconds=round(seconds, 2),
                reused=note.reused,
                text=note.text,
            )
            return note.value

        return self._context.step(name, step)

    def _remember_failure(self, error: Error) -> None:
        # Recorded at once: a replay gets the error back as plain data.
        failure = getattr(error, "failure", None)
        if isinstance(failure, StepFailure) and self._record is not None and not self._request.rebuild:
            self._update(failure=failure)

    def _announce(self, plan: BuildPlan) -> None:
        stages: list[JsonValue] = [{"name": "capture", "title": "capture the base"}]
        rest = {"assemble": "assemble the disk", "seal": "seal the disk"}
        if self._template.validate.source_validation_only:
            rest |= {"validate": "boot and validate"}
        else:
            stages += [{"name": f"step-{s.index}", "title": f"{s.index} {s.name}"} for s in plan.steps]
        if not (self._request.rebuild or self._template.validate.source_validation_only):
            rest |= {
                "sbom": "bill of materials",
                "validate": "boot and validate",
                "sign": "sign the provenance",
                "publish": "publish",
            }
        stages += [{"name": name, "title": title} for name, title in rest.items()]
        target = parse_resource_id(plan.definition_id)
        self._context.emit(
            "build.started",
            title=f"{'/'.join(target.names)}/{plan.version}, build {plan.build_id}",
            build_id=plan.build_id,
            version=plan.version,
            definition=plan.definition_id,
            stages=stages,
        )
        for warning in _warnings(self._template):
            self._context.emit("note", text=warning)

    def _fresh_record(self, plan: BuildPlan) -> BuildRecord:
        earlier = self._shop.records.find(plan.build_id)
        if self._request.rebuild and earlier is not None:
            return earlier
        if self._template.error_handling.on_customizer_error is OnBuildError.CLEANUP:
            _discard_failures(self._shop, self._request.name)
        return BuildRecord(
            plan=plan,
            job_id=self._context.job_id,
            state=BuildState.RUNNING,
            template=self._request.document,
            template_path=self._request.path,
            started_at=self.started,
        )

    def _current(self) -> BuildRecord:
        assert self._record is not None
        return self._record

    def _update(self, **changes: Any) -> None:
        self._record = replace(self._current(), **changes)
        if not self._request.rebuild:
            self._shop.records.put(self._record)

    def _add_outcome(self, outcome: StepOutcome) -> None:
        others = tuple(item for item in self._current().outcomes if item.index != outcome.index)
        self._update(outcomes=tuple(sorted((*others, outcome), key=lambda item: item.index)))

    def _check_definition(self) -> None:
        definition = galleries.show_definition(
            self._shop.gallery, planning.definition_id(planning.shared_image(self._template))
        )
        if requires_trusted_launch(definition) and self._shop.boot_means().secure_boot is None:
            raise UnsupportedError(
                f"{definition.id} asks for Trusted Launch, which needs Secure Boot firmware and swtpm here",
                hint="run 'goldsmith doctor' to see what to install",
            )
        for region in releasing.target_regions(self._template, planning.shared_image(self._template)):
            self._shop.regions.get(region.name)

    def _layers(self, plan: BuildPlan) -> LayerStore:
        if self._request.rebuild:
            return self._shop.layers_at(self._shop.state / "rebuilds" / plan.build_id)
        layers = self._shop.layers
        layers.sweep()
        return layers

    def _spec(self, disk: Path, disk_digest: str, base: Capture, plan: BuildPlan) -> ValidationSpec:
        definition = galleries.show_definition(self._shop.gallery, parse_resource_id(plan.definition_id))
        trusted = requires_trusted_launch(definition)
        means = self._shop.boot_means()
        firmware = means.secure_boot if trusted else means.plain or means.secure_boot
        if firmware is None:
            raise UnsupportedError(
                "no UEFI firmware for machines is installed here", hint="run 'goldsmith doctor'"
            )
        _, validators = planning.fetch_inputs(self._request, self._shop.inputs, cancel=self.cancel)
        steps: list[tuple[str, Shell | File, Path | None]] = []
        for step, files in zip(templates.validation_steps(self._template), validators, strict=True):
            assert isinstance(step.action, Shell | File)
            path = self._shop.inputs.path(files[0].digest) if files else None
            steps.append((step.name, step.action, path))
        return ValidationSpec(
            disk=disk,
            disk_digest=disk_digest,
            firmware=firmware,
            accelerator=means.accelerator,
            trusted_launch=trusted,
            expected_tattoo=None
            if self._template.validate.source_validation_only
            else tattoo_text.to_text(planning.tattoo_of(plan, base)),
            suites=suites_of(steps),
        )

    def _keep_report(self, plan: BuildPlan, result: ValidationResult) -> None:
        report = self._artifact(plan, ArtifactKind.TEST_REPORT)
        write_atomic(report, pretty(result.report).encode())
        measured = self._artifact(plan, ArtifactKind.MEASUREMENTS)
        if result.measurements is None:
            measured.unlink(missing_ok=True)
        else:
            write_atomic(measured, pretty(result.measurements).encode())

    def _validation_error(self, validated: JsonObject) -> ValidationError:
        failures = validated["failures"]
        record = self._current()
        told = [
            (
                item["name"],
                item["message"] + (f"; brought in by {item['broughtBy']}" if item["broughtBy"] else ""),
            )
            for item in failures
        ]
        return ValidationError(
            f"validation failed: {': '.join(told[0])}",
            details=[*told, ("evidence", str(self._directory(record.plan) / "evidence"))],
            hint=f"repair the step, then: goldsmith image resume {self._request.name}",
        )

    def _disk_bytes(self) -> int | None:
        size = self._template.vm_profile.os_disk_size_gb
        return size * _GIB if size else None

    def _directory(self, plan: BuildPlan) -> Path:
        return self._shop.records.directory(plan.build_id)

    def _artifact(self, plan: BuildPlan, kind: ArtifactKind) -> Path:
        return self._directory(plan) / "artifacts" / f"image.{kind.value}"

    def _log(self, plan: BuildPlan, step: PlannedStep) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in step.name)
        return self._directory(plan) / "logs" / f"{step.index:02d}-{safe}.log"

    def _now(self) -> str:
        return iso(self._shop.clock.now())


def known_versions(workshop: Workshop, gallery_image_id: str) -> Versions:
    """The versions the definition has, and every build record there is."""
    identity = parse_resource_id(gallery_image_id)
    if len(identity.names) == 3:
        assert identity.parent is not None
        identity = identity.parent
    published = galleries.list_versions(workshop.gallery, identity)
    return Versions(
        published=tuple(str(version.name) for version in published if version.evidence is not None),
        records=tuple(workshop.records.list()),
    )


@contextlib.contextmanager
def _planning_lock(workshop: Workshop, cancel: Cancel) -> Iterator[None]:
    """Held while a version is chosen and written down, so that two builds never choose the same."""
    lock = FileLock(workshop.state / "locks" / "planning.lock")
    while not lock.try_acquire():
        cancel.check()
        time.sleep(_PLANNING_WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _disk_path(workshop: Workshop, disk_digest: str) -> Path:
    return workshop.disks / f"{digest.hex_of(disk_digest)}.raw"


def _discard_failures(workshop: Workshop, template_name: str) -> None:
    """Drop the kept state of the template's earlier failures, as errorHandling cleanup asks."""
    for record in workshop.records.list(template_name=template_name):
        if record.failure is not None and record.failure.kept:
            workshop.layers.sandbox.call("remove", {"path": record.failure.kept})


def _validated(result: ValidationResult) -> JsonObject:
    golden = result.measurements["golden"] if result.measurements else {}
    return {
        "passed": result.ok,
        "golden": golden,
        "bootSeconds": dict(result.boot_seconds),
        "failures": [_failure(finding) for finding in result.failures],
    }


def _failure(finding: Finding) -> JsonObject:
    return {"name": finding.name, "message": finding.message, "broughtBy": finding.brought_by}


def _published(version: ImageVersion) -> JsonObject:
    return {"versionId": str(version.id), "excludeFromLatest": version.publishing.exclude_from_latest}


def _warnings(template: ImageTemplate) -> list[str]:
    found = list(template.warnings)
    if template.optimize.vm_boot.state is State.ENABLED:
        found.append("optimize.vmBoot has no effect here: disks are assembled compactly anyway")
    if template.optimize.workload.state is State.ENABLED:
        found.append("optimize.workload has no effect here")
    return found

"""The first stages: the base is there, a version is chosen, and the whole build is planned and announced."""

import contextlib
import time
from collections.abc import Callable, Iterator

from goldsmith.gallery import service as galleries
from goldsmith.gallery.logic import requires_trusted_launch
from goldsmith.imagetemplate.model import ImageTemplate, OnBuildError, State
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import NotFoundError, UnsupportedError
from goldsmith.kernel.files import FileLock
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.marketplace.model import Capture, SourceKind
from goldsmith.marketplace.ports import Progress
from goldsmith.publishing import bases, planning, releasing
from goldsmith.publishing.attempt import Attempt, StageNote
from goldsmith.publishing.disks import disk_of_version
from goldsmith.publishing.model import BuildPlan, BuildRecord, BuildState
from goldsmith.publishing.planning import Versions
from goldsmith.publishing.workshop import Workshop

_PLANNING_WAIT_SECONDS = 0.1


def capture(attempt: Attempt) -> Capture:
    template = attempt.template
    planning.refuse(template)
    _check_definition(attempt)

    def work(note: Callable[[str], None]) -> StageNote:
        known = {one.digest for one in attempt.shop.marketplace.store.list()}
        done: set[str] = set()

        def progress(step: Progress) -> None:
            if step.stage.value not in done:
                done.add(step.stage.value)
                note(step.stage.value)

        base = bases.capture(
            attempt.shop,
            template.source,
            location=template.location,
            disk_of=lambda version: disk_of_version(attempt.shop, version, cancel=attempt.cancel),
            cancel=attempt.cancel,
            on_progress=progress,
        )
        value: JsonObject = {
            "kind": base.kind.value,
            "identity": base.identity,
            "digest": base.digest,
        }
        return StageNote(value=value, text=base.identity, reused=base.digest in known)

    captured = attempt.stage("capture", "capture the base", work)
    base = attempt.shop.marketplace.store.find(SourceKind(captured["kind"]), captured["identity"])
    if base is None or base.digest != captured["digest"]:
        raise NotFoundError(f"the base {captured['identity']} was removed while the build used it")
    return base


def _check_definition(attempt: Attempt) -> None:
    definition = galleries.show_definition(
        attempt.shop.gallery, planning.definition_id(planning.shared_image(attempt.template))
    )
    if requires_trusted_launch(definition) and attempt.shop.boot_means().secure_boot is None:
        raise UnsupportedError(
            f"{definition.id} asks for Trusted Launch, which needs Secure Boot firmware and swtpm here",
            hint="run 'goldsmith doctor' to see what to install",
        )
    for region in releasing.target_regions(attempt.template, planning.shared_image(attempt.template)):
        attempt.shop.regions.get(region.name)


def plan(attempt: Attempt, base: Capture) -> BuildRecord:
    def work() -> JsonValue:
        customizers, validators = planning.fetch_inputs(
            attempt.request, attempt.shop.inputs, cancel=attempt.cancel
        )
        with _planning_lock(attempt.shop, attempt.cancel):
            versions = known_versions(attempt.shop, planning.shared_image(attempt.template).gallery_image_id)
            plan = planning.make_plan(
                attempt.request,
                base,
                customizer_inputs=customizers,
                validator_inputs=validators,
                versions=versions,
            )
            attempt.shop.records.put(_fresh_record(attempt, plan))
        _announce(attempt, plan)
        return plan.build_id

    build_id = attempt.context.step("plan", work)
    attempt.record = attempt.shop.records.get(build_id)
    return attempt.record


def _announce(attempt: Attempt, plan: BuildPlan) -> None:
    stages: list[JsonValue] = [{"name": "capture", "title": "capture the base"}]
    rest = {"assemble": "assemble the disk", "seal": "seal the disk"}
    if attempt.template.validate.source_validation_only:
        rest |= {"validate": "boot and validate"}
    else:
        stages += [{"name": f"step-{s.index}", "title": f"{s.index} {s.name}"} for s in plan.steps]
    if not (attempt.request.rebuild or attempt.template.validate.source_validation_only):
        rest |= {
            "sbom": "bill of materials",
            "validate": "boot and validate",
            "sign": "sign the provenance",
            "publish": "publish",
        }
    stages += [{"name": name, "title": title} for name, title in rest.items()]
    target = parse_resource_id(plan.definition_id)
    attempt.context.emit(
        "build.started",
        title=f"{'/'.join(target.names)}/{plan.version}, build {plan.build_id}",
        build_id=plan.build_id,
        version=plan.version,
        definition=plan.definition_id,
        stages=stages,
    )
    for warning in _warnings(attempt.template):
        attempt.context.emit("note", text=warning)


def _fresh_record(attempt: Attempt, plan: BuildPlan) -> BuildRecord:
    earlier = attempt.shop.records.find(plan.build_id)
    if attempt.request.rebuild and earlier is not None:
        return earlier
    if attempt.template.error_handling.on_customizer_error is OnBuildError.CLEANUP:
        _discard_failures(attempt.shop, attempt.request.name)
    return BuildRecord(
        plan=plan,
        job_id=attempt.context.job_id,
        state=BuildState.RUNNING,
        template=attempt.request.document,
        template_path=attempt.request.path,
        started_at=attempt.started,
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


def _discard_failures(workshop: Workshop, template_name: str) -> None:
    """Drop the kept state of the template's earlier failures, as errorHandling cleanup asks."""
    for record in workshop.records.list(template_name=template_name):
        if record.failure is not None and record.failure.kept:
            workshop.layers.sandbox.call("remove", {"path": record.failure.kept})


def _warnings(template: ImageTemplate) -> list[str]:
    found = list(template.warnings)
    if template.optimize.vm_boot.state is State.ENABLED:
        found.append("optimize.vmBoot has no effect here: disks are assembled compactly anyway")
    if template.optimize.workload.state is State.ENABLED:
        found.append("optimize.workload has no effect here")
    return found

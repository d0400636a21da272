"""One image build from request to published version, as a durable job: stage after stage, each recorded."""

from datetime import timedelta

from goldsmith.disk.layers import LayerStore
from goldsmith.jobs.context import JobContext
from goldsmith.kernel.cancel import Deadline
from goldsmith.kernel.clock import iso
from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonObject
from goldsmith.marketplace.model import Capture
from goldsmith.publishing.assembling import Root
from goldsmith.publishing.attempt import Attempt
from goldsmith.publishing.model import BuildPlan, BuildState
from goldsmith.publishing.request import from_json
from goldsmith.publishing.stages import capture, customise, disk, proof, release
from goldsmith.publishing.workshop import Workshop

KIND = "image-build"


def run(workshop: Workshop, context: JobContext, arguments: JsonObject) -> JsonObject:
    """The job function. Returns `{buildId, versionId, diskDigest, unchanged}`.

    Every stage is a step of the job: what is recorded does not run again after a crash, and each stage can
    be repeated without harm when it was interrupted.
    """
    request = from_json(arguments)
    started = context.now()
    limit = timedelta(minutes=request.template.build_timeout_in_minutes)
    cancel = Deadline(
        context.cancel,
        workshop.clock,
        seconds=(started + limit - workshop.clock.now()).total_seconds(),
        what=f"the build took longer than its buildTimeoutInMinutes of {limit.total_seconds() / 60:.0f}",
    )
    attempt = Attempt(workshop, context, request, started=iso(started), cancel=cancel)
    try:
        return _build(attempt)
    except Error as error:
        attempt.failed(error)
        raise


def _build(attempt: Attempt) -> JsonObject:
    base = capture.capture(attempt)
    record = capture.plan(attempt, base)
    plan = record.plan
    layers = customise.layers_of(attempt, plan)
    if attempt.template.validate.source_validation_only:
        return _validate_source(attempt, base, plan, layers)
    # Beside the steps and the writing of the disk, which leave a core free most of the time.
    checked = customise.start_checking(attempt, layers, base, plan)
    try:
        planned = customise.customise(attempt, base, plan, layers)
        root = Root(base=base, layers=tuple(layer for _, layer in planned))
        assembled = disk.assemble(attempt, root, plan, layers)
    except Error:
        # Damage below may be why it failed, and is then what must be told.
        customise.await_check(attempt, checked, layers)
        raise
    path, sealed = disk.seal_disk(attempt, assembled, root, plan, layers, planned, checked)
    if attempt.request.rebuild:
        return release.compare(attempt, plan, sealed["diskDigest"])
    sbom = proof.read_sbom(attempt, sealed, root, plan, layers, planned)
    validated = proof.validate_disk(attempt, path, sealed["diskDigest"], base, plan, planned)
    version = release.release(attempt, path, sealed, sbom, validated, plan)
    result = {
        "buildId": plan.build_id,
        "versionId": str(version["versionId"]),
        "diskDigest": sealed["diskDigest"],
        "passed": validated["passed"],
        "unchanged": False,
    }
    if not validated["passed"]:
        raise proof.validation_error(attempt, validated)
    attempt.update(state=BuildState.SUCCEEDED, finished_at=attempt.now(), result=result | version)
    return result


def _validate_source(attempt: Attempt, base: Capture, plan: BuildPlan, layers: LayerStore) -> JsonObject:
    """validate.sourceValidationOnly: the base alone is booted and tested; nothing is published."""
    checked = customise.start_checking(attempt, layers, base, plan)
    root = Root(base=base, layers=())
    assembled = disk.assemble(attempt, root, plan, layers)
    path, sealed = disk.seal_disk(attempt, assembled, root, plan, layers, [], checked)
    validated = proof.validate_disk(attempt, path, sealed["diskDigest"], base, plan, [])
    result: JsonObject = {
        "buildId": plan.build_id,
        "source": plan.base_urn,
        "diskDigest": sealed["diskDigest"],
        "passed": validated["passed"],
    }
    if not validated["passed"]:
        raise proof.validation_error(attempt, validated)
    attempt.update(state=BuildState.SUCCEEDED, finished_at=attempt.now(), result=result)
    return result

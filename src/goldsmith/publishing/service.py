"""Use cases of image builds: start one or join the one that runs, explain, resume, look inside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.jobs.engine import JobEngine
from goldsmith.jobs.model import Job, JobState
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.clock import iso
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.marketplace.model import Capture
from goldsmith.publishing import bases, logic, pipeline, planning, releasing
from goldsmith.publishing.model import BuildPlan, BuildRecord, BuildState
from goldsmith.publishing.request import BuildRequest, to_json
from goldsmith.publishing.stages.capture import known_versions
from goldsmith.publishing.workshop import Workshop


def check(workshop: Workshop, request: BuildRequest) -> None:
    """Raises for whatever can be seen to be wrong before anything is done."""
    template = request.template
    planning.refuse(template)
    planning.check_emergency(request.emergency)
    distributor = planning.shared_image(template)
    target = planning.definition_id(distributor)
    if workshop.gallery.definition(target) is None:
        raise NotFoundError(
            f"the template distributes to {target}, but there is no such image definition",
            hint="build with --create-definition, or make it with 'goldsmith gallery definition create'",
        )
    for region in releasing.target_regions(template, distributor):
        workshop.regions.get(region.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The plan a build would have now; `base` is None (and so is `plan`) while it is not captured."""

    base: Capture | None
    plan: BuildPlan | None
    unchanged: BuildRecord | None


def preview(workshop: Workshop, request: BuildRequest, *, cancel: Cancel) -> Preview:
    """What would be built, without building or reserving anything.

    Raises what `check` raises, UnavailableError when `latest` cannot be resolved, and errors of files the
    template names.
    """
    check(workshop, request)
    template = request.template
    base = bases.find_captured(workshop, template.source, location=template.location, cancel=cancel)
    if base is None:
        return Preview(base=None, plan=None, unchanged=None)
    customizers, validators = planning.fetch_inputs(request, workshop.inputs, cancel=cancel)
    versions = known_versions(workshop, planning.shared_image(template).gallery_image_id)
    plan = planning.make_plan(
        request, base, customizer_inputs=customizers, validator_inputs=validators, versions=versions
    )
    return Preview(base=base, plan=plan, unchanged=planning.unchanged(plan, versions))


def submit(workshop: Workshop, jobs: JobEngine, request: BuildRequest) -> tuple[Job, bool]:
    """The job that builds the request, and whether it was there before.

    Asking for what is being built joins that build; another build of the same template may run beside it.
    """
    check(workshop, request)
    subject = _subject(request.name)
    for job in jobs.find(subject=subject, states=(JobState.QUEUED, JobState.RUNNING)):
        if job.arguments.get("requestDigest") == request.digest and not job.cancel_requested:
            return job, True
    count = len(jobs.find(subject=subject, limit=100_000))
    short = digest.hex_of(digest.of_value([request.digest, count]))[:12]
    arguments: JsonObject = {**to_json(request), "requestDigest": request.digest}
    return jobs.submit(
        pipeline.KIND, arguments, job_id=f"build-{request.name}-{count + 1}-{short}", subject=subject
    ), False


def explain(
    workshop: Workshop, request: BuildRequest, *, cancel: Cancel
) -> tuple[Preview, list[logic.Explanation]]:
    """For each step of the template: reused, or why it runs. Without a captured base every step runs."""
    seen = preview(workshop, request, cancel=cancel)
    if seen.plan is None:
        return seen, []
    previous = last_build(workshop, request.name)
    layers = workshop.layers
    return seen, logic.explain(
        seen.plan,
        previous.plan if previous else None,
        has_layer=lambda key: layers.find(key) is not None,
        failure=previous.failure if previous else None,
    )


def last_build(workshop: Workshop, name: str) -> BuildRecord | None:
    """The newest build of a template."""
    records = workshop.records.list(template_name=name)
    return records[0] if records else None


def find_build(workshop: Workshop, reference: str) -> BuildRecord:
    """A build by its id (or the beginning of one), its template's name, or its template's path.

    Raises NotFoundError.
    """
    path = Path(reference)
    if path.suffix in (".json", ".yaml", ".yml"):
        wanted = str(path.absolute())
        for record in workshop.records.list():
            if record.template_path == wanted:
                return record
    newest = last_build(workshop, reference)
    return newest if newest is not None else workshop.records.get(reference)


def interrupted(workshop: Workshop, jobs: JobEngine) -> list[BuildRecord]:
    """Builds that stand as running although their job has ended: their process was lost; marked failed."""
    found = []
    for record in workshop.records.list():
        if record.state is not BuildState.RUNNING:
            continue
        try:
            job = jobs.get(record.job_id)
        except NotFoundError:
            continue
        if job.state.ended:
            message = job.error.message if job.error else "it ended without a word"
            ended = replace(
                record, state=BuildState.FAILED, error=message, finished_at=iso(workshop.clock.now())
            )
            workshop.records.put(ended)
            found.append(ended)
    return found


def failed_build(workshop: Workshop, reference: str | None) -> BuildRecord:
    """The build to resume or to look into: the one named, else the newest, if it failed in a step or later.

    Raises NotFoundError and ConflictError.
    """
    if reference is not None:
        record = find_build(workshop, reference)
    else:
        records = [r for r in workshop.records.list() if r.state is not BuildState.SUCCEEDED]
        if not records:
            raise NotFoundError("no build has failed", hint="'goldsmith image list' shows the builds")
        record = records[0]
    if record.state is BuildState.SUCCEEDED:
        raise ConflictError(
            f"build {record.plan.build_id} of {record.plan.template_name} succeeded",
            hint="there is nothing to resume; 'goldsmith image build' builds the template anew",
        )
    return record


def shell_argv(
    workshop: Workshop, record: BuildRecord, *, command: Sequence[str] = ()
) -> tuple[list[str], str]:
    """The command that enters the root as the failed step left it, and a line saying which step that is.

    Raises InvalidInputError when the build failed in no step, or its state was cleaned away.
    """
    failure = record.failure
    upper = Path(failure.kept) / "diff" if failure else None
    if failure is None or upper is None or not upper.is_dir():
        raise InvalidInputError(
            f"build {record.plan.build_id} kept no failed step: {record.error or record.state.value}",
            hint="only a step that failed leaves its state; the next build of the template removes it",
        )
    layers = workshop.layers
    parents = []
    for step in record.plan.steps:
        if step.key == failure.key:
            break
        layer = layers.find(step.key)
        if layer is None:
            raise NotFoundError(
                f"the layer of step {step.index} ({step.name}) was removed",
                hint=f"build it again: goldsmith image resume {record.plan.template_name}",
            )
        parents.append(layer)
    base = base_of(workshop, record.plan)
    argv = layers.shell_argv(base=base.root, parents=parents, upper=upper, epoch=base.epoch, command=command)
    return argv, f"step {failure.index} ({failure.name}) of {record.plan.template_name}, as it failed"


def base_of(workshop: Workshop, plan: BuildPlan) -> Capture:
    for capture in workshop.marketplace.store.list():
        if capture.digest == plan.base_digest:
            return capture
    raise NotFoundError(f"the base {plan.base_urn} was removed")


def _subject(name: str) -> str:
    return f"imageTemplates/{name.lower()}"

"""From a request and its captured base to a plan: files fetched, steps keyed, version reserved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from goldsmith.imagetemplate import logic as templates
from goldsmith.imagetemplate.model import (
    Customizer,
    File,
    ImageTemplate,
    OsType,
    SharedImageDistributor,
    Shell,
    Validator,
)
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import InvalidInputError, UnsupportedError
from goldsmith.kernel.ids import ResourceId, parse_resource_id
from goldsmith.kernel.json import JsonObject
from goldsmith.marketplace.model import Capture, SourceKind
from goldsmith.publishing import logic
from goldsmith.publishing.inputs import InputStore
from goldsmith.publishing.model import (
    BuildPlan,
    BuildRecord,
    BuildState,
    Emergency,
    PlannedStep,
    StepInput,
    StepKind,
)
from goldsmith.publishing.request import BuildRequest
from goldsmith.publishing.sealing import SEAL_SCRIPT
from goldsmith.tattoo import text as tattoo_text
from goldsmith.tattoo.model import Tattoo

# Files given to the image get this mode, unless they are programs where they come from.
_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What is known of the definition's versions: published ones, and those unfinished builds hold."""

    published: tuple[str, ...]
    records: tuple[BuildRecord, ...]


def shared_image(template: ImageTemplate) -> SharedImageDistributor:
    """Where the image goes. Raises UnsupportedError unless it is exactly one gallery."""
    found = [target for target in template.distribute if isinstance(target, SharedImageDistributor)]
    if len(found) != 1 or len(template.distribute) != 1:
        raise UnsupportedError(
            f"the template distributes to {len(template.distribute)} targets, expected one SharedImage",
            hint="distribute to a gallery image definition; "
            "'goldsmith gallery export' makes a VHD, qcow2 or raw file of any version",
        )
    return found[0]


def definition_id(distributor: SharedImageDistributor) -> ResourceId:
    """The image definition; a version in galleryImageId is left off."""
    identity = parse_resource_id(distributor.gallery_image_id)
    if identity.type.lower() == "microsoft.compute/galleries/images/versions":
        assert identity.parent is not None
        identity = identity.parent
    if identity.type.lower() != "microsoft.compute/galleries/images":
        raise InvalidInputError(
            f"galleryImageId {distributor.gallery_image_id} is no image definition",
            hint="expected .../providers/Microsoft.Compute/galleries/{gallery}/images/{definition}",
        )
    return identity


def fetch_inputs(
    request: BuildRequest, inputs: InputStore, *, cancel: Cancel
) -> tuple[list[tuple[StepInput, ...]], list[tuple[StepInput, ...]]]:
    """The files of every customizer and of every validator, fetched and checked.

    Raises NotFoundError, UnavailableError, InvalidInputError, each naming the customizer.
    """
    template = request.template

    def fetch(step: templates.Step, noun: str) -> tuple[StepInput, ...]:
        role, uri, checksum = _file_of(step.action)
        if uri is None:
            return ()
        where = f"{noun} {step.index + 1} '{step.name}'"
        directory = Path(request.directory)
        return (inputs.fetch(role, uri, checksum=checksum, directory=directory, cancel=cancel, where=where),)

    return (
        [fetch(step, "customizer") for step in templates.steps(template)],
        [fetch(step, "validator") for step in templates.validation_steps(template)],
    )


def _file_of(action: Customizer | Validator) -> tuple[str, str | None, str | None]:
    match action:
        case File(source_uri=uri, sha256_checksum=checksum):
            return "sourceUri", uri, checksum
        case Shell(script_uri=script, sha256_checksum=checksum):
            return "scriptUri", script, checksum
        case _:
            raise AssertionError(f"{type(action).__name__} was refused before")


def refuse(template: ImageTemplate) -> None:
    """Raises for whatever the template asks that cannot be done here, before anything is."""
    templates.refuse_unsupported(template, OsType.LINUX)
    definition_id(shared_image(template))
    if template.additional_data_disks:
        raise UnsupportedError(
            "the template asks for additional data disks, which image builds do not have here",
            hint="remove additionalDataDisks; attach data disks to machines made from the image",
        )


def make_plan(
    request: BuildRequest,
    base: Capture,
    *,
    customizer_inputs: Sequence[tuple[StepInput, ...]],
    validator_inputs: Sequence[tuple[StepInput, ...]],
    versions: Versions,
) -> BuildPlan:
    """Pure: equal arguments give the same plan, and nothing is done yet."""
    template = request.template
    distributor = shared_image(template)
    target = definition_id(distributor)
    steps = _customize_steps(template, base, customizer_inputs)
    template_digest = digest.of_value(
        [
            templates.template_digest(template),
            [[item.digest for item in group] for group in (*customizer_inputs, *validator_inputs)],
        ]
    )
    inputs = logic.inputs_digest(
        template_digest=template_digest,
        base_digest=base.digest,
        steps=steps,
        definition_id=str(target),
        emergency=request.emergency,
    )
    version, declared = _version(request, distributor, inputs, base, versions)
    build_id = logic.build_id(inputs=inputs, version=version, declared_date=declared)
    plan = BuildPlan(
        build_id=build_id,
        inputs_digest=inputs,
        template_name=request.name,
        template_digest=template_digest,
        base_urn=base.identity,
        base_digest=base.digest,
        base_epoch=base.epoch,
        definition_id=str(target),
        version=version,
        declared_date=declared,
        steps=(),
        emergency=request.emergency,
    )
    return replace(plan, steps=(*steps, *_own_steps(plan, base, steps)))


def unchanged(plan: BuildPlan, versions: Versions) -> BuildRecord | None:
    """The successful build this plan would repeat, if its version is still published."""
    for record in versions.records:
        if (
            record.state is BuildState.SUCCEEDED
            and record.plan.inputs_digest == plan.inputs_digest
            and record.plan.version in versions.published
            # One that only validated its source has published nothing.
            and "versionId" in record.result
        ):
            return record
    return None


def tattoo_of(plan: BuildPlan, base: Capture) -> Tattoo:
    urn = base.urn
    target = parse_resource_id(plan.definition_id)
    emergency = plan.emergency
    return Tattoo(
        source_publisher=urn.publisher if urn else base.kind.value,
        source_offer=urn.offer if urn else _last(base.identity),
        source_sku=urn.sku if urn else "",
        source_version=urn.version if urn else "",
        source_digest=base.digest,
        os_version=base.os_version,
        gallery=target.names[0],
        image_definition=target.names[1],
        image_version=plan.version,
        template_name=plan.template_name,
        template_digest=plan.template_digest,
        build_id=plan.build_id,
        publish_date=date.fromisoformat(plan.declared_date),
        out_of_band=emergency is not None,
        cves=emergency.cves if emergency else (),
        patch_date=date.fromisoformat(emergency.patch_date) if emergency else None,
    )


def check_emergency(emergency: Emergency | None) -> None:
    """Raises InvalidInputError for a CVE or a date that no tattoo could hold."""
    if emergency is None:
        return
    filler = "sha256:" + "0" * 64
    try:
        patch_date = date.fromisoformat(emergency.patch_date)
    except ValueError as error:
        raise InvalidInputError(
            f"the patch date '{emergency.patch_date}' is no date", hint="give --patch-date as YYYY-MM-DD"
        ) from error
    Tattoo(
        source_publisher="x",
        source_offer="x",
        source_sku="x",
        source_version="x",
        source_digest=filler,
        os_version="x",
        gallery="x",
        image_definition="x",
        image_version="x",
        template_name="x",
        template_digest=filler,
        build_id="x",
        publish_date=patch_date,
        out_of_band=True,
        cves=emergency.cves,
        patch_date=patch_date,
    )


def _customize_steps(
    template: ImageTemplate, base: Capture, inputs: Sequence[tuple[StepInput, ...]]
) -> tuple[PlannedStep, ...]:
    network = templates.network_open(template)
    planned: list[PlannedStep] = []
    parent = base.digest
    for step, files in zip(templates.steps(template), inputs, strict=True):
        kind, definition = _definition(step.action)
        one = logic.planned_step(
            index=step.index + 1,
            kind=kind,
            name=step.name,
            parent=parent,
            definition=definition,
            inputs=files,
            network_open=network and kind is StepKind.SHELL,
            epoch=base.epoch,
        )
        planned.append(one)
        parent = one.key
    return tuple(planned)


def _definition(action: Customizer) -> tuple[StepKind, JsonObject]:
    """What of a customizer decides its layer, beside the content of its file."""
    match action:
        case Shell(inline=lines, script_uri=None):
            return StepKind.SHELL, {"inline": list(lines)}
        case Shell():
            return StepKind.SHELL, {"script": True}
        case File(destination=destination):
            return StepKind.FILE, {"destination": destination, "mode": _FILE_MODE}
        case _:
            raise AssertionError(f"{type(action).__name__} was refused before")


def _own_steps(plan: BuildPlan, base: Capture, steps: Sequence[PlannedStep]) -> list[PlannedStep]:
    parent = steps[-1].key if steps else base.digest
    tattoo = logic.planned_step(
        index=len(steps) + 1,
        kind=StepKind.TATTOO,
        name="tattoo",
        parent=parent,
        definition={"files": dict(tattoo_text.files(tattoo_of(plan, base)))},
        epoch=base.epoch,
    )
    seal = logic.planned_step(
        index=len(steps) + 2,
        kind=StepKind.SEAL,
        name="seal",
        parent=tattoo.key,
        definition={"script": SEAL_SCRIPT},
        epoch=base.epoch,
    )
    return [tattoo, seal]


def _version(
    request: BuildRequest,
    distributor: SharedImageDistributor,
    inputs: str,
    base: Capture,
    versions: Versions,
) -> tuple[str, str]:
    """The version to make and the date it declares.

    A plan with the inputs of an earlier build takes that build's version and date; a build that failed
    leaves its version to the next build of its template.
    """
    target = str(definition_id(distributor)).lower()
    records = [record for record in versions.records if record.plan.definition_id.lower() == target]
    held = [record for record in records if record.plan.version not in versions.published]
    inherited = [
        record.plan.version
        for record in held
        if record.plan.template_name == request.name
        and record.state in (BuildState.FAILED, BuildState.CANCELED)
    ]
    taken_by_others = {
        record.plan.version
        for record in held
        if record.state is not BuildState.SUCCEEDED and record.plan.template_name != request.name
    }
    taken_by_others |= {record.plan.version for record in held if record.state is BuildState.RUNNING}
    for record in records:
        version, published = record.plan.version, record.plan.version in versions.published
        # A failed build's version may have gone to another build since, and versions never change.
        mine = published == (record.state is BuildState.SUCCEEDED) or (published and request.rebuild)
        own = record.state is BuildState.RUNNING and record.plan.template_name == request.name
        if mine and record.plan.inputs_digest == inputs and (own or version not in taken_by_others):
            return version, record.plan.declared_date
    explicit = templates.explicit_version(distributor)
    free = [version for version in inherited if version not in taken_by_others]
    if explicit is None and free:
        return free[0], request.declared_date
    existing = [*versions.published, *(taken_by_others if explicit is None else ())]
    source_version = base.identity.rsplit(":", 1)[-1] if base.kind is SourceKind.PLATFORM_IMAGE else "1.0.0"
    version = templates.version_to_publish(distributor, existing, source_version=source_version)
    return version, request.declared_date


def _last(identity: str) -> str:
    return identity.rstrip("/").rpartition("/")[2]

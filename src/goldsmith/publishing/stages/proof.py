"""What is in the sealed disk, and that it boots and passes: the bill of materials and the validation."""

from collections.abc import Callable
from pathlib import Path

from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.gallery import service as galleries
from goldsmith.gallery.logic import requires_trusted_launch
from goldsmith.gallery.model import ArtifactKind
from goldsmith.imagetemplate import logic as templates
from goldsmith.imagetemplate.model import File, Shell
from goldsmith.kernel import digest
from goldsmith.kernel.errors import Error, UnsupportedError
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.ids import parse_resource_id
from goldsmith.kernel.json import JsonObject, pretty
from goldsmith.marketplace.model import Capture
from goldsmith.publishing import assembling, customising, planning
from goldsmith.publishing.assembling import Root
from goldsmith.publishing.attempt import Attempt, StageNote
from goldsmith.publishing.model import BuildPlan, PlannedStep
from goldsmith.publishing.validation import Finding, ValidationResult, ValidationSpec, suites_of, validate
from goldsmith.tattoo import text as tattoo_text


class ValidationError(Error):
    """The image did not pass; `details` are the findings that failed."""

    code = "ValidationFailed"


def read_sbom(
    attempt: Attempt,
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
            attempt.shop,
            layers,
            full,
            plan,
            planned,
            disk_digest=assembled["diskDigest"],
            work=attempt.directory(plan) / "sbom",
            cancel=attempt.cancel,
        )
        write_atomic(attempt.artifact(plan, ArtifactKind.SBOM), document)
        text = f"{counts['packages']} packages, {counts['debHashes']} with the hash of their .deb"
        return StageNote(value={"digest": digest.of_bytes(document)}, text=text)

    value: JsonObject = attempt.stage("sbom", "bill of materials", work)
    return value


def validate_disk(
    attempt: Attempt,
    disk: Path,
    disk_digest: str,
    base: Capture,
    plan: BuildPlan,
    planned: list[tuple[PlannedStep, Layer]],
) -> JsonObject:
    def work(note: Callable[[str], None]) -> StageNote:
        result = validate(
            _spec(attempt, disk, disk_digest, base, plan),
            work=attempt.directory(plan) / "vm",
            evidence=attempt.directory(plan) / "evidence",
            cancel=attempt.cancel,
            who_brought=customising.who_brought(base, planned),
            on_note=note,
        )
        _keep_report(attempt, plan, result)
        if not result.ok and not attempt.template.validate.continue_distribute_on_failure:
            raise validation_error(attempt, _validated(result))
        seconds = result.boot_seconds.get("total", 0.0)
        text = f"{len(result.findings)} checks, boot {seconds:.1f} s" if result.ok else "FAILED"
        return StageNote(value=_validated(result), text=text)

    value: JsonObject = attempt.stage("validate", "boot and validate", work)
    return value


def _spec(attempt: Attempt, disk: Path, disk_digest: str, base: Capture, plan: BuildPlan) -> ValidationSpec:
    definition = galleries.show_definition(attempt.shop.gallery, parse_resource_id(plan.definition_id))
    trusted = requires_trusted_launch(definition)
    means = attempt.shop.boot_means()
    firmware = means.secure_boot if trusted else means.plain or means.secure_boot
    if firmware is None:
        raise UnsupportedError(
            "no UEFI firmware for machines is installed here", hint="run 'goldsmith doctor'"
        )
    _, validators = planning.fetch_inputs(attempt.request, attempt.shop.inputs, cancel=attempt.cancel)
    steps: list[tuple[str, Shell | File, Path | None]] = []
    for step, files in zip(templates.validation_steps(attempt.template), validators, strict=True):
        assert isinstance(step.action, Shell | File)
        path = attempt.shop.inputs.path(files[0].digest) if files else None
        steps.append((step.name, step.action, path))
    return ValidationSpec(
        disk=disk,
        disk_digest=disk_digest,
        firmware=firmware,
        accelerator=means.accelerator,
        trusted_launch=trusted,
        expected_tattoo=None
        if attempt.template.validate.source_validation_only
        else tattoo_text.to_text(planning.tattoo_of(plan, base)),
        suites=suites_of(steps),
    )


def _keep_report(attempt: Attempt, plan: BuildPlan, result: ValidationResult) -> None:
    report = attempt.artifact(plan, ArtifactKind.TEST_REPORT)
    write_atomic(report, pretty(result.report).encode())
    measured = attempt.artifact(plan, ArtifactKind.MEASUREMENTS)
    if result.measurements is None:
        measured.unlink(missing_ok=True)
    else:
        write_atomic(measured, pretty(result.measurements).encode())


def validation_error(attempt: Attempt, validated: JsonObject) -> ValidationError:
    failures = validated["failures"]
    record = attempt.current()
    told = [
        (
            item["name"],
            item["message"] + (f"; brought in by {item['broughtBy']}" if item["broughtBy"] else ""),
        )
        for item in failures
    ]
    return ValidationError(
        f"validation failed: {': '.join(told[0])}",
        details=[*told, ("evidence", str(attempt.directory(record.plan) / "evidence"))],
        hint=f"repair the step, then: goldsmith image resume {attempt.request.name}",
    )


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

"""`goldsmith image`: build, resume, explain, look inside, verify, boot."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from goldsmith.app import App
from goldsmith.cli import names, options
from goldsmith.cli.output import print_facts, print_json, print_table, seconds_text
from goldsmith.kernel.errors import Error, InvalidInputError
from goldsmith.publishing.model import BuildRecord, Emergency
from goldsmith.publishing.request import BuildRequest, declared_date, read_request


@click.group()
def command() -> None:
    """Build golden images from templates, and look at what was built."""


@command.command(short_help="build an image from a template")
@click.argument("template", type=click.Path(path_type=Path))
@click.option(
    "--date", "date_option", metavar="YYYY-MM-DD", help="The date the build declares (default: today)."
)
@click.option(
    "--cve", "cves", multiple=True, metavar="CVE", help="Emergency build: a CVE it answers (repeatable)."
)
@click.option("--patch-date", metavar="YYYY-MM-DD", help="Emergency build: the date of the patch.")
@click.option("--rebuild", is_flag=True, help="Run every step again and compare with the published version.")
@click.option(
    "--create-definition", is_flag=True, help="Create the gallery and image definition when they are missing."
)
@options.progress
def build(
    template: Path,
    date_option: str | None,
    cves: tuple[str, ...],
    patch_date: str | None,
    rebuild: bool,
    create_definition: bool,
    as_json: bool,
    plain: bool,
) -> None:
    """Build TEMPLATE (JSON or YAML): capture, customise, seal, validate, sign and publish.

    Steps whose layers are there are not run again; a build in which nothing changed does nothing.
    """
    app = App()
    today = declared_date(date_option, os.environ.get("SOURCE_DATE_EPOCH"), app.clock.now())
    emergency = _emergency(cves, patch_date, default=today.isoformat())
    request = read_request(template, today=today, emergency=emergency, rebuild=rebuild)
    if create_definition:
        from goldsmith.cli.definitions import ensure_definition

        ensure_definition(app, request.template, quiet=as_json)
    _build(app, request, as_json=as_json, plain=plain)


@command.command(short_help="go on with a failed build")
@click.argument("build", required=False, metavar="[TEMPLATE|BUILD]", shell_complete=options.complete_build)
@options.progress
def resume(build: str | None, as_json: bool, plain: bool) -> None:
    """Go on with a failed build at the step that failed, its template read again.

    TEMPLATE is a template's name or path, BUILD a build id; the newest failed build when left out.
    """
    from goldsmith.publishing import service

    app = App()
    record = service.failed_build(app.workshop, build)
    from datetime import date

    request = read_request(
        Path(record.template_path),
        today=date.fromisoformat(record.plan.declared_date),
        emergency=record.plan.emergency,
    )
    _build(app, request, as_json=as_json, plain=plain)


def _build(app: App, request: BuildRequest, *, as_json: bool, plain: bool) -> None:
    from goldsmith.cli.running import follow
    from goldsmith.cli.summary import facts_of, print_summary
    from goldsmith.kernel.cancel import NeverCancel
    from goldsmith.publishing import service

    service.interrupted(app.workshop, app.jobs)
    if not request.rebuild:
        seen = service.preview(app.workshop, request, cancel=NeverCancel())
        if seen.unchanged is not None:
            facts = {**facts_of(app, seen.unchanged), "unchanged": True}
            if as_json:
                print_json(facts)
                return
            click.echo(f"nothing has changed since {facts['name']}: no step runs")
            print_summary(facts)
            return
    job, joined = service.submit(app.workshop, app.jobs, request)
    if joined and not as_json:
        click.echo(f"this very build is under way as job {job.id}; following it", err=True)
    ended = follow(app, job, as_json=as_json, plain=plain)
    assert ended.result is not None
    if request.template.validate.source_validation_only:
        _tell_source(ended.result, as_json=as_json)
        return
    if request.rebuild:
        _tell_rebuild(ended.result, as_json=as_json)
        return
    facts = {**facts_of(app, app.workshop.records.get(ended.result["buildId"])), "unchanged": False}
    if as_json:
        # One line, like the events before it.
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        print_summary(facts)


def _tell_source(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        click.echo(f"the source {result['source']} passed; nothing was customised or published")


def _tell_rebuild(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        click.echo(f"reproduced: every step ran again and gave the same disk {result['diskDigest']}")


@command.command(short_help="which layers would be reused, and why")
@click.argument("template", type=click.Path(path_type=Path))
@options.json_output
def explain(template: Path, as_json: bool) -> None:
    """Say which layers a build of TEMPLATE would reuse, and why each other one would run."""
    from goldsmith.kernel.cancel import NeverCancel
    from goldsmith.publishing import service

    app = App()
    today = declared_date(None, os.environ.get("SOURCE_DATE_EPOCH"), app.clock.now())
    request = read_request(template, today=today)
    seen, explanations = service.explain(app.workshop, request, cancel=NeverCancel())
    if seen.plan is None:
        message = f"the base {request.template.source} is not captured yet: every step will run"
        if as_json:
            print_json({"base": None, "steps": [], "message": message})
        else:
            click.echo(message)
        return
    if as_json:
        print_json(
            {
                "base": seen.plan.base_urn,
                "version": seen.plan.version,
                "unchanged": seen.unchanged is not None,
                "steps": [
                    {
                        "index": item.step.index,
                        "name": item.step.name,
                        "key": item.step.key,
                        "verdict": item.verdict.value,
                        "reason": item.reason,
                    }
                    for item in explanations
                ],
            }
        )
        return
    click.echo(f"base {seen.plan.base_urn}, version {seen.plan.version}")
    rows = [(item.step.index, item.step.name, item.verdict.value, item.reason) for item in explanations]
    print_table(("step", "name", "layer", "why"), rows, empty="the template has no steps")


@command.command(short_help="enter the root of a failed step")
@click.argument("build", required=False, metavar="[TEMPLATE|BUILD]", shell_complete=options.complete_build)
@click.option("--command", "script", metavar="SCRIPT", help="Run this instead of an interactive shell.")
def shell(build: str | None, script: str | None) -> None:
    """Enter the root as the failed step of a build left it."""
    import subprocess

    from goldsmith.publishing import service

    app = App()
    record = service.failed_build(app.workshop, build)
    command = ("/bin/sh", "-c", script) if script is not None else ()
    argv, what = service.shell_argv(app.workshop, record, command=command)
    if script is None:
        click.echo(f"entering {what}; what is changed here is not used by the build", err=True)
    sys.exit(subprocess.run(argv, check=False).returncode)


@command.command("list", short_help="builds, newest first")
@click.option("--template", "template_name", metavar="NAME", help="Only builds of this template.")
@options.json_output
def list_(template_name: str | None, as_json: bool) -> None:
    """Builds, newest first."""
    from goldsmith.publishing import service

    app = App()
    service.interrupted(app.workshop, app.jobs)
    records = app.workshop.records.list(template_name=template_name)
    if as_json:
        print_json([_record_json(record) for record in records])
        return
    rows = [
        (
            record.plan.build_id,
            record.plan.template_name,
            record.plan.version,
            record.state.value,
            f"{sum(o.reused for o in record.outcomes)}/{len(record.plan.steps)}",
            record.started_at,
        )
        for record in records
    ]
    print_table(
        ("build", "template", "version", "state", "reused", "started"),
        rows,
        empty="no builds yet; 'goldsmith image build examples/minimal.yaml' makes one",
    )


@command.command(short_help="one build: steps, outcome, logs")
@click.argument("build", metavar="TEMPLATE|BUILD", shell_complete=options.complete_build)
@options.json_output
def show(build: str, as_json: bool) -> None:
    """One build: its steps, what became of it, where its logs are."""
    from goldsmith.publishing import service

    app = App()
    record = service.find_build(app.workshop, build)
    if as_json:
        print_json(_record_json(record))
        return
    plan = record.plan
    facts: list[tuple[str, object]] = [
        ("build", plan.build_id),
        ("template", f"{plan.template_name} ({record.template_path})"),
        ("state", record.state.value + (f": {record.error}" if record.error else "")),
        ("base", f"{plan.base_urn}\n{plan.base_digest}"),
        ("version", f"{plan.definition_id}/versions/{plan.version}"),
        ("declared date", plan.declared_date),
        ("started", record.started_at),
        ("finished", record.finished_at or "-"),
        ("directory", app.workshop.records.directory(plan.build_id)),
    ]
    print_facts(facts)
    click.echo()
    outcomes = {outcome.index: outcome for outcome in record.outcomes}
    rows = []
    for step in plan.steps:
        outcome = outcomes.get(step.index)
        failed = record.failure is not None and record.failure.key == step.key and outcome is None
        state = "failed" if failed else "-" if outcome is None else "reused" if outcome.reused else "ran"
        seconds = seconds_text(outcome.seconds) if outcome and not outcome.reused else ""
        rows.append((step.index, step.kind.value, step.name, state, seconds))
    print_table(("step", "kind", "name", "state", "time"), rows, empty="no steps")


def _record_json(record: BuildRecord) -> dict[str, Any]:
    plan = record.plan
    return {
        "build": plan.build_id,
        "template": plan.template_name,
        "templatePath": record.template_path,
        "state": record.state.value,
        "error": record.error or None,
        "base": plan.base_urn,
        "definition": plan.definition_id,
        "version": plan.version,
        "declaredDate": plan.declared_date,
        "startedAt": record.started_at,
        "finishedAt": record.finished_at or None,
        "job": record.job_id,
        "steps": [
            {
                "index": o.index,
                "name": o.name,
                "layer": o.layer_digest,
                "reused": o.reused,
                "seconds": o.seconds,
            }
            for o in record.outcomes
        ],
        "result": record.result or None,
    }


@command.command(short_help="the logs of a build's steps")
@click.argument("build", required=False, metavar="[TEMPLATE|BUILD]", shell_complete=options.complete_build)
@click.option("--step", type=int, metavar="N", help="Only the log of this step.")
def logs(build: str | None, step: int | None) -> None:
    """The logs of a build's steps."""
    from goldsmith.publishing import service

    app = App()
    record = (
        service.find_build(app.workshop, build) if build else next(iter(app.workshop.records.list()), None)
    )
    if record is None:
        raise InvalidInputError("there is no build yet")
    directory = app.workshop.records.directory(record.plan.build_id) / "logs"
    for path in sorted(directory.glob("*.log")):
        if step is None or path.name.startswith(f"{step:02d}-"):
            click.echo(click.style(f"== {path}", bold=True))
            click.echo(path.read_text(errors="replace"))


@command.command(short_help="check signature, disk and evidence")
@click.argument("version", metavar="VERSION", shell_complete=options.complete_version)
@click.option(
    "--disk", type=click.Path(path_type=Path), help="Check this raw disk file (default: the region's)."
)
@click.option(
    "--key", type=click.Path(path_type=Path), help="Trust this public key (PEM) instead of our own."
)
@click.option("--evidence", type=click.Path(path_type=Path), help="Directory with the evidence files.")
@options.region
@options.json_output
def verify(
    version: str,
    disk: Path | None,
    key: Path | None,
    evidence: Path | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Check an image version offline: signature, disk, SBOM, report and measurements.

    VERSION is GALLERY/DEFINITION[/VERSION]. With --evidence and --disk it works on files alone, anywhere.
    """
    from goldsmith.cli.verifying import verify_files, verify_version

    report = (
        verify_files(evidence, disk=disk, key=key)
        if evidence is not None
        else verify_version(App(), version, region=region, disk=disk, key=key)
    )
    if as_json:
        from goldsmith.provenance.verify import report_json

        print_json(report_json(report))
    else:
        rows = [(check.name, check.outcome.value, check.reason) for check in report.checks]
        print_table(("check", "outcome", "reason"), rows, empty="nothing was checked")
    if not report.ok:
        raise Error(f"{version} is not what was signed", code="VerificationFailed")


@command.command(short_help="start a version and log in")
@click.argument("version", metavar="VERSION", shell_complete=options.complete_version)
@click.option("--command", "script", metavar="SCRIPT", help="Run this in the machine, print it, and stop.")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", help="Memory of the machine.")
@click.option("--cpus", default=2, show_default=True, help="Processors of the machine.")
@options.region
@options.json_output
def boot(version: str, script: str | None, memory: int, cpus: int, region: str | None, as_json: bool) -> None:
    """Start VERSION (GALLERY/DEFINITION[/VERSION]), log in over SSH, and read its tattoo.

    On a terminal a shell in the machine follows; the machine and its changes are gone when it ends.
    """
    from goldsmith.cli.booting import boot_version

    boot_version(App(), version, region=region, script=script, memory_mib=memory, cpus=cpus, as_json=as_json)


@command.command(short_help="what is inside a version")
@click.argument("version", metavar="VERSION", shell_complete=options.complete_version)
@click.option("--output", type=click.Path(path_type=Path), help="Write the SPDX document to this file.")
@options.region
@options.json_output
def sbom(version: str, output: Path | None, region: str | None, as_json: bool) -> None:
    """What is inside VERSION: its packages, or with --json or --output the SPDX document."""
    from goldsmith.gallery.model import ArtifactKind
    from goldsmith.publishing.evidence import read_artifact
    from goldsmith.sbom.index import rows

    app = App()
    found = names.image_version(app, version, region=region or app.default_region)
    document = read_artifact(app.workshop, found, ArtifactKind.SBOM)
    if output is not None:
        output.write_bytes(document)
        click.echo(f"wrote {output}")
    elif as_json:
        click.echo(document.decode())
    else:
        packages = [row for row in rows(json.loads(document)) if not row.is_source]
        table = [(row.name, row.version, row.architecture, row.source) for row in packages]
        print_table(("package", "version", "architecture", "source"), table, empty="no packages")


@command.command(short_help="free room")
@click.option("--keep", default=3, show_default=True, help="Sealed disks to keep in the cache.")
@options.json_output
def clean(keep: int, as_json: bool) -> None:
    """Free room: old cached disks, leftovers of killed builds, layers no build of the last ones uses."""
    from goldsmith.publishing.cleaning import clean as clean_up

    freed = clean_up(App().workshop, keep_disks=keep)
    if as_json:
        print_json(freed)
    else:
        click.echo(
            f"freed {freed['bytes'] / (1 << 20):.0f} MiB: {freed['disks']} disks, "
            f"{freed['layers']} layers, {freed['leftovers']} leftovers"
        )


def _emergency(cves: tuple[str, ...], patch_date: str | None, *, default: str) -> Emergency | None:
    if not cves:
        if patch_date is not None:
            raise InvalidInputError("--patch-date was given without --cve", hint="name the CVE it patches")
        return None
    return Emergency(cves=tuple(cve.upper() for cve in cves), patch_date=patch_date or default)

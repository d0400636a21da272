"""`goldsmith job`: running and finished jobs."""

from typing import Any

import click

from goldsmith.app import App
from goldsmith.cli import options
from goldsmith.cli.output import print_json, print_table
from goldsmith.jobs.model import Job
from goldsmith.jobs.worker import cancel_job
from goldsmith.kernel.clock import iso


@click.group()
def command() -> None:
    """Jobs: what runs, what ran, how it ended."""


@command.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@options.json_output
def list_(limit: int, as_json: bool) -> None:
    """Jobs, newest first."""
    jobs = App().jobs.find(limit=limit)
    if as_json:
        print_json([_job_json(job) for job in jobs])
        return
    rows = [
        (job.id, job.state.value, iso(job.created_at), job.error.message if job.error else "") for job in jobs
    ]
    print_table(("job", "state", "created", "error"), rows, empty="no jobs yet")


@command.command()
@click.argument("job_id", metavar="JOB")
@options.progress
def follow(job_id: str, as_json: bool, plain: bool) -> None:
    """Show a job's progress; goes on with it here if no process runs it."""
    from goldsmith.cli.running import follow as follow_job

    app = App()
    ended = follow_job(app, app.jobs.get(job_id), as_json=as_json, plain=plain)
    if as_json:
        print_json(_job_json(ended))


@command.command()
@click.argument("job_id", metavar="JOB")
@options.json_output
def cancel(job_id: str, as_json: bool) -> None:
    """Ask a job to stop; its programs are ended and what it finished is kept."""
    app = App()
    job = cancel_job(app.jobs, app.ownership, job_id)
    if as_json:
        print_json(_job_json(job))
    else:
        click.echo(f"{job.id}: {job.state.value}" + ("" if job.state.ended else ", asked to stop"))


def _job_json(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "subject": job.subject,
        "state": job.state.value,
        "createdAt": iso(job.created_at),
        "startedAt": iso(job.started_at) if job.started_at else None,
        "finishedAt": iso(job.finished_at) if job.finished_at else None,
        "attempt": job.attempt,
        "result": job.result,
        "error": {"code": job.error.code, "message": job.error.message, "hint": job.error.hint}
        if job.error
        else None,
    }

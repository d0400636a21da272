"""Database rows to jobs and events, and the times and JSON in them."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from goldsmith.jobs.failure import error_from_json
from goldsmith.jobs.model import Job, JobEvent, JobState
from goldsmith.kernel.clock import parse_iso


def job_from_row(row: sa.Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        state=JobState(row.state),
        arguments=json.loads(row.arguments),
        created_at=parse_iso(row.created_at),
        result=json.loads(row.result) if row.result is not None else None,
        error=error_from_json(json.loads(row.error)) if row.error is not None else None,
        started_at=parse_iso(row.started_at) if row.started_at is not None else None,
        finished_at=parse_iso(row.finished_at) if row.finished_at is not None else None,
        attempt=row.attempt,
        cancel_requested=row.cancel_requested_at is not None and not JobState(row.state).ended,
    )


def event_from_row(row: sa.Row[Any]) -> JobEvent:
    return JobEvent(
        seq=row.seq, job_id=row.job_id, at=parse_iso(row.at), name=row.name, data=json.loads(row.data)
    )


def time_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def json_text(value: object) -> str:
    """Raises TypeError or ValueError when `value` is not JSON (NaN is not)."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

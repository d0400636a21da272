"""Errors survive being kept as data."""

import json

import pytest

from goldsmith.jobs.failure import (
    error_from_json,
    error_of,
    error_to_json,
    exception_from_json,
    exception_to_json,
)
from goldsmith.jobs.model import JobState
from goldsmith.kernel.errors import (
    CanceledError,
    ConflictError,
    Error,
    NoSpaceError,
    PreconditionFailedError,
    ProgramError,
    ProgramTimeoutError,
)

ERRORS = [
    Error("plain"),
    ConflictError("version 1.2.3 exists", hint="choose another", code="VersionExists"),
    PreconditionFailedError("the etag is old", details=[("etag", "a"), ("expected", "b")]),
    NoSpaceError("no room left on ü"),
    CanceledError("stopped"),
    ProgramError(
        "mke2fs ended with exit status 1", argv=["mke2fs", "x"], returncode=1, tail="no room", hint="h"
    ),
    ProgramTimeoutError("qemu was still running", argv=["qemu"], returncode=-9),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_what_it_was(error: Error) -> None:
    back = exception_from_json(json.loads(json.dumps(exception_to_json(error))))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert (back.code, back.hint, back.details) == (error.code, error.hint, error.details)
    if isinstance(error, ProgramError):
        assert isinstance(back, ProgramError)
        assert (back.argv, back.returncode, back.tail) == (error.argv, error.returncode, error.tail)


def test_an_error_whose_class_is_gone_comes_back_with_its_facts() -> None:
    data = exception_to_json(ConflictError("m", hint="h", code="Gone"))
    back = exception_from_json({**data, "class": "AbolishedError"})
    assert type(back) is Error
    assert (back.message, back.hint, back.code) == ("m", "h", "Gone")


def test_a_defect_is_told_from_a_refusal() -> None:
    kept = error_of(KeyError("absent"))
    assert kept.code == "InternalError"
    assert "KeyError" in kept.message
    assert kept.hint is not None


def test_the_error_of_a_job_is_raised_with_its_details() -> None:
    kept = error_from_json(error_to_json(error_of(ERRORS[2])))
    assert kept.as_exception().details == (("etag", "a"), ("expected", "b"))


def test_a_job_has_ended_in_three_of_five_states() -> None:
    assert {state for state in JobState if state.ended} == {
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELED,
    }

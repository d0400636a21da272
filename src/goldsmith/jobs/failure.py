"""Errors to data and back, so that a recorded failure is raised again as what it was."""

from collections.abc import Iterator

from goldsmith.jobs.model import JobError
from goldsmith.kernel.errors import Error, ProgramError
from goldsmith.kernel.json import JsonObject


def error_of(error: BaseException) -> JobError:
    """What is kept of an exception; one that is none of ours becomes InternalError."""
    if isinstance(error, Error):
        return JobError(code=error.code, message=error.message, hint=error.hint, details=error.details)
    return JobError(
        code=Error.code,
        message=f"unexpected {type(error).__name__}: {error}",
        hint="this is a defect; the log of the worker holds the traceback",
    )


def error_to_json(error: JobError) -> JsonObject:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "details": [list(pair) for pair in error.details],
    }


def error_from_json(data: JsonObject) -> JobError:
    return JobError(
        code=data["code"],
        message=data["message"],
        hint=data["hint"],
        details=tuple((key, text) for key, text in data["details"]),
    )


def exception_to_json(error: Error) -> JsonObject:
    """An error of ours with its class, so that a caller's `except` clause still matches after a restart."""
    data = error_to_json(error_of(error))
    data["class"] = type(error).__name__
    if isinstance(error, ProgramError):
        data["program"] = {"argv": list(error.argv), "returncode": error.returncode, "tail": error.tail}
    return data


def exception_from_json(data: JsonObject) -> Error:
    """The error `exception_to_json` was given; of a class that is gone, a plain Error with the same facts."""
    kept = error_from_json(data)
    found = _classes().get(data["class"], Error)
    # Built without its constructor: subclasses may take other arguments than the tree's common ones.
    error = found.__new__(found)
    Error.__init__(error, kept.message, hint=kept.hint, code=kept.code, details=kept.details)
    if isinstance(error, ProgramError):
        program = data["program"]
        error.argv = tuple(program["argv"])
        error.returncode = program["returncode"]
        error.tail = program["tail"]
    return error


def _classes() -> dict[str, type[Error]]:
    return {found.__name__: found for found in _tree(Error)}


def _tree(root: type[Error]) -> Iterator[type[Error]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)

"""The one tree of errors; `code` becomes the ARM error code, `hint` says what to do next.

Error
├── InvalidInputError        what the caller gave is wrong; nothing was changed
├── NotFoundError            the thing named does not exist
├── ConflictError            it exists in a state that forbids the request
│   └── PreconditionFailedError   an etag did not match
├── UnsupportedError         this host, source or format cannot do it
├── UnavailableError         something outside (a mirror, a server) did not answer
├── CorruptError             stored bytes are not what was recorded
├── NoSpaceError             the disk or quota is full
├── ProgramError             a program we ran failed
│   └── ProgramTimeoutError
├── CanceledError            somebody asked us to stop
└── DeadlineExceededError    a build's own time limit passed
"""

from collections.abc import Sequence


class Error(Exception):
    """Base of every error this project raises on purpose.

    `str(error)` is the message: what was tried, on what, got X, expected Y; lower case, no full stop.
    `hint` (may be None) says what the reader can do next. `details` are (code, message) pairs.
    """

    code = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        details: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        if code is not None:
            self.code = code


class InvalidInputError(Error):
    code = "InvalidParameter"


class NotFoundError(Error):
    code = "ResourceNotFound"


class ConflictError(Error):
    code = "Conflict"


class PreconditionFailedError(ConflictError):
    code = "PreconditionFailed"


class UnsupportedError(Error):
    code = "NotSupported"


class UnavailableError(Error):
    code = "ServiceUnavailable"


class CorruptError(Error):
    code = "DataCorrupt"


class NoSpaceError(Error):
    code = "InsufficientStorage"


class ProgramError(Error):
    """A program ended with an exit status that means failure.

    `argv` is what was run, `returncode` its exit status (negative: killed by that signal),
    `tail` the last lines it printed.
    """

    code = "ProgramFailed"

    def __init__(
        self, message: str, *, argv: Sequence[str], returncode: int, tail: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.argv = tuple(argv)
        self.returncode = returncode
        self.tail = tail


class ProgramTimeoutError(ProgramError):
    code = "ProgramTimeout"


class CanceledError(Error):
    code = "OperationCanceled"


class DeadlineExceededError(Error):
    code = "DeadlineExceeded"

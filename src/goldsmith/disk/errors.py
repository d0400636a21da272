"""What a step that failed tells: how it ended, its last words, and where its state was kept."""

from pathlib import Path

from goldsmith.kernel.errors import Error


class StepFailedError(Error):
    """The command of a layer failed or ran into its own time limit.

    `returncode` is its exit status (negative: killed by that signal), `tail` the last lines it printed,
    `log` the file with all of its output, and `kept` the directory whose `diff` holds what it had changed
    (to be entered with `LayerStore.shell_argv`).
    """

    code = "StepFailed"

    def __init__(
        self, message: str, *, returncode: int, tail: str, log: Path, kept: Path, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.returncode = returncode
        self.tail = tail
        self.log = log
        self.kept = kept

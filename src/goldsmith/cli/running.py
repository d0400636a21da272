"""Running a job from the command line: in this process or in the one that owns the jobs, shown as it goes."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import click

from goldsmith.app import App
from goldsmith.cli.output import is_terminal
from goldsmith.cli.progress import live_view, plain_lines, print_event
from goldsmith.jobs.model import Job, JobEvent, JobState
from goldsmith.jobs.worker import Notice, NoticeKind, run_or_follow
from goldsmith.kernel.errors import CanceledError, Error


class _Interrupt:
    """Ctrl-C: the first cancels a job that runs here, the second leaves; elsewhere the first leaves."""

    def __init__(self, app: App, job_id: str) -> None:
        self._app = app
        self._job_id = job_id
        self._count = 0
        self._canceled = False
        self.runs_here = False

    def on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        self._count += 1

    def check(self) -> None:
        if self._count == 0:
            return
        if not self.runs_here:
            raise CanceledError(
                f"stopped following job {self._job_id}, which goes on in another process",
                hint=f"to follow it again: goldsmith job follow {self._job_id}   "
                f"(to cancel it: goldsmith job cancel {self._job_id})",
            )
        if self._count > 1:
            raise CanceledError(
                f"left job {self._job_id} unfinished", hint="the next command that runs jobs goes on with it"
            )
        if not self._canceled:
            self._canceled = True
            self._app.jobs.cancel(self._job_id)


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def follow(app: App, job: Job, *, as_json: bool, plain: bool) -> Job:
    """The job once it has ended, its progress shown on the way; raises the error it ended with.

    Raises CanceledError when it was canceled or the user stopped following.
    """
    interrupt = _Interrupt(app, job.id)

    def notice(told: Notice) -> None:
        match told.kind:
            case NoticeKind.RUNNING_HERE:
                interrupt.runs_here = True
            case NoticeKind.TAKEN_OVER:
                interrupt.runs_here = True
                say(f"the process that ran the job is gone; going on with it here ({job.id})")
            case NoticeKind.HANDED_OVER:
                say(f"handed to process {told.owner}, which runs the jobs of this state directory")
            case NoticeKind.STAYING:
                say(f"staying for {told.open_jobs} more job(s) that other commands handed to this process")

    def say(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    def run(on_event: Callable[[JobEvent], None]) -> Job:
        return run_or_follow(
            app.jobs, app.ownership, job.id, on_event=on_event, on_notice=notice, cancel=interrupt
        )

    with _signals(interrupt.on_signal):
        if as_json:
            ended = run(print_event)
        elif plain or not is_terminal():
            ended = run(plain_lines())
        else:
            with live_view() as on_event:
                ended = run(on_event)
    match ended.state:
        case JobState.SUCCEEDED:
            return ended
        case JobState.CANCELED:
            raise CanceledError(
                f"job {ended.id} was canceled", hint="what was finished is kept; build again to go on"
            )
        case _:
            raise ended.error.as_exception() if ended.error else Error(f"job {ended.id} failed")

"""What the compliance commands work with: states brought up to date, and the names that people give."""

from goldsmith.app import App
from goldsmith.cli.meter import Meter
from goldsmith.compliance import service
from goldsmith.compliance.documents import StoredDocuments
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.model import Progress
from goldsmith.kernel.errors import CanceledError, ConflictError, InvalidInputError, NotFoundError

_SHOWN = 5


def bring_up_to_date(keeper: Keeper, *, full: bool = False, quiet: bool = False) -> tuple[int, bool]:
    """How many states have changed, and whether everything was judged: the first time, and with `full`.

    Raises CanceledError when interrupted, the states then being as they were.
    """
    everything = full or keeper.followed.scanned_at is None
    with Meter("judging", "resources", quiet=quiet) as meter:

        def show(progress: Progress) -> None:
            if progress.phase == "reading":
                meter.tell(f"reading  {progress.resources_done:,} resources")
                return
            meter.tell(
                f"{progress.phase}  {progress.resources_done:,} of {progress.resources_total:,} resources  "
                f"{progress.policies_done:,} of {progress.policies_total:,} policies  "
                f"{progress.rate:,.0f} evaluations/s"
            )

        try:
            if everything:
                return service.scan(keeper, on_progress=show).transitions, True
            return _catch_up(keeper), False
        except KeyboardInterrupt as error:
            raise CanceledError(
                "interrupted; the states are as they were", hint="run it again when it suits"
            ) from error


def resource_id(app: App, text: str) -> str:
    """The id of the resource that an id or a name means; raises NotFoundError, InvalidInputError."""
    if text.startswith("/"):
        return text.rstrip("/")
    wanted = text.lower()
    found = [
        str(document["id"])
        for document in StoredDocuments(app.resources).every()
        if str(document["name"]).lower() == wanted
    ]
    if len(found) > 1:
        listed = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise InvalidInputError(
            f"{len(found)} resources have the name '{text}'", hint=f"give the id: {listed}"
        )
    if not found:
        raise NotFoundError(
            f"there is no resource '{text}'",
            hint="give its id; 'goldsmith compliance scan --resources FILE' takes exported resources over",
        )
    return found[0]


def _catch_up(keeper: Keeper) -> int:
    try:
        return keeper.catch_up()
    except ConflictError:
        # Another process follows the changes too; what it wrote is read, and the rest followed.
        return keeper.catch_up()

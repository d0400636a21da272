"""What somebody asked to be built, as data a job can carry from one process to another."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from goldsmith.imagetemplate import text, wire
from goldsmith.imagetemplate.model import ImageTemplate
from goldsmith.kernel import digest
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.publishing.model import Emergency


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """`document` is the template in ARM's JSON, `directory` where its relative paths start.

    `declared_date` is an ISO date. `rebuild` runs every step again, to compare with what is published.
    """

    name: str
    document: JsonObject
    path: str
    directory: str
    declared_date: str
    emergency: Emergency | None = None
    rebuild: bool = False

    @property
    def template(self) -> ImageTemplate:
        return wire.parse_template(self.document, source_name=self.path)

    @property
    def digest(self) -> str:
        """Equal for requests that ask for the same thing; the date does not count."""
        content = {**to_json(self), "declared_date": ""}
        return digest.of_value(content)


def read_request(
    path: Path, *, today: date, emergency: Emergency | None = None, rebuild: bool = False
) -> BuildRequest:
    """Raises NotFoundError (no such file) and InvalidInputError (no valid template)."""
    try:
        source = path.read_text()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no template {path}") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is no template: {error}") from error
    document = text.load_template_text(
        source, format="json" if path.suffix.lower() == ".json" else "yaml", source_name=str(path)
    )
    template = wire.parse_template(document, source_name=str(path))
    return BuildRequest(
        name=template.name or path.stem,
        document=document,
        path=str(path.absolute()),
        directory=str(path.absolute().parent),
        declared_date=today.isoformat(),
        emergency=emergency,
        rebuild=rebuild,
    )


def declared_date(option: str | None, source_date_epoch: str | None, now: datetime) -> date:
    """`--date`, else the day of SOURCE_DATE_EPOCH, else today's; days are days in UTC.

    Raises InvalidInputError when what is given is no date.
    """
    try:
        if option is not None:
            return date.fromisoformat(option)
        if source_date_epoch:
            return datetime.fromtimestamp(int(source_date_epoch), UTC).date()
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"'{option or source_date_epoch}' is no date a build can declare: {error}",
            hint="give --date as YYYY-MM-DD, or SOURCE_DATE_EPOCH in seconds",
        ) from error
    return now.astimezone(UTC).date()


def to_json(request: BuildRequest) -> JsonObject:
    return {
        "name": request.name,
        "document": request.document,
        "path": request.path,
        "directory": request.directory,
        "declared_date": request.declared_date,
        "emergency": None
        if request.emergency is None
        else {"cves": list(request.emergency.cves), "patch_date": request.emergency.patch_date},
        "rebuild": request.rebuild,
    }


def from_json(data: JsonObject) -> BuildRequest:
    emergency = data["emergency"]
    return BuildRequest(
        name=data["name"],
        document=data["document"],
        path=data["path"],
        directory=data["directory"],
        declared_date=data["declared_date"],
        emergency=None
        if emergency is None
        else Emergency(cves=tuple(emergency["cves"]), patch_date=emergency["patch_date"]),
        rebuild=data["rebuild"],
    )

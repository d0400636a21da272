"""Build records on disk: one JSON document per build, rewritten whole, found by template or build id."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from goldsmith.kernel.errors import CorruptError, NotFoundError
from goldsmith.kernel.files import remove_tree, write_atomic
from goldsmith.kernel.json import JsonObject, pretty
from goldsmith.publishing.model import (
    BuildPlan,
    BuildRecord,
    BuildState,
    Emergency,
    PlannedStep,
    StepFailure,
    StepInput,
    StepKind,
    StepOutcome,
)


class BuildRecords:
    """`root/<build id>/record.json`, with the build's logs, evidence and artefacts beside it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def directory(self, build_id: str) -> Path:
        return self._root / build_id

    def put(self, record: BuildRecord) -> None:
        path = self.directory(record.plan.build_id) / "record.json"
        write_atomic(path, pretty(asdict(record)).encode())

    def find(self, build_id: str) -> BuildRecord | None:
        path = self.directory(build_id) / "record.json"
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        try:
            return _record(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(
                f"the build record {path} cannot be read: {error}",
                hint="remove it; the layers stay and are reused",
            ) from error

    def get(self, build_id: str) -> BuildRecord:
        """Raises NotFoundError; `build_id` may be a unique beginning of one."""
        matches = sorted(p.name for p in self._root.glob(f"{build_id}*")) if build_id.isalnum() else []
        record = self.find(matches[0]) if len(matches) == 1 else None
        if record is None:
            raise NotFoundError(
                f"there is no build {build_id}", hint="'goldsmith image list' shows the builds"
            )
        return record

    def list(self, *, template_name: str | None = None) -> list[BuildRecord]:
        """Newest first; with `template_name` only that template's."""
        paths = self._root.glob("*/record.json")
        records = [record for path in paths if (record := self.find(path.parent.name)) is not None]
        if template_name is not None:
            records = [record for record in records if record.plan.template_name == template_name]
        return sorted(records, key=lambda record: record.started_at, reverse=True)

    def remove(self, build_id: str) -> None:
        remove_tree(self.directory(build_id))


def _record(data: JsonObject) -> BuildRecord:
    failure = data["failure"]
    return BuildRecord(
        plan=plan_from(data["plan"]),
        job_id=data["job_id"],
        state=BuildState(data["state"]),
        template=data["template"],
        template_path=data["template_path"],
        started_at=data["started_at"],
        finished_at=data["finished_at"],
        outcomes=tuple(StepOutcome(**item) for item in data["outcomes"]),
        failure=None if failure is None else StepFailure(**failure),
        error=data["error"],
        result=data["result"],
    )


def plan_from(data: dict[str, Any]) -> BuildPlan:
    """The plan that `dataclasses.asdict` wrote."""
    emergency = data["emergency"]
    steps = tuple(
        PlannedStep(
            index=item["index"],
            kind=StepKind(item["kind"]),
            name=item["name"],
            key=item["key"],
            ingredients=item["ingredients"],
            inputs=tuple(StepInput(**entry) for entry in item["inputs"]),
            network_open=item["network_open"],
        )
        for item in data["steps"]
    )
    rest = {name: value for name, value in data.items() if name not in ("steps", "emergency")}
    return BuildPlan(
        **rest,
        steps=steps,
        emergency=None
        if emergency is None
        else Emergency(cves=tuple(emergency["cves"]), patch_date=emergency["patch_date"]),
    )

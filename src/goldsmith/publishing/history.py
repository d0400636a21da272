"""How long stages took before, so that a waiting person knows what to expect."""

import json
from pathlib import Path

from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import canonical

_KEPT = 5


class History:
    """The last durations of each stage in one small file; losing it loses nothing but estimates."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def expected_seconds(self, stage: str) -> float | None:
        """The median of the last runs; None when there was none."""
        values = sorted(self._read().get(stage, []))
        return values[len(values) // 2] if values else None

    def add(self, stage: str, seconds: float) -> None:
        values = self._read()
        values[stage] = [*values.get(stage, []), round(seconds, 2)][-_KEPT:]
        write_atomic(self._path, canonical(values), durable=False)

    def _read(self) -> dict[str, list[float]]:
        try:
            data = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

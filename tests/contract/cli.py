"""Running the `goldsmith` command in this process, as its main function does."""

import json
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from goldsmith.cli.main import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def goldsmith(capsys: pytest.CaptureFixture[str], *words: object) -> Ran:
    """What the command printed, and its exit status."""
    before = signal.getsignal(signal.SIGTERM)
    status: object = 0
    try:
        main([str(word) for word in words])
    except SystemExit as ended:
        status = ended.code or 0
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr()
    assert isinstance(status, int), status
    assert "Traceback" not in said.err
    return Ran(status=status, out=said.out, err=said.err)

"""The recipe of the build benchmark: scripts that all contenders run in order, on so many cores."""

import os
from pathlib import Path


def recipe() -> list[Path]:
    """The scripts in order; every contender runs these very files."""
    return sorted(Path(__file__).parent.glob("*.sh"))


def cores() -> int:
    """Processors that each contender is given: all there are."""
    return len(os.sched_getaffinity(0))

"""Remember what a probe found, for as long as the host cannot have changed under it."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

from goldsmith.host.facts import HostFacts, from_json, to_json
from goldsmith.host.needs import FIRMWARE
from goldsmith.host.probe import free_bytes, probe_host
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import pretty

# Counts up when the probe starts to look at something else.
_FORMAT = 1
_NAME = "host.json"


def known_host(state_dir: Path) -> HostFacts:
    """The facts found earlier when they still hold, else a new probe; the room on the disk is always new.

    They hold within one boot of one kernel, for one user, until a program or firmware is installed or
    removed in the directories searched. A file that cannot be read or written only costs a probe.
    """
    path = state_dir / _NAME
    key = host_key()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(path.read_text())
        if stored["key"] == key:
            facts = from_json(stored["facts"])
            if facts.state_dir == state_dir:
                return replace(facts, free_bytes=free_bytes(state_dir))
    facts = probe_host(state_dir)
    with contextlib.suppress(OSError):
        write_atomic(path, pretty({"key": key, "facts": to_json(facts)}).encode(), mode=0o600)
    return facts


def host_key() -> list[str]:
    """What changes with the kernel, the user, and the programs and firmware that are installed."""
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    searched = [*os.environ.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    searched += sorted({str(Path(candidate.code).parent) for candidate in FIRMWARE})
    return [
        str(_FORMAT),
        boot_id.read_text().strip() if boot_id.exists() else "",
        os.uname().release,
        str(os.getuid()),
        *(f"{directory}:{_changed(Path(directory))}" for directory in searched if directory),
        *(f"{name}:{_changed(Path(name))}" for name in ("/etc/subuid", "/etc/subgid", "/dev/kvm")),
    ]


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

"""Small templates, a world to build them in, and builds that are watched while they run."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.boot.conftest import World

PATIENCE_SECONDS = 600.0
DEFINITION = "golden/plain"
_DEFINITIONS = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/goldsmith"
    "/providers/Microsoft.Compute/galleries"
)
# Nothing listens there: whatever succeeds has not asked a mirror.
_NO_MIRROR = "mirror: http://127.0.0.1:9/debian\nsecurity_mirror: http://127.0.0.1:9/debian-security\n"
# A step that waits for `open_gates`: where apt drops what it installs is the one place a step shares with
# its host. It gives up in the end, so that nothing waits for ever.
GATE = "i=0; until test -e /run/goldsmith/debs/go; do i=$((i+1)); test $i -lt 3000; sleep 0.2; done"


def prepare(world: World, *, files: Path | None = None) -> None:
    """No mirror, and a definition without Trusted Launch: its images boot faster.

    `files` is the state directory as it is seen from here, where that is another path.
    """
    ((files or world.state) / "config.yaml").write_text(_NO_MIRROR)
    world.run("gallery", "create", "golden")
    words = ["--publisher", "Example", "--offer", "plain", "--sku", "plain"]
    world.run("gallery", "definition", "create", DEFINITION, *words, "--feature", "SecurityType=Standard")


def captured_version(world: World) -> str:
    captures = world.run("marketplace", "list", "--json").json["captures"]
    identities: list[str] = [item["identity"] for item in captures]
    return max(name.rsplit(":", 1)[1] for name in identities if ":12-gen2:" in name)


def document(
    name: str,
    *,
    version: str,
    steps: Mapping[str, str],
    validators: Mapping[str, str] | None = None,
    definition: str = DEFINITION,
) -> dict[str, Any]:
    """A template whose steps and validators are one line of shell each, with no network."""

    def shells(lines: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"type": "Shell", "name": step, "inline": [line]} for step, line in lines.items()]

    gallery, image = definition.split("/")
    target = f"{_DEFINITIONS}/{gallery}/images/{image}"
    return {
        "name": name,
        "location": "local",
        "properties": {
            "source": {
                "type": "PlatformImage",
                "publisher": "Debian",
                "offer": "debian-12",
                "sku": "12-gen2",
                "version": version,
            },
            "customize": shells(steps),
            "validate": {"inVMValidations": shells(validators or {})},
            "distribute": [
                {
                    "type": "SharedImage",
                    "runOutputName": "gallery",
                    "galleryImageId": target,
                    "targetRegions": [{"name": "local"}],
                }
            ],
        },
    }


def write(folder: Path, template: Mapping[str, Any]) -> Path:
    path = folder / f"{template['name']}.yaml"
    path.write_text(yaml.safe_dump(template, sort_keys=False))
    return path


def spoil(path: Path) -> None:
    """Flip one bit of a file and nothing else; files that share its content by a hard link stay whole."""
    status, folder = path.stat(), path.parent.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    changed = path.with_name(f".{path.name}.changed")
    shutil.copy2(path, changed)
    changed.write_bytes(content)
    os.chown(changed, status.st_uid, status.st_gid)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed.rename(path)
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


def open_gates(state: Path) -> None:
    """Let every step go on that waits at its GATE now."""
    for folder in (state / "step-debs").glob("*/"):
        (folder / "go").touch()


def running(words: str) -> list[str]:
    """The command lines of this machine's processes that contain `words`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line:
            found.append(line)
    return found


def eventually(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what()}"
        time.sleep(0.1)


class Watched:
    """A goldsmith command that runs, and all it has said so far; killed at the end whatever happens."""

    def __init__(self, world: World, folder: Path, *words: str | Path) -> None:
        self._said = folder / f"said-{len(list(folder.glob('said-*')))}"
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                world.argv(*words),
                env={**world.environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._said.read_text()

    def until(self, words: str) -> None:
        """Wait until it has said `words`; it must not end before."""

        def heard() -> bool:
            assert words in self.said or self._process.poll() is None, f"it ended: {self.said}"
            return words in self.said

        eventually(heard, lambda: f"process {self.pid} says '{words}'; it said:\n{self.said}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"process {self.pid} did not end; it said:\n{self.said}") from None


def stages(events: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The stages that came to the event `name`, such as `stage.finished`."""
    return [event["stage"] for event in events if event["event"] == name]

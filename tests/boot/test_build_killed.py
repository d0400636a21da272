"""A build killed with -9 at thirty instants spread over all its stages, and what must be true each time."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from goldsmith.kernel.proc import which
from tests.boot.conftest import World

pytestmark = pytest.mark.boot

TEMPLATE = """\
location: local
name: killed
properties:
  source: {type: PlatformImage, publisher: Debian, offer: debian-12, sku: 12-gen2, version: latest}
  customize:
    - {type: Shell, name: one, inline: [sleep 0.4, echo one > /etc/one]}
    - {type: File, name: two, sourceUri: two.txt, destination: /etc/two}
    - type: Shell
      name: three
      inline: [rm /etc/one, sleep 0.4, mkdir /opt/three, echo three > /opt/three/file]
  validate:
    inVMValidations:
      - type: Shell
        name: all-steps
        inline: [test ! -e /etc/one, grep -q two /etc/two, test -f /opt/three/file]
  distribute:
    - type: SharedImage
      runOutputName: out
      galleryImageId: DEFINITION
      targetRegions: [{name: local}]
"""

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/goldsmith"
DEFINITION = f"{GROUP}/providers/Microsoft.Compute/galleries/golden/images/killed"

# Seconds after a stage has begun: thirty instants in all, the last stages too.
INSTANTS: list[tuple[str, tuple[float, ...]]] = [
    ("capture", (0.0, 0.1)),
    ("step-1", (0.0, 0.2, 0.4)),
    ("step-2", (0.0, 0.05)),
    ("step-3", (0.0, 0.3, 0.5)),
    ("step-4", (0.0, 0.05)),
    ("step-5", (0.0, 0.2)),
    ("assemble", (0.0, 0.5, 1.0, 2.0)),
    ("sbom", (0.0, 0.4, 0.8)),
    ("validate", (0.0, 2.0, 8.0)),
    ("sign", (0.0, 0.01)),
    ("publish", (0.0, 0.3, 0.8, 1.5)),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    stage: str
    seconds: float


def test_thirty_kills_leave_nothing_behind_and_the_end_is_right(world: World, tmp_path: Path) -> None:
    mine = world.another(tmp_path / "state")
    template = tmp_path / "killed.yaml"
    template.write_text(TEMPLATE.replace("DEFINITION", DEFINITION))
    (tmp_path / "two.txt").write_text("two\n")
    mine.run("gallery", "create", "golden")
    mine.run(
        *("gallery", "definition", "create", "golden/killed"),
        *("--publisher", "p", "--offer", "o", "--sku", "s", "--feature", "SecurityType=TrustedLaunch"),
    )
    kills = [Kill(stage=stage, seconds=s) for stage, instants in INSTANTS for s in instants]
    assert len(kills) == 30
    done = sum(killed_at(mine, template, kill) for kill in kills)
    # A stage may end before its instant comes; then the build was killed in the one after it, or was done.
    assert done >= 25, f"only {done} of 30 kills met a running build"

    ended = mine.run("image", "build", template, "--json")
    summary = ended.summary
    assert summary["name"] == "golden/killed/0.0.1"
    assert summary["signature"]["ok"]
    assert mine.run("image", "verify", "golden/killed", "--json").json["ok"]
    versions = mine.run("gallery", "version", "list", "golden/killed", "--json").json
    assert [version["name"] for version in versions] == ["0.0.1"]
    again = mine.run("image", "build", template, "--rebuild", "--json").summary
    assert again["diskDigest"] == summary["diskDigest"]
    mine.run("image", "clean")
    leftovers = [path.name for path in (mine.state / "layers").glob(".work-*")]
    assert leftovers == []


def killed_at(world: World, template: Path, kill: Kill) -> bool:
    """Build, kill at the instant, and look at what is left; False when the build was done before it."""
    process = world.start("image", "build", template, "--json")
    lines: SimpleQueue[str | None] = SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    met = wait_for_stage(lines, kill.stage)
    if met:
        time.sleep(kill.seconds)
    running = process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    reader.join(60)
    assert_nothing_left(world.state)
    assert_gallery_holds_whole_versions_only(world)
    return running


def wait_for_stage(lines: "SimpleQueue[str | None]", stage: str) -> bool:
    """True at the newest beginning of the stage: events of a finished run of it are passed over."""
    end = time.monotonic() + 600
    begun = False
    while time.monotonic() < end:
        try:
            line = lines.get(timeout=0.15 if begun else 60)
        except Empty:
            return begun
        if line is None:
            return False
        if not line.startswith('{"seq"'):
            return False
        event = json.loads(line)
        if event.get("stage") == stage:
            begun = event["event"] in ("stage.started", "stage.note")
        elif begun and event["event"] == "stage.started":
            return True
    raise AssertionError(f"stage {stage} never began")


def assert_nothing_left(state: Path) -> None:
    """No process, mount or loop device of the killed build, within the moments the kernel takes."""
    end = time.monotonic() + 30
    while (left := list(traces_of(state))) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def traces_of(state: Path) -> Iterator[str]:
    wanted = str(state).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            zombie = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            continue
        if wanted in command and not zombie:
            yield f"process {entry.name}: {command.decode(errors='replace')[:120]}"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if str(state) in line:
            yield f"mount {line}"
    if which("losetup") is not None:
        for device in Path("/sys/block").glob("loop*/loop/backing_file"):
            if str(state) in device.read_text():
                yield f"loop device {device}"


def assert_gallery_holds_whole_versions_only(world: World) -> None:
    for version in world.run("gallery", "version", "list", "golden/killed", "--json").json:
        properties = version["properties"]
        if properties["provisioningState"] == "Succeeded":
            assert world.run("image", "verify", f"golden/killed/{version['name']}", "--json").json["ok"]
        else:
            assert properties["publishingProfile"]["excludeFromLatest"]
            latest = world.run("gallery", "latest", "golden/killed", check=False)
            assert latest.returncode == 1

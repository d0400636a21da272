"""A build killed with -9 at thirty instants spread over all its stages, and what must be true each time."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

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

# Seconds after a stage has begun. More than thirty, because a stage may end before its later instants.
INSTANTS: list[tuple[str, tuple[float, ...]]] = [
    ("capture", (0.0, 0.1)),
    ("step-1", (0.0, 0.15, 0.3, 0.45)),
    ("step-2", (0.0, 0.02)),
    ("step-3", (0.0, 0.15, 0.3, 0.45)),
    ("step-4", (0.0, 0.02)),
    ("step-5", (0.0, 0.1, 0.2)),
    ("assemble", (0.0, 0.4, 0.8, 1.2, 1.6)),
    ("seal", (0.0, 0.3, 0.6)),
    ("sbom", (0.0, 0.3, 0.6, 0.9)),
    ("validate", (0.0, 0.5, 2.0, 8.0)),
    ("sign", (0.0, 0.01)),
    ("publish", (0.0, 0.2, 0.4, 0.8, 1.2, 1.6)),
]


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
    watched = Watched()
    kills = 0
    for stage, instants in INSTANTS:
        for seconds in instants:
            if stage not in watched.finished:
                killed_at(mine, template, watched, stage=stage, seconds=seconds)
                kills += 1
    assert kills >= 30, f"the build was too fast for more than {kills} kills"

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


class Watched:
    """What the events of all runs so far have told: a build's events are numbered through all its runs."""

    def __init__(self) -> None:
        self.finished: set[str] = set()
        self.newest = 0

    def begins(self, line: str, stage: str) -> bool:
        """Take in an event; True when it says that `stage` begins, now and not in an earlier run."""
        if not line.startswith('{"seq"'):
            return False
        event = json.loads(line)
        is_new, self.newest = event["seq"] > self.newest, max(event["seq"], self.newest)
        if event["event"] == "stage.finished":
            self.finished.add(event["stage"])
        return bool(is_new and event["event"] == "stage.started" and event["stage"] == stage)


def killed_at(world: World, template: Path, watched: Watched, *, stage: str, seconds: float) -> None:
    """Build, kill `seconds` after `stage` has begun, and look at what is left."""
    process = world.start("image", "build", template, "--json")
    assert process.stdout is not None
    began = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if watched.begins(line, stage):
                began.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    end = time.monotonic() + 900
    # The stage may have been recorded as finished in the moment of the kill before: then this one comes here.
    while not (began.wait(0.01) or stage in watched.finished) and time.monotonic() < end:
        assert process.poll() is None, f"the build ended before stage {stage} began"
    if began.is_set():
        time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    reader.join(60)
    assert_nothing_left(world.state)
    assert_gallery_holds_whole_versions_only(world)


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

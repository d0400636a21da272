"""One captured base and one published image for all tests that boot; skipped where nothing can boot."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goldsmith.host.needs import FIRMWARE
from goldsmith.host.probe import find_firmware
from goldsmith.kernel import proc
from goldsmith.vm.model import DiskFormat, Firmware

EXAMPLES = Path(__file__).parents[2] / "examples"
_COMMAND_SECONDS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended; `json` is what it printed, read as JSON."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a build with --json: all lines before the final document."""
        lines = (line for line in self.stdout.splitlines() if line.startswith('{"seq"'))
        return [json.loads(line) for line in lines]

    @property
    def summary(self) -> Any:
        """The document a build with --json prints last."""
        lines = self.stdout.splitlines()
        last = max((i for i, line in enumerate(lines) if line.startswith('{"seq"')), default=-1)
        return json.loads("\n".join(lines[last + 1 :]))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A state directory, and the command line working on it as a user's would."""

    state: Path

    def argv(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "goldsmith", *map(str, words)]

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "GOLDSMITH_STATE": str(self.state)}

    def run(self, *words: str | Path, check: bool = True) -> Finished:
        done = subprocess.run(
            self.argv(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"goldsmith {' '.join(map(str, words))} failed:\n{done.stderr}\n{done.stdout[-3000:]}"
            )
        return Finished(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.argv(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def another(self, folder: Path) -> "World":
        """A state directory of its own that shares the captured bases, by hard links."""
        folder.mkdir(parents=True)
        for name in ("bases", "debs", "apt"):
            if (self.state / name).exists():
                subprocess.run(["cp", "-al", self.state / name, folder / name], check=True)
        return World(state=folder)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A state directory with the newest Debian 12 captured from the machine's own mirror."""
    for program in ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "mcopy"):
        if proc.which(program) is None:
            pytest.skip(f"{program} is not installed")
    made = World(state=tmp_path_factory.mktemp("world") / "state")
    if captured := os.environ.get("GOLDSMITH_TEST_STATE"):
        # Somebody who runs these tests again and again captures once.
        made = World(state=Path(captured)).another(made.state)
    made.run("marketplace", "capture", "Debian:debian-12:12-gen2:latest")
    yield made
    subprocess.run(["rm", "-rf", made.state], check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The ten-step example with a broken step 8: how it failed, what was seen inside, and its repair."""

    failed: Finished
    inside: Finished
    explained: Finished
    resumed: Finished


@pytest.fixture(scope="session")
def repaired(world: World, tmp_path_factory: pytest.TempPathFactory) -> Repaired:
    """The hardened example built in `world`, with a detour: broken, looked into, repaired, resumed."""
    folder = tmp_path_factory.mktemp("template") / "examples"
    shutil.copytree(EXAMPLES, folder)
    template = folder / "hardened.yaml"
    whole = template.read_text()
    broken = whole.replace("install -d -m 0755 /etc/chrony/conf.d", "cp /no/such/file /etc/chrony/")
    assert broken != whole
    template.write_text(broken)
    failed = world.run("image", "build", template, "--create-definition", "--json", check=False)
    look = "cat /etc/audit/rules.d/50-hardening.rules; ls /etc/chrony"
    inside = world.run("image", "shell", "debian-12-hardened", "--command", look)
    template.write_text(whole)
    explained = world.run("image", "explain", template, "--json")
    resumed = world.run("image", "resume", "--json")
    return Repaired(failed=failed, inside=inside, explained=explained, resumed=resumed)


@pytest.fixture(scope="session")
def hardened(repaired: Repaired) -> Finished:
    """The ten-step example published in `world`: booted, validated and signed."""
    return repaired.resumed


@pytest.fixture(scope="session")
def bootable_disk(request: pytest.FixtureRequest) -> Path:
    """A raw disk that boots under Secure Boot and starts a guest agent."""
    if disk := os.environ.get("GOLDSMITH_TEST_DISK"):
        return Path(disk)
    built: Finished = request.getfixturevalue("hardened")
    return Path(built.summary["disk"])


@pytest.fixture(scope="session")
def secure_firmware() -> Firmware:
    """Firmware with Secure Boot keys enrolled; also skips when QEMU or swtpm is absent."""
    for program in ("qemu-system-x86_64", "qemu-img", "swtpm", "swtpm_setup"):
        if proc.which(program) is None:
            pytest.skip(f"{program} is not installed")
    found = [files for files in find_firmware(FIRMWARE) if files.secure_boot]
    if not found:
        pytest.skip("no Secure Boot firmware is installed")
    return Firmware(
        code=found[0].code, vars=found[0].vars, format=DiskFormat(found[0].format), secure_boot=True
    )

"""What can go wrong with a build: each fault is told clearly, nothing is lost, and the way told leads on."""

import copy
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goldsmith.kernel import proc
from tests.boot.builds import (
    DEFINITION,
    GATE,
    Watched,
    captured_version,
    document,
    eventually,
    open_gates,
    prepare,
    running,
    spoil,
    stages,
    write,
)
from tests.boot.conftest import Finished, World

pytestmark = pytest.mark.boot

STEPS = {"greeting": "echo hello > /etc/motd", "second": "cp /etc/motd /etc/second"}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def version(world: World) -> str:
    return captured_version(world)


@pytest.fixture(scope="module")
def plain(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A state directory with a base, a definition without Trusted Launch, and no mirror."""
    made = world.another(tmp_path_factory.mktemp("plain") / "state")
    prepare(made)
    # Makes the database of jobs, so that the tests below may ask for no new file at all.
    made.run("image", "list")
    return made


def error_of(finished: Finished) -> Any:
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    return json.loads(finished.stderr)["error"]


# Templates that are wrong


def unknown_field(template: Document) -> None:
    template["properties"]["customize"][0]["inlines"] = ["true"]


def wrong_type(template: Document) -> None:
    template["properties"]["buildTimeoutInMinutes"] = "soon"


def two_at_once(template: Document) -> None:
    unknown_field(template)
    wrong_type(template)


def power_shell(template: Document) -> None:
    template["properties"]["customize"][0] = {"type": "PowerShell", "name": "greet", "inline": ["dir"]}


def missing_definition(template: Document) -> None:
    target = template["properties"]["distribute"][0]
    target["galleryImageId"] = target["galleryImageId"].replace("plain", "nowhere")


def unknown_region(template: Document) -> None:
    template["properties"]["distribute"][0]["targetRegions"] = [{"name": "mars"}]


def unknown_sku(template: Document) -> None:
    template["properties"]["source"]["sku"] = "12-gen3"


def wrong_checksum(template: Document) -> None:
    template["properties"]["customize"][0] = {
        "type": "File",
        "name": "settings",
        "sourceUri": "wrong_checksum.yaml",
        "destination": "/etc/settings",
        "sha256Checksum": "0" * 64,
    }


def missing_file(template: Document) -> None:
    template["properties"]["customize"][1] = {
        "type": "File",
        "name": "settings",
        "sourceUri": "no/such/file",
        "destination": "/etc/settings",
    }


def missing_script(template: Document) -> None:
    template["properties"]["customize"][1] = {"type": "Shell", "name": "run", "scriptUri": "no/such/script"}


BAD = [
    (unknown_field, ["customize[0].inlines", "did you mean inline?"]),
    (wrong_type, ["buildTimeoutInMinutes", "must be a whole number, got 'soon'"]),
    (two_at_once, ["inlines", "buildTimeoutInMinutes"]),
    (power_shell, ["customizer 'greet' is a PowerShell customizer", "cannot run on the Linux source"]),
    (missing_definition, ["galleries/golden/images/nowhere", "--create-definition"]),
    (unknown_region, ["mars"]),
    (unknown_sku, ["12-gen3", "12-gen2"]),
    (wrong_checksum, ["customizer 1 'settings'", "wrong_checksum.yaml has SHA-256", "expected 0000"]),
    (missing_file, ["customizer 2 'settings'", "no/such/file"]),
    (missing_script, ["customizer 2 'run'", "no/such/script"]),
]


@pytest.mark.parametrize(("spoiled", "told"), BAD, ids=[case[0].__name__ for case in BAD])
def test_a_bad_template_is_told_once_and_changes_nothing(
    plain: World, version: str, tmp_path: Path, spoiled: Callable[[Document], None], told: list[str]
) -> None:
    template = document(spoiled.__name__, version=version, steps=STEPS)
    spoiled(template)
    before = listing(plain.state)
    done = plain.run("image", "build", write(tmp_path, template), check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    for words in told:
        assert words in done.stderr
    assert listing(plain.state) == before


def test_a_template_that_is_no_yaml_is_told_with_its_line(plain: World, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: broken\nproperties: {source: [\n")
    before = listing(plain.state)
    done = plain.run("image", "build", path, check=False)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert f"{path}:3:1" in done.stderr
    assert listing(plain.state) == before


def listing(state: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file outside of the bases; the log of SQLite's readers comes and goes."""
    files: dict[str, tuple[int, int]] = {}
    for folder, names, found in os.walk(state):
        if Path(folder) == state:
            names[:] = [name for name in names if name not in ("bases", "debs")]
        for name in found:
            if not name.endswith(("-wal", "-shm")):
                status = (Path(folder) / name).stat()
                files[str(Path(folder, name).relative_to(state))] = (status.st_size, status.st_mtime_ns)
    return files


# The mirror


def test_without_the_mirror_latest_fails_and_names_the_version_to_pin(
    plain: World, version: str, tmp_path: Path
) -> None:
    # That the pinned version then builds is what every other build in this module shows.
    path = write(tmp_path, document("newest", version="latest", steps=STEPS))
    for verb in ("build", "explain"):
        error = error_of(plain.run("image", verb, path, "--json", check=False))
        assert error["code"] == "ServiceUnavailable"
        assert "127.0.0.1:9" in error["message"]
        assert f"Debian:debian-12:12-gen2:{version}" in error["hint"]


# Stopping


def test_a_canceled_build_ends_at_once_and_the_next_one_goes_on(
    plain: World, version: str, tmp_path: Path
) -> None:
    nap = f"sleep 300.{os.getpid()}"
    path = write(tmp_path, document("sleeper", version=version, steps={**STEPS, "nap": nap}))
    with Watched(plain, tmp_path, "image", "build", path) as build:
        build.until("3 nap ...")
        eventually(lambda: bool(running(nap)), lambda: "the step runs")
        (job,) = [j for j in plain.run("job", "list", "--json").json if j["state"] == "running"]
        plain.run("job", "cancel", job["id"])
        assert build.wait(120) == 130
        assert f"job {job['id']} was canceled" in build.said
        assert "build again to go on" in build.said
    eventually(lambda: not running(nap), lambda: "the step's programs are gone")
    assert plain.run("image", "show", "sleeper", "--json").json["state"] == "canceled"

    with Watched(plain, tmp_path, "image", "build", path) as build:
        build.until("3 nap ...")
        assert "2 second: reused" in build.said
        eventually(lambda: bool(running(nap)), lambda: "the step runs")
        build.signal(signal.SIGINT)
        assert build.wait(120) == 130
        assert "canceled" in build.said
    eventually(lambda: not running(nap), lambda: "the step's programs are gone")
    assert not list((plain.state / "layers").glob(".work-*"))
    assert [j["state"] for j in plain.run("job", "list", "--json").json if "sleeper" in j["id"]] == [
        "canceled",
        "canceled",
    ]


# A disk that is full, a layer and a base that are damaged, a boot that is interrupted; then the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed(World):
    """A world whose state directory is a small file system that only the namespace of `holder` has."""

    holder: int

    def argv(self, *words: str | Path) -> list[str]:
        return [*self._enter, *World.argv(self, *words)]

    @property
    def files(self) -> Path:
        """The state directory as it is seen from here."""
        return Path(f"/proc/{self.holder}/root") / self.state.relative_to("/")

    def resize(self, mib: int) -> None:
        """How much the file system may hold from now on."""
        subprocess.run([*self._enter, "mount", "-o", f"remount,size={mib}m", self.state], check=True)

    @property
    def used_mib(self) -> int:
        status = os.statvfs(self.files)
        return (status.f_blocks - status.f_bfree) * status.f_frsize >> 20

    @property
    def _enter(self) -> list[str]:
        # The root too, for a test run that is itself in a chroot.
        place = f"/proc/{self.holder}"
        return ["nsenter", f"--mount={place}/ns/mnt", f"--root={place}/root", "--"]


@pytest.fixture(scope="module")
def enclosed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enclosed]:
    state = tmp_path_factory.mktemp("enclosed") / "state"
    state.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a file system of a chosen size needs root to be mounted")
    holder = proc.spawn(["unshare", "--mount", "--", "sh", "-c", "echo; exec sleep infinity"], stdout=-1)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        made = Enclosed(state=state, holder=holder.pid)
        mount = ["mount", "-t", "tmpfs", "-o", "size=8g,mode=0700", "state", str(state)]
        subprocess.run([*made._enter, *mount], check=True)
        for name in ("bases", "debs"):
            subprocess.run([*made._enter, "cp", "-a", world.state / name, state / name], check=True)
        prepare(made, files=made.files)
        yield made
    finally:
        proc.kill_group(holder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordeal:
    """One template built with the same command again and again, a fault after the other put right."""

    crowded_out: Finished
    full_in_a_step: Finished
    after_full_step: list[str]
    damaged_layer: Finished
    full_at_assembly: Finished
    after_full_assembly: list[str]
    damaged_base: Finished
    interrupted: str
    interrupted_status: int
    left_running: list[str]
    finished: Finished


@pytest.fixture(scope="module")
def ordeal(enclosed: Enclosed, version: str, tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    folder = tmp_path_factory.mktemp("ordeal")
    steps = {
        **STEPS,
        # Read from the step before: what is damaged there must not live on here.
        "big": "dd if=/dev/zero of=/opt/big bs=1M count=64; cat /etc/second > /etc/third",
    }
    template = document(
        "ordeal", version=version, steps=steps, validators={"copied": "grep hello /etc/third"}
    )
    path = write(folder, template)
    build = ("image", "build", path, "--json")

    enclosed.resize(enclosed.used_mib + 32)
    filler = enclosed.files / "filler"
    fill(filler)
    crowded_out = enclosed.run(*build, check=False)
    filler.unlink()

    full_in_a_step = enclosed.run(*build, check=False)
    after_full_step = visible(enclosed.files)

    enclosed.resize(enclosed.used_mib + 160)
    spoil(layer_of(enclosed.files, "second") / "diff/etc/second")
    damaged_layer = enclosed.run(*build, check=False)
    follow(enclosed, error_of(damaged_layer)["hint"].partition(": ")[2])

    full_at_assembly = enclosed.run(*build, check=False)
    after_full_assembly = visible(enclosed.files)
    enclosed.resize(8192)

    spoil(base_of(enclosed.files, version) / "root/etc/debian_version")
    damaged_base = enclosed.run(*build, check=False)
    follow(enclosed, error_of(damaged_base)["hint"].partition(": ")[2])

    with Watched(enclosed, folder, "image", "build", path) as watched:
        watched.until("boot and validate ...")
        eventually(lambda: bool(machines(enclosed)), lambda: "the machine has started")
        watched.signal(signal.SIGINT)
        status = watched.wait(120)
        left_running = machines(enclosed)
        interrupted = watched.said

    return Ordeal(
        crowded_out=crowded_out,
        full_in_a_step=full_in_a_step,
        after_full_step=after_full_step,
        damaged_layer=damaged_layer,
        full_at_assembly=full_at_assembly,
        after_full_assembly=after_full_assembly,
        damaged_base=damaged_base,
        interrupted=interrupted,
        interrupted_status=status,
        left_running=left_running,
        finished=enclosed.run(*build),
    )


def fill(path: Path) -> None:
    """Write until nothing fits any more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def follow(world: Enclosed, command: str) -> None:
    """Do what a hint says, as it says it."""
    program, *words = shlex.split(command)
    if program == "goldsmith":
        world.run(*words)
    else:
        subprocess.run([*world._enter, program, *words], check=True)


def visible(state: Path) -> list[str]:
    """The names of the finished layers, and whatever looks like a disk or like work left behind."""
    layers = [
        json.loads(path.read_text())["step"]["name"] for path in state.glob("layers/layers/*/layer.json")
    ]
    others = [*state.glob("disks/*"), *state.glob("layers/.work-*"), *state.glob("builds/*/*disk*")]
    hidden = [*state.glob("builds/*/.*"), *state.glob("images/*"), *state.glob("regions/*/*")]
    return sorted(layers) + [str(path.relative_to(state)) for path in (*others, *hidden)]


def layer_of(state: Path, name: str) -> Path:
    (found,) = [
        path.parent
        for path in state.glob("layers/layers/*/layer.json")
        if json.loads(path.read_text())["step"]["name"] == name
    ]
    return found


def base_of(state: Path, version: str) -> Path:
    identity = f"Debian:debian-12:12-gen2:{version}"
    (found,) = [
        path.parent
        for path in state.glob("bases/*/base.json")
        if json.loads(path.read_text())["identity"] == identity
    ]
    return found


def machines(world: World) -> list[str]:
    return [line for line in running(str(world.state)) if "qemu-system" in line.partition(" ")[0]]


def test_a_disk_full_before_the_build_is_told(ordeal: Ordeal) -> None:
    error = error_of(ordeal.crowded_out)
    assert error["code"] == "InsufficientStorage"
    assert "free some room" in error["hint"]


def test_a_disk_that_a_step_fills_is_told_and_no_half_layer_stays(ordeal: Ordeal) -> None:
    error = error_of(ordeal.full_in_a_step)
    assert error["code"] == "InsufficientStorage"
    assert "no room left on the file system of" in error["message"]
    assert "free some room" in error["hint"]
    assert stages(ordeal.full_in_a_step.events, "stage.failed") == ["step-3"]
    assert ordeal.after_full_step == ["greeting", "second"]


def test_a_damaged_layer_is_named_before_anything_is_made_on_it(ordeal: Ordeal) -> None:
    error = error_of(ordeal.damaged_layer)
    assert error["code"] == "DataCorrupt"
    assert "the layer of step 'second' is damaged" in error["message"]
    assert "etc/second" in error["message"]
    assert re.search(r"rm -r /\S+/layers/\S+", error["hint"])
    # It was looked at beside the step that ran on it, and before anything was sealed.
    assert "seal" not in stages(ordeal.damaged_layer.events, "stage.finished")


def test_a_disk_full_at_assembly_is_told_and_no_half_disk_stays(ordeal: Ordeal) -> None:
    # The layer that was removed as the hint said runs again, and so does the step that found no room.
    reused = {e["stage"]: e["reused"] for e in ordeal.full_at_assembly.events if "reused" in e}
    assert reused == {
        "capture": True,
        "step-1": True,
        "step-2": False,
        "step-3": False,
        "step-4": False,
        "step-5": False,
    }
    error = error_of(ordeal.full_at_assembly)
    assert error["code"] == "InsufficientStorage"
    assert "free some room" in error["hint"]
    assert stages(ordeal.full_at_assembly.events, "stage.failed") == ["assemble"]
    assert set(ordeal.after_full_assembly) <= {"greeting", "second", "big", "tattoo", "seal", "boot files"}


def test_a_damaged_base_is_named_with_the_way_to_have_it_again(ordeal: Ordeal, version: str) -> None:
    error = error_of(ordeal.damaged_base)
    assert error["code"] == "DataCorrupt"
    assert f"the base Debian:debian-12:12-gen2:{version} is damaged" in error["message"]
    assert "etc/debian_version" in error["message"]
    assert "goldsmith marketplace capture --from-lock" in error["hint"]


def test_an_interrupted_boot_leaves_no_machine(ordeal: Ordeal) -> None:
    assert ordeal.interrupted_status == 130
    assert "was canceled" in ordeal.interrupted
    assert ordeal.left_running == []


def test_after_all_that_the_same_command_publishes_with_nothing_made_twice(
    ordeal: Ordeal, enclosed: Enclosed
) -> None:
    reused = {e["stage"]: e["reused"] for e in ordeal.finished.events if "reused" in e}
    assert [reused[f"step-{number}"] for number in range(1, 6)] == [True] * 5
    summary = ordeal.finished.summary
    # No failed try has used up a version.
    assert summary["name"] == f"{DEFINITION}/0.0.1"
    assert summary["signature"]["ok"]
    report = enclosed.run("image", "verify", DEFINITION, "--json").json
    assert report["ok"]


def test_a_disk_that_fills_up_beside_a_build_ends_it_and_the_next_command_takes_it_on(
    enclosed: Enclosed, version: str, tmp_path: Path
) -> None:
    words = ["--publisher", "Example", "--offer", "crowded", "--sku", "crowded"]
    enclosed.run("gallery", "definition", "create", "golden/crowded", *words)
    template = document(
        "crowded", version=version, steps={**STEPS, "gate": GATE}, definition="golden/crowded"
    )
    path = write(tmp_path, template)
    filler = enclosed.files / "filler"
    enclosed.resize(enclosed.used_mib + 64)
    try:
        with Watched(enclosed, tmp_path, "image", "build", path) as build:
            build.until("3 gate ...")
            eventually(
                lambda: bool(list(enclosed.files.glob("step-debs/*/"))), lambda: "the step waits at the gate"
            )
            fill(filler)
            open_gates(enclosed.files)
            # Not the time limit of anything: it must see by itself that nothing can be written down.
            assert build.wait(240) == 1
            assert "Traceback" not in build.said
            assert build.said.count("error: ") == 1
            assert "no room left" in build.said
            assert "hint: free some room" in build.said
    finally:
        filler.unlink(missing_ok=True)
        enclosed.resize(8192)
    (job,) = [j for j in enclosed.run("job", "list", "--json").json if "crowded" in j["id"]]
    with Watched(enclosed, tmp_path, "image", "build", path) as build:

        def beyond_the_gate() -> bool:
            open_gates(enclosed.files)
            return "3 gate: " in build.said

        eventually(beyond_the_gate, lambda: f"the step goes on; it said:\n{build.said}")
        build.signal(signal.SIGINT)
        assert build.wait(120) == 130
        assert build.said.count("2 second ...") == 1
    jobs = [j for j in enclosed.run("job", "list", "--json").json if "crowded" in j["id"]]
    assert [(j["id"], j["attempt"]) for j in jobs] == [(job["id"], 2)]


# Images that do not pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The same flaws in two templates: one stops at them, the other distributes all the same."""

    stopped: Finished
    distributed: Finished


@pytest.fixture(scope="module")
def rejected(plain: World, version: str, tmp_path_factory: pytest.TempPathFactory) -> Rejected:
    folder = tmp_path_factory.mktemp("rejected")
    unit = '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "echo i give up; exit 3"\\n'
    wants = "/etc/systemd/system/multi-user.target.wants"
    steps = {
        **STEPS,
        "service": f"printf '{unit}' > /etc/systemd/system/flawed.service; "
        f"mkdir -p {wants}; ln -s ../flawed.service {wants}/flawed.service",
    }
    template = document(
        "flawed", version=version, steps=steps, validators={"farewell": "grep bye /etc/second"}
    )
    careless = copy.deepcopy(template)
    careless["name"] = "careless"
    careless["properties"]["validate"]["continueDistributeOnFailure"] = True
    # Both at once, because a boot is long.
    first = plain.start("image", "build", write(folder, template), "--json")
    second = plain.start("image", "build", write(folder, careless), "--json")
    done = []
    for process in (first, second):
        out, err = process.communicate(timeout=1500)
        done.append(Finished(returncode=process.returncode, stdout=out, stderr=err))
    return Rejected(stopped=done[0], distributed=done[1])


def test_a_failed_unit_and_a_failed_validator_are_blamed_on_the_steps_that_brought_them(
    rejected: Rejected,
) -> None:
    error = error_of(rejected.stopped)
    assert error["code"] == "ValidationFailed"
    assert "flawed.service" in error["message"]
    assert "brought in by step 3 (service)" in error["message"]
    told = {detail["target"]: detail["message"] for detail in error["details"]}
    assert set(told) == {"health", "farewell", "evidence"}
    assert "'grep bye /etc/second' ended with exit status 1" in told["farewell"]
    assert "brought in by step 2 (second)" in told["farewell"]
    assert "goldsmith image resume flawed" in error["hint"]


def test_the_evidence_of_an_image_that_failed_is_kept(rejected: Rejected) -> None:
    told = {item["target"]: item["message"] for item in error_of(rejected.stopped)["details"]}
    evidence = Path(told["evidence"])
    assert "login:" in (evidence / "serial.log").read_text(errors="replace")
    assert "i give up" in (evidence / "journal.log").read_text(errors="replace")
    assert (evidence / "screen.png").read_bytes().startswith(b"\x89PNG")


def test_an_image_that_failed_is_not_published_unless_the_template_says_so(
    rejected: Rejected, plain: World
) -> None:
    assert "publish" not in stages(rejected.stopped.events, "stage.started")
    assert "publish" in stages(rejected.distributed.events, "stage.finished")
    error = error_of(rejected.distributed)
    assert error["code"] == "ValidationFailed"
    build = plain.run("image", "show", "careless", "--json").json
    (published,) = plain.run("gallery", "version", "list", DEFINITION, "--json").json
    assert published["name"] == build["version"]
    assert published["properties"]["publishingProfile"]["excludeFromLatest"] is True
    refused = plain.run("gallery", "latest", DEFINITION, check=False)
    assert refused.returncode == 1
    assert "hint: " in refused.stderr

"""The hardened ten-step example, built and booted for real: what comes out, and what is run again when."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from goldsmith.tattoo.text import parse_text
from tests.boot.conftest import EXAMPLES, Finished, Repaired, World

pytestmark = pytest.mark.boot

STEPS = 12


def test_a_failed_step_is_told_with_command_status_last_lines_and_log(repaired: Repaired) -> None:
    assert repaired.failed.returncode == 1
    error = json.loads(repaired.failed.stderr)["error"]
    assert error["code"] == "CustomizerFailed"
    assert "step 8 'time-sync' failed: 'cp /no/such/file /etc/chrony/'" in error["message"]
    assert "exit status 1" in error["message"]
    assert "goldsmith image resume debian-12-hardened" in error["hint"]
    told = {detail["target"]: detail["message"] for detail in error["details"]}
    assert "No such file or directory" in told["last lines"]
    assert "No such file or directory" in Path(told["log"]).read_text()


def test_the_root_is_entered_as_the_failed_step_left_it(repaired: Repaired) -> None:
    # Step 7 wrote the rules; what step 8 should have made is not there.
    assert "/etc/sudoers.d" in repaired.inside.stdout
    assert "chrony.conf" in repaired.inside.stdout
    assert "10-hardening.conf" not in repaired.inside.stdout


def test_a_repaired_build_goes_on_at_the_step_that_failed(repaired: Repaired) -> None:
    reused = {
        event["stage"]: event["reused"]
        for event in repaired.resumed.events
        if event["event"] == "stage.finished" and event["stage"].startswith("step-")
    }
    assert [reused[f"step-{number}"] for number in range(1, STEPS + 1)] == [True] * 7 + [False] * 5


def test_explain_says_which_layers_are_reused_and_why_others_are_not(repaired: Repaired) -> None:
    steps = repaired.explained.json["steps"]
    assert [step["verdict"] for step in steps] == ["reused"] * 7 + ["run"] * 5
    assert steps[7]["reason"] == "inline changed in the template"
    assert steps[8]["reason"] == "step 8 (time-sync) before it runs again"


def test_every_stage_runs_and_every_check_passes(world: World, hardened: Finished) -> None:
    finished = [event["stage"] for event in hardened.events if event["event"] == "stage.finished"]
    steps = [f"step-{number}" for number in range(1, STEPS + 1)]
    assert finished == ["capture", *steps, "assemble", "seal", "sbom", "validate", "sign", "publish"]
    report = artifact(world, "report.json")
    assert report["passed"]
    assert report["machine"]["secureBoot"]
    assert report["machine"]["vTpm"]
    names = {test["name"]: test["ok"] for test in report["tests"]}
    assert names == dict.fromkeys(names, True)
    assert {"boot", "health", "tattoo", "secure-boot", "boot-integrity", "services-active"} <= set(names)
    for phase in ("firmwareSeconds", "kernelSeconds", "userspaceSeconds"):
        assert report["boot"][phase] > 0


def test_the_summary_tells_what_was_made(hardened: Finished) -> None:
    summary = hardened.summary
    assert summary["name"] == "golden/debian-12-hardened/1.0.0"
    assert summary["signature"]["ok"]
    assert summary["packages"] > 200
    tattoo = parse_text(summary["tattoo"])
    assert tattoo["GOLDSMITH_SOURCE_OFFER"] == "debian-12"
    assert tattoo["GOLDSMITH_IMAGE_VERSION"] == "1.0.0"
    assert tattoo["GOLDSMITH_OUT_OF_BAND"] == "false"


def test_the_golden_measurements_are_kept(world: World, hardened: Finished) -> None:
    assert hardened.returncode == 0
    measured = artifact(world, "measurements.json")
    assert measured["replayMatches"]
    assert measured["secureBoot"]
    assert set(measured["golden"]) == {*map(str, range(10)), "14"}


def test_the_bill_of_materials_knows_each_deb_by_its_hash(world: World, hardened: Finished) -> None:
    document = artifact(world, "spdx.json")
    binaries = [
        package
        for package in document["packages"]
        if any("pkg:deb/" in r["referenceLocator"] for r in package.get("externalRefs", []))
        and package["primaryPackagePurpose"] != "SOURCE"
    ]
    assert len(binaries) == hardened.summary["packages"]
    assert [package["name"] for package in binaries if not package.get("checksums")] == []
    assert {"jq", "auditd", "chrony"} <= {package["name"] for package in binaries}


def test_a_build_in_which_nothing_changed_runs_nothing(world: World, hardened: Finished) -> None:
    again = world.run("image", "build", EXAMPLES / "hardened.yaml", "--json")
    assert again.events == []
    assert again.summary["unchanged"]
    assert again.summary["diskDigest"] == hardened.summary["diskDigest"]


def test_a_rebuild_from_nothing_gives_the_same_digest(world: World, hardened: Finished) -> None:
    again = world.run("image", "build", EXAMPLES / "hardened.yaml", "--rebuild", "--json")
    ran = [event for event in again.events if event["event"] == "stage.finished" and not event["reused"]]
    assert len([event for event in ran if event["stage"].startswith("step-")]) == STEPS
    assert again.summary["unchanged"]
    assert again.summary["diskDigest"] == hardened.summary["diskDigest"]


def test_a_changed_input_runs_its_step_and_those_after_it(
    world: World, hardened: Finished, tmp_path: Path
) -> None:
    assert hardened.returncode == 0
    template = copy_of_examples(tmp_path) / "hardened.yaml"
    text = template.read_text().replace("kernel.kptr_restrict = 2", "kernel.kptr_restrict = 1", 1)
    # The last step fails on purpose: which steps run is seen without another boot.
    template.write_text(text.replace("- chmod 0644 /etc/fleet-agent/agent.conf", "- exit 7"))
    explained = world.run("image", "explain", template, "--json").json
    verdicts = [step["verdict"] for step in explained["steps"]]
    assert verdicts == ["reused"] + ["run"] * (STEPS - 1)
    assert explained["steps"][1]["reason"] == "inline changed in the template"
    assert "step 2 (kernel-settings)" in explained["steps"][2]["reason"]

    failed = world.run("image", "build", template, "--json", check=False)
    ended = {e["stage"]: e["reused"] for e in failed.events if e["event"] == "stage.finished"}
    assert [ended[f"step-{number}"] for number in range(1, 10)] == [True] + [False] * 8
    assert "step 10 'cleanup' failed: 'exit 7' ended with exit status 7" in failed.stderr


def test_verification_needs_nothing_but_files_and_the_public_key(
    world: World, hardened: Finished, tmp_path: Path
) -> None:
    summary = hardened.summary
    evidence = tmp_path / "evidence"
    shutil.copytree(summary["regions"][0]["evidence"], evidence)
    key = world.state / "keys" / "signing.pub.pem"
    elsewhere = World(state=tmp_path / "empty")
    words = ["image", "verify", "x/y", "--evidence", evidence, "--key", key, "--disk", summary["disk"]]
    report = elsewhere.run(*words, "--json").json
    assert report["ok"]

    changed = tmp_path / "changed.raw"
    subprocess.run(["cp", "--sparse=always", summary["disk"], changed], check=True)
    changed.chmod(0o644)
    with changed.open("r+b") as disk:
        disk.seek(100 << 20)
        byte = disk.read(1)
        disk.seek(100 << 20)
        disk.write(bytes([byte[0] ^ 1]))
    words[-1] = changed
    refused = elsewhere.run(*words, "--json", check=False)
    assert refused.returncode == 1
    failed = [check["name"] for check in json.loads(refused.stdout)["checks"] if check["outcome"] == "failed"]
    assert failed == ["disk"]


def test_the_exported_disk_is_the_published_one(world: World, hardened: Finished, tmp_path: Path) -> None:
    cached = Path(hardened.summary["disk"])
    cached.unlink()
    try:
        made = world.run(
            "gallery", "export", "golden/debian-12-hardened/latest", tmp_path / "disk.raw", "--json"
        ).json
        assert made["digest"] == hardened.summary["diskDigest"]
    finally:
        assert cached.exists()
    qcow2 = tmp_path / "disk.qcow2"
    world.run("gallery", "export", "golden/debian-12-hardened", qcow2)
    compared = subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", cached, qcow2], capture_output=True, check=False
    )
    assert compared.returncode == 0, compared.stdout


def artifact(world: World, suffix: str) -> Any:
    (build,) = [
        path.parent
        for path in (world.state / "builds").glob("*/record.json")
        if json.loads(path.read_text())["state"] == "succeeded"
        and json.loads(path.read_text())["plan"]["template_name"] == "debian-12-hardened"
    ]
    return json.loads((build / "artifacts" / f"image.{suffix}").read_text())


def copy_of_examples(tmp_path: Path) -> Path:
    copied = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copied)
    return copied

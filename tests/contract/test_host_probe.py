"""The probe on the very host the tests run on: it must come back, tell the truth and leave no trace."""

import os
from dataclasses import replace
from pathlib import Path

from goldsmith.host.cache import known_host
from goldsmith.host.facts import choose_accelerator, from_json, to_json
from goldsmith.host.needs import FirmwareCandidate
from goldsmith.host.probe import find_firmware, probe_host, probe_kvm
from goldsmith.host.report import report


def mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def test_probe_tells_what_this_host_is_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    before = mounts()
    facts = probe_host(tmp_path)
    assert mounts() == before
    assert list(tmp_path.iterdir()) == []
    assert facts.architecture == os.uname().machine
    assert facts.cores >= 1
    assert facts.memory_bytes > 0
    assert facts.free_bytes > 0
    assert facts.file_systems
    assert facts.user_id == os.getuid()
    for check in (facts.kvm, facts.overlay, facts.user_namespaces, facts.overlay_in_user_namespace):
        assert check.reason
    assert from_json(to_json(facts)) == facts
    assert report(facts).verdicts


def test_probe_of_a_state_directory_that_does_not_exist_yet_makes_none(tmp_path: Path) -> None:
    absent = tmp_path / "not" / "yet"
    assert probe_host(absent).free_bytes > 0
    assert not (tmp_path / "not").exists()


def test_kvm_verdict_comes_with_its_reason() -> None:
    check = probe_kvm()
    assert check.reason
    if not Path("/dev/kvm").exists():
        assert not check.works


def test_firmware_is_found_only_with_both_files(tmp_path: Path) -> None:
    for name in ("a.code", "a.vars", "b.code"):
        (tmp_path / name).touch()
    candidates = [
        FirmwareCandidate(
            code=str(tmp_path / f"{name}.code"), vars=str(tmp_path / f"{name}.vars"), secure_boot=s
        )
        for name, s in (("b", True), ("a", True), ("c", False))
    ]
    assert [files.code.name for files in find_firmware(candidates)] == ["a.code"]


def test_known_facts_are_not_probed_again_until_the_host_changes(tmp_path: Path) -> None:
    first = known_host(tmp_path)
    stored = tmp_path / "host.json"
    assert stored.stat().st_mode & 0o777 == 0o600
    # Facts that no probe would find show whether one was made.
    marked = stored.read_text().replace(f'"kernel": "{first.kernel}"', '"kernel": "remembered"')
    stored.write_text(marked)
    again = known_host(tmp_path)
    assert again == replace(first, kernel="remembered", free_bytes=again.free_bytes)
    assert choose_accelerator(again) is choose_accelerator(first)
    stored.write_text(marked.replace(first.boot_id, "another boot"))
    assert known_host(tmp_path).kernel == first.kernel


def test_unreadable_memory_only_costs_a_probe(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"key": 1')
    assert known_host(tmp_path).architecture == os.uname().machine

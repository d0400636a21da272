"""What validation does without a machine: suites out of validators, and who is blamed for a failure."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from goldsmith.disk.layers import Layer
from goldsmith.imagetemplate.model import File, Shell
from goldsmith.marketplace.model import Capture
from goldsmith.publishing.customising import who_brought
from goldsmith.publishing.model import PlannedStep, StepKind
from goldsmith.publishing.validation import (
    Finding,
    ValidationResult,
    failed_command,
    inline_script,
    suites_of,
)
from tests.unit.test_publishing_planning import BASE


def test_a_file_goes_to_every_suite_after_it(tmp_path: Path) -> None:
    early, late, script = tmp_path / "early", tmp_path / "late", tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\nexit 0\n")
    suites = suites_of(
        [
            ("first", Shell(inline=("true",)), None),
            ("early", File(source_uri="early", destination="/opt/early"), early),
            ("second", Shell(inline=("true", "false")), None),
            ("late", File(source_uri="late", destination="/opt/late"), late),
            ("third", Shell(script_uri="tests/check.sh"), script),
        ]
    )
    assert [(suite.name, dict(suite.files)) for suite in suites] == [
        ("first", {}),
        ("second", {"/opt/early": early}),
        ("third", {"/opt/early": early, "/opt/late": late}),
    ]
    assert suites[1].label == "true\nfalse"
    assert (suites[2].label, suites[2].script) == ("tests/check.sh", script.read_bytes())


def trace(*lines: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh"], input=inline_script(lines).decode(), capture_output=True, text=True, check=False
    )


def test_inline_lines_stop_at_the_first_failure_and_name_it() -> None:
    done = trace("true", "test a = b", "echo unreached")
    assert done.returncode == 1
    assert done.stdout == ""
    assert failed_command(done.stderr) == "test a = b"


@pytest.mark.parametrize(
    ("stderr", "command"),
    [
        ("+ true\n+ grep bye /etc/motd\n", "grep bye /etc/motd"),
        ("+ cat /x\ncat: /x: No such file\n", "cat /x"),
        ("++ nested\n", "nested"),
        ("+100 is no trace\n", ""),
        ("", ""),
    ],
)
def test_the_failed_command_is_the_last_one_shown(stderr: str, command: str) -> None:
    assert failed_command(stderr) == command


@pytest.fixture
def base(tmp_path: Path) -> Capture:
    root = tmp_path / "base"
    for path in ("etc/motd", "etc/hosts", "usr/lib/systemd/system/ssh.service"):
        put(root, path)
    return replace(BASE, root=root)


def put(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(path)


def layer(folder: Path, index: int, name: str, *paths: str) -> tuple[PlannedStep, Layer]:
    step = PlannedStep(index=index, kind=StepKind.SHELL, name=name, key=f"k{index}", ingredients={})
    made = Layer(
        key=step.key,
        path=folder / name,
        digest="sha256:l",
        size_bytes=0,
        created_at="",
        seconds=0.0,
        step={},
        parents=(),
    )
    for path in paths:
        put(made.diff, path)
    return step, made


def test_the_newest_layer_with_a_path_brought_it_in(base: Capture, tmp_path: Path) -> None:
    name = who_brought(
        base,
        [
            layer(tmp_path, 1, "first", "etc/motd", "etc/first"),
            layer(tmp_path, 2, "second", "etc/motd", "usr/lib/systemd/system/flawed.service"),
        ],
    )
    assert name("/etc/motd") == "step 2 (second)"
    assert name("/etc/first") == "step 1 (first)"
    assert name("/etc/hosts") == f"the base image {BASE.identity}"
    assert name("/etc/absent") == ""


def test_paths_are_found_below_usr_when_named_the_old_way(base: Capture, tmp_path: Path) -> None:
    name = who_brought(base, [layer(tmp_path, 1, "one", "usr/lib/systemd/system/flawed.service")])
    assert name("/lib/systemd/system/flawed.service") == "step 1 (one)"
    assert name("/lib/systemd/system/../system/ssh.service") == f"the base image {BASE.identity}"


def test_a_dangling_link_counts_and_a_name_too_long_does_not(base: Capture, tmp_path: Path) -> None:
    step, made = layer(tmp_path, 1, "one", "etc/one")
    (made.diff / "etc/link").symlink_to("/nowhere")
    name = who_brought(base, [(step, made)])
    assert name("/etc/link") == "step 1 (one)"
    assert name("/etc/" + "x" * 300) == ""
    # A file where the path has a directory.
    assert name("/etc/one/below") == ""


def test_a_result_is_good_when_every_finding_is() -> None:
    good, bad = Finding(name="boot", ok=True, seconds=1), Finding(name="health", ok=False, seconds=1)

    def result(*findings: Finding) -> ValidationResult:
        return ValidationResult(findings=findings, report={}, measurements=None, boot_seconds={})

    assert result(good).ok
    assert not result(good, bad).ok
    assert result(good, bad).failures == (bad,)


def test_the_words_of_a_failure_are_searched_for_paths() -> None:
    from goldsmith.publishing import validation

    found = validation._PATH.findall("grep: /etc/motd: No such file; see /usr/bin/x, /proc/1 and /tmp/y")
    assert [re.sub("[.:,]+$", "", path) for path in found] == ["/etc/motd", "/usr/bin/x"]

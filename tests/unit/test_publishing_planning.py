"""Plans: where an image goes, what its steps are keyed by, and which version a build is given."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goldsmith.kernel.errors import ConflictError, InvalidInputError, UnsupportedError
from goldsmith.kernel.json import JsonObject
from goldsmith.marketplace.model import Capture, SourceKind
from goldsmith.publishing import planning
from goldsmith.publishing.model import (
    BuildPlan,
    BuildRecord,
    BuildState,
    Emergency,
    StepInput,
    StepKind,
)
from goldsmith.publishing.planning import Versions
from goldsmith.publishing.request import BuildRequest

GROUP = "/subscriptions/s/resourceGroups/g/providers"
DEFINITION = f"{GROUP}/Microsoft.Compute/galleries/golden/images/web"
SUBNET = f"{GROUP}/Microsoft.Network/virtualNetworks/v/subnets/s"
RUNNING, SUCCEEDED, FAILED, CANCELED = BuildState
BASE = Capture(
    kind=SourceKind.PLATFORM_IMAGE,
    identity="Debian:debian-12:12-gen2:0.20261101.7",
    digest="sha256:" + "b" * 64,
    root=Path("/bases/b/root"),
    epoch=1_700_000_000,
    os_version="12.15",
    architecture="x64",
    captured_at=datetime(2026, 11, 2, tzinfo=UTC),
    package_count=1,
    size_bytes=1,
    source_digest="sha256:" + "c" * 64,
    lock=None,
    releases=(),
)
SETTINGS = StepInput(role="sourceUri", uri="settings", digest="sha256:" + "1" * 64)
SHELL: JsonObject = {"type": "Shell", "name": "greet", "inline": ["echo hello"]}
FILE: JsonObject = {"type": "File", "name": "settings", "sourceUri": "settings", "destination": "/etc/s"}


def request(
    name: str = "web",
    *,
    customize: list[JsonObject] | None = None,
    emergency: Emergency | None = None,
    rebuild: bool = False,
    date: str = "2026-11-26",
    **properties: Any,
) -> BuildRequest:
    distribute = properties.pop("distribute", None) or [target()]
    return BuildRequest(
        name=name,
        document={
            "location": "local",
            "properties": {
                "source": {
                    "type": "PlatformImage",
                    "publisher": "Debian",
                    "offer": "debian-12",
                    "sku": "12-gen2",
                },
                "customize": [SHELL] if customize is None else customize,
                "distribute": distribute,
                **properties,
            },
        },
        path="/t/web.yaml",
        directory="/t",
        declared_date=date,
        emergency=emergency,
        rebuild=rebuild,
    )


def target(image: str = DEFINITION, **fields: Any) -> JsonObject:
    return {"type": "SharedImage", "runOutputName": "gallery", "galleryImageId": image, **fields}


def plan(
    asked: BuildRequest,
    *,
    published: tuple[str, ...] = (),
    records: tuple[BuildRecord, ...] = (),
    base: Capture = BASE,
    inputs: tuple[StepInput, ...] = (SETTINGS,),
) -> BuildPlan:
    files = [() if step["type"] == "Shell" else inputs for step in asked.document["properties"]["customize"]]
    return planning.make_plan(
        asked,
        base,
        customizer_inputs=files,
        validator_inputs=(),
        versions=Versions(published=published, records=records),
    )


def record(made: BuildPlan, state: BuildState, **fields: Any) -> BuildRecord:
    result: JsonObject = {"versionId": f"{made.definition_id}/versions/{made.version}"}
    return BuildRecord(
        plan=made,
        job_id="j",
        state=state,
        template={},
        template_path="/t/web.yaml",
        started_at="2026-11-26T00:00:00Z",
        **{"result": result if state is SUCCEEDED else {}, **fields},
    )


def another(name: str = "web") -> BuildRequest:
    """A request whose inputs differ from those of `request()`."""
    return request(name, customize=[{**SHELL, "inline": ["echo other"]}])


# Where it goes


def test_a_template_goes_to_exactly_one_gallery() -> None:
    both = [target(), {"type": "VHD", "runOutputName": "vhd"}]
    for distribute in (both, [both[1]], [target(), target(runOutputName="second")]):
        with pytest.raises(UnsupportedError, match=r"expected one SharedImage") as caught:
            planning.refuse(request(distribute=distribute).template)
        assert "goldsmith gallery export" in (caught.value.hint or "")


def test_a_version_in_gallery_image_id_names_the_same_definition() -> None:
    for image in (DEFINITION, f"{DEFINITION}/versions/1.2.3"):
        distributor = planning.shared_image(request(distribute=[target(image)]).template)
        assert str(planning.definition_id(distributor)) == DEFINITION


def test_data_disks_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="additional data disks"):
        planning.refuse(request(additionalDataDisks=[{"sizeGB": 1}]).template)


def test_a_step_for_windows_is_refused() -> None:
    windows = {"type": "PowerShell", "name": "greet", "inline": ["dir"]}
    with pytest.raises(InvalidInputError, match="PowerShell"):
        planning.refuse(request(customize=[windows]).template)


# Steps


def test_a_plan_ends_with_the_tattoo_and_the_seal() -> None:
    made = plan(request(customize=[SHELL, FILE]))
    assert [(step.index, step.kind, step.name) for step in made.steps] == [
        (1, StepKind.SHELL, "greet"),
        (2, StepKind.FILE, "settings"),
        (3, StepKind.TATTOO, "tattoo"),
        (4, StepKind.SEAL, "seal"),
    ]
    assert [step.ingredients["parent"] for step in made.steps] == [
        BASE.digest,
        *(step.key for step in made.steps[:-1]),
    ]


def test_only_shell_steps_of_a_template_with_a_subnet_have_a_network() -> None:
    closed = plan(request(customize=[SHELL, FILE]))
    assert not any(step.network_open for step in closed.steps)
    network = {"vnetConfig": {"subnetId": SUBNET}}
    opened = plan(request(customize=[SHELL, FILE], vmProfile=network))
    assert [step.network_open for step in opened.steps] == [True, False, False, False]


def test_two_builds_of_one_definition_share_all_layers_but_tattoo_and_seal() -> None:
    first, second = plan(request()), plan(request("other"), published=("0.0.1",))
    same = [one.key == two.key for one, two in zip(first.steps, second.steps, strict=True)]
    assert same == [True, False, False]


def test_a_changed_file_changes_the_steps_and_the_template_digest() -> None:
    before = plan(request(customize=[FILE]))
    after = plan(request(customize=[FILE]), inputs=(replace(SETTINGS, digest="sha256:" + "2" * 64),))
    assert before.steps[0].key != after.steps[0].key
    assert before.template_digest != after.template_digest
    assert before.inputs_digest != after.inputs_digest


def test_the_tattoo_tells_what_the_plan_says() -> None:
    made = plan(request(emergency=Emergency(cves=("CVE-2026-1000",), patch_date="2026-11-25")))
    tattoo = planning.tattoo_of(made, BASE)
    assert (tattoo.source_publisher, tattoo.source_version) == ("Debian", "0.20261101.7")
    assert (tattoo.gallery, tattoo.image_definition, tattoo.image_version) == ("golden", "web", made.version)
    assert tattoo.out_of_band
    assert tattoo.cves == ("CVE-2026-1000",)
    assert tattoo.build_id == made.build_id


def test_the_tattoo_of_a_disk_file_names_its_kind_and_its_file() -> None:
    base = replace(BASE, kind=SourceKind.MANAGED_IMAGE, identity="/disks/corporate.qcow2")
    tattoo = planning.tattoo_of(plan(request(), base=base), base)
    assert tattoo.source_offer == "corporate.qcow2"
    assert tattoo.source_version == ""


@pytest.mark.parametrize(
    ("cves", "patch_date"), [(("CVE-26-1",), "2026-11-25"), (("CVE-2026-1000",), "yesterday")]
)
def test_an_emergency_no_tattoo_could_hold_is_refused(cves: tuple[str, ...], patch_date: str) -> None:
    with pytest.raises(InvalidInputError):
        planning.check_emergency(Emergency(cves=cves, patch_date=patch_date))
    planning.check_emergency(Emergency(cves=("CVE-2026-1000",), patch_date="2026-11-25"))
    planning.check_emergency(None)


# Versions


def test_the_first_version_and_the_next_ones() -> None:
    assert plan(request()).version == "0.0.1"
    assert plan(request(), published=("0.0.1", "0.0.2")).version == "0.0.3"
    major = [target(versioning={"scheme": "Latest", "major": 3})]
    assert plan(request(distribute=major), published=("0.0.1",)).version == "3.0.0"


def test_a_build_with_nothing_new_is_the_one_there_was() -> None:
    done = record(plan(request(date="2026-11-01")), SUCCEEDED)
    versions = Versions(published=("0.0.1",), records=(done,))
    again = plan(request(), published=versions.published, records=versions.records)
    assert again == done.plan
    assert planning.unchanged(again, versions) == done


def test_a_new_base_is_something_new() -> None:
    done = record(plan(request()), SUCCEEDED)
    versions = Versions(published=("0.0.1",), records=(done,))
    base = replace(BASE, digest="sha256:" + "d" * 64)
    again = plan(request(), published=versions.published, records=versions.records, base=base)
    assert again.version == "0.0.2"
    assert planning.unchanged(again, versions) is None


def test_an_emergency_is_something_new() -> None:
    done = record(plan(request()), SUCCEEDED)
    versions = Versions(published=("0.0.1",), records=(done,))
    urgent = request(emergency=Emergency(cves=("CVE-2026-1000",), patch_date="2026-11-25"))
    assert planning.unchanged(plan(urgent, published=("0.0.1",), records=(done,)), versions) is None


def test_a_version_that_was_deleted_is_not_unchanged() -> None:
    done = record(plan(request()), SUCCEEDED)
    versions = Versions(published=(), records=(done,))
    assert planning.unchanged(plan(request(), records=(done,)), versions) is None


def test_a_source_that_was_only_validated_is_no_image_that_another_build_published() -> None:
    source_only = record(plan(request()), SUCCEEDED, result={"source": BASE.identity, "passed": True})
    versions = Versions(published=("0.0.1",), records=(source_only,))
    again = plan(request(), published=versions.published, records=versions.records)
    assert planning.unchanged(again, versions) is None


@pytest.mark.parametrize("state", [FAILED, CANCELED])
def test_a_failed_build_leaves_its_version_to_the_repaired_one(state: BuildState) -> None:
    failed = record(plan(another()), state)
    assert plan(request(), records=(failed,)).version == "0.0.1"


def test_a_version_held_by_another_template_is_not_taken() -> None:
    for state in (RUNNING, FAILED):
        held = record(plan(another("other")), state)
        assert plan(request(), records=(held,)).version == "0.0.2"


def test_a_version_held_by_a_running_build_of_the_same_template_is_not_taken() -> None:
    failed, running = record(plan(another()), FAILED), record(plan(another()), RUNNING)
    assert plan(request(), records=(running, failed)).version == "0.0.2"


def test_a_plan_made_again_in_the_middle_of_its_build_is_the_same() -> None:
    running = record(plan(request()), RUNNING)
    assert plan(request(date="2026-11-27"), records=(running,)) == running.plan


def test_an_equal_template_of_another_name_never_shares_a_running_build() -> None:
    running = record(plan(request("original")), RUNNING)
    copied = plan(request("copy"), records=(running,))
    assert copied.version == "0.0.2"
    assert copied.build_id != running.plan.build_id


def test_a_failed_builds_version_that_another_build_published_is_not_taken_again() -> None:
    # Built and failed as 0.0.1, changed and published as 0.0.1, changed back.
    failed, done = record(plan(request()), FAILED), record(plan(another()), SUCCEEDED)
    assert plan(request(), published=("0.0.1",), records=(done, failed)).version == "0.0.2"


def test_a_rebuild_repeats_the_published_version_even_of_an_image_that_did_not_pass() -> None:
    distributed = record(plan(request()), FAILED)
    again = plan(request(rebuild=True), published=("0.0.1",), records=(distributed,))
    assert again == distributed.plan


def test_versions_of_other_definitions_do_not_count() -> None:
    elsewhere = request("other", distribute=[target(DEFINITION.replace("web", "db"))])
    held = record(plan(elsewhere), RUNNING)
    assert plan(request(), records=(held,)).version == "0.0.1"


def test_a_version_that_is_named_and_exists_is_refused() -> None:
    named = request(distribute=[target(f"{DEFINITION}/versions/1.2.3")])
    assert plan(named, published=("1.2.2",)).version == "1.2.3"
    with pytest.raises(ConflictError, match=r"1\.2\.3 exists already"):
        plan(named, published=("1.2.3",))

"""Other bases than the usual one: Debian 13, a published version, and a disk file."""

import json
from pathlib import Path

import pytest

from goldsmith.tattoo.text import parse_text
from tests.boot.conftest import EXAMPLES, Finished, World

pytestmark = pytest.mark.boot

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/goldsmith"
GALLERY = f"{GROUP}/providers/Microsoft.Compute/galleries/golden"


def test_debian_13_is_captured_hardened_booted_and_published(world: World) -> None:
    built = world.run("image", "build", EXAMPLES / "hardened-13.yaml", "--create-definition", "--json")
    summary = built.summary
    assert summary["name"] == "golden/debian-13-hardened/1.0.0"
    assert summary["signature"]["ok"]
    tattoo = parse_text(summary["tattoo"])
    assert tattoo["GOLDSMITH_SOURCE_OFFER"] == "debian-13"
    assert tattoo["GOLDSMITH_OS_VERSION"].startswith("13")
    assert world.run("image", "verify", "golden/debian-13-hardened", "--json").json["ok"]


def test_a_published_version_and_its_disk_file_are_bases_too(
    world: World, hardened: Finished, tmp_path: Path
) -> None:
    """Both sources up to their layers: the step fails on purpose, so that nothing needs to boot."""
    version = hardened.summary["imageVersion"]
    qcow2 = tmp_path / "disk.qcow2"
    world.run("gallery", "export", "golden/debian-12-hardened", qcow2)
    sources = {
        "SharedImageVersion": f"{{type: SharedImageVersion, imageVersionId: {version}}}",
        "ManagedImage": f"{{type: ManagedImage, imageId: {qcow2}}}",
    }
    for kind, source in sources.items():
        template = tmp_path / f"from-{kind.lower()}.yaml"
        template.write_text(
            "location: local\n"
            "properties:\n"
            f"  source: {source}\n"
            "  customize:\n"
            "    - type: Shell\n"
            "      inline: [grep -q IMAGE_VERSION=1.0.0 /etc/goldsmith/tattoo, id fleet-agent, exit 9]\n"
            f"  distribute: [{{type: SharedImage, runOutputName: out, galleryImageId: {GALLERY}/images/again,"
            " targetRegions: [{name: local}]}]\n"
        )
        failed = world.run("image", "build", template, "--create-definition", "--json", check=False)
        message = json.loads(failed.stderr)["error"]["message"]
        assert "'exit 9' ended with exit status 9" in message
        captured = world.run("marketplace", "list", "--json").json["captures"]
        assert kind in [capture["kind"] for capture in captured]


def test_an_emergency_build_says_so_in_tattoo_and_provenance(world: World, hardened: Finished) -> None:
    """Seen in the plan of a build that was not run: the boot of an ordinary one has shown the rest."""
    assert hardened.returncode == 0
    refused = world.run(
        "image", "build", EXAMPLES / "hardened.yaml", "--cve", "CVE-26-1", "--json", check=False
    )
    assert refused.returncode == 1
    assert "CVE id such as CVE-2026-12345" in json.loads(refused.stderr)["error"]["message"]


@pytest.mark.long
def test_an_emergency_build_is_published_with_its_cve(world: World, hardened: Finished) -> None:
    assert hardened.returncode == 0
    built = world.run(
        *("image", "build", EXAMPLES / "hardened.yaml", "--cve", "CVE-2026-12345"),
        *("--patch-date", "2026-11-25", "--json"),
    )
    reused = [e["reused"] for e in built.events if e["event"] == "stage.finished" and "step" in e["stage"]]
    assert reused == [True] * 10 + [False] * 2
    tattoo = parse_text(built.summary["tattoo"])
    assert tattoo["GOLDSMITH_OUT_OF_BAND"] == "true"
    assert tattoo["GOLDSMITH_CVES"] == "CVE-2026-12345"
    assert tattoo["GOLDSMITH_PATCH_DATE"] == "2026-11-25"
    versions = world.run("gallery", "version", "list", "golden/debian-12-hardened", "--json").json
    assert [("aged" in version.get("tags", {})) for version in versions] == [True, False]


@pytest.mark.long
def test_a_version_boots_as_deployed_and_tells_its_tattoo(world: World, hardened: Finished) -> None:
    booted = world.run(
        *("image", "boot", "golden/debian-12-hardened", "--json"),
        *("--command", "hostname; bash -lc 'echo $GOLDSMITH_IMAGE_VERSION'; cloud-init status --wait"),
    ).json
    assert booted["imageVersion"].lower() == hardened.summary["imageVersion"].lower()
    assert booted["tattoo"]["GOLDSMITH_IMAGE_VERSION"] == "1.0.0"
    assert booted["exitStatus"] == 0
    assert booted["output"].split()[:2] == ["debian-12-hardened", "1.0.0"]

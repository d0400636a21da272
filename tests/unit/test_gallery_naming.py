"""Names of artefacts and regions."""

from datetime import date

import pytest

from goldsmith.gallery.model import ArtifactKind, VersionName
from goldsmith.gallery.naming import artifact_name, parse_artifact_name
from goldsmith.gallery.regions import Region, Regions, same_region
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.provenance.verify import EvidenceFile

NAMES = {
    ArtifactKind.DISK_MANIFEST: "images/corp/web-01/1.0.10/web-01-1.0.10-2026-11-26.manifest.json",
    ArtifactKind.SBOM: "images/corp/web-01/1.0.10/web-01-1.0.10-2026-11-26.spdx.json",
    ArtifactKind.SBOM_SIGNATURE: "images/corp/web-01/1.0.10/web-01-1.0.10-2026-11-26.spdx.json.sig",
    ArtifactKind.PROVENANCE: "images/corp/web-01/1.0.10/web-01-1.0.10-2026-11-26.provenance.dsse.json",
    ArtifactKind.TEST_REPORT: "images/corp/web-01/1.0.10/web-01-1.0.10-2026-11-26.report.json",
    ArtifactKind.MEASUREMENTS: "images/corp/web-01/1.0.10/web-01-1.0.10-2026-11-26.measurements.json",
}


@pytest.mark.parametrize("kind", ArtifactKind)
def test_an_artefact_is_named_by_definition_version_and_build_date(kind: ArtifactKind) -> None:
    made = artifact_name("corp", "web-01", VersionName(1, 0, 10), build_date=date(2026, 11, 26), kind=kind)
    assert made == NAMES[kind]
    assert parse_artifact_name(made).kind is kind


@pytest.mark.parametrize(
    "path",
    [
        "",
        "images/corp/web/1.0.0",
        "blobs/corp/web/1.0.0/web-1.0.0-2026-11-26.spdx.json",
        "images/corp/web/1.0.0/db-1.0.0-2026-11-26.spdx.json",
        "images/corp/web/1.0.0/web-1.0.1-2026-11-26.spdx.json",
        "images/corp/web/1.0.0/web-1.0.0-2026-13-26.spdx.json",
        "images/corp/web/1.0.0/web-1.0.0-20261126.spdx.json",
        "images/corp/web/1.0.0/web-1.0.0-2026-11-26.txt",
        "images/corp/web/1.0.0/web-1.0.0-2026-11-26",
        "images/../web/1.0.0/web-1.0.0-2026-11-26.spdx.json",
        "images/corp/web/1.0/web-1.0-2026-11-26.spdx.json",
        "/images/corp/web/1.0.0/web-1.0.0-2026-11-26.spdx.json",
    ],
)
def test_other_paths_are_no_artefact_names(path: str) -> None:
    with pytest.raises(InvalidInputError, match="is not the name of an artefact"):
        parse_artifact_name(path)


def test_whoever_verifies_finds_the_files_by_the_ends_of_these_names() -> None:
    assert {file.value for file in EvidenceFile} == {
        f".{kind}" for kind in ArtifactKind if kind is not ArtifactKind.DISK_MANIFEST
    }


@pytest.mark.parametrize("name", ["..", "a/b", "", "-a"])
def test_a_name_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        artifact_name("corp", name, VersionName(1, 0, 0), build_date=date(2026, 1, 1), kind=ArtifactKind.SBOM)


def test_regions_are_found_however_they_are_written() -> None:
    regions = Regions(
        [Region(name="South Central US", url="/srv/a"), Region(name="lab", url="s3://bucket/b")]
    )
    assert regions.get("southcentralus").url == "/srv/a"
    assert regions.get("SouthCentralUS").name == "South Central US"
    assert [region.key for region in regions] == ["southcentralus", "lab"]
    assert same_region("West Europe", "westeurope")
    with pytest.raises(InvalidInputError, match="The provided location 'mars' is not available"):
        regions.get("mars")


def test_a_region_needs_a_place_and_a_name_of_its_own() -> None:
    with pytest.raises(InvalidInputError, match="absolute path or a URL"):
        Region(name="a", url="relative/path")
    with pytest.raises(InvalidInputError, match="letters, digits"):
        Region(name="a/b", url="/srv")
    with pytest.raises(InvalidInputError, match="twice"):
        Regions([Region(name="East US", url="/a"), Region(name="eastus", url="/b")])

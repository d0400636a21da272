"""Steps, digest, support and next version of an image template."""

from pathlib import Path

import pytest
import yaml

from goldsmith.imagetemplate.logic import (
    network_open,
    next_version,
    referenced_uris,
    refuse_unsupported,
    steps,
    template_digest,
    validation_steps,
    version_to_publish,
)
from goldsmith.imagetemplate.model import (
    ImageTemplate,
    OsType,
    SharedImageDistributor,
    Versioning,
    VersioningLatest,
    VersioningSource,
)
from goldsmith.imagetemplate.text import load_template_text
from goldsmith.imagetemplate.wire import parse_template
from goldsmith.kernel.errors import ConflictError, InvalidInputError
from goldsmith.kernel.json import JsonObject, pretty

NEXT_VERSIONS = yaml.safe_load(
    (Path(__file__).parent.parent / "cases" / "imagetemplate" / "next_version.yaml").read_text()
)
PUBLISHED = ["0.1.1", "0.1.2", "1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0", "2.0.1", "2.1.0"]
DEFINITION = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/golden/images/debian-12"
TEXT = f"""
location: local
name: a
properties:
  source: {{type: PlatformImage, publisher: Debian, offer: debian-12, sku: 12-gen2}}
  customize:
    - {{type: Shell, inline: ['true']}}
    - {{type: File, sourceUri: b.txt, destination: /b, name: two}}
    - {{type: Shell, scriptUri: c.sh}}
    - {{type: Shell, scriptUri: c.sh}}
  validate:
    inVMValidations: [{{type: Shell, scriptUri: d.sh}}]
  distribute:
    - {{type: SharedImage, runOutputName: gallery, galleryImageId: {DEFINITION}}}
"""


def template(text: str = TEXT) -> ImageTemplate:
    return parse_template(load_template_text(text, format=None, source_name="t"), source_name="t")


def with_properties(**properties: object) -> ImageTemplate:
    document = load_template_text(TEXT, format="yaml", source_name="t")
    document["properties"] |= properties
    return parse_template(document, source_name="t")


def versioning_of(case: JsonObject) -> Versioning | None:
    match case["versioning"]:
        case None:
            return None
        case {"scheme": "Latest", "major": int(major)} if major >= 0:
            return VersioningLatest(major=major)
        case {"scheme": "Latest"}:
            return VersioningLatest()
        case _:
            return VersioningSource()


@pytest.mark.parametrize("case", NEXT_VERSIONS, ids=str)
def test_next_version(case: JsonObject) -> None:
    existing = case.get("existing", PUBLISHED)
    assert next_version(existing, versioning_of(case), case.get("source", "9.9.9")) == case["expect"]


@pytest.mark.parametrize("version", ["latest", "1.2", "1.2.x", "1.2.-3", "1.2.2147483648", "1.2.٣", ""])
def test_version_that_is_not_three_numbers_is_refused(version: str) -> None:
    with pytest.raises(InvalidInputError, match="does not begin with three numbers"):
        next_version([], VersioningSource(), version)
    with pytest.raises(InvalidInputError, match="does not begin with three numbers"):
        next_version([version], None, "1.2.3")


def test_version_numbers_may_run_out() -> None:
    with pytest.raises(ConflictError, match="no version number is left"):
        next_version(["1.2147483647.2147483647"], None, "1.2.3")


def test_explicit_version_is_published_once() -> None:
    distributor = SharedImageDistributor(
        run_output_name="gallery", gallery_image_id=f"{DEFINITION}/versions/1.2.3"
    )
    assert version_to_publish(distributor, PUBLISHED, source_version="9.9.9") == "1.2.3"
    with pytest.raises(ConflictError) as caught:
        version_to_publish(distributor, ["1.2.3"], source_version="9.9.9")
    assert caught.value.code == "ImageVersionExists"


def test_definition_gets_a_generated_version() -> None:
    distributor = SharedImageDistributor(run_output_name="gallery", gallery_image_id=DEFINITION)
    assert version_to_publish(distributor, PUBLISHED, source_version="9.9.9") == "2.1.1"


def test_steps_keep_their_order_and_get_names_by_type_and_position() -> None:
    assert [(step.index, step.name) for step in steps(template())] == [
        (0, "shell-1"),
        (1, "two"),
        (2, "shell-3"),
        (3, "shell-4"),
    ]
    assert [step.name for step in validation_steps(template())] == ["shell-1"]


def test_a_name_given_to_one_step_is_not_made_for_another() -> None:
    named = with_properties(
        customize=[{"type": "Shell", "inline": ["a"]}, {"type": "Shell", "name": "shell-1", "inline": ["b"]}]
    )
    assert [step.name for step in steps(named)] == ["shell-1-unnamed", "shell-1"]


def test_referenced_uris_are_listed_once_in_order() -> None:
    assert referenced_uris(template()) == ("b.txt", "c.sh", "d.sh")
    workload = {"workload": {"state": "Enabled", "scriptUri": "w.sh"}}
    assert referenced_uris(with_properties(optimize=workload))[-1] == "w.sh"


def test_network_is_open_only_with_a_subnet() -> None:
    subnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a"
    assert not network_open(template())
    assert not network_open(with_properties(vmProfile={"vmSize": "Standard_D2ds_v4"}))
    assert network_open(with_properties(vmProfile={"vnetConfig": {"subnetId": subnet}}))


def test_windows_steps_on_a_linux_source_are_refused_all_at_once() -> None:
    mixed = with_properties(
        customize=[
            {"type": "Shell", "inline": ["a"]},
            {"type": "PowerShell", "name": "join-domain", "inline": ["b"]},
            {"type": "WindowsRestart"},
            {"type": "WindowsUpdate"},
        ],
        validate={"inVMValidations": [{"type": "PowerShell", "inline": ["c"]}]},
    )
    with pytest.raises(InvalidInputError) as caught:
        refuse_unsupported(mixed, OsType.LINUX)
    assert caught.value.message == (
        "properties.customize[1]: customizer 'join-domain' is a PowerShell customizer, which cannot run on "
        "the Linux source Debian:debian-12:12-gen2:latest; write the same as a Shell customizer; its "
        "commands run as root in /bin/sh (the first of 4 such steps)"
    )
    assert [path for path, _ in caught.value.details] == [
        "properties.customize[1]",
        "properties.customize[2]",
        "properties.customize[3]",
        "properties.validate.inVMValidations[0]",
    ]
    assert "validator 'powershell-1'" in caught.value.details[3][1]
    assert "a Shell validator" in caught.value.details[3][1]


def test_shell_on_a_windows_source_is_refused() -> None:
    with pytest.raises(
        InvalidInputError, match="'shell-1' is a Shell customizer, which cannot run on the Windows"
    ):
        refuse_unsupported(template(), OsType.WINDOWS)


def test_linux_steps_on_a_linux_source_are_let_pass() -> None:
    refuse_unsupported(template(), OsType.LINUX)


def test_digest_is_the_same_in_yaml_and_json_and_with_defaults_written_out() -> None:
    document = load_template_text(TEXT, format="yaml", source_name="t")
    document["properties"] |= {
        "buildTimeoutInMinutes": 240,
        "errorHandling": {"onCustomizerError": "cleanup"},
        "vmProfile": {"osDiskSizeGB": 0},
        "autoRun": {"state": "Enabled"},
        "managedResourceTags": {"a": "b"},
    }
    document |= {"tags": {"a": "b"}, "location": "elsewhere", "name": "other", "apiVersion": "2024-02-01"}
    reordered = dict(reversed(list(document.items())))
    assert template_digest(template(pretty(reordered))) == template_digest(template("# a comment" + TEXT))


def test_digest_tells_templates_apart() -> None:
    others = [
        template(),
        with_properties(customize=[]),
        with_properties(buildTimeoutInMinutes=30),
        with_properties(
            source={"type": "ManagedImage", "imageId": DEFINITION.replace("galleries/golden/", "")}
        ),
    ]
    assert len({template_digest(other) for other in others}) == len(others)

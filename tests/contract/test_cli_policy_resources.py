"""`goldsmith policy evaluate|explain`, over exports in every form that tools write them."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.cli.policy.related_files import RelatedIndex
from goldsmith.cli.policy.resource_files import ResourceFile
from goldsmith.cli.policy.resource_shapes import arm_shape
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.aliases import from_rows
from goldsmith.policy.related import RelatedQuery, ResourceList
from tests.contract.cli import goldsmith

_SUBSCRIPTION = "/subscriptions/6d1e0c5a-2f63-4d3b-9f0e-1f6d8a4b7c21"
_GROUP = f"{_SUBSCRIPTION}/resourceGroups/web"
_VM = "Microsoft.Compute/virtualMachines"
_GUEST = "Microsoft.GuestConfiguration/guestConfigurationAssignments"
_GALLERY_IMAGE = (
    f"{_SUBSCRIPTION}/resourceGroups/i/providers/Microsoft.Compute/galleries/g/images/d/versions/1.0.0"
)

Capture = pytest.CaptureFixture[str]


def machine(name: str, *, image: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    reference = {"id": _GALLERY_IMAGE} if image is None else image
    return {
        "id": f"{_GROUP}/providers/{_VM}/{name}",
        "name": name,
        "type": _VM.lower(),
        "location": "westeurope",
        "properties": {"storageProfile": {"imageReference": reference}},
        **members,
    }


GOOD = machine("good")
BAD = machine("bad", image={"publisher": "Debian", "sku": "12"})


def definition(rule: Any, *, name: str = "rule", **properties: Any) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {"displayName": name, "mode": "Indexed", "policyRule": rule, **properties},
    }


OWNER = definition(
    {
        "if": {"allOf": [{"field": "type", "equals": _VM}, {"field": "tags.owner", "exists": "false"}]},
        "then": {"effect": "[parameters('effect')]"},
    },
    name="owner",
    parameters={
        "effect": {
            "type": "String",
            "allowedValues": ["Audit", "Deny", "Disabled"],
            "defaultValue": "Disabled",
        }
    },
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOLDSMITH_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([GOOD, BAD]),
        json.dumps({"value": [GOOD, BAD], "nextLink": "https://example.org"}),
        json.dumps({"count": 2, "data": [GOOD, BAD], "skip_token": None, "total_records": 2}, indent=2),
        json.dumps(GOOD) + "\n" + json.dumps(BAD) + "\n",
        json.dumps([GOOD]) + json.dumps([BAD]),
        "\ufeff" + json.dumps([GOOD, BAD]),
    ],
    ids=["list", "page", "graph", "lines", "lists", "mark"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_form_of_export_is_read(tmp_path: Path, text: str, encoding: str, packed: bool) -> None:
    data = text.lstrip("\ufeff").encode(encoding) if encoding == "utf-16" else text.encode()
    path = tmp_path / "resources"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert list(ResourceFile(path)) == [GOOD, BAD]


@pytest.mark.parametrize("wrapped", [False, True], ids=["list", "page"])
def test_long_files_are_read_piece_by_piece(tmp_path: Path, wrapped: bool) -> None:
    many = [machine(f"vm{number}", tags={"filler": 'ä\\"' * (number % 977)}) for number in range(4000)]
    value = {"data": many, "total": len(many)} if wrapped else many
    path = tmp_path / "long.json"
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False))
    assert path.stat().st_size > 8 << 20
    file = ResourceFile(path)
    fractions = []
    for number, resource in enumerate(file):
        assert resource == many[number]
        fractions.append(file.fraction)
    assert len(fractions) == len(many)
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("hello", "line 1: expected a list or an object"),
        ('[{"id": "a"},\n {"id": oh}]', "Expecting value at line 2, column 9"),
        ('[{"id": "a"},\n\n 5]', "line 3: expected each member of the list to be a resource"),
        ('{"value": [\n1]}', "expected each member of the list"),
        ('[{"id": "a"}', "the file ends before the value does"),
        ('[{"id": "a', "Unterminated string"),
        ('[{"a": NaN}]', "NaN is no JSON number"),
        ("[" + '{"a":' * 100_000, "nests too deep"),
    ],
)
def test_what_is_no_export_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=r"x\.json") as refused:
        list(ResourceFile(path))
    assert said in refused.value.message


def test_broken_line_far_down_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = [json.dumps(machine(f"vm{number}", tags={"filler": "x" * 2000})) for number in range(2000)]
    lines[1500] = lines[1500].replace('"name":', '"name"')
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInputError, match="at line 1501, column"):
        list(ResourceFile(path))


def test_half_a_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(json.dumps([GOOD] * 1000).encode())[:-20])
    with pytest.raises(InvalidInputError, match="no whole gzip file"):
        list(ResourceFile(path))


def test_flattened_resources_get_their_properties_back() -> None:
    rows = [
        (_VM, f"{_VM}/vmId", "properties.vmId"),
        (_VM, f"{_VM}/nics[*].primary", "properties.network.nics[*].properties.primary"),
    ]
    flat = {"id": "i", "name": "n", "type": _VM, "tags": None, "vmId": "7"}
    nics = [{"id": "a", "primary": True, "deleteOption": "Delete"}, {"id": "b"}]
    shaped = arm_shape({**flat, "network": {"nics": nics}}, from_rows(rows))
    assert shaped == {
        "id": "i",
        "name": "n",
        "type": _VM,
        "tags": None,
        "properties": {
            "vmId": "7",
            "network": {
                "nics": [{"id": "a", "properties": {"primary": True, "deleteOption": "Delete"}}, {"id": "b"}]
            },
        },
    }
    assert arm_shape(GOOD, from_rows(rows)) is GOOD
    assert arm_shape({"id": "i", "properties": None, "sku": None}, from_rows(rows)) == {
        "id": "i",
        "properties": None,
        "sku": None,
    }


def test_index_finds_what_the_list_finds() -> None:
    extension = "Microsoft.Compute/virtualMachines/extensions"
    found = [
        *(machine(f"vm{number}") for number in range(3)),
        *(
            {"id": f"{_GROUP}/providers/{_VM}/vm{number}/extensions/{name}", "name": name, "type": extension}
            for number in range(3)
            for name in ("Agent", "other")
        ),
        {"id": f"{_GROUP}/providers/{_VM}/vm1/providers/{_GUEST}/c"},
        {"id": f"{_SUBSCRIPTION}/resourceGroups/other/providers/{_VM}/vm9", "type": _VM},
    ]
    own = f"{_GROUP}/providers/{_VM}/vm1".lower()
    for type_ in (_VM, extension, _GUEST, "a/b"):
        for within in (own, _GROUP.lower(), _SUBSCRIPTION, f"{_GROUP}x"):
            for name in (
                None,
                "vm1",
                "VM1/agent",
                "vm1/?",
                "agent",
                "c",
                "vm1/Microsoft.GuestConfiguration/c",
            ):
                for elsewhere in (False, True):
                    query = RelatedQuery(type=type_, name=name, within=within, of=own, elsewhere=elsewhere)
                    assert RelatedIndex(found).find(query) == ResourceList(found).find(query), query


def test_table_names_the_resource_the_policy_and_the_reason(here: Path, capsys: Capture) -> None:
    resources = put(here / "vms.json", [GOOD, BAD])
    ran = goldsmith(capsys, "policy", "evaluate", "--assign", "gallery-images-only", "--resources", resources)
    assert ran.status == 3
    assert "web/bad" in ran.out
    assert "NonCompliant" in ran.out
    assert "1 of 2 judged resources are not compliant" in ran.out
    only = goldsmith(
        capsys,
        *("policy", "evaluate", "--assign", "gallery-images-only", "--resources", resources),
        *("--only", "noncompliant"),
    )
    assert "web/good" not in only.out


def test_compliant_resources_end_with_status_0(here: Path, capsys: Capture) -> None:
    resources = put(here / "vms.json", [GOOD])
    ran = goldsmith(capsys, "policy", "evaluate", "--assign", "gallery-images-only", "--resources", resources)
    assert ran.status == 0
    assert "0 of 1 judged resources are not compliant" in ran.out


def test_results_for_programs_have_every_verdict(here: Path, capsys: Capture) -> None:
    resources = put(here / "vms.json", {"value": [GOOD, BAD]})
    words = ("policy", "evaluate", "--assign", "gallery-images-only", "--resources", resources)
    found = goldsmith(capsys, *words, "--json").json
    assert [one["complianceState"] for one in found["results"]] == ["Compliant", "NonCompliant"]
    assert found["summary"]["nonCompliantResources"] == 1
    rows = list(csv.DictReader(io.StringIO(goldsmith(capsys, *words, "--csv").out)))
    assert [row["complianceState"] for row in rows] == ["Compliant", "NonCompliant"]
    assert rows[1]["resourceId"] == BAD["id"]
    assert goldsmith(capsys, *words, "--csv", "--json").status == 2


def test_limit_of_the_table_says_what_it_leaves_out(here: Path, capsys: Capture) -> None:
    resources = put(here / "vms.json", [machine(f"vm{number}", image={}) for number in range(20)])
    words = ("policy", "evaluate", "--assign", "gallery-images-only", "--resources", resources)
    ran = goldsmith(capsys, *words, "--limit", 5)
    assert "... and 15 more" in ran.out
    assert "20 of 20 judged resources are not compliant" in ran.out


def test_defaults_effects_and_parameters(here: Path, capsys: Capture) -> None:
    put(here / "owner.json", OWNER)
    resources = put(here / "vms.json", [GOOD])
    words = ("policy", "evaluate", "--policies", "owner.json", "--resources", resources)
    disabled = goldsmith(capsys, *words, "--json")
    assert disabled.status == 0
    assert [one["complianceState"] for one in disabled.json["results"]] == ["NotEvaluated"]
    assert goldsmith(capsys, *words, "--effect", "audit").status == 3
    assert goldsmith(capsys, *words, "--parameters", "effect=Deny").status == 3
    put(here / "values.json", {"effect": {"value": "Audit"}})
    assert goldsmith(capsys, *words, "--parameters", "values.json").status == 3
    unknown = goldsmith(capsys, *words, "--parameters", "efect=Deny")
    assert unknown.status == 1
    assert "declares the parameter 'efect'" in unknown.err
    kept = goldsmith(capsys, *words, "--effect", "modify")
    assert "1 policies do not allow the effect" in kept.err


def test_assignments_that_are_there_decide(here: Path, capsys: Capture) -> None:
    folder = here / "policies"
    folder.mkdir()
    put(folder / "owner.json", OWNER)
    put(
        folder / "assignment.json",
        {
            "id": f"{_GROUP}/providers/Microsoft.Authorization/policyAssignments/a",
            "type": "Microsoft.Authorization/policyAssignments",
            "properties": {
                "policyDefinitionId": "/providers/Microsoft.Authorization/policyDefinitions/owner",
                "scope": _GROUP,
                "parameters": {"effect": {"value": "Audit"}},
            },
        },
    )
    elsewhere = machine("far", id=GOOD["id"].replace("/web/", "/far/"))
    resources = put(here / "vms.json", [GOOD, elsewhere])
    found = goldsmith(
        capsys, "policy", "evaluate", "--policies", folder, "--resources", resources, "--json"
    ).json
    assert [one["resourceId"] for one in found["results"]] == [GOOD["id"]]
    assert found["results"][0]["policyAssignmentId"].endswith("/policyAssignments/a")


def test_related_resources_are_found_in_the_export(here: Path, capsys: Capture) -> None:
    extension = "Microsoft.Compute/virtualMachines/extensions"
    rule = {
        "if": {"field": "type", "equals": _VM},
        "then": {
            "effect": "auditIfNotExists",
            "details": {
                "type": extension,
                "existenceCondition": {"field": f"{extension}/publisher", "equals": "P"},
            },
        },
    }
    put(here / "p.json", definition(rule))
    related = {
        "id": f"{GOOD['id']}/extensions/e",
        "name": "good/e",
        "type": extension,
        "properties": {"publisher": "P"},
    }
    words = ("policy", "evaluate", "--policies", "p.json", "--json")
    # The related resource comes before and behind the one that it belongs to.
    for listed in ([GOOD, related, BAD], [related, BAD, GOOD]):
        found = goldsmith(capsys, *words, "--resources", put(here / "vms.json", listed)).json
        states = {one["resourceId"]: one["complianceState"] for one in found["results"]}
        assert states == {GOOD["id"]: "Compliant", BAD["id"]: "NonCompliant"}
    nothing = goldsmith(capsys, *words, "--resources", put(here / "vms.json", [BAD]))
    assert f"not in the export: {extension.lower()}" in nothing.err


def test_resource_group_of_the_export_is_seen(here: Path, capsys: Capture) -> None:
    rule = {
        "if": {"value": "[resourceGroup().tags.stage]", "equals": "production"},
        "then": {"effect": "audit"},
    }
    put(here / "p.json", definition(rule))
    group = {
        "id": _GROUP,
        "name": "web",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westeurope",
        "tags": {"stage": "production"},
    }
    tagged = {**GOOD, "tags": {}}
    resources = put(here / "vms.json", [tagged, group])
    found = goldsmith(
        capsys, "policy", "evaluate", "--policies", "p.json", "--resources", resources, "--json"
    ).json
    states = {one["resourceId"]: one["complianceState"] for one in found["results"]}
    assert states[GOOD["id"]] == "NonCompliant"


def test_export_without_properties_is_remarked_on(here: Path, capsys: Capture) -> None:
    bare = {**GOOD, "properties": None}
    resources = put(here / "vms.json", [bare])
    ran = goldsmith(capsys, "policy", "evaluate", "--assign", "gallery-images-only", "--resources", resources)
    assert "'az resource list' leaves them out" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--policies", "nowhere", "--resources", "vms.json"), "there is no file or directory nowhere"),
        (("--assign", "gallery-images", "--resources", "vms.json"), "there is no policy 'gallery-images'"),
        (("--assign", "image-age", "--resources", "nowhere.json"), "there is no file nowhere.json"),
        (("--policies", "empty", "--resources", "vms.json"), "there is no policy definition in empty"),
        (("--policies", "vms.json", "--resources", "vms.json"), "there is no policy definition in vms.json"),
        (("--assign", "machine-configuration", "--resources", "vms.json"), "needs configurationName"),
        (("--assign", "image-age", "--resources", "strange.json"), "no resource with an id or a type"),
    ],
)
def test_bad_input_is_an_error_with_a_hint(
    here: Path, capsys: Capture, words: tuple[str, ...], said: str
) -> None:
    put(here / "vms.json", [GOOD])
    put(here / "strange.json", [{"a": 1}])
    (here / "empty").mkdir()
    ran = goldsmith(capsys, "policy", "evaluate", *words)
    assert ran.status == 1
    assert said in ran.err
    assert "hint: " in ran.err


def test_no_policies_at_all_is_wrong_usage(here: Path, capsys: Capture) -> None:
    assert goldsmith(capsys, "policy", "evaluate", "--resources", put(here / "v.json", [GOOD])).status == 2


def test_explanation_says_first_why_and_then_shows_the_tree(here: Path, capsys: Capture) -> None:
    resource = put(here / "vm.json", BAD)
    ran = goldsmith(capsys, "policy", "explain", "--policy", "gallery-images-only", "--resource", resource)
    assert ran.status == 0
    first = ran.out.splitlines()[0]
    assert first.startswith("NonCompliant: properties.storageProfile.imageReference.id must contain ")
    assert first.endswith("(it is missing).")
    assert "✔ field Microsoft.Compute/imageId notContains" in ran.out
    assert "· field type equals" in ran.out
    assert "not reached" in ran.out


def test_explanation_for_programs_has_evaluation_details(here: Path, capsys: Capture) -> None:
    resource = put(here / "vm.json", BAD)
    found = goldsmith(
        capsys, "policy", "explain", "--policy", "gallery-images-only", "--resource", resource, "--json"
    ).json
    assert found["complianceState"] == "NonCompliant"
    last = found["evaluationDetails"]["evaluatedExpressions"][-1]
    assert last["path"] == "properties.storageProfile.imageReference.id"
    assert last["operator"] == "NotContains"
    assert found["explanation"]["if"]["kind"] == "allOf"


def test_denied_request_shows_the_403(here: Path, capsys: Capture) -> None:
    resource = put(here / "vm.json", BAD)
    words = (
        "policy",
        "explain",
        "--policy",
        "gallery-images-only",
        "--resource",
        resource,
        "--request",
        "create",
    )
    ran = goldsmith(capsys, *words)
    assert ran.out.startswith('denied by "Virtual machines and scale sets should use gallery images only": ')
    assert "HTTP 403" in ran.out
    body = json.loads(ran.out.partition("HTTP 403")[2])
    assert body["error"]["code"] == "RequestDisallowedByPolicy"
    found = goldsmith(capsys, *words, "--json").json
    assert (found["allowed"], found["status"], found["response"]) == (False, 403, body)


def test_update_lays_its_body_over_the_resource(here: Path, capsys: Capture) -> None:
    resource = put(here / "vm.json", BAD)
    body = put(
        here / "body.json", {"properties": {"storageProfile": {"imageReference": {"id": _GALLERY_IMAGE}}}}
    )
    words = (
        "policy",
        "explain",
        "--policy",
        "gallery-images-only",
        "--resource",
        resource,
        "--request",
        "update",
    )
    ran = goldsmith(capsys, *words, "--body", body)
    assert ran.out.startswith("allowed: ")


def test_changes_of_a_modify_policy_are_shown(here: Path, capsys: Capture) -> None:
    operations = [{"operation": "addOrReplace", "field": "tags['owner']", "value": "ann"}]
    rule = {
        "if": {"field": "tags['owner']", "exists": "false"},
        "then": {"effect": "modify", "details": {"roleDefinitionIds": ["r"], "operations": operations}},
    }
    put(here / "p.json", definition(rule))
    resource = put(here / "vm.json", BAD)
    ran = goldsmith(
        capsys, "policy", "explain", "--policy", "p.json", "--resource", resource, "--request", "create"
    )
    assert 'changed by "rule": tags[\'owner\'] = "ann"' in ran.out
    assert json.loads(ran.out.partition("stored\n")[2])["tags"] == {"owner": "ann"}


def test_one_of_several_resources_must_be_named(here: Path, capsys: Capture) -> None:
    resources = put(here / "vms.json", [GOOD, BAD])
    words = ("policy", "explain", "--policy", "gallery-images-only", "--resource", resources)
    unnamed = goldsmith(capsys, *words)
    assert unnamed.status == 1
    assert "hint: it has good, bad" in unnamed.err
    assert goldsmith(capsys, *words, "--id", "good").out.startswith("Compliant: ")
    assert goldsmith(capsys, *words, "--id", BAD["id"].upper()).out.startswith("NonCompliant: ")
    assert goldsmith(capsys, *words, "--id", "ugly").status == 1

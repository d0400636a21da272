"""`goldsmith compliance scan|status|why|history|remediation` over a state directory."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cli import Ran, goldsmith

Capture = pytest.CaptureFixture[str]
_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
_VM = "Microsoft.Compute/virtualMachines"
_OWNED = {"owner": "ann", "team": "web", "serviceModel": "cattle"}


def machine(name: str, *, group: str = "web", **tags: str) -> dict[str, Any]:
    return {
        "id": f"{_SUBSCRIPTION}/resourceGroups/{group}/providers/{_VM}/{name}",
        "name": name,
        "type": _VM,
        "location": "westeurope",
        "tags": tags,
        "properties": {},
    }


class Shell:
    def __init__(self, folder: Path, capsys: Capture) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *words: object) -> Ran:
        return goldsmith(self._capsys, *words)

    def scan(self, *machines: dict[str, Any], full: bool = False) -> Any:
        path = self.folder / "vms.json"
        path.write_text(json.dumps({"data": machines}))
        flags = ("--full",) if full else ()
        ran = self("compliance", "scan", "--resources", path, "--json", *flags)
        assert ran.status == 0, ran.err
        return ran.json


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Shell:
    monkeypatch.setenv("GOLDSMITH_STATE", str(tmp_path / "state"))
    return Shell(tmp_path, capsys)


@pytest.fixture
def tagged(shell: Shell) -> Shell:
    """One machine that complies with the assigned policy, and one that does not."""
    assert shell("policy", "assign", "required-tags").status == 0
    shell.scan(machine("good", **_OWNED), machine("bad", group="other"))
    return shell


def test_scan_judges_what_is_stored(tagged: Shell) -> None:
    found = tagged("compliance", "status", "--json").json
    assert found["overall"]["counts"] == {"Compliant": 1, "NonCompliant": 1}
    assert found["overall"]["percentage"] == 50
    assert [line["label"] for line in found["lines"]] == [
        "Machines should be tagged with owner, team and service model"
    ]


def test_first_scan_judges_everything_and_later_ones_what_changed(shell: Shell) -> None:
    shell("policy", "assign", "required-tags")
    first = shell.scan(machine("good", **_OWNED), machine("bad"))
    assert (first["scan"], first["resources"]["created"]) == ("full", 2)
    again = shell.scan(machine("good", **_OWNED), machine("bad", **_OWNED))
    assert (again["scan"], again["changedStates"]) == ("changes", 1)
    assert (again["resources"]["updated"], again["resources"]["unchanged"]) == (1, 1)
    assert again["overall"]["percentage"] == 100
    assert shell.scan(full=True)["changedStates"] == 0


def test_scan_in_words(tagged: Shell) -> None:
    ran = tagged("compliance", "scan")
    assert ran.status == 0
    assert "judged what had changed" in ran.out
    assert "NonCompliant  50 % of 2 resources comply, 1 do not; 1 of 1 policies fail" in ran.out


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        (("--by", "definition"), {"Machines should be tagged with owner, team and service model"}),
        (("--by", "resource-group"), {"web", "other"}),
        (("--by", "subscription"), {"00000000-0000-0000-0000-000000000000"}),
        (("--by", "tag", "--tag", "team"), {"web", ""}),
        (("--by", "type"), {_VM}),
        (("--by", "initiative"), set()),
    ],
)
def test_status_is_divided(tagged: Shell, by: tuple[str, ...], keys: set[str]) -> None:
    found = tagged("compliance", "status", *by, "--json").json
    assert {line["label"] for line in found["lines"]} == keys
    assert tagged("compliance", "status", *by).status == 0


def test_status_of_a_scope(tagged: Shell) -> None:
    scope = f"{_SUBSCRIPTION}/resourceGroups/web"
    found = tagged("compliance", "status", "--scope", scope, "--json").json
    assert found["overall"]["counts"] == {"Compliant": 1}


def test_status_names_the_worst_reasons(tagged: Shell) -> None:
    found = tagged("compliance", "status", "--reasons", "--json").json
    assert "Current value must exist." in [one["sentence"] for one in found["reasons"]]
    assert "Current value must exist." in tagged("compliance", "status", "--reasons").out


def test_status_without_assignments_says_what_to_do(shell: Shell) -> None:
    ran = shell("compliance", "status")
    assert ran.status == 0
    assert "goldsmith policy assign" in ran.out


def test_tag_and_its_name_need_each_other(shell: Shell) -> None:
    assert shell("compliance", "status", "--by", "tag").status == 2
    assert shell("compliance", "status", "--tag", "team").status == 2


def test_why_says_what_is_wrong_and_what_to_do(tagged: Shell) -> None:
    ran = tagged("compliance", "why", "bad")
    assert ran.status == 0
    assert "tags[owner] must exist, and tags[team] must exist" in ran.out
    assert "→ Change the resource" in ran.out
    assert "└─" not in ran.out
    assert "field tags[owner] exists" in tagged("compliance", "why", "bad", "--verbose").out
    found = tagged("compliance", "why", machine("good")["id"].upper(), "--json").json
    assert found["complianceState"] == "Compliant"
    assert found["policies"][0]["since"] is not None


def test_why_sees_what_has_changed_since_the_scan(tagged: Shell) -> None:
    tagged("policy", "unassign", "required-tags", "--yes")
    assert "no assigned policy is about this resource" in tagged("compliance", "why", "bad").out


@pytest.mark.parametrize("words", [("why", "nobody"), ("history", "nobody"), ("why", f"{_SUBSCRIPTION}/x/y")])
def test_resource_that_is_not_there(tagged: Shell, words: tuple[str, ...]) -> None:
    if words[0] == "history" and words[1].startswith("/"):
        return
    ran = tagged("compliance", *words)
    assert ran.status == 1
    assert "hint: " in ran.err


def test_name_of_several_resources_must_be_made_clear(tagged: Shell) -> None:
    tagged.scan(machine("bad", group="third"))
    ran = tagged("compliance", "why", "bad")
    assert ran.status == 1
    assert "2 resources have the name 'bad'" in ran.err


def test_history_tells_what_changed_and_because_of_what(tagged: Shell) -> None:
    tagged.scan(machine("bad", group="other", **_OWNED))
    found = tagged("compliance", "history", "bad", "--json").json
    assert [(one["before"], one["after"]) for one in found] == [("NonCompliant", "Compliant")]
    assert found[0]["cause"]["kind"] == "resource"
    assert "NonCompliant  Compliant" in tagged("compliance", "history", "bad").out
    days = tagged("compliance", "history", "--json").json
    assert days[-1]["counts"] == {"Compliant": 2}


def test_remediation_is_planned_and_recorded(shell: Shell) -> None:
    operations = [{"operation": "addOrReplace", "field": "tags['owner']", "value": "nobody"}]
    rule = {
        "if": {"allOf": [{"field": "type", "equals": _VM}, {"field": "tags['owner']", "exists": "false"}]},
        "then": {"effect": "modify", "details": {"roleDefinitionIds": ["r"], "operations": operations}},
    }
    path = shell.folder / "owner.json"
    path.write_text(
        json.dumps(
            {"name": "owner", "properties": {"mode": "Indexed", "policyRule": rule, "displayName": "o"}}
        )
    )
    assert shell("policy", "import", path).status == 0
    assert shell("policy", "assign", "owner").status == 0
    shell.scan(machine("bad"), machine("good", owner="ann"))
    assert (
        "addOrReplace tags['owner'] = \"nobody\"" in shell("compliance", "remediation", "plan", "owner").out
    )
    made = shell("compliance", "remediation", "plan", "owner", "--json").json
    assert [one["resourceId"] for one in made["items"]] == [machine("bad")["id"]]
    assert shell("compliance", "remediation", "list", "--json").json == []
    assert shell("compliance", "remediation", "create", "owner").status == 0
    tasks = shell("compliance", "remediation", "list", "--json").json
    assert [(task["state"], len(task["deployments"])) for task in tasks] == [("Accepted", 1)]
    assert shell("compliance", "why", "bad", "--json").json["complianceState"] == "NonCompliant"


def test_policy_that_repairs_nothing_cannot_be_planned(tagged: Shell) -> None:
    ran = tagged("compliance", "remediation", "plan", "required-tags")
    assert ran.status == 1
    assert "expected deployIfNotExists or modify" in ran.err


def test_broken_export_is_an_error_with_its_line(tagged: Shell) -> None:
    path = tagged.folder / "broken.json"
    path.write_text('[{"id":\n oh}]')
    ran = tagged("compliance", "scan", "--resources", path)
    assert ran.status == 1
    assert "at line 2, column 2" in ran.err


def test_object_that_is_no_resource_is_told_and_passed_over(tagged: Shell) -> None:
    path = tagged.folder / "odd.json"
    path.write_text(json.dumps([{"name": "x"}, machine("new", **_OWNED)]))
    ran = tagged("compliance", "scan", "--resources", path)
    assert ran.status == 0
    assert "not stored: a resource has the id None" in ran.err
    assert "stored 1 new" in ran.out

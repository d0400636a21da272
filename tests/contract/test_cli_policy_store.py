"""`goldsmith policy import|list|show|assign|unassign` over a state directory."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cli import Ran, goldsmith

Capture = pytest.CaptureFixture[str]
_SCOPE = "/subscriptions/00000000-0000-0000-0000-000000000000"
_RULE = {"if": {"field": "tags.owner", "exists": "false"}, "then": {"effect": "[parameters('effect')]"}}
_EFFECT = {"effect": {"type": "String", "allowedValues": ["Audit", "Disabled"]}}


def definition(name: str, **changes: Any) -> dict[str, Any]:
    properties = {
        "displayName": f"Policy {name}",
        "mode": "Indexed",
        "policyRule": _RULE,
        "parameters": _EFFECT,
    }
    return {"name": name, "properties": properties | changes}


class Shell:
    def __init__(self, folder: Path, capsys: Capture) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *words: object) -> Ran:
        return goldsmith(self._capsys, "policy", *words)

    def put(self, name: str, value: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(value))
        return path


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Shell:
    monkeypatch.setenv("GOLDSMITH_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


def test_imported_policies_are_listed_beside_the_packaged_ones(policy: Shell) -> None:
    imported = policy("import", policy.put("owner.json", [definition("owner"), definition("other")]))
    assert imported.status == 0
    assert "stored 2 new" in imported.out
    found = {one["displayName"]: one for one in policy("list", "--json").json}
    assert found["Policy owner"]["stored"]
    assert found["Policy owner"]["assignments"] == []
    assert not found["Golden images"]["stored"]
    assert policy("list", "POLICY OW").out.count("\n") == 2
    assert policy("list", "no such thing").out.startswith("no such policy")


def test_what_does_not_compile_is_left_out(policy: Shell) -> None:
    broken = definition(
        "broken", policyRule={"if": {"field": "name", "lyke": "x"}, "then": {"effect": "audit"}}
    )
    imported = policy("import", policy.put("all.json", [definition("owner"), broken]))
    assert imported.status == 1
    assert "stored 1 new, 0 changed, 0 the same; 1 failed and were left out" in imported.out
    assert [one["displayName"] for one in policy("list", "--json", "policy ").json] == ["Policy owner"]


def test_importing_again_changes_nothing(policy: Shell) -> None:
    file = policy.put("owner.json", definition("owner"))
    policy("import", file)
    first = policy("show", "owner", "--json").json
    assert policy("import", file, "--json").json["stored"]["unchanged"] == 1
    assert policy("show", "owner", "--json").json == first


def test_policy_of_another_mode_is_kept_and_said_not_to_be_evaluated(policy: Shell) -> None:
    rule = {"if": {"field": "type", "equals": "x"}, "then": {"effect": "audit", "details": {}}}
    other = definition("vault", mode="Microsoft.KeyVault.Data", policyRule=rule, parameters={})
    assert policy("import", policy.put("p.json", other)).status == 0
    assert "Microsoft.KeyVault.Data (not evaluated)" in policy("show", "vault").out


def test_assignment_is_made_shown_and_taken_away(policy: Shell) -> None:
    made = policy("assign", "gallery-images-only", "--enforcement", "do-not-enforce", "--json").json
    assert made["id"] == f"{_SCOPE}/providers/Microsoft.Authorization/policyAssignments/gallery-images-only"
    assert made["properties"]["enforcementMode"] == "DoNotEnforce"
    listed = policy("list", "--assigned", "--json").json
    assert [one["key"] for one in listed] == ["gallery-images-only"]
    assert listed[0]["assignments"] == [made["id"]]
    assert _SCOPE in policy("show", "gallery-images-only").out
    assert policy("unassign", "gallery-images-only", "--yes").status == 0
    assert policy("list", "--assigned", "--json").json == []


def test_second_assignment_of_a_name_needs_replace(policy: Shell) -> None:
    policy("assign", "required-tags", "--parameters", "ownerTagName=boss")
    again = policy("assign", "required-tags")
    assert again.status == 1
    assert "--replace" in again.err
    assert policy("assign", "required-tags", "--replace", "--message", "who are you").status == 0
    body = policy("show", "required-tags", "--json").json["assignments"][0]["properties"]
    assert body["nonComplianceMessages"] == [{"message": "who are you"}]
    assert body["parameters"] == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("assign", "trusted-sources"), "allowedGalleries"),
        (("assign", "required-tags", "--parameters", "oner=x"), "oner"),
        (("assign", "required-tags", "--parameters", "effect=deni"), "deni"),
        (("assign", "required-tags", "--scope", "web"), "'web' is no scope"),
        (("assign", "required-tag"), "there is no policy 'required-tag'"),
        (("show", "nothing"), "there is no policy 'nothing'"),
        (("unassign", "nothing", "--yes"), "there is no policy assignment 'nothing'"),
        (("import", "nowhere"), "there is no file or directory nowhere"),
    ],
)
def test_bad_input_changes_nothing_and_says_what_to_do(
    policy: Shell, words: tuple[str, ...], said: str
) -> None:
    ran = policy(*words)
    assert ran.status == 1
    assert said in ran.err
    assert "hint: " in ran.err
    assert policy("list", "--assigned", "--json").json == []


def test_name_of_several_policies_must_be_made_clear(policy: Shell) -> None:
    twins = [definition(name, displayName="Twin") for name in ("one", "two")]
    policy("import", policy.put("p.json", twins))
    ran = policy("assign", "twin", "--parameters", "effect=Audit")
    assert ran.status == 1
    assert "'twin' means 2 policies" in ran.err
    assert policy("assign", "two", "--parameters", "effect=Audit").status == 0


def test_unassigning_asks_first(policy: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    policy("assign", "required-tags")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert policy("unassign", "required-tags").status != 0
    assert len(policy("list", "--assigned", "--json").json) == 1

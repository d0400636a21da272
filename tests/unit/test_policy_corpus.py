"""Every built-in of the public repository reads and compiles; those about VMs find every alias."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from goldsmith.policy.aliases import AliasTable, from_shared
from goldsmith.policy.compile import CompiledRule, compile_rule
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.pool import Pool
from goldsmith.policy.reader import read_rule
from goldsmith.policy.tree import Always

SHARED = Path(__file__).parents[3] / "shared/azure-policy"
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="../shared/azure-policy is not here")

VM = "Microsoft.Compute/virtualMachines"
_OF_TYPE: dict[str, Any] = {
    "string": "x",
    "array": [],
    "boolean": True,
    "object": {},
    "integer": 1,
    "float": 1.5,
    "datetime": "2024-01-01T00:00:00Z",
}


@cache
def _aliases() -> AliasTable:
    with gzip.open(SHARED / "aliases/aliases.full.json.gz", "rt", encoding="utf-8") as file:
        return from_shared(json.load(file))


def _definitions(name: str) -> list[dict[str, Any]]:
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as file:
        return [json.loads(line)["properties"] for line in file]


def _parameters(definition: dict[str, Any]) -> dict[str, Any]:
    """The defaults; without one, some value that is allowed."""
    values = {}
    for name, declared in (definition.get("parameters") or {}).items():
        allowed = declared.get("allowedValues") or [_OF_TYPE[declared["type"].lower()]]
        values[name] = declared.get("defaultValue", allowed[0])
    return values


def _types(condition: Any) -> set[str]:
    """The types that conditions on `type` name, without wildcards and expressions."""
    if isinstance(condition, list):
        return set().union(*map(_types, condition))
    if not isinstance(condition, dict):
        return set()
    members = {key.lower(): value for key, value in condition.items()}
    named: list[Any] = []
    if str(members.get("field")).lower() == "type":
        listed = members.get("in")
        named = [members.get("equals"), *(listed if isinstance(listed, list) else [])]
    return {name for name in named if isinstance(name, str)} | _types(list(condition.values()))


def _compile(definition: dict[str, Any], resource_type: str, pool: Pool) -> CompiledRule:
    return compile_rule(
        read_rule(definition["policyRule"]),
        parameters=_parameters(definition),
        policy_context={"assignmentId": "/a", "definitionId": "/d"},
        aliases=_aliases(),
        resource_type=resource_type,
        pool=pool,
    )


def test_every_built_in_of_resource_manager_modes_compiles_for_every_type_it_names() -> None:
    pool = Pool()
    compiled = 0
    unknown: set[str] = set()
    derived: set[str] = set()
    definitions = _definitions("policyDefinitions.evaluable.jsonl.gz")
    ours = [definition for definition in definitions if "." not in definition.get("mode", "All")]
    for definition in ours:
        for resource_type in sorted(_types(definition["policyRule"]["if"])) or [VM]:
            found = _compile(definition, resource_type, pool)
            unknown |= found.unknown
            derived |= found.derived
            compiled += 1
    assert len(ours) == 2635
    assert compiled > 3000
    assert unknown == set()
    # Types that the table has no aliases for at all.
    assert {name.split("/")[0].lower() for name in derived} <= {
        "microsoft.aadiam",
        "microsoft.mobilenetwork",
        "microsoft.insights",
    }


def test_policies_about_vms_find_every_alias_in_the_table() -> None:
    definitions = _definitions("policyDefinitions.vm.jsonl.gz")
    assert len(definitions) == 519
    pool = Pool()
    for definition in definitions:
        for resource_type in _types(definition["policyRule"]["if"]) | {VM}:
            found = _compile(definition, resource_type, pool)
            assert not found.unknown | found.derived, definition["displayName"]


def test_policies_about_vms_share_most_of_their_conditions() -> None:
    pool = Pool()
    rules = [_compile(definition, VM, pool) for definition in _definitions("policyDefinitions.vm.jsonl.gz")]
    roots = {rule.condition.index for rule in rules if not isinstance(rule.condition, Always)}
    assert len(roots) < 150
    document = Document(
        {
            "type": VM,
            "name": "vm",
            "location": "westeurope",
            "properties": {
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "18.04-LTS"},
                    "osDisk": {"osType": "Linux"},
                }
            },
        },
        resource_group={"name": "g", "location": "westeurope"},
        subscription={"subscriptionId": "s"},
        request_context={"apiVersion": "2024-07-01", "identity": {}},
        now="2026-01-01T00:00:00.0000000Z",
    )
    held = sum(evaluate_node(rule.condition, document) for rule in rules)
    assert 20 < held < 400
    assert len(document.nodes) < 1000

"""Rules that others can express too, on the same machines: counts must agree, then the times are compared.

Cloud Custodian (c7n) and Rego (regopy) judge machine by machine, DuckDB a typed table of all of them.
"""

import contextlib
import importlib
import json
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.policy.fleet import GALLERY, REGIONS, TYPE
from bench.policy.ours import NOW, NoDocuments, compiled, core_aliases, cpu, lines, median_cpu
from bench.policy.rules import rules
from goldsmith.compliance.scan.batch import verdicts
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.scan import FleetScan
from goldsmith.kernel.errors import UnsupportedError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.compile import CompiledRule, Pool
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.predicate import predicate_of

_REGO_MACHINES = 200
IMAGE = "gallery images only"
# What others can say as well.
COMMON = (IMAGE, "tag owner", f"region {REGIONS[0]}", "D series v5", "marketplace Canonical")
SQL = {
    IMAGE: f"coalesce(properties.storageProfile.imageReference.id, '') NOT ILIKE '{GALLERY}/%'",
    "tag owner": "tags.owner IS NULL",
    f"region {REGIONS[0]}": f"location IN {REGIONS[:3]} AND coalesce(tags.team, '') ILIKE 'team-1%'",
    "D series v5": "properties.hardwareProfile.vmSize ILIKE 'Standard\\_D%\\_v5' ESCAPE '\\' "
    "AND lower(coalesce(tags.environment, '')) NOT IN ('production', 'staging')",
    "marketplace Canonical": "lower(coalesce(properties.storageProfile.imageReference.publisher, '')) "
    "= 'canonical'",
    "unencrypted disks of 512 GB": "len(list_filter(properties.storageProfile.dataDisks, lambda disk: "
    "disk.diskSizeGB >= 512 AND disk.managedDisk.diskEncryptionSet.id IS NULL)) > 0 "
    "AND lower(coalesce(tags.environment, '')) <> 'development'",
}
_COLUMNS = {
    "location": "VARCHAR",
    "tags": "STRUCT(environment VARCHAR, team VARCHAR, owner VARCHAR)",
    "properties": "STRUCT(hardwareProfile STRUCT(vmSize VARCHAR), storageProfile STRUCT("
    "imageReference STRUCT(id VARCHAR, publisher VARCHAR), dataDisks STRUCT(diskSizeGB BIGINT, "
    "managedDisk STRUCT(diskEncryptionSet STRUCT(id VARCHAR)))[]))",
}


def figures(resources: int, rounds: int) -> JsonObject:
    """CPU microseconds for one rule on one machine; for a rule on all of a table milliseconds."""
    texts = lines(resources)
    fleet: list[JsonObject] = [orjson.loads(text) for text in texts]
    found = compiled(rules().items(), core_aliases(), Pool())
    ours = {name: sum(_judged(one, found[name]) for one in fleet) for name in SQL}
    result: JsonObject = {"resources": resources}
    result["oneByOne"] = _one_by_one(fleet, found, ours, rounds)
    result["rego"] = _rego(fleet[:_REGO_MACHINES], found[IMAGE], rounds)
    result["hundredOneByOneMicroseconds"] = _per_machine(
        lambda: [_all(one, found) for one in fleet], len(fleet), rounds
    )
    result["parseMicroseconds"] = _per_machine(
        lambda: [orjson.loads(text) and None for text in texts], len(texts), rounds
    )
    result["table"] = _table(texts, found, ours, rounds)
    return result


def _peer(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(f"{module} is not installed", hint="install the extra 'bench'") from error


def _per_machine(work: Callable[[], object], machines: int, rounds: int) -> float:
    return median_cpu(work, rounds) / machines * 1e6


def _judged(machine: JsonObject, rule: CompiledRule) -> bool:
    return evaluate_node(rule.condition, Document(machine, now=NOW))


def _all(machine: JsonObject, found: dict[str, CompiledRule]) -> int:
    document = Document(machine, now=NOW)
    return sum(evaluate_node(rule.condition, document) for rule in found.values())


# --- Cloud Custodian ---------------------------------------------------------------------------------------

_EXPRESSIONS: dict[str, list[JsonObject]] = {
    IMAGE: [
        {
            "not": [
                {
                    "type": "value",
                    "key": "properties.storageProfile.imageReference.id",
                    "value_type": "normalize",
                    "op": "glob",
                    "value": f"{GALLERY.lower()}/*",
                }
            ]
        }
    ],
    "tag owner": [{"type": "value", "key": "tags.owner", "value": "absent"}],
    f"region {REGIONS[0]}": [
        {
            "type": "value",
            "key": "location",
            "value_type": "normalize",
            "op": "in",
            "value": list(REGIONS[:3]),
        },
        {"type": "value", "key": "tags.team", "value_type": "normalize", "op": "glob", "value": "team-1*"},
    ],
    "D series v5": [
        {
            "type": "value",
            "key": "properties.hardwareProfile.vmSize",
            "value_type": "normalize",
            "op": "glob",
            "value": "standard_d*_v5",
        },
        {
            "not": [
                {
                    "type": "value",
                    "key": "tags.environment",
                    "value_type": "normalize",
                    "op": "in",
                    "value": ["production", "staging"],
                }
            ]
        },
    ],
    "marketplace Canonical": [
        {
            "type": "value",
            "key": "properties.storageProfile.imageReference.publisher",
            "value_type": "normalize",
            "value": "canonical",
        },
    ],
}


class _Tracer:
    @contextlib.contextmanager
    def subsegment(self, name: str, type: str | None = None) -> Iterator[None]:
        yield


class _Options(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self.get(name)


class _Context:
    """As much of a policy's context as filters ask for."""

    options = _Options(cache="memory")
    tracer = _Tracer()
    session_factory = None


def _custodian(name: str) -> Callable[[list[JsonObject]], list[JsonObject]]:
    filters, managers = _peer("c7n.filters.core"), _peer("c7n.manager")

    class Machines(managers.ResourceManager):  # type: ignore[misc,name-defined]  # it ships no types
        filter_registry = filters.FilterRegistry("bench.filters")
        action_registry = None

        class resource_type:
            id = "id"
            name = "name"

        def get_model(self) -> type:
            return self.resource_type

    manager = Machines(_Context(), {"filters": _EXPRESSIONS[name]})
    return manager.filter_resources  # type: ignore[no-any-return]  # it ships no types


def _one_by_one(
    fleet: list[JsonObject], found: dict[str, CompiledRule], ours: dict[str, int], rounds: int
) -> list[JsonObject]:
    result: list[JsonObject] = []
    for name in COMMON:
        custodian, rule = _custodian(name), found[name]
        judge = predicate_of(rule.condition, now=NOW)
        assert sum(map(judge, fleet)) == ours[name], f"the predicate of {name} says something else"
        theirs = len(custodian(fleet))
        pairs = []
        for _ in range(max(rounds, 3)):
            mine = cpu(lambda judge=judge: [judge(one) for one in fleet])  # type: ignore[misc]
            at_once = cpu(lambda rule=rule: verdicts([rule.condition], fleet, around={}))  # type: ignore[misc]
            other = cpu(lambda custodian=custodian: custodian(fleet))  # type: ignore[misc]
            pairs.append((mine / len(fleet) * 1e6, other / len(fleet) * 1e6, at_once / len(fleet) * 1e6))
        result.append(
            {
                "rule": name,
                "hits": ours[name],
                "agree": theirs == ours[name],
                "microseconds": statistics.median(mine for mine, _, _ in pairs),
                "listMicroseconds": statistics.median(at_once for _, _, at_once in pairs),
                "c7nMicroseconds": statistics.median(other for _, other, _ in pairs),
                "timesFaster": statistics.median(other / mine for mine, other, _ in pairs),
                "listTimesFaster": statistics.median(other / at_once for _, other, at_once in pairs),
            }
        )
    return result


# --- Rego --------------------------------------------------------------------------------------------------

_REGO = f"""package images
import rego.v1
default deny := false
deny if not ours
ours if startswith(lower(input.properties.storageProfile.imageReference.id), "{GALLERY.lower()}/")
"""


def _rego(fleet: list[JsonObject], rule: CompiledRule, rounds: int) -> JsonObject:
    interpreter = _peer("regopy").Interpreter()
    interpreter.add_module("images.rego", _REGO)
    bundle = interpreter.build("data.images.deny", ["images/deny"])

    def denied(machine: JsonObject) -> bool:
        interpreter.set_input(machine)
        return "true" in str(interpreter.query_bundle(bundle))

    theirs = sum(map(denied, fleet))
    pairs = []
    for _ in range(max(rounds, 3)):
        mine = cpu(lambda: [_judged(one, rule) for one in fleet])
        other = cpu(lambda: [denied(one) for one in fleet])
        pairs.append((mine / len(fleet) * 1e6, other / len(fleet) * 1e6))
    return {
        "machines": len(fleet),
        "agree": theirs == sum(_judged(one, rule) for one in fleet),
        "microseconds": statistics.median(mine for mine, _ in pairs),
        "regoMicroseconds": statistics.median(other for _, other in pairs),
        "timesFaster": statistics.median(other / mine for mine, other in pairs),
    }


# --- DuckDB ------------------------------------------------------------------------------------------------


def _table(
    texts: list[bytes], found: dict[str, CompiledRule], ours: dict[str, int], rounds: int
) -> JsonObject:
    """A scan with the columns there and no predicate asked yet, against SQL over a typed table."""
    duckdb = _peer("duckdb")
    index = FleetIndex(NoDocuments())
    fill = FleetScan(index, now=NOW)
    for name in SQL:
        fill.add(name, TYPE, found[name])
    ours_load = cpu(lambda: index.put_many(map(orjson.loads, texts)))
    with tempfile.TemporaryDirectory(prefix="bench-policy-") as scratch:
        path = Path(scratch) / "fleet.ndjson"
        path.write_bytes(b"\n".join(texts))
        database = duckdb.connect()
        columns = json.dumps(_COLUMNS)
        load = cpu(
            lambda: database.execute(
                f"CREATE TABLE fleet AS SELECT * FROM read_json('{path}', columns = {_sql_struct(columns)}, "
                "format = 'newline_delimited')"
            )
        )
    result: list[JsonObject] = []
    for name, condition in SQL.items():
        query = f"SELECT count(*) FROM fleet WHERE {condition}"
        theirs = database.execute(query).fetchone()
        pairs = []
        for _ in range(max(rounds, 3)):
            fresh = FleetScan(index, now=NOW)
            fresh.add(name, TYPE, found[name])
            mine = cpu(lambda fresh=fresh, name=name: fresh.counts(name, TYPE))  # type: ignore[misc]
            other = cpu(lambda query=query: database.execute(query).fetchone())  # type: ignore[misc]
            pairs.append((mine * 1e3, other * 1e3))
        result.append(
            {
                "rule": name,
                "agree": theirs is not None and theirs[0] == ours[name] == fill.counts(name, TYPE).true,
                "milliseconds": statistics.median(mine for mine, _ in pairs),
                "duckdbMilliseconds": statistics.median(other for _, other in pairs),
                "timesFaster": statistics.median(other / mine for mine, other in pairs),
            }
        )
    return {
        "loadSeconds": ours_load,
        "duckdbLoadSeconds": load,
        "rules": result,
    }


def _sql_struct(columns: str) -> str:
    """`{"a": "T"}` as DuckDB writes it: `{'a': 'T'}`."""
    return re.sub(r'"', "'", columns)

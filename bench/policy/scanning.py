"""A fleet: projecting it, a hundred rules over all of it, one rule changed, one machine changed."""

import statistics

import orjson

from bench.policy.fleet import TYPE, machines
from bench.policy.ours import (
    NOW,
    NoDocuments,
    all_aliases,
    compiled,
    compiled_definitions,
    core_aliases,
    cpu,
    definitions,
    filled,
    rss_mib,
)
from bench.policy.rules import rules
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.scan import FleetScan
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.compile import CompiledRule, Pool

_MACHINES_CHANGED = 200


def hundred(count: int, rounds: int) -> JsonObject:
    """The figures of our hundred rules over `count` machines."""
    aliases = core_aliases()
    found = compiled(rules().items(), aliases, Pool())
    index = FleetIndex(NoDocuments())
    scan = _scan(index, found)
    figures: JsonObject = {"resources": count, "rules": len(found), "projection": filled(index, count)}
    figures |= _cold_and_warm(index, scan, found, rounds)
    hits = sum(scan.counts(name, TYPE).true for name in found)
    figures["hits"] = hits / len(found) / count
    figures["columns"] = len(index.table(TYPE).columns)
    figures["ruleChangedMilliseconds"] = _rule_changed(scan, aliases)
    figures["machineChangedMilliseconds"] = _machine_changed(index, scan)
    figures["rssMib"] = rss_mib()
    return figures


def builtins(count: int, rounds: int) -> JsonObject:
    """The same with every built-in definition about machines; nothing related to the machines exists."""
    found = compiled_definitions(definitions("vm"), all_aliases(), Pool())
    index = FleetIndex(NoDocuments())
    scan = _scan(index, found)
    figures: JsonObject = {"resources": count, "rules": len(found), "projection": filled(index, count)}
    figures |= _cold_and_warm(index, scan, found, rounds)
    counts = [scan.counts(name, TYPE) for name in found]
    figures["hits"] = sum(one.true for one in counts) / len(found) / count
    figures["errors"] = sum(one.error for one in counts)
    figures["columns"] = len(index.table(TYPE).columns)
    figures["machineChangedMilliseconds"] = _machine_changed(index, scan)
    figures["rssMib"] = rss_mib()
    return figures


def _scan(index: FleetIndex, found: dict[str, CompiledRule]) -> FleetScan:
    scan = FleetScan(index, now=NOW)
    for name, rule in found.items():
        scan.add(name, TYPE, rule)
    return scan


def _cold_and_warm(
    index: FleetIndex, scan: FleetScan, found: dict[str, CompiledRule], rounds: int
) -> JsonObject:
    """Cold: no predicate has been asked yet. Warm: truth tables are there, every bitmap is made anew."""
    cold, warm = [], []
    for _ in range(rounds):
        again = FleetScan(index, now=NOW)
        for name, rule in found.items():
            again.add(name, TYPE, rule)
        cold.append(cpu(again.settle))
        for name in found:
            again.remove(name, TYPE)
    scan.settle()
    for _ in range(rounds):
        # As after many changes at once.
        index.table(TYPE).put_many([])
        warm.append(cpu(scan.settle))
    return {"coldSeconds": statistics.median(cold), "warmSeconds": statistics.median(warm)}


def _rule_changed(scan: FleetScan, aliases: AliasTable) -> JsonObject:
    """Every rule in its turn gets other values, and is counted again: compiling included."""
    taken = []
    for name, rule in rules().items():

        def change(name: str = name, rule: JsonObject = rule) -> None:
            (fresh,) = compiled([(name, changed(rule))], aliases, Pool()).values()
            scan.add(name, TYPE, fresh)
            scan.counts(name, TYPE)

        taken.append((cpu(change) * 1e3, name))
    times = sorted(time for time, _ in taken)
    return {
        "median": statistics.median(times),
        "ninetyFifth": times[len(times) * 95 // 100],
        "most": times[-1],
        "slowest": max(taken)[1],
    }


def _machine_changed(index: FleetIndex, scan: FleetScan) -> JsonObject:
    """A machine in use gets other tags and another size, and all verdicts follow."""
    taken = []
    document = next(machines(1, start=17))
    for turn in range(_MACHINES_CHANGED):
        document["tags"]["environment"] = ("test", "production")[turn % 2]
        document["tags"]["team"] = f"team-{turn}"
        document["properties"]["hardwareProfile"]["vmSize"] = f"Standard_D{turn}s_v5"
        body = orjson.loads(orjson.dumps(document))

        def change(body: JsonObject = body) -> None:
            index.put(body)
            scan.settle()

        taken.append(cpu(change) * 1e3)
    return {"median": statistics.median(taken), "most": max(taken)}


def changed(rule: JsonValue) -> JsonObject:
    """The rule with other values in its conditions, so that no predicate is the same."""
    found = _changed(rule, "")
    assert isinstance(found, dict)
    return found


def _changed(value: JsonValue, key: str) -> JsonValue:
    if isinstance(value, dict):
        kept = ("field", "count", "effect", "exists", "type")
        return {
            name: member if name in kept and not isinstance(member, dict) else _changed(member, name)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_changed(member, key) for member in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 1
    if isinstance(value, str) and "/" not in value.removeprefix("/"):
        return value.replace("*", "z*") if "*" in value else value + "z"
    if isinstance(value, str) and value.startswith("/"):
        return value.replace("/images/", "/image/")
    return value

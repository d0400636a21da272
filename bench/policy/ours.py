"""What all parts need of ours: alias tables, compiled rules, built-in definitions, timers."""

import gzip
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import orjson

from bench.policy.fleet import TYPE, machines
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.kernel.errors import UnsupportedError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.aliases import AliasTable, from_rows, from_shared, merged
from goldsmith.policy.catalog.check import sample_values
from goldsmith.policy.catalog.read import read_collection
from goldsmith.policy.compile import CompiledRule, Pool, compile_rule
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.reader import read_rule

NOW = "2026-01-01T00:00:00.0000000Z"
DATA = Path(__file__).parents[3] / "shared" / "azure-policy"
_CHUNK = 10_000
_CONTEXT: dict[str, JsonValue] = {
    "assignmentId": "/providers/Microsoft.Authorization/policyAssignments/bench",
    "definitionId": "",
    "setDefinitionId": "",
    "definitionReferenceId": "",
}


class NoDocuments:
    """Every rule is there before the first resource, so none is ever read again."""

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        return iter(())


def data() -> Path:
    """Raises UnsupportedError when the built-in definitions are not beside the repository."""
    if not DATA.is_dir():
        raise UnsupportedError(
            f"no built-in definitions in {DATA}", hint="put the shared data beside the repository"
        )
    return DATA


def core_aliases() -> AliasTable:
    lines = (data() / "aliases/aliases.core.tsv").read_text().splitlines()[1:]
    return from_rows((row[0], row[1], row[2]) for row in (line.split("\t") for line in lines))


def all_aliases() -> AliasTable:
    return merged(
        from_shared(json.loads(gzip.decompress((data() / "aliases/aliases.full.json.gz").read_bytes())))
    )


def definitions(which: str) -> tuple[PolicyDefinition, ...]:
    """`vm` or `evaluable`: the built-in definitions with a rule of ours to evaluate."""
    name = f"policyDefinitions.{which}.jsonl.gz"
    report = read_collection([(name, (data() / name).read_bytes())])
    return tuple(one for one in report.definitions if one.rule is not None)


def compiled(
    rules: Iterable[tuple[str, JsonObject]], aliases: AliasTable, pool: Pool
) -> dict[str, CompiledRule]:
    return {
        name: compile_rule(
            read_rule(rule),
            parameters={},
            policy_context=_CONTEXT,
            aliases=aliases,
            resource_type=TYPE,
            pool=pool,
        )
        for name, rule in rules
    }


def compiled_definitions(
    found: Iterable[PolicyDefinition], aliases: AliasTable, pool: Pool
) -> dict[str, CompiledRule]:
    """Each for a virtual machine, with its defaults."""
    result: dict[str, CompiledRule] = {}
    for one in found:
        assert one.rule is not None
        result[one.id] = compile_rule(
            one.rule,
            parameters=sample_values(one.parameters.values()),
            policy_context=_CONTEXT | {"definitionId": one.id},
            aliases=aliases,
            resource_type=TYPE,
            pool=pool,
        )
    return result


def lines(count: int, *, start: int = 0) -> list[bytes]:
    return [orjson.dumps(one) for one in machines(count, start=start)]


def filled(index: FleetIndex, count: int) -> JsonObject:
    """Fill the index; CPU microseconds a row of parsing, and of projecting and encoding beside it."""
    parsing: list[float] = []
    whole: list[float] = []
    size = 0
    for start in range(0, count, _CHUNK):
        part = lines(min(_CHUNK, count - start), start=start)
        size += sum(map(len, part))
        parsing.append(cpu(lambda part=part: [orjson.loads(line) and None for line in part]) / len(part))  # type: ignore[misc]
        whole.append(cpu(lambda part=part: index.put_many(map(orjson.loads, part))) / len(part))  # type: ignore[misc]
    return {
        "bytesPerResource": round(size / count),
        "parseMicroseconds": statistics.median(parsing) * 1e6,
        "projectMicroseconds": (statistics.median(whole) - statistics.median(parsing)) * 1e6,
        "wholeSeconds": sum(whole) * _CHUNK if count >= _CHUNK else sum(whole) * count,
    }


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU that the work takes, all threads of this process together."""
    started = time.process_time()
    work()
    return time.process_time() - started


def median_cpu(work: Callable[[], object], rounds: int) -> float:
    return statistics.median(cpu(work) for _ in range(rounds))


def rss_mib() -> float:
    """The most memory that this process has held."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**20

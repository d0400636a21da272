"""Compiling every built-in definition: once, and at a start that knows what the one before found out."""

from bench.policy.ours import all_aliases, cpu, data, median_cpu
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.catalog.check import check
from goldsmith.policy.catalog.known import decode, encode
from goldsmith.policy.catalog.read import read_collection


def figures(_: int, rounds: int) -> JsonObject:
    """CPU seconds of reading, of the alias tables, of compiling, and of a start with what is known."""
    name = "policyDefinitions.evaluable.jsonl.gz"
    packed = (data() / name).read_bytes()
    read = median_cpu(lambda: read_collection([(name, packed)]), rounds)
    report = read_collection([(name, packed)])
    aliases = all_aliases()
    compile_seconds = median_cpu(lambda: check(report, aliases=aliases), rounds)
    found = check(report, aliases=aliases)
    kept = encode(found.summaries, engine="bench")

    def start() -> None:
        check(report, aliases=aliases, known=decode(kept, engine="bench"))

    return {
        "definitions": found.compiled,
        "trees": found.trees,
        "failures": len(found.failures),
        "readSeconds": read,
        "aliasSeconds": cpu(all_aliases),
        "compileSeconds": compile_seconds,
        "cachedSeconds": median_cpu(start, rounds),
        "keptKib": len(kept) // 1024,
    }

"""One machine at the door: every built-in definition about machines, all on one document."""

from itertools import count as counter

from bench.policy.fleet import machines
from bench.policy.ours import NOW, all_aliases, compiled_definitions, cpu, definitions, median_cpu
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.compile import CompiledRule, Pool
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_node

_MACHINES = 300
_GROUP: JsonObject = {"name": "app", "location": "westeurope", "tags": {}}
_SUBSCRIPTION: JsonObject = {"subscriptionId": "5e1f0000-0000-4000-8000-000000000001"}


def figures(_: int, rounds: int) -> JsonObject:
    """CPU milliseconds a machine, medians over machines that all differ."""
    pool = Pool()
    built = compiled_definitions(definitions("vm"), all_aliases(), pool)
    fleet = list(machines(_MACHINES))
    hits = sum(judged(one, built) for one in fleet)
    milliseconds = (
        median_cpu(lambda: [judged(one, built) for one in fleet], max(rounds, 5)) / len(fleet) * 1e3
    )
    turn = counter()
    single = sorted(cpu(lambda: judged(fleet[next(turn)], built)) * 1e3 for _ in range(_MACHINES))
    return {
        "definitions": len(built),
        "leaves": len(pool.leaves),
        "nodes": len(pool.nodes),
        "machines": len(fleet),
        "hitsPerMachine": hits / len(fleet),
        "milliseconds": milliseconds,
        "millisecondsMost": single[-1],
    }


def judged(machine: JsonObject, rules: dict[str, CompiledRule]) -> int:
    """How many rules hold for the machine; rules that share conditions share what is found."""
    document = Document(
        machine,
        resource_group=_GROUP,
        subscription=_SUBSCRIPTION,
        request_context={"apiVersion": "2024-07-01"},
        now=NOW,
    )
    hits = 0
    for rule in rules.values():
        try:
            hits += evaluate_node(rule.condition, document)
        except EvaluationError:
            hits += 1
    return hits

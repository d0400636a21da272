"""Policies at the door and over a fleet, beside others on the same machines: python -m bench.policy.run.

Each part runs in a process of its own, so that nobody's memory and caches are another's. CPU times, medians.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from goldsmith.kernel.json import JsonObject

_PARTS = ("compile", "door", "peers", "fleet", "builtins")
_RESOURCES = 1_000_000
_PEER_RESOURCES = 20_000
# Judging others one by one takes a hundred times as long: they see the first machines only.
_OF_PEERS = frozenset(("peers",))
_TIMES_FASTER_LEAST = 5.0

Target = tuple[str, str, float, str]
# Part, figure (a path in it), the most it may be, what that is. Times are for a million resources.
TARGETS: tuple[Target, ...] = (
    ("compile", "compileSeconds", 5.0, "s to compile every built-in"),
    ("door", "milliseconds", 2.0, "ms for every built-in about machines on one"),
    ("fleet", "coldSeconds", 20.0, "s for a hundred rules, cold"),
    ("fleet", "warmSeconds", 1.0, "s for a hundred rules, warm"),
    ("fleet", "rssMib", 1536.0, "MiB held"),
    ("fleet", "ruleChangedMilliseconds.most", 100.0, "ms when a rule changes, at the worst"),
    ("fleet", "machineChangedMilliseconds.median", 1.0, "ms when a machine changes"),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resources", type=int, default=_RESOURCES, help="machines of the fleet")
    parser.add_argument("--peer-resources", type=int, default=_PEER_RESOURCES, help="machines that peers see")
    parser.add_argument("--rounds", type=int, default=3, help="of everything that is repeated")
    parser.add_argument("--only", choices=_PARTS, action="append", help="this part (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures: JsonObject = {}
    for part in options.only or _PARTS:
        count = options.peer_resources if part in _OF_PEERS else options.resources
        done = _run(part, ["--resources", str(count), "--rounds", str(options.rounds)])
        if done is None:
            return 1
        figures[part] = done
    targets = reached(figures)
    if options.json:
        sys.stdout.write(json.dumps({**figures, "targets": targets}, indent=2) + "\n")
    else:
        sys.stdout.write(text(figures, targets))
    return 0 if all(one["reached"] for one in targets) and agreed(figures) else 1


def reached(figures: JsonObject) -> list[JsonObject]:
    """Each target of the parts that ran, with what was measured."""
    result: list[JsonObject] = []
    for part, path, most, words in TARGETS:
        if part in figures:
            value = figures[part]
            for name in path.split("."):
                value = value[name]
            result.append(
                {"part": part, "measured": value, "most": most, "what": words, "reached": value <= most}
            )
    if "peers" in figures:
        least = min(one["timesFaster"] for one in figures["peers"]["oneByOne"])
        words = "times as fast as c7n, one by one, at the worst of the rules"
        result.append(
            {
                "part": "peers",
                "measured": least,
                "least": _TIMES_FASTER_LEAST,
                "what": words,
                "reached": least >= _TIMES_FASTER_LEAST,
            }
        )
    return result


def agreed(figures: JsonObject) -> bool:
    """Whether everybody counted the same hits."""
    peers = figures.get("peers")
    if peers is None:
        return True
    return all(one["agree"] for one in (*peers["oneByOne"], *peers["table"]["rules"], peers["rego"]))


def text(figures: JsonObject, targets: Sequence[JsonObject]) -> str:
    """Ratios first, then what was measured, then the targets."""
    blocks = []
    if "peers" in figures:
        blocks += _ratios(figures["peers"])
    rows = [("part", "figure", "measured")]
    for part, found in figures.items():
        rows += [(part, name, value) for name, value in _flat(found) if part != "peers"]
    if len(rows) > 1:
        blocks.append(_aligned(rows))
    blocks.append(
        _aligned(
            [
                (
                    "reached" if one["reached"] else "MISSED",
                    f"{one['measured']:.2f} {one['what']}",
                    f"at most {one['most']:g}" if "most" in one else f"at least {one['least']:g}",
                )
                for one in targets
            ]
        )
    )
    return "\n".join(blocks)


def _ratios(peers: JsonObject) -> list[str]:
    one_by_one = [("one rule on one machine", "ours us", "c7n us", "times", "on a list us", "times", "agree")]
    one_by_one += [
        (
            one["rule"],
            f"{one['microseconds']:.2f}",
            f"{one['c7nMicroseconds']:.2f}",
            f"{one['timesFaster']:.1f}x",
            f"{one['listMicroseconds']:.2f}",
            f"{one['listTimesFaster']:.1f}x",
            str(one["agree"]),
        )
        for one in peers["oneByOne"]
    ]
    rego = peers["rego"]
    one_by_one.append(
        (
            "the first, in rego",
            f"{rego['microseconds']:.2f}",
            f"{rego['regoMicroseconds']:.2f}",
            f"{rego['timesFaster']:.1f}x",
            "",
            "",
            str(rego["agree"]),
        )
    )
    table = [(f"one rule on {peers['resources']} machines", "ours ms", "DuckDB ms", "times", "agree")]
    table += [
        (
            one["rule"],
            f"{one['milliseconds']:.2f}",
            f"{one['duckdbMilliseconds']:.2f}",
            f"{one['timesFaster']:.1f}x",
            str(one["agree"]),
        )
        for one in peers["table"]["rules"]
    ]
    words = (
        "a hundred rules on one machine after another: "
        f"{peers['hundredOneByOneMicroseconds']:.0f} us a machine, "
        f"{peers['parseMicroseconds']:.1f} us to parse it\n"
        f"loading the table: ours {peers['table']['loadSeconds']:.2f} s, "
        f"DuckDB {peers['table']['duckdbLoadSeconds']:.2f} s\n"
    )
    return [_aligned(one_by_one), _aligned(table), words]


def _flat(figures: JsonObject, before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{before}{name}.")
        elif isinstance(value, float):
            rows.append((before + name, f"{value:.3f}"))
        else:
            rows.append((before + name, str(value)))
    return rows


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


def _run(part: str, words: Sequence[str]) -> JsonObject | None:
    repository = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (repository, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "bench.policy.parts", part, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if done.returncode != 0:
        return None
    found: JsonObject = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())

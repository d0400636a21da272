"""One part of the benchmark in a process of its own: python -m bench.policy.parts NAME; figures as JSON."""

import argparse
import json
import sys
from collections.abc import Callable

from bench.policy import compiling, door, peers, scanning
from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonObject

PARTS: dict[str, Callable[[int, int], JsonObject]] = {
    "compile": compiling.figures,
    "door": door.figures,
    "peers": peers.figures,
    "fleet": scanning.hundred,
    "builtins": scanning.builtins,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--resources", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    try:
        figures = PARTS[options.part](options.resources, options.rounds)
    except Error as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

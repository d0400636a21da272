"""All benchmarks, as short as they mean something: python -m bench.run [--only NAME] [--json]."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.build.base import captured
from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonObject

_ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("build", "policy", "sbom"), help="run this one alone")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"of each (default: {_ROUNDS})")
    parser.add_argument("--state", type=Path, help="state directory to take the base from (default: yours)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    try:
        root = captured(options.state).root
    except Error as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    rounds = str(options.rounds)
    benches: dict[str, list[str]] = {
        "sbom": ["bench.sbom.run", "--root", str(root), "--runs", rounds],
        "policy": ["bench.policy.run", "--rounds", rounds],
        "build": ["bench.build.run", "--rounds", rounds],
    }
    if options.state:
        benches["build"] += ["--state", str(options.state)]
    chosen = [options.only] if options.only else list(benches)
    results: JsonObject = {}
    status = 0
    for name in chosen:
        if not options.json:
            sys.stdout.write(f"{name}\n\n")
        done = _run(benches[name], as_json=options.json)
        if options.json and done.stdout:
            results[name] = json.loads(done.stdout)
        status = max(status, done.returncode)
    if options.json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    return status


def _run(words: Sequence[str], *, as_json: bool) -> "subprocess.CompletedProcess[bytes]":
    # A process each: one measures the memory and the CPU time of its children.
    sys.stdout.flush()
    repository = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (repository, os.environ.get("PYTHONPATH"))))
    argv = [sys.executable, "-m", *words, *(["--json"] if as_json else [])]
    return subprocess.run(
        argv,
        stdout=subprocess.PIPE if as_json else None,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())

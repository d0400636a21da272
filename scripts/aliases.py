"""Writes `policy/content/aliases.json` from the description beside it."""

import json
from pathlib import Path

from goldsmith.policy.content.description import expand

FOLDER = Path(__file__).resolve().parents[1] / "src" / "goldsmith" / "policy" / "content"


def main() -> None:
    providers = expand((FOLDER / "aliases.txt").read_text("utf-8"))
    # One alias a line: a change shows as a change of that line.
    text = json.dumps(providers, separators=(",", ":")).replace('},{"name"', '},\n{"name"')
    (FOLDER / "aliases.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

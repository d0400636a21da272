"""Draw the picture of the README: the live view of a build, from the events of a real one.

Usage: goldsmith job follow JOB --json > events.jsonl; python scripts/picture.py events.jsonl docs/build.svg
"""

import io
import json
import re
import sys
from pathlib import Path

from rich.console import Console

from goldsmith.cli.progress import BuildView, draw
from goldsmith.jobs.model import JobEvent
from goldsmith.kernel.clock import parse_iso

_WIDTH = 88
_FONTS = re.compile(r"@font-face\s*{[^}]*}\s*")


def main() -> None:
    events, out = Path(sys.argv[1]), Path(sys.argv[2])
    view = BuildView()
    instants = []
    for line in events.read_text().splitlines():
        if not line.startswith('{"seq"'):
            continue
        data = json.loads(line)
        at = parse_iso(data.pop("at"))
        name = data.pop("event")
        view.feed(JobEvent(seq=data.pop("seq"), job_id="", at=at, name=name, data=data), now=at.timestamp())
        instants.append(at.timestamp())
    console = Console(record=True, width=_WIDTH, force_terminal=True, file=io.StringIO())
    console.print(draw(view, now=instants[-1], elapsed=instants[-1] - instants[0], lines=100))
    # The fonts would be fetched from elsewhere when the picture is looked at.
    out.write_text(_FONTS.sub("", console.export_svg(title="goldsmith image build examples/hardened.yaml")))


if __name__ == "__main__":
    main()

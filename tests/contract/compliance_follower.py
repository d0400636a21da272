"""Follows the changes of an estate until it is killed; run by the crash tests in a process of its own."""

import sys
import time

from goldsmith.kernel.errors import ConflictError
from tests.compliance_world import Estate


def main(url: str) -> None:
    estate = Estate(url)
    estate.keeper.load()
    print("ready", flush=True)
    while True:
        try:
            step = estate.keeper.advance(limit=3)
        except ConflictError:
            # The one before us was killed, and its last commit came through after we had read.
            continue
        if not step.changes:
            time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1])

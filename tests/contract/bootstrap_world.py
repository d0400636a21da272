"""A marketplace on the machine's configured mirror whose base is Debian's essential packages alone.

Run as a program it captures that base into the state directory given, telling how far it is.
"""

import sys
from dataclasses import replace
from pathlib import Path

from goldsmith.disk.bootstrap import Variant
from goldsmith.disk.debs import DebStore
from goldsmith.kernel.clock import SystemClock
from goldsmith.marketplace import service
from goldsmith.marketplace.apt import AptMirror
from goldsmith.marketplace.catalogue import OFFERS
from goldsmith.marketplace.debian import DebianBuilder
from goldsmith.marketplace.model import parse_urn
from goldsmith.marketplace.ports import Progress
from goldsmith.marketplace.store import CaptureStore

LATEST = parse_urn("Debian:debian-12:12-gen2:latest")


def small_marketplace(state: Path, *, mirror: str | None = None) -> service.Marketplace:
    debs = DebStore(state / "debs")
    offer = replace(OFFERS[0], skus=(replace(OFFERS[0].skus[0], packages=()),))
    return service.Marketplace(
        offers=(offer,),
        store=CaptureStore(state),
        mirror=AptMirror(
            state / "apt", debs, mirror=mirror, security_mirror=mirror, variant=Variant.ESSENTIAL
        ),
        builder=DebianBuilder(debs),
        clock=SystemClock(),
        variant=Variant.ESSENTIAL,
    )


def tell(progress: Progress) -> None:
    sys.stdout.write(f"{progress.stage} {progress.done}\n")
    sys.stdout.flush()


def main() -> None:
    service.capture(small_marketplace(Path(sys.argv[1])), LATEST, on_progress=tell)


if __name__ == "__main__":
    main()

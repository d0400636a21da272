"""What a build works with: the adapters `app` chose, handed on as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from goldsmith.blobs.store import BlobStore
from goldsmith.disk.debs import DebStore
from goldsmith.disk.layers import LayerStore
from goldsmith.gallery.ports import GalleryStore
from goldsmith.gallery.regions import Regions
from goldsmith.kernel.clock import Clock
from goldsmith.marketplace.ports import RootExtractor
from goldsmith.marketplace.service import Marketplace
from goldsmith.provenance.keys import KeyStore
from goldsmith.publishing.history import History
from goldsmith.publishing.inputs import InputStore
from goldsmith.publishing.records import BuildRecords
from goldsmith.vm.model import Accelerator, Firmware


@dataclass(frozen=True, slots=True, kw_only=True)
class BootMeans:
    """How machines are started on this host; `secure_boot` is None where no such firmware is installed."""

    accelerator: Accelerator
    plain: Firmware | None
    secure_boot: Firmware | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """`layers_at` opens a layer store below a directory; `boot_means` probes the host when first asked."""

    state: Path
    clock: Clock
    actor: str
    marketplace: Marketplace
    extract_root: RootExtractor
    layers_at: Callable[[Path], LayerStore]
    debs: DebStore
    inputs: InputStore
    records: BuildRecords
    history: History
    keys: KeyStore
    gallery: GalleryStore
    regions: Regions
    stores: Mapping[str, BlobStore]
    database: sa.Engine
    boot_means: Callable[[], BootMeans]

    @property
    def layers(self) -> LayerStore:
        return self.layers_at(self.state / "layers")

    @property
    def disks(self) -> Path:
        """Sealed disks by digest: a cache, each can be had again from a region."""
        return self.state / "disks"

"""The composition root: the only module that chooses adapters and puts them together."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from goldsmith import settings as configuration
from goldsmith.blobs.store import BlobStore, open_store
from goldsmith.disk.debs import DebStore
from goldsmith.disk.extract import extract
from goldsmith.disk.layers import LayerStore
from goldsmith.disk.sandbox import Sandbox, remembered_sandbox
from goldsmith.gallery.regions import Region, Regions, region_key
from goldsmith.gallery.store import StoredGalleries
from goldsmith.host.cache import host_key, known_host
from goldsmith.host.facts import FirmwareFiles, HostFacts, choose_accelerator
from goldsmith.jobs.engine import JobEngine
from goldsmith.jobs.worker import Ownership, SharedOwnership, state_ownership
from goldsmith.kernel.clock import Clock, SystemClock
from goldsmith.kernel.ids import RandomIds, ResourceId
from goldsmith.marketplace.apt import AptMirror
from goldsmith.marketplace.catalogue import OFFERS
from goldsmith.marketplace.debian import DebianBuilder
from goldsmith.marketplace.service import Marketplace
from goldsmith.marketplace.store import CaptureStore
from goldsmith.provenance.keys import KeyStore
from goldsmith.publishing import pipeline
from goldsmith.publishing.history import History
from goldsmith.publishing.inputs import InputStore
from goldsmith.publishing.records import BuildRecords
from goldsmith.publishing.workshop import BootMeans, Workshop
from goldsmith.resources.engine import open_engine
from goldsmith.resources.migrate import migrate
from goldsmith.resources.store import ResourceStore
from goldsmith.sbom.store import create_tables
from goldsmith.settings import Settings
from goldsmith.vm.model import Accelerator, DiskFormat, Firmware

if TYPE_CHECKING:
    from goldsmith.compliance.keeper import Keeper
    from goldsmith.compliance.remediations import Remediations


class App:
    """Everything one process works with; each part is made when it is first asked for."""

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or configuration.load()
        self.clock = clock or SystemClock()

    @property
    def state(self) -> Path:
        return self.settings.state

    @cached_property
    def host(self) -> HostFacts:
        return known_host(self.state)

    @cached_property
    def database(self) -> sa.Engine:
        engine = open_engine(self.settings.database)
        migrate(engine)
        create_tables(engine)
        return engine

    @cached_property
    def resources(self) -> ResourceStore:
        return ResourceStore(self.database, self.clock, RandomIds())

    @cached_property
    def gallery(self) -> StoredGalleries:
        return StoredGalleries(self.resources)

    @cached_property
    def keeper(self) -> "Keeper":
        """Who keeps the states of compliance right; for one thread."""
        # Loaded only here, and so is the next one: builds of images need neither the scan nor numpy.
        from goldsmith.compliance.keeper import Keeper
        from goldsmith.compliance.migrate import migrate as make_tables
        from goldsmith.compliance.store import ComplianceStore
        from goldsmith.policy.aliases import from_providers
        from goldsmith.policy.content import packaged

        make_tables(self.database)
        return Keeper(
            resources=self.resources,
            store=ComplianceStore(self.database),
            aliases=from_providers(packaged.alias_listing()),
            clock=self.clock,
            columns=self.state / "columns",
        )

    @cached_property
    def remediations(self) -> "Remediations":
        from goldsmith.compliance.migrate import migrate as make_tables
        from goldsmith.compliance.remediations import Remediations

        make_tables(self.database)
        return Remediations(self.database, self.resources, self.clock, RandomIds())

    @cached_property
    def regions(self) -> Regions:
        return Regions(Region(name=name, url=place.url) for name, place in self.settings.regions.items())

    @property
    def default_region(self) -> str:
        """The region asked when none is named: the first configured."""
        return next(iter(self.regions)).name

    @cached_property
    def stores(self) -> Mapping[str, BlobStore]:
        """The blob store of each region by its key, opened when it is used."""
        return _Stores(self.settings)

    @cached_property
    def debs(self) -> DebStore:
        return DebStore(self.state / "debs")

    @cached_property
    def marketplace(self) -> Marketplace:
        mirror = AptMirror(
            self.state / "apt",
            self.debs,
            mirror=self.settings.mirror,
            security_mirror=self.settings.security_mirror,
        )
        return Marketplace(
            offers=OFFERS,
            store=CaptureStore(self.state),
            mirror=mirror,
            builder=DebianBuilder(self.debs),
            clock=self.clock,
        )

    @cached_property
    def sandbox(self) -> Sandbox:
        return remembered_sandbox(self.state, host=host_key())

    @cached_property
    def keys(self) -> KeyStore:
        return KeyStore(self.state / "keys", clock=self.clock)

    @cached_property
    def workshop(self) -> Workshop:
        return Workshop(
            state=self.state,
            clock=self.clock,
            actor=self.settings.actor,
            marketplace=self.marketplace,
            extract_root=self._extract_root,
            layers_at=lambda root: LayerStore(root, self.sandbox, clock=self.clock),
            debs=self.debs,
            inputs=InputStore(self.state / "inputs"),
            records=BuildRecords(self.state / "builds"),
            history=History(self.state / "history.json"),
            keys=self.keys,
            gallery=self.gallery,
            regions=self.regions,
            stores=self.stores,
            database=self.database,
            boot_means=self._boot_means,
        )

    @cached_property
    def jobs(self) -> JobEngine:
        return JobEngine(
            self.settings.jobs_database,
            kinds={pipeline.KIND: lambda context, given: pipeline.run(self.workshop, context, given)},
            clock=self.clock,
        )

    @cached_property
    def ownership(self) -> Ownership:
        """Who may run the jobs: on SQLite whoever holds the state's lock, on PostgreSQL every worker."""
        if self.settings.jobs_database.startswith("sqlite"):
            return state_ownership(self.state)
        return SharedOwnership(self.jobs)

    def resource_id(self, type_: str, *names: str) -> ResourceId:
        """The id of a resource named without subscription and group; `type_` as `Microsoft.Compute/a/b`."""
        namespace, *types = type_.split("/")
        return ResourceId(
            subscription=self.settings.subscription,
            group=self.settings.resource_group,
            namespace=namespace,
            types=tuple(types),
            names=names,
        )

    def _extract_root(self, disk: Path, target: Path) -> None:
        scratch = self.state / "scratch"
        scratch.mkdir(exist_ok=True)
        extract(disk, target, scratch=scratch)

    def _boot_means(self) -> BootMeans:
        facts = self.host
        return BootMeans(
            accelerator=Accelerator(choose_accelerator(facts).value),
            plain=_firmware(facts.firmware_for(secure_boot=False)),
            secure_boot=_firmware(facts.firmware_for(secure_boot=True))
            if facts.program("swtpm") is not None and facts.program("swtpm_setup") is not None
            else None,
        )


class _Stores(Mapping[str, BlobStore]):
    def __init__(self, settings: Settings) -> None:
        self._places = {region_key(name): place for name, place in settings.regions.items()}
        self._open: dict[str, BlobStore] = {}

    def __getitem__(self, key: str) -> BlobStore:
        if key not in self._open:
            place = self._places[key]
            self._open[key] = open_store(place.url, dict(place.options))
        return self._open[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _firmware(files: FirmwareFiles | None) -> Firmware | None:
    if files is None:
        return None
    return Firmware(
        code=files.code, vars=files.vars, format=DiskFormat(files.format), secure_boot=files.secure_boot
    )

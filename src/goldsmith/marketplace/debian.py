"""Building the tree of a Debian base from its lock."""

from pathlib import Path

from goldsmith.disk.bootstrap import RECIPE, BootstrapSpec, bootstrap
from goldsmith.disk.debs import DebStore
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel
from goldsmith.marketplace.lock import Lock
from goldsmith.marketplace.ports import OnProgress, Progress, Stage
from goldsmith.marketplace.sources import DEBIAN_KEYRING, write_deb822

_FINISH = Path(__file__).with_name("finish_base.sh")
# Manuals and translations are left out now and at every later installation; licences stay.
_EXCLUDES = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
_EXCLUDES_FILE = "etc/dpkg/dpkg.cfg.d/excludes"
_SOURCES_FILE = "etc/apt/sources.list.d/debian.sources"
# Each package is unpacked and configured; triggers come on top.
_STEPS_PER_DEB = 2


class DebianBuilder:
    """Implements ports.Builder with the packages in `debs`."""

    def __init__(self, debs: DebStore) -> None:
        self._debs = debs

    @property
    def recipe_digest(self) -> str:
        return digest.of_value(
            [RECIPE, _FINISH.read_text(), list(_EXCLUDES), _EXCLUDES_FILE, _SOURCES_FILE, DEBIAN_KEYRING]
        )

    def build(
        self, lock: Lock, target: Path, *, scratch: Path, cancel: Cancel, on_progress: OnProgress
    ) -> None:
        repository = self._debs.as_repository(lock.debs, scratch / "repository")
        total = _STEPS_PER_DEB * len(lock.debs)
        on_progress(Progress(stage=Stage.INSTALL, total=total))
        spec = BootstrapSpec(
            architecture=lock.architecture,
            variant=lock.variant,
            include=lock.include,
            epoch=lock.epoch,
            dpkg_options=_EXCLUDES,
            hooks=(_FINISH,),
            files=(
                (_EXCLUDES_FILE, "".join(f"{line}\n" for line in _EXCLUDES).encode()),
                (_SOURCES_FILE, write_deb822(lock.sources, DEBIAN_KEYRING).encode()),
            ),
        )
        bootstrap(
            repository,
            target,
            spec,
            scratch=scratch / "tmp",
            cancel=cancel,
            on_step=lambda done: on_progress(
                Progress(stage=Stage.INSTALL, done=min(done, total), total=total)
            ),
        )

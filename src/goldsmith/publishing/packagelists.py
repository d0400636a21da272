"""apt's package lists of a template, kept between its builds so that only what changed is fetched again.

They lie outside the image: a step finds them where its APT_CONFIG points, and no layer ever holds them. Each
template has its own, because whoever can write a step could also forge what a later one reads.
"""

import contextlib
import os
from pathlib import Path

from goldsmith.disk.model import Bind
from goldsmith.disk.sandbox import Sandbox
from goldsmith.kernel import digest

GUEST_DIRECTORY = "/run/goldsmith/lists"
APT_SETTINGS = f'Dir::State::lists "{GUEST_DIRECTORY}/";\n'
_NOT_KEPT = ("lock",)


class PackageLists:
    """The lists of one template, below the state directory; several steps may use them at the same time."""

    def __init__(self, state: Path, template_name: str, sandbox: Sandbox) -> None:
        name = digest.hex_of(digest.of_bytes(template_name.encode()))[:32]
        self._kept = state / "package-lists" / name
        self._sandbox = sandbox

    def lend(self, place: Path) -> Bind:
        """Put the lists at `place`, which must be absent, for a step to read and renew."""
        place.mkdir(parents=True)
        # apt's own unprivileged user looks at the directory too.
        place.chmod(0o755)
        for item in _lists(self._kept):
            with contextlib.suppress(FileNotFoundError):
                os.link(item, place / item.name)
        return Bind(host=place, guest=GUEST_DIRECTORY, read_only=False)

    def keep(self, place: Path) -> None:
        """Take over what a step has left at `place`, unless it removed the lists; `place` is gone then."""
        left = _lists(place)
        if left:
            self._kept.mkdir(parents=True, exist_ok=True)
            for item in left:
                # Whole files only: apt puts a list in its place by a rename, and so is it done here.
                with contextlib.suppress(FileNotFoundError):
                    item.replace(self._kept / item.name)
            names = {item.name for item in left}
            for item in _lists(self._kept):
                if item.name not in names:
                    item.unlink(missing_ok=True)
        self.drop(place)

    def drop(self, place: Path) -> None:
        """Remove what was lent; apt's own user owns some of it."""
        if place.exists():
            self._sandbox.call("remove", {"path": str(place)})


def _lists(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return [item for item in found if item.name not in _NOT_KEPT and item.is_file() and not item.is_symlink()]

"""The tree that overlaid layers make together, seen and made without mounting anything."""

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.disk.kinds import OPAQUE_ATTRIBUTES, Kind, is_kept_attribute, kind_of
from goldsmith.kernel.errors import InvalidInputError

_LINKS_MAX = 40
_OVERLAY_ATTRIBUTES = ("trusted.overlay.", "user.overlay.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedTree:
    """Layers from the top one down, by the rules of overlayfs: whiteouts and opaque directories."""

    layers: tuple[Path, ...]

    def find(self, path: str) -> Path | None:
        """Where the entry `path` (no symbolic link among its parents) comes from; None when absent."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for layer in self.layers:
            place = layer
            hidden = False
            for index, part in enumerate(parts):
                hidden = hidden or is_opaque(place)
                place /= part
                try:
                    status = place.lstat()
                except (FileNotFoundError, NotADirectoryError):
                    break
                if kind_of(status) is Kind.WHITEOUT:
                    return None
                if index < len(parts) - 1 and not stat.S_ISDIR(status.st_mode):
                    return None
            else:
                return place
            if hidden:
                return None
        return None

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """`path` with its symbolic links followed inside the tree, relative to its top; parts may be absent.

        Raises InvalidInputError for more than 40 links on the way.
        """
        pending = [part for part in path.split("/") if part][::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":
                del done[-1:]
                continue
            source = self.find("/".join([*done, part]))
            is_link = source is not None and source.is_symlink()
            if source is not None and is_link and (pending or follow_last):
                links += 1
                if links > _LINKS_MAX:
                    raise InvalidInputError(f"too many symbolic links in {path}")
                target = str(source.readlink())
                if target.startswith("/"):
                    done.clear()
                pending += [piece for piece in target.split("/") if piece][::-1]
                continue
            done.append(part)
        return "/".join(done)


def is_opaque(folder: Path) -> bool:
    """Whether a directory of a layer hides all that lies below it."""
    for name in OPAQUE_ATTRIBUTES:
        try:
            if os.getxattr(folder, name) == b"y":
                return True
        except OSError:
            continue
    return False


def copy_attributes(source: Path, target: Path) -> None:
    """Owner, mode, kept attributes and modification time (whole seconds) of `source` onto `target`."""
    status = source.lstat()
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        target.chmod(stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if is_kept_attribute(name):
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)
    mtime = int(status.st_mtime_ns // 1_000_000_000)
    os.utime(target, (mtime, mtime), follow_symlinks=False)


def materialise(layers: Sequence[Path], target: Path) -> None:
    """Copy the merged tree of `layers` (top first) into the existing directory `target`."""
    # Loaded only where trees are copied: a step on overlayfs, of which a build has many, needs none of it.
    from goldsmith.disk.tools import run_tool

    for layer in reversed(layers):
        _apply_removals(layer, target)
        run_tool(["cp", "-a", "--reflink=auto", f"{layer}/.", target], writes=target)
        _drop_markers(layer, target)


Snapshot = dict[str, tuple[object, ...]]


def snapshot(root: Path) -> Snapshot:
    """Of every path what changes when it does: a directory's attributes, else inode and change time."""
    found: Snapshot = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            place = Path(folder) / name
            status = place.lstat()
            kind = stat.S_IFMT(status.st_mode)
            relative = str(place.relative_to(root))
            if kind == stat.S_IFDIR:
                kept = tuple(
                    os.getxattr(place, item) for item in os.listxattr(place) if is_kept_attribute(item)
                )
                owner = (status.st_mode, status.st_uid, status.st_gid)
                found[relative] = (kind, *owner, status.st_mtime_ns, *kept)
            else:
                found[relative] = (kind, status.st_ino, status.st_ctime_ns)
    return found


def move_changes(root: Path, before: Snapshot, upper: Path) -> None:
    """Move what is new or changed in `root` since `before` into `upper`; whiteouts for what is gone."""
    after = snapshot(root)
    # Moving files out changes the times of their directories, so those are noted first and set last.
    mtimes = {
        path: (root / path).lstat().st_mtime_ns
        for path in (".", *after)
        if path == "." or _is_folder(after, path)
    }
    copy_attributes(root, upper)
    for path in sorted(after):
        if before.get(path) == after[path]:
            continue
        _make_parents(root, upper, path)
        source, target = root / path, upper / path
        if _is_folder(after, path):
            if not target.is_dir():
                target.mkdir()
                copy_attributes(source, target)
        else:
            source.rename(target)
    for path in sorted(before.keys() - after.keys()):
        parent = path.rpartition("/")[0]
        # Below a directory that is gone (or is no directory now) one whiteout (or the new entry) says it all.
        if parent and not _is_folder(after, parent):
            continue
        _make_parents(root, upper, path)
        os.mknod(upper / path, stat.S_IFCHR, 0)
    for path, mtime in sorted(mtimes.items(), reverse=True):
        if (upper / path).is_dir():
            os.utime(upper / path, ns=(mtime, mtime))


def _is_folder(found: Snapshot, path: str) -> bool:
    return path in found and found[path][0] == stat.S_IFDIR


def _make_parents(root: Path, upper: Path, path: str) -> None:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        folder = "/".join(parts[:count])
        if not (upper / folder).is_dir():
            (upper / folder).mkdir()
            copy_attributes(root / folder, upper / folder)


def _apply_removals(layer: Path, target: Path) -> None:
    """Remove from `target` what `layer` hides there or puts something of another kind in the place of."""
    for folder, folders, files in os.walk(layer):
        relative = Path(folder).relative_to(layer)
        if is_opaque(Path(folder)) and (target / relative).is_dir():
            for child in (target / relative).iterdir():
                _remove(child)
        for name in (*folders, *files):
            place, source = target / relative / name, Path(folder) / name
            if place.is_symlink() or not place.is_dir() or not source.is_dir() or source.is_symlink():
                _remove(place)


def _drop_markers(layer: Path, target: Path) -> None:
    """Remove from `target` what the copy of `layer` brought of overlayfs: whiteouts and attributes."""
    for folder, folders, files in os.walk(layer):
        place = target / Path(folder).relative_to(layer)
        for name in (*folders, *files):
            if kind_of((Path(folder) / name).lstat()) is Kind.WHITEOUT:
                (place / name).unlink()
            else:
                _drop_attributes(place / name)
        _drop_attributes(place)
        status = Path(folder).stat()
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def _drop_attributes(place: Path) -> None:
    for name in os.listxattr(place, follow_symlinks=False):
        if name.startswith(_OVERLAY_ATTRIBUTES):
            os.removexattr(place, name, follow_symlinks=False)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)

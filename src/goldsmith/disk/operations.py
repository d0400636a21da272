"""What is done to trees by whoever owns them: in this process as root, else inside their user namespace.

Arguments and answers are JSON values, so that both ways are one; the names are those of `perform`.
"""

import json
import os
import shutil
from pathlib import Path

from goldsmith.disk.assemble import (
    assemble,
    plan_assembly,
    plan_from_json,
    plan_to_json,
)
from goldsmith.disk.ext4_nodes import read_content
from goldsmith.disk.filesystems import read_volume
from goldsmith.disk.gpt import Partition
from goldsmith.disk.kinds import Kind, kind_of
from goldsmith.disk.merged import MergedTree, copy_attributes
from goldsmith.disk.tree import load_manifest, read_manifest, verify_tree, write_manifest
from goldsmith.disk.unpack import copy_out
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.files import no_space, remove_tree
from goldsmith.kernel.json import JsonObject


def perform(name: str, arguments: JsonObject) -> JsonObject:
    """Raises what the operation raises; an unknown name is a bug of ours."""
    match name:
        case "prepare":
            return _prepare(arguments)
        case "finish":
            return _finish(arguments)
        case "write":
            return _write(arguments)
        case "manifest":
            return _manifest(Path(arguments["root"]), Path(arguments["manifest"]))
        case "verify":
            manifest = load_manifest(Path(arguments["manifest"]))
            # One thread: the check of a base goes on beside the steps and leaves them the other cores.
            verify_tree(Path(arguments["root"]), manifest, threads=1)
            return {"digest": manifest.digest}
        case "remove":
            remove_tree(Path(arguments["path"]))
            return {}
        case "assemble":
            return _assemble(arguments)
        case "copy_out":
            return _copy_out(arguments)
        case _:
            raise AssertionError(f"no operation {name}")


def _assemble(arguments: JsonObject) -> JsonObject:
    """With `measure` (seed and size_bytes) the disk's size is what the tree needs, or checked against it."""
    root, plan = _root(arguments), plan_from_json(arguments["plan"])
    content = read_content(root)
    if measure := arguments.get("measure"):
        plan = plan_assembly(
            measure["seed"],
            content_bytes=content.size_bytes,
            epoch=plan.epoch,
            size_bytes=measure["size_bytes"],
            architecture=plan.architecture,
        )
    assemble(root, Path(arguments["out"]), plan, content=content)
    return {"plan": plan_to_json(plan)}


def _copy_out(arguments: JsonObject) -> JsonObject:
    disk = Path(arguments["disk"])
    partition = Partition(
        number=arguments["number"], offset=arguments["offset"], size_bytes=arguments["size_bytes"]
    )
    copy_out(disk, read_volume(disk, partition), Path(arguments["target"]))
    return {}


def _root(arguments: JsonObject) -> Path:
    return Path(arguments["root"])


def _prepare(arguments: JsonObject) -> JsonObject:
    """An empty `upper` whose top looks like that of the trees below it."""
    upper = Path(arguments["upper"])
    upper.mkdir(parents=True)
    copy_attributes(Path(arguments["lowers"][0]), upper)
    return {}


def _finish(arguments: JsonObject) -> JsonObject:
    """Bring the times in a new layer to whole seconds of at most `epoch`, and write its manifest."""
    root, epoch = Path(arguments["root"]), int(arguments["epoch"])
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files):
            _clamp(Path(folder) / name, epoch)
    _clamp(root, epoch)
    return _manifest(root, Path(arguments["manifest"]))


def _clamp(place: Path, epoch: int) -> None:
    status = place.lstat()
    whole = min(status.st_mtime_ns // 1_000_000_000, epoch)
    if status.st_mtime_ns != whole * 1_000_000_000:
        os.utime(place, (whole, whole), follow_symlinks=False)


def _manifest(root: Path, path: Path) -> JsonObject:
    manifest = read_manifest(root)
    write_manifest(manifest, path)
    return {"digest": manifest.digest, "size_bytes": manifest.size_bytes}


def _write(arguments: JsonObject) -> JsonObject:
    """Put files into the layer `upper` over `lowers`; directories that exist below keep what they have.

    Raises InvalidInputError when a path leaves the tree, or a file would take the place of a directory.
    """
    upper, epoch = Path(arguments["upper"]), int(arguments["epoch"])
    tree = MergedTree(layers=(upper, *(Path(name) for name in arguments["lowers"])))
    mtimes: dict[Path, float] = {upper: upper.stat().st_mtime}
    with no_space(upper):
        for item in json.loads(Path(arguments["files"]).read_text()):
            _write_one(tree, upper, item, epoch, mtimes)
        for folder, mtime in mtimes.items():
            os.utime(folder, (mtime, mtime))
    return {}


def _write_one(
    tree: MergedTree, upper: Path, item: JsonObject, epoch: int, mtimes: dict[Path, float]
) -> None:
    path = item["path"].strip("/")
    if not path or ".." in path.split("/") or "\0" in path:
        raise InvalidInputError(
            f"'{item['path']}' does not name a file in the image",
            hint="give a path without '..' below the top directory",
        )
    is_folder = item["content"] is None
    resolved = tree.resolve(path, follow_last=is_folder)
    parts = resolved.split("/")
    for count in range(1, len(parts)):
        _make_folder(tree, upper, "/".join(parts[:count]), epoch, mtimes)
    target, existing = upper / resolved, tree.find(resolved)
    if is_folder:
        if not target.is_dir():
            _make_folder(tree, upper, resolved, epoch, mtimes)
    else:
        if existing is not None and kind_of(existing.lstat()) is Kind.DIRECTORY:
            raise InvalidInputError(
                f"the file {item['path']} was to be written, but the image has a directory of that name",
                hint="choose another path, or remove the directory in a step before",
            )
        target.unlink(missing_ok=True)
        shutil.copyfile(item["content"], target)
    os.chown(target, item["uid"], item["gid"])
    target.chmod(item["mode"])
    if is_folder:
        mtimes.setdefault(target, epoch)
    else:
        os.utime(target, (epoch, epoch))


def _make_folder(tree: MergedTree, upper: Path, path: str, epoch: int, mtimes: dict[Path, float]) -> None:
    place = upper / path
    existing = tree.find(path)
    if existing is not None and kind_of(existing.lstat()) is not Kind.DIRECTORY:
        raise InvalidInputError(
            f"a directory /{path} is needed, but the image has a file of that name",
            hint="choose another path, or remove the file in a step before",
        )
    if not place.is_dir():
        place.mkdir()
        if existing is not None:
            copy_attributes(existing, place)
        else:
            place.chmod(0o755)
    mtimes.setdefault(place, place.stat().st_mtime if existing is not None else epoch)

"""Layers: the results of steps, kept by key, each whole or absent.

On disk, below the store's directory:
    layers/<name>/{diff, manifest, layer.json}   a finished layer; put there by one rename
    failed/<name>/{diff, failure.json}           what a failed step had changed, kept to be looked at
    locks/<name>.lock                            held while somebody makes the layer
    .work-<id>, .work-<id>.lock                  work of a live process, or the leftover of a killed one
"""

import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from goldsmith.disk.errors import StepFailedError
from goldsmith.disk.model import FileWrite, StepCommand, View
from goldsmith.disk.sandbox import Sandbox
from goldsmith.disk.tools import TOOL_SECONDS_MAX, raise_if_full
from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.clock import Clock, SystemClock, iso
from goldsmith.kernel.digest import hex_of
from goldsmith.kernel.errors import CorruptError, InvalidInputError, NotFoundError, ProgramTimeoutError
from goldsmith.kernel.files import FileLock, no_space, sync_directory, write_atomic
from goldsmith.kernel.json import JsonObject

logger = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_LOCK_POLL_SECONDS = 0.2
_WORK = ".work-"
_UPPER, _MANIFEST, _RECORD = "diff", "manifest", "layer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A finished layer: `digest` is that of its manifest, `step` whatever the maker wrote down."""

    key: str
    path: Path
    digest: str
    size_bytes: int
    created_at: str
    seconds: float
    step: JsonObject
    parents: tuple[str, ...]

    @property
    def diff(self) -> Path:
        return self.path / _UPPER

    @property
    def manifest(self) -> Path:
        return self.path / _MANIFEST


class LayerStore:
    """All layers below one directory, which several processes may use at the same time."""

    def __init__(self, root: Path, sandbox: Sandbox, *, clock: Clock | None = None) -> None:
        self._root = root.absolute()
        self._sandbox = sandbox
        self._clock = clock or SystemClock()

    @property
    def sandbox(self) -> Sandbox:
        return self._sandbox

    def find(self, key: str) -> Layer | None:
        """The finished layer, or None. Raises CorruptError when its record cannot be read."""
        path = self._place("layers", key)
        try:
            record = json.loads((path / _RECORD).read_bytes())
            return Layer(path=path, **{**record, "parents": tuple(record["parents"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CorruptError(
                f"the record of layer {key} in {path} cannot be read: {error}",
                hint="remove the layer, so that it is built again",
            ) from error

    def run(
        self,
        key: str,
        *,
        base: Path,
        parents: Sequence[Layer],
        command: StepCommand,
        log: Path,
        epoch: int,
        step: JsonObject | None = None,
        cancel: Cancel | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Layer:
        """The layer `key`: found, or made by running `command` on `base` with `parents` (first one lowest) on
        it.

        Times in the layer are at most `epoch` (seconds). Raises StepFailedError (its changes are kept),
        NoSpaceError, UnsupportedError, and what `cancel` raises.
        """

        def make(view: View) -> None:
            log.parent.mkdir(parents=True, exist_ok=True)
            with no_space(log), log.open("wb") as file:
                try:
                    result = self._sandbox.run_step(
                        view, command, epoch=epoch, log=file, on_output=on_output, cancel=cancel
                    )
                except ProgramTimeoutError as error:
                    limit = f"was still running after {command.timeout_seconds:g} s and was stopped"
                    raise self._failed(key, view, log, limit, error.returncode, error.tail) from error
            if result.returncode != 0:
                tail = proc.last_lines((result.stderr or result.stdout).decode(errors="replace"))
                raise_if_full(tail, self._root)
                # A shell tells the death of its child by a signal as 128 and the signal's number.
                status = 128 - result.returncode if 128 < result.returncode < 160 else result.returncode
                words = f"ended with {proc.describe_status(status)}"
                raise self._failed(key, view, log, words, status, tail)

        return self._make(key, base, parents, make, epoch=epoch, step=step or {}, cancel=cancel)

    def add_files(
        self,
        key: str,
        *,
        base: Path,
        parents: Sequence[Layer],
        files: Sequence[FileWrite],
        epoch: int,
        step: JsonObject | None = None,
        cancel: Cancel | None = None,
    ) -> Layer:
        """The layer `key`: found, or made of `files` without running anything.

        Directories on the way keep the attributes they have below; new ones are root's, mode 0755. All files
        get `epoch` as their time. Raises InvalidInputError for a path that leaves the tree or meets one of
        another kind.
        """

        def make(view: View) -> None:
            assert view.upper is not None
            listed = list(_staged(files, view.scratch))
            listing = view.scratch / "files.json"
            listing.write_text(json.dumps(listed))
            arguments = {
                "upper": str(view.upper),
                "lowers": [str(path) for path in view.lowers],
                "files": str(listing),
                "epoch": epoch,
            }
            self._sandbox.call("write", arguments, cancel=cancel)

        return self._make(key, base, parents, make, epoch=epoch, step=step or {}, cancel=cancel)

    def verify(self, layer: Layer) -> None:
        """Raises CorruptError naming the first paths that are not as they were when the layer was made."""
        arguments = {"root": str(layer.diff), "manifest": str(layer.manifest)}
        self._sandbox.call("verify", arguments)

    def remove(self, key: str) -> None:
        """Afterwards the layer and what a failed try of it left are gone; absent is fine."""
        with self._lock(key, None):
            for kind in ("layers", "failed"):
                self._discard(self._place(kind, key))

    def keys(self) -> list[str]:
        """The keys of all finished layers."""
        folder = self._root / "layers"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [str(json.loads((folder / name / _RECORD).read_bytes())["key"]) for name in names]

    def sweep(self) -> list[str]:
        """Remove what killed processes left behind, never work that goes on; returns the names removed."""
        removed = []
        for path in sorted(self._root.glob(f"{_WORK}*.lock")):
            lock = FileLock(path)
            if not lock.try_acquire():
                continue
            try:
                self._discard(path.with_suffix(""))
                path.unlink(missing_ok=True)
                removed.append(path.stem)
            finally:
                lock.release()
        return removed

    def shell_argv(
        self,
        *,
        base: Path,
        parents: Sequence[Layer],
        upper: Path,
        epoch: int = 0,
        command: Sequence[str] = (),
    ) -> list[str]:
        """What to execute on a terminal to enter a merged root by hand, or to run `command` in it.

        Changes go to `upper` (`StepFailedError.kept` with `/diff`).
        """
        scratch = upper.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        view = View(lowers=_lowers(base, parents), upper=upper, scratch=scratch)
        return self._sandbox.shell_argv(view, epoch=epoch, command=command)

    def with_root(
        self,
        base: Path,
        layers: Sequence[Layer],
        argv: Sequence[str | Path],
        *,
        read_only: bool = True,
        cancel: Cancel | None = None,
        timeout_seconds: float = TOOL_SECONDS_MAX,
    ) -> proc.Result:
        """Run a program of the host that sees the merged root at `{root}` in `argv` and at $GOLDSMITH_ROOT.

        Unless `read_only` it may write there, and what it writes is thrown away. The exit status is the
        caller's to look at.
        """
        with self._work() as work:
            lowers = _lowers(base, layers)
            upper: Path | None = None
            if not read_only:
                upper = work / _UPPER
                self._sandbox.call("prepare", {"upper": str(upper), "lowers": [str(lowers[0])]})
            view = View(lowers=lowers, upper=upper, scratch=work / "scratch")
            view.scratch.mkdir()
            words = [str(word) for word in argv]
            return self._sandbox.run_host(view, words, cancel=cancel, timeout_seconds=timeout_seconds)

    def with_root_do(
        self,
        base: Path,
        layers: Sequence[Layer],
        operation: str,
        arguments: JsonObject,
        *,
        cancel: Cancel | None = None,
    ) -> JsonObject:
        """One of `operations` on the merged root."""
        with self._work() as work:
            view = View(lowers=_lowers(base, layers), upper=None, scratch=work / "scratch")
            view.scratch.mkdir()
            return self._sandbox.call_merged(view, operation, arguments, cancel=cancel)

    def _make(
        self,
        key: str,
        base: Path,
        parents: Sequence[Layer],
        make: Callable[[View], None],
        *,
        epoch: int,
        step: JsonObject,
        cancel: Cancel | None,
    ) -> Layer:
        found = self.find(key)
        if found is not None:
            return found
        with self._lock(key, cancel):
            found = self.find(key)
            if found is not None:
                return found
            if not base.is_dir():
                raise NotFoundError(
                    f"the base tree {base} of layer {key} is not there", hint="fetch it again"
                )
            started = self._clock.monotonic_seconds()
            with no_space(self._root), self._work() as work:
                made = work / "layer"
                made.mkdir()
                lowers = _lowers(base, parents)
                upper = made / _UPPER
                self._sandbox.call("prepare", {"upper": str(upper), "lowers": [str(lowers[0])]})
                view = View(lowers=lowers, upper=upper, scratch=work / "scratch")
                view.scratch.mkdir()
                make(view)
                arguments = {"root": str(upper), "manifest": str(made / _MANIFEST), "epoch": epoch}
                answer = self._sandbox.call("finish", arguments)
                layer = Layer(
                    key=key,
                    path=self._place("layers", key),
                    digest=answer["digest"],
                    size_bytes=answer["size_bytes"],
                    created_at=iso(self._clock.now()),
                    seconds=round(self._clock.monotonic_seconds() - started, 3),
                    step=step,
                    parents=tuple(parent.key for parent in parents),
                )
                record = {name: value for name, value in asdict(layer).items() if name != "path"}
                write_atomic(made / _RECORD, json.dumps(record, indent=1).encode())
                layer.path.parent.mkdir(parents=True, exist_ok=True)
                made.rename(layer.path)
                sync_directory(layer.path.parent)
            self._discard(self._place("failed", key))
            logger.info("made layer %s in %.1f s", key, layer.seconds)
            return layer

    def _failed(
        self, key: str, view: View, log: Path, words: str, returncode: int, tail: str
    ) -> StepFailedError:
        """Keep what the step had changed, and say so."""
        assert view.upper is not None
        kept = self._place("failed", key)
        self._discard(kept)
        kept.mkdir(parents=True)
        view.upper.rename(kept / _UPPER)
        record = {"key": key, "returncode": returncode, "tail": tail, "log": str(log)}
        write_atomic(kept / "failure.json", json.dumps(record, indent=1).encode())
        return StepFailedError(
            f"the step {words}: {tail or 'it printed nothing'}",
            returncode=returncode,
            tail=tail,
            log=log,
            kept=kept,
            hint=f"see {log}; the state it failed in is kept",
        )

    @contextlib.contextmanager
    def _lock(self, key: str, cancel: Cancel | None) -> Iterator[None]:
        lock = FileLock(self._place("locks", key).with_suffix(".lock"))
        stopper = cancel or NeverCancel()
        while not lock.try_acquire():
            stopper.check()
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _work(self) -> Iterator[Path]:
        work = self._root / f"{_WORK}{uuid.uuid4().hex}"
        lock = FileLock(self._root / f"{work.name}.lock")
        lock.acquire()
        try:
            work.mkdir()
            yield work
        finally:
            self._discard(work)
            (self._root / f"{work.name}.lock").unlink(missing_ok=True)
            lock.release()

    def _discard(self, path: Path) -> None:
        if path.exists():
            self._sandbox.call("remove", {"path": str(path)})

    def _place(self, kind: str, key: str) -> Path:
        name = hex_of(key)
        if not _KEY.fullmatch(name):
            raise InvalidInputError(
                f"'{key}' is not a key of a layer", hint="expected a digest or a plain name"
            )
        return self._root / kind / name


def _lowers(base: Path, parents: Sequence[Layer]) -> tuple[Path, ...]:
    return (*(layer.diff for layer in reversed(parents)), base.absolute())


def _staged(files: Sequence[FileWrite], scratch: Path) -> Iterator[JsonObject]:
    for number, item in enumerate(files):
        source: str | None = None
        if isinstance(item.content, bytes):
            place = scratch / f"file-{number}"
            place.write_bytes(item.content)
            source = str(place)
        elif item.content is not None:
            if not item.content.is_file():
                raise InvalidInputError(f"the file {item.content} for {item.path} is not there")
            source = str(item.content.absolute())
        yield {
            "path": item.path,
            "content": source,
            "mode": item.mode,
            "uid": item.uid,
            "gid": item.gid,
        }

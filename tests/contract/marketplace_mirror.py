"""A signed Debian mirror of a few tiny packages on loopback, which can go away, break, and move on."""

import contextlib
import gzip
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from goldsmith.disk.debs import read_control
from goldsmith.kernel.proc import run

_PROGRAM_SECONDS_MAX = 120.0
_SUITES = {
    "bookworm": ("debian", timedelta(0)),
    "bookworm-updates": ("debian", timedelta(days=2)),
    "bookworm-security": ("debian-security", timedelta(days=1)),
}


def make_deb(
    directory: Path,
    name: str,
    *,
    version: str = "1.0",
    compression: str = "gzip",
    extra: str = "",
    payload_bytes: int = 0,
) -> Path:
    """Build a real package whose only file is `/usr/share/<name>/data`."""
    tree = directory / f"{name}.tree"
    data = tree / "usr/share" / name / "data"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(os.urandom(payload_bytes))
    (tree / "DEBIAN").mkdir(exist_ok=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n"
        f"{extra}Description: a package for tests\n of two lines\n"
    )
    deb = directory / f"{name}_{version.replace(':', '%3a')}_amd64.deb"
    run(["dpkg-deb", f"-Z{compression}", "--build", tree, deb], timeout_seconds=_PROGRAM_SECONDS_MAX)
    return deb


class SignedMirror:
    """Serves `debian` and `debian-security` for bookworm; `apt_directory` makes one that trusts it."""

    def __init__(self, root: Path, debs: list[Path]) -> None:
        self.root = root / "www"
        self.debs = debs
        self.date = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
        self.pool_requests: list[str] = []
        self.dies_after_bytes: int | None = None
        self._home = root / "gnupg"
        self._home.mkdir(parents=True, mode=0o700)
        self._keyring = root / "own.gpg"
        self._server: ThreadingHTTPServer | None = None
        self._gpg("--quick-generate-key", "mirror@example.org", "ed25519", "sign", "never")
        self._keyring.write_bytes(self._gpg("--export"))
        self.publish()

    def publish(self, *, signed: bool = True) -> None:
        """Write all suites anew with dates counted from `date`."""
        pool = self.root / "debian/pool"
        pool.mkdir(parents=True, exist_ok=True)
        for deb in self.debs:
            (pool / deb.name).write_bytes(deb.read_bytes())
        for suite, (archive, delay) in _SUITES.items():
            debs = self.debs if suite == "bookworm" else []
            self._write_suite(self.root / archive / "dists" / suite, suite, debs, self.date + delay, signed)

    def start(self) -> None:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # named by http.server
                mirror.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # named by http.server
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Go away: connections are refused afterwards."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.root / unquote(request.path).lstrip("/")
        in_pool = "/pool/" in request.path
        if in_pool:
            self.pool_requests.append(path.name)
        if not path.is_file():
            request.send_error(404)
            return
        data = path.read_bytes()
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if in_pool and self.dies_after_bytes is not None:
            request.wfile.write(data[: self.dies_after_bytes])
            request.close_connection = True
        else:
            request.wfile.write(data)

    def apt_directory(self, at: Path) -> Path:
        """A directory like /etc/apt whose sources name this mirror and its key."""
        assert self._server is not None
        uri = f"http://127.0.0.1:{self._server.server_port}"
        (at / "sources.list.d").mkdir(parents=True, exist_ok=True)
        (at / "sources.list.d/debian.sources").write_text(
            f"Types: deb\nURIs: {uri}/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
            f"Signed-By: {self._keyring}\n\n"
            f"Types: deb\nURIs: {uri}/debian-security\nSuites: bookworm-security\nComponents: main\n"
            f"Signed-By: {self._keyring}\n"
        )
        return at

    def _write_suite(self, folder: Path, suite: str, debs: list[Path], date: datetime, signed: bool) -> None:
        index = folder / "main/binary-amd64"
        index.mkdir(parents=True, exist_ok=True)
        packages = "\n".join(_stanza(deb) for deb in debs).encode()
        (index / "Packages").write_bytes(packages)
        (index / "Packages.gz").write_bytes(gzip.compress(packages, mtime=0))
        lines = [
            f" {sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} {path.relative_to(folder)}"
            for path in sorted(index.iterdir())
        ]
        release = (
            f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nDate: {format_datetime(date)}\n"
            "Architectures: amd64\nComponents: main\nSHA256:\n" + "\n".join(lines) + "\n"
        )
        (folder / "InRelease").write_bytes(
            self._gpg("--clearsign", input=release.encode()) if signed else release.encode()
        )

    def _gpg(self, *words: str, input: bytes | None = None) -> bytes:
        argv = ["gpg", "--homedir", str(self._home), "--batch", "--quiet", "--passphrase", "", *words]
        return run(argv, timeout_seconds=_PROGRAM_SECONDS_MAX, input=input).stdout


def _stanza(deb: Path) -> str:
    data = deb.read_bytes()
    control = read_control(deb).strip()
    return f"{control}\nFilename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {sha256(data).hexdigest()}\n"


@contextlib.contextmanager
def signed_mirror(root: Path, *, payload_bytes: int = 1000) -> Iterator[SignedMirror]:
    """A started mirror with two essential packages (one with a dependency) and one named `extra`."""
    root.mkdir(parents=True, exist_ok=True)
    debs = [
        make_deb(root, "base-one", extra="Essential: yes\nDepends: lib-one\n", payload_bytes=payload_bytes),
        make_deb(root, "base-two", version="1:2.0-3", extra="Essential: yes\n", payload_bytes=payload_bytes),
        make_deb(root, "lib-one", extra="Source: one-source (9.9)\n", payload_bytes=payload_bytes),
        make_deb(root, "extra", payload_bytes=payload_bytes),
        make_deb(root, "unwanted", payload_bytes=payload_bytes),
    ]
    mirror = SignedMirror(root, debs)
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.stop()

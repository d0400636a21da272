"""Real servers for tests, started on this machine and gone afterwards: PostgreSQL and an S3 server."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from goldsmith.kernel.ids import RandomIds
from goldsmith.kernel.proc import kill_group, run, which

_START_SECONDS = 120.0
_POLL_SECONDS = 0.1


class MissingServerError(Exception):
    """The server cannot be started here; the message is a reason to skip a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str

    @property
    def options(self) -> dict[str, str]:
        """As `goldsmith.blobs.store.open_store` takes them."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "region": "us-east-1",
            "allow_http": "true",
        }


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The SQLAlchemy URL of a fresh PostgreSQL cluster that listens on a unix socket only.

    Raises MissingServerError when PostgreSQL is not installed or nobody but root can run it.
    """
    initdb, postgres = _postgres_program("initdb"), _postgres_program("postgres")
    account = _unprivileged_account()
    # Not pytest's folder: the path of a unix socket has at most 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        data = directory / "data"
        _initialise_cluster(initdb, data, account)
        server = subprocess.Popen(
            [
                *_as_account(account, dies_with_us=True),
                *(str(postgres), "-D", str(data), "-k", str(directory)),
                *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"),
            ],
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=(directory / "log").open("wb"),
            start_new_session=True,
        )
        try:
            url = f"postgresql+psycopg://postgres@/postgres?host={directory}"
            _wait_for_postgres(url, server, directory / "log")
            yield url
        finally:
            server.send_signal(2)  # SIGINT: "fast shutdown", which ends open sessions
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(60)
            kill_group(server)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def postgres_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database on that server, dropped afterwards."""
    name = "test_" + RandomIds().new().replace("-", "")
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        engine.dispose()


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """A moto server on a free loopback port, with one empty bucket.

    Raises MissingServerError when moto is not installed.
    """
    try:
        import moto.server  # noqa: F401
    except ImportError as error:
        raise MissingServerError(f"the package moto[s3,server] is not installed: {error}") from error
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    found = S3Server(
        endpoint=f"http://127.0.0.1:{port}",
        bucket="goldsmith-test",
        access_key_id="test",
        secret_access_key="test",
    )
    try:
        _create_bucket(found, server)
        yield found
    finally:
        kill_group(server)


def _postgres_program(name: str) -> Path:
    # Debian keeps the server's programs out of PATH; the newest version is the last folder.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    for folder in reversed(folders):
        if (folder / name).exists():
            return folder / name
    found = which(name)
    if found is None:
        raise MissingServerError(f"the program {name} of PostgreSQL is not installed")
    return found


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom the server runs as; None is ourselves. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise MissingServerError("PostgreSQL does not run as root, and no account postgres or nobody exists")


def _as_account(account: pwd.struct_passwd | None, *, dies_with_us: bool = False) -> list[str]:
    setpriv = which("setpriv")
    if setpriv is None:
        if account is not None:
            raise MissingServerError("the program setpriv is not installed")
        return []
    identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []
    return [str(setpriv), *identity, *(["--pdeathsig", "INT"] if dies_with_us else []), "--"]


def _initialise_cluster(initdb: Path, data: Path, account: pwd.struct_passwd | None) -> None:
    plain = ["-D", str(data), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8"]
    # A linguistic default collation, where this build has one, shows who relies on the default.
    linguistic = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
    attempts: Sequence[Sequence[str]] = ([*plain, *linguistic], [*plain, "--locale=C"])
    for words in attempts:
        argv = [*_as_account(account), str(initdb), *words]
        result = run(argv, timeout_seconds=_START_SECONDS, cwd=data.parent, check=False)
        if result.returncode == 0:
            return
    raise MissingServerError(f"initdb failed: {result.error_text.strip()}")


def _wait_for_postgres(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with engine.connect():
                return
        except sa.exc.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise MissingServerError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from error
        time.sleep(_POLL_SECONDS)


def _create_bucket(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    # moto takes requests without a signature.
    request = urllib.request.Request(f"{server.endpoint}/{server.bucket}", method="PUT")
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_START_SECONDS):
                return
        except urllib.error.URLError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise MissingServerError(f"the moto server did not start: {error}") from error
        time.sleep(_POLL_SECONDS)

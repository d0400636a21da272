"""Files a template names: fetched from a path, a file URL or a server, checked, and kept by content."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from goldsmith.kernel.cancel import CancelFlag, NeverCancel
from goldsmith.kernel.errors import CanceledError, InvalidInputError, NotFoundError, UnavailableError
from goldsmith.publishing.inputs import InputStore
from goldsmith.publishing.model import StepInput

CONTENT = b"threshold = 3\n"
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
WHERE = "customizer 2 'settings'"


@pytest.fixture
def store(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """The directory of a template, with one file."""
    folder = tmp_path / "template"
    (folder / "files").mkdir(parents=True)
    (folder / "files/my settings").write_bytes(CONTENT)
    return folder


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that has /settings and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/settings" else 404)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def fetch(store: InputStore, uri: str, directory: Path, checksum: str | None = None) -> StepInput:
    return store.fetch(
        "sourceUri", uri, checksum=checksum, directory=directory, cancel=NeverCancel(), where=WHERE
    )


def kept(store: InputStore) -> list[str]:
    return sorted(path.name for path in store.path("sha256:x").parent.iterdir())


@pytest.mark.parametrize(
    "form", ["files/my settings", "{folder}/files/my settings", "file://{folder}/files/my%20settings"]
)
def test_a_path_starts_at_the_template_and_a_url_is_unquoted(
    store: InputStore, template: Path, form: str
) -> None:
    found = fetch(store, form.format(folder=template), template, CHECKSUM)
    assert found.digest == f"sha256:{CHECKSUM}"
    assert found.role == "sourceUri"
    assert store.path(found.digest).read_bytes() == CONTENT


def test_a_file_from_a_server_is_kept_by_its_content(store: InputStore, server: str, template: Path) -> None:
    found = fetch(store, f"{server}/settings", template)
    assert fetch(store, "files/my settings", template).digest == found.digest
    assert kept(store) == [CHECKSUM]


def test_a_checksum_may_be_in_capitals(store: InputStore, template: Path) -> None:
    assert fetch(store, "files/my settings", template, CHECKSUM.upper()).digest == f"sha256:{CHECKSUM}"


def test_other_content_than_the_checksum_says_is_refused_and_not_kept(
    store: InputStore, template: Path
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        fetch(store, "files/my settings", template, "0" * 64)
    assert caught.value.code == "ChecksumMismatch"
    assert CHECKSUM in caught.value.message
    assert WHERE in caught.value.message
    assert kept(store) == []


def test_a_missing_file_is_told_with_its_step(store: InputStore, template: Path) -> None:
    for uri in ("files/absent", "files"):
        with pytest.raises(NotFoundError, match=f"{WHERE}: there is no file {template}/{uri}"):
            fetch(store, uri, template)
    assert kept(store) == []


def test_a_server_that_refuses_is_told_with_its_answer(
    store: InputStore, server: str, template: Path
) -> None:
    with pytest.raises(UnavailableError, match=r"customizer 2 'settings': .*/absent answered HTTP 404"):
        fetch(store, f"{server}/absent", template)
    assert kept(store) == []


def test_a_server_that_is_not_there_is_told(store: InputStore, template: Path) -> None:
    with pytest.raises(UnavailableError, match="could not be fetched"):
        fetch(store, "http://127.0.0.1:9/settings", template)


def test_a_download_stops_when_the_build_is_canceled(store: InputStore, server: str, template: Path) -> None:
    cancel = CancelFlag()
    cancel.set("enough")
    with pytest.raises(CanceledError):
        store.fetch(
            "scriptUri",
            f"{server}/settings",
            checksum=None,
            directory=template,
            cancel=cancel,
            where=WHERE,
        )
    assert kept(store) == []

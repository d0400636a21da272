"""Requests: a template read from a file, the date it declares, and the way through a job."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.publishing.model import Emergency
from goldsmith.publishing.request import BuildRequest, declared_date, from_json, read_request, to_json

DEFINITION = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/golden/images/web"
DOCUMENT: JsonObject = {
    "location": "local",
    "properties": {
        "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2"},
        "distribute": [{"type": "SharedImage", "runOutputName": "g", "galleryImageId": DEFINITION}],
    },
}
TODAY = date(2026, 11, 26)
NOW = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(("name", "dump"), [("web.json", json.dumps), ("web.yaml", yaml.safe_dump)])
def test_a_template_is_json_or_yaml_and_named_by_its_file(
    tmp_path: Path, name: str, dump: Callable[[object], str]
) -> None:
    path = tmp_path / name
    path.write_text(dump(DOCUMENT))
    request = read_request(path, today=TODAY)
    assert request.name == "web"
    assert request.document == DOCUMENT
    assert (request.path, request.directory) == (str(path), str(tmp_path))
    assert request.declared_date == "2026-11-26"
    assert request.template.location == "local"


def test_the_name_in_the_template_goes_before_that_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(yaml.safe_dump({**DOCUMENT, "name": "corporate-web"}))
    assert read_request(path, today=TODAY).name == "corporate-web"


def test_what_is_no_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no template"):
        read_request(tmp_path / "absent.yaml", today=TODAY)
    with pytest.raises(InvalidInputError, match="is no template"):
        read_request(tmp_path, today=TODAY)
    binary = tmp_path / "disk.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InvalidInputError, match="is no template"):
        read_request(binary, today=TODAY)
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    with pytest.raises(InvalidInputError):
        read_request(empty, today=TODAY)


def request() -> BuildRequest:
    return BuildRequest(
        name="web",
        document=DOCUMENT,
        path="/t/web.yaml",
        directory="/t",
        declared_date="2026-11-26",
        emergency=Emergency(cves=("CVE-2026-1000",), patch_date="2026-11-25"),
    )


def test_a_request_comes_out_of_a_job_as_it_went_in() -> None:
    for one in (request(), replace(request(), emergency=None, rebuild=True)):
        assert from_json(json.loads(json.dumps(to_json(one)))) == one


def test_requests_on_two_days_ask_for_the_same() -> None:
    assert replace(request(), declared_date="2026-11-27").digest == request().digest


@pytest.mark.parametrize(
    "other",
    [
        replace(request(), emergency=None),
        replace(request(), rebuild=True),
        replace(request(), name="web2"),
        replace(request(), directory="/elsewhere"),
        replace(request(), document={**DOCUMENT, "location": "elsewhere"}),
    ],
)
def test_requests_that_differ_in_anything_else_do_not(other: BuildRequest) -> None:
    assert other.digest != request().digest


def test_the_date_is_that_given_else_of_source_date_epoch_else_today_in_utc() -> None:
    assert declared_date("2026-01-02", "0", NOW) == date(2026, 1, 2)
    assert declared_date(None, "86400", NOW) == date(1970, 1, 2)
    assert declared_date(None, None, NOW) == date(2026, 11, 26)
    assert declared_date(None, "", NOW) == date(2026, 11, 26)
    eastern = NOW.astimezone(timezone(timedelta(hours=9)))
    assert eastern.date() == date(2026, 11, 27)
    assert declared_date(None, None, eastern) == date(2026, 11, 26)


@pytest.mark.parametrize(("option", "epoch"), [("26.11.2026", None), (None, "tomorrow"), (None, "9" * 30)])
def test_what_is_no_date_is_refused(option: str | None, epoch: str | None) -> None:
    with pytest.raises(InvalidInputError, match="is no date a build can declare") as caught:
        declared_date(option, epoch, NOW)
    assert "YYYY-MM-DD" in (caught.value.hint or "")

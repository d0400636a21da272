"""Bodies that real Azure clients send are read, and come back with what they said."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.gallery.model import DEFINITION_TYPE, GALLERY_TYPE, VERSION_TYPE
from goldsmith.gallery.wire.definition import definition_json, parse_definition
from goldsmith.gallery.wire.gallery import gallery_json, parse_gallery
from goldsmith.gallery.wire.version import asks_to_restore, parse_version, version_json
from goldsmith.kernel.ids import parse_resource_id

RECORDED = Path(__file__).parents[3] / "shared/arm/recorded-requests.jsonl.gz"


def recorded_puts() -> list[tuple[str, str, str, dict[str, Any]]]:
    """(label, path, api-version, body) of every PUT of a type of the gallery."""
    if not RECORDED.exists():
        return []
    types = {type_.lower() for type_ in (GALLERY_TYPE, DEFINITION_TYPE, VERSION_TYPE)}
    found = []
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            request = json.loads(line)
            path = request["path"]
            if request["method"] != "PUT" or "/providers/microsoft.compute/galleries/" not in path.lower():
                continue
            if parse_resource_id(path).type.lower() in types and isinstance(request["req_body"], dict):
                body = request["req_body"]
                found.append((request["label"], path, request["query"]["api-version"], body))
    return found


def test_every_recorded_body_is_read_and_keeps_what_it_says() -> None:
    puts = recorded_puts()
    if not puts:
        pytest.skip(f"no recorded requests in {RECORDED.parent}")
    for label, path, api_version, body in puts:
        id_ = parse_resource_id(path)
        match len(id_.names):
            case 1:
                answer = gallery_json(parse_gallery(id_, body))
            case 2:
                answer = definition_json(parse_definition(id_, body, api_version=api_version))
            case _:
                if asks_to_restore(body):
                    continue
                # An update sends an empty storage profile; as a new version it needs one.
                given = body["properties"].get("storageProfile") or {"source": {"id": "/image"}}
                whole = body | {"properties": body["properties"] | {"storageProfile": given}}
                answer = version_json(parse_version(id_, whole, api_version=api_version))
        lost = missing_in(answer, body)
        assert not lost, f"{label}: {lost} of {body}"


def missing_in(answer: Any, body: Any, path: str = "") -> list[str]:
    """The paths of `body` whose values `answer` lacks; empty objects and spellings of dates do not count."""
    if isinstance(body, dict):
        if not body or path.endswith("sharingProfile.groups"):
            return []
        if not isinstance(answer, dict):
            return [path]
        parts = [
            missing_in(answer.get(name), value, f"{path}.{name}")
            for name, value in body.items()
            if value is not None
        ]
        return [lost for part in parts for lost in part]
    if isinstance(body, list):
        if not isinstance(answer, list) or len(answer) < len(body):
            return [path]
        pairs = zip(answer, body, strict=False)
        return [lost for got, given in pairs for lost in missing_in(got, given, f"{path}[]")]
    if path.endswith("Date"):
        return [] if str(answer)[:19] == str(body)[:19] else [path]
    return [] if str(answer).lower() == str(body).lower() else [path]

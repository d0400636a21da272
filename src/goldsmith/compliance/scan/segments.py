"""An index on disk: one file a table and a manifest that names them, so that a start projects nothing again.

A save writes new files beside the old ones and then replaces the manifest: until then, and after a crash at
any point, the old state is whole. Nothing is read that its digest does not vouch for; a table whose file is
damaged is made anew from its resources.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from goldsmith.compliance.scan.columns import Codes, Column
from goldsmith.compliance.scan.dictionary import Dictionary, Key
from goldsmith.compliance.scan.index import Documents, FleetIndex, without_cycle_collection
from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.table import Table
from goldsmith.kernel.digest import of_file, of_value
from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.files import no_space, sync_directory, write_atomic
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.policy.tree import Narrowing

logger = logging.getLogger(__name__)

# Raised when the meaning of what is stored changes: what the paths project to, how values are told apart.
FORMAT = 1
_MANIFEST = "manifest.json"
_SUFFIX = ".segment"
_ORJSON, _STANDARD = b"o", b"s"


def save(index: FleetIndex, directory: Path) -> None:
    """Afterwards `directory` holds the index as it is now, with its position; survives power loss.

    Raises NoSpaceError when the file system is full; then the directory holds what it held before.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tables: list[JsonObject] = [
        {
            "type": table.type,
            "file": _write(directory, _table_sections(table)),
            "fields": [_field_to_json(field) for field in table.columns],
        }
        for table in index.tables.values()
    ]
    scopes = _write(directory, [_json_bytes(index.scopes.documents)])
    body = {"format": FORMAT, "position": index.position, "tables": tables, "scopes": scopes}
    # Names in the directory are made durable before the manifest that leads to them.
    sync_directory(directory)
    write_atomic(directory / _MANIFEST, canonical({"body": body, "digest": of_value(body)}))
    _sweep(directory, {scopes, *(table["file"] for table in tables)})


def load(directory: Path, documents: Documents) -> FleetIndex | None:
    """The index as it was saved; None when there is none or its manifest cannot be trusted.

    A damaged table is made anew from `documents`, which may be newer than the index's position: applying the
    changes since then again does no harm, for a change puts a resource as it is or takes it away.
    """
    body = _manifest(directory)
    if body is None:
        return None
    index = FleetIndex(documents, position=int(body["position"]))
    try:
        (scopes,) = _read(directory, body["scopes"])
    except CorruptError as error:
        logger.warning("the saved fleet index cannot be used: %s", error)
        return None
    index.scopes.documents.update(_json_of(scopes))
    for entry in body["tables"]:
        with without_cycle_collection():
            try:
                index.tables[entry["type"]] = _table(entry["type"], _read(directory, entry["file"]))
            except CorruptError as error:
                logger.warning("the columns of %s are made anew: %s", entry["type"], error)
                index.require(entry["type"], [_field_of(field) for field in entry["fields"]])
                index.put_many(documents.of_type(entry["type"]))
    return index


def _manifest(directory: Path) -> JsonObject | None:
    try:
        stored = json.loads((directory / _MANIFEST).read_bytes())
        body: JsonObject = stored["body"]
        whole = stored["digest"] == of_value(body)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the manifest in %s cannot be read: %s", directory, error)
        return None
    if not whole or body.get("format") != FORMAT:
        logger.warning("the manifest in %s is damaged or of another format", directory)
        return None
    return body


def _table_sections(table: Table) -> Iterator[bytes]:
    rows = len(table.ids)
    fields = [_field_to_json(field) for field in table.columns]
    yield _json_bytes({"rows": rows, "fields": fields})
    yield _json_bytes(table.ids)
    for column in (table.containers, *table.columns.values()):
        yield _json_bytes(
            [[key.decode()] if isinstance(key, bytes) else key for key in column.dictionary.keys]
        )
        yield column.codes.dtype.str.encode()
        yield column.codes[:rows].tobytes()


def _table(resource_type: str, sections: Iterator[bytes]) -> Table:
    head = _json_of(next(sections))
    ids = _json_of(next(sections))
    columns = []
    for _ in range(len(head["fields"]) + 1):
        keys: list[Key] = [
            key[0].encode() if isinstance(key, list) else key for key in _json_of(next(sections))
        ]
        kind = np.dtype(next(sections).decode())
        codes: Codes = np.frombuffer(next(sections), kind).copy()
        columns.append(Column.stored(Dictionary(keys), codes))
    fields = [_field_of(field) for field in head["fields"]]
    return Table.stored(
        resource_type, ids=ids, containers=columns[0], columns=dict(zip(fields, columns[1:], strict=True))
    )


def _write(directory: Path, sections: Any) -> str:
    """Write the sections, each after its length, to a file named by its digest; the file's name."""
    temporary = directory / f".{os.getpid()}.tmp"
    state = hashlib.sha256()
    try:
        with no_space(temporary), temporary.open("wb") as file:
            for section in sections:
                for piece in (len(section).to_bytes(8, "little"), section):
                    state.update(piece)
                    file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        name = state.hexdigest() + _SUFFIX
        temporary.replace(directory / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name


def _read(directory: Path, name: str) -> Iterator[bytes]:
    """The sections of a file; raises CorruptError unless it is, byte for byte, what was written."""
    path = directory / name
    try:
        digest = of_file(path).removeprefix("sha256:")
    except OSError as error:
        raise CorruptError(f"cannot read {path}: {error.strerror}") from error
    if digest + _SUFFIX != name:
        raise CorruptError(f"{path} has the digest {digest}, expected the one it is named by")
    return _sections(path)


def _sections(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length := file.read(8):
            yield file.read(int.from_bytes(length, "little"))


def _sweep(directory: Path, used: set[str]) -> None:
    """Remove files of saves that were replaced or never finished."""
    for path in directory.iterdir():
        if path.name not in used and path.suffix in (_SUFFIX, ".tmp"):
            path.unlink(missing_ok=True)


def _field_to_json(field: Field) -> list[Any]:
    path, narrowing = field
    return [list(path), narrowing.value]


def _field_of(stored: list[Any]) -> Field:
    path, narrowing = stored
    return tuple(path), Narrowing(narrowing)


def _json_bytes(value: Any) -> bytes:
    try:
        return _ORJSON + orjson.dumps(value)
    except TypeError:  # whole numbers beyond 64 bits, lone surrogates
        return _STANDARD + json.dumps(value).encode()


def _json_of(data: bytes) -> Any:
    # orjson reads whole numbers beyond 64 bits as floats: who wrote it has to read it.
    return json.loads(data[1:]) if data.startswith(_STANDARD) else orjson.loads(data[1:])

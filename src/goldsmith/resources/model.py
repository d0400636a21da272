"""What the resource store holds: resources, drafts of them, and the changes made to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

# An entry of an index on PostgreSQL has 2704 bytes at most; the longest holds two ids, or an id and a tag.
ID_BYTES_MAX = 1100
TAG_NAME_BYTES_MAX = 512
TAG_VALUE_BYTES_MAX = 1024


class ChangeOperation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemData:
    """ARM's `systemData`: who made the resource and who changed it last, and when (UTC)."""

    created_at: datetime
    created_by: str
    modified_at: datetime
    modified_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceDraft:
    """A resource as its writer knows it; the store adds etag and system data.

    `extra` holds the other top-level ARM members: identity, sku, kind, zones, plan, managedBy.
    """

    id: str
    type: str
    name: str
    location: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: JsonObject = field(default_factory=dict)
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A stored resource; `id` keeps the case of its last `put`, look-ups ignore case."""

    id: str
    type: str
    name: str
    location: str | None
    tags: Mapping[str, str]
    properties: JsonObject
    etag: str
    system_data: SystemData
    extra: JsonObject

    @property
    def draft(self) -> ResourceDraft:
        """The part of the resource that its writer chose."""
        return ResourceDraft(
            id=self.id,
            type=self.type,
            name=self.name,
            location=self.location,
            tags=self.tags,
            properties=self.properties,
            extra=self.extra,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write to one resource: its activity event and its outbox entry in one.

    `seq` names the position in the feed. `etag` is the one written, or for a deletion the last one it had.
    """

    seq: int
    resource_id: str
    resource_type: str
    operation: ChangeOperation
    etag: str
    at: datetime
    actor: str


def key_of(id_: str) -> str:
    """The form in which ids are compared and ordered: ARM resource ids are case-insensitive.

    Raises InvalidInputError unless `id_` is a path of non-empty segments that starts with a slash.
    """
    if (
        not id_.startswith("/")
        or "" in id_[1:].split("/")
        or len(id_.encode(errors="replace")) > ID_BYTES_MAX
    ):
        raise InvalidInputError(
            f"'{id_}' is not a resource id",
            code="InvalidResourceId",
            hint=f"expected segments, a slash before each, none empty, {ID_BYTES_MAX} bytes at most",
        )
    return check_text(id_).lower()


def check_text(text: str) -> str:
    """The text itself. Raises InvalidInputError for what a database cannot hold: NUL or half a character."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidInputError(f"{text!r} holds something that is not a character", hint="leave it out")
    return text


def parent_key(key: str) -> str:
    """The key of what contains the resource: its parent resource, the scope it extends, or its group.

    A name ends each id, its type stands before it, and `providers/{namespace}` before the type when the
    parent is of another namespace (ARM RPC, "Resource ID"). The tenant is the empty key.
    """
    segments = key.split("/")[:-2]
    if len(segments) >= 2 and segments[-2] == "providers":
        segments = segments[:-2]
    return "/".join(segments)

"""Reading and writing resources within one database transaction."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError, PreconditionFailedError
from goldsmith.kernel.ids import Ids
from goldsmith.resources.engine import to_json
from goldsmith.resources.model import (
    ID_BYTES_MAX,
    TAG_NAME_BYTES_MAX,
    TAG_VALUE_BYTES_MAX,
    ChangeOperation,
    Resource,
    ResourceDraft,
    SystemData,
    check_text,
    key_of,
    parent_key,
)
from goldsmith.resources.schema import change, resource, resource_tag

_CREATE_ATTEMPTS = 5
LIST_LIMIT = 1000


class ResourceTransaction:
    """Writes that become true together, with their changes, when the transaction commits.

    `connection` is there for what has to commit with them, such as the enqueueing of a job.
    """

    def __init__(self, connection: sa.Connection, clock: Clock, ids: Ids) -> None:
        self.connection = connection
        self._clock = clock
        self._ids = ids

    def find(self, id_: str) -> Resource | None:
        return self._read(key_of(id_), lock=False)

    def get(self, id_: str) -> Resource:
        """Raises NotFoundError when there is no such resource."""
        return _present(self.find(id_), id_)

    def list(
        self,
        *,
        type: str | None = None,
        scope_prefix: str | None = None,
        parent: str | None = None,
        tag: tuple[str, str | None] | None = None,
        after: str | None = None,
        limit: int = LIST_LIMIT,
    ) -> list[Resource]:
        """At most `limit` resources in the order of their ids, those that meet all that is given.

        `scope_prefix`: the id of a scope; it and all below it. `parent`: what is directly in it ('' is the
        tenant). `tag`: a name and, unless None, its value. `after`: the id of the last one already read,
        which need not exist any more.
        """
        query = sa.select(resource).order_by(resource.c.key).limit(limit)
        if type is not None:
            query = query.where(resource.c.type_key == check_text(type).lower())
        if scope_prefix is not None and scope_prefix.strip("/"):
            scope = key_of(scope_prefix.rstrip("/"))
            # "0" is the character after "/": the range holds what starts with the scope and a slash.
            below = sa.and_(resource.c.key > f"{scope}/", resource.c.key < f"{scope}0")
            query = query.where(sa.or_(resource.c.key == scope, below))
        if parent is not None:
            query = query.where(resource.c.parent_key == (key_of(parent) if parent else ""))
        if tag is not None:
            name, value = tag
            tagged = sa.select(resource_tag.c.key).where(resource_tag.c.name_key == check_text(name).lower())
            if value is not None:
                tagged = tagged.where(resource_tag.c.value == check_text(value))
            query = query.where(resource.c.key.in_(tagged))
        if after is not None:
            query = query.where(resource.c.key > check_text(after).lower())
        return [_from_row(row) for row in self.connection.execute(query).mappings()]

    def put(
        self, draft: ResourceDraft, *, actor: str, if_match: str | None = None, if_none_match: bool = False
    ) -> Resource:
        """Create the resource or replace all of it; it gets a new etag and keeps who created it and when.

        `if_match`: the etag it must have, or `*` for any. `if_none_match`: it must not exist yet.
        Raises PreconditionFailedError, and InvalidInputError when the draft cannot be stored.
        """
        key = key_of(draft.id)
        _check_storable(draft)
        for _ in range(_CREATE_ATTEMPTS):
            old = self._read(key, lock=True)
            _check_precondition(old, draft.id, if_match=if_match, if_none_match=if_none_match)
            if old is not None:
                return self._replace(old, draft, actor=actor)
            created = self._create(key, draft, actor=actor)
            if created is not None:
                return created
        raise ConflictError(
            f"{draft.id} was created and deleted by others in each of {_CREATE_ATTEMPTS} attempts to put it",
            hint="run the request again",
        )

    def update(self, id_: str, edit: Callable[[Resource], Resource], *, actor: str) -> Resource:
        """Replace the resource with `edit` of it; nothing is written when that is the same resource.

        `edit` must only compute, as it may be called again. It may not change the id.
        Raises NotFoundError and what `edit` raises.
        """
        key = key_of(id_)
        old = _present(self._read(key, lock=True), id_)
        new = edit(old)
        if key_of(new.id) != key:
            raise InvalidInputError(f"the id of {id_} cannot be changed to {new.id}", hint="create another")
        if new.draft == old.draft:
            return old
        _check_storable(new.draft)
        return self._replace(old, new.draft, actor=actor)

    def delete(self, id_: str, *, actor: str, if_match: str | None = None) -> None:
        """Remove the resource, and not what is below it.

        Raises NotFoundError when it does not exist, PreconditionFailedError when its etag is another.
        """
        old = _present(self._read(key_of(id_), lock=True), id_)
        _check_precondition(old, id_, if_match=if_match, if_none_match=False)
        self.connection.execute(sa.delete(resource).where(resource.c.key == key_of(id_)))
        self._record(ChangeOperation.DELETE, old, actor=actor)

    def _read(self, key: str, *, lock: bool) -> Resource | None:
        query = sa.select(resource).where(resource.c.key == key)
        # SQLite has no such clause and needs none: a writing transaction is alone there.
        row = self.connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
        return _from_row(row) if row is not None else None

    def _create(self, key: str, draft: ResourceDraft, *, actor: str) -> Resource | None:
        """The new resource, or None when another transaction has created it since it was looked for."""
        now = self._clock.now()
        new = _with_system_data(
            draft,
            self._ids.new(),
            SystemData(created_at=now, created_by=actor, modified_at=now, modified_by=actor),
        )
        savepoint = self.connection.begin_nested()
        try:
            self.connection.execute(
                sa.insert(resource).values(
                    key=key, parent_key=parent_key(key), created_at=now, created_by=actor, **_columns(new)
                )
            )
        except sa.exc.IntegrityError:
            savepoint.rollback()
            return None
        savepoint.commit()
        self._write_tags(key, draft.tags)
        self._record(ChangeOperation.CREATE, new, actor=actor)
        return new

    def _replace(self, old: Resource, draft: ResourceDraft, *, actor: str) -> Resource:
        key = key_of(old.id)
        system_data = replace(old.system_data, modified_at=self._clock.now(), modified_by=actor)
        new = _with_system_data(draft, self._ids.new(), system_data)
        self.connection.execute(sa.update(resource).where(resource.c.key == key).values(_columns(new)))
        if dict(old.tags) != dict(new.tags):
            self.connection.execute(sa.delete(resource_tag).where(resource_tag.c.key == key))
            self._write_tags(key, new.tags)
        self._record(ChangeOperation.UPDATE, new, actor=actor)
        return new

    def _write_tags(self, key: str, tags: Mapping[str, str]) -> None:
        rows = [{"key": key, "name_key": name.lower(), "value": value} for name, value in tags.items()]
        if rows:
            self.connection.execute(sa.insert(resource_tag), rows)

    def _record(self, operation: ChangeOperation, written: Resource, *, actor: str) -> None:
        self.connection.execute(
            sa.insert(change).values(
                resource_id=written.id,
                resource_type=written.type,
                operation=operation.value,
                etag=written.etag,
                at=self._clock.now(),
                actor=actor,
            )
        )


def _present(found: Resource | None, id_: str) -> Resource:
    if found is None:
        raise NotFoundError(
            f"the resource {id_} does not exist", hint="check the id, or list what is in its resource group"
        )
    return found


def _check_precondition(old: Resource | None, id_: str, *, if_match: str | None, if_none_match: bool) -> None:
    # RFC 9110, 13.1.1 and 13.1.2.
    if if_none_match and old is not None:
        raise PreconditionFailedError(
            f"{id_} exists with etag {old.etag}, expected that it does not",
            hint="leave out If-None-Match to replace it",
        )
    if if_match is None or (old is not None and if_match in ("*", old.etag)):
        return
    raise PreconditionFailedError(
        f"{id_} {f'has etag {old.etag}' if old else 'does not exist'}, expected etag {if_match}",
        hint="read the resource again and repeat the change on what it is now",
    )


def _check_storable(draft: ResourceDraft) -> None:
    """What one of the two databases would refuse or change is refused here, for both."""
    for text in (draft.type, draft.name, draft.location or "", *draft.tags, *draft.tags.values()):
        check_text(text)
    if len(draft.type.encode()) > ID_BYTES_MAX:
        raise InvalidInputError(f"the type of {draft.id} is too long", hint=f"at most {ID_BYTES_MAX} bytes")
    for name, value in draft.tags.items():
        if len(name.encode()) > TAG_NAME_BYTES_MAX or len(value.encode()) > TAG_VALUE_BYTES_MAX:
            raise InvalidInputError(
                f"the tag {name} of {draft.id} is too long",
                hint=f"a name has at most {TAG_NAME_BYTES_MAX} bytes, a value {TAG_VALUE_BYTES_MAX}",
            )
    if len({name.lower() for name in draft.tags}) != len(draft.tags):
        raise InvalidInputError(
            f"{draft.id} has tags whose names differ in case only", hint="tag names are case-insensitive"
        )
    try:
        to_json([draft.properties, draft.extra])
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the properties of {draft.id} are not JSON: {error}", hint="expected what JSON can say"
        ) from error


def _with_system_data(draft: ResourceDraft, etag: str, system_data: SystemData) -> Resource:
    return Resource(
        id=draft.id,
        type=draft.type,
        name=draft.name,
        location=draft.location,
        tags=dict(draft.tags),
        properties=draft.properties,
        etag=etag,
        system_data=system_data,
        extra=draft.extra,
    )


def _columns(new: Resource) -> dict[str, Any]:
    return {
        "id": new.id,
        "type_key": new.type.lower(),
        "type": new.type,
        "name": new.name,
        "location": new.location,
        "tags": dict(new.tags),
        "properties": new.properties,
        "extra": new.extra,
        "etag": new.etag,
        "modified_at": new.system_data.modified_at,
        "modified_by": new.system_data.modified_by,
    }


def _from_row(row: sa.RowMapping) -> Resource:
    return Resource(
        id=row["id"],
        type=row["type"],
        name=row["name"],
        location=row["location"],
        tags=row["tags"],
        properties=row["properties"],
        etag=row["etag"],
        system_data=SystemData(
            created_at=row["created_at"],
            created_by=row["created_by"],
            modified_at=row["modified_at"],
            modified_by=row["modified_by"],
        ),
        extra=row["extra"],
    )

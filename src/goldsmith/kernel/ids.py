"""Names: ARM resource ids and fresh identifiers."""

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

from goldsmith.kernel.errors import InvalidInputError


class Ids(Protocol):
    def new(self) -> str:
        """A fresh identifier (a UUID in its canonical text form)."""
        ...


class RandomIds:
    def new(self) -> str:
        return str(uuid.uuid4())


_SEGMENT = re.compile(r"[^/?#\x00-\x1f]{1,260}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceId:
    """An ARM resource id below a resource group; compared case-insensitively through `key`.

    `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}[/{type}/{name}...]`
    """

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        pairs = "".join(f"/{t}/{n}" for t, n in zip(self.types, self.names, strict=True))
        scope = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{scope}/providers/{self.namespace}{pairs}"

    @property
    def key(self) -> str:
        return str(self).lower()

    @property
    def type(self) -> str:
        """`Microsoft.Compute/galleries/images`"""
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def parent(self) -> "ResourceId | None":
        if len(self.names) < 2:
            return None
        return ResourceId(
            subscription=self.subscription,
            group=self.group,
            namespace=self.namespace,
            types=self.types[:-1],
            names=self.names[:-1],
        )

    def child(self, type_: str, name: str) -> "ResourceId":
        return ResourceId(
            subscription=self.subscription,
            group=self.group,
            namespace=self.namespace,
            types=(*self.types, type_),
            names=(*self.names, name),
        )


def parse_resource_id(text: str) -> ResourceId:
    """Raises InvalidInputError unless `text` is the id of a resource below a resource group."""
    parts = [part for part in text.split("/") if part]
    well_formed = (
        text.startswith("/")
        and len(parts) >= 8
        and len(parts) % 2 == 0
        and parts[0].lower() == "subscriptions"
        and parts[2].lower() == "resourcegroups"
        and parts[4].lower() == "providers"
        and all(_SEGMENT.fullmatch(part) for part in parts)
    )
    if not well_formed:
        raise InvalidInputError(
            f"'{text}' is not a resource id",
            code="InvalidResourceId",
            hint="expected /subscriptions/{id}/resourceGroups/{group}/providers/{namespace}/{type}/{name}",
        )
    return ResourceId(
        subscription=parts[1],
        group=parts[3],
        namespace=parts[5],
        types=tuple(parts[6::2]),
        names=tuple(parts[7::2]),
    )

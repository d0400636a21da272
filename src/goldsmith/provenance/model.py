"""What a build can prove: the facts that go into an image version's provenance, and what is read back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
# A type of build needs a URI of its own; a URN, because no host of ours exists that could answer for it.
BUILD_TYPE = "urn:goldsmith:build-type:image-build:v1"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Byproduct(StrEnum):
    """The evidence made beside the disk, by the name it has in the provenance."""

    SBOM = "sbom"
    TEST_REPORT = "test-report"
    MEASUREMENTS = "measurements"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """A file or package list that one step read."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStep:
    """One customizer: the key its layer was looked up by, and what the layer holds."""

    index: int
    name: str
    layer_key: str
    layer_digest: str
    inputs: tuple[StepInput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """Why a build was made out of band."""

    cves: tuple[str, ...]
    patch_date: date
    advisory: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What a golden boot measured: the digest of the file, and the values by register."""

    digest: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """Everything one build's provenance says; digests are written `sha256:<hex>`.

    Construction raises InvalidInputError for a malformed digest, an empty name, or instants out of order.
    """

    build_id: str
    version_id: str
    disk_digest: str
    base_urn: str
    base_digest: str
    template_name: str
    template_digest: str
    steps: tuple[BuildStep, ...]
    sbom_digest: str
    test_report_digest: str
    measurements: Measurements | None
    builder_id: str
    builder_version: str
    started: datetime
    finished: datetime
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    emergency: Emergency | None = None

    def __post_init__(self) -> None:
        named = {
            "disk": self.disk_digest,
            "base": self.base_digest,
            "template": self.template_digest,
            "sbom": self.sbom_digest,
            "test report": self.test_report_digest,
        }
        if self.measurements is not None:
            named["measurements"] = self.measurements.digest
        for step in self.steps:
            named[f"layer of step {step.index}"] = step.layer_digest
            named |= {f"input {i.name} of step {step.index}": i.digest for i in step.inputs}
        for what, digest in named.items():
            if not is_digest(digest):
                raise InvalidInputError(f"the {what} digest is '{digest}', expected sha256:<64 hex digits>")
        for what, text in (
            ("build", self.build_id),
            ("version", self.version_id),
            ("builder", self.builder_id),
        ):
            if not text:
                raise InvalidInputError(f"the provenance of a build needs a {what} id, got an empty one")
        if self.finished < self.started:
            raise InvalidInputError(f"build {self.build_id} finished before it started")
        indices = [step.index for step in self.steps]
        if indices != sorted(set(indices)):
            raise InvalidInputError(
                f"the steps of build {self.build_id} are numbered {indices}, expected rising"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWindow:
    """When a key is trusted.

    `not_before` is held against the clock of whoever verifies, `not_after` against the instant the
    statement says its build finished: versions signed before a rotation stay good, and an old statement
    may be signed again with a new key. That instant is the signer's own word, so a key that was stolen
    must be `revoked`, which ends it whatever a statement says.
    """

    not_before: datetime
    not_after: datetime | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a statement claims, as read from its payload: trusted only as far as its signature is."""

    version_id: str
    disk_digest: str
    builder_id: str
    build_id: str
    started: datetime
    finished: datetime
    byproducts: Mapping[Byproduct, str]
    """Digest by kind; a kind that the statement does not name is absent."""


def is_digest(text: str) -> bool:
    """`sha256:` and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None

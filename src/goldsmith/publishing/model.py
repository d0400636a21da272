"""The nouns of a build: what was asked, the steps planned for it, what each gave, and the record."""

from dataclasses import dataclass, field
from enum import StrEnum

from goldsmith.kernel.json import JsonObject


class StepKind(StrEnum):
    SHELL = "Shell"
    FILE = "File"
    TATTOO = "Tattoo"
    SEAL = "Seal"


class BuildState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """An out-of-band build: which vulnerabilities it answers and when the patch was made (an ISO date)."""

    cves: tuple[str, ...]
    patch_date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """A file a step reads: its role (`scriptUri`, `sourceUri`), where it came from, its SHA-256."""

    role: str
    uri: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One layer to be: `ingredients` is all that its key is the digest of."""

    index: int
    kind: StepKind
    name: str
    key: str
    ingredients: JsonObject
    inputs: tuple[StepInput, ...] = ()
    network_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """All that decides a build's result; equal plans give equal images.

    `inputs_digest` leaves out version and date: it says whether there is anything new to build.
    `declared_date` is an ISO date; `base_epoch` the seconds every file time is clamped to.
    """

    build_id: str
    inputs_digest: str
    template_name: str
    template_digest: str
    base_urn: str
    base_digest: str
    base_epoch: int
    definition_id: str
    version: str
    declared_date: str
    steps: tuple[PlannedStep, ...]
    emergency: Emergency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What happened to a step: `reused` layers did not run; `seconds` is the step's own time."""

    index: int
    name: str
    key: str
    layer_digest: str
    reused: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailure:
    """Where a build stopped, for `image shell`, `image resume` and the reader of the message."""

    index: int
    name: str
    key: str
    command: str
    exit_status: int
    tail: str
    log: str
    kept: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """One build as it stands on disk: plan, state, outcomes; rewritten whole at each change."""

    plan: BuildPlan
    job_id: str
    state: BuildState
    template: JsonObject
    template_path: str
    started_at: str
    finished_at: str = ""
    outcomes: tuple[StepOutcome, ...] = ()
    failure: StepFailure | None = None
    error: str = ""
    result: JsonObject = field(default_factory=dict)

"""The nouns of the host room: what was found on this host, as plain values that go to JSON and back."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from goldsmith.kernel.json import JsonObject


class Accelerator(StrEnum):
    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that was tried for real; `reason` says what happened, in words, either way."""

    works: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An installed program; `version` is empty when it was not asked or does not say."""

    name: str
    path: Path
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareFiles:
    """One UEFI firmware build: its code, and the variable store to copy for each machine."""

    code: Path
    vars: Path
    secure_boot: bool
    format: str = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What this host has and can do; nothing here says what is good or bad, `report` does."""

    architecture: str
    kernel: str
    boot_id: str
    user_id: int
    cores: int
    memory_bytes: int
    kvm: Check
    file_systems: tuple[str, ...]
    loop_devices: Check
    overlay: Check
    user_namespaces: Check
    overlay_in_user_namespace: Check
    subordinate_user_ids: int
    subordinate_group_ids: int
    programs: tuple[Program, ...]
    firmware: tuple[FirmwareFiles, ...]
    state_dir: Path
    free_bytes: int
    first_process: str

    def program(self, name: str) -> Program | None:
        return next((program for program in self.programs if program.name == name), None)

    def firmware_for(self, *, secure_boot: bool) -> FirmwareFiles | None:
        """The first, which is the most current, firmware of that kind."""
        return next((files for files in self.firmware if files.secure_boot is secure_boot), None)


_CHECKS = ("kvm", "loop_devices", "overlay", "user_namespaces", "overlay_in_user_namespace")


def choose_accelerator(facts: HostFacts) -> Accelerator:
    """KVM only where it ran guest instructions at speed when tried, else TCG.

    A /dev/kvm that opens proves nothing: nested and emulated ones exist that hang a real kernel.
    """
    return Accelerator.KVM if facts.kvm.works else Accelerator.TCG


def to_json(facts: HostFacts) -> JsonObject:
    """Field names as in HostFacts, paths as text."""
    plain = _plain(dataclasses.asdict(facts))
    assert isinstance(plain, dict)
    return plain


def from_json(value: JsonObject) -> HostFacts:
    """Raises KeyError, TypeError or ValueError when `value` is not what `to_json` gives."""
    converted: JsonObject = {
        **{name: Check(**value[name]) for name in _CHECKS},
        "programs": tuple(Program(**(item | {"path": Path(item["path"])})) for item in value["programs"]),
        "firmware": tuple(
            FirmwareFiles(**(item | {"code": Path(item["code"]), "vars": Path(item["vars"])}))
            for item in value["firmware"]
        ),
        "file_systems": tuple(value["file_systems"]),
        "state_dir": Path(value["state_dir"]),
    }
    return HostFacts(**(value | converted))


def _plain(value: object) -> object:
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Path():
            return str(value)
        case _:
            return value

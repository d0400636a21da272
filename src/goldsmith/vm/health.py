"""Whether the system inside came up whole: systemd's verdict, the units that failed and their last words."""

import re
from dataclasses import dataclass

from goldsmith.kernel.json import JsonObject
from goldsmith.vm.running import RunningVm

_SETTLE_SECONDS = 300.0
_UNITS_MAX = 50
_LOG_LINES = 10
# cloud-init that is absent, switched off or finished is fine: an image need not have it.
_CLOUD_INIT_FINE = frozenset({"absent", "disabled", "done"})
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}")
_STATE = f"""
echo "state $(systemctl is-system-running --wait 2>/dev/null)"
if [ -e /run/cloud-init/disabled ]; then
    echo "cloud-init disabled"  # as the program would say, seconds later
elif command -v cloud-init >/dev/null; then
    echo "cloud-init $(cloud-init status 2>/dev/null | sed -n 's/^status: //p' | head -n 1)"
fi
systemctl list-units --failed --plain --no-legend --full --no-pager |
    head -n {_UNITS_MAX} | sed 's/^/failed /'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedUnit:
    """`fragment` is the unit's file; `result` systemd's word for how it failed, such as `exit-code`."""

    name: str
    description: str
    fragment: str
    result: str
    exit_status: int | None
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`system_state` as `systemctl is-system-running` says it; `cloud_init` also `absent`."""

    system_state: str
    failed_units: tuple[FailedUnit, ...]
    cloud_init: str

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong."""
        found = [
            f"unit {unit.name} failed ({unit.result}), from {unit.fragment or 'no file'}"
            for unit in self.failed_units
        ]
        if not found and self.system_state != "running":
            found.append(f"the system's state is '{self.system_state}', expected 'running'")
        if self.cloud_init not in _CLOUD_INIT_FINE:
            found.append(f"cloud-init ended with status '{self.cloud_init}'")
        return tuple(found)

    def to_json(self) -> JsonObject:
        return {
            "ok": self.ok,
            "systemState": self.system_state,
            "cloudInit": self.cloud_init,
            "problems": list(self.problems),
            "failedUnits": [
                {
                    "name": unit.name,
                    "description": unit.description,
                    "fragment": unit.fragment,
                    "result": unit.result,
                    "exitStatus": unit.exit_status,
                    "log": unit.log,
                }
                for unit in self.failed_units
            ],
        }


def collect_health(vm: RunningVm) -> Health:
    """Waits until the system has settled. Raises GuestAgentError and ProgramTimeoutError."""
    state = parse_state(vm.run(_STATE, timeout_seconds=_SETTLE_SECONDS).text)
    units = []
    for name in state.failed:
        shown = vm.run(
            ["systemctl", "show", "--property=Description,FragmentPath,Result,ExecMainStatus", "--", name]
        )
        log = vm.run(
            [
                *("journalctl", "--boot", "--no-pager", "--output=cat"),
                *(f"--lines={_LOG_LINES}", f"--unit={name}"),
            ]
        )
        units.append(parse_failed_unit(name, shown.text, log.text))
    return Health(system_state=state.system, failed_units=tuple(units), cloud_init=state.cloud_init)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    system: str
    cloud_init: str
    failed: tuple[str, ...]


def parse_state(text: str) -> SystemState:
    """What the state script printed: `state …`, `cloud-init …`, `failed UNIT …` lines."""
    system, cloud_init = "unknown", "absent"
    failed: list[str] = []
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "state":
            system = value.strip() or "unknown"
        elif key == "cloud-init":
            cloud_init = value.strip() or "unknown"
        elif key == "failed" and value.split() and _UNIT_NAME.fullmatch(value.split()[0]):
            failed.append(value.split()[0])
    return SystemState(system=system, cloud_init=cloud_init, failed=tuple(failed))


def parse_failed_unit(name: str, shown: str, log: str) -> FailedUnit:
    """From `systemctl show` properties and the unit's journal."""
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    status = properties.get("ExecMainStatus", "")
    return FailedUnit(
        name=name,
        description=properties.get("Description", ""),
        fragment=properties.get("FragmentPath", ""),
        result=properties.get("Result", "unknown"),
        exit_status=int(status) if status.isascii() and status.isdigit() else None,
        log="\n".join(log.splitlines()[-_LOG_LINES:]),
    )

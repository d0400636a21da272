"""What guests print about their boot and health, read."""

import pytest

from goldsmith.kernel.errors import CorruptError
from goldsmith.vm.boottime import UnitTime, boot_times, parse_blame, parse_timestamps
from goldsmith.vm.health import Health, parse_failed_unit, parse_state
from goldsmith.vm.model import BootStage, Milestone

SHOWN = """InitRDTimestampMonotonic=0
UserspaceTimestampMonotonic=8105042
FinishTimestampMonotonic=29687088
"""


def milestones(**seconds: float) -> list[Milestone]:
    return [Milestone(stage=BootStage(name), seconds=value) for name, value in seconds.items()]


def test_phases_add_up_to_the_boot() -> None:
    seen = milestones(firmware=5.8, loader=6.0, kernel=13.5, agent=35.0)
    times = boot_times(seen, parse_timestamps(SHOWN))
    assert times.firmware_seconds == 6.0
    assert times.loader_seconds == 7.5
    assert times.kernel_seconds == pytest.approx(8.105042)
    assert times.initrd_seconds is None
    assert times.userspace_seconds == pytest.approx(21.582046)
    assert times.total_seconds == pytest.approx(13.5 + 29.687088)


def test_systemd_in_the_initrd_is_a_phase_of_its_own() -> None:
    times = boot_times([], parse_timestamps(SHOWN.replace("Monotonic=0", "Monotonic=3000000")))
    assert times.kernel_seconds == 3.0
    assert times.initrd_seconds == pytest.approx(5.105042)
    assert times.firmware_seconds is None
    assert times.total_seconds == pytest.approx(29.687088)


@pytest.mark.parametrize("finish", ["0", "", "infinity"])
def test_boot_that_has_not_finished_has_no_times(finish: str) -> None:
    shown = SHOWN.replace("29687088", finish)
    with pytest.raises(CorruptError) as raised:
        boot_times([], parse_timestamps(shown))
    assert raised.value.hint is not None


def test_blame_is_read_with_all_its_units_of_time() -> None:
    blame = (
        "1min 2.345s apt-daily.service\n 8.264s host-keys.service\n  980ms a.mount\n\nnothing to see here\n"
    )
    assert parse_blame(blame) == (
        UnitTime(unit="apt-daily.service", seconds=62.345),
        UnitTime(unit="host-keys.service", seconds=8.264),
        UnitTime(unit="a.mount", seconds=0.98),
    )


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("state running\n", 0),
        ("state running\ncloud-init disabled\n", 0),
        ("state running\ncloud-init done\n", 0),
        ("state running\ncloud-init error\n", 1),
        ("state starting\n", 1),
        ("state \n", 1),
        ("", 1),
    ],
)
def test_health_is_fine_only_when_everything_came_up(text: str, problems: int) -> None:
    state = parse_state(text)
    health = Health(system_state=state.system, failed_units=(), cloud_init=state.cloud_init)
    assert len(health.problems) == problems
    assert health.ok is (problems == 0)


def test_failed_unit_is_told_with_its_file_and_last_words() -> None:
    state = parse_state("state degraded\nfailed bad.service loaded failed failed /bin/false\nfailed $(x)\n")
    assert state.failed == ("bad.service",)
    shown = "Description=a = b\nFragmentPath=/etc/systemd/system/bad.service\nResult=exit-code\n"
    unit = parse_failed_unit("bad.service", shown + "ExecMainStatus=1\n", "line\n" * 30 + "last")
    assert unit.description == "a = b"
    assert unit.exit_status == 1
    assert unit.log.splitlines()[-1] == "last"
    assert len(unit.log.splitlines()) == 10
    health = Health(system_state="degraded", failed_units=(unit,), cloud_init="absent")
    assert health.problems == ("unit bad.service failed (exit-code), from /etc/systemd/system/bad.service",)
    assert health.to_json()["failedUnits"][0]["fragment"] == "/etc/systemd/system/bad.service"

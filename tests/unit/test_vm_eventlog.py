"""Boot event logs made by hand, byte for byte as the TCG profile lays them out."""

import hashlib
import struct

import pytest

from goldsmith.kernel.errors import CorruptError, UnsupportedError
from goldsmith.vm.eventlog import Algorithm, EventType, parse_event_log, replay
from goldsmith.vm.measurements import read_measurements

SHA256_ONLY = {Algorithm.SHA256: 32}
BOTH = {Algorithm.SHA1: 20, Algorithm.SHA256: 32}


def header(banks: dict[Algorithm, int]) -> bytes:
    table = b"".join(struct.pack("<HH", algorithm, size) for algorithm, size in banks.items())
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, len(banks)) + table + b"\0"
    return struct.pack("<II20sI", 0, EventType.NO_ACTION, bytes(20), len(spec)) + spec


def event(pcr: int, type_: int, data: bytes, banks: dict[Algorithm, int] | None = None) -> bytes:
    digests = b"".join(
        struct.pack("<H", algorithm) + hashlib.new(algorithm.name.lower(), data).digest()
        for algorithm in banks or SHA256_ONLY
    )
    count = len(banks or SHA256_ONLY)
    return struct.pack("<III", pcr, type_, count) + digests + struct.pack("<I", len(data)) + data


def extended(*data: bytes, start: bytes = bytes(32)) -> str:
    value = start
    for item in data:
        value = hashlib.sha256(value + hashlib.sha256(item).digest()).digest()
    return value.hex()


def test_replay_extends_each_pcr_in_the_order_of_the_log() -> None:
    log = header(BOTH) + b"".join(
        (
            event(4, EventType.EFI_ACTION, b"first", BOTH),
            event(7, EventType.SEPARATOR, bytes(4), BOTH),
            event(4, EventType.EFI_ACTION, b"second", BOTH),
        )
    )
    parsed = parse_event_log(log)
    assert replay(parsed) == {4: extended(b"first", b"second"), 7: extended(bytes(4))}
    assert parsed.algorithms == (Algorithm.SHA1, Algorithm.SHA256)
    sha1 = hashlib.sha1(bytes(20) + hashlib.sha1(bytes(4)).digest()).hexdigest()
    assert replay(parsed, Algorithm.SHA1)[7] == sha1


def test_startup_locality_is_where_pcr_0_begins_and_is_not_measured() -> None:
    locality = event(0, EventType.NO_ACTION, b"StartupLocality\0\x03")
    log = header(SHA256_ONLY) + locality + event(0, EventType.S_CRTM_VERSION, b"v") + event(1, 5, b"x")
    start = bytes(31) + b"\x03"
    assert replay(parse_event_log(log)) == {0: extended(b"v", start=start), 1: extended(b"x")}


def test_zeros_after_the_last_event_are_no_events() -> None:
    log = header(SHA256_ONLY) + event(5, EventType.EFI_ACTION, b"x") + bytes(100)
    assert len(parse_event_log(log).events) == 1


def test_every_cut_in_a_log_is_noticed() -> None:
    whole = header(SHA256_ONLY) + event(5, EventType.EFI_ACTION, b"x")
    start = len(header(SHA256_ONLY))
    for length in (*range(start), *range(start + 1, len(whole))):
        with pytest.raises((CorruptError, UnsupportedError)):
            parse_event_log(whole[:length])


@pytest.mark.parametrize(
    "bad",
    [
        event(24, EventType.EFI_ACTION, b"x"),  # no such PCR
        event(5, EventType.EFI_ACTION, b"x", BOTH),  # more banks than the header names
        event(5, EventType.EFI_ACTION, b"x", {Algorithm.SHA384: 48}),  # a bank it does not name
        struct.pack("<III", 5, 5, 1) + struct.pack("<H32sI", 0xB, b"", 0xFFFFFFFF),  # data without end
    ],
)
def test_malformed_event_is_corrupt(bad: bytes) -> None:
    with pytest.raises(CorruptError):
        parse_event_log(header(SHA256_ONLY) + bad)


def test_log_of_a_tpm_1_2_is_not_supported() -> None:
    old = struct.pack("<II20sI", 0, EventType.S_CRTM_VERSION, bytes(20), 16) + bytes(16)
    with pytest.raises(UnsupportedError):
        parse_event_log(old)


def variable(name: str, value: bytes) -> bytes:
    return bytes(16) + struct.pack("<QQ", len(name), len(value)) + name.encode("utf-16-le") + value


@pytest.mark.parametrize(
    ("type_", "data", "said"),
    [
        (EventType.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\1"), "variable SecureBoot = on"),
        (EventType.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\0"), "variable SecureBoot = off"),
        (EventType.EFI_VARIABLE_DRIVER_CONFIG, variable("dbx", bytes(76)), "variable dbx, 76 bytes"),
        (
            EventType.EFI_VARIABLE_BOOT,
            variable("BootOrder", b"\1\0\0\0"),
            "variable BootOrder = 0001,0000",
        ),
        (
            EventType.EFI_VARIABLE_BOOT,
            variable("Boot0001", bytes(6) + "debian\0".encode("utf-16-le")),
            "variable Boot0001: debian",
        ),
        (EventType.IPL, b"grub_cmd: linux /boot/vmlinuz\0", "grub_cmd: linux /boot/vmlinuz"),
        (EventType.IPL, "kernel_cmdline".encode("utf-16-le"), "kernel_cmdline"),
        (EventType.SEPARATOR, bytes(4), "end of this stage"),
        (EventType.SEPARATOR, b"\1\0\0\0", "error 01000000"),
        (EventType.EVENT_TAG, struct.pack("<II", 0x8F3B22ED, 3) + b"abc", "tag 0x8f3b22ed: abc"),
        (
            EventType.EFI_BOOT_SERVICES_APPLICATION,
            struct.pack("<QQQQ", 0, 9, 0, 14) + struct.pack("<BBH", 4, 4, 14) + "\\A.E\0".encode("utf-16-le"),
            "image \\A.E, 9 bytes",
        ),
        (EventType.EFI_VARIABLE_BOOT, b"\xff" * 40, "ff" * 32),  # longer than it is: told in hex
        (EventType.IPL, b"\xff\xfe\xfd", "fffefd"),
        (0x12345678, b"ab", "6162"),
    ],
)
def test_event_says_what_it_covers(type_: int, data: bytes, said: str) -> None:
    log = parse_event_log(header(SHA256_ONLY) + event(1, type_, data))
    assert log.events[0].description == said


def test_description_never_carries_control_characters() -> None:
    log = parse_event_log(header(SHA256_ONLY) + event(1, EventType.IPL, b"a\x1b[31m\nb" + b"c" * 1000))
    said = log.events[0].description
    assert said.isprintable()
    assert len(said) <= 300


def test_measurements_tell_a_pcr_the_log_does_not_explain() -> None:
    log = header(SHA256_ONLY) + event(7, 5, b"a") + event(8, 5, b"b")
    text = f"pcr 7 {extended(b'a').upper()}\npcr 8 {'00' * 32}\nlockdown none [integrity] confidentiality\n"
    measured = read_measurements(text + "secureboot 06 00 00 00 01\neventlog\n", log)
    assert measured.mismatched == (8,)
    assert not measured.replay_matches
    assert measured.secure_boot is True
    assert measured.lockdown == "integrity"
    assert measured.golden == {7: extended(b"a"), 8: "00" * 32}
    assert measured.to_json()["events"][0] == {
        "pcr": 7,
        "type": "EV_ACTION",
        "digest": hashlib.sha256(b"a").hexdigest(),
        "description": "a",
    }


def test_machine_without_tpm_has_no_measurements() -> None:
    measured = read_measurements("secureboot 06 00 00 00 00\n", None)
    assert measured.pcrs == {}
    assert not measured.replay_matches
    assert measured.secure_boot is False
    assert measured.lockdown is None

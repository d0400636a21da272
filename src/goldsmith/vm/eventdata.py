"""One line about what a measured boot event covers, for people; never used to decide anything.

Follows the TCG PC Client Platform Firmware Profile 1.05, sections 10.2 and 10.4, and the UEFI
specification's device paths (section 10.3).
"""

import struct
import uuid
from collections.abc import Callable

_TEXT_MAX = 300


def describe(type_name: str, data: bytes) -> str:
    """What the event says of itself; for data that is not as its type requires, the start of it in hex."""
    teller = _TELLERS.get(type_name)
    if teller is not None:
        try:
            return _shortened(teller(data))
        except (struct.error, ValueError):
            pass
    return _shortened(data[:32].hex())


def _text(data: bytes) -> str:
    # Boot loaders write UTF-8, UEFI itself UTF-16; every other byte of UTF-16 Latin text is zero.
    if len(data) >= 4 and len(data) % 2 == 0 and not any(data[1:8:2]):
        return data.decode("utf-16-le").rstrip("\0")
    return data.rstrip(b"\0").decode()


def _variable(data: bytes) -> str:
    # UEFI_VARIABLE_DATA: VariableName GUID, UnicodeNameLength u64, VariableDataLength u64, name, data.
    name_length, data_length = struct.unpack_from("<QQ", data, 16)
    if 32 + 2 * name_length + data_length > len(data):
        raise ValueError("variable longer than its event")
    name = data[32 : 32 + 2 * name_length].decode("utf-16-le")
    value = data[32 + 2 * name_length : 32 + 2 * name_length + data_length]
    if name == "SecureBoot" and len(value) == 1:
        return f"variable SecureBoot = {'on' if value[0] else 'off'}"
    if name.startswith("Boot0") and len(value) > 6:
        return f"variable {name}: {_load_option(value)}"
    if name == "BootOrder":
        numbers = struct.unpack(f"<{len(value) // 2}H", value)
        return "variable BootOrder = " + ",".join(f"{number:04X}" for number in numbers)
    return f"variable {name}, {data_length} bytes"


def _load_option(value: bytes) -> str:
    # EFI_LOAD_OPTION: Attributes u32, FilePathListLength u16, then the description up to its zero.
    text = value[6:]
    for index in range(0, len(text) - 1, 2):
        if text[index : index + 2] == b"\0\0":
            return text[:index].decode("utf-16-le")
    raise ValueError("description without an end")


def _image(data: bytes) -> str:
    # UEFI_IMAGE_LOAD_EVENT: address, length, link-time address, device path length (u64 each), path.
    _, size, _, path_length = struct.unpack_from("<QQQQ", data)
    files = _file_paths(data[32 : 32 + path_length])
    return f"image {files or 'without a file path'}, {size} bytes"


def _file_paths(path: bytes) -> str:
    names: list[str] = []
    offset = 0
    while offset + 4 <= len(path):
        kind, subkind, length = struct.unpack_from("<BBH", path, offset)
        if length < 4:
            raise ValueError("device path node shorter than its head")
        node = path[offset + 4 : offset + length]
        if (kind, subkind) == (4, 4):  # media device path, file path
            names.append(node.decode("utf-16-le").rstrip("\0"))
        elif (kind, subkind) == (4, 6) and len(node) >= 16:  # file in a firmware volume
            names.append(f"firmware file {uuid.UUID(bytes_le=bytes(node[:16]))}")
        offset += length
    return " ".join(names)


def _blob(data: bytes) -> str:
    base, size = struct.unpack_from("<QQ", data)
    return f"firmware at 0x{base:x}, {size} bytes"


def _named_blob(data: bytes) -> str:
    # UEFI_PLATFORM_FIRMWARE_BLOB2: BlobDescriptionSize u8, description, base u64, length u64.
    name = data[1 : 1 + data[0]].decode().rstrip("\0") if data else ""
    return f"{name}: {_blob(data[1 + len(data[1 : 1 + data[0]]) :])}" if data else ""


def _partitions(data: bytes) -> str:
    # UEFI_GPT_DATA: the partition table header (92 bytes), then the number of partitions.
    disk = uuid.UUID(bytes_le=data[56:72])
    (count,) = struct.unpack_from("<Q", data, 92)
    return f"partition table of disk {disk}, {count} partitions"


def _tagged(data: bytes) -> str:
    # TCG_PCClientTaggedEvent: taggedEventID u32, size u32, data.
    tag, size = struct.unpack_from("<II", data)
    return f"tag 0x{tag:08x}: {_text(data[8 : 8 + size])}"


def _separator(data: bytes) -> str:
    return "end of this stage" if data in (bytes(4), b"\xff" * 4) else f"error {data.hex()}"


_TELLERS: dict[str, Callable[[bytes], str]] = {
    "EV_ACTION": _text,
    "EV_EFI_ACTION": _text,
    "EV_IPL": _text,
    "EV_POST_CODE": _text,
    "EV_S_CRTM_VERSION": _text,
    "EV_SEPARATOR": _separator,
    "EV_EVENT_TAG": _tagged,
    "EV_EFI_VARIABLE_DRIVER_CONFIG": _variable,
    "EV_EFI_VARIABLE_BOOT": _variable,
    "EV_EFI_VARIABLE_BOOT2": _variable,
    "EV_EFI_VARIABLE_AUTHORITY": _variable,
    "EV_EFI_BOOT_SERVICES_APPLICATION": _image,
    "EV_EFI_BOOT_SERVICES_DRIVER": _image,
    "EV_EFI_RUNTIME_SERVICES_DRIVER": _image,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB": _blob,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB2": _named_blob,
    "EV_EFI_GPT_EVENT": _partitions,
}


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    printable = "".join(character if character.isprintable() else "?" for character in line)
    return printable if len(printable) <= _TEXT_MAX else printable[: _TEXT_MAX - 1] + "…"

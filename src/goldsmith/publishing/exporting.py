"""A version's disk as a file of the format somebody needs."""

import uuid
from enum import StrEnum
from pathlib import Path

from goldsmith.disk import formats
from goldsmith.kernel import digest
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.files import no_space
from goldsmith.kernel.json import JsonObject


class ExportFormat(StrEnum):
    RAW = "raw"
    QCOW2 = "qcow2"
    VHD = "vhd"

    @classmethod
    def of_name(cls, path: Path) -> "ExportFormat":
        """Raises InvalidInputError when the file's name does not say."""
        known = {".raw": cls.RAW, ".img": cls.RAW, ".qcow2": cls.QCOW2, ".vhd": cls.VHD}
        if path.suffix.lower() not in known:
            raise InvalidInputError(
                f"the name {path.name} does not say the format",
                hint="end it in .qcow2, .raw or .vhd, or give --format",
            )
        return known[path.suffix.lower()]


def export_disk(disk: Path, output: Path, format_: ExportFormat, *, epoch: int, id_: uuid.UUID) -> JsonObject:
    """Write `disk` (raw) to `output`, whole or not at all; returns `{sizeBytes, digest}` of the file.

    `epoch` (seconds) and `id_` go into a VHD's footer: equal ones give equal files.

    Raises InvalidInputError when the directory is missing, NoSpaceError.
    """
    if not output.absolute().parent.is_dir():
        raise InvalidInputError(f"there is no directory {output.absolute().parent}")
    partial = output.with_name(f".{output.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with no_space(output):
            match format_:
                case ExportFormat.QCOW2:
                    formats.raw_to_qcow2(disk, partial)
                case ExportFormat.RAW:
                    formats.to_raw(disk, partial)
                case ExportFormat.VHD:
                    formats.raw_to_vhd(disk, partial, epoch=epoch, id_=id_)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return {"sizeBytes": output.stat().st_size, "digest": digest.of_file(output)}

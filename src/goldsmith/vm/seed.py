"""A NoCloud seed disk: what cloud-init reads at first boot when there is no cloud around.

Follows cloud-init's NoCloud data source: a FAT or ISO 9660 file system labelled `CIDATA` with the
files `meta-data` and `user-data`. Made with mkfs.vfat and mtools, so nothing is ever mounted.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

_SIZE_KIB = 1024
_TOOL_SECONDS = 30.0
_USER_DATA_BYTES_MAX = 512 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A machine's first identity: one administrator who comes in by key.

    cloud-init runs again when `instance_id` differs from the one it saw last.
    """

    instance_id: str
    hostname: str
    user: str
    ssh_public_keys: tuple[str, ...]
    # Keys of cloud-config beyond these; they win over what is made from the fields above.
    extra: JsonObject | None = None


def user_data(seed: Seed) -> bytes:
    """The `#cloud-config` document; it is YAML, of which JSON is a part."""
    config: JsonObject = {
        "hostname": seed.hostname,
        "users": [
            {
                "name": seed.user,
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "lock_passwd": True,
                "ssh_authorized_keys": list(seed.ssh_public_keys),
            }
        ],
        "disable_root": seed.user != "root",
        "ssh_pwauth": False,
        # Images leave the package with the locale tools out; cloud-init calls their absence an error.
        "locale": False,
        **(seed.extra or {}),
    }
    return b"#cloud-config\n" + json.dumps(config, indent=1).encode() + b"\n"


def meta_data(seed: Seed) -> bytes:
    values = {"instance-id": seed.instance_id, "local-hostname": seed.hostname}
    return json.dumps(values, indent=1).encode() + b"\n"


def write_seed(path: Path, seed: Seed) -> None:
    """Afterwards `path` is a raw disk image to give to `Machine.seed`; the same seed gives the same bytes.

    Raises InvalidInputError (no key, too long), UnsupportedError (dosfstools or mtools not installed).
    """
    if not seed.ssh_public_keys:
        raise InvalidInputError(
            f"the seed of {seed.hostname} has no SSH key", hint="nobody could log in; give at least one key"
        )
    document = user_data(seed)
    if len(document) > _USER_DATA_BYTES_MAX:
        raise InvalidInputError(
            f"the user data of {seed.hostname} is {len(document)} bytes, "
            f"expected at most {_USER_DATA_BYTES_MAX}"
        )
    # mkfs.vfat refuses to write over an existing file.
    path.unlink(missing_ok=True)
    proc.run(
        ["mkfs.vfat", "--invariant", "-i", "90105eed", "-n", "CIDATA", "-C", path, str(_SIZE_KIB)],
        timeout_seconds=_TOOL_SECONDS,
    )
    path.chmod(0o600)
    with tempfile.TemporaryDirectory(prefix="seed-") as directory:
        for name, content in (("meta-data", meta_data(seed)), ("user-data", document)):
            source = Path(directory) / name
            source.write_bytes(content)
            # `TZ` and `SOURCE_DATE_EPOCH` keep the host's clock out of the directory entries.
            proc.run(
                ["mcopy", "-i", path, source, f"::{name}"],
                timeout_seconds=_TOOL_SECONDS,
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "SOURCE_DATE_EPOCH": "315532800"},
            )

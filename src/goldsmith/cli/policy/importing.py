"""`goldsmith policy import`: policies of others taken over, or only checked."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from goldsmith.cli import options
from goldsmith.cli.meter import Meter
from goldsmith.cli.output import print_facts, print_json
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.results import cut
from goldsmith.cli.policy.sources import read_policies
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.policy.catalog.check import check
from goldsmith.policy.catalog.known import Summary, decode, encode
from goldsmith.policy.catalog.model import CheckReport, Failure, ImportReport
from goldsmith.policy.content import packaged
from goldsmith.settings import state_directory

if TYPE_CHECKING:
    from goldsmith.compliance.importing import Imported

_SHOWN = 20
_MESSAGE_WIDTH = 300


@click.command()
@click.argument("paths", metavar="DIR|FILE", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Compile and count; store nothing.")
@policy_options.aliases
@click.option("--verbose", "-v", is_flag=True, help="List everything that fails, and unknown aliases.")
@options.json_output
def command(
    paths: tuple[Path, ...],
    only_check: bool,
    alias_files: tuple[Path, ...],
    verbose: bool,
    as_json: bool,
) -> None:
    """Take over the policy definitions, initiatives and assignments in DIR|FILE.

    Known are checkouts of the public policy repository, the folders of Enterprise Policy as Code, ARM JSON,
    Resource Graph exports and JSON lines; each gzipped or not. What cannot be read or compiled is listed with
    its file and JSON path and left out; exit status 1 when there is any.

    Example: goldsmith policy import azure-policy/built-in-policies --check
    """
    table = policy_options.alias_table(alias_files)
    with Meter("reading", "files", quiet=as_json) as meter:
        report = read_policies(paths, meter=meter)
    engine = _engine(alias_files)
    checked = check(report, aliases=table, known=_remembered(engine))
    _remember(checked.summaries, engine)
    failures = (*report.failures, *checked.failures)
    stored = None if only_check else _store(report, checked)
    if as_json:
        print_json(_json(report, checked, stored))
    else:
        _print(report, checked, verbose=verbose)
        _print_end(failures=len(failures), stored=stored)
    if failures or (stored is not None and stored.refused):
        sys.exit(1)


def _store(report: ImportReport, checked: CheckReport) -> "Imported":
    from goldsmith.cli.policy.store import store_report

    return store_report(report, checked)


def _engine(alias_files: Sequence[Path]) -> str:
    """What found out what is remembered: the program and its alias tables."""
    tables = hashlib.sha256(canonical(packaged.alias_listing()))
    for path in alias_files:
        tables.update(path.read_bytes())
    return f"{version('goldsmith')} {tables.hexdigest()[:16]}"


def _remembered(engine: str) -> dict[str, Summary]:
    try:
        return decode(_cache().read_bytes(), engine=engine)
    except OSError:
        return {}


def _remember(summaries: Mapping[str, Summary], engine: str) -> None:
    """Kept only where there is a state directory already: checking makes none."""
    path = _cache()
    if path.parent.is_dir():
        write_atomic(path, encode({**_remembered(engine), **summaries}, engine=engine))


def _cache() -> Path:
    state = state_directory(os.environ)
    return state / "policy-summaries.json"


def _print(report: ImportReport, checked: CheckReport, *, verbose: bool) -> None:
    failures: Sequence[Failure] = (*report.failures, *checked.failures)
    for failure in failures if verbose else failures[:_SHOWN]:
        at = f" at {failure.path}" if failure.path else ""
        click.echo(f"{click.style('✘', fg='red')} {click.style(failure.source, bold=True)}{at}")
        click.echo(f"    {cut(failure.message, _MESSAGE_WIDTH)}")
        if failure.hint:
            click.echo(click.style(f"    {cut(failure.hint, _MESSAGE_WIDTH)}", dim=True))
    if not verbose and len(failures) > _SHOWN:
        click.echo(f"... and {len(failures) - _SHOWN} more: --verbose lists them")
    if verbose:
        for alias, users in checked.unknown.items():
            click.echo(f"unknown alias {alias}: {len(users)} definitions")
    if failures:
        click.echo()
    missing = len(report.missing_references)
    print_facts(
        [
            ("definitions", _counted(len(report.definitions), report.policy_types)),
            ("modes", _counted(None, report.modes)),
            ("compiled", f"{checked.compiled:,}"),
            (
                "not evaluated",
                f"{checked.not_evaluated:,} of other modes, kept and never taken for compliant",
            ),
            (
                "initiatives",
                f"{len(report.initiatives):,}" + (f", {missing:,} references lead out" if missing else ""),
            ),
            ("assignments", f"{len(report.assignments):,}"),
            (
                "aliases",
                f"{len(checked.unknown):,} unknown, {len(checked.derived):,} guessed from their names",
            ),
            ("duplicates", f"{len(report.duplicates):,}"),
            ("other files", f"{len(report.skipped):,}"),
            ("failed", f"{len(failures):,}"),
        ]
    )


def _print_end(*, failures: int, stored: "Imported | None") -> None:
    bad = failures
    if stored is None:
        text = f"{failures:,} failed; nothing was stored" if failures else "all compile; nothing was stored"
    else:
        bad += len(stored.refused)
        for one in stored.refused:
            click.echo(f"not stored: {one.id}: {one.message}")
        text = f"stored {stored.created:,} new, {stored.updated:,} changed, {stored.unchanged:,} the same"
        text += f"; {bad:,} failed and were left out" if bad else ""
    click.echo()
    click.echo(click.style(text, fg="red" if bad else "green", bold=True))


def _counted(total: int | None, parts: dict[str, int]) -> str:
    listed = ", ".join(f"{count:,} {name}" for name, count in parts.items())
    if total is None:
        return listed or "-"
    return f"{total:,}" + (f" ({listed})" if listed else "")


def _json(report: ImportReport, checked: CheckReport, stored: "Imported | None") -> JsonObject:
    return {
        "definitions": len(report.definitions),
        "policyTypes": report.policy_types,
        "modes": report.modes,
        "initiatives": len(report.initiatives),
        "assignments": len(report.assignments),
        "compiled": checked.compiled,
        "trees": checked.trees,
        "notEvaluated": checked.not_evaluated,
        "unknownAliases": {alias: list(users) for alias, users in checked.unknown.items()},
        "derivedAliases": {alias: list(users) for alias, users in checked.derived.items()},
        "missingReferences": [
            {"initiative": initiative, "definition": definition}
            for initiative, definition in report.missing_references
        ],
        "duplicates": [{"id": one.id, "kept": one.kept, "dropped": one.dropped} for one in report.duplicates],
        "otherFiles": len(report.skipped),
        "failures": [
            {"file": one.source, "path": one.path, "message": one.message, "hint": one.hint}
            for one in (*report.failures, *checked.failures)
        ],
        "stored": None
        if stored is None
        else {
            "created": stored.created,
            "updated": stored.updated,
            "unchanged": stored.unchanged,
            "refused": [{"id": one.id, "message": one.message} for one in stored.refused],
        },
    }

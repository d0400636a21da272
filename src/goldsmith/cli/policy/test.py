"""`goldsmith policy test`: tables of cases against policies, for people and for CI."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import click

from goldsmith.cli import options
from goldsmith.cli.meter import Meter
from goldsmith.cli.output import print_json, seconds_text
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.files import load_table, read_file
from goldsmith.kernel.errors import Error, NotFoundError
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.testing.engine import Engine
from goldsmith.policy.testing.functions import run_functions
from goldsmith.policy.testing.junit import to_junit
from goldsmith.policy.testing.model import CaseResult, SuiteResult, Table, Verdict
from goldsmith.policy.testing.run import run_table
from goldsmith.policy.testing.vectors import NO_QUARANTINE, FunctionTable, Quarantine, parse_quarantine

_SUFFIXES = (".json", ".yaml", ".yml")
_QUARANTINE = "quarantine.json"
_MARKS = {Verdict.PASSED: ("✔", "green"), Verdict.FAILED: ("✘", "red"), Verdict.EXCLUDED: ("-", "yellow")}


@dataclass(slots=True)
class _Run:
    """`unread` are files that cannot be read or are no table though they look like one, with why."""

    suites: list[SuiteResult] = field(default_factory=list)
    unread: list[tuple[Path, Error]] = field(default_factory=list)
    filtered: int = 0

    @property
    def results(self) -> Iterator[tuple[SuiteResult, CaseResult]]:
        return ((suite, result) for suite in self.suites for result in suite.results)

    def count(self, verdict: Verdict) -> int:
        return sum(suite.count(verdict) for suite in self.suites)

    @property
    def passed(self) -> bool:
        return not self.unread and all(suite.passed for suite in self.suites)


@click.command()
@click.argument("paths", metavar="DIR|FILE", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--filter", "pattern", metavar="TEXT", help="Only cases with this in `table/name` (`*` allowed)."
)
@policy_options.aliases
@click.option(
    "--exclusions",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Cases not to run, with reasons, in the form of a quarantine.json.",
)
@click.option("--coverage", is_flag=True, help="Show which conditions no case has seen true, or false.")
@click.option(
    "--coverage-min",
    metavar="PERCENT",
    type=click.FloatRange(0, 100),
    help="Fail a table whose cases see less of the rule.",
)
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write results as JUnit XML.")
@click.option("--verbose", "-v", is_flag=True, help="Name the cases that passed, too.")
@options.json_output
def command(
    paths: tuple[Path, ...],
    pattern: str | None,
    alias_files: tuple[Path, ...],
    exclusions: tuple[Path, ...],
    coverage: bool,
    coverage_min: float | None,
    junit: Path | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the tables of cases that DIR|FILE are or have below them.

    A table is YAML or JSON with a definition (or rule) and cases; the JSON vectors of the regorus project are
    read as they are, and a quarantine.json beside them is heeded. Exit status 1 when a case fails.

    Example: goldsmith policy test policies --junit report.xml
    """
    engine = Engine(aliases=policy_options.alias_table(alias_files))
    excluded = _exclusions(exclusions)
    ran = _Run()
    files = list(_files(paths))
    with Meter("testing", "cases", quiet=as_json) as meter:
        for number, (path, root) in enumerate(files):
            try:
                table = load_table(path, root=root)
            except Error as error:
                ran.unread.append((path, error))
                continue
            if table is None:
                continue
            suite = _run(_chosen(table, pattern, excluded, ran), engine)
            ran.suites.append(_measured(suite, coverage_min))
            meter.advance(len(suite.results), fraction=(number + 1) / len(files))
        seconds = meter.seconds
    _check_found(ran, paths, pattern)
    if junit is not None:
        write_atomic(junit, to_junit(suite for suite in ran.suites if suite.results).encode())
    if as_json:
        print_json(_json(ran, seconds))
    else:
        _print(ran, seconds, verbose=verbose, coverage=coverage)
    if not ran.passed:
        sys.exit(1)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Each file with the folder that its name is told from."""
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"there is no file or directory {path}", hint="check the path")
        if path.is_file():
            yield path, path.parent
            continue
        for found in sorted(path.rglob("*")):
            if found.suffix in _SUFFIXES and found.name != _QUARANTINE and found.is_file():
                yield found, path


def _exclusions(paths: Sequence[Path]) -> Quarantine:
    reasons: dict[str, str] = {}
    for path in paths:
        reasons |= parse_quarantine(read_file(path)).reasons
    return Quarantine(reasons=reasons) if reasons else NO_QUARANTINE


def _chosen(
    table: Table | FunctionTable, pattern: str | None, excluded: Quarantine, ran: _Run
) -> Table | FunctionTable:
    """The table with the cases that are asked for; what is excluded says why."""

    def wanted(name: str) -> bool:
        if pattern is None:
            return True
        text, sought = f"{table.name}/{name}".lower(), pattern.lower()
        return fnmatchcase(text, f"*{sought}*")

    def why(name: str, before: str | None) -> str | None:
        return before or excluded.reason(table.name, name)

    before = len(table.cases)
    if isinstance(table, FunctionTable):
        table = replace(
            table,
            cases=tuple(
                replace(case, excluded=why(case.name, case.excluded))
                for case in table.cases
                if wanted(case.name)
            ),
        )
    else:
        table = replace(
            table,
            cases=tuple(
                replace(case, excluded=why(case.name, case.excluded))
                for case in table.cases
                if wanted(case.name)
            ),
            # Some of the cases cannot see as much as all of them.
            coverage_min=table.coverage_min if pattern is None else None,
        )
    ran.filtered += before - len(table.cases)
    return table


def _run(table: Table | FunctionTable, engine: Engine) -> SuiteResult:
    return run_functions(table) if isinstance(table, FunctionTable) else run_table(table, engine)


def _measured(suite: SuiteResult, percent: float | None) -> SuiteResult:
    if percent is None or not suite.branches:
        return suite
    return replace(suite, coverage_min=max(percent / 100, suite.coverage_min or 0.0))


def _check_found(ran: _Run, paths: Sequence[Path], pattern: str | None) -> None:
    if ran.unread or any(suite.results for suite in ran.suites):
        return
    where = ", ".join(map(str, paths))
    if ran.filtered:
        raise NotFoundError(
            f"none of the {ran.filtered} cases in {where} has '{pattern}' in its name",
            hint="leave --filter out to see the names: goldsmith policy test --verbose",
        )
    raise NotFoundError(
        f"there is no case table in {where}",
        hint="a table is a .yaml or .json file with 'definition' or 'rule' and 'cases'",
    )


def _print(ran: _Run, seconds: float, *, verbose: bool, coverage: bool) -> None:
    for suite, result in ran.results:
        if result.verdict is Verdict.FAILED or verbose:
            _print_case(suite, result)
    for path, error in ran.unread:
        click.echo(f"{click.style('✘', fg='red')} {click.style(str(path), bold=True)}")
        click.echo(f"    {error.message}")
        if error.hint:
            click.echo(f"    hint: {error.hint}")
    for suite in ran.suites:
        if coverage or suite.too_little_seen:
            _print_coverage(suite)
    _print_excluded(ran)
    parts = [f"{ran.count(Verdict.PASSED)} passed"]
    failed, excluded = ran.count(Verdict.FAILED), ran.count(Verdict.EXCLUDED)
    short = sum(suite.too_little_seen for suite in ran.suites)
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{excluded} excluded"] if excluded else []
    parts += [f"{len(ran.unread)} unreadable"] if ran.unread else []
    parts += [f"{short} with too little coverage"] if short else []
    tables = sum(1 for suite in ran.suites if suite.results)
    text = f"{', '.join(parts)} in {tables} {'table' if tables == 1 else 'tables'} ({seconds_text(seconds)})"
    click.echo(click.style(text, fg="green" if ran.passed else "red", bold=True))


def _print_case(suite: SuiteResult, result: CaseResult) -> None:
    mark, colour = _MARKS[result.verdict]
    click.echo(f"{click.style(mark, fg=colour)} {suite.name}: {click.style(result.name, bold=True)}")
    for problem in result.problems:
        click.echo(f"    {problem}")
    for line in result.explanation.splitlines():
        click.echo(click.style(f"      {line}", dim="not reached" in line))
    if result.problems:
        click.echo()


def _print_coverage(suite: SuiteResult) -> None:
    share = suite.coverage
    if share is None:
        return
    wanted = f", expected {suite.coverage_min:.0%}" if suite.too_little_seen else ""
    colour = "red" if suite.too_little_seen else "green" if share == 1 else "yellow"
    click.echo(f"{suite.name}: " + click.style(f"{share:.0%} of the branches seen{wanted}", fg=colour))
    for branch in suite.branches:
        if branch.missing:
            click.echo(f"    {branch.text}: never {' nor '.join(branch.missing)}  ({branch.at})")


def _print_excluded(ran: _Run) -> None:
    """How many cases are excluded for each reason."""
    reasons: dict[str, int] = {}
    for _, result in ran.results:
        if result.verdict is Verdict.EXCLUDED:
            reasons[result.reason] = reasons.get(result.reason, 0) + 1
    for reason, count in reasons.items():
        click.echo(click.style(f"excluded {count}: {reason}", fg="yellow"))


def _json(ran: _Run, seconds: float) -> JsonObject:
    return {
        "passed": ran.count(Verdict.PASSED),
        "failed": ran.count(Verdict.FAILED),
        "excluded": ran.count(Verdict.EXCLUDED),
        "seconds": round(seconds, 3),
        "unreadable": [
            {"file": str(path), "message": error.message, "hint": error.hint} for path, error in ran.unread
        ],
        "tables": [_suite_json(suite) for suite in ran.suites if suite.results],
    }


def _suite_json(suite: SuiteResult) -> JsonObject:
    return {
        "name": suite.name,
        "coverage": suite.coverage,
        "coverageMin": suite.coverage_min,
        "branches": [
            {"at": each.at, "condition": each.text, "seenTrue": each.seen_true, "seenFalse": each.seen_false}
            for each in suite.branches
        ],
        "cases": [
            {
                "name": result.name,
                "verdict": result.verdict.value,
                "problems": list(result.problems),
                "explanation": result.explanation or None,
                "reason": result.reason or None,
                "seconds": round(result.seconds, 6),
            }
            for result in suite.results
        ],
    }

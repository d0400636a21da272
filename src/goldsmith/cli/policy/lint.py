"""`goldsmith policy lint`: known mistakes in definitions, for people, editors and CI."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import click

from goldsmith.cli.meter import Meter
from goldsmith.cli.output import print_facts
from goldsmith.cli.policy import options as policy_options
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import pretty
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.catalog.items import Kind, items
from goldsmith.policy.catalog.packed import unpacked
from goldsmith.policy.catalog.read import FILE_BYTES_MAX, is_candidate
from goldsmith.policy.catalog.text import decode
from goldsmith.policy.lint.fixes import apply_fixes
from goldsmith.policy.lint.model import Finding, Severity, path_text
from goldsmith.policy.lint.report import to_json
from goldsmith.policy.lint.rules import GROUPS, rules_named
from goldsmith.policy.lint.run import counted, lint_text, unknown_ids
from goldsmith.policy.lint.sarif import to_sarif

_RANKS = {severity: rank for rank, severity in enumerate((Severity.ERROR, Severity.WARNING, Severity.NOTE))}
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_FIX_ROUNDS = 10
_LINES = (".jsonl", ".ndjson", ".jsonlines")


@click.command()
@click.argument("paths", metavar="FILE|DIR", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="text for people and editors, sarif for code scanning.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there, not to the terminal."
)
@click.option(
    "--severity",
    type=click.Choice([severity.value for severity in _RANKS]),
    default=Severity.NOTE.value,
    show_default=True,
    help="Leave out findings that weigh less.",
)
@click.option(
    "--ignore", "ignored", multiple=True, metavar="ID", help="A rule that does not count (repeatable)."
)
@click.option("--strict", is_flag=True, help="Exit status 1 for warnings, too.")
@click.option("--fix", is_flag=True, help="Make the changes that can be made, in the files.")
@click.option("--explain", "explained", metavar="ID", help="Say what a rule means; 'all' lists them.")
@policy_options.aliases
def command(
    paths: tuple[Path, ...],
    format_: str,
    as_json: bool,
    output: Path | None,
    severity: str,
    ignored: tuple[str, ...],
    strict: bool,
    fix: bool,
    explained: str | None,
    alias_files: tuple[Path, ...],
) -> None:
    """Look for known mistakes in the definitions in FILE|DIR (JSON, comments allowed; JSON lines; gzipped).

    Each finding is `file:line:column: severity: message [rule]`, with what to do below it. Rules are ignored
    by their id or that of Azure's own linter, also through metadata.lintIgnore in a definition. Exit status 1
    when there are errors.

    Example: goldsmith policy lint policies --format sarif --output lint.sarif
    """
    if explained is not None:
        _explain(explained)
        return
    if not paths:
        raise click.UsageError("Missing argument 'FILE|DIR...'.")
    if unknown := unknown_ids(ignored):
        raise InvalidInputError(
            f"there is no lint rule '{unknown[0]}'", hint="goldsmith policy lint --explain all lists them"
        )
    format_ = "json" if as_json else format_
    table = policy_options.alias_table(alias_files)
    linted = _Linted()
    files = list(_files(paths))
    with Meter("linting", "files", quiet=format_ != "text" and output is None, total=len(files)) as meter:
        for path, is_named in meter.each(files):
            linted.file(path, aliases=table, ignored=ignored, is_named=is_named, fix=fix)
    found = linted.findings
    shown = [one for one in found if _RANKS[one.severity] <= _RANKS[Severity(severity)]]
    _write(shown, linted.texts, format_=format_, output=output)
    if format_ == "text" or output is not None:
        _tell(shown, files=linted.files, fixed=linted.fixed, output=output)
    counts = counted(found)
    if counts[Severity.ERROR] or (strict and counts[Severity.WARNING]):
        sys.exit(1)


@dataclass(slots=True)
class _Linted:
    """`texts` are those of the files with findings, from which their fixes are made."""

    findings: list[Finding] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    files: int = 0
    fixed: int = 0

    def file(
        self, path: Path, *, aliases: AliasTable, ignored: Sequence[str], is_named: bool, fix: bool
    ) -> None:
        text = _text(path)
        source = str(path)
        if not is_named and not _holds_definitions(path, text):
            return
        self.files += 1
        if path.name.lower().removesuffix(".gz").endswith(_LINES):
            for number, line in enumerate(text.splitlines()):
                if line.strip():
                    found = lint_text(line, aliases=aliases, source=source, ignore=ignored)
                    self.findings += [_further_down(one, number) for one in found]
            return
        found = lint_text(text, aliases=aliases, source=source, ignore=ignored)
        # A fix that meets an earlier one is made in the next round.
        for _ in range(_FIX_ROUNDS if fix and path.suffix.lower() != ".gz" else 0):
            changed, made = apply_fixes(text, found)
            if not made:
                break
            write_atomic(path, changed.encode(), mode=path.stat().st_mode & 0o777)
            self.fixed += made
            text, found = changed, lint_text(changed, aliases=aliases, source=source, ignore=ignored)
        if found:
            self.findings += found
            self.texts[source] = text


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Named files as they are (True); below a folder those that may hold definitions."""
    some = False
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"there is no file or directory {path}", hint="check the path")
        if path.is_file():
            some = True
            yield path, True
            continue
        for found in sorted(path.rglob("*")):
            if found.is_file() and is_candidate(found.name):
                some = True
                yield found, False
    if not some:
        raise NotFoundError(
            f"there are no JSON files in {', '.join(map(str, paths))}", hint="definitions are .json files"
        )


def _text(path: Path) -> str:
    try:
        return decode(unpacked(path.read_bytes(), bytes_max=FILE_BYTES_MAX))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.message}", hint=error.hint) from error


def _holds_definitions(path: Path, text: str) -> bool:
    """Whether a file is meant as one of definitions; one that is no JSON might be."""
    try:
        return any(one.kind in (Kind.DEFINITION, Kind.RULE) for one in items(path.name, text.encode()))
    except InvalidInputError:
        return True


def _further_down(finding: Finding, lines: int) -> Finding:
    at = finding.region
    if at is None:
        return finding
    return replace(finding, region=replace(at, line=at.line + lines, end_line=at.end_line + lines))


def _write(findings: Sequence[Finding], texts: dict[str, str], *, format_: str, output: Path | None) -> None:
    match format_:
        case "json":
            text = pretty(to_json(findings)) + "\n"
        case "sarif":
            named = [replace(one, source=_relative(one.source)) for one in findings]
            sources = {_relative(source): text for source, text in texts.items()}
            body = to_sarif(named, version=version("goldsmith"), texts=sources)
            text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
        case _:
            text = "".join(f"{line}\n" for line in _lines(findings, coloured=output is None))
    if output is not None:
        write_atomic(output, text.encode())
    else:
        click.echo(text, nl=False)


def _lines(findings: Iterable[Finding], *, coloured: bool) -> Iterator[str]:
    def styled(text: str, **style: object) -> str:
        return click.style(text, **style) if coloured else text  # type: ignore[arg-type]  # click's own options

    for one in findings:
        if one.suppression is not None:
            continue
        place = f"{one.source}:{one.region.line}:{one.region.column}" if one.region else one.source
        severity = styled(f"{one.severity.value}:", fg=_COLOURS[one.severity], bold=True)
        yield f"{styled(place, bold=True)}: {severity} {one.message} {styled(f'[{one.rule}]', dim=True)}"
        where = f" ({path_text(one.path)})" if one.path else ""
        yield styled(f"    {one.hint}{'; --fix does it' if one.fix else ''}{where}", dim=True)


def _tell(findings: Sequence[Finding], *, files: int, fixed: int, output: Path | None) -> None:
    counts = counted(findings)
    suppressed = sum(1 for one in findings if one.suppression is not None)
    parts = [
        f"{count} {severity.value}{'' if count == 1 else 's'}" for severity, count in counts.items() if count
    ]
    text = ", ".join(parts) if parts else "no findings"
    text += f" in {files} file{'' if files == 1 else 's'}"
    text += f", {suppressed} ignored" if suppressed else ""
    text += f", {fixed} fixed" if fixed else ""
    text += f", written to {output}" if output is not None else ""
    colour = "red" if counts[Severity.ERROR] else "yellow" if counts[Severity.WARNING] else "green"
    click.echo(click.style(text, fg=colour, bold=True), err=True)


def _explain(name: str) -> None:
    if name == "all":
        for title, rules in GROUPS:
            click.echo(click.style(title, bold=True))
            for rule in rules:
                click.echo(f"  {rule.id:<34} {rule.severity.value:<8} {rule.title}")
        return
    rules = rules_named(name)
    if not rules:
        raise NotFoundError(
            f"there is no lint rule '{name}'", hint="goldsmith policy lint --explain all lists them"
        )
    for number, rule in enumerate(rules):
        if number:
            click.echo()
        facts: list[tuple[str, object]] = [
            ("rule", f"{rule.id}: {rule.title}"),
            ("severity", rule.severity.value),
            ("why", rule.explanation),
            ("what to do", rule.hint),
        ]
        if rule.official:
            facts.append(("Azure's linter", ", ".join(rule.official)))
        print_facts(facts)


def _relative(source: str) -> str:
    """As code scanning wants it: below the working directory, where it is that."""
    try:
        return str(Path(source).resolve().relative_to(Path.cwd()))
    except ValueError:
        return source

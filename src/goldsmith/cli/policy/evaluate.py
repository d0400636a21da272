"""`goldsmith policy evaluate`: exported resources under policies, with no server and no account."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import click

from goldsmith.cli import options
from goldsmith.cli.meter import Meter
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.related_files import RelatedIndex
from goldsmith.cli.policy.resource_files import ResourceFile
from goldsmith.cli.policy.resource_shapes import arm_shape, lacks_properties
from goldsmith.cli.policy.results import CsvWriter, JsonWriter, Summary, TableWriter, Writer
from goldsmith.cli.policy.sources import (
    InForce,
    LeftOut,
    joined,
    packaged_policies,
    put_in_force,
    read_policies,
)
from goldsmith.cli.policy.why import why
from goldsmith.kernel.clock import SystemClock
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.related import RelatedResources, ResourceList, plain_type
from goldsmith.policy.resolving import resolve_operand
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import place_of
from goldsmith.policy.target import Target, target_of
from goldsmith.policy.tree import Always
from goldsmith.policy.verdict import ComplianceState, Settings, evaluate_policies

_GROUPS = ("microsoft.resources/resourcegroups", "microsoft.resources/subscriptions/resourcegroups")
_SUBSCRIPTION = "microsoft.resources/subscriptions"
_SHOWN = 5
_MISSING = re.compile(r"missing the parameter\(s\) '([^']+)'")
_STATES = [state.value.lower() for state in ComplianceState if state is not ComplianceState.NOT_APPLICABLE]


@click.command()
@click.option(
    "--policies",
    "policy_paths",
    multiple=True,
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    help="Definitions, initiatives and assignments (repeatable).",
)
@click.option("--packaged", is_flag=True, help="The definitions that come with the product, too.")
@click.option(
    "--resources",
    "resource_paths",
    multiple=True,
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Exported resources: a list, a page or JSON lines; gzipped or not (repeatable).",
)
@click.option(
    "--assign",
    "names",
    multiple=True,
    metavar="POLICY",
    shell_complete=policy_options.complete_policy,
    help="Only this definition or initiative, by name, id or key (repeatable).",
)
@policy_options.parameters
@click.option("--effect", metavar="EFFECT", help="The effect of every definition that allows it.")
@policy_options.aliases
@click.option("--only", type=click.Choice(_STATES), multiple=True, help="Only verdicts of this state.")
@click.option("--limit", default=100, show_default=True, metavar="N", help="Rows of the table; 0 shows all.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, one line for each verdict.")
@options.json_output
def command(
    policy_paths: tuple[Path, ...],
    packaged: bool,
    resource_paths: tuple[Path, ...],
    names: tuple[str, ...],
    parameters: tuple[str, ...],
    effect: str | None,
    alias_files: tuple[Path, ...],
    only: tuple[str, ...],
    limit: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Judge exported resources by policies, offline.

    Resources are what `az graph query`, `az vm list` and other lists print; `az resource list` leaves the
    properties out. Where the policies have assignments these count, else each definition is assigned at the
    root with its defaults. Exit status 0 when all comply, 3 when one does not (or a rule fails).

    Example: goldsmith policy evaluate --policies policies --resources vms.json --only noncompliant
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    if not (policy_paths or packaged or names):
        raise click.UsageError("Give --policies, --packaged or --assign.")
    table = policy_options.alias_table(alias_files)
    with Meter("reading policies", "files") as meter:
        report = collected(policy_paths, packaged=packaged, meter=meter)
    in_force = put_in_force(
        report, names=names, parameters=policy_options.parameter_values(parameters), effect=effect
    )
    _tell_left_out(in_force, report)
    writer: Writer = (
        CsvWriter() if as_csv else JsonWriter() if as_json else TableWriter(limit=limit, only=only)
    )
    evaluation = _Evaluation(in_force.policies, table, SystemClock().now())
    with Meter("evaluating", "resources") as meter:
        evaluation.run(resource_paths, writer, meter, only=only)
    writer.end(evaluation.summary)
    evaluation.tell_odd()
    if evaluation.summary.found:
        sys.exit(policy_options.EXIT_FOUND)


def collected(paths: Sequence[Path], *, packaged: bool, meter: Meter) -> ImportReport:
    """What the files hold, and with `packaged` what comes with the product."""
    reports = [read_policies(paths, meter=meter)] if paths else []
    return joined(*reports, *([packaged_policies()] if packaged else []))


@dataclass(slots=True)
class Surroundings:
    """What rules see beside the resource: related ones, its resource group, its subscription.

    `absent` are types that policies look up and of which there is no resource.
    """

    related: RelatedResources = field(default_factory=ResourceList)
    containers: dict[str, JsonObject] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def target(self, resource: JsonObject, now: datetime) -> Target:
        place = place_of(str(resource.get("id") or ""))
        group = subscription = None
        if place.subscription is not None:
            id_ = f"/subscriptions/{place.subscription}"
            subscription = self.containers.get(id_.lower()) or {
                "id": id_,
                "subscriptionId": place.subscription,
            }
            if place.group is not None:
                id_ += f"/resourceGroups/{place.group}"
                type_ = "Microsoft.Resources/resourceGroups"
                group = self.containers.get(id_.lower()) or {"id": id_, "name": place.group, "type": type_}
        return target_of(resource, now=now, resource_group=group, subscription=subscription)


def surroundings_of(resources: Iterable[JsonObject], policies: Sequence[AssignedPolicy]) -> Surroundings:
    """What of `resources` the policies may look up."""
    types = _looked_up(policies)
    found = Surroundings()
    related = []
    for resource in resources:
        type_ = _type_of(resource)
        if type_ in _GROUPS or type_ == _SUBSCRIPTION:
            found.containers[str(resource.get("id") or "").rstrip("/").lower()] = resource
        if types is None or type_ in types:
            related.append(resource)
    found.related = RelatedIndex(related)
    met = {_type_of(resource) for resource in related}
    found.absent = tuple(sorted(type_ for type_ in types or () if type_ not in met))
    return found


def needs_surroundings(policies: Sequence[AssignedPolicy]) -> bool:
    """Whether a rule reads more than the resource that is judged."""
    if _looked_up(policies) != frozenset():
        return True
    rules = {id(one.definition): one.definition.policy_rule for one in policies}
    texts = (json.dumps(rule).lower() for rule in rules.values())
    return any("resourcegroup()" in text or "subscription()" in text for text in texts)


class _Evaluation:
    def __init__(self, policies: Sequence[AssignedPolicy], aliases: AliasTable, now: datetime) -> None:
        self._policies = policies
        self._aliases = aliases
        self._now = now
        self._by_type: dict[str, list[AssignedPolicy]] = {}
        self.summary = Summary()
        self._absent: tuple[str, ...] = ()
        # A definition's name, and the first alias in it that no table has.
        self._unknown: dict[str, str] = {}
        self._bare = 0
        self._nameless = 0

    def run(self, paths: Sequence[Path], writer: Writer, meter: Meter, *, only: Sequence[str]) -> None:
        around = Surroundings()
        if needs_surroundings(self._policies):
            around = surroundings_of(self._resources(paths), self._policies)
            self._absent = around.absent
        settings = Settings(
            compiler=Compiler(self._aliases), related=around.related, with_reasons=writer.wants_reasons
        )
        wanted = frozenset(only)
        for number, path in enumerate(paths):
            file = ResourceFile(path)
            for body in file:
                resource = arm_shape(body, self._aliases)
                meter.advance(fraction=(number + file.fraction) / len(paths))
                if not resource.get("id") and not resource.get("type"):
                    self._nameless += 1
                    continue
                self._bare += lacks_properties(resource) and _type_of(resource) not in (
                    *_GROUPS,
                    _SUBSCRIPTION,
                )
                target = around.target(resource, self._now)
                policies = self._about(target.type, settings.compiler)
                verdicts = evaluate_policies(policies, target, settings)
                self.summary.add(verdicts)
                for verdict in verdicts:
                    shown = verdict.state is not ComplianceState.NOT_APPLICABLE
                    if shown and (not wanted or verdict.state.value.lower() in wanted):
                        writer.add(target, verdict, partial(why, verdict, target, settings))
        self.summary.seconds = meter.seconds
        if not self.summary.resources:
            where = ", ".join(map(str, paths))
            problem = "no resource with an id or a type" if self._nameless else "no resources"
            raise InvalidInputError(
                f"there is {problem} in {where}", hint="expected what 'az graph query' or 'az vm list' prints"
            )

    def _about(self, type_: str, compiler: Compiler) -> Sequence[AssignedPolicy]:
        """The policies without those that are certainly about resources of other types."""
        key = type_.lower()
        known = self._by_type.get(key)
        if known is None:
            known = [one for one in self._policies if not self._is_about_others(one, type_, compiler)]
            self._by_type[key] = known
        return known

    def _is_about_others(self, policy: AssignedPolicy, type_: str, compiler: Compiler) -> bool:
        if not policy.definition.evaluated or policy.elsewhere or policy.effect == Effect.DISABLED:
            return False
        try:
            prepared = compiler.prepare(policy, type_)
        except InvalidInputError:
            return False
        applies = prepared.applies
        if applies is False or (isinstance(applies, Always) and not applies.value):
            return True
        if prepared.rule.unknown:
            self._unknown[policy.definition.label] = sorted(prepared.rule.unknown)[0]
            return True
        return False

    def tell_odd(self) -> None:
        """Say what of the input is likely not as it was meant."""
        for name, alias in [*self._unknown.items()][:1]:
            others = f" and {len(self._unknown) - 1} more" if len(self._unknown) > 1 else ""
            _note(
                f"not evaluated: {name}{others} with aliases nobody knows (as {alias}); --aliases adds some"
            )
        if self._absent and self.summary.found:
            types = ", ".join(self._absent[:_SHOWN]) + (", ..." if len(self._absent) > _SHOWN else "")
            _note(f"policies look for resources that are not in the export: {types}")
        if self._bare:
            _note(
                f"{self._bare:,} of {self.summary.resources:,} resources have no properties: "
                "'az resource list' leaves them out, 'az graph query' gives them"
            )
        if self._nameless:
            _note(f"{self._nameless:,} objects have neither id nor type and were passed over")

    def _resources(self, paths: Sequence[Path]) -> Iterator[JsonObject]:
        return (arm_shape(body, self._aliases) for path in paths for body in ResourceFile(path))


def _looked_up(policies: Sequence[AssignedPolicy]) -> frozenset[str] | None:
    """Types, in lower case, of the resources that policies look up; None when that cannot be told."""
    types = set()
    for one in policies:
        rule = one.definition.rule
        if rule is None or one.effect not in (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS):
            continue
        if "type" in rule.lookup:
            try:
                value = resolve_operand(
                    rule.lookup["type"], one.parameters, at="policyRule.then.details.type"
                )
            except InvalidInputError:
                return None
            types.add(plain_type(str(value)).lower())
    return frozenset(types)


def _type_of(resource: Mapping[str, object]) -> str:
    return str(resource.get("type") or place_of(str(resource.get("id") or "")).type).lower()


def _tell_left_out(in_force: InForce, report: ImportReport) -> None:
    """Say what is not evaluated; raises InvalidInputError when nothing is left."""
    for failure in report.failures[:_SHOWN]:
        at = f" at {failure.path}" if failure.path and failure.path not in failure.message else ""
        _note(f"{failure.source}{at}: {failure.message}")
    if (more := len(report.failures) - _SHOWN) > 0:
        _note(f"... and {more} more that cannot be read: goldsmith policy import --check lists them")
    if not in_force.policies:
        first = in_force.left_out[0] if in_force.left_out else None
        raise InvalidInputError(
            "no policy can be evaluated" + (f": {_why(first)}" if first else ""),
            hint=first.error.hint if first else "give files with definitions",
        )
    for left_out in in_force.left_out[:_SHOWN]:
        _note(f"not evaluated: {_why(left_out)}")
    if (more := len(in_force.left_out) - _SHOWN) > 0:
        _note(f"not evaluated: {more} more; --parameters gives values")
    if in_force.kept_effect:
        _note(f"{len(in_force.kept_effect)} policies do not allow the effect and keep theirs")


def _why(left_out: LeftOut) -> str:
    found = _MISSING.search(left_out.error.message)
    return f"{left_out.name} " + (f"needs {found[1]}" if found else f"({left_out.error.message})")


def _note(text: str) -> None:
    click.echo(click.style("note: ", fg="yellow", bold=True) + text, err=True)

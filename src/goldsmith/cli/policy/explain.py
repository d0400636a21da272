"""`goldsmith policy explain`: why a policy judges a resource as it does, at rest and at the door."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from goldsmith.cli import options
from goldsmith.cli.meter import Meter
from goldsmith.cli.output import print_facts, print_json
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.evaluate import Surroundings, surroundings_of
from goldsmith.cli.policy.resource_files import ResourceFile, read_resources
from goldsmith.cli.policy.resource_shapes import arm_shape
from goldsmith.cli.policy.results import styled_state
from goldsmith.cli.policy.sources import named, packaged_policies, put_in_force, read_policies
from goldsmith.cli.policy.tree import tree_lines
from goldsmith.cli.policy.values import value_text
from goldsmith.cli.policy.why import explanation_of, requirements, sentence
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.clock import SystemClock
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject, JsonValue, pretty
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.door import AdmissionRequest, Decision, Denial, DenialKind, RequestKind, Rules, decide
from goldsmith.policy.effects import wire_effect
from goldsmith.policy.explain import Explanation, evaluated_expressions, explain
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.scope import place_of
from goldsmith.policy.target import Target, retargeted, target_of
from goldsmith.policy.testing.table import merge
from goldsmith.policy.verdict import Settings, Verdict, evaluate_policy
from goldsmith.policy.wire.denial import denied_json
from goldsmith.policy.wire.evaluation import explanation_json, policy_evaluation_details

_REQUESTS = ("create", "update", "delete")
_SHOWN = 8


@click.command()
@click.option(
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="FILE|DIR|NAME",
    shell_complete=policy_options.complete_policy,
    help="A file, a folder, or the key, name or id of a packaged policy (repeatable).",
)
@click.option(
    "--resource",
    "resource_path",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The resource as exported; of several, --id says which.",
)
@click.option("--id", "wanted", metavar="NAME|ID", help="Which of the resources in the file.")
@click.option(
    "--related",
    "related_paths",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Resources that look-ups may find, beside those of the resource's own file.",
)
@policy_options.parameters
@click.option("--effect", metavar="EFFECT", help="The effect to explain, if the definition allows it.")
@click.option("--request", type=click.Choice(_REQUESTS), help="Explain the decision about this request.")
@click.option(
    "--body",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What is asked to be stored; of an update, what it changes.",
)
@click.option("--api-version", metavar="VERSION", help="The request's API version (default: the newest).")
@policy_options.aliases
@options.json_output
def command(
    policies: tuple[str, ...],
    resource_path: Path,
    wanted: str | None,
    related_paths: tuple[Path, ...],
    parameters: tuple[str, ...],
    effect: str | None,
    request: str | None,
    body: Path | None,
    api_version: str | None,
    alias_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Explain a verdict condition by condition: field, path, actual and expected value, what was not reached.

    With --request it is the decision at the door, with the body of the 403 that Azure would answer.

    Example: goldsmith policy explain --policy gallery-images-only --resource vm.json --request create
    """
    if body is not None and request is None:
        raise click.UsageError("--body needs --request create or --request update")
    table = policy_options.alias_table(alias_files)
    in_force = _in_force(policies, policy_options.parameter_values(parameters), effect)
    resource = arm_shape(_chosen(resource_path, wanted), table)
    around = surroundings_of(
        (arm_shape(each, table) for each in read_resources((resource_path, *related_paths))), in_force
    )
    if request is not None:
        asked = None if body is None else arm_shape(_only(body), table)
        _explain_request(in_force, resource, asked, request, around, table, api_version, as_json=as_json)
        return
    target = around.target(resource, SystemClock().now())
    explained = [_explained(policy, target, around, Compiler(table)) for policy in in_force]
    if as_json:
        bodies = [_json(verdict, explanation, target) for verdict, explanation in explained]
        print_json(bodies[0] if len(bodies) == 1 else bodies)
        return
    for number, (verdict, explanation) in enumerate(explained):
        if number:
            click.echo()
        _print(verdict, explanation, target)


def _in_force(
    given: Sequence[str], parameters: Mapping[str, JsonValue], effect: str | None
) -> tuple[AssignedPolicy, ...]:
    """Raises the error of the first policy that cannot be put in force."""
    policies: list[AssignedPolicy] = []
    for text in given:
        path = Path(text)
        if path.exists():
            with Meter("reading policies", "files") as meter:
                report = read_policies([path], meter=meter)
            if report.failures:
                failure = report.failures[0]
                at = f" at {failure.path}" if failure.path and failure.path not in failure.message else ""
                raise InvalidInputError(f"{failure.source}{at}: {failure.message}", hint=failure.hint)
            found = put_in_force(report, parameters=parameters, effect=effect)
        else:
            if path.suffix == ".json" or "\\" in text or text.startswith("."):
                raise NotFoundError(f"there is no file {text}", hint="check the path")
            shipped = packaged_policies()
            named(shipped, text)
            found = put_in_force(shipped, names=[text], parameters=parameters, effect=effect)
        for left_out in found.left_out:
            raise left_out.error
        if found.kept_effect:
            raise InvalidInputError(
                f"{found.kept_effect[0]} does not allow the effect '{effect}'",
                hint="leave --effect out, or name one that the definition allows",
            )
        policies += found.policies
    return tuple(policies)


def _chosen(path: Path, wanted: str | None) -> JsonObject:
    """The resource of that id or name in the file; without one, the only one."""
    names: list[str] = []
    found: list[JsonObject] = []
    for resource in ResourceFile(path):
        id_, name = str(resource.get("id") or ""), str(resource.get("name") or "")
        if wanted is not None and wanted.lower() in (id_.lower(), name.lower(), place_of(id_).name.lower()):
            return resource
        found = [*found[:1], resource]
        if len(names) < _SHOWN:
            names.append(name or id_ or "?")
    if wanted is None and len(found) == 1:
        return found[0]
    listed = ", ".join(names) + (", ..." if len(names) == _SHOWN else "")
    if wanted is not None:
        raise NotFoundError(f"there is no resource '{wanted}' in {path}", hint=f"it has {listed or 'none'}")
    if not found:
        raise NotFoundError(f"there is no resource in {path}", hint="expected a resource or a list of them")
    raise InvalidInputError(
        f"{path} has more than one resource, expected --id to say which", hint=f"it has {listed}"
    )


def _only(path: Path) -> JsonObject:
    return _chosen(path, None)


def _explained(
    policy: AssignedPolicy, target: Target, around: Surroundings, compiler: Compiler
) -> tuple[Verdict, Explanation | None]:
    """The verdict, and the tree where there is a rule to explain."""
    settings = Settings(compiler=compiler, related=around.related)
    verdict = evaluate_policy(policy, target, settings)
    return verdict, explanation_of(verdict, target, settings)


def _print(verdict: Verdict, explanation: Explanation | None, target: Target) -> None:
    assigned = verdict.assigned
    click.echo(styled_state(verdict.state.value) + ": " + sentence(verdict, explanation))
    click.echo()
    facts: list[tuple[str, object]] = [
        ("policy", assigned.definition.label),
        ("effect", wire_effect(assigned.effect)),
        ("resource", target.place.id or target.place.name),
        ("type", target.type),
    ]
    shown = {name: value for name, value in assigned.parameters.items() if name.lower() != "effect"}
    if shown:
        facts.append(
            ("parameters", "\n".join(f"{name} = {value_text(value)}" for name, value in shown.items()))
        )
    print_facts(facts)
    if explanation is not None:
        click.echo()
        for line in tree_lines(explanation):
            click.echo(line)


def _json(verdict: Verdict, explanation: Explanation | None, target: Target) -> JsonObject:
    assigned = verdict.assigned
    expressions = () if explanation is None else tuple(evaluated_expressions(explanation.condition))
    return {
        "resourceId": target.place.id,
        "resourceType": target.type,
        "policyDefinitionId": assigned.definition.id,
        "policyDefinitionName": assigned.definition.label,
        "policyDefinitionReferenceId": assigned.reference_id,
        "effect": wire_effect(assigned.effect),
        "complianceState": verdict.state.value,
        "reasonCode": verdict.code.value,
        "reasons": list(verdict.reasons),
        "evaluationDetails": policy_evaluation_details(verdict, expressions),
        "explanation": None if explanation is None else explanation_json(explanation),
    }


def _explain_request(
    policies: Sequence[AssignedPolicy],
    resource: JsonObject,
    body: JsonObject | None,
    request: str,
    around: Surroundings,
    table: AliasTable,
    api_version: str | None,
    *,
    as_json: bool,
) -> None:
    wanted = resource if body is None else body if request == "create" else merge(resource, body)
    if request == "create":
        # The envelope of a PUT's body is in its address.
        own: JsonObject = {
            key: resource[key] for key in ("id", "name", "type", "location") if key in resource
        }
        wanted = {**own, **wanted}
    at_rest = around.target(wanted, SystemClock().now())
    target = target_of(
        wanted,
        now=at_rest.now,
        resource_group=at_rest.resource_group,
        subscription=at_rest.subscription,
        request_context=None if api_version is None else {"apiVersion": api_version},
    )
    kind = RequestKind.DELETE if request == "delete" else RequestKind.WRITE
    if request == "update" and body is not None and set(body) <= {"id", "name", "type", "tags"}:
        kind = RequestKind.TAGS
    compiler = Compiler(table)
    decision = decide(
        AdmissionRequest(target=target, kind=kind, api_version=api_version),
        policies,
        Rules(compiler=compiler),
    )
    if as_json:
        print_json(_decision_json(decision, target))
        return
    _print_decision(decision, target, request, compiler)


def _print_decision(decision: Decision, target: Target, request: str, compiler: Compiler) -> None:
    name = target.place.name or "the resource"
    explained = {
        id(denial): _tree_of(denial, decision.resource, target, compiler) for denial in decision.denials
    }
    if decision.allowed:
        click.echo(
            click.style("allowed", fg="green", bold=True) + f": no policy forbids to {request} {name}."
        )
    for denial in decision.denials:
        tree = explained[id(denial)]
        text = None if tree is None else requirements(tree.condition, wanted=False)
        why = denial.message or (f"{text}." if text else " ".join(denial.reasons))
        label = denial.assigned.definition.label
        click.echo(click.style("denied", fg="red", bold=True) + f' by "{label}": {why}')
    for assigned, change in decision.changes:
        click.echo(f'changed by "{assigned.definition.label}": {change.field} = {value_text(change.value)}')
    for audit in decision.audits:
        click.echo(f'audited by "{audit.assigned.definition.label}": {" ".join(audit.reasons)}')
    for due in decision.due:
        click.echo(f'looked at after success: "{due.assigned.definition.label}"')
    for tree in explained.values():
        if tree is not None:
            click.echo()
            for line in tree_lines(tree):
                click.echo(line)
    if decision.denials:
        click.echo()
        click.echo(click.style("HTTP 403", bold=True))
        click.echo(pretty(denied_json(name, decision.denials)))
    elif decision.changes:
        click.echo()
        click.echo(click.style("stored", bold=True))
        click.echo(pretty(decision.resource))


def _tree_of(denial: Denial, resource: JsonObject, target: Target, compiler: Compiler) -> Explanation | None:
    """The rule as it was seen: after what other policies changed; None when it cannot be evaluated."""
    if denial.kind is DenialKind.CONDITION:
        target = retargeted(target, resource)
    try:
        prepared = compiler.prepare(denial.assigned.at_location(target.location), target.type)
        return explain(prepared, target, compiler=compiler)
    except (EvaluationError, InvalidInputError):
        return None


def _decision_json(decision: Decision, target: Target) -> JsonObject:
    return {
        "allowed": decision.allowed,
        "status": 200 if decision.allowed else 403,
        "response": None if decision.allowed else denied_json(target.place.name, decision.denials),
        "resource": decision.resource,
        "changes": [
            {"policyDefinitionId": assigned.definition.id, "field": change.field}
            for assigned, change in decision.changes
        ],
        "audits": [
            {"policyDefinitionId": audit.assigned.definition.id, "reasons": list(audit.reasons)}
            for audit in decision.audits
        ],
        "evaluatedLater": [due.assigned.definition.id for due in decision.due],
    }

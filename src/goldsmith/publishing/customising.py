"""Customisation: each planned step as a layer, what it installed, and who brought in what."""

import json
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from goldsmith.disk.debs import LockedDeb
from goldsmith.disk.errors import StepFailedError
from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.disk.model import Bind, FileWrite, StepCommand
from goldsmith.imagetemplate.model import File, ImageTemplate
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import Error
from goldsmith.kernel.files import remove_tree, write_atomic
from goldsmith.kernel.json import canonical
from goldsmith.marketplace.model import Capture
from goldsmith.publishing.model import PlannedStep, StepFailure, StepKind
from goldsmith.publishing.packagelists import APT_SETTINGS, PackageLists
from goldsmith.publishing.validation import failed_command, inline_script
from goldsmith.publishing.workshop import Workshop

_DEBS = "/run/goldsmith/debs"
_APT_CONFIG = f"""\
#include "/run/goldsmith/apt.conf";
DPkg::Pre-Install-Pkgs:: "/run/goldsmith/keep-debs";
{APT_SETTINGS}""".encode()
# apt names the packages it is about to install, one file a line (apt.conf(5), DPkg::Pre-Install-Pkgs).
_KEEP_DEBS = f"""\
#!/bin/sh
while read -r deb; do
	cp -n "$deb" {_DEBS}/ || exit 0
done
""".encode()


class CustomizeError(Error):
    """A step failed; `failure` is what `image resume`, `image shell` and the message need."""

    code = "CustomizerFailed"

    def __init__(self, failure: StepFailure, *, template_name: str) -> None:
        super().__init__(
            f"step {failure.index} '{failure.name}' failed: '{failure.command}' ended with "
            f"exit status {failure.exit_status}",
            details=(("last lines", failure.tail), ("log", failure.log)),
            hint=f"repair it, then: goldsmith image resume {template_name}   "
            f"(to look around: goldsmith image shell {template_name})",
        )
        self.failure = failure


def make_layer(
    workshop: Workshop,
    layers: LayerStore,
    template: ImageTemplate,
    base: Capture,
    step: PlannedStep,
    parents: Sequence[Layer],
    *,
    template_name: str,
    log: Path,
    cancel: Cancel,
    on_output: Callable[[bytes], None] | None = None,
) -> Layer:
    """The step's layer, found or made; afterwards the packages it installed are kept and recorded.

    Raises CustomizeError, NoSpaceError, UnsupportedError, and what `cancel.check()` raises.
    """
    why = {"name": step.name, "ingredients": step.ingredients}
    match step.kind:
        case StepKind.FILE | StepKind.TATTOO:
            return layers.add_files(
                step.key,
                base=base.root,
                parents=parents,
                files=_files(workshop, template, step),
                epoch=base.epoch,
                step=why,
                cancel=cancel,
            )
        case StepKind.SHELL | StepKind.SEAL:
            found = layers.find(step.key)
            drop = _drop_directory(workshop, step.key)
            if found is None:
                remove_tree(drop)
                drop.mkdir(parents=True)
                # apt's own unprivileged user looks at the directory too.
                drop.chmod(0o755)
                lists = PackageLists(workshop.state, template_name, layers.sandbox)
                lent = drop.with_suffix(".lists")
                lists.drop(lent)
                command = _command(workshop, step, drop)
                if step.kind is StepKind.SHELL:
                    command = replace(command, binds=(*command.binds, lists.lend(lent)))
                try:
                    found = layers.run(
                        step.key,
                        base=base.root,
                        parents=parents,
                        command=command,
                        log=log,
                        epoch=base.epoch,
                        step=why,
                        cancel=cancel,
                        on_output=on_output,
                    )
                    lists.keep(lent)
                except StepFailedError as error:
                    raise CustomizeError(_failure(step, error), template_name=template_name) from error
                finally:
                    lists.drop(lent)
            _keep_debs(workshop, step.key, drop)
            return found


def debs_of(workshop: Workshop, key: str) -> tuple[LockedDeb, ...]:
    """The packages a step installed with apt; empty when it installed none."""
    try:
        entries = json.loads(_deb_list(workshop, key).read_bytes())
    except FileNotFoundError:
        return ()
    return tuple(LockedDeb(**entry) for entry in entries)


def who_brought(base: Capture, steps: Sequence[tuple[PlannedStep, Layer]]) -> Callable[[str], str]:
    """Names the newest step whose layer has a path, else the base image, else nothing."""

    def name(path: str) -> str:
        relative = posixpath.normpath(path).lstrip("/")
        candidates = [relative]
        if relative.split("/", 1)[0] in ("lib", "bin", "sbin", "lib64"):
            candidates.append(f"usr/{relative}")
        for step, layer in reversed(steps):
            if any(_is_there(layer.diff / candidate) for candidate in candidates):
                return f"step {step.index} ({step.name})"
        if any(_is_there(base.root / candidate) for candidate in candidates):
            return f"the base image {base.identity}"
        return ""

    return name


def _is_there(path: Path) -> bool:
    try:
        return path.is_symlink() or path.exists()
    except OSError:
        return False


def _files(workshop: Workshop, template: ImageTemplate, step: PlannedStep) -> list[FileWrite]:
    if step.kind is StepKind.TATTOO:
        contents: dict[str, str] = step.ingredients["definition"]["files"]
        return [FileWrite(path=path, content=text.encode()) for path, text in sorted(contents.items())]
    action = template.customize[step.index - 1]
    assert isinstance(action, File)
    (content,) = step.inputs
    destination = action.destination
    if destination.endswith("/"):
        destination += content.uri.rstrip("/").rpartition("/")[2]
    mode = step.ingredients["definition"]["mode"]
    return [FileWrite(path=destination, content=workshop.inputs.path(content.digest), mode=mode)]


def _command(workshop: Workshop, step: PlannedStep, drop: Path) -> StepCommand:
    definition = step.ingredients["definition"]
    if step.kind is StepKind.SEAL:
        return StepCommand(script=b"#!/bin/sh\n" + definition["script"].encode())
    script = (
        inline_script(definition["inline"])
        if "inline" in definition
        else workshop.inputs.path(step.inputs[0].digest).read_bytes()
    )
    tools = workshop.state / "tools"
    config, keeper = tools / "debs.conf", tools / "keep-debs"
    if not (config.exists() and config.read_bytes() == _APT_CONFIG):
        write_atomic(config, _APT_CONFIG)
    if not (keeper.exists() and keeper.read_bytes() == _KEEP_DEBS):
        write_atomic(keeper, _KEEP_DEBS, mode=0o755)
    return StepCommand(
        script=script,
        environment={"APT_CONFIG": "/run/goldsmith/debs.conf"},
        network_open=step.network_open,
        binds=(
            Bind(host=config, guest="/run/goldsmith/debs.conf"),
            Bind(host=keeper, guest="/run/goldsmith/keep-debs"),
            Bind(host=drop, guest=_DEBS, read_only=False),
        ),
    )


def _failure(step: PlannedStep, error: StepFailedError) -> StepFailure:
    log = error.log.read_text(errors="replace") if error.log.is_file() else ""
    script = step.inputs[0].uri if step.inputs else "the script"
    return StepFailure(
        index=step.index,
        name=step.name,
        key=step.key,
        command=failed_command(log) or script,
        exit_status=error.returncode,
        tail=error.tail,
        log=str(error.log),
        kept=str(error.kept),
    )


def _drop_directory(workshop: Workshop, key: str) -> Path:
    return workshop.state / "step-debs" / key


def _deb_list(workshop: Workshop, key: str) -> Path:
    return workshop.state / "step-debs" / f"{key}.json"


def _keep_debs(workshop: Workshop, key: str, drop: Path) -> None:
    """Move what the step's apt left into the package store; safe to repeat after a kill."""
    if not drop.is_dir():
        return
    found = [workshop.debs.add(deb) for deb in sorted(drop.glob("*.deb"))]
    if found:
        workshop.debs.sync()
        entries = [{name: getattr(deb, name) for name in LockedDeb.__dataclass_fields__} for deb in found]
        write_atomic(_deb_list(workshop, key), canonical(entries))
    remove_tree(drop)

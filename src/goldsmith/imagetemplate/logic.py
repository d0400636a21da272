"""Decisions about an image template: its steps, what it cannot do here, its digest and its next version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldsmith.imagetemplate.model import (
    Customizer,
    File,
    ImageTemplate,
    OsType,
    PowerShell,
    SharedImageDistributor,
    Shell,
    Validator,
    Versioning,
    VersioningLatest,
    VersioningSource,
    WindowsRestart,
    WindowsUpdate,
)

# The digest is over the wire form, which does not change when the model's classes are renamed.
from goldsmith.imagetemplate.wire import to_wire
from goldsmith.kernel import digest
from goldsmith.kernel.errors import ConflictError, InvalidInputError

# Gallery image versions are three 32-bit numbers.
_NUMBER_MAX = 2**31 - 1

# What a build does is in the properties, except for these: whose it is and when it starts.
_NOT_IN_DIGEST = ("managedResourceTags", "autoRun", "stagingResourceGroup")

_UNSUPPORTED: Mapping[OsType, Mapping[type, str]] = {
    OsType.LINUX: {
        PowerShell: "write the same as a Shell customizer; its commands run as root in /bin/sh",
        WindowsRestart: "remove it: Linux steps need no restart, and validators run on a fresh boot",
        WindowsUpdate: "use a Shell customizer that installs the packages wanted, with their versions",
    },
    OsType.WINDOWS: {Shell: "write the same as a PowerShell customizer"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A customizer or validator in its place: `index` counts from 0, `name` is unique among its list."""

    index: int
    name: str
    action: Customizer


def steps(template: ImageTemplate) -> tuple[Step, ...]:
    """The customizers in order. One without a name is called by type and position, from 1: `shell-1`."""
    return _named(template.customize)


def validation_steps(template: ImageTemplate) -> tuple[Step, ...]:
    """The validators in order, named like `steps`."""
    return _named(template.validate.in_vm_validations)


def refuse_unsupported(template: ImageTemplate, os_type: OsType) -> None:
    """Returns when every step can run on a source of `os_type`.

    Raises InvalidInputError (code `UnsupportedCustomizerType`) otherwise, with a (JSON path, message) pair
    in `details` for each step that cannot.
    """
    refused: list[tuple[str, str, Step]] = []
    for path, noun, listed in (
        ("properties.customize", "customizer", steps(template)),
        ("properties.validate.inVMValidations", "validator", validation_steps(template)),
    ):
        refused += [
            (f"{path}[{step.index}]", noun, step)
            for step in listed
            if type(step.action) in _UNSUPPORTED[os_type]
        ]
    if not refused:
        return
    details = []
    for path, noun, step in refused:
        kind, advice = type(step.action).__name__, _UNSUPPORTED[os_type][type(step.action)]
        what = f"{noun} {step.name!r} is a {kind} {noun}, which cannot run on the {os_type} source"
        details.append((path, f"{what} {template.source}; {advice.replace('customizer', noun)}"))
    path, message = details[0]
    more = f" (the first of {len(details)} such steps)" if len(details) > 1 else ""
    raise InvalidInputError(
        f"{path}: {message}{more}",
        code="UnsupportedCustomizerType",
        hint="change the steps named, or start from a source with the operating system they are for",
        details=details,
    )


def template_digest(template: ImageTemplate) -> str:
    """`sha256:…` over what the template builds and where it goes.

    Equal for JSON and YAML, any order of keys, any comments, defaults written out or left out, and whatever
    the name, location, tags, identity, api-version, staging group and autoRun are.
    """
    properties = to_wire(template)["properties"]
    return digest.of_value({key: part for key, part in properties.items() if key not in _NOT_IN_DIGEST})


def network_open(template: ImageTemplate) -> bool:
    """Whether steps may reach the network: only when the template names the subnet they use for it."""
    return template.vm_profile.vnet_config.subnet_id is not None


def referenced_uris(template: ImageTemplate) -> tuple[str, ...]:
    """Every sourceUri and scriptUri of the template, steps first, in order, without repeats."""
    uris: dict[str, None] = {}
    for step in (*steps(template), *validation_steps(template)):
        match step.action:
            case File(source_uri=uri):
                uris[uri] = None
            case Shell(script_uri=str() as uri) | PowerShell(script_uri=str() as uri):
                uris[uri] = None
            case _:
                pass
    if template.optimize.workload.script_uri is not None:
        uris[template.optimize.workload.script_uri] = None
    return tuple(uris)


def explicit_version(distributor: SharedImageDistributor) -> str | None:
    """`1.2.3` of a galleryImageId that ends in `/versions/1.2.3`; None for an image definition."""
    head, _, version = distributor.gallery_image_id.rpartition("/")
    return version if head.lower().endswith("/versions") else None


def version_to_publish(
    distributor: SharedImageDistributor, existing: Sequence[str], *, source_version: str
) -> str:
    """The version the distributor publishes, given the definition's existing ones.

    Raises ConflictError when the template names a version that exists.
    """
    version = explicit_version(distributor)
    if version is None:
        return next_version(existing, distributor.versioning, source_version)
    if _numbers(version) in [_numbers(other) for other in existing]:
        raise ConflictError(
            f"image version {distributor.gallery_image_id} exists already, and versions never change",
            code="ImageVersionExists",
            hint="name another version, or end galleryImageId after the definition to have one generated",
        )
    return ".".join(str(number) for number in _numbers(version))


def next_version(existing: Sequence[str], versioning: Versioning | None, source_version: str) -> str:
    """The version number that `versioning` (None: Latest) gives next, as `major.minor.patch`.

    Latest: one patch above the highest version, among those of `major` when that is set. With none to be
    above: `0.0.1`, or `{major}.0.0` (`0.0.1` for major 0). Source: the first three numbers of the source
    image's version; while that is taken, one patch more, so that a rebuild from the same source is published.

    Raises InvalidInputError when a version is not made of numbers, ConflictError when the numbers run out.
    """
    taken = {_numbers(version) for version in existing}
    match versioning:
        case VersioningSource():
            candidate = _numbers(source_version)
            while candidate in taken:
                candidate = _above(candidate)
        case VersioningLatest(major=int() as major):
            same = [version for version in taken if version[0] == major]
            candidate = _above(max(same)) if same else (major, 0, 0 if major else 1)
        case _:
            candidate = _above(max(taken)) if taken else (0, 0, 1)
    return ".".join(str(number) for number in candidate)


def _named(actions: Sequence[Customizer | Validator]) -> tuple[Step, ...]:
    taken = {action.name for action in actions}
    named = []
    for index, action in enumerate(actions):
        name = action.name or f"{type(action).__name__.lower()}-{index + 1}"
        # Somebody may have given another step the very name this one would get.
        while action.name is None and name in taken:
            name += "-unnamed"
        named.append(Step(index=index, name=name, action=action))
    return tuple(named)


def _above(version: tuple[int, int, int]) -> tuple[int, int, int]:
    major, minor, patch = version
    if patch < _NUMBER_MAX:
        return major, minor, patch + 1
    if minor < _NUMBER_MAX:
        return major, minor + 1, 0
    raise ConflictError(
        f"no version number is left above {major}.{minor}.{patch}",
        hint="set versioning.major to a higher major version",
    )


def _numbers(version: str) -> tuple[int, int, int]:
    parts = version.split(".")
    well_formed = len(parts) >= 3 and all(
        part.isascii() and part.isdigit() and len(part) <= 10 and int(part) <= _NUMBER_MAX
        for part in parts[:3]
    )
    if not well_formed:
        raise InvalidInputError(
            f"version {version!r} does not begin with three numbers up to {_NUMBER_MAX}, such as 1.2.3",
            hint="use versioning scheme Latest, or name the version in galleryImageId",
        )
    return int(parts[0]), int(parts[1]), int(parts[2])

"""Image templates as JSON: `Microsoft.VirtualMachineImages/imageTemplates`, api-version 2025-10-01."""

from goldsmith.imagetemplate.fields import (
    API_VERSION_DEFAULT,
    API_VERSION_STRICT,
    API_VERSIONS,
    TEMPLATE,
)
from goldsmith.imagetemplate.model import ImageTemplate
from goldsmith.imagetemplate.reader import Findings, nearest, read_record, sentence, write_record
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject


def parse_template(
    document: JsonObject, *, source_name: str, api_version: str | None = None
) -> ImageTemplate:
    """The template a document describes; `source_name` (a file, a resource id) is for messages.

    `api_version` (of the request that brought the document) goes before the document's own `apiVersion`;
    with neither, the newest. From 2024-02-01 on unknown fields are problems, before it they are warnings.
    Members that only the service writes are dropped.

    Raises InvalidInputError (code `ValidationFailed`) with every problem of the document in `details`, as
    (JSON path, message) pairs.
    """
    stated = document.get("apiVersion") if isinstance(document, dict) else None
    version = api_version or stated or API_VERSION_DEFAULT
    if version not in API_VERSIONS:
        raise _unknown_api_version(version, source_name)
    findings = Findings(unknown_fields_are_problems=version >= API_VERSION_STRICT)
    attributes = read_record(TEMPLATE, document, findings=findings)
    if attributes is None:
        raise _invalid(findings, source_name)
    attributes.pop("type", None)
    attributes["api_version"] = version
    attributes["warnings"] = tuple(sentence(*warning) for warning in findings.warnings)
    return ImageTemplate(**attributes)


def to_wire(template: ImageTemplate) -> JsonObject:
    """The document that `parse_template` reads as the same template."""
    return write_record(TEMPLATE, template)


def _unknown_api_version(version: object, source_name: str) -> InvalidInputError:
    known = ", ".join(API_VERSIONS)
    message = f"{source_name} asks for api-version {version!r}, expected one of {known}"
    close = nearest(version, API_VERSIONS) if isinstance(version, str) else None
    return InvalidInputError(
        message,
        code="ValidationFailed",
        hint=f"write apiVersion: '{close or API_VERSION_DEFAULT}', in quotes, or leave it out",
        details=[("apiVersion", f"has the value {version!r}, expected one of {known}")],
    )


def _invalid(findings: Findings, source_name: str) -> InvalidInputError:
    count = len(findings.problems)
    more = f" (the first of {count} problems)" if count > 1 else ""
    return InvalidInputError(
        f"{source_name} is not a valid image template: {sentence(*findings.problems[0])}{more}",
        code="ValidationFailed",
        hint="correct the fields named; the reference page of the image template lists every field",
        details=findings.problems,
    )

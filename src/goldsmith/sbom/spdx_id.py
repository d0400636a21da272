"""Identifiers of SPDX elements: readable, stable between builds, never the same for two things."""

import hashlib
import re

from goldsmith.sbom.model import BootFile, LanguagePackage, Package, SourceVersion, UnownedFile

DOCUMENT_ID = "SPDXRef-DOCUMENT"
IMAGE_ID = "SPDXRef-Image"
BASE_ID = "SPDXRef-Base"
BOOT_ID = "SPDXRef-BootFiles"
FILES_ID = "SPDXRef-UnpackagedFiles"

# SPDX 2.3, section 3.2: letters, digits, `.` and `-`.
_OTHER = re.compile(r"[^A-Za-z0-9.-]")


def package_id(package: Package) -> str:
    """The same in every version of an image, so that documents can be compared."""
    return spdx_id("deb", package.name, package.architecture)


def source_id(source: SourceVersion) -> str:
    return spdx_id("source", source.name, source.version)


def language_id(package: LanguagePackage) -> str:
    return spdx_id(package.ecosystem, package.name, package.version, package.path)


def file_id(file: BootFile | UnownedFile) -> str:
    return spdx_id("file", file.path)


def spdx_id(kind: str, *words: str) -> str:
    """`SPDXRef-kind-word-word`; a digest is added where writing it so could make two things one."""
    plain = "-".join(words)
    text = _OTHER.sub("-", plain)
    simple = kind == "deb" and text == plain and not any("-" in word for word in words[1:])
    if simple:
        return f"SPDXRef-{kind}-{text}"
    identity = "\0".join(words).encode(errors="surrogateescape")
    suffix = hashlib.sha256(identity).hexdigest()[:12]
    return f"SPDXRef-{kind}-{text[-80:].strip('-.')}-{suffix}"

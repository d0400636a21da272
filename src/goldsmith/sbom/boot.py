"""Which files take part in booting."""

import re

from goldsmith.sbom.model import BootRole

# Only these directories are looked at, so that the boot files are found without a walk of the whole root.
DIRECTORIES = ("boot", "efi", "usr/lib/grub", "usr/lib/shim", "usr/lib/systemd/boot/efi")
_PREFIXES = tuple(f"{directory}/" for directory in DIRECTORIES)

_KERNEL = re.compile(r"vmlinu[xz](?:-(.+))?")
_INITRD = re.compile(r"(?:initrd|initramfs)(?:\.img)?(?:-(.+?))?(?:\.img)?")
_EFI = re.compile(r"(.+)\.efi(?:\.signed)?", re.IGNORECASE)
_GRUB_IMAGE = re.compile(r"(?:boot|core)\.img")


def boot_role(path: str) -> tuple[BootRole, str] | None:
    """The role and kernel release of a file (path relative to the root), None when it boots nothing."""
    if not path.startswith(_PREFIXES):
        return None
    directory, _, name = path.rpartition("/")
    if directory == "boot":
        if match := _KERNEL.fullmatch(name):
            return BootRole.KERNEL, match[1] or ""
        if match := _INITRD.fullmatch(name):
            return BootRole.INITRD, match[1] or ""
    # Modules GRUB could load from below usr/lib/grub are material for its image, not boot files themselves.
    if _GRUB_IMAGE.fullmatch(name) and directory.startswith("boot/grub"):
        return BootRole.GRUB, ""
    match = _EFI.fullmatch(name)
    if match is None or (directory.startswith("usr/lib/grub/") and not directory.endswith("-signed")):
        return None
    stem = match[1].lower()
    if stem.startswith(("shim", "fb", "mm")):
        return BootRole.SHIM, ""
    if stem.startswith(("grub", "gcd")):
        return BootRole.GRUB, ""
    # The Boot Loader Specification keeps unified kernel images in EFI/Linux.
    if directory.lower().endswith("efi/linux"):
        return BootRole.KERNEL, match[1]
    return BootRole.EFI_PROGRAM, ""

"""The programs and firmware this project uses, and where distributions put them: a table, no code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """`package` is Debian's and Ubuntu's name; `version_arguments` empty: the version is not asked."""

    program: str
    package: str
    purpose: str
    without: str
    version_arguments: tuple[str, ...] = ()


NEEDS: tuple[Need, ...] = (
    Need(
        program="qemu-system-x86_64",
        package="qemu-system-x86",
        purpose="boots images for validation",
        without="images are built but never booted",
        version_arguments=("--version",),
    ),
    Need(
        program="qemu-img",
        package="qemu-utils",
        purpose="converts disk images and makes throw-away layers for boots",
        without="only raw and fixed VHD images are read and written, and nothing boots",
        version_arguments=("--version",),
    ),
    Need(
        program="swtpm",
        package="swtpm",
        purpose="is the TPM of a machine under Trusted Launch",
        without="machines boot without a TPM, so no boot measurements are recorded",
        version_arguments=("--version",),
    ),
    Need(
        program="swtpm_setup",
        package="swtpm-tools",
        purpose="makes a fresh TPM with its endorsement key certificate",
        without="machines boot without a TPM, so no boot measurements are recorded",
    ),
    Need(
        program="mmdebstrap",
        package="mmdebstrap",
        purpose="captures a base from the machine's configured package mirror",
        without="bases are captured from existing disk images only",
        version_arguments=("--version",),
    ),
    Need(
        program="apt-get",
        package="apt",
        purpose="reads the machine's configured package mirror",
        without="bases are captured from existing disk images only",
        version_arguments=("--version",),
    ),
    Need(
        program="bwrap",
        package="bubblewrap",
        purpose="runs customizers closed off from the host",
        without="no image template can be customised",
        version_arguments=("--version",),
    ),
    Need(
        program="mke2fs",
        package="e2fsprogs",
        purpose="writes the root file system of an image",
        without="no disk image can be assembled",
        version_arguments=("-V",),
    ),
    Need(
        program="debugfs",
        package="e2fsprogs",
        purpose="reads files out of a disk image without mounting it",
        without="existing disk images cannot be captured without root",
    ),
    Need(
        program="mkfs.vfat",
        package="dosfstools",
        purpose="writes EFI system partitions and seed disks",
        without="no disk image can be assembled",
    ),
    Need(
        program="mcopy",
        package="mtools",
        purpose="fills EFI system partitions and seed disks without mounting them",
        without="no disk image can be assembled",
    ),
    Need(
        program="unshare",
        package="util-linux",
        purpose="gives each build mounts and processes of its own",
        without="no image template can be captured or customised",
        version_arguments=("--version",),
    ),
    Need(
        program="setpriv",
        package="util-linux",
        purpose="ends the programs of a build when the build is killed",
        without="a killed build may leave programs running",
    ),
    Need(
        program="newuidmap",
        package="uidmap",
        purpose="maps the user ids of an image when building without root",
        without="images are built as root only",
    ),
    Need(
        program="newgidmap",
        package="uidmap",
        purpose="maps the group ids of an image when building without root",
        without="images are built as root only",
    ),
    Need(
        program="ssh",
        package="openssh-client",
        purpose="logs in to booted images",
        without="'goldsmith image boot' cannot open a shell",
        version_arguments=("-V",),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareCandidate:
    code: str
    vars: str
    secure_boot: bool
    format: str = "raw"


# Newest layout first. A store with enrolled keys (`.ms`, `.secboot`) is what makes it Secure Boot.
FIRMWARE: tuple[FirmwareCandidate, ...] = (
    FirmwareCandidate(
        code="/usr/share/OVMF/OVMF_CODE_4M.ms.fd", vars="/usr/share/OVMF/OVMF_VARS_4M.ms.fd", secure_boot=True
    ),
    FirmwareCandidate(
        code="/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
        vars="/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
        secure_boot=True,
    ),
    FirmwareCandidate(
        code="/usr/share/OVMF/OVMF_CODE.ms.fd", vars="/usr/share/OVMF/OVMF_VARS.ms.fd", secure_boot=True
    ),
    FirmwareCandidate(
        code="/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.qcow2",
        vars="/usr/share/edk2/ovmf/OVMF_VARS_4M.secboot.qcow2",
        secure_boot=True,
        format="qcow2",
    ),
    FirmwareCandidate(
        code="/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
        vars="/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd",
        secure_boot=True,
    ),
    FirmwareCandidate(
        code="/usr/share/OVMF/OVMF_CODE_4M.fd", vars="/usr/share/OVMF/OVMF_VARS_4M.fd", secure_boot=False
    ),
    FirmwareCandidate(
        code="/usr/share/OVMF/OVMF_CODE.fd", vars="/usr/share/OVMF/OVMF_VARS.fd", secure_boot=False
    ),
    FirmwareCandidate(
        code="/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2",
        vars="/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2",
        secure_boot=False,
        format="qcow2",
    ),
    FirmwareCandidate(
        code="/usr/share/edk2/ovmf/OVMF_CODE.fd", vars="/usr/share/edk2/ovmf/OVMF_VARS.fd", secure_boot=False
    ),
    FirmwareCandidate(
        code="/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        vars="/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        secure_boot=False,
    ),
)
FIRMWARE_PACKAGE = "ovmf"

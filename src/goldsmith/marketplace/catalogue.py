"""The offers there are: Debian's stable releases as cloud bases for UEFI machines."""

from goldsmith.marketplace.model import Offer, Sku

# Both releases carry these names; what differs lies behind their dependencies.
_CLOUD_PACKAGES = (
    "apt",
    *("systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "systemd-resolved"),
    *("linux-image-cloud-amd64", "initramfs-tools", "zstd"),
    *("shim-signed", "grub-efi-amd64-signed", "grub-efi-amd64-bin", "mokutil", "efibootmgr"),
    *("openssh-server", "cloud-init", "qemu-guest-agent"),
    *("netplan.io", "iproute2", "ca-certificates", "sudo"),
)


def _debian(version: int, codename: str) -> Offer:
    return Offer(
        publisher="Debian",
        name=f"debian-{version}",
        description=f"Debian {version} ({codename})",
        codename=codename,
        skus=(
            Sku(
                name=f"{version}-gen2",
                aliases=(str(version),),
                description=f"Debian {version} for UEFI machines, Secure Boot capable",
                architecture="x64",
                hyper_v_generation="V2",
                packages=_CLOUD_PACKAGES,
            ),
        ),
    )


OFFERS: tuple[Offer, ...] = (_debian(12, "bookworm"), _debian(13, "trixie"))

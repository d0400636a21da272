"""What a step sees around its root: environment, name resolution, apt's settings; pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GUEST_DIRECTORY = "run/goldsmith"
HOST_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Places that are empty and the step's own, and those the sandbox fills.
TEMPORARY = ("run", "tmp")
PROVIDED = ("proc", "sys", "dev", *TEMPORARY)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
POLICY_SCRIPT = (
    b"#!/bin/sh\n# No service is started while an image is built (invoke-rc.d: 101 forbids it).\nexit 101\n"
)
_PROXY_NAMES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_APT_PASSED = (
    *("Acquire::http::", "Acquire::https::", "Acquire::ftp::", "Acquire::Retries", "Acquire::Force"),
    *("Acquire::Check-Valid-Until", "Acquire::Max-", "Acquire::Queue-Mode", "Acquire::By-Hash"),
)
# Files of the host that would not exist in the guest; the bundle of certificates is bound and named anew.
_APT_NOT_PASSED = (
    "::CAInfo",
    "::CAPath",
    "::SslCert",
    "::SslKey",
    "::Proxy-Auto-Detect",
    "::ProxyAutoDetect",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A host path shown at `target` (relative to the root, symbolic links of the guest already followed)."""

    source: str
    target: str
    read_only: bool


def step_environment(
    own: Mapping[str, str], *, epoch: int, network_open: bool, host: Mapping[str, str]
) -> dict[str, str]:
    """All that a step finds in its environment; `own` wins, the host's proxies come with the network."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "DEBIAN_FRONTEND": "noninteractive",
        "SOURCE_DATE_EPOCH": str(epoch),
        # systemctl and package scripts then change files only and ask no running manager.
        "SYSTEMD_OFFLINE": "1",
        "APT_CONFIG": f"/{GUEST_DIRECTORY}/apt.conf",
    }
    if network_open:
        for name in _PROXY_NAMES:
            for spelling in (name, name.upper()):
                if host.get(spelling):
                    environment[spelling] = host[spelling]
    return environment | dict(own)


def apt_configuration(host_dump: str, *, network_open: bool, ca_bundle: bool) -> str:
    """apt.conf for a step: no files that differ from run to run, and the host's way to its mirror.

    `host_dump` is what `apt-config dump` printed on the host.
    """
    lines = [
        'Acquire::Languages "none";',
        'Acquire::GzipIndexes "true";',
        # Unpacking xz takes three times as long as fetching the larger gz from a mirror close by.
        'Acquire::CompressionTypes::Order:: "gz";',
        # Not in the layer, and yet there for the next apt command of the step.
        f'Dir::Cache::pkgcache "/{GUEST_DIRECTORY}/pkgcache.bin";',
        f'Dir::Cache::srcpkgcache "/{GUEST_DIRECTORY}/srcpkgcache.bin";',
        'APT::Keep-Downloaded-Packages "true";',
        'Binary::apt::APT::Keep-Downloaded-Packages "true";',
        'Dpkg::Options:: "--force-unsafe-io";',
    ]
    if network_open:
        lines += [line for line in host_dump.splitlines() if _passed(line)]
        if ca_bundle:
            lines.append(f'Acquire::https::CAInfo "/{GUEST_DIRECTORY}/ca-certificates.crt";')
    return "\n".join(lines) + "\n"


def shell_line(script: bytes | None, argv: Sequence[str]) -> list[str]:
    """The command line, inside the guest, of a step with this script (at run/goldsmith/step) or argv."""
    if script is None:
        return list(argv)
    place = f"/{GUEST_DIRECTORY}/step"
    if script.startswith(b"#!"):
        first = script.split(b"\n", 1)[0][2:].decode(errors="surrogateescape").strip()
        # As the kernel does it: the program, and all the rest as one argument.
        return [*first.split(None, 1), place]
    return ["/bin/sh", "-e", place]


def bubblewrap_argv(
    root: Path, mounted: Sequence[Mounted], *, network_open: bool, capabilities: Sequence[str]
) -> list[str]:
    """bwrap and its options; what is to run comes after."""
    argv = [
        "bwrap",
        "--bind",
        str(root),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--ro-bind",
        "/sys",
        "/sys",
    ]
    argv += ["--perms", "0755", "--tmpfs", "/run", "--perms", "1777", "--tmpfs", "/tmp"]
    made: set[str] = set()
    for item in mounted:
        if item.target.split("/", 1)[0] in TEMPORARY:
            # Parents that bwrap makes by itself have mode 0700, which apt's own user cannot pass.
            for folder in _parents(item.target):
                if folder not in made:
                    argv += ["--perms", "0755", "--dir", f"/{folder}"]
                    made.add(folder)
        argv += ["--ro-bind" if item.read_only else "--bind", item.source, f"/{item.target}"]
    argv += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "build", "--die-with-parent"]
    if not network_open:
        argv.append("--unshare-net")
    argv += ["--cap-drop", "ALL"]
    for name in capabilities:
        argv += ["--cap-add", name]
    return [*argv, "--chdir", "/", "--"]


def hosts_matter(hosts: str) -> bool:
    """Whether the host's /etc/hosts names anything but the machine itself."""
    for line in hosts.splitlines():
        words = line.partition("#")[0].split()
        if words and not words[0].startswith(("127.", "::1", "fe00:", "ff00:", "ff02:")):
            return True
    return False


def _passed(line: str) -> bool:
    name = line.partition(" ")[0]
    value = line.partition('"')[2]
    wanted = name.startswith(_APT_PASSED) and not any(word in name for word in _APT_NOT_PASSED)
    return wanted and value not in ("", '";')


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]

"""The seal: what makes a customised root fit for many machines, and equal from build to build."""

# Runs inside the root as its last step, in /bin/sh, with no network.
# Each line removes either an identity (two machines must not share it) or a trace of this run
# (time, order or host, which would make two builds differ).
SEAL_SCRIPT = """\
set -eu

# identities: made again at first boot
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem
rm -f /var/lib/dhcp/*.leases /var/lib/NetworkManager/*.lease

# package manager: lists, archives, logs, old copies of databases
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/lib/apt/extended_states-old
rm -rf /var/log/apt /var/log/journal/* /var/log/installer
rm -f /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log /var/log/fontconfig.log
rm -f /var/cache/ldconfig/aux-cache /var/lib/systemd/catalog/database
find /var/log -type f \\( -name '*.gz' -o -name '*.[0-9]' \\) -delete
find /var/log -type f -exec truncate -s 0 {} +

# work and shells
find /tmp /var/tmp -mindepth 1 -delete
rm -f /root/.bash_history /root/.wget-hsts /root/.lesshst /root/.viminfo
find /home -maxdepth 2 -name '.bash_history' -delete
mkdir -p /boot/efi /boot/grub
"""

TATTOO_PATH = "/etc/goldsmith/tattoo"

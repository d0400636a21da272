# Run by the bootstrap with the root directory as $1, after the last package is configured:
# makes the tree clean, equal from run to run, and ready to boot. A part whose package is absent is left out.
root=$1

# What the bootstrap itself needed and an image must not keep (unsafe I/O, no recommends).
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*

# Made per machine, never shipped.
rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
rm -f "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret
rm -f "$root"/var/lib/dbus/machine-id
if [ -d "$root/etc/systemd" ]; then
    : > "$root/etc/machine-id"
    chmod 444 "$root/etc/machine-id"
fi

if [ -x "$root/usr/sbin/sshd" ]; then
    # Debian's own unit for this asks for a first boot, which an empty machine-id is not.
    # After cloud-init, which may write keys of its own: only missing ones are made.
    cat > "$root/etc/systemd/system/ssh-host-keys.service" <<'UNIT'
[Unit]
Description=Generate missing SSH host keys
After=cloud-init.service cloud-init-network.service
Before=ssh.service
ConditionPathExists=|!/etc/ssh/ssh_host_rsa_key
ConditionPathExists=|!/etc/ssh/ssh_host_ecdsa_key
ConditionPathExists=|!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
UNIT
    chroot "$root" systemctl enable ssh-host-keys.service
fi

if [ -d "$root/etc/cloud/cloud.cfg.d" ]; then
    # Without the package locales the locale module can only fail.
    cat > "$root/etc/cloud/cloud.cfg.d/90-image.cfg" <<'CLOUD'
locale: false
system_info:
  network:
    renderers: [netplan, networkd]
CLOUD
fi

if [ -e "$root/usr/lib/systemd/systemd-networkd" ] || [ -e "$root/lib/systemd/systemd-networkd" ]; then
    # The last of all names: whatever cloud-init or netplan writes comes before it.
    cat > "$root/etc/systemd/network/99-default-dhcp.network" <<'NETWORK'
[Match]
Name=e*

[Network]
DHCP=yes

[DHCPv4]
UseDomains=yes
NETWORK
    chroot "$root" systemctl enable systemd-networkd.service
fi
if [ -e "$root/usr/lib/systemd/systemd-resolved" ] || [ -e "$root/lib/systemd/systemd-resolved" ]; then
    chroot "$root" systemctl enable systemd-resolved.service
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
else
    rm -f "$root/etc/resolv.conf"
fi
# These came with the modes of the host's own.
rm -f "$root/etc/hostname" "$root/etc/hosts"
printf 'localhost\n' > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"

# Caches and logs: they hold the time of this run, or are made again when needed.
find "$root/var/log" -type f -delete
rm -rf "$root"/var/log/bootstrap.log "$root"/var/log/journal/*
rm -f "$root"/var/cache/ldconfig/aux-cache "$root"/var/lib/systemd/catalog/database
rm -f "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/etc/*-
rm -rf "$root"/var/lib/cloud/* "$root"/var/tmp/* "$root"/root/.bash_history
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*
mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial"

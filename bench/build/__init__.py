"""From a captured base to a bootable, and to a boot-tested, disk: ours, virt-customize and packer."""

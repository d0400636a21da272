set -e
printf 'kernel.kptr_restrict = 2\nkernel.dmesg_restrict = 1\nnet.ipv4.conf.all.rp_filter = 1\n' \
	> /etc/sysctl.d/90-hardening.conf
mkdir -p /etc/ssh/sshd_config.d
printf 'PasswordAuthentication no\nX11Forwarding no\nMaxAuthTries 3\n' > /etc/ssh/sshd_config.d/90-hardening.conf

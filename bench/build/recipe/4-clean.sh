set -e
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
rm -f /etc/ssh/ssh_host_*_key* /var/lib/systemd/random-seed
: > /etc/machine-id

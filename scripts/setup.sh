#!/bin/sh
# Install what Goldsmith needs and is not there yet: OS packages with apt, Python packages in a virtual environment.
# Usage: setup.sh run|dev|bench      Asks nothing; says what it does; does nothing when all is in place.
set -eu
what=${1:-run}
venv=${VENV:-.venv}

run_packages="qemu-system-x86 qemu-utils ovmf swtpm swtpm-tools mmdebstrap bubblewrap mtools dosfstools
 e2fsprogs uidmap debian-archive-keyring gpgv openssh-client"
dev_packages="$run_packages postgresql postgresql-client sbsigntool openssl gnupg procps iproute2"
bench_packages="$dev_packages packer libguestfs-tools guestfsd linux-image-cloud-amd64 xorriso"
case $what in
run) packages=$run_packages ;;
dev) packages=$dev_packages ;;
bench) packages=$bench_packages ;;
*)
	echo "setup.sh: unknown set '$what'; expected run, dev or bench" >&2
	exit 2
	;;
esac

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# --- OS packages
if command -v dpkg-query >/dev/null 2>&1; then
	missing=
	for package in $packages; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
	done
	if [ -n "$missing" ]; then
		if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
			echo "setup: these packages are missing and this user may not install them:$missing" >&2
			echo "setup: as an administrator run: apt-get install --no-install-recommends$missing" >&2
			exit 1
		fi
		echo "setup: installing OS packages:$missing"
		log=$(mktemp)
		if ! { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get -q -y --no-install-recommends install $missing; } >"$log" 2>&1 </dev/null; then
			tail -n 20 "$log" >&2
			echo "setup: apt-get failed; the whole log is $log" >&2
			exit 1
		fi
		rm -f "$log"
	fi
else
	echo "setup: no dpkg here; install the equivalents of: $packages" >&2
fi

# --- a Python of 3.11 or newer
python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
	if command -v "$candidate" >/dev/null 2>&1 &&
		"$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		python=$candidate
		break
	fi
done
if [ -z "$python" ]; then
	echo "setup: no Python 3.11 or newer was found; install one (apt-get install python3 python3-venv)" >&2
	exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
	echo "setup: installing python3-venv"
	as_root apt-get -q update >/dev/null
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install python3-venv >/dev/null
fi

# --- Python packages, pinned by requirements/*.txt; the stamp holds what was installed
case $what in run) extra= ;; dev) extra="[dev]" ;; bench) extra="[dev,bench]" ;; esac
stamp=$venv/.goldsmith-setup
wanted=$(cat pyproject.toml requirements.txt | cksum)
have=$(cat "$stamp" 2>/dev/null || true)
case $have in
"$wanted bench") level=3 ;;
"$wanted dev") level=2 ;;
"$wanted run") level=1 ;;
*) level=0 ;;
esac
case $what in run) need=1 ;; dev) need=2 ;; bench) need=3 ;; esac
if [ "$level" -lt "$need" ]; then
	echo "setup: making the virtual environment $venv ($what)"
	[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
	log=$(mktemp)
	if ! "$venv/bin/python" -m pip install -q --disable-pip-version-check -c requirements.txt -e ".$extra" \
		>"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		echo "setup: pip failed; the whole log is $log" >&2
		exit 1
	fi
	rm -f "$log"
	echo "$wanted $what" >"$stamp"
fi

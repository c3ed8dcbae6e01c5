#!/bin/bash
# Runs the tests on newer Pythons, each in a Debian of its own below a cache folder: make test-pythons
#
# VERSIONS chooses: 3.13 is Debian trixie's, 3.14 is forky's. Needs root, and debootstrap. What is
# made once is used again; remove the cache folder to make it anew. Arguments go to pytest.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/totango-sdk/pythons}
# Where this machine takes its own packages from.
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)}
# The first are what a Debian is made with; the rest needs a running one to be set up in.
first=ca-certificates,python3,python3-venv
packages="chromium faketime fonts-dejavu-core gcc libc6-dev libcurl4-openssl-dev libssl-dev make procps python3-dev redis-server"

suite() {
    case $1 in
    3.13) echo trixie ;;
    3.14) echo forky ;;
    *) echo "There is no Debian here with Python $1: VERSIONS has 3.13 and 3.14" >&2; exit 2 ;;
    esac
}

# debootstrap knows a coming release only by the script of the one that never ends.
script() {
    if [ -e "/usr/share/debootstrap/scripts/$1" ]; then echo "$1"; else echo sid; fi
}

make_debian() { # SUITE FOLDER
    [ -e "$2/.made" ] && return
    rm -rf "$2.new" "$2"
    mkdir -p "$(dirname "$2")"
    if ! debootstrap --variant=minbase --include="$first" "$1" "$2.new" "$mirror" \
        "/usr/share/debootstrap/scripts/$(script "$1")" >"$2.log" 2>&1 || ! install_rest "$2.new" >>"$2.log" 2>&1; then
        tail -20 "$2.log" >&2
        return 1
    fi
    touch "$2.new/.made"
    mv "$2.new" "$2"
}

install_rest() { # FOLDER
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" # no service is to be started
    chmod +x "$1/usr/sbin/policy-rc.d"
    unshare --mount --propagation private bash -euc '
        mount -t proc proc "$0/proc"
        mount --rbind /dev "$0/dev"
        cp -L /etc/resolv.conf "$0/etc/resolv.conf"
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086 # a list of names
        chroot "$0" apt-get install -y --no-install-recommends $1
    ' "$1" "$packages"
}

# In a mount namespace of its own, which takes its mounts along when it ends.
run_tests() { # FOLDER ARGUMENTS
    debian=$1
    shift
    unshare --mount --propagation private bash -euc '
        debian=$0 root=$1
        shift
        mount -t proc proc "$debian/proc"
        mount --rbind /dev "$debian/dev"
        mount -t tmpfs tmpfs "$debian/dev/shm"
        cp -L /etc/resolv.conf "$debian/etc/resolv.conf"
        # Whom this machine trusts: there may be a proxy of its own on the way to the packages.
        cp -L /etc/ssl/certs/ca-certificates.crt "$debian/etc/ssl/certs/ca-certificates.crt"
        rm -rf "$debian/src"
        mkdir -p "$debian/src"
        tar -C "$root" --exclude=./.venv --exclude=./.git --exclude="*/__pycache__" --exclude="./.*_cache" -cf - . \
            | tar -C "$debian/src" -xf -
        exec chroot "$debian" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
            bash /src/scripts/test_here.sh "$@"
    ' "$debian" "$root" "$@"
}

[ "$(id -u)" = 0 ] || { echo "make test-pythons needs root, for debootstrap and chroot" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "make test-pythons needs debootstrap: apt-get install debootstrap" >&2; exit 2; }

failed=""
for version in ${VERSIONS:-3.13 3.14}; do
    name=$(suite "$version")
    echo "Python $version, in Debian $name"
    make_debian "$name" "$cache/$name" || { failed="$failed $version"; continue; }
    run_tests "$cache/$name" "$@" || failed="$failed $version"
done
[ -z "$failed" ] || { echo "Not passed on Python$failed" >&2; exit 1; }

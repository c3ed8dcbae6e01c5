#!/bin/sh
# Installs what tests run beside Python, where it is missing: redis-server, libfaketime, PostgreSQL, pgbouncer, and
# Chromium with a font.
# Does nothing where all are there. Needs Debian or Ubuntu, and root; otherwise it says what to install.
set -eu

missing=""
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v pgbouncer >/dev/null 2>&1 || missing="$missing pgbouncer"
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Some tests are skipped without:$missing. On Debian or Ubuntu: sudo apt-get install$missing" >&2
    exit 0
fi

# The tests start a server of their own: the package's is not to be started.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
log=$(mktemp)
# shellcheck disable=SC2086 # a list of names
if { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    rm -f "$log"
else
    cat "$log" >&2
    rm -f "$log"
    echo "Could not install:$missing. Some tests are skipped without." >&2
fi

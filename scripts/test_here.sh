#!/bin/bash
# Runs the tests of the folder above with this machine's own Python: what test_pythons.sh does in each Debian.
set -eu
cd "$(dirname "$0")/.."

venv=/var/cache/totango-venv
stamp=$(cat requirements.lock pyproject.toml | sha256sum)
if [ "$(cat $venv/.stamp 2>/dev/null)" != "$stamp" ]; then
    rm -rf $venv
    python3 -m venv $venv
    $venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
    $venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$stamp" >$venv/.stamp
fi
$venv/bin/python --version
PATH=$venv/bin:$PATH exec $venv/bin/python -m pytest -q -n 2 --dist worksteal "$@"

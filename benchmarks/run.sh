#!/usr/bin/env bash
# Sets up everything the benchmarks need below benchmarks/, and runs them: benchmarks/run.sh [--quick | --full]
set -euo pipefail
cd "$(dirname "$0")/.."

# Installed packages come compiled; our own source is compiled by its first import, unless the environment forbids it.
unset PYTHONDONTWRITEBYTECODE PYTHONDEVMODE PYTHONPATH

here=benchmarks
python="$here/.venv/bin/python"

if ! cmp -s "$here/requirements.lock" "$here/.venv/installed.lock"; then
    "${PYTHON:-python3}" -m venv --clear "$here/.venv"
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    cp "$here/requirements.lock" "$here/.venv/installed.lock"
fi

mkdir -p "$here/build"
"${CC:-gcc}" -O2 -Wall -Wextra -o "$here/build/sink" "$here/sink.c"

exec "$python" -m benchmarks "$@"

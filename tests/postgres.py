"""A PostgreSQL of the tests' own, in a temporary folder and on a free port, with pgbouncer before it if wanted."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.servers import free_port, program, wait_until_open
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "postgres"


def _bin(name: str) -> str | None:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or (found[-1] if found else None)


def have_postgres() -> bool:
    return _bin("initdb") is not None


def have_pgbouncer() -> bool:
    return have_postgres() and _pgbouncer() is not None


def _pgbouncer() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def _as_nobody() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    return {} if os.getuid() else {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid, "extra_groups": []}


@contextlib.contextmanager
def postgres() -> Iterator[int]:
    """Run a server that trusts everybody on this machine; gives its port."""
    directory = Path(tempfile.mkdtemp(prefix="totango-pg-"))
    if not os.getuid():
        shutil.chown(directory, _USER)
    data, log, port = directory / "data", directory / "log", free_port()
    initdb = [_bin("initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=120, cwd=directory, **_as_nobody())
    command = [_bin("postgres"), "-D", str(data), "-p", str(port), "-k", str(directory), "-h", "127.0.0.1", "-F"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, **_as_nobody())
    try:
        wait_until_open(port, process, log)
        # It listens before it is ready: whoever comes between the two is sent away.
        is_ready = [_bin("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_for(lambda: subprocess.run(is_ready, timeout=30, check=False).returncode == 0)
        yield port
    finally:
        process.send_signal(signal.SIGINT)  # ends sessions too
        process.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def pgbouncer(postgres_port: int) -> Iterator[int]:
    """Run a pooler in transaction mode before a server; gives its port."""
    directory = Path(tempfile.mkdtemp(prefix="totango-pgb-"))
    if not os.getuid():
        shutil.chown(directory, _USER)
    port = free_port()
    config, log = directory / "pgbouncer.ini", directory / "log"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres_port} user={_USER}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
        f"listen_port={port}\nauth_type=any\npool_mode=transaction\ndefault_pool_size=4\nunix_socket_dir=\n"
        "ignore_startup_parameters=extra_float_digits\n"
    )
    command = [str(_pgbouncer()), str(config)]
    if not os.getuid():
        command = ["setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups", *command]
    try:
        with program(log, *command) as process:
            wait_until_open(port, process, log)
            yield port
    finally:
        shutil.rmtree(directory, ignore_errors=True)

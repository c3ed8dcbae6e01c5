"""Forks hosts that have everything imported already, so that a thousand of them can be killed in minutes.

Takes a line of JSON for each host, prints its pid, and reaps it when it reads the next line. No client exists here.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

import totango_sdk.client
import totango_sdk.delivery.transports.httpx  # noqa: F401
import totango_sdk.spool.disk  # noqa: F401  # imported before the fork, to save each host the time

from . import drive


def main(progress_fd: int) -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _be_host(json.loads(line), progress_fd)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _be_host(config: dict[str, object], progress_fd: int) -> None:
    status = 0
    try:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        drive.run(config, progress_fd)
    except BaseException:
        traceback.print_exc()
        status = 70
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))

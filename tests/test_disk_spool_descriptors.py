"""One descriptor that the host has closed, and not the others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spools import bodies, closing, drain, fill

from totango_sdk.spool import paths

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_that_is_left_behind_is_not_counted_as_our_own(tmp_path: Path) -> None:
    """Another file may get its inode, and would then be left alone for good."""
    before = set(paths._held.keys), set(paths._held.fds)
    with closing(tmp_path) as spool:
        put_in = fill(spool, 5)
        assert spool._state.active is not None
        os.close(spool._state.active.file._fd)
        spool.maintain(adopt=True)
        assert sorted(bodies(drain(spool))) == sorted(put_in)
    assert (paths._held.keys, paths._held.fds) == before

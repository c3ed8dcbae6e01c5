"""What a run stands on: its ledger, and the files for rejected rows."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import OptionsError
from ..spool.paths import default_directory
from .known import Known
from .ledger import Ledger
from .rejected import RejectedFiles

if TYPE_CHECKING:
    from ..options import Options
    from ..tables import Source
    from .how import How


def known_of(source: Source, options: Options, how: How) -> Known | None:
    """Return what a ledger knows of a source; `None` if none is kept. Raises `OptionsError`."""
    if how.dry_run or source.path is None or how.ledger is False:
        return None
    path = os.fspath(how.ledger) if how.ledger else _beside(source.path, "ledger")
    ledger = Ledger(path, os.path.abspath(source.path) if how.ledger else "")
    known = Known(ledger, open(source.path, "rb"), source, _whose(options, how))  # noqa: SIM115
    try:
        known.open(again=how.again, verify=how.verify, now=how.rules.now)
        if how.from_line and known.mark.row:
            raise OptionsError("--from-line needs a fresh ledger: give --again too")
    except BaseException:
        known.close()
        raise
    return known


def _whose(options: Options, how: How) -> dict[str, Any]:
    """Return whose run it is, and what decides on the meaning of its rows."""
    rules = how.rules
    flags = [attrs.astuple(how.reading), rules.timezone, rules.status, how.unique]
    defaults = [rules.account, rules.user, rules.product, rules.module]
    allowed = [rules.allow_empty_accounts, rules.extra_id_characters]
    map_ = "" if rules.map is None else rules.map.text or repr(rules.map)
    return {
        "service id": options.service_id,
        "endpoint": options.endpoint,
        "map": _mark(map_),
        "meaning of the flags": _mark(repr((flags, defaults, allowed))),
    }


def rejected_of(source: Source, how: How, known: Known | None, number: int) -> RejectedFiles | None:
    """Return the files for the rejected rows of a source, the one of this number among several."""
    base = how.rejected
    if base is None and source.path is not None:
        base = _beside(source.path, "rejected")
    elif base is not None and number:
        base = f"{base}-{number + 1}"
    if base is None or how.dry_run:
        return None
    files = RejectedFiles(base, source)
    if known is None or known.finished_on is None:
        files.resume({} if known is None else known.lengths)
    return files


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _beside(path: str, ending: str) -> str:
    """Return a path beside a source, or in the state directory if nothing can be written there."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.access(folder, os.W_OK):
        return f"{path}.{ending}"
    where = os.path.join(default_directory(), "replay")
    os.makedirs(where, mode=0o700, exist_ok=True)
    mark = hashlib.blake2b(os.path.abspath(path).encode(), digest_size=8).hexdigest()
    return os.path.join(where, f"{os.path.basename(path)}-{mark}.{ending}")

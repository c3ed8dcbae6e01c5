"""The sandbox's own database: opened only if it is one, made if there is none."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ..errors import OptionsError

APPLICATION_ID = 0x746F7461  # "tota": what tells our files from others
NUMBER = 4
# What a reset empties. What is to be ignored stays.
TABLES = ("requests", "heads", "accounts", "users", "activities", "names", "problems", "totals")

_SCHEMA = f"""
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, method TEXT NOT NULL, source TEXT NOT NULL,
    query TEXT NOT NULL, body TEXT NOT NULL, accepted INTEGER NOT NULL,
    account TEXT, user TEXT, activity TEXT, module TEXT, problems TEXT NOT NULL,
    product TEXT, kind TEXT NOT NULL, severity TEXT, fault TEXT,
    service TEXT, parent TEXT, head INTEGER NOT NULL, malformed TEXT, words TEXT
);
CREATE TABLE heads (id INTEGER PRIMARY KEY, agent TEXT NOT NULL, head TEXT NOT NULL);
CREATE INDEX requests_of_account ON requests (account, id);
CREATE TABLE accounts (
    number INTEGER PRIMARY KEY, service TEXT NOT NULL, id TEXT NOT NULL, name TEXT, ofid TEXT,
    parent_id TEXT, product_id TEXT, attributes TEXT NOT NULL,
    first_request INTEGER NOT NULL, last_request INTEGER NOT NULL, UNIQUE (service, id)
);
CREATE TABLE users (
    service TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, attributes TEXT NOT NULL,
    first_request INTEGER NOT NULL, last_request INTEGER NOT NULL, PRIMARY KEY (service, account, id)
) WITHOUT ROWID;
CREATE INDEX users_by_id ON users (service, id);
CREATE TABLE activities (
    service TEXT NOT NULL, module TEXT NOT NULL, activity TEXT NOT NULL, count INTEGER NOT NULL,
    last_request INTEGER NOT NULL, PRIMARY KEY (service, module, activity)
) WITHOUT ROWID;
CREATE TABLE names (
    service TEXT NOT NULL, what TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
    last_request INTEGER NOT NULL, PRIMARY KEY (service, what, name)
) WITHOUT ROWID;
CREATE TABLE ignored (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE problems (
    field TEXT NOT NULL, severity TEXT NOT NULL, rule TEXT NOT NULL, count INTEGER NOT NULL, example TEXT NOT NULL,
    PRIMARY KEY (field, severity, rule)
);
CREATE TABLE totals (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {NUMBER};
"""


def connect(path: str | os.PathLike[str] | None) -> sqlite3.Connection:
    """Open the database at `path`, or one in memory for `None`.

    Raises `OptionsError`, naming the option `db`, if it cannot be used: another program's file, one
    of a newer version, one that another sandbox holds, or one that cannot be written.
    """
    if path is None:
        return _prepared(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
    file = Path(path)
    try:
        _make_private(file)
        return _opened(file)
    except OSError as wrong:
        msg = f"{_named(file)} cannot be written: {wrong.strerror}. Give a file in a directory of yours, as in {_EXAMPLE}"
    except sqlite3.Error as wrong:
        msg = f"{_named(file)} {_said(wrong)}"
    raise OptionsError(msg)


_EXAMPLE = "--db sandbox.db"
_ANOTHER = f"It is left as it is: give another name, as in {_EXAMPLE}"


def _named(file: Path) -> str:
    return f"db: {str(file)!r}"


def _said(wrong: sqlite3.Error) -> str:
    code = getattr(wrong, "sqlite_errorcode", None)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"is in use by another sandbox. Stop that one, or give another name, as in {_EXAMPLE}"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return f"is no sandbox database, but another program's file. {_ANOTHER}"
    return f"cannot be used: {wrong}. Give another name, as in {_EXAMPLE}"


def _make_private(file: Path) -> None:
    """Make the file if there is none. It holds names and addresses, so nobody else may read it."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=1.0, check_same_thread=False, isolation_level=None)
    try:
        _check_ours(connection, file)
        file.chmod(0o600)
        return _prepared(connection)
    except BaseException:
        connection.close()
        raise


def _check_ours(connection: sqlite3.Connection, file: Path) -> None:
    number = _pragma(connection, "user_version")
    ours = _pragma(connection, "application_id") == APPLICATION_ID
    if ours and number > NUMBER:
        msg = (
            f"{_named(file)} was made by a newer version, with schema {number}; this one knows {NUMBER}. "
            f"Update totango-sdk, or give another name, as in {_EXAMPLE}"
        )
        raise OptionsError(msg)
    if ours and number < NUMBER:
        msg = f"{_named(file)} was made by an older version, with schema {number}. {_ANOTHER}"
        raise OptionsError(msg)
    if not ours and not _is_empty(connection):
        msg = f"{_named(file)} is no sandbox database, but another program's. {_ANOTHER}"
        raise OptionsError(msg)


def _is_empty(connection: sqlite3.Connection) -> bool:
    with closing(connection.execute("SELECT count(*) FROM sqlite_schema")) as rows:
        return rows.fetchone() == (0,) and _pragma(connection, "user_version") == 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    with closing(connection.execute(f"PRAGMA {name}")) as rows:
        return int(rows.fetchone()[0])


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    # One process at a time, and no waiting for the disk: what a power cut takes can be sent again.
    for name, value in (
        ("locking_mode", "EXCLUSIVE"),
        ("journal_mode", "WAL"),
        ("synchronous", "OFF"),
    ):
        connection.execute(f"PRAGMA {name} = {value}").close()
    connection.execute("BEGIN EXCLUSIVE")
    if _is_empty(connection):
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")
    return connection

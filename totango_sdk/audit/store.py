"""Large files of an audit in DuckDB: what is usual stays there, and only what may be wrong comes out.

An ID is *dull* if nothing is to be said of it by itself, as its form in ASCII shows; so is a
Salesforce ID of 18 characters with the right suffix. All others are judged in Python, once for each
distinct value, by the very functions that small files are judged by.
"""

from __future__ import annotations

import csv
import os
import tempfile
from typing import TYPE_CHECKING, Any

from ..binding import keys
from .ids import codes_of, is_email, salesforce_code
from .rows import File, is_an_id

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = "450MB"
_THREADS = 2
_AT_ONCE = 10_000
_WORDS = (
    *("null", "none", "nan", "undefined", "-", "0", "true", "false", "anonymous", "unknown"),
    *("n/a", "[object object]"),
)
_NAMES = {"user": "person", "name": "title"}  # the database has a meaning for these itself
_CHECKED = ("account", "parent", "product", "user", "collection")
_SUFFIX = " || ".join(
    "substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ012345', 1"
    + "".join(
        f" + {1 << bit} * (substr(v, {part * 5 + bit + 1}, 1) BETWEEN 'A' AND 'Z')::INT"
        for bit in range(5)
    )
    + ", 1)"
    for part in range(3)
)
_MACROS = f"""
CREATE MACRO is_right(v) AS regexp_full_match(v, '[A-Za-z0-9]{{18}}')
    AND substr(v, 16, 3) = {_SUFFIX};
CREATE MACRO is_dull(v) AS regexp_full_match(v, '[A-Za-z0-9_-]{{1,100}}')
    AND NOT regexp_full_match(v, '[A-Za-z0-9]{{15}}([A-Za-z0-9]{{3}})?')
    AND lower(v) NOT IN {_WORDS!r};
CREATE MACRO is_dull_user(v) AS is_dull(v)
    OR regexp_full_match(v, '[A-Za-z0-9_.-]{{1,48}}@[A-Za-z0-9_.-]{{1,48}}');
CREATE MACRO is_account_record(v) AS regexp_full_match(v, '001.*[A-Za-z].*') AND is_right(v);
CREATE MACRO spelling(v) AS CASE
    WHEN regexp_full_match(v, '[0-9]+') THEN coalesce(nullif(ltrim(v, '0'), ''), '0')
    WHEN is_account_record(v) THEN 'record ' || lower(substr(v, 1, 15))
    ELSE lower(v) END;
CREATE MACRO user_spelling(v) AS lower(v);
CREATE MACRO key_of(v) AS CASE WHEN is_right(v) THEN v ELSE lower(v) END;
"""


def spelling(value: str) -> str:
    """Return what all spellings of an account ID have in common, whatever they differ in."""
    text = keys.narrow(value)
    if keys.looks_like_record(text):
        return f"record {text[:15].lower()}"
    return keys.unpadded(text) or keys.folded(text)


class Store:
    """The files of an audit in a database of its own, in a temporary folder."""

    def __init__(self) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="totango-audit-")
        self.db = duckdb.connect(os.path.join(self._folder.name, "audit.duckdb"))
        for setting in (
            f"memory_limit = '{MEMORY}'",
            f"threads = {_THREADS}",
            "preserve_insertion_order = false",
            "enable_progress_bar = false",
        ):
            self.db.execute(f"SET {setting}")
        self.db.execute(_MACROS)

    def close(self) -> None:
        """Remove everything."""
        self.db.close()
        self._folder.cleanup()

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, some at a time."""
        cursor = self.db.cursor().execute(query, list(values))
        while found := cursor.fetchmany(_AT_ONCE):
            yield from found

    def one(self, query: str, *values: Any) -> tuple[Any, ...]:
        """Return the one row of a query."""
        found = self.db.execute(query, list(values)).fetchone()
        assert found is not None
        return tuple(found)

    # -- in

    def load(self, number: int, file: File) -> None:
        """Put a file into the table `file{number}`, and take its rows out of memory."""
        path = file.spilled or os.path.join(self._folder.name, f"{number}.csv")
        if file.spilled is None:
            with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as out:
                writer = csv.writer(out, lineterminator="\n")
                columns = (file.lines, *file.values.values())
                writer.writerows((at, *row) for at, row in enumerate(zip(*columns, strict=True)))
        names = [name_of(each) for each in file.values]
        types = {"place": "BIGINT", "line": "BIGINT", **dict.fromkeys(names, "VARCHAR")}
        self.db.execute(
            f"CREATE TABLE raw{number} AS SELECT * FROM read_csv(?, header = false, delim = ',', "
            f"quote = '\"', escape = '\"', nullstr = '', columns = {types!r}, auto_detect = false, "
            "max_line_size = 16777216, parallel = false, strict_mode = true)",
            [path],
        )
        os.unlink(path)
        file.lines, file.values = [], {name: [] for name in file.values}
        kept = (*file.columns, *file.foreign_keys)
        file.values = {name: [] for name in file.values if name in kept}
        self._judge(number, file)

    def _judge(self, number: int, file: File) -> None:
        """Make `file{number}`: the rows with what is known of each ID in them."""
        joins, wanted = [], ["raw.*"]
        for what in file.values:
            if what in ("name", "activity"):
                continue
            column, odd = name_of(what), f"odd_{number}_{name_of(what)}"
            self._judge_values(number, what, column, odd)
            joins.append(f"LEFT JOIN {odd} ON {odd}.value = raw.{column}")
            plain = "user_spelling" if what == "user" else "spelling"
            wanted += [
                f"raw.{column} IS NOT NULL AND coalesce({odd}.is_id, true) AS {column}_is",
                f"coalesce({odd}.spelling, {plain}(raw.{column})) AS {column}_spelling",
                f"coalesce({odd}.lower, lower(raw.{column})) AS {column}_lower",
                f"coalesce({odd}.key, key_of(raw.{column})) AS {column}_key",
                f"coalesce({odd}.is_bad, false) AS {column}_bad",
                f"coalesce({odd}.is_right, true) AS {column}_right",
                f"coalesce({odd}.is_email, contains(raw.{column}, '@')) AS {column}_email",
            ]
        self.db.execute(
            f"CREATE TABLE file{number} AS SELECT {', '.join(wanted)} FROM raw{number} AS raw "
            + " ".join(joins)
        )
        self.db.execute(f"DROP TABLE raw{number}")

    def _judge_values(self, number: int, what: str, column: str, odd: str) -> None:
        is_dull = "is_dull_user(v)" if what == "user" else "is_dull(v)"
        if what != "user":
            is_dull = f"({is_dull} OR is_right(v))"
        if what == "collection":
            is_dull += " AND NOT contains(v, '-')"
        if what == "salesforce":
            is_dull = "is_right(v)"
        query = (
            f"SELECT DISTINCT v FROM (SELECT {column} AS v FROM raw{number}) "
            f"WHERE v IS NOT NULL AND NOT ({is_dull})"
        )
        path = os.path.join(self._folder.name, f"{odd}.csv")
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerows(_judged(what, value) for (value,) in self.rows(query))
        types = dict.fromkeys(("value", "spelling", "lower", "key"), "VARCHAR")
        types |= dict.fromkeys(("is_id", "is_bad", "is_right", "is_email"), "BOOLEAN")
        self.db.execute(
            f"CREATE TABLE {odd} AS SELECT * FROM read_csv(?, header = false, delim = ',', "
            f"quote = '\"', escape = '\"', columns = {types!r}, auto_detect = false, nullstr = '', "
            "max_line_size = 16777216, parallel = false)",
            [path],
        )
        os.unlink(path)

    # -- out

    def taken(self, number: int, file: File, condition: str) -> File:
        """Return a file with those of its rows that meet a condition, in their order."""
        names = [name_of(each) for each in file.values]
        found = File(
            file.name,
            file.path,
            file.kind,
            file.columns,
            file.foreign_keys,
            file.rows,
            file.rejected,
        )
        found.values = {each: [] for each in file.values}
        lists = list(found.values.values())
        known: dict[str, str] = {}
        query = f"SELECT {', '.join(['line', *names])} FROM file{number} AS f WHERE {condition} ORDER BY place"
        for line, *values in self.rows(query):
            found.lines.append(line)
            for each, value in zip(lists, values, strict=True):
                each.append(None if value is None else known.setdefault(value, value))
        return found


def name_of(what: str) -> str:
    """Return the name of a column in the database."""
    return _NAMES.get(what) or ("key_" + what.encode().hex() if " " in what else what)


def _judged(what: str, value: str) -> tuple[Any, ...]:
    is_id = is_an_id(value)
    codes = codes_of(what, value) if what in _CHECKED else []
    of_salesforce = None
    if what in ("account", "salesforce") or what not in (*_CHECKED, "name", "activity"):
        of_salesforce = salesforce_code(what, value)[0] if is_id else None
    is_bad = bool(codes) or value.isspace() or of_salesforce is not None
    is_right = not value.isspace() and not set(codes) - {"id-suspect"}
    spelled = keys.unplussed(value) if what == "user" else spelling(value)
    lower = keys.trimmed(value).lower()
    key = keys.salesforce_record(value, any_prefix=True) or lower
    return (
        *(value, spelled or " ", lower or " ", key or " "),
        *(is_id, is_bad, is_right, is_email(value)),
    )

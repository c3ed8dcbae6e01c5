"""Of whom a body speaks, and of whom it says something: what the sending side reads of a request."""

from __future__ import annotations

from .write import user_record


def decode(body: bytes | str) -> list[tuple[str, str]]:
    """Return the parameters of a body or a query string, in order; the inverse of `encode`.

    Reads any bytes: what is not UTF-8 comes back with replacement characters, and a `+` is a space,
    as web servers read it (what we send has neither).
    """
    from urllib.parse import parse_qsl

    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    return parse_qsl(text, keep_blank_values=True, errors="replace")


def claimed_keys(body: bytes) -> list[str]:
    """Return the keys under which names and attributes in this body were claimed as said.

    When such a request ends as a dead letter, they count as not said.
    """
    names = dict(decode(body))
    where = names.get("sdr_o")
    keys = []
    if where is not None and any(
        name in ("sdr_ofid", "sdr_odn") or name.startswith("sdr_o.") for name in names
    ):
        keys.append(where)
    if any(name.startswith("sdr_u.") for name in names):
        keys.append(f"{where or ''}\0{names.get('sdr_u', '')}")
    return keys


def records(body: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the records that a body concerns, and those of them of which it says something.

    As far as a body tells: of a product account that is known, it does not name the account.
    """
    names = dict(decode(body))
    where, user, parent = (names.get(name) for name in ("sdr_o", "sdr_u", "sdr_o.parent_id"))
    accounts = tuple(name for name in (parent, where) if name)
    about = (*accounts, user_record(where, user)) if user or not accounts else accounts
    return about, tuple(claimed_keys(body)) if "sdr_a" in names else about

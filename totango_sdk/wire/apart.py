"""A body taken apart where its user stands, for requests that differ in nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .write import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USER = "sdr_u"
_BEFORE_ACTIVITY = b"&sdr_a="
_OF_USER = "sdr_u."


class Gap(NamedTuple):
    """An activity's body but for its user: what stands before, and behind."""

    before: bytes
    behind: bytes

    def filled(self, quoted: str) -> bytes:
        """Return the body with a user, whose ID is percent-encoded already."""
        return b"%b&%b=%b%b" % (self.before, USER.encode(), quoted.encode(), self.behind)


def without_user(body: bytes, user_id: str) -> Gap | None:
    """Return an activity's body but for this user; `None` if more is said of the user."""
    user = f"&{USER}={quote(user_id)}".encode()
    before, found, behind = body.partition(user + _BEFORE_ACTIVITY)
    if not found or f"&{_OF_USER}".encode() in behind:
        return None
    return Gap(before, _BEFORE_ACTIVITY + behind)


def said_of_user(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return what stands at the end of a body that says this of its user."""
    return "".join(f"&{_OF_USER}{quote(name)}={quote(value)}" for name, value in pairs).encode()


def says_of_user(names: Iterable[str]) -> bool:
    """Whether parameters with these names say something of the user."""
    return any(name.startswith(_OF_USER) for name in names)


def where_and_who(names: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the account and the user that parameters name."""
    return names.get("sdr_o"), names.get(USER) or None


def activity_of(names: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the module and the activity that parameters name, if they are one."""
    return (names.get("sdr_m", ""), names["sdr_a"]) if "sdr_a" in names else None

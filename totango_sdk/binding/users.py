"""User IDs that are one person in another spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..show import shown
from . import keys
from .accounts import is_email
from .telling import finding, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .people import People
    from .telling import Finding

_FEWEST = 20
_FEWEST_SUSPECT = 2


def user_spelling(people: People) -> Iterator[Finding]:
    """Yield user IDs that differ only in letter case and spaces."""
    spelled: list[tuple[tuple[str, str], str]] = []
    for user in people.users:
        # An e-mail address is one person wherever it is seen; another ID need not be, below
        # another account.
        roots = {""} if is_email(user) else people.roots_of(user)
        spelled += [((root, keys.folded(user)), user) for root in roots]

    for group in grouped(spelled):
        right = _preferred(group)
        how = " and spaces" if any(user != user.strip() for user in group) else ""
        named = " and ".join(shown(user) for user in group[:3])
        advice = (
            "Totango takes them for separate users. Bring user IDs into one form where they are "
            f"read, trimmed and in lower case, and send {shown(right)} from everywhere"
        )
        title = f"{named} differ only in letter case{how}"
        yield finding(title, [user_side(people, user) for user in group], advice)


def _preferred(group: list[str]) -> str:
    plain = (user for user in group if user == user.strip().lower())
    return next(plain, group[0].strip())


def shared_user(people: People) -> Iterator[Finding]:
    """Yield user IDs that stand for more than one person, as the many accounts show."""
    for user, where in people.users.items():
        if len(where) < _FEWEST_SUSPECT:
            continue
        roots = people.roots_of(user)
        is_suspect = keys.is_suspect(user) or keys.is_placeholder(user)
        if len(roots) < (_FEWEST_SUSPECT if is_suspect else _FEWEST):
            continue
        title = f"The user {shown(user)} is below {len(roots)} accounts"
        advice = (
            "A user belongs to an account, so this is one record for each. Send the ID of the "
            "person who acts, or no event where nobody is known. If one person works for all of "
            "these accounts, nothing is wrong"
        )
        yield {**finding(title, [user_side(people, user)], advice), "about": [user]}


def user_side(people: People, user: str) -> dict[str, Any]:
    """Return a user as one side of a finding; whoever asked fills in the name."""
    where = people.users[user]
    accounts = [shown(account) for account in dict.fromkeys(account for account, _, _ in where)]
    more = f" and {len(accounts) - 3} more" if len(accounts) > 3 else ""
    return {
        "what": "user",
        "id": user,
        "name": None,
        "sources": sorted({source for _, source, _ in where if source is not None}),
        "detail": f"below {', '.join(accounts[:3])}{more}",
        "event": max(event for _, _, event in where),
    }

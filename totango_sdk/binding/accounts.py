"""Accounts that share what only one can have: a foreign key, a name, a record, a user."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from ..show import shown
from . import keys
from .people import is_own_key
from .telling import finding, grouped, ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .people import Known, People
    from .telling import Finding


def foreign_key(people: People) -> Iterator[Finding]:
    """Yield foreign keys that several accounts have, once they are in lower case."""
    for name, named in _by_key(people):
        accounts = list(named)
        if len({known.root for known in accounts}) < 2 or people.were_told(accounts):
            continue
        folded = " once they are in lower case" if len(set(named.values())) > 1 else ""
        title = f"{ids(accounts)} have foreign keys {shown(name)} that are equal{folded}"
        advice = (
            "Totango stores foreign keys in lower case and binds by them, so one account would "
            f"get what belongs to the other. Give each its own {shown(name)}; of a Salesforce ID, "
            "all 18 characters"
        )
        sides = [known.side(f"{shown(name)} {shown(key)}") for known, key in named.items()]
        yield finding(title, sides, advice)


def _by_key(people: People) -> list[tuple[str, dict[Known, str]]]:
    """Return each name of a key with the accounts that have one and the same value of it."""
    named = (
        ((name, value.strip().lower()), (name, known, value))
        for known in people.seen.values()
        for name, value in known.keys.items()
        if is_own_key(name, value)
    )
    return [(group[0][0], {known: value for _, known, value in group}) for group in grouped(named)]


def two_ids(people: People) -> Iterator[Finding]:
    """Yield an account that the page calls by one ID, and the backend by another."""
    shared: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for pair, reason in _page_and_backend(people):
        if not people.are_related(*pair) and not people.were_told(pair):
            shared[pair[0].id, pair[1].id].append(reason)

    for (page, backend), reasons in shared.items():
        pair = [people.accounts[page], people.accounts[backend]]
        people.tell(pair)
        why = ", and ".join(list(dict.fromkeys(reasons))[:3])
        advice = (
            f"Send one ID from both: put {shown(backend)} into the page's totango_options as "
            f"account.id, or give account={shown(page)} to the SDK. If they really are two, "
            "nothing is wrong"
        )
        title = (
            f"{shown(page)} comes only from the browser and {shown(backend)} only from the SDK, "
            f"but they share {why}"
        )
        yield finding(title, [known.side() for known in pair], advice)


def _page_and_backend(people: People) -> Iterator[tuple[list[Known], str]]:
    """Yield each account of the browser alone, with one of the SDK alone, and what they share."""
    for both, reason in _shared(people):
        pair = sorted((people.accounts[each] for each in both), key=_source)
        if [_source(known) for known in pair] == ["browser", "sdk"]:
            yield pair, reason


def _source(known: Known) -> str:
    return " ".join(sorted(known.sources))


class _Trait(NamedTuple):
    """What tells who an account is."""

    what: str
    value: str
    account: str


def _shared(people: People) -> Iterator[tuple[list[str], str]]:
    """Yield each two accounts that share what no third one has, and what it is."""
    traits = chain(_said_traits(people), _user_traits(people))
    for group in grouped((trait[:2], trait) for trait in traits):
        what, value, _ = group[0]
        accounts = {trait.account for trait in group}
        if len(accounts) == 2 and not keys.is_placeholder(value):
            yield sorted(accounts), f"{what} {shown(value)}"


def _said_traits(people: People) -> Iterator[_Trait]:
    for known in people.accounts.values():
        if known.name and known.name.strip():
            yield _Trait("the name", keys.folded(known.name), known.id)
        if record := keys.salesforce_record(known.id):
            yield _Trait("the Salesforce record", record, known.id)

    by_id = {keys.folded(account): account for account in people.accounts}
    for known in people.seen.values():
        for name, value in known.keys.items():
            if is_own_key(name, value):
                yield from _key_traits(known.root, name, value, by_id)


def _key_traits(root: str, name: str, value: str, by_id: dict[str, str]) -> Iterator[_Trait]:
    if record := keys.salesforce_record(value):
        yield _Trait("the Salesforce record", record, root)
        return
    folded = keys.folded(value)
    yield _Trait(shown(name), folded, root)
    if other := by_id.get(folded):
        yield _Trait("an ID that is the foreign key", folded, root)
        yield _Trait("an ID that is the foreign key", folded, other)


def _user_traits(people: People) -> Iterator[_Trait]:
    for user in people.users:
        if is_email(user):
            folded = keys.folded(user)
            for root in people.roots_of(user):
                yield _Trait("the user", folded, root)


def is_email(user: str) -> bool:
    """Whether a user ID is an e-mail address: one person wherever it is seen."""
    name, _, domain = user.strip().rpartition("@")
    return bool(name and domain)

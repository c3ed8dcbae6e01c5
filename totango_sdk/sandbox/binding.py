"""What will not join up: IDs that look like one account or one user, and are two."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InvalidID, shown
from ..identity import salesforce_id
from ..wire import LEFTOVERS
from .people import MOST_SIDES, People, is_own_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .people import Seen
    from .views import Views

    Finding = dict[str, Any]

T = TypeVar("T")

_MOST = 200
_FAIR = _MOST // 8  # of each kind, before one kind may take what others leave
_SHOWN_FIELD = 100

_SALESFORCE = re.compile(r"001[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?", re.IGNORECASE)
_NO_VALUES = {left.casefold() for left in LEFTOVERS}


def findings(views: Views) -> list[Finding]:
    """Return what looks like one and is two, each with both sides; at most 200."""
    people = People(views)
    kinds = [[{"kind": kind, **found} for found in islice(find(people), _MOST)] for kind, find in _KINDS.items()]
    heads = [found for each in kinds for found in each[:_FAIR]]
    rest = [found for each in kinds for found in each[_FAIR:]]
    order = {kind: at for at, kind in enumerate(_KINDS)}
    return sorted([*heads, *rest][:_MOST], key=lambda found: order[found["kind"]])


def _finding(title: str, sides: list[dict[str, Any]], advice: str) -> Finding:
    more = len(sides) - MOST_SIDES
    title = f"{title}; {more} more are not shown" if more > 0 else title
    return {"title": title, "sides": sides[:MOST_SIDES], "advice": advice}


def _groups(pairs: Iterable[tuple[Any, T]]) -> list[list[T]]:
    """Return what has the same key as something else, together."""
    first: dict[Any, T] = {}
    groups: dict[Any, list[T]] = {}
    for key, value in pairs:
        if first.setdefault(key, value) is not value:
            groups.setdefault(key, [first[key]]).append(value)
    return list(groups.values())


def _ids(accounts: Iterable[Seen]) -> str:
    ids = [shown(seen.id) for seen in accounts]
    return " and ".join(ids) if len(ids) < 4 else f"{', '.join(ids[:3])} and {len(ids) - 3} more"


def _alike(people: People, key: Callable[[str], str]) -> Iterator[list[Seen]]:
    """Yield groups of IDs that give the same key; product accounts only where their accounts do not differ."""
    plain = [(key(seen.id), seen) for seen in people.accounts.values()]
    products = [(key(seen.id), seen) for seen in people.seen.values() if seen.root != seen.id]
    yield from _groups(plain)
    yield from _groups(((seen.root, found), seen) for found, seen in products)
    joined = dict(products)
    for found, seen in plain:
        if found in joined and joined[found].id != seen.id:
            yield [joined[found], seen]


def _folded(text: str) -> str:
    return text.strip().casefold()


def _case(people: People) -> Iterator[Finding]:
    for group in _alike(people, _folded):
        spelled = list(
            {seen.id.strip(): seen for seen in sorted(group, key=lambda seen: seen.id == seen.id.strip())}.values()
        )
        spelled = [seen for seen in spelled if not _is_mixed_salesforce(seen.id, spelled)]
        if len(spelled) > 1:
            people.tell(spelled)
            advice = (
                "Totango's IDs are case sensitive, so these are separate accounts. Choose one spelling, "
                f"such as {shown(_preferred(spelled).id.strip())}, and send it from everywhere"
            )
            yield _finding(f"{_ids(spelled)} differ only in letter case", [seen.side() for seen in spelled], advice)


def _is_mixed_salesforce(text: str, group: list[Seen]) -> bool:
    """Tell whether it is one of two Salesforce IDs of 15 characters that really are two: case counts in them."""
    if not _SALESFORCE.fullmatch(text) or len(text) != 15:
        return False
    return not any(_is_one_case(seen.id.strip()) for seen in group)


def _is_one_case(text: str) -> bool:
    return text in (text.lower(), text.upper())


def _preferred(group: list[Seen]) -> Seen:
    """Return the one that a backend sends, else the one that came most often."""
    return max(group, key=lambda seen: ("sdk" in seen.sources, seen.count))


def _space(people: People) -> Iterator[Finding]:
    if all(each == each.strip() for ids in (people.seen, people.accounts) for each in ids):
        return
    for group in _alike(people, str.strip):
        people.tell(group)
        right = group[0].id.strip()
        advice = (
            f"Totango drops an event whose ID has a space around it. Strip it where it is read, and send {shown(right)}"
        )
        yield _finding(f"{_ids(group)} differ only in spaces around them", [seen.side() for seen in group], advice)


def _salesforce(people: People) -> Iterator[Finding]:
    named = [(found, seen) for seen in people.accounts.values() if (found := _fifteen(seen.id))]
    for group in _groups(named):
        short = [seen for seen in group if len(seen.id) == 15]
        for long in (seen for seen in group if len(seen.id) == 18):
            same = [seen for seen in short if _is_same_record(seen.id, long.id)]
            if same:
                people.tell([*same, long])
                advice = (
                    "They are one Salesforce record, and two accounts. Totango binds on the 18 characters: send "
                    f"{shown(salesforce_id(long.id))}, which salesforce_id() makes of the 15, from everywhere"
                )
                title = f"{_ids(same)} and {shown(long.id)} are the same Salesforce ID, in 15 and in 18 characters"
                yield _finding(title, [seen.side() for seen in (*same, long)], advice)
    yield from _salesforce_keys(people)


def _salesforce_keys(people: People) -> Iterator[Finding]:
    """Yield records that one account names with 15 characters and another with 18."""
    groups: defaultdict[tuple[str, str], list[tuple[Seen, str]]] = defaultdict(list)
    for seen in people.seen.values():
        for name, value in seen.keys.items():
            if is_own_key(name, value) and (start := _fifteen(value)):
                groups[name, start].append((seen, value))
    for (name, _), named in groups.items():
        for long, eighteen in [each for each in named if len(each[1]) == 18]:
            same = [(seen, key) for seen, key in named if len(key) == 15 and _is_same_record(key, eighteen)]
            same = [(seen, key) for seen, key in same if seen.root != long.root]
            if same:
                both = [*same, (long, eighteen)]
                people.tell([seen for seen, _ in both])
                title = (
                    f"{_ids(seen for seen, _ in both)} have the same Salesforce record as {shown(name)}, "
                    "in 15 and in 18 characters"
                )
                advice = (
                    f"One record can belong to one account. Correct {shown(name)} of the wrong one, and pass it "
                    "through salesforce_id() everywhere"
                )
                yield _finding(title, [seen.side(f"{name[:_SHOWN_FIELD]} {key!r}") for seen, key in both], advice)


def _fifteen(text: str) -> str | None:
    return text[:15].casefold() if _SALESFORCE.fullmatch(text) else None


def _is_same_record(fifteen: str, eighteen: str) -> bool:
    restored = _record(eighteen)
    return restored is not None and (restored[:15] == fifteen or _is_one_case(fifteen))


def _foreign_key(people: People) -> Iterator[Finding]:
    for name, named in _by_key(people):
        accounts = list(named)
        if len({seen.root for seen in accounts}) > 1 and not people.were_told(accounts):
            folded = " once they are in lower case" if len(set(named.values())) > 1 else ""
            title = f"{_ids(accounts)} have foreign keys {shown(name)} that are equal{folded}"
            advice = (
                "Totango stores foreign keys in lower case and binds by them, so one account would get what belongs to "
                f"the other. Give each its own {shown(name)}; of a Salesforce ID, the 18 characters that "
                "salesforce_id() makes"
            )
            sides = [seen.side(f"{shown(name)} {shown(key)}") for seen, key in named.items()]
            yield _finding(title, sides, advice)


def _by_key(people: People) -> list[tuple[str, dict[Seen, str]]]:
    keys = (
        ((name, value.strip().lower()), (name, seen, value))
        for seen in people.seen.values()
        for name, value in seen.keys.items()
        if is_own_key(name, value)
    )
    return [(group[0][0], {seen: value for _, seen, value in group}) for group in _groups(keys)]


def _two_ids(people: People) -> Iterator[Finding]:
    shared: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for ids, reason in _shared(people):
        pair = [people.accounts[each] for each in ids]
        sources = [each.sources for each in pair]
        if sources == [{"sdk"}, {"browser"}]:
            pair.reverse()
        elif sources != [{"browser"}, {"sdk"}]:
            continue
        if not people.are_related(*pair) and not people.were_told(pair):
            shared[pair[0].id, pair[1].id].append(reason)
    for (browser, sdk), reasons in shared.items():
        pair = [people.accounts[browser], people.accounts[sdk]]
        people.tell(pair)
        why = ", and ".join(list(dict.fromkeys(reasons))[:3])
        advice = (
            f"Send one ID from both: put {shown(sdk)} into the page's totango_options as account.id, or give "
            f"account={shown(browser)} to the SDK. If they really are two, nothing is wrong"
        )
        title = f"{shown(browser)} comes only from the browser and {shown(sdk)} only from the SDK, but they share {why}"
        yield _finding(title, [seen.side() for seen in pair], advice)


def _shared(people: People) -> Iterator[tuple[list[str], str]]:
    """Yield each two accounts that share what no third one has, and what it is."""
    for group in _groups(_traits(people)):
        what, value, _ = group[0]
        ids = {account for _, _, account in group}
        if len(ids) == 2 and value not in _NO_VALUES:
            yield sorted(ids), f"{what} {shown(value)}"


def _traits(people: People) -> Iterator[tuple[tuple[str, str], tuple[str, str, str]]]:
    """Yield what tells who an account is: each with a key, and the account that has it."""
    for what, value, account in chain(_said_traits(people), _user_traits(people)):
        yield (what, value), (what, value, account)


def _said_traits(people: People) -> Iterator[tuple[str, str, str]]:
    by_id = {_folded(account): account for account in people.accounts}
    for seen in people.accounts.values():
        if seen.name and seen.name.strip():
            yield "the name", _folded(seen.name), seen.id
        if record := _record(seen.id):
            yield "the Salesforce record", record, seen.id
    for seen in people.seen.values():
        for name, value in seen.keys.items():
            if not is_own_key(name, value):
                continue
            if record := _record(value):
                yield "the Salesforce record", record, seen.root
                continue
            yield shown(name), _folded(value), seen.root
            if other := by_id.get(_folded(value)):
                yield "an ID that is the foreign key", _folded(value), seen.root
                yield "an ID that is the foreign key", _folded(value), other


def _record(text: str) -> str | None:
    """Return the 18 characters of what looks like the ID of an account in Salesforce."""
    try:
        return salesforce_id(text) if _SALESFORCE.fullmatch(text) else None
    except InvalidID:
        return None


def _user_traits(people: People) -> Iterator[tuple[str, str, str]]:
    for user, where in people.users.items():
        if _is_email(user):
            folded = _folded(user)
            for root in {people.seen[account].root for account, _, _ in where}:
                yield "the user", folded, root


def _is_email(user: str) -> bool:
    name, _, domain = user.strip().rpartition("@")
    return bool(name and domain)


def _orphan(people: People) -> Iterator[Finding]:
    for seen in people.seen.values():
        if seen.product is not None and seen.parent is None:
            head = seen.id.removesuffix(f"_{seen.product}")
            sides = [seen.side(f"product {shown(seen.product)}, and no parent_id", seen.said)]
            sides += [people.accounts[head].side()] if head != seen.id and head in people.accounts else []
            account = shown(head) if head != seen.id else "ACCOUNT_ID"
            advice = (
                f"Send parent_id, the ID of the account, beside product_id: in the SDK, account={account} with "
                f"product={shown(seen.product)}"
            )
            yield _finding(f"The product account {shown(seen.id)} belongs to no account", sides, advice)


_USE_OTHERS = (
    "An account ID and a product ID are joined with _, which both may have in them. Give one of the products an "
    "account_id of its own, or use IDs without _"
)


def _ambiguous(people: People) -> Iterator[Finding]:
    for account, products in people.products.items():
        seen, said = people.seen[account], products
        if seen.product is not None:
            said = {seen.product: seen.said or seen.event, **products}
        if len(said) > 1:
            sides = [seen.side(_parts(account, product), event) for product, event in said.items()]
            title = f"{shown(account)} stands for {len(sides)} product accounts, which Totango would merge"
            yield _finding(title, sides, _USE_OTHERS)
    children = {seen.parent: seen for seen in people.seen.values() if seen.product is not None}
    for parent, below in children.items():
        seen = people.seen.get(parent or "", below)
        if seen is not below and seen.id == f"{seen.parent}_{seen.product}":
            sides = [seen.side(_parts(seen.id, seen.product or "")), below.side(f"below the account {shown(seen.id)}")]
            title = f"{shown(seen.id)} is a product account, and also an account that has products"
            yield _finding(title, sides, _USE_OTHERS)


def _parts(account: str, product: str) -> str:
    head = account.removesuffix(f"_{product}")
    return f"account {shown(head)} with product {shown(product)}" if head != account else f"product {shown(product)}"


def _user_spelling(people: People) -> Iterator[Finding]:
    spelled: list[tuple[tuple[str, str], str]] = []
    for user, where in people.users.items():
        # An e-mail address is one person wherever it is seen; another ID need not be, below another account.
        folded = _folded(user)
        roots = {""} if _is_email(user) else {people.seen[account].root for account, _, _ in where}
        spelled += [((root, folded), user) for root in roots]
    for group in _groups(spelled):
        right = next((user for user in group if user == user.strip().lower()), group[0].strip())
        how = " and spaces" if any(user != user.strip() for user in group) else ""
        title = f"{' and '.join(shown(user) for user in group[:3])} differ only in letter case{how}"
        advice = (
            "Totango takes them for separate users. Bring user IDs into one form where they are read, such as "
            f"user.strip().lower(), and send {shown(right)} from everywhere"
        )
        yield _finding(title, [_user_side(people, user) for user in group], advice)


def _user_side(people: People, user: str) -> dict[str, Any]:
    where = people.users[user]
    ids = [shown(account) for account in dict.fromkeys(account for account, _, _ in where)]
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return {
        "what": "user",
        "id": user,
        "name": people.user_name(user),
        "sources": sorted({source for _, source, _ in where if source is not None}),
        "detail": f"below {', '.join(ids[:3])}{more}",
        "event": max(event for _, _, event in where),
    }


# In this order, since the later ones do not repeat what the earlier ones told.
_KINDS: dict[str, Callable[[People], Iterator[Finding]]] = {
    "case": _case,
    "space": _space,
    "salesforce": _salesforce,
    "two_ids": _two_ids,
    "foreign_key": _foreign_key,
    "orphan": _orphan,
    "ambiguous": _ambiguous,
    "user_spelling": _user_spelling,
}

"""Account IDs that are one in another spelling: letter case, spaces, forms of a Salesforce ID."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ..identity import salesforce_id
from ..show import shown
from . import keys
from .people import is_own_key
from .telling import finding, grouped, ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .people import Known, People
    from .telling import Finding

_SHOWN_NAME = 100


def _alike(people: People, key: Callable[[str], str]) -> Iterator[list[Known]]:
    """Yield groups of IDs that give the same key; product accounts only where their accounts do
    not differ.
    """
    plain = [(key(known.id), known) for known in people.accounts.values()]
    products = [(key(known.id), known) for known in people.product_accounts]
    yield from grouped(plain)
    yield from grouped(((known.root, found), known) for found, known in products)
    joined = dict(products)
    for found, known in plain:
        if found in joined and joined[found].id != known.id:
            yield [joined[found], known]


def case(people: People) -> Iterator[Finding]:
    """Yield IDs that differ only in letter case."""
    for group in _alike(people, keys.folded):
        by_text = sorted(group, key=lambda known: known.id == keys.trimmed(known.id))
        spelled = list({keys.trimmed(known.id): known for known in by_text}.values())
        doubtful = any(keys.is_one_case(keys.trimmed(known.id)) for known in spelled)
        if not doubtful:
            spelled = [known for known in spelled if not keys.is_certain_record(known.id)]
        if len(spelled) < 2:
            continue

        people.tell(spelled)
        advice = (
            "Totango's IDs are case sensitive, so these are separate accounts. Choose one "
            f"spelling, such as {shown(keys.trimmed(_preferred(spelled).id))}, and send it from "
            "everywhere"
        )
        title = f"{ids(spelled)} differ only in letter case"
        yield finding(title, [known.side() for known in spelled], advice)


def _preferred(group: list[Known]) -> Known:
    """Return the one that a backend sends, else the one that came most often."""
    return max(group, key=lambda known: ("sdk" in known.sources, known.count))


def space(people: People) -> Iterator[Finding]:
    """Yield IDs that differ only in spaces around them."""
    if all(each == keys.trimmed(each) for ids in (people.seen, people.accounts) for each in ids):
        return
    for group in _alike(people, keys.trimmed):
        people.tell(group)
        advice = (
            "Totango drops an event whose ID has a space around it. Strip it where it is read, "
            f"and send {shown(keys.trimmed(group[0].id))}"
        )
        title = f"{ids(group)} differ only in spaces around them"
        yield finding(title, [known.side() for known in group], advice)


def salesforce(people: People) -> Iterator[Finding]:
    """Yield records that are named with 15 characters and with 18: by their IDs, or by a key."""
    named = [
        (start, known)
        for known in people.accounts.values()
        if (start := _fifteen(known.id)) is not None
    ]
    for group in grouped(named):
        for long in (known for known in group if len(known.id) == 18):
            same = [known for known in group if _is_short_form(known.id, long.id)]
            if same:
                people.tell([*same, long])
                yield _both_forms(same, long)
    yield from _salesforce_keys(people)


def _both_forms(same: list[Known], long: Known) -> Finding:
    advice = (
        "They are one Salesforce record, and two accounts. Totango binds on the 18 characters: "
        f"send {shown(salesforce_id(long.id))} from everywhere"
    )
    title = (
        f"{ids(same)} and {shown(long.id)} are the same Salesforce ID, in 15 and in 18 characters"
    )
    return finding(title, [known.side() for known in (*same, long)], advice)


class _Named(NamedTuple):
    """An account, and a Salesforce ID that it has as its key."""

    known: Known
    key: str


def _salesforce_keys(people: People) -> Iterator[Finding]:
    """Yield records that one account names with 15 characters and another with 18."""
    groups: defaultdict[tuple[str, str], list[_Named]] = defaultdict(list)
    for known in people.seen.values():
        for name, value in known.keys.items():
            if is_own_key(name, value) and (start := _fifteen(value)):
                groups[name, start].append(_Named(known, value))

    for (name, _), named in groups.items():
        for long in (each for each in named if len(each.key) == 18):
            short = [each for each in named if _is_short_form(each.key, long.key)]
            same = [each for each in short if each.known.root != long.known.root]
            if same:
                both = [*same, long]
                people.tell([each.known for each in both])
                yield _both_keys(name, both)


def _both_keys(name: str, both: list[_Named]) -> Finding:
    title = (
        f"{ids(each.known for each in both)} have the same Salesforce record as {shown(name)}, "
        "in 15 and in 18 characters"
    )
    advice = (
        f"One record can belong to one account. Correct {shown(name)} of the wrong one, and send "
        "the 18 characters everywhere"
    )
    sides = [each.known.side(f"{name[:_SHOWN_NAME]} {each.key!r}") for each in both]
    return finding(title, sides, advice)


def _fifteen(text: str) -> str | None:
    return text[:15].lower() if keys.looks_like_record(text) else None


def _is_short_form(short: str, long: str) -> bool:
    """Whether these are the 15 and the 18 characters of one record."""
    if len(short) != 15:
        return False
    restored = keys.salesforce_record(long)
    return restored is not None and (restored[:15] == short or keys.is_one_case(short))

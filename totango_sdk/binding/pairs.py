"""Which IDs of two lists are likely one: step by step, and only where nothing is guessed.

A step pairs two IDs if they have the same key and no third one on either side has it. The pair is
then out, so that each ID is told once. Every step takes time in proportion to what is left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from . import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    Key = Callable[[str], object]

_FEWEST_AFFIXED = 3
_MOST_PLACES = 20


class Pair(NamedTuple):
    """One ID of each side, and the step that found them."""

    one: str
    other: str
    reason: str


def partners(ones: Iterable[str], others: Iterable[str], *, any_prefix: bool = False) -> list[Pair]:
    """Return the likely pairs of two lists of IDs of which none is in both.

    With `any_prefix`, Salesforce IDs are those of any record, as in a column of their own.
    """
    left, right = dict.fromkeys(ones), dict.fromkeys(others)
    found: list[Pair] = []
    for reason, step in _steps(any_prefix=any_prefix):
        made = [Pair(one, other, reason) for one, other in step(left, right)]
        for pair in made:
            del left[pair.one], right[pair.other]
        found += made
    return found


def by_names(
    ones: Collection[str],
    others: Collection[str],
    names: Mapping[str, str],
    other_names: Mapping[str, str],
) -> list[Pair]:
    """Return the pairs of what is left whose names are there once in each list.

    `names` and `other_names` are those of all IDs of each list, also of what is paired already.
    """
    once, other_once = _once(names), _once(other_names)
    return [
        Pair(once[name], other_once[name], "name")
        for name in once
        if name in other_once and once[name] in ones and other_once[name] in others
    ]


def _once(names: Mapping[str, str]) -> dict[str, str]:
    """Return whose each name is, folded, where it is one ID's only."""
    counts = Counter(keys.folded(name) for name in names.values())
    folded = ((keys.folded(name), each) for each, name in names.items())
    return {name: each for name, each in folded if name and counts[name] == 1}


def unique_pairs(ones: Iterable[str], others: Iterable[str], key: Key) -> Iterator[tuple[str, str]]:
    """Yield each two IDs that have the same key, and no third one has it."""
    left, right = _by_key(ones, key), _by_key(others, key)
    for each, group in left.items():
        matching = right.get(each, ())
        if len(group) == len(matching) == 1 and not are_two_records(group[0], matching[0]):
            yield group[0], matching[0]


def groups(ids: Iterable[str], key: Key) -> list[list[str]]:
    """Return the IDs of one list that have the same key, together, where they are two or more."""
    return [group for group in _by_key(ids, key).values() if len(group) > 1]


def are_two_records(one: str, other: str) -> bool:
    """Whether they are two Salesforce IDs of 15 characters in which letter case counts."""
    return one != other and keys.is_certain_record(one) and keys.is_certain_record(other)


def _by_key(ids: Iterable[str], key: Key) -> dict[object, list[str]]:
    found: defaultdict[object, list[str]] = defaultdict(list)
    for each in ids:
        if (made := key(each)) is not None:
            found[made].append(each)
    return found


if TYPE_CHECKING:
    Side = Mapping[str, None]
    Step = Callable[[Side, Side], Iterable[tuple[str, str]]]


def _steps(*, any_prefix: bool) -> list[tuple[str, Step]]:
    return [
        ("space", _same(keys.trimmed)),
        ("width", _same(keys.narrow)),
        ("case", _same(keys.folded)),
        ("salesforce", lambda left, right: _records(left, right, any_prefix=any_prefix)),
        ("zeros", _same(keys.unpadded)),
        ("scientific", _scientific),
        ("decimal", _same(keys.undecimal)),
        ("separator", _same(keys.unseparated)),
        ("prefix", lambda left, right: _affixed(left, right, keys.without_prefix)),
        ("suffix", lambda left, right: _affixed(left, right, keys.without_suffix)),
    ]


def _same(key: Key) -> Step:
    return lambda left, right: list(unique_pairs(left, right, key))


def _records(left: Side, right: Side, *, any_prefix: bool) -> list[tuple[str, str]]:
    key = record_key([*left, *right], any_prefix=any_prefix)
    return list(unique_pairs(left, right, key))


def record_key(ids: Iterable[str], *, any_prefix: bool = False) -> Callable[[str], str | None]:
    """Return the key by which these are one Salesforce record.

    Of 15 characters in one case only, the case may be lost: they are the one record among these
    that has those letters, and none where there are several.
    """
    certain: defaultdict[str, set[str]] = defaultdict(set)
    for each in ids:
        record = keys.salesforce_record(each, any_prefix=any_prefix)
        if record is not None and not _is_doubtful(each):
            certain[record[:15].lower()].add(record)

    def key(text: str) -> str | None:
        record = keys.salesforce_record(text, any_prefix=any_prefix)
        if record is None or not _is_doubtful(text):
            return record
        fitting = certain[record[:15].lower()] or {record}
        return next(iter(fitting)) if len(fitting) == 1 else None

    return key


def _is_doubtful(text: str) -> bool:
    text = keys.narrow(text)
    return len(text) == 15 and keys.is_one_case(text)


def _scientific(left: Side, right: Side) -> list[tuple[str, str]]:
    return [
        *_shortened(left, right),
        *((other, one) for one, other in _shortened(right, left)),
    ]


def _shortened(whole: Side, short: Side) -> list[tuple[str, str]]:
    """Return each ID of digits with the one that a spreadsheet has shortened."""
    read = {each: found for each in short if (found := keys.scientific(each)) is not None}
    wanted = sorted({found.places for found in read.values() if found.places <= _MOST_PLACES})
    fitting: defaultdict[object, list[str]] = defaultdict(list)
    for each in whole if wanted else ():
        for places in wanted:
            fitting[keys.shortened(each, places)].append(each)
    meant = {each: fitting.get(found, []) for each, found in read.items()}
    return _only_once((ids[0], each) for each, ids in meant.items() if len(ids) == 1)


def _only_once(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those pairs of which neither ID is in another one."""
    listed = list(pairs)
    left, right = Counter(one for one, _ in listed), Counter(other for _, other in listed)
    return [(one, other) for one, other in listed if left[one] == right[other] == 1]


def _affixed(
    left: Side, right: Side, split: Callable[[str], tuple[str, str] | None]
) -> list[tuple[str, str]]:
    """Return pairs of which one is the other with a prefix, or a suffix, that three pairs have."""
    found = [((affix, True), one, other) for affix, one, other in _bare(left, right, split)]
    found += [((affix, False), one, other) for affix, other, one in _bare(right, left, split)]
    once = set(_only_once((one, other) for _, one, other in found))
    counts = Counter(affix for affix, one, other in found if (one, other) in once)
    return [
        (one, other)
        for affix, one, other in found
        if (one, other) in once and counts[affix] >= _FEWEST_AFFIXED
    ]


def _bare(
    bare: Side, affixed: Side, split: Callable[[str], tuple[str, str] | None]
) -> Iterator[tuple[str, str, str]]:
    plain = _by_key(bare, keys.narrow)
    for each in affixed:
        parts = split(each)
        fitting = [] if parts is None else plain.get(parts[1], [])
        if parts is not None and len(fitting) == 1:
            yield parts[0], fitting[0], each

"""Of a long list of IDs, those few that can be partners of IDs of a short one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

_MOST_PLACES = 20
_SAME: tuple[Callable[[str], object], ...] = (
    keys.folded,  # joins whatever trimming or the usual width does
    keys.unpadded,
    keys.undecimal,
    keys.unseparated,
)


def fitting(few: Collection[str], many: Iterable[str]) -> Iterator[str]:
    """Yield those of `many` that have a key of one of `few`, as any step of `partners` makes it.

    To find partners among them is the same as among all: whoever shares a key is still there.
    """
    if not few:
        return
    wanted = [{key(each) for each in few} - {None} for key in _SAME]
    letters = {_letters(each) for each in few} - {None}
    whole = {keys.narrow(each) for each in few}
    rest = {part[1] for each in few for part in _parts(each)}
    shorts = [found for each in few if (found := keys.scientific(each)) is not None]
    places = sorted({found.places for found in shorts if found.places <= _MOST_PLACES})
    short = set(shorts)
    shortened = {keys.shortened(each, at) for each in few for at in range(_MOST_PLACES + 1)}
    for each in many:
        if (
            any(key(each) in known for key, known in zip(_SAME, wanted, strict=True))
            or _letters(each) in letters
            or keys.narrow(each) in rest
            or any(part[1] in whole for part in _parts(each))
            or any(keys.shortened(each, at) in short for at in places)
            or (keys.scientific(each) in shortened if "+" in each else False)
        ):
            yield each


def _letters(text: str) -> str | None:
    record = keys.salesforce_record(text, any_prefix=True)
    return None if record is None else record[:15].lower()


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for split in (keys.without_prefix, keys.without_suffix):
        if (found := split(text)) is not None:
            yield found

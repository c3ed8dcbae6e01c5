"""What a search finds in a request: words of any case, as they were sent and as they are meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus

if TYPE_CHECKING:
    from .arrival import Arrival

_WORD = re.compile(r'"([^"]*)"?|(\S+)')
_MOST_WORDS = 20
# As browsers and this SDK escape. Not an equals sign in a value: it would be told from the others by
# its escape only.
_KEPT = "!'()*"
_PLAIN = re.compile(
    r"(?:[\w.~=&+!'()*-]|%(?:2[02-6BCF]|3[A-CEF]|40|5[B-E]|60|7[B-D]))*", re.ASCII | re.IGNORECASE
)


def words(text: str) -> list[str]:
    """Return the words that are looked for, folded; what stands in quotes is one."""
    found = (quoted or word for quoted, word in _WORD.findall(text))
    return [word.casefold() for word in found if word][:_MOST_WORDS]


def meant_by(arrival: Arrival) -> str | None:
    """Return what a search finds, folded: parameters as they are meant, problems, the agent.

    `None` where what was sent tells all of it: there a word is found by its escaped forms.
    """
    sent = f"{arrival.query}&{arrival.body}"
    problems = arrival.reading.problems
    if not problems and arrival.agent in arrival.head and _is_plain(sent):
        return None
    # Not by `parameters`: this is done for each request, and need not tell names from values.
    found = [unquote_plus(sent, errors="replace").replace("&", "\n")]
    found += [f"{problem.field}: {problem.message}" for problem in problems]
    found += [arrival.source, arrival.kind, arrival.agent]
    return "\n".join(found).casefold()


def _is_plain(sent: str) -> bool:
    return _PLAIN.fullmatch(sent) is not None and not ("+" in sent and "%20" in sent)


def escaped(word: str) -> set[str]:
    """Return the forms that a word can have in what needs no other words, in lower case."""
    once = quote(word, safe=f"={_KEPT}").lower()
    return {once, once.replace("%20", "+")}

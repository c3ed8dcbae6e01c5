"""What a search finds: words in everything that is kept, within a time."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote_plus

import pytest

from totango_sdk.errors import OptionsError
from totango_sdk.sandbox import Store
from totango_sdk.sandbox.arrival import understand
from totango_sdk.sandbox.search import milliseconds
from totango_sdk.sandbox.words import words
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as kept:
        for at, agent, pairs in (
            (1000.0, "curl/8", [("sdr_s", "SP-1-1"), ("sdr_o", "A"), ("sdr_o.Größe des Lagers", "sehr groß")]),
            (
                2000.5,
                "Ruby/3",
                [("sdr_s", "SP-2-2"), ("sdr_o", "A"), ("sdr_u", "x@y.z"), ("sdr_a", "Open report"), ("sdr_m", "M")],
            ),
            (3000.0, "Ruby/3", [("sdr_s", "SP-2-2"), ("sdr_o", "not an id")]),
        ):
            head = f"POST /pixel.gif/ HTTP/1.1\nx-request-id: R-{at}"
            kept.record(understand(time=at, method="POST", query=b"", body=encode(pairs), user_agent=agent, head=head))
        yield kept


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"text": "größe"}, [1]),
        ({"text": "GROß lagers"}, [1]),
        ({"text": '"des lagers"'}, [1]),
        ({"text": '"lagers des"'}, []),
        ({"text": "sp-2-2 report"}, [2]),
        ({"text": '"open report"'}, [2]),
        ({"text": "position 4"}, [3]),
        ({"text": "ruby"}, [2, 3]),
        ({"text": "r-2000.5"}, [2]),
        ({"text": "sdr_o.Gr%C3%B6%C3%9Fe"}, [1]),
        ({"text": "%' OR 1=1 --"}, []),
        ({"text": '"'}, [1, 2, 3]),
        ({"service": "SP-2-2"}, [2, 3]),
        ({"service": "SP-2-2", "problem": "none"}, [2]),
        ({"from": "2000500"}, [2, 3]),
        ({"from": "2000501"}, [3]),
        ({"to": "2000500"}, [1]),
        ({"from": "1970-01-01T00:33:20Z", "to": "1970-01-01T00:50:00"}, [2]),
        ({"from": "1970-01-01T01:33:20+01:00"}, [2, 3]),
    ],
)
def test_everything_that_is_kept_is_searched(store: Store, filters: dict[str, str], found: list[int]) -> None:
    assert [event["id"] for event in store.events(filters=filters)] == found


def test_words_are_parted_by_spaces_and_kept_together_by_quotes() -> None:
    assert words('Acme "open Report" x"y z') == ["acme", "open report", 'x"y', "z"]
    assert words('"never closed') == ["never closed"]
    assert words("  ") == []


@pytest.mark.parametrize("text", ["yesterday", "-1", "9" * 16, "2026-13-01", "2026-01-31T25:00"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(OptionsError, match="is no time: give it as in from="):
        milliseconds("from", text)


def test_a_word_is_found_as_it_is_meant_however_it_was_escaped() -> None:
    chance = random.Random(4)
    letters = "abcAB 19.-_~!'()*/:@=&+%?,;<>#[]{}|^`\\ßéŁ—"
    ways = [
        quote_plus,
        quote,
        partial(quote, safe="/:@!'()*"),
        lambda text: quote_plus(text).lower(),
        lambda text: text,
    ]
    with Store() as store:
        meant: dict[int, str] = {}
        for number in range(1, 301):
            value = "".join(chance.choices(letters, k=chance.randrange(1, 30)))
            query = f"sdr_s=SP-1-1&sdr_o=A&sdr_a={chance.choice(ways)(value)}"
            head = "GET /pixel.gif/ HTTP/1.1\nuser-agent: curl/8"
            store.record(
                understand(time=1.0, method="GET", query=query.encode(), body=b"", user_agent="curl/8", head=head)
            )
            meant[number] = unquote_plus(query).replace("&", "\n") + "\n" + f"{head}\n{query}".lower()
        for number, text in meant.items():
            value = text.split("sdr_a=", 1)[1].split("\n")[0]
            start = chance.randrange(len(value) or 1)
            word = value[start : start + chance.randrange(1, 8)].strip().replace('"', "")
            if not word:
                continue
            found = {row["id"] for row in store.events(filters={"text": f'"{word}"'}, limit=1000)}
            assert number in found, (word, text)
            told = {each for each, other in meant.items() if word.casefold() in other.casefold()}
            assert told <= found, (word, [meant[each] for each in told - found])

"""The findings over a plain value: without a store, a socket or a clock."""

from __future__ import annotations

from totango_sdk.binding import Seen, SeenAccount, Sighting, findings

E1, E2 = "joe@x.com", "ann@x.com"


def brief(seen: Seen) -> list[tuple[str, list[str]]]:
    return [(each["kind"], [side["id"] for side in each["sides"]]) for each in findings(seen)]


def test_nothing_seen_is_nothing_found() -> None:
    assert findings(Seen()) == []


def test_sightings_alone_tell_of_spellings() -> None:
    seen = Seen(
        sightings=[Sighting("Acme", E1, "sdk", event=1, times=2), Sighting("acme", E2, "browser", event=2, times=1)]
    )
    (found,) = findings(seen)
    assert found["title"] == "'Acme' and 'acme' differ only in letter case"
    assert [side["detail"] for side in found["sides"]] == [
        "seen from the SDK, 2 events",
        "seen from the browser, one event",
    ]


def test_accounts_alone_tell_of_keys_that_collide() -> None:
    seen = Seen(
        accounts=[SeenAccount("a1", keys={"foreignkeyid": "Key-1"}), SeenAccount("a2", keys={"foreignkeyid": "KEY-1"})]
    )
    assert brief(seen) == [("foreign_key", ["a1", "a2"])]


def test_what_stands_for_no_key_collides_with_nothing() -> None:
    accounts = [SeenAccount(each, keys={"foreignkeyid": value}) for each, value in (("a1", "n/a"), ("a2", "N/A"))]
    assert findings(Seen(accounts=accounts)) == []


def test_zero_width_characters_and_wide_ones_are_no_difference() -> None:
    seen = Seen(sightings=[Sighting("Acme1", source="sdk"), Sighting("\u200bacme１", source="sdk")])
    assert [kind for kind, _ in brief(seen)] == ["case"]


def test_a_source_that_is_no_longer_known_is_none() -> None:
    seen = Seen(
        accounts=[SeenAccount("1")],
        sightings=[Sighting("1", "JOE@x.com", event=1), Sighting("1", E1, "sdk", event=2, times=1)],
    )
    (found,) = findings(seen)
    assert [(side["id"], side["sources"], side["name"]) for side in found["sides"]] == [
        ("JOE@x.com", [], None),
        (E1, ["sdk"], None),
    ]


def test_an_id_with_a_space_is_found_once_by_its_account() -> None:
    seen = Seen(
        sightings=[
            Sighting("819332", E1, "sdk"),
            Sighting("819332 ", E1, "browser"),
            Sighting("7_ABC", E2, "sdk", "ABC"),
            Sighting(" 7_ABC", E2, "browser", "ABC"),
            Sighting("7_ABC", "joe@x.com ", "sdk", "ABC"),
        ]
    )
    listed = findings(seen)
    assert [(each["kind"], [side["id"] for side in each["sides"]]) for each in listed] == [
        ("space", ["819332", "819332 "]),
        ("space", ["7", " 7"]),
        ("user_spelling", [E1, "joe@x.com "]),
    ]
    assert "send '819332'" in listed[0]["advice"]
    assert "and spaces" in listed[2]["title"]


def test_a_child_of_two_parents_is_found() -> None:
    seen = Seen(
        accounts=[SeenAccount("child", parent="B")],
        sightings=[
            Sighting("child", source="sdk", event=3, times=2, parent="A"),
            Sighting("child", source="browser", event=2, times=1, parent="B"),
            Sighting("other", source="sdk", event=4, times=1, parent="B"),
            Sighting("other", source="sdk", event=5, times=1),
        ],
    )
    (found,) = findings(seen)
    assert (found["kind"], found["about"]) == ("two_parents", ["child"])
    assert [(side["detail"].split(";")[0], side["event"]) for side in found["sides"]] == [
        ("below 'A'", 3),
        ("below 'B'", 3),
    ]


def usage(account: str, source: str, product: str | None = None, used: int = 1) -> Sighting:
    return Sighting(account, None, source, product, event=1, times=1, used=used, parent="7" if product else None)


def test_usage_on_the_account_from_the_page_and_on_the_product_from_the_backend_is_found() -> None:
    both = [usage("7", "browser"), usage("7_ABC", "sdk", "ABC")]
    (found,) = findings(Seen(sightings=both))
    assert (found["kind"], [side["id"] for side in found["sides"]]) == ("product_usage", ["7", "7_ABC"])
    for right in (
        [*both, usage("7_ABC", "browser", "ABC")],
        [*both, usage("7", "sdk")],
        [usage("7", "browser", used=0), usage("7_ABC", "sdk", "ABC")],
        [usage("7", "browser")],
    ):
        assert findings(Seen(sightings=right)) == []


def test_a_user_below_very_many_accounts_is_found_and_one_without_a_name_sooner() -> None:
    def seen(user: str, count: int) -> Seen:
        return Seen(sightings=[Sighting(f"a{number}", user, "sdk", event=1, times=1) for number in range(count)])

    for user in ("anonymous", "0", "Unknown", "null"):
        assert [each["about"] for each in findings(seen(user, 2))] == [[user]]
        assert findings(seen(user, 1)) == []
    assert [each["kind"] for each in findings(seen("17", 20))] == ["shared_user"]
    assert findings(seen("17", 19)) == []

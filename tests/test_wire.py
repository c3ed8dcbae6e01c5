"""There and back: what is written is read again as it was meant."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk import wire
from totango_sdk.errors import InvalidEvent
from totango_sdk.events import Event
from totango_sdk.identity import Account, Product, User
from totango_sdk.recall import Recall

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SERVICE = "SP-0000-00"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = st.sampled_from(
    [
        "&",
        "=",
        "&sdr_o=x",
        "a&b=c",
        "%26sdr_u%3Dx",
        "+",
        "%",
        "%zz",
        ";",
        "#",
        "?",
        " ",
        "\x00",
        "\r\n",
        "é",
        "😀",
        "&api-token=x",
        "a=b&",
    ]
)
Pair = tuple[str, str]


def always(_: str, __: int, ___: bool) -> bool:
    return True


def never(_: str, __: int, force: bool) -> bool:
    return force


def sent(event: Event, due: wire.Due = always) -> list[list[Pair]]:
    return [wire.decode(request.body) for request in wire.requests(SERVICE, event, due)]


@relaxed
@given(st.lists(st.tuples(TEXT, TEXT)))
def test_decoding_gives_back_exactly_what_was_encoded(pairs: list[Pair]) -> None:
    body = wire.encode(pairs)
    assert wire.decode(body) == pairs
    assert wire.decode(body.decode("ascii")) == pairs
    assert body.isascii()
    assert body.count(b"&") == max(0, len(pairs) - 1)


NAMES = st.one_of(
    TEXT.map(lambda text: text[:20]),
    st.tuples(st.sampled_from(["Plan", "a", "sdr", ""]), HOSTILE, st.sampled_from(["", "x"])).map("".join),
    st.sampled_from(
        ["parent_id", "product_id", "name", "foreignkeyid", "odn", "Contact", "sdr_o.x", "id", "account_name"]
    ),
)
VALUES = st.one_of(
    TEXT, HOSTILE, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.none()
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=4)
IDS = st.text("aB_-9", min_size=1, max_size=6)
NAMED = st.one_of(st.none(), TEXT, HOSTILE)


ACCOUNTS = st.builds(
    Account,
    IDS,
    name=NAMED,
    parent=st.one_of(st.none(), IDS),
    foreignkeyid=VALUES,
    foreign_keys=ATTRIBUTES,
    ofid=NAMED,
    attributes=ATTRIBUTES,
)
PRODUCTS = st.builds(Product, IDS, name=NAMED, account_id=st.one_of(st.none(), IDS), attributes=ATTRIBUTES)
USERS = st.builds(
    User,
    st.one_of(IDS, st.just("jo+&test@x.com")),
    name=NAMED,
    contact=st.one_of(st.none(), st.booleans()),
    attributes=ATTRIBUTES,
)
EVENTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["track", "track", "heartbeat", "identify", "account", "user"]),
        "account": st.one_of(st.none(), ACCOUNTS),
        "user": USERS,
        "product": st.one_of(st.none(), PRODUCTS),
        "activity": st.one_of(TEXT, HOSTILE),
        "module": st.one_of(TEXT, HOSTILE),
        "account_optional": st.just(True),
    }
)


def right(parts: dict[str, Any]) -> Event | None:
    """Return the event of these parts; without what is wrong in them, where something is."""
    try:
        return Event(**parts)
    except InvalidEvent as error:
        wrong = {problem.field for problem in error.problems if problem.severity == "error"}
    changed = dict(parts)
    for name in ("account", "user", "product"):
        entity = changed[name]
        if entity is not None and any(field.partition(".")[0] == name for field in wrong):
            names = {field.partition(".")[2] for field in wrong}
            changed[name] = type(entity)(
                entity.id, attributes={key: value for key, value in entity.attributes.items() if key not in names}
            )
    for name in ("activity", "module"):
        if name in wrong:
            changed[name] = "A b&c=d"
    try:
        return Event(**changed)
    except InvalidEvent:
        return None


def expected(event: Event, due: wire.Due) -> list[list[Pair]]:
    """The rules of the wire once more, as plainly as they can be written."""
    account, user, product, kind = event.account, event.user, event.product, event.kind
    sent: list[list[Pair]] = []

    def of_account(name: str | None, ofid: str | None, pairs: tuple[Pair, ...]) -> tuple[list[Pair], list[Pair]]:
        named = [("sdr_odn", name)] if name else []
        return [("sdr_ofid", ofid)] if ofid else [], named + [(f"sdr_o.{key}", value) for key, value in pairs]

    middle: list[Pair] = []
    if account is not None:
        early, late = of_account(account.said.name, account.said.ofid, account.said.pairs)
        forced = kind in ("identify", "account")
        if product is not None and kind != "account":
            if (early or late) and due(account.id, account.said.mark, kind == "identify"):
                sent.append([("sdr_s", SERVICE), ("sdr_o", account.id), *early, *late])
            early, late = of_account(
                product.said.name, None, (("parent_id", account.id), ("product_id", product.id), *product.said.pairs)
            )
        where = (
            account.id if product is None or kind == "account" else product.account_id or f"{account.id}_{product.id}"
        )
        if not due(where, 0, forced):
            early = late = []
        head = [("sdr_s", SERVICE), ("sdr_o", where), *early]
    else:
        head, late = [("sdr_s", SERVICE)], []
    tail: list[Pair] = []
    if user is not None and kind != "account":
        middle.append(("sdr_u", user.id))
        if due(user.id, 0, kind in ("identify", "user")):
            tail = [(f"sdr_u.{key}", value) for key, value in user.said.pairs]
    if kind in ("track", "heartbeat"):
        middle += [("sdr_a", event.activity or ""), ("sdr_m", event.module or "")]
    return [*sent, [*head, *middle, *late, *tail]]


@relaxed
@given(EVENTS, st.sampled_from([always, never]))
def test_any_right_event_decodes_to_exactly_its_parameters_in_order(parts: dict[str, Any], due: wire.Due) -> None:
    event = right(parts)
    if event is None:
        return
    assert sent(event, due) == expected(event, due)


@relaxed
@given(EVENTS)
def test_no_name_or_value_adds_removes_or_replaces_a_parameter(parts: dict[str, Any]) -> None:
    event = right(parts)
    if event is None:
        return
    known = {"sdr_s", "sdr_o", "sdr_ofid", "sdr_u", "sdr_a", "sdr_m", "sdr_odn"}
    for pairs in sent(event):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names))
        assert all(name in known or name.startswith(("sdr_o.", "sdr_u.")) for name in names)
        assert names[0] == "sdr_s"
        one = dict(pairs)
        assert one["sdr_s"] == SERVICE
        assert one.get("sdr_o") in (None, event.where, event.account and event.account.id)
        assert one.get("sdr_u") in (None, event.user and event.user.id)
        assert not {"sdr_o.id", "sdr_u.id", "sdr_o.account_name", "api-token"} & set(names)


@relaxed
@given(EVENTS, st.sampled_from([always, never]))
def test_the_keys_of_a_body_are_those_that_were_claimed_for_it(parts: dict[str, Any], due: wire.Due) -> None:
    event = right(parts)
    if event is None:
        return
    asked: list[str] = []

    def asking(key: str, mark: int, force: bool) -> bool:
        yes = due(key, mark, force)
        asked.extend([key] if yes else [])
        return yes

    requests = wire.requests(SERVICE, event, asking)
    for request in requests:
        assert tuple(wire.claimed_keys(request.body)) == request.keys
        assert tuple(wire.claimed_keys(request.body + wire.token_suffix("t"))) == request.keys
    assert [key for request in requests for key in request.keys] == asked


@relaxed
@given(EVENTS)
def test_forgetting_what_a_dead_body_claimed_makes_all_of_it_due_again(parts: dict[str, Any]) -> None:
    event = right(parts)
    if event is None:
        return
    said = Recall(3600)
    first = wire.requests(SERVICE, event, said.due)
    for request in first:
        said.forget(wire.claimed_keys(request.body))
    assert wire.requests(SERVICE, event, said.due) == first

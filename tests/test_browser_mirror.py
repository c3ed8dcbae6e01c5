"""What `from_options` sends, beside a written model of what the browser collector sends.

The model is written from docs/browser.md, not from the SDK's code: plain dictionaries and the browser's order of
names. Each random page and its calls go through both; what differs must be one of the differences that
docs/browser.md lists, each with its reason.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from totango_sdk import Totango
from totango_sdk.testing import RecordingTransport

DOCS = (Path(__file__).parent.parent / "docs" / "browser.md").read_text(encoding="utf-8")
SEEDS = range(40)
PAGES_EACH = 60

Pairs = list[list[str]]
ACCOUNT_OWN = ("id", "o", "name", "odn", "account_name", "ofid", "fid", "parent", "attributes", "foreign_keys")
USER_OWN = ("id", "u", "attributes")


# -- the model of the browser's rules


def first(mapping: dict[str, Any], *keys: str) -> Any:
    return next((mapping[key] for key in keys if mapping.get(key) not in (None, "")), None)


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def extra(mapping: dict[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    found = dict(mapping.get("attributes") or {})
    found.update({key: value for key, value in mapping.items() if key not in own})
    return {key: value for key, value in found.items() if value is not None}


class Browser:
    """The collector of one page: who is in force, and what each call sends."""

    def __init__(self, options: dict[str, Any]) -> None:
        said = {key: value for key, value in options.items() if value not in (None, "")}
        self.service = said["service_id"]
        self.module = said.get("module")
        short = {key: said[key] for key in ("o", "odn", "ofid", "fid", "account_name") if key in said}
        self.account = {**short, **self.as_mapping(said.get("account"))}
        self.user = self.as_mapping(said.get("user"))
        name = first(said, "username", "u")
        if name is not None and first(self.user, "id", "u") is None:
            self.user["id"] = name

    def as_mapping(self, given: Any) -> dict[str, Any]:
        if given in (None, ""):
            return {}
        return dict(given) if isinstance(given, dict) else {"id": given}

    def meant(self, given: Any, in_force: dict[str, Any], alias: str) -> dict[str, Any]:
        if given in (None, ""):
            return in_force
        mapping = self.as_mapping(given)
        if first(mapping, "id", alias) is None:
            mapping["id"] = first(in_force, "id", alias)
        return mapping

    def parents(self, account: dict[str, Any]) -> list[Pairs]:
        parent = account.get("parent")
        if not isinstance(parent, dict):
            return []
        own = self.request(parent, None, None)
        return [*self.parents(parent), own] if len(own) > 2 else self.parents(parent)

    def of_account(self, account: dict[str, Any]) -> Pairs:
        found: Pairs = []
        if (name := first(account, "name", "odn", "account_name")) is not None:
            found.append(["odn", text(name)])
        parent = account.get("parent")
        if parent not in (None, ""):
            found.append(["o.parent_id", first(self.as_mapping(parent), "id", "o")])
        return found + [[f"o.{key}", text(value)] for key, value in extra(account, ACCOUNT_OWN).items()]

    def of_user(self, user: dict[str, Any]) -> Pairs:
        named = [["u.name", text(user["name"])]] if user.get("name") not in (None, "") else []
        rest = {key: value for key, value in extra(user, USER_OWN).items() if key != "name"}
        return named + [[f"u.{key}", text(value)] for key, value in rest.items()]

    def sends(self, call: tuple[Any, ...]) -> list[Pairs]:
        kind, *args = call
        if kind == "set_account_attributes":
            account = self.meant(args[0], self.account, "o")
            return [*self.parents(account), self.request(account, None, None)]
        if kind == "set_user_attributes":
            account, user = self.meant(args[0], self.account, "o"), self.meant(args[1], self.user, "u")
            return [*self.parents(account), self.request(account, user, None)]
        activity = "__heartbeat" if kind == "heartbeat" else args.pop(0)
        spare = "__system" if kind == "heartbeat" else None
        module = args[0] or self.module or spare
        account, user = self.meant(args[1], self.account, "o"), self.meant(args[2], self.user, "u")
        return [*self.parents(account), self.request(account, user, (activity, module))]

    def request(self, account: dict[str, Any], user: dict[str, Any] | None, activity: Any) -> Pairs:
        sent = [["s", self.service], ["o", first(account, "id", "o")]]
        if (ofid := first(account, "fid", "ofid")) is not None:
            sent.append(["ofid", text(ofid)])
        if user is not None:
            sent.append(["u", first(user, "id", "u")])
        if activity is not None:
            sent += [["a", activity[0]], ["m", activity[1]]]
        return sent + self.of_account(account) + (self.of_user(user) if user is not None else [])


# -- random pages


class Pages:
    """Makes options and calls that the browser takes, with all of its spellings."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def perhaps(self, mapping: dict[str, Any], key: str, *values: Any, share: float = 0.3) -> None:
        if self.random.random() < share:
            mapping[key] = self.some(*values)

    def attributes(self) -> dict[str, Any]:
        names = self.random.sample(["Plan", "Tier", "Region_1", "ID", "Id", "Seats left"], self.random.randrange(4))
        return {name: self.some("Gold", "", "a&b=c", "Größe", 5, 0, True, False, None) for name in names}

    def account(self, depth: int = 0, *, with_id: bool = True) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if with_id:
            made[self.some("id", "id", "o")] = self.some("A1", "acme-france", "819332")
            if "id" in made:
                self.perhaps(made, "o", "O2", "", share=0.2)
        for key, values in (("name", ("Acme", "")), ("odn", ("Odn",)), ("account_name", ("Named",))):
            self.perhaps(made, key, *values, share=0.2)
        for key in ("ofid", "fid"):
            self.perhaps(made, key, "F1", "F2", share=0.15)
        if depth < 2:
            self.perhaps(made, "parent", f"P{depth}", {**self.account(depth + 1), "id": f"P{depth}"}, share=0.25)
        made |= self.attributes()
        self.perhaps(made, "attributes", {"Nested": "x"}, share=0.15)
        return made

    def user(self, *, with_id: bool = True) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if with_id:
            made[self.some("id", "id", "u")] = self.some("marlo@barksdale.com", "u_1")
            self.perhaps(made, "u", "U2", share=0.2)
        self.perhaps(made, "name", "Marlo", "")
        return made | self.attributes()

    def options(self) -> dict[str, Any]:
        made: dict[str, Any] = {"service_id": "SP-1-1"}
        if self.random.random() < 0.7:
            made["account"] = self.some("A9", self.account())
        else:
            made["o"] = "A8"
            self.perhaps(made, "odn", "Odn8")
            self.perhaps(made, "account_name", "Named8", share=0.2)
        if self.random.random() < 0.6:
            made["user"] = self.some("u9", self.user())
        else:
            made[self.some("username", "u")] = "u8"
            self.perhaps(made, "user", "", {"Role": "x"}, share=0.3)
        made["module"] = self.some("Billing", "Modul é")
        self.perhaps(made, "region", "", "EU1", "us", "Eu")
        for key in ("order_limit", "enableHierarchy", "track_pageviews", "disable_heartbeat"):
            self.perhaps(made, key, 5, True, share=0.2)
        return made

    def who(self, make: Any) -> Any:
        return self.some(None, None, "", "X1", make(), make(with_id=False) or None)

    def call(self) -> tuple[Any, ...]:
        account, user = self.who(self.account), self.who(self.user)
        kind = self.some("track", "track", "heartbeat", "set_account_attributes", "set_user_attributes")
        if kind == "set_account_attributes":
            return (kind, account or {"Plan": "x"})
        if kind == "set_user_attributes":
            return (kind, account, user or {"Role": "x"})
        module = self.some(None, "", "Reports")
        return (kind, "Login & out", module, account, user) if kind == "track" else (kind, module, account, user)


def sent_by_the_sdk(options: dict[str, Any], calls: list[tuple[Any, ...]], **python: Any) -> list[Pairs]:
    transport = RecordingTransport()
    given = {"transport": transport, "spool": "memory", "strict": True, "attributes_ttl": 0, "max_connections": 1}
    client = Totango.from_options(options, **{**given, **python})
    with client:
        for name, *args in calls:
            getattr(client, name)(*args)
        assert client.flush()
    return [[[name.removeprefix("sdr_"), value] for name, value in pairs] for pairs in transport.sent]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_pages_send_what_the_model_of_the_browser_sends(seed: int) -> None:
    pages = Pages(seed)
    for _ in range(PAGES_EACH):
        options = pages.options()
        calls = [pages.call() for _ in range(3)]
        expected = [request for call in calls for request in Browser(options).sends(call)]
        assert sent_by_the_sdk(options, calls) == expected, (options, calls)


def test_the_pages_are_at_least_two_thousand() -> None:
    assert len(SEEDS) * PAGES_EACH >= 2000


HEAD = [["s", "SP-1-1"], ["o", "A"], ["u", "U"], ["a", "L"], ["m", "M"]]
TRACK = ("track", "L", None, None, None)
DIFFERENCES: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]], list[Pairs]]] = {
    "refused": ({"account": "Acme Ltd."}, [TRACK], []),
    "attributes that are due": (
        {"account": {"id": "A", "Plan": "x"}, "python": {"attributes_ttl": 3600}},
        [TRACK, TRACK],
        [[*HEAD, ["o.Plan", "x"]], HEAD],
    ),
    "a product": (
        {"product": "P"},
        [TRACK],
        [[["s", "SP-1-1"], ["o", "A_P"], *HEAD[2:], ["o.parent_id", "A"], ["o.product_id", "P"]]],
    ),
    "keys of the page": ({"order_limit": 5}, [TRACK], [HEAD]),
    "what the browser adds": ({}, [TRACK], [HEAD]),
    "region": ({"region": "eu"}, [TRACK], [HEAD]),
    "contact and key_contact": (
        {"user": {"id": "U", "contact": True, "key_contact": False}},
        [TRACK],
        [[*HEAD, ["u.Contact", "yes"], ["u.Key Contact", "no"]]],
    ),
    "nobody's attributes": (
        {"account": None, "allow_empty_accounts": True},
        [("track", "L", None, {"Plan": "x"}, None)],
        [[HEAD[0], *HEAD[2:]]],
    ),
}


# -- the differences, each listed in the docs with its reason


def test_each_difference_that_the_docs_list_is_one() -> None:
    table = DOCS[DOCS.index("| difference |") :].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert [row[0] for row in rows if row[0] not in ("difference", "---")] == list(DIFFERENCES)
    assert all(len(row) == 4 and all(row) for row in rows)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_listed_difference_is_so(name: str, caplog: pytest.LogCaptureFixture) -> None:
    options, calls, expected = DIFFERENCES[name]
    page = {"service_id": "SP-1-1", "account": "A", "user": "U", "module": "M", **options}
    python = page.pop("python", {})
    assert sent_by_the_sdk(page, calls, **{"strict": False, **python}) == expected
    in_the_browser = [request for call in calls for request in Browser(page).sends(call)]
    assert in_the_browser != expected or name in ("keys of the page", "what the browser adds", "region")
    assert bool(caplog.records) == (name in ("refused", "keys of the page", "nobody's attributes"))

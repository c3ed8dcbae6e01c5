from __future__ import annotations

import os
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest

from totango_sdk import Account, MemorySpool, OptionsError, Product, Totango, User
from totango_sdk.browser import from_browser
from totango_sdk.endpoint import REGIONS
from totango_sdk.options import _ENVIRONMENT, Options
from totango_sdk.spool import DiskSpool
from totango_sdk.testing import RecordingTransport

SECRET = "s3cr3t-T0ken"


def resolve(environ: dict[str, str] | None = None, **given: Any) -> Options:
    return Options.resolve({"service_id": "SP-1234-01", **given}, environ or {})


def refused(environ: dict[str, str] | None = None, **given: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        resolve(environ, **given)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_every_option_has_its_default() -> None:
    options = resolve()
    found = {name: getattr(options, name) for name in Options.__slots__ if not name.startswith("__")}
    assert found == {
        "service_id": "SP-1234-01",
        "account": None,
        "product": None,
        "user": None,
        "module": None,
        "region": "us",
        "allow_http": False,
        "endpoint": "https://sdr.totango.com/pixel.gif/",
        "api_token": None,
        "allow_empty_accounts": False,
        "extra_id_characters": "",
        "attributes_ttl": 3600.0,
        "strict": False,
        "spool": None,
        "durability": "process",
        "transport": "auto",
        "max_connections": 16,
        "max_rate": None,
        "timeout": 10.0,
        "proxy": None,
        "before_send": None,
        "on_dead_letter": None,
        "disabled": False,
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("service_id", "SP-9-9", "SP-9-9"),
        ("region", "eu1", "eu1"),
        ("endpoint", "https://collector.example.com/x/", "https://collector.example.com/x/"),
        ("allow_http", "1", True),
        ("api_token", SECRET, SECRET),
        ("strict", "true", True),
        ("strict", " YES ", True),
        ("strict", "off", False),
        ("strict", "0", False),
        ("spool", "/var/lib/x", "/var/lib/x"),
        ("disabled", "on", True),
    ],
)
def test_each_variable_of_the_environment_sets_its_option(name: str, text: str, value: object) -> None:
    environ = {"TOTANGO_SERVICE_ID": "SP-1-1", _ENVIRONMENT[name]: text}
    assert getattr(Options.resolve({}, environ), name) == value


def test_every_variable_is_named_after_its_option() -> None:
    assert {name: f"TOTANGO_{name.upper()}" for name in _ENVIRONMENT} == _ENVIRONMENT


@pytest.mark.parametrize(
    ("name", "text", "given"),
    [
        ("service_id", "SP-9-9", "SP-1-1"),
        ("region", "eu1", "test"),
        ("endpoint", "https://a.example.com/x/", "https://b.example.com/x/"),
        ("allow_http", "1", False),
        ("api_token", SECRET, "another"),
        ("strict", "true", False),
        ("spool", "/var/lib/x", "memory"),
        ("disabled", "on", False),
    ],
)
def test_a_keyword_beats_the_environment(name: str, text: str, given: object) -> None:
    assert getattr(resolve({_ENVIRONMENT[name]: text}, **{name: given}), name) == given


def test_an_empty_variable_and_a_keyword_of_none_count_as_not_given() -> None:
    assert resolve({"TOTANGO_REGION": "", "TOTANGO_STRICT": ""}, region=None, strict=None) == resolve()
    assert resolve({"TOTANGO_REGION": "eu"}, region=None).region == "eu"


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTANGO_SERVICE_ID", "SP-77-7")
    monkeypatch.setenv("TOTANGO_REGION", "eu1")
    client = Totango.from_env(spool="memory")
    assert repr(client) == "<Totango SP-77-7 at https://sdr-eu1.totango.com/pixel.gif/>"
    with pytest.raises(OptionsError, match="TOTANGO_STRICT='perhaps' is wrong: it is true or false, such as"):
        monkeypatch.setenv("TOTANGO_STRICT", "perhaps")
        Totango.from_env()


@pytest.mark.parametrize(("region", "endpoint"), REGIONS.items())
def test_each_region_has_its_endpoint(region: str, endpoint: str) -> None:
    assert resolve(region=region).endpoint == endpoint
    assert resolve({"TOTANGO_REGION": region}).endpoint == endpoint
    assert endpoint.startswith("https://sdr") and endpoint.endswith(".totango.com/pixel.gif/")


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


WRONG: list[tuple[str, list[object], str]] = [
    ("region", ["mars", "USA", "", 1, ["us"], Hostile()], "region='us'"),
    ("allow_http", ["yes", 1, 0, [], Hostile()], "allow_http=True"),
    ("allow_empty_accounts", ["true", 1], "allow_empty_accounts=True"),
    ("strict", ["true", 1, 2.0], "strict=True"),
    ("disabled", ["true", 1], "disabled=True"),
    ("attributes_ttl", [-1, "3600", float("nan"), True, 10**400, [], Hostile()], "attributes_ttl=3600"),
    ("max_connections", [0, -1, 1.5, 5000, "16", True, 10**400], "max_connections=16"),
    ("max_rate", [0, -1, "1", float("inf"), float("nan"), True], "max_rate=100"),
    ("timeout", [0, -1, "10", float("inf"), 3601, True], "timeout=10.0"),
    ("durability", ["always", "", 1, Hostile()], "durability='process'"),
    ("module", [1, b"Billing", ["Billing"], Hostile()], "module='Billing'"),
    ("before_send", ["f", 1, Hostile()], "before_send=lambda event: event"),
    ("on_dead_letter", ["f", 1], "on_dead_letter=lambda event: event"),
    ("transport", ["requests", "", 1, RecordingTransport, Hostile()], "transport='auto'"),
    ("spool", ["", 1, "a\0b", DiskSpool, os.fsencode("/x"), Hostile()], "spool='/var/lib/myapp/totango'"),
    ("account", [True, 1.5, b"x", ["x"], User("u"), Hostile()], "account='819332'"),
    ("product", [True, 1.5, Account("a")], "product='819332'"),
    ("user", [False, 1.5, Account("a")], "user='819332'"),
    ("endpoint", [1, b"https://a.example.com/", Hostile()], "endpoint='https://sdr.totango.com/pixel.gif/'"),
]


@pytest.mark.parametrize(
    ("name", "value", "example"), [(name, value, example) for name, values, example in WRONG for value in values]
)
def test_a_wrong_value_is_refused_by_name_with_the_value_and_an_example(name: str, value: object, example: str) -> None:
    message = refused(**{name: value})
    shown = "that cannot be shown" if isinstance(value, Hostile) else repr(value)[:20]
    assert message.startswith(f"{name}=")
    assert shown in message
    assert message.endswith(example)
    assert "\n" not in message and len(message) < 400


def test_what_is_right_is_taken() -> None:
    spool, transport = MemorySpool(), RecordingTransport()
    given: dict[str, Any] = {
        "attributes_ttl": float("inf"),
        "max_rate": 0.5,
        "max_connections": 1,
        "timeout": 1,
        "spool": spool,
        "transport": transport,
        "before_send": print,
        "account": uuid.UUID(int=5),
        "user": 7,
        "product": {"id": "P", "module": "M"},
    }
    options = resolve(**given)
    assert (options.spool, options.transport, options.attributes_ttl) == (spool, transport, float("inf"))
    assert options.account == Account("00000000-0000-0000-0000-000000000005")
    assert (options.user, options.product) == (User("7"), Product("P", module="M"))
    assert resolve(attributes_ttl=0, spool=Path("/x")).spool == Path("/x")


def test_what_an_account_contains_is_no_matter_of_options() -> None:
    assert resolve(account="A B").account == Account("A B")
    assert resolve(account={}).account is not None


@pytest.mark.parametrize("value", [None, "", "SP-", "SP-12", "sp-1-1", "SP-1-1 ", " SP-1-1", "SP-१-1", 5, "SP-1-1\n"])
def test_a_service_id_is_sp_digits_digits(value: object) -> None:
    message = refused(service_id=value)
    assert message.startswith("service_id: ")
    assert "SP-<digits>-<digits>, such as 'SP-1234-01'" in message


@pytest.mark.parametrize("value", ["SP-XXXX-XX", "SP-xxxx-xx", "SP-X-X"])
def test_a_placeholder_is_refused_by_name(value: str) -> None:
    assert refused(service_id=value) == (
        f"service_id: {value!r} is the placeholder from the documentation; put in your own, such as 'SP-1234-01'"
    )


@pytest.mark.parametrize(
    "value",
    [
        "https://collector.example.com/pixel.gif/",
        "https://collector.example.com:8443/x",
        "HTTPS://collector.example.com/x/",
        "http://127.0.0.1:8000/pixel.gif/",
        "http://127.8.9.10/x/",
        "http://localhost:80/x/",
        "http://LOCALHOST/x/",
        "http://[::1]:8000/x/",
    ],
)
def test_https_goes_anywhere_and_http_to_this_machine(value: str) -> None:
    assert resolve(endpoint=value).endpoint == value


@pytest.mark.parametrize(
    "value",
    [
        "http://collector:8000/x/",
        "http://10.0.0.1/x/",
        "http://0.0.0.0/x/",
        "http://127.0.0.1.example.com/x/",
        "http://localhost.example.com/x/",
        "http://[::2]/x/",
    ],
)
def test_http_to_another_host_needs_allow_http(value: str) -> None:
    message = refused(endpoint=value)
    assert message.startswith(f"endpoint={value!r} is wrong: plain http goes only to this machine")
    assert resolve(endpoint=value, allow_http=True).endpoint == value
    assert resolve({"TOTANGO_ALLOW_HTTP": "yes"}, endpoint=value).endpoint == value


@pytest.mark.parametrize(
    "host", ["sdr.totango.com", "totango.com", "SDR.Totango.com", "sdr.totango.com.", "sdr-eu1.totango.com:80"]
)
def test_http_never_goes_to_totango(host: str) -> None:
    assert "Totango's own hosts take https only" in refused(endpoint=f"http://{host}/pixel.gif/", allow_http=True)


def test_a_host_that_only_ends_like_totango_is_another() -> None:
    value = "http://nottotango.com/x/"
    assert resolve(endpoint=value, allow_http=True).endpoint == value


@pytest.mark.parametrize(
    "value",
    [
        "file:///etc/passwd",
        "ftp://a.example.com/",
        "//a.example.com/x/",
        "/pixel.gif/",
        "sdr.totango.com",
        "localhost:8000",
        "https://",
        "https:///x/",
        "https://a b.example.com/",
        " https://a.example.com/x/",
        "https://a.example.com/x /",
        "https://a.example.com/x/?y=1",
        "https://a.example.com/x/?",
        "https://a.example.com/x/#y",
        "https://a.example.com:99999/",
        "https://a.example.com:port/",
        "https://[::1/",
        "https://a.example.com/\n",
        "https://a\t.example.com/x/",
        "https://bücher.example.com/",
        "https://a\\b.example.com/",
        "javascript:alert(1)",
        "",
    ],
)
def test_an_endpoint_that_is_no_plain_address_is_refused(value: str) -> None:
    message = refused(endpoint=value, allow_http=True)
    assert message.startswith("endpoint")
    assert "such as endpoint='https://sdr.totango.com/pixel.gif/'" in message


@pytest.mark.parametrize(
    "value",
    [
        "https://me@a.example.com/",
        "https://me:pw@a.example.com/",
        "https://:pw@a.example.com/",
        "https://@a.example.com/",
    ],
)
def test_a_user_name_in_an_endpoint_is_refused_and_not_shown(value: str) -> None:
    message = refused(endpoint=value)
    assert message.startswith("endpoint has a user name or password in it")
    assert "pw" not in message.replace("password", "") and value not in message


def test_what_follows_an_endpoint_is_refused_and_not_shown() -> None:
    for value in (f"https://a.example.com/x/?api-token={SECRET}", f"https://a.example.com/x/#{SECRET}"):
        message = refused(endpoint=value)
        assert message.startswith("endpoint='https://a.example.com/x/' is wrong: it has no query")
        assert SECRET not in message


def test_a_shared_spool_says_what_to_use_instead() -> None:
    message = refused(spool="redis://localhost/0")
    assert "not in this version" in message and "spool='memory'" in message


@pytest.mark.parametrize(
    "value", ["proxy.local:3128", "ftp://p.local/", "http://", "http://p.local:99999/", 5, "http://[", ""]
)
def test_a_proxy_is_an_http_address_and_is_not_shown(value: Any) -> None:
    message = refused(proxy=value)
    assert message == "proxy is wrong: it is the address of an HTTP proxy, such as proxy='http://proxy.local:3128'"


def test_a_proxy_may_have_a_password_which_no_repr_shows() -> None:
    options = resolve(proxy=f"http://me:{SECRET}@proxy.local:3128")
    assert SECRET in str(options.proxy) and SECRET not in repr(options)


def test_curl_can_be_had_where_pycurl_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = refused(transport="curl")
    assert message == "transport='curl' needs pycurl: pip install 'totango-sdk[fast]', or use transport='httpx'"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert resolve(transport="curl").transport == "curl"


def test_power_makes_sense_only_with_a_directory() -> None:
    assert resolve(durability="power").durability == "power"
    assert resolve(durability="power", spool="/x").durability == "power"
    assert resolve(durability="power", spool=Path("/x")).durability == "power"
    for spool in ("memory", MemorySpool()):
        assert refused(durability="power", spool=spool).startswith("durability='power' makes no sense with spool=")


@pytest.mark.parametrize("name", ["service_ID", "regoin", "api-token", "blub", 5])
def test_an_unknown_option_is_named_with_the_nearest_one(name: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        Options.resolve({"service_id": "SP-1-1", name: 1}, {})
    near = {"service_ID": "service_id", "regoin": "region", "api-token": "api_token"}.get(name)
    assert str(caught.value).startswith(f"there is no option {name!r}: ")
    assert (f"did you mean {near!r}?" if near else "the options are account, allow_empty") in str(caught.value)
    with pytest.raises(OptionsError):
        Totango("SP-1-1", **{str(name): 1})  # type: ignore[arg-type]


# -- the token


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET} ü", "", 5, b"bytes", f"\x00{SECRET}"])
def test_a_token_that_is_none_is_refused_without_being_shown(token: Any) -> None:
    message = refused(api_token=token)
    assert message.startswith("api_token is a ")
    assert SECRET not in message and "bytes'" not in message


def test_the_token_is_in_no_repr() -> None:
    options = resolve(api_token=SECRET, spool="memory")
    client = Totango("SP-1-1", api_token=SECRET, spool="memory")
    for thing in (options, client, client._core, client._core.worker, client.stats()):
        assert SECRET not in repr(thing) and SECRET not in str(thing)
    for wrong in ({"region": "mars"}, {"spool": 5}, {"endpoint": "ftp://x"}, {"nonsense": 1}):
        assert SECRET not in refused(**wrong, api_token=SECRET)


# -- the browser's own shape


def browser(mapping: dict[str, Any], **options: Any) -> Options:
    return Options.resolve({**from_browser({"service_id": "SP-1-1", **mapping}), **options}, {})


def test_a_page_that_names_all_is_understood() -> None:
    options = browser(
        {
            "region": "eu1",
            "username": "u@example.com",
            "account": {"id": "A", "name": "Acme", "parent": {"id": "P"}, "Plan": "Gold", "attributes": {"Seats": 5}},
            "product": {"id": "X", "name": "Ex", "Tier": 1},
            "module": "Billing",
            "allow_empty_accounts": True,
        }
    )
    assert (options.region, options.module, options.allow_empty_accounts) == ("eu1", "Billing", True)
    assert options.user == User("u@example.com")
    assert options.account == Account("A", name="Acme", parent="P", attributes={"Plan": "Gold", "Seats": 5})
    assert options.product == Product("X", name="Ex", attributes={"Tier": 1})


def test_the_aliases_name_an_account_and_a_user() -> None:
    options = browser({"o": "A", "odn": "Acme", "ofid": "F", "u": "U"})
    assert (options.account, options.user) == (Account("A", name="Acme", ofid="F"), User("U"))
    assert browser({"o": "A", "fid": "F"}).account == Account("A", ofid="F")
    assert browser({"o": "A", "fid": "1", "ofid": "2"}).account == Account("A", ofid="1")


def test_the_account_itself_goes_before_the_aliases() -> None:
    assert browser({"o": "A", "account": "B"}).account == Account("B")
    assert browser({"o": "A", "odn": "Acme", "account": {"id": "B"}}).account == Account("B", name="Acme")
    assert browser({"odn": "Acme", "account": {"name": "Bcme", "o": "B"}}).account == Account("B", name="Bcme")
    assert browser({"o": "A", "account": Account("B")}).account == Account("B")


def test_the_user_goes_before_username_and_username_before_u() -> None:
    assert browser({"username": "N", "user": "U"}).user == User("U")
    assert browser({"username": "N", "user": {"id": "U"}}).user == User("U")
    assert browser({"username": "N", "u": "O"}).user == User("N")
    assert browser({"u": "O"}).user == User("O")
    assert browser({"username": "N", "user": {"name": "Nora"}}).user == User.from_mapping({"id": "N", "name": "Nora"})
    assert browser({"username": "N", "user": {}}).user == User("N")
    assert browser({"username": "N", "user": ""}).user == User("N")
    assert browser({"user": {"u": "O"}}).user == User("O")


def test_what_only_the_browser_needs_is_ignored_and_empty_texts_are_absent() -> None:
    mapping = {"disable_heartbeat": True, "heartbeat_timeout_sec": 60, "region": "", "username": "", "o": ""}
    assert browser(mapping) == browser({})


def test_an_unknown_key_of_a_page_is_left_out() -> None:
    assert browser({"order_limit": 5, "acount": "A"}) == browser({})


@pytest.mark.parametrize("mapping", [None, [], "SP-1-1", [("service_id", "SP-1-1")]])
def test_what_is_no_mapping_is_refused(mapping: Any) -> None:
    with pytest.raises(OptionsError, match="it is a mapping like window.totango_options"):
        Totango.from_options(mapping)


def test_python_options_stand_beside_the_page_or_in_it() -> None:
    transport = RecordingTransport()
    page = {"service_id": "SP-1-1", "region": "eu1", "spool": "memory", "account": "A"}
    client = Totango.from_options(page, transport=transport, region=None, strict=True)
    assert client._core.options.region == "eu1"
    assert client._core.options.transport is transport
    assert Totango.from_options(page, region="test")._core.options.region == "test"


def test_options_are_frozen() -> None:
    with pytest.raises(AttributeError):
        resolve().region = "eu"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(resolve())) == resolve()

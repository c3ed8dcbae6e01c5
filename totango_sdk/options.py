"""Configure: a mapping, keywords and the environment become `Options`, checked at once.

Every default stands here and nowhere else. What an account, product or user of the options
contains is data, not configuration: it is checked with the event that carries it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import attrs

from .errors import OptionsError, Readable, shown
from .identity import Account, Product, User, as_account, as_product, as_user, service_id_problem
from .identity.ids import canonical_id

if TYPE_CHECKING:
    from .identity import AccountLike, ProductLike, UserLike

    class OptionValues(TypedDict, total=False):
        """The keyword options of `Totango`, for type checkers."""

        account: AccountLike | None
        product: ProductLike | None
        user: UserLike | None
        module: str | None
        region: str | None
        endpoint: str | None
        allow_http: bool | None
        api_token: str | None
        allow_empty_accounts: bool | None
        attributes_ttl: float | None
        strict: bool | None
        spool: Any
        durability: str | None
        transport: Any
        proxy: str | None
        max_connections: int | None
        max_rate: float | None
        timeout: float | None
        before_send: Callable[[Any], Any] | None
        on_dead_letter: Callable[[Any, str], object] | None
        disabled: bool | None


_US = "https://sdr.totango.com/pixel.gif/"
_EU = "https://sdr-eu1.totango.com/pixel.gif/"
# Totango's help centre (203639605 and 203639575) and its Node package.
REGIONS = {"us": _US, "eu1": _EU, "eu": _EU, "test": "https://sdr-test.totango.com/pixel.gif/"}

_ENVIRONMENT = {
    "service_id": "TOTANGO_SERVICE_ID",
    "region": "TOTANGO_REGION",
    "endpoint": "TOTANGO_ENDPOINT",
    "allow_http": "TOTANGO_ALLOW_HTTP",
    "api_token": "TOTANGO_API_TOKEN",
    "strict": "TOTANGO_STRICT",
    "spool": "TOTANGO_SPOOL",
    "disabled": "TOTANGO_DISABLED",
}
_BOOLEANS = ("allow_http", "strict", "disabled", "allow_empty_accounts")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")
# What `window.totango_options` may have for the browser's own sake.
_BROWSER_ONLY = frozenset(("heartbeat_timeout_sec", "heartbeat_idle_timeout_sec", "disable_heartbeat", "tracker_name"))
_ACCOUNT_ALIASES = ("o", "odn", "ofid", "fid")
_SPOOL_METHODS = ("open", "put", "lease", "settle", "close")
_TRANSPORT_METHODS = ("submit", "poll", "close")
_MOST_INT = 1 << 1000  # beyond it, an int cannot be reckoned with as a float
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def _refuse(name: str, value: object, expected: str, example: str) -> OptionsError:
    return OptionsError(f"{name}={shown(value)} is wrong: {expected}, such as {name}={example}")


def _boolean(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise _refuse(field.name, value, "it is True or False", "True")


def _number(example: str, least: float, most: float = math.inf, *, whole: bool = False) -> Any:
    expected = f"it is a {'whole ' if whole else ''}number from {least:g}"
    expected += f" to {most:g}" if most < math.inf else ""

    def check(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not right_type or not least <= value <= most or (isinstance(value, int) and value > _MOST_INT):
            raise _refuse(field.name, value, expected, example)

    return check


def _one_of(*choices: str) -> Any:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise _refuse(field.name, value, f"it is one of {', '.join(choices)}", repr(choices[0]))

    return check


def _service_id(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if wrong := service_id_problem(value):
        raise OptionsError(f"{field.name}: {wrong}")


def _api_token(_: object, field: attrs.Attribute[Any], value: object) -> None:
    # The value is never shown: a token that is nearly right is still a secret.
    if value is not None and not (isinstance(value, str) and value.isascii() and value.isprintable() and value):
        msg = f"{field.name} is a {type(value).__name__} that is no token: it is a text of printable ASCII characters"
        raise OptionsError(msg)


def _module(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise _refuse(field.name, value, "it is a text of at most 100 characters", "'Billing'")


def _callable(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise _refuse(field.name, value, "it is a function", "lambda event: event")


def _has_methods(value: object, methods: tuple[str, ...]) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, method, None)) for method in methods)


def _spool(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, str) and "://" in value:
        msg = (
            f"{field.name}={shown(value)}: shared spools such as redis:// are not in this version. "
            "Use a directory, such as spool='/var/lib/myapp/totango', or spool='memory'"
        )
        raise OptionsError(msg)
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if isinstance(path, str) and path and "\0" not in path:
        return
    if value is not None and not _has_methods(value, _SPOOL_METHODS):
        raise _refuse(field.name, value, "it is a directory, 'memory', or a Spool", "'/var/lib/myapp/totango'")


def _transport(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value == "curl":
        if not has_pycurl():
            msg = f"{field.name}='curl' needs pycurl: pip install 'totango-sdk[fast]', or use {field.name}='httpx'"
            raise OptionsError(msg)
        return
    if value in ("auto", "httpx") or (not isinstance(value, str) and _has_methods(value, _TRANSPORT_METHODS)):
        return
    raise _refuse(field.name, value, "it is 'auto', 'httpx', 'curl', or a Transport", "'auto'")


def has_pycurl() -> bool:
    """Whether the extra `fast` is installed."""
    from importlib.util import find_spec

    return find_spec("pycurl") is not None


def _proxy(_: object, field: attrs.Attribute[Any], value: object) -> None:
    from urllib.parse import urlsplit

    # The value is not shown: it may have a password in it.
    expected = (
        f"{field.name} is wrong: it is the address of an HTTP proxy, such as {field.name}='http://proxy.local:3128'"
    )
    if value is None:
        return
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise OptionsError(expected)
    except ValueError:
        raise OptionsError(expected) from None


def _who(name: str, convert: Callable[[Any], Any], known: tuple[type, ...]) -> Any:
    def converted(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, (*known, Mapping)) and canonical_id(value) is None:
            raise _refuse(name, value, f"it is a {known[0].__name__}, an ID as text, or a mapping", "'819332'")
        return convert(value)

    return attrs.field(default=None, converter=converted)


@attrs.frozen(kw_only=True, repr=False)
class Options(Readable):
    """Everything that a client was told, checked. Made by `resolve`."""

    service_id: str = attrs.field(default=None, validator=_service_id)
    account: Account | None = _who("account", as_account, (Account,))
    product: Product | None = _who("product", as_product, (Product,))
    user: User | None = _who("user", as_user, (User,))
    module: str | None = attrs.field(default=None, validator=_module)
    region: str = attrs.field(default="us", validator=_one_of(*REGIONS))
    allow_http: bool = attrs.field(default=False, validator=_boolean)
    endpoint: str = attrs.field()
    api_token: str | None = attrs.field(default=None, validator=_api_token, repr=False)
    allow_empty_accounts: bool = attrs.field(default=False, validator=_boolean)
    attributes_ttl: float = attrs.field(default=3600.0, validator=_number("3600", 0))
    strict: bool = attrs.field(default=False, validator=_boolean)
    spool: Any = attrs.field(default=None, validator=_spool)
    durability: str = attrs.field(default="process", validator=_one_of("process", "power"))
    transport: Any = attrs.field(default="auto", validator=_transport)
    proxy: str | None = attrs.field(default=None, validator=_proxy, repr=False)
    max_connections: int = attrs.field(default=16, validator=_number("16", 1, 4096, whole=True))
    max_rate: float | None = attrs.field(default=None, validator=attrs.validators.optional(_number("100", 0.001, 1e6)))
    timeout: float = attrs.field(default=10.0, validator=_number("10.0", 0.001, 3600))
    before_send: Callable[[Any], Any] | None = attrs.field(default=None, validator=_callable)
    on_dead_letter: Callable[[Any, str], object] | None = attrs.field(default=None, validator=_callable)
    disabled: bool = attrs.field(default=False, validator=_boolean)

    @endpoint.default
    def _endpoint_of_region(self) -> str:
        return REGIONS[self.region] if self.region in tuple(REGIONS) else _US  # a wrong one is told of in its turn

    @endpoint.validator
    def _check_endpoint(self, field: attrs.Attribute[Any], value: object) -> None:
        check_endpoint(value, allow_http=self.allow_http)

    def __attrs_post_init__(self) -> None:
        a_directory = self.spool is None or (isinstance(self.spool, str | os.PathLike) and self.spool != "memory")
        if self.durability == "power" and not a_directory:
            msg = (
                f"durability='power' makes no sense with spool={shown(self.spool)}, which decides for itself what it "
                "survives: give a directory, such as spool='/var/lib/myapp/totango', or durability='process'"
            )
            raise OptionsError(msg)

    @classmethod
    def resolve(cls, given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Options:
        """Return the options: what is given (not `None`), else the environment's, else the default.

        Raises `OptionsError`, which names the option, its value and an example of a right one.
        """
        known = {name: value for name, value in given.items() if value is not None}
        for name in known:
            if name not in _NAMES:
                raise OptionsError(_unknown(name))
        environ = os.environ if environ is None else environ
        for name, variable in _ENVIRONMENT.items():
            if name not in known and environ.get(variable):
                known[name] = _from_environment(name, variable, environ[variable])
        if isinstance(known.get("endpoint"), str):
            known["endpoint"] = with_path(known["endpoint"])
        return cls(**known)


_NAMES = frozenset(field.name for field in attrs.fields(Options))


def _unknown(name: object) -> str:
    from difflib import get_close_matches

    near = get_close_matches(str(name), _NAMES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted(_NAMES))}"
    return f"there is no option {shown(name)}: {hint}"


def _from_environment(name: str, variable: str, text: str) -> object:
    if name not in _BOOLEANS:
        return text
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        msg = f"{variable}={shown(text)} is wrong: it is true or false, such as {variable}=true"
        raise OptionsError(msg)
    return word in _TRUE


def from_browser(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Python options that a `window.totango_options` object stands for.

    `username` serves where there is no `user`, as in the browser. An empty text counts as absent,
    as it does there.
    """
    if not isinstance(mapping, Mapping):
        raise _refuse("options", mapping, "it is a mapping like window.totango_options", "{'service_id': 'SP-1234-01'}")
    given = {name: value for name, value in mapping.items() if name not in _BROWSER_ONLY and value != ""}
    aliased = {alias: given.pop(alias) for alias in _ACCOUNT_ALIASES if alias in given}
    if aliased:
        account = given.get("account")
        own = account if isinstance(account, Mapping) else {} if account is None else {"id": account}
        if not isinstance(account, Account):
            given["account"] = {**aliased, **own}
    names = [given.pop(alias) for alias in ("username", "u") if alias in given]
    if names and (not given.get("user") or _is_anonymous(given["user"])):
        user = given.get("user")
        given["user"] = {**user, "id": names[0]} if user and isinstance(user, Mapping) else names[0]
    return given


def _is_anonymous(user: object) -> bool:
    return isinstance(user, Mapping) and not (user.get("id") or user.get("u"))


def with_path(endpoint: str) -> str:
    """Return an endpoint that names only a host with the path that Totango's has."""
    from urllib.parse import urlsplit

    try:
        bare = urlsplit(endpoint).path in ("", "/")
    except ValueError:
        return endpoint  # the check says what is wrong with it
    return f"{endpoint.rstrip('/')}/pixel.gif/" if bare and "?" not in endpoint and "#" not in endpoint else endpoint


def check_endpoint(value: object, *, allow_http: bool) -> None:
    """Refuse an endpoint to which events must not go. Raises `OptionsError`."""
    from urllib.parse import urlsplit

    example = "'https://sdr.totango.com/pixel.gif/'"
    if not isinstance(value, str):
        raise _refuse("endpoint", value, "it is an address", example)
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refuse("endpoint", value, str(error), example) from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        msg = "endpoint has a user name or password in it: leave it out, and give the token as api_token="
        raise OptionsError(msg)
    if "?" in value or "#" in value or " " in value:
        # What comes behind them is not shown: it may be a token.
        shown_part = re.split("[?#]", value, maxsplit=1)[0]
        raise _refuse("endpoint", shown_part, "it has no query, fragment or space", example)
    fit = value.isascii() and value.isprintable() and _HOST.fullmatch(host)
    if parts.scheme not in ("http", "https") or not fit:
        raise _refuse("endpoint", value, "it is an https address of a host", example)
    if parts.scheme == "http":
        _check_plain_http(value, host, allow_http=allow_http)


def _check_plain_http(value: str, host: str, *, allow_http: bool) -> None:
    if f".{host.rstrip('.')}".endswith(".totango.com"):
        raise _refuse("endpoint", value, "Totango's own hosts take https only", f"'https://{host}/pixel.gif/'")
    if not allow_http and not _is_loopback(host):
        expected = "plain http goes only to this machine; use https, or allow_http=True for a sandbox on a private net"
        raise _refuse("endpoint", value, expected, "'http://127.0.0.1:8000/pixel.gif/'")


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

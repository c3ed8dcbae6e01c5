"""Configure: a mapping, keywords and the environment become `Options`, checked at once.

Every default stands here and nowhere else. What an account, product or user of the options
contains is data, not configuration: it is checked with the event that carries it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import attrs

from .endpoint import REGIONS, US, check_endpoint, check_proxy, with_path
from .errors import OptionsError, kinds_of
from .identity import (
    Account,
    Product,
    User,
    as_account,
    as_product,
    as_user,
    check_extra_characters,
    service_id_problem,
)
from .identity.texts import canonical_id
from .imports import preload
from .log import tell_once
from .show import Readable, shown

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
        extra_id_characters: str | None
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


_ENVIRONMENT = {
    "service_id": "TOTANGO_SERVICE_ID",
    "region": "TOTANGO_REGION",
    "endpoint": "TOTANGO_ENDPOINT",
    "allow_http": "TOTANGO_ALLOW_HTTP",
    "api_token": "TOTANGO_API_TOKEN",
    "extra_id_characters": "TOTANGO_EXTRA_ID_CHARACTERS",
    "strict": "TOTANGO_STRICT",
    "spool": "TOTANGO_SPOOL",
    "disabled": "TOTANGO_DISABLED",
}
_BOOLEANS = ("allow_http", "strict", "disabled", "allow_empty_accounts")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")
_SPOOL_METHODS = ("open", "put", "lease", "settle", "close")
_TRANSPORT_METHODS = ("submit", "poll", "close")
_MOST_INT = 1 << 1000  # beyond it, an int cannot be reckoned with as a float


def _boolean(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise OptionsError.of(field.name, value, "it is True or False", "True")


def _number(example: str, least: float, most: float = math.inf, *, whole: bool = False) -> Any:
    kinds = (int,) if whole else (int, float)
    expected = f"it is a {'whole ' if whole else ''}number from {least:g}"
    if most < math.inf:
        expected += f" to {most:g}"

    def check(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or _is_huge(value):
            raise OptionsError.of(field.name, value, expected, example)

    return check


def _is_huge(value: float) -> bool:
    return isinstance(value, int) and value > _MOST_INT


def _one_of(*choices: str) -> Any:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise OptionsError.of(
                field.name, value, f"it is one of {', '.join(choices)}", repr(choices[0])
            )

    return check


def _lower(value: Any) -> Any:
    """Return the region in lower case, if there is one; what is none is told as it came."""
    text = value.lower() if isinstance(value, str) else value
    return text if isinstance(text, str) and text in REGIONS else value


def _service_id(_: object, field: attrs.Attribute[Any], value: object) -> None:
    wrong = service_id_problem(value)
    if wrong is not None and wrong.severity == "error":
        raise OptionsError(f"{field.name}: {wrong.message}")


def _api_token(_: object, field: attrs.Attribute[Any], value: object) -> None:
    # The value is never shown: a token that is nearly right is still a secret.
    if value is None or (isinstance(value, str) and _is_token(value)):
        return
    msg = (
        f"{field.name} is a {type(value).__name__} that is no token: it is a text of printable "
        "ASCII characters"
    )
    raise OptionsError(msg)


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and text != ""


def _module(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise OptionsError.of(
            field.name, value, "it is a text of at most 100 characters", "'Billing'"
        )


def _extra_characters(_: object, __: object, value: object) -> None:
    check_extra_characters(value)


def _callable(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise OptionsError.of(field.name, value, "it is a function", "lambda event: event")


def _has_methods(value: object, methods: tuple[str, ...]) -> bool:
    return not isinstance(value, type) and all(
        callable(getattr(value, method, None)) for method in methods
    )


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
        raise OptionsError.of(
            field.name, value, "it is a directory, 'memory', or a Spool", "'/var/lib/myapp/totango'"
        )


def _transport(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value == "curl" and not has_pycurl():
        msg = (
            f"{field.name}='curl' needs pycurl: pip install 'totango-sdk[fast]', or use "
            f"{field.name}='httpx'"
        )
        raise OptionsError(msg)

    is_name = value in ("auto", "httpx", "curl")
    is_one = not isinstance(value, str) and _has_methods(value, _TRANSPORT_METHODS)
    if not is_name and not is_one:
        expected = "it is 'auto', 'httpx', 'curl', or a Transport"
        raise OptionsError.of(field.name, value, expected, "'auto'")


def has_pycurl() -> bool:
    """Whether the extra `fast` is installed."""
    preload("importlib.util")
    from importlib.util import find_spec

    return find_spec("pycurl") is not None


def _proxy(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_proxy(field.name, value)


def _who(name: str, convert: Callable[[Any], Any], known: tuple[type, ...]) -> Any:
    def converted(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, (*known, Mapping)) and canonical_id(value) is None:
            expected = f"it is an ID as text, a mapping, or an object of {known[0].__name__}"
            raise OptionsError.of(name, value, expected, "'819332'")
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
    region: str = attrs.field(default="us", converter=_lower, validator=_one_of(*REGIONS))
    allow_http: bool = attrs.field(default=False, validator=_boolean)
    endpoint: str = attrs.field()
    api_token: str | None = attrs.field(default=None, validator=_api_token, repr=False)
    allow_empty_accounts: bool = attrs.field(default=False, validator=_boolean)
    extra_id_characters: str = attrs.field(default="", validator=_extra_characters)
    attributes_ttl: float = attrs.field(default=3600.0, validator=_number("3600", 0))
    strict: bool = attrs.field(default=False, validator=_boolean)
    spool: Any = attrs.field(default=None, validator=_spool)
    durability: str = attrs.field(default="process", validator=_one_of("process", "power"))
    transport: Any = attrs.field(default="auto", validator=_transport)
    proxy: str | None = attrs.field(default=None, validator=_proxy, repr=False)
    max_connections: int = attrs.field(default=16, validator=_number("16", 1, 4096, whole=True))
    max_rate: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_number("100", 0.001, 1e6))
    )
    timeout: float = attrs.field(default=10.0, validator=_number("10.0", 0.001, 3600))
    before_send: Callable[[Any], Any] | None = attrs.field(default=None, validator=_callable)
    on_dead_letter: Callable[[Any, str], object] | None = attrs.field(
        default=None, validator=_callable
    )
    disabled: bool = attrs.field(default=False, validator=_boolean)

    @endpoint.default
    def _endpoint_of_region(self) -> str:
        is_region = self.region in tuple(REGIONS)  # a wrong one is told of in its turn
        return REGIONS[self.region] if is_region else US

    @endpoint.validator
    def _check_endpoint(self, field: attrs.Attribute[Any], value: object) -> None:
        check_endpoint(value, allow_http=self.allow_http)

    def __attrs_post_init__(self) -> None:
        is_path = isinstance(self.spool, str | os.PathLike) and self.spool != "memory"
        if self.durability == "power" and self.spool is not None and not is_path:
            msg = (
                f"durability='power' makes no sense with spool={shown(self.spool)}, which decides "
                "for itself what it survives: give a directory, such as "
                "spool='/var/lib/myapp/totango', or durability='process'"
            )
            raise OptionsError(msg)

    @classmethod
    def resolve(cls, given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Options:
        """Return the options: what is given (not `None`), else the environment's, else the default.

        Raises `OptionsError`, which names the option, its value and an example of a right one.
        """
        known = {name: value for name, value in given.items() if value is not None}
        for name in known:
            if name not in NAMES:
                raise OptionsError(_unknown(name))

        known |= from_environment(os.environ if environ is None else environ, besides=known)
        if isinstance(known.get("endpoint"), str):
            known["endpoint"] = with_path(known["endpoint"])
        options = cls(**known)

        odd = service_id_problem(options.service_id)
        if odd is not None and not options.disabled:
            tell_once(kinds_of([odd]), str(odd))
        return options


NAMES = frozenset(field.name for field in attrs.fields(Options))


def _unknown(name: object) -> str:
    preload("difflib")
    from difflib import get_close_matches

    near = get_close_matches(str(name), NAMES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted(NAMES))}"
    return f"there is no option {shown(name)}: {hint}"


def from_environment(environ: Mapping[str, str], besides: Container[str]) -> dict[str, Any]:
    """Return the options that the environment names, `besides` those that are given."""
    return {
        name: _read(name, variable, environ[variable])
        for name, variable in _ENVIRONMENT.items()
        if name not in besides and environ.get(variable)
    }


def _read(name: str, variable: str, text: str) -> object:
    if name not in _BOOLEANS:
        return text
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise OptionsError.of(variable, text, "it is true or false", "true")
    return word in _TRUE

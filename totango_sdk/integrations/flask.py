"""Flask: one client for each app, and the identity of each request.

totango = TotangoFlask()

@totango.identity
def who(request):
    if current_user.is_authenticated:
        return Identity(account=g.workspace.id, user=current_user.email)
    return None

totango.init_app(app)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..client import Totango, adopt
from ..errors import OptionsError
from ..scope import Identity, Scope
from ..show import shown
from ..tracked import tracked
from . import missing
from .settings import check_identity, check_options

try:
    import flask
except ModuleNotFoundError as error:
    raise missing("flask", "Flask", "flask") from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tracked import F

    IdentityFunction = Callable[[flask.Request], Any]
    _Calls = Totango  # for type checkers: every call of `Totango` is here too
else:
    _Calls = object

# What stands behind Flask's proxies: to look through one takes several times as long.
_current_app: Callable[[], Any] = flask.current_app._get_current_object  # type: ignore[attr-defined]
_current_request: Callable[[], Any] = flask.request._get_current_object  # type: ignore[attr-defined]
_EXTENSION = "totango"
_PREFIX = "TOTANGO_"
_NONCE = "TOTANGO_NONCE"


class _Request(Scope):
    """A request of Flask's. It lives as long as Flask's own request object, which it belongs to.

    It does not hold that one: a cycle of the two, and of all that hangs on a request, would wait for
    the garbage collector.
    """

    def __init__(self, function: IdentityFunction) -> None:
        self._function = function

    def ask(self) -> object:
        return self._function(_current_request())

    def when_done(self, store: Callable[..., object]) -> None:
        _hear_of_answers()
        super().when_done(store)


def _hear_of_answers() -> None:
    """Hear of each response when all that changes its status has. Further calls do nothing.

    Not by `after_this_request`, which belongs to one context, and a copy of it ends unheard.
    """
    flask.request_finished.connect(_answered)


def _answered(_: flask.Flask, response: flask.Response, **__: Any) -> None:
    request = _current_request()
    request._totango_status = response.status_code
    scope: Scope | None = request.__dict__.get("_totango_scope")
    if scope is not None:
        for store in scope.answered(response.status_code, request.method):
            store()


class TotangoFlask(_Calls):
    """The extension. It has every call of `Totango`: `totango.track("Document shared")` is all.

    Settings are `TOTANGO_` and the name of an option in capitals; what `client` or `app.config`
    does not say comes from the environment. `identity` is a function of the request that returns
    an `Identity`, or `None` for nobody; it runs when something is tracked, once a request.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        identity: IdentityFunction | None = None,
        client: Totango | None = None,
    ) -> None:
        check_identity(identity)
        self._identity = identity
        self._given = client
        self._clients: WeakSet[Totango] = WeakSet()
        if app is not None:
            self.init_app(app)

    def identity(self, function: IdentityFunction) -> IdentityFunction:
        """Use this identity function; a decorator."""
        check_identity(function)
        self._identity = function
        return function

    def init_app(self, app: flask.Flask) -> None:
        """Make the client of this app, from its settings. Raises `OptionsError`, `RuntimeError`."""
        if _EXTENSION in app.extensions:
            msg = f"{app!r} has a TotangoFlask already: call init_app once for each app"
            raise RuntimeError(msg)
        nonce = app.config.get(_NONCE)
        if nonce is not None and not callable(nonce):
            msg = f'app.config["{_NONCE}"]={shown(nonce)} is wrong: it is a function of the request'
            raise OptionsError(msg)
        client = self._given or Totango(**check_options(_options(app), _where))
        client._who.follow(partial(self._scope, client), may_await=False)
        adopt(client)
        self._clients.add(client)
        app.extensions[_EXTENSION] = client
        app.jinja_env.globals["totango_snippet"] = self._snippet

    @property
    def client(self) -> Totango:
        """The client of the current app; outside of one, that of the only app there is."""
        if flask.has_app_context():
            client: Totango | None = _current_app().extensions.get(_EXTENSION)
            if client is not None:
                return client
        clients = list(self._clients)
        if len(clients) == 1:
            return clients[0]
        _current_app()  # says what is missing
        msg = "this app has no TotangoFlask: call init_app(app) first"
        raise RuntimeError(msg)

    def tracked(self, activity: str, module: str | None = None) -> Callable[[F], F]:
        """Return a decorator that reports an activity; see `Totango.tracked`."""
        _hear_of_answers()
        return tracked(self, activity, module)  # the app may come later

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.client, name)

    def _scope(self, client: Totango) -> Scope | None:
        if not flask.has_request_context():
            return None
        if _current_app().extensions.get(_EXTENSION) is not client:
            return None
        request = _current_request()
        scope: Scope | None = request.__dict__.get("_totango_scope")
        if scope is None:
            scope = request._totango_scope = _Request(self._identity or _anyone)
            if (status := request.__dict__.get("_totango_status")) is not None:
                scope.answered(status, request.method)
        return scope

    def _snippet(self, nonce: str | None = None) -> str:
        make_nonce = flask.current_app.config.get(_NONCE)
        if nonce is None and make_nonce is not None:
            nonce = make_nonce(flask.request)
        return self.client.snippet(nonce)


def _anyone(_: flask.Request) -> Identity:
    """Serve as the identity function of an app that has none: the client's own defaults hold."""
    return Identity()


def _options(app: flask.Flask) -> dict[str, Any]:
    """Return what the app's settings say of a client."""
    return {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in app.config.items()
        if name.startswith(_PREFIX) and name != _NONCE
    }


def _where(name: str) -> str:
    return f'app.config["{_PREFIX}{name.upper()}"]'

"""The face: what a backend calls."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from .calls import Call
from .context import Block, Who
from .imports import preload
from .options import Options
from .scope import Defaults, in_force

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType, TracebackType
    from typing import Self, Unpack

    from .core import Core, Ready, Stats
    from .events import Kind
    from .identity import AccountLike, ProductLike, UserLike
    from .options import OptionValues
    from .spool import DeadLetter

F = TypeVar("F", bound="Callable[..., Any]")


_carry: ModuleType | None = None
_adopted: WeakSet[Face] = WeakSet()
_stand_in: Core | None = None


def _carrying() -> Any:
    """Return the module of what jobs carry, which is loaded once it is needed."""
    global _carry
    if _carry is None:
        preload(f"{__package__}.carry")
        from . import carry

        _carry = carry
    return _carry


def adopt(client: Face) -> None:
    """Make an integration's client one for which `standing_in` serves while a test runs."""
    if client not in _adopted:
        beside = list(client._beside or ())
        _adopted.update(beside)
        for other in beside:
            adopt(other)
    _adopted.add(client)
    if _stand_in is not None and client._core is not _stand_in:
        client._own_core = client._core
        client._core = _stand_in
        _stand_in.allow_as(client._own_core.options)


@contextmanager
def standing_in(core: Core) -> Iterator[None]:
    """Have every client of an integration check and store with this core instead of its own."""
    global _stand_in
    _stand_in = core
    for client in list(_adopted):
        adopt(client)
    try:
        yield
    finally:
        _stand_in = None
        for client in list(_adopted):
            client._core, client._own_core = client._own_core or client._core, None


class Face:
    """What the two clients share: options, defaults and how a call becomes an event."""

    _core: Core
    _who: Who
    _own_core: Core | None = None  # while another stands in for it
    # Those on the same core, as long as none of them is adopted.
    _beside: WeakSet[Face] | None = None

    def __init__(self, service_id: str | None = None, **options: Unpack[OptionValues]) -> None:
        self._start(Options.resolve({"service_id": service_id, **options}))

    def _start(self, options: Options) -> None:
        # What stores and delivers is half of the package: here it is needed, and not before.
        preload(f"{__package__}.core")
        from .core import Core

        self._core = Core(options)
        self._who = Who(
            Defaults(
                options.account,
                options.user,
                options.product,
                options.module,
                extra_id_characters=options.extra_id_characters,
            )
        )

    @classmethod
    def from_options(cls, mapping: Mapping[str, Any], **options: Unpack[OptionValues]) -> Self:
        """Make a client from a `window.totango_options` object as it stands in the page.

        Any key of its `account`, `product` or `user` that has no meaning is an attribute. Python
        options stand beside it, or in it. Any other key is the page's own: it is left out, and told
        once. Raises `OptionsError`.
        """
        preload(f"{__package__}.browser")
        from .browser import from_browser

        client = cls.__new__(cls)
        beside = {name: value for name, value in options.items() if value is not None}
        client._start(Options.resolve({**from_browser(mapping), **beside}))
        return client

    @classmethod
    def from_env(cls, **options: Unpack[OptionValues]) -> Self:
        """Make a client from `TOTANGO_SERVICE_ID` and the other variables. Raises `OptionsError`."""
        return cls(None, **options)

    def bind(
        self,
        *,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
        module: str | None = None,
    ) -> Self:
        """Return a client with other defaults, on the same spool and sender."""
        bound = self.__class__.__new__(self.__class__)
        bound._core, bound._own_core = self._core, self._own_core
        self._have_beside(bound)
        bound._who = Who(self._who.now().changed(account, user, product, module))
        return bound

    def _have_beside(self, other: Face) -> None:
        """Remember another one on the same core: where one is adopted, both are."""
        if self in _adopted:
            _adopted.add(other)
            return
        if self._beside is None:
            self._beside = WeakSet((self,))
        other._beside = self._beside
        self._beside.add(other)

    def context(
        self,
        *,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
        module: str | None = None,
    ) -> Block:
        """Return a `with` block in which this client has other defaults, in this thread or task.

        In a generator use `bind` instead: a block around a `yield` is also in force for whatever
        runs in this thread or task before the generator goes on.
        """
        return Block(self._who, account, user, product, module)

    def tracked(self, activity: str, module: str | None = None) -> Callable[[F], F]:
        """Return a decorator that reports one activity each time that the function returns.

        For views, tasks and any function, sync or async, directly below the route or task
        decorator. In a request the event is made when the view returns, with who that is then, and
        stored once the status is known: only below 400, never for `HEAD` or `OPTIONS`. Elsewhere
        when the function returns, not when it raises.
        """
        from .tracked import tracked

        return tracked(self, activity, module)

    def carry(self) -> str | None:
        """Return who is in force now as a text that a job can carry; `None` for nobody.

        It has IDs only, no names, no attributes and never the token, at most 4,096 bytes of ASCII.
        """
        service_id = self._core.options.service_id
        text: str | None = _carrying().write(service_id, self._who.now())
        return text

    def carried(self, text: str | None) -> Block:
        """Return a `with` block of exactly whom `carry` named: nothing from around it counts.

        `None`, or a text that cannot be trusted, gives the client's own defaults.
        """
        options = self._core.options
        named = _carrying().read(text, options.service_id, options.extra_id_characters)
        return Block(self._who, named.account, named.user, named.product, named.module, alone=True)

    def stats(self) -> Stats:
        """Return what became of this process's events; the counts always add up."""
        return self._core.stats()

    def snippet(self, nonce: str | None = None) -> str:
        """Return a script element with the browser's options: the account, product and user in
        force now.

        Put it into the page ahead of Totango's own script, with the nonce of your content security
        policy. Jinja2 and Django take it as HTML. It never has the token in it, and `before_send`
        does not see it. It is empty if the client is disabled, or if Totango would misfile what
        such a page reports: that is logged, or with `strict` raises `InvalidEvent`. Raises
        `OptionsError` for a nonce that is none.
        """
        preload(f"{__package__}.snippet")
        from .snippet import render

        return render(self._core, self._who.now(), nonce)

    def __repr__(self) -> str:
        options = self._core.options
        return f"<{type(self).__name__} {options.service_id} at {options.endpoint}>"

    def _call(
        self,
        kind: Kind,
        activity: str | None = None,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> Call:
        """Return the call of the host, with the defaults in force for what it does not name."""
        needs_user = user is None and kind != "account"
        defaults = self._who.now(needs_account=account is None, needs_user=needs_user)
        return Call(
            kind,
            activity,
            module,
            # What is given at all is looked at there.
            defaults.account if account is None else in_force(account, defaults.account, "o"),
            defaults.user if user is None else in_force(user, defaults.user, "u"),
            defaults.product if product is None else in_force(product, defaults.product),
            defaults.module,
            defaults.trouble,
        )

    def _become(
        self, account: AccountLike | None, user: UserLike | None, product: ProductLike | None
    ) -> None:
        if self._who.become(account, user, product):
            self._core.tell_if_shared()

    def _prepare(self, call: Call) -> Ready | None:
        """Check a call; what stores it comes back. An integration may put that off."""
        return self._core.prepare(call)

    def _take(self, call: Call) -> str | None:
        return self._core.take(call)

    def _did(self, activity: str, module: str | None) -> None:
        """Report what a function did that has just returned; in a request, once its status is known."""
        ready = self._prepare(self._call("track", activity, module))
        if ready is None:
            return
        scope = self._who.scope()
        if scope is None:
            ready()
        else:
            scope.when_done(ready)

    async def _did_later(self, activity: str, module: str | None) -> None:
        self._did(activity, module)


class Totango(Face):
    """Sends events to Totango from a backend. Make one for a process, and share it between threads.

    `service_id` is `SP-<digits>-<digits>`, else `TOTANGO_SERVICE_ID`. The options, each with its
    default, are described in the README. Raises `OptionsError` for a wrong one.

    `track` and the other calls check the event, store it in the spool and return its id, a string;
    `None` if nothing will be sent. They never wait for the network. With `strict=True` an invalid
    event raises `InvalidEvent`; otherwise it becomes a dead letter, and the host never notices.
    """

    def track(
        self,
        activity: str,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report one activity of a user in a module, below an account."""
        return self._take(self._call("track", activity, module, account, user, product))

    def identify(
        self,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Become this account, user and product, and send their names and attributes now."""
        self._become(account, user, product)
        return self._take(self._call("identify", None, None, account, user, product))

    def set_account_attributes(self, account: AccountLike) -> str | None:
        """Send an account's name and attributes now; no user is needed."""
        return self._take(self._call("account", account=account))

    def set_user_attributes(self, account: AccountLike | None, user: UserLike) -> str | None:
        """Send a user's name and attributes now, below the account, or its product account."""
        return self._take(self._call("user", account=account, user=user))

    def heartbeat(
        self,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report that the user spends time in a module, as the browser does once a minute."""
        return self._take(self._call("heartbeat", None, module, account, user, product))

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return self._core.flush(timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Stop, after at most `timeout` seconds. What is not delivered stays in the spool for the
        next process.
        """
        self._core.worker.close(timeout)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the events that were given up, the oldest first, each with its reason."""
        return self._core.letters()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

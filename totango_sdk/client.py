"""The face: what a backend calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .context import Block, Defaults, become, current, new_key
from .core import CALLS, Core
from .events import HEARTBEAT_ACTIVITY, HEARTBEAT_MODULE, Event
from .identity import Account, as_account, as_product, as_user
from .options import Options, from_browser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self, Unpack

    from .core import Stats
    from .events import Kind
    from .identity import AccountLike, ProductLike, UserLike
    from .options import OptionValues
    from .spool import DeadLetter, Item


class Face:
    """What the two clients share: options, defaults and how a call becomes an event."""

    _core: Core
    _defaults: Defaults
    _key: int  # which blocks are this client's

    def __init__(self, service_id: str | None = None, **options: Unpack[OptionValues]) -> None:
        self._start(Options.resolve({"service_id": service_id, **options}))

    def _start(self, options: Options) -> None:
        self._core = Core(options)
        self._key = new_key()
        self._defaults = Defaults(options.account, options.user, options.product, options.module)

    @classmethod
    def from_options(cls, mapping: Mapping[str, Any], **options: Unpack[OptionValues]) -> Self:
        """Make a client from a `window.totango_options` object as it stands in the page.

        Any key of its `account`, `product` or `user` that has no meaning is an attribute. Python
        options stand beside it, or in it. Raises `OptionsError`.
        """
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
        bound._core = self._core
        bound._key = new_key()
        bound._defaults = self._now().changed(account, user, product, module)
        return bound

    def context(
        self,
        *,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
        module: str | None = None,
    ) -> Block:
        """Return a `with` block in which this client has other defaults, in this thread or task."""
        return Block(self._key, self._defaults, account, user, product, module)

    def stats(self) -> Stats:
        """Return what became of this process's events; the counts always add up."""
        return self._core.stats()

    def snippet(self, nonce: str | None = None) -> str:
        """Return a script element with the browser's options: the account, product and user in force now.

        Put it into the page ahead of Totango's own script, with the nonce of your content security
        policy. Jinja2 and Django take it as HTML. It never has the token in it, and `before_send` does not
        see it. It is empty if the client is disabled, or if Totango would misfile what such a page
        reports: that is logged, or with `strict` raises `InvalidEvent`. Raises `OptionsError` for a
        nonce that is none.
        """
        from .snippet import render

        return render(self._core, self._now(), nonce)

    def __repr__(self) -> str:
        options = self._core.options
        return f"<{type(self).__name__} {options.service_id} at {options.endpoint}>"

    def _now(self) -> Defaults:
        return current(self._key) or self._defaults

    def _admit(
        self,
        kind: Kind,
        activity: str | None,
        module: str | None,
        account: AccountLike | None,
        user: UserLike | None,
        product: ProductLike | None,
    ) -> Event | Item | None:
        """Make the event of a call, or the dead letter that it becomes."""
        defaults = self._now()
        core = self._core
        account = defaults.account if account is None else account
        user = defaults.user if user is None else user
        product = defaults.product if product is None else product
        try:
            who, what = as_account(account), as_product(product)
            optional = core.options.allow_empty_accounts
            event = Event(
                kind=kind,
                account=None if optional and who is not None and _is_nobody(who) else who,
                user=None if kind == "account" else as_user(user),
                product=None if kind == "account" else what,
                activity=activity,
                module=_module(kind, module, what.module if what else None, defaults.module),
                account_optional=optional,
            )
            return core.admit(event)
        except Exception as error:
            call = {
                "call": CALLS[kind],
                "activity": activity,
                "module": defaults.module if module is None else module,
                "account": account,
                "user": user,
                "product": product,
            }
            return core.refuse(error, call)

    def _become(self, account: AccountLike | None, user: UserLike | None, product: ProductLike | None) -> None:
        """Take over an identity for all later calls; within `context`, for the rest of the block.

        Also if it is wrong: going on as whoever was there before would misfile what follows.
        """
        changed = self._now().changed(account, user, product, None)
        if not become(self._key, changed):
            self._defaults = changed


def _is_nobody(account: Account) -> bool:
    return account.id is None or account.id == ""


def _module(kind: Kind, given: str | None, of_product: str | None, of_client: str | None) -> str | None:
    if kind not in ("track", "heartbeat"):
        return None
    if given is not None:
        return given
    return of_product or of_client or (HEARTBEAT_MODULE if kind == "heartbeat" else None)


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
        return self._core.store(self._admit("track", activity, module, account, user, product))

    def identify(
        self, account: AccountLike | None = None, user: UserLike | None = None, product: ProductLike | None = None
    ) -> str | None:
        """Become this account, user and product, and send their names and attributes now."""
        self._become(account, user, product)
        return self._core.store(self._admit("identify", None, None, account, user, product))

    def set_account_attributes(self, account: AccountLike) -> str | None:
        """Send an account's name and attributes now; no user is needed."""
        return self._core.store(self._admit("account", None, None, account, None, None))

    def set_user_attributes(self, account: AccountLike | None, user: UserLike) -> str | None:
        """Send a user's name and attributes now, below the account, or its product account."""
        return self._core.store(self._admit("user", None, None, account, user, None))

    def heartbeat(
        self,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report that the user spends time in a module, as the browser does once a minute."""
        return self._core.store(self._admit("heartbeat", HEARTBEAT_ACTIVITY, module, account, user, product))

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return self._core.flush(timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Stop, after at most `timeout` seconds. What is not delivered stays in the spool for the next process."""
        self._core.worker.close(timeout)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the events that were given up, the oldest first, each with its reason."""
        return self._core.letters()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

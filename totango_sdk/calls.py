"""A call of the host, as a value: what it gave, with the defaults in force.

From here there are two ways on: an `Event`, which is right, or a refusal, which keeps everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import InvalidEvent
from .events import HEARTBEAT_ACTIVITY, HEARTBEAT_MODULE, Event
from .identity import as_account, as_product, as_user, exact_str, rules
from .show import shown
from .spool.letters import plain, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .errors import Problem
    from .events import Kind
    from .scope import Trouble

# What the host called, for each kind of event.
NAMES: dict[Kind, str] = {
    "track": "track",
    "heartbeat": "heartbeat",
    "identify": "identify",
    "account": "set_account_attributes",
    "user": "set_user_attributes",
}
_KINDS = {name: kind for kind, name in NAMES.items()} | {kind: kind for kind in NAMES}
_ACTIVITIES = ("track", "heartbeat")


class Call(NamedTuple):
    """One call. Account, user and product are as the host gave them, or else its defaults.

    `module` is what the call names; `default_module` serves where neither the call nor its
    product has one. `trouble` says that who is meant is not known.
    """

    kind: Kind = "track"
    activity: Any = None
    module: Any = None
    account: Any = None
    user: Any = None
    product: Any = None
    default_module: str | None = None
    trouble: Trouble | None = None

    @property
    def name(self) -> str:
        """The name of the method that was called."""
        return NAMES[self.kind]

    @property
    def is_nobodys(self) -> bool:
        """Whether it lacks an account or a user, and nobody is meant on purpose."""
        return self.trouble is not None and self.trouble.failure is None

    def event(self, *, allow_empty_accounts: bool = False, extra_id_characters: str = "") -> Event:
        """Return the event that this is. Raises `InvalidEvent`, and whatever a hostile object does."""
        if self.trouble is not None and self.trouble.failure is not None:
            raise InvalidEvent(
                [rules.IDENTITY_UNKNOWN.broken("account", None, self.trouble.failure)]
            )
        account, product = as_account(self.account), as_product(self.product)
        speaks_of_account_alone = self.kind == "account"
        return Event(
            kind=self.kind,
            account=account,
            user=None if speaks_of_account_alone else as_user(self.user),
            product=None if speaks_of_account_alone else product,
            activity=HEARTBEAT_ACTIVITY if self.kind == "heartbeat" else self.activity,
            module=self._module(None if product is None else product.module),
            account_optional=allow_empty_accounts,
            extra_id_characters=extra_id_characters,
        )

    def _module(self, of_product: Any) -> Any:
        if self.kind not in _ACTIVITIES:
            return None
        for module in (self.module, of_product, self.default_module):
            if module is not None and exact_str(module) != "":
                return module
        return HEARTBEAT_MODULE if self.kind == "heartbeat" else self.module

    def refusal(self, problems: Iterable[Problem] = (), reason: str = "") -> bytes:
        """Return what a spool keeps of this call as a dead letter: it loses nothing of the input."""
        return refusal(self._given(), problems, reason)

    def as_mapping(self) -> dict[str, Any]:
        """Return this call as plain values that JSON can hold, entities in the browser's shape."""
        found: dict[str, Any] = plain(self._given())
        return found

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Call:
        """Read what `as_mapping` wrote, or the `input` of a dead letter. Raises `ValueError`."""
        name = mapping.get("call", "track")
        if not isinstance(name, str) or name not in _KINDS:
            msg = f"call={shown(name)} is wrong: it is one of {', '.join(_KINDS)}"
            raise ValueError(msg)
        names = ("activity", "module", "account", "user", "product")
        return cls(_KINDS[name], *(mapping.get(each) for each in names))

    def _given(self) -> dict[str, Any]:
        return {
            "call": self.name,
            "activity": HEARTBEAT_ACTIVITY if self.kind == "heartbeat" else self.activity,
            "module": self.default_module if self.module is None else self.module,
            "account": self.account,
            "user": self.user,
            "product": self.product,
        }

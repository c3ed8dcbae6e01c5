"""What can go wrong, and whose fault it is.

TotangoError
├── OptionsError(ValueError)   yours, at start-up: a wrong option; names it
├── InvalidID(ValueError)      yours, in a call: from salesforce_id and product_account_id
├── InvalidEvent(ValueError)   yours, in a call: `.problems` has every Problem, not only the first
├── SpoolError                 the disk's: an event could not be kept
│   ├── SpoolFull              the quota or the disk is used up
│   ├── SpoolLocked            another process holds what was asked for
│   └── SpoolCorrupt           what is stored there cannot be read
└── DeliveryError              the way's: never raised by track; from the command line and tests
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .identity import Problem

_SHOWN = 80


def shown(value: object) -> str:
    """Return `value` as an error message may show it: one line, never more than 80 characters."""
    try:
        return one_line(repr(value if not isinstance(value, str | bytes) else value[: _SHOWN + 1]), _SHOWN)
    except Exception:  # a hostile __repr__ must not hide the error that is being told
        return f"<{type(value).__name__} that cannot be shown>"


def one_line(text: str, limit: int) -> str:
    """Return `text` as a log line may have it: what cannot be printed is escaped, and it is cut to `limit`."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class Readable:
    """Shows the fields of an attrs class, as attrs would; writing a `__repr__` for each class costs at import."""

    __slots__ = ()

    def __repr__(self) -> str:
        kind: Any = type(self)
        shown_fields = [
            f"{field.name}={(field.repr if callable(field.repr) else repr)(getattr(self, field.name))}"
            for field in kind.__attrs_attrs__
            if field.repr
        ]
        return f"{kind.__name__}({', '.join(shown_fields)})"


class TotangoError(Exception):
    """The root of all that this package raises."""


class OptionsError(TotangoError, ValueError):
    """An option is wrong. The message names the option, its value, and an example of a right one."""


class InvalidID(TotangoError, ValueError):
    """An ID is not one that Totango takes."""


class InvalidEvent(TotangoError, ValueError):
    """Totango would drop or misfile this event. `problems` says everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "; ".join(str(problem) for problem in self.problems)


class SpoolError(TotangoError):
    """The spool could not keep or give back an event."""


class SpoolFull(SpoolError):
    """The spool has reached its quota, or the disk is full."""


class SpoolLocked(SpoolError):
    """The spool belongs to another process that is alive."""


class SpoolCorrupt(SpoolError):
    """What is stored in the spool cannot be read."""


class DeliveryError(TotangoError):
    """Events could not be delivered. Raised by the command line and by tests, never by `track`."""

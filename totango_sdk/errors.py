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

from typing import TYPE_CHECKING, Any, Literal

import attrs

from .show import Readable, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

Severity = Literal["error", "warning"]

_FIELD_SHOWN = 128


@attrs.frozen(repr=False)
class Problem(Readable):
    """One broken rule.

    `field` names what is wrong (`account`, `user`, `activity`, `account.Plan` and so on), `value`
    is what was given, `message` says what was expected and what to do. An `error` means that
    Totango would drop or misfile the event; a `warning` means that it is sent, and told. `rule` is
    the stable name of the rule, such as `id.characters`, by which programs count; docs/rules.md
    lists them all.
    """

    field: str
    value: Any = attrs.field(repr=shown)
    message: str
    severity: Severity = "error"
    rule: str = ""

    def __str__(self) -> str:
        return f"{one_line(self.field, _FIELD_SHOWN)}: {self.message}"


def kinds_of(problems: Iterable[Problem]) -> str:
    """Return which rules are broken, and of which fields: alike for problems of one kind."""
    return ", ".join(sorted({f"{problem.rule} {problem.field}" for problem in problems}))


class TotangoError(Exception):
    """The root of all that this package raises."""


class OptionsError(TotangoError, ValueError):
    """An option is wrong. The message names the option, its value, and an example of a right one."""

    @classmethod
    def of(cls, name: str, value: object, expected: str, example: str) -> Self:
        """Return the error for an option `name` that has this value.

        `expected` says what is right, and `example` is Python that stands for such a value.
        """
        return cls(f"{name}={shown(value)} is wrong: {expected}, such as {name}={example}")


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

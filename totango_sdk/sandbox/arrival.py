"""One request as it came, understood: what the store keeps."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Literal, get_args

import attrs

from ..identity import rules
from ..show import shown
from ..wire.read import Reading, read
from ..wire.redact import redact
from .forms import FORM, other_form, parameters
from .wording import for_others

if TYPE_CHECKING:
    from ..errors import Problem

Source = Literal["sdk", "browser", "other"]
Kind = Literal["activity", "heartbeat", "attributes"]
Row = tuple[
    int,
    int,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    Source,
    str | None,
    Kind,
    str | None,
    str | None,
]
SOURCES: tuple[Source, ...] = get_args(Source)
KINDS: tuple[Kind, ...] = get_args(Kind)

_MOST_PARAMETERS = 1000
_SHOWN = 300
_OUR_AGENT = "totango-sdk/"
_BROWSER_AGENT = "Mozilla/"


@attrs.frozen(kw_only=True)
class Arrival:
    """A request and what Totango would make of it.

    `time` is in seconds since 1970. `query` and `body` are text as it came, but that the security
    token is replaced by `…`: it goes no further than this. `head` is the request line, without the
    query where there is one, and the headers. `fault` is what was done to it on demand.
    """

    time: float
    method: str
    source: Source
    query: str
    body: str
    reading: Reading
    agent: str = ""
    head: str = ""
    malformed: str | None = None
    fault: str | None = None

    @property
    def taken(self) -> bool:
        """Whether it got through: a fault on demand keeps it out, but for one that only loses the
        answer.
        """
        return self.fault is None or self.fault == "lost"

    @property
    def accepted(self) -> bool:
        """Whether Totango would register it."""
        return self.taken and self.reading.accepted

    @property
    def kind(self) -> Kind:
        """What it reports."""
        if self.reading.heartbeat:
            return "heartbeat"
        return "attributes" if self.reading.activity is None else "activity"

    @property
    def severity(self) -> str | None:
        """The worst of its problems."""
        found = {problem.severity for problem in self.reading.problems}
        if "error" in found:
            return "error"
        return "warning" if found else None

    @property
    def size(self) -> int:
        """The characters that are kept of it."""
        return len(self.query) + len(self.body) + len(self.head)

    def row(self, number: int) -> Row:
        """Return it as the log shows it: short, because there are many."""
        read = self.reading
        texts = [
            None if text is None else _shown_once(text)
            for text in (
                *(read.account_id, read.product_id, read.user_id, read.activity, read.module),
                read.service_id,
            )
        ]
        return (
            number,
            int(self.time * 1000),
            *texts[:5],
            self.source,
            self.severity,
            self.kind,
            self.fault,
            texts[5],
        )  # type: ignore[return-value]


def _shown_once(text: str) -> str:
    """Return a text as the log shows it. Most are there thousands of times, and kept once."""
    return intern(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def understand(
    *,
    time: float,
    method: str,
    query: bytes,
    body: bytes,
    user_agent: str,
    head: str = "",
    content_type: str = "",
    malformed: str | None = None,
    fault: str | None = None,
    extra_id_characters: str = "",
) -> Arrival:
    """Understand a request of any bytes. Never raises.

    `malformed` says what is wrong with a request line that no server takes; `extra_id_characters`
    are those that the IDs of the service have beside the documented ones.
    """
    texts = [redact(text.decode("utf-8", "replace")) for text in (query, body)]
    kept = [_cut(text) for text in texts]
    reading = read(parameters(*kept), extra_id_characters=extra_id_characters)
    problems = _of_the_request(texts, kept, content_type, malformed)
    if problems:
        own = () if _hides_all(problems, *kept) else reading.problems
        reading = attrs.evolve(reading, problems=(*problems, *own))
    source = _source(user_agent, reading)
    if reading.problems and source != "sdk":
        reading = attrs.evolve(reading, problems=for_others(reading.problems))
    return Arrival(
        time=time,
        method=method,
        source=source,
        query=kept[0],
        body=kept[1],
        reading=reading,
        agent=user_agent,
        head=head,
        malformed=malformed,
        fault=fault,
    )


def _of_the_request(
    came: list[str], kept: list[str], content_type: str, malformed: str | None
) -> list[Problem]:
    """Return what is wrong with a request before any of its parameters is looked at."""
    found = []
    if malformed is not None:
        found.append(rules.REQUEST_MALFORMED.broken("request", None, malformed))
    found += _of_the_body(kept, content_type)
    if kept != came:
        message = (
            f"it has more than {_MOST_PARAMETERS} parameters; the others were not read. "
            "Send one event a request"
        )
        found.append(rules.REQUEST_PARAMETERS.broken("request", None, message))
    return found


def _of_the_body(kept: list[str], content_type: str) -> list[Problem]:
    query, body = kept
    other = other_form(body)
    if other is not None:
        message = (
            f"the body is {other}, which Totango does not read: it takes a form. Send its fields "
            f"percent-encoded, as NAME=VALUE&NAME=VALUE, with Content-Type: {FORM}"
        )
        rule = rules.REQUEST_BODY_IGNORED if query else rules.REQUEST_NO_FORM
        return [rule.broken("request", None, message)]
    named = content_type.partition(";")[0].strip().lower()
    if body and named and named != FORM:
        message = (
            f"the body is a form, but the header Content-Type calls it {shown(named)}, so that a "
            f"server need not read it. Send Content-Type: {FORM}"
        )
        return [rules.REQUEST_CONTENT_TYPE.broken("request", None, message)]
    return []


def _hides_all(problems: list[Problem], query: str, body: str) -> bool:
    """Whether all else follows from these: nothing could be read."""
    return any(problem.severity == "error" for problem in problems) and not parameters(query, body)


def _cut(text: str) -> str:
    """Bound the work that one request can make: half a million empty parameters fit into a body."""
    if text.count("&") < _MOST_PARAMETERS:
        return text
    return "&".join(text.split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS])


def _source(user_agent: str, reading: Reading) -> Source:
    if user_agent.startswith(_OUR_AGENT):
        return "sdk"
    return "browser" if reading.from_browser or user_agent.startswith(_BROWSER_AGENT) else "other"

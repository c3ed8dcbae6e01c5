"""One request as it came, understood: what the store keeps."""

from __future__ import annotations

from typing import Literal

import attrs

from ..identity import Problem
from ..wire import Reading, decode, read, redact

Source = Literal["sdk", "browser", "other"]
Kind = Literal["activity", "heartbeat", "attributes"]
Row = tuple[int, int, str | None, str | None, str | None, str | None, str | None, Source, str | None, Kind, str | None]

_MOST_PARAMETERS = 1000
_SHOWN = 300
_OUR_AGENT = "totango-sdk/"
_BROWSER_AGENT = "Mozilla/"


@attrs.frozen(kw_only=True)
class Arrival:
    """A request and what Totango would make of it.

    `time` is in seconds since 1970. `query` and `body` are text as it came, but that the security
    token is replaced by `…`: it goes no further than this. `fault` is what was done to it on demand.
    """

    time: float
    method: str
    source: Source
    query: str
    body: str
    reading: Reading
    fault: str | None = None

    @property
    def taken(self) -> bool:
        """Whether it got through: a fault on demand keeps it out, but for one that only loses the answer."""
        return self.fault is None or self.fault == "lost"

    @property
    def kind(self) -> Kind:
        """What it reports."""
        if self.reading.heartbeat:
            return "heartbeat"
        return "attributes" if self.reading.activity is None and self.reading.module is None else "activity"

    @property
    def severity(self) -> str | None:
        """The worst of its problems."""
        found = {problem.severity for problem in self.reading.problems}
        return "error" if "error" in found else "warning" if found else None

    def row(self, number: int) -> Row:
        """Return it as the log shows it: short, because there are many."""
        read = self.reading
        texts = [
            text if text is None or len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            for text in (read.account_id, read.product_id, read.user_id, read.activity, read.module)
        ]
        return number, int(self.time * 1000), *texts, self.source, self.severity, self.kind, self.fault  # type: ignore[return-value]


def understand(
    *, time: float, method: str, query: bytes, body: bytes, user_agent: str, fault: str | None = None
) -> Arrival:
    """Understand a request of any bytes. Never raises."""
    texts = [redact(text.decode("utf-8", "replace")) for text in (query, body)]
    kept = [_cut(text) for text in texts]
    reading = read(parameters(*kept))
    if kept != texts:
        message = f"it has more than {_MOST_PARAMETERS} parameters; the others were not read. Send one event a request"
        reading = attrs.evolve(reading, problems=(Problem("request", None, message, "warning"), *reading.problems))
    source = _source(user_agent, reading)
    return Arrival(time=time, method=method, source=source, query=kept[0], body=kept[1], reading=reading, fault=fault)


def parameters(query: str, body: str) -> list[tuple[str, str]]:
    """Return the parameters of a request, those of the address first."""
    return decode(query) + decode(body) if query and body else decode(query or body)


def _cut(text: str) -> str:
    """Bound the work that one request can make: half a million empty parameters fit into a body."""
    if text.count("&") < _MOST_PARAMETERS:
        return text
    return "&".join(text.split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS])


def _source(user_agent: str, reading: Reading) -> Source:
    if user_agent.startswith(_OUR_AGENT):
        return "sdk"
    return "browser" if reading.from_browser or user_agent.startswith(_BROWSER_AGENT) else "other"

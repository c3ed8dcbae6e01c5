"""SQLAlchemy: events that become rows of a session's transaction.

outbox = Outbox(client)

with Session(engine) as session, session.begin():
    session.add(order)
    outbox(session).track("Order placed")
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..aio import AsyncTotango
from ..client import Totango, adopt
from . import missing
from .outbox import VERSION, dumps
from .relay import Relay, core_for, database_name

try:
    import sqlalchemy as sql
    from sqlalchemy.dialects.mysql import LONGTEXT
    from sqlalchemy.orm import registry
except ModuleNotFoundError as error:
    raise missing("sqlalchemy", "SQLAlchemy", "sqlalchemy") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from ..calls import Call
    from ..client import Face
    from ..core import Ready

metadata = sql.MetaData()

_events = sql.Table(
    "totango_outbox",
    metadata,
    sql.Column(
        "id",
        sql.BigInteger().with_variant(sql.Integer(), "sqlite"),
        sql.Identity(),
        primary_key=True,
    ),
    sql.Column("v", sql.SmallInteger, nullable=False),
    sql.Column("service_id", sql.String(64), nullable=False),
    sql.Column("event", sql.Text().with_variant(LONGTEXT(), "mysql", "mariadb"), nullable=False),
    sql.Column("created_at", sql.DateTime(timezone=True), nullable=False),
    sql.Index("totango_outbox_service_id", "service_id", "id"),
    sqlite_autoincrement=True,
)
sql.Table(
    "totango_outbox_relay",
    metadata,
    sql.Column("service_id", sql.String(64), primary_key=True),
    sql.Column("holder", sql.String(32), nullable=False),
    sql.Column("beat", sql.BigInteger, nullable=False),
)


class _Row:
    """A row of the outbox."""

    def __init__(self, service_id: str, event: str) -> None:
        self.v = VERSION
        self.service_id = service_id
        self.event = event
        self.created_at = datetime.now(UTC)


registry(metadata=metadata).map_imperatively(_Row, _events)


class SessionTotango(Totango):
    """Every call of `Totango`; what it makes is added to a session, without a flush.

    The calls return `None`: a row has no number before it is written.
    """

    _session: Session | AsyncSession

    def bind(self, **given: Any) -> Self:
        """Return a client with other defaults, for the same session."""
        bound = super().bind(**given)
        bound._session = self._session
        return bound

    def _take(self, call: Call) -> str | None:
        ready = self._prepare(call)
        if ready is not None:
            self._add(ready)
        return None

    def _did(self, activity: str, module: str | None) -> None:
        self._take(self._call("track", activity, module))

    def _add(self, ready: Ready) -> None:
        row = _Row(self._core.options.service_id, dumps(ready.event))
        state: Any = sql.inspect(row)
        # A rollback makes the row what it was before it was added.
        ready.is_open = lambda: not state.transient
        self._session.add(row)


class Outbox:
    """The outbox of a client: `outbox(session).track(...)`, and `outbox.relay(engine)`.

    `client` is a client of any kind; it says who is meant, and where the relay sends.
    """

    def __init__(self, client: Any) -> None:
        face: Face = client if isinstance(client, Totango | AsyncTotango) else client.client
        self._twin = face.sync if isinstance(face, AsyncTotango) else face
        adopt(self._twin)

    def __call__(self, session: Session | AsyncSession) -> SessionTotango:
        """Return the client whose events are rows of this session's transaction."""
        found = SessionTotango.__new__(SessionTotango)
        twin = self._twin
        found._core, found._who, found._own_core = twin._core, twin._who, twin._own_core
        found._session = session
        return found

    def relay(
        self, engine: sql.Engine, *, once: bool = False, batch: int = 500, poll: float = 1.0
    ) -> int:
        """Hand over the outbox to the spool, and deliver; return how many events that were.

        For ever, or with `once` until the outbox is empty. `batch` is how many rows go in one
        transaction, `poll` how many seconds to wait where there are none. Raises `OptionsError`.
        """
        return self.relay_on(engine, batch=batch, poll=poll).run(once=once)

    def relay_on(self, engine: sql.Engine, *, batch: int = 500, poll: float = 1.0) -> Relay:
        """Return the relay itself, with `run`, `stop` and `status`."""
        core = core_for((self._twin._own_core or self._twin._core).options)
        return Relay(core, _Tables(engine), batch=batch, poll=poll)


class _Tables:
    """The outbox of an engine."""

    def __init__(self, engine: sql.Engine) -> None:
        self._engine = engine
        self.name = database_name(engine.url.database, engine.url.host, engine.url.port)

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., Any]]:
        """Begin a transaction."""
        with self._engine.begin() as connection:

            def run(statement: str, **values: Any) -> Any:
                result = connection.execute(sql.text(statement), values)
                return result.all() if result.returns_rows else result.rowcount

            yield run

    def recover(self) -> None:
        """Leave it to the pool, which makes a connection anew."""

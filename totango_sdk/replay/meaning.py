"""What a row means: a call with its parts, checked; or why it is none."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import attrs

from ..calls import Call
from ..errors import InvalidEvent
from ..events import Joins
from ..show import shown
from ..tables import MapSource, NoZone, Unfit, at_path, read_time, usual_time, written, zone
from ..wire.read import names_service
from .layout import Layout, check_usable
from .shapes import Shapes
from .values import Fault, Meant, Rejected, Rules, Skipped, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..identity import Account, Product
    from ..tables import Source

KINDS = ("track", "heartbeat", "identify", "account", "user")
_AHEAD_SECONDS = 3600.0
_LEFT_OUT = Skipped("the map leaves it out")
_LAYOUTS_REMEMBERED = 1000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_SECOND = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH).total_seconds()


class Meaning:
    """Reads the rows of one source. `left_out` has the attributes that are lists."""

    def __init__(self, source: Source, rules: Rules) -> None:
        self.left_out: dict[str, None] = {}
        self.keys: dict[str, None] = {}
        self.has_time = False
        self.ahead = 0  # rows whose time is more than an hour ahead
        self.ahead_of = _EPOCH + dt.timedelta(seconds=rules.now + _AHEAD_SECONDS)
        self._rules = rules
        self._source = source
        self._zone = None if rules.timezone is None else zone(rules.timezone)
        self._oldest = _EPOCH + dt.timedelta(seconds=max(_FIRST_SECOND, rules.now - rules.max_age))
        self.joins = Joins()
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._shapes = Shapes(self)
        self.is_log = source.format == "log"
        self.is_typed = source.format != "csv"  # other values than texts may be among its own
        self._where = {} if rules.map is None else rules.map.where
        self.is_shaped = False  # a table whose rows may be of a known shape
        self.columns: tuple[str, ...] = ()
        self.layout: Layout | None = None
        if source.columns is not None:
            self._begin(source.columns)

    def _begin(self, columns: tuple[str, ...]) -> None:
        self.layout = self._made(columns, is_mapping=False)
        self.is_shaped = self._shapes.are_on and self._shapes.may_be(columns)
        if not self.is_shaped:
            check_usable(self.layout, self._source.name)
        self.columns = columns

    def _made(self, columns: tuple[str, ...], *, is_mapping: bool) -> Layout:
        layout = Layout(columns, self._rules.map, self._leave_out, is_mapping=is_mapping)
        self.has_time = self.has_time or "time" in layout.event
        return layout

    def _leave_out(self, name: str) -> None:
        self.left_out[name] = None

    # -- one row

    def verdicts(self, row: Any) -> list[Verdict]:
        """Return what a row means: one verdict, but for a Segment batch, which has many."""
        if self.is_log:
            if self._where and not self._is_wanted(row):
                return [_LEFT_OUT]
            return [self._shapes.of_log(row)]
        if self.layout is not None and not self.is_shaped:
            return [self._guarded(self.layout, row)]
        return self._of_mapping(self.as_mapping(row))

    def as_mapping(self, row: Any) -> Any:
        """Return a row of a table whose rows may have a shape as the mapping that it stands for."""
        if not self.is_shaped:
            return row
        pairs = zip(self.columns, row, strict=True)
        return {key: value for key, value in pairs if value not in (None, "")}

    def _of_mapping(self, row: Mapping[str, Any]) -> list[Verdict]:
        if self._where and not self._is_wanted(row):
            return [_LEFT_OUT]
        if self._shapes.are_on:
            found = self._shapes.of_mapping(row)
            if found is not None:
                return found
        try:
            layout = self.layout_of(row)
        except ValueError as error:  # two keys of one meaning
            return [Rejected("invalid", str(error), ("account",))]
        return [self._guarded(layout, row)]

    def shape_of(self, keys: tuple[str, ...]) -> str | None:
        """Return the shape that rows with these keys may have: `wire`, `other` or none."""
        if not self._shapes.are_on:
            return None
        is_wire = names_service(keys) and not self._where
        return self._shapes.other(keys) or ("wire" if is_wire else None)

    @property
    def is_plain_log(self) -> bool:
        """Whether the lines of a log are taken whatever they hold."""
        return self.is_log and not self._where

    def _is_wanted(self, row: Mapping[str, Any]) -> bool:
        """Whether a row, of whatever shape, has the values that the map's `[where]` asks for."""
        return all(written(at_path(row, name)) in wanted for name, wanted in self._where.items())

    def layout_of(self, row: Mapping[str, Any]) -> Layout:
        """Return how rows with these keys are read. Raises `ValueError` if two have one meaning."""
        keys = tuple(row)
        layout = self._layouts.get(keys)
        if layout is None:
            if len(self._layouts) >= _LAYOUTS_REMEMBERED:
                self._layouts.clear()
            layout = self._layouts[keys] = self._made(keys, is_mapping=True)
            self.keys.update(dict.fromkeys(layout.unused[:1000]) if len(self.keys) < 1000 else {})
        return layout

    def _guarded(self, layout: Layout, row: Any) -> Verdict:
        try:
            if layout.where and not layout.is_wanted(row):
                return _LEFT_OUT
            return self._read(layout, row)
        except Fault as fault:
            return fault.rejected

    def _read(self, layout: Layout, row: Any) -> Verdict:
        parts, picks = layout.parts, layout.picks
        entities: list[Any] = []
        faults: list[Rejected] = []
        for entity in ("account", "product", "user"):
            try:
                made = parts[entity].make(picks[entity](row)) if layout.has[entity] else None
            except Fault as fault:
                faults.append(fault.rejected)
                made = None
            entities.append(made)
        activity, module, time, call = layout.pick_event(row)
        if not layout.is_event_plain:
            activity, module, time, call = self._event_values(
                layout, (activity, module, time, call), faults
            )
        if faults:
            reason = "; ".join(fault.reason for fault in faults)
            return Rejected("value", reason, tuple(name for f in faults for name in f.fields))
        account, product, user = entities
        kind = self._kind(layout, call, product)
        if product is not None and account is not None and account.parent is not None:
            account, product = _as_importer(account, product)
        return self.call(
            Call(kind, activity or None, module or None, account, user, product), self.time(time)
        )

    def _event_values(
        self, layout: Layout, given: tuple[Any, ...], faults: list[Rejected]
    ) -> list[Any]:
        values = []
        for name, source, value in zip(
            ("activity", "module", "time", "call"), layout.event_sources, given, strict=True
        ):
            values.append(_value(name, source, value, faults))
        return values

    def _kind(self, layout: Layout, call: Any, product: Any) -> Any:
        if call not in (None, ""):
            if call not in KINDS:
                raise Fault("call", f"call={shown(call)} is unknown: it is one of {KINDS}")
            return call
        if "activity" in layout.event:
            return "track"
        if layout.has["user"]:
            return "identify"
        return "account" if product is None else "identify"

    # -- what all shapes share

    def time(self, given: Any) -> dt.datetime | None:
        """Return the time of a row. Raises `Fault`."""
        if given is None or given == "":
            return None
        try:
            return read_time(given, self._zone)
        except NoZone as error:
            raise Fault("time-zone", str(error), "time") from None
        except Unfit as error:
            raise Fault("time", str(error), "time") from None

    def call(self, call: Call, time: dt.datetime | None, *, alone: bool = False) -> Verdict:
        """Return the verdict on a call; with `alone`, no defaults of the client serve it."""
        rules = self._rules
        if not alone:
            call = call._replace(
                account=rules.account if call.account is None else call.account,
                user=rules.user if call.user is None else call.user,
                product=rules.product if call.product is None else call.product,
                default_module=rules.module,
            )
        try:
            event = call.event(
                allow_empty_accounts=rules.allow_empty_accounts,
                extra_id_characters=rules.extra_id_characters,
            )
            if event.product is not None:
                self.joins.check(event)
        except InvalidEvent as invalid:
            errors = [each for each in invalid.problems if each.severity == "error"]
            fields = tuple(dict.fromkeys(each.field for each in errors))
            return Rejected("invalid", "; ".join(map(str, errors)), fields, time)
        return self.aged(Meant(event, None, time))

    def aged(self, meant: Meant) -> Verdict:
        """Return a verdict, or the rejection of one that is too old."""
        self.note_ahead(meant.time)
        if meant.time is None or self.is_young(meant.time):
            return meant
        reason = f"{meant.time:%Y-%m-%d %H:%M} UTC is too long ago: it would count as happening now"
        return Rejected("too-old", reason, (), meant.time)

    def is_young(self, time: dt.datetime) -> bool:
        """Whether a row of this time is sent."""
        return time >= self._oldest or self._rules.arrival_time_is_fine

    def note_ahead(self, time: dt.datetime | None) -> None:
        """Count a row whose time lies more than an hour ahead."""
        if time is not None and time > self.ahead_of:
            self.ahead += 1

    def time_at(self, given: Any) -> dt.datetime | None:
        """Return the time of a row; `None` if it cannot be read."""
        try:
            return usual_time(given) or self.time(given)
        except Fault:
            return None

    @property
    def rules(self) -> Rules:
        """What decides beside the row."""
        return self._rules


def _value(name: str, source: MapSource, value: Any, faults: list[Rejected]) -> Any:
    if source.is_plain:
        return value
    try:
        return source.read(value)
    except Unfit as unfit:
        faults.append(Rejected("value", str(unfit), (name,)))
        return None


def _as_importer(account: Account, product: Product) -> tuple[Account, Product]:
    """Read a row that names a product account by its own ID, as Totango's importer does."""
    if account.id != f"{account.parent}_{product.id}":
        return account, product
    attributes: dict[str, Any] = {**product.attributes, **account.attributes}
    if account.foreignkeyid is not None:
        attributes["foreignkeyid"] = account.foreignkeyid
    attributes |= account.foreign_keys
    named = attrs.evolve(product, name=account.name or product.name, attributes=attributes)
    assert account.parent is not None
    return type(account)(account.parent), named

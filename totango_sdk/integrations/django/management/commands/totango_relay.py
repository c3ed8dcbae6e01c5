"""`manage.py totango_relay`: hands over the outbox to the spool, and delivers."""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from .....errors import OptionsError, SpoolError
from ...handover import make

if TYPE_CHECKING:
    import argparse

    from ....relay import Relay


class Command(BaseCommand):
    """Runs until SIGTERM, which ends it between two batches."""

    help = "Hands over the events of the outbox to the spool, and delivers them."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take what a relay can be told."""
        parser.add_argument("--once", action="store_true", help="end when the outbox is empty")
        parser.add_argument("--batch", type=int, default=500, help="rows in one transaction")
        parser.add_argument("--poll", type=float, default=1.0, help="seconds between two looks")
        parser.add_argument("--status", action="store_true", help="say what waits, and who leads")
        parser.add_argument("--json", action="store_true", help="tell it as JSON")

    def handle(
        self, *, once: bool, batch: int, poll: float, status: bool, json: bool, **_: Any
    ) -> None:
        """Run it. Exits with 1 if events died, with 2 for wrong use."""
        try:
            relay = make(batch=batch, poll=poll)
        except OptionsError as wrong:
            raise CommandError(str(wrong), returncode=2) from None
        if status:
            self._tell_status(relay, as_json=json)
            return
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: relay.stop())
        try:
            total = relay.run(once=once)
        except SpoolError as wrong:
            raise CommandError(str(wrong), returncode=2) from None
        self._tell(relay, total, as_json=json)

    def _tell(self, relay: Relay, total: int, *, as_json: bool) -> None:
        stats = relay.core.stats()
        left = stats.queued + stats.retrying + stats.in_flight
        found = {"handed_over": total, "dead": stats.dead, "left": left}
        text = f"{total} handed over, {stats.dead} dead, {left} left in the spool"
        self.stdout.write(json.dumps(found) if as_json else text)
        if stats.dead:
            sys.exit(1)

    def _tell_status(self, relay: Relay, *, as_json: bool) -> None:
        found = relay.status()
        service_id = relay.core.options.service_id
        if as_json:
            told = {"service_id": service_id, **found._asdict()}
            self.stdout.write(json.dumps(told, default=str))
            return
        oldest = "" if found.oldest_at is None else f", the oldest since {found.oldest_at}"
        self.stdout.write(f"{service_id}: {found.waiting} waiting{oldest}")
        self.stdout.write(f"the relay {found.leader} leads" if found.leader else "no relay leads")

"""A hundred thousand tracks from eight threads: `many.py memory|disk DIRECTORY`."""

from __future__ import annotations

import sys
import threading
from collections import Counter, defaultdict

from totango_sdk import Account, Answer, MemorySpool, Totango
from totango_sdk.spool import DiskSpool

THREADS, EACH, ACCOUNTS = 8, 12_500, 40


class Bodies:
    """Like RecordingTransport, but what it was sent is read later."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: list[Answer] = []

    def submit(self, ticket: int, body: bytes) -> None:
        self.bodies.append(body)
        self.answers.append(Answer(ticket, 200))

    def poll(self, timeout: float) -> list[Answer]:
        answers, self.answers = self.answers, []
        return answers

    def close(self) -> None: ...


def main(kind: str, directory: str) -> None:
    transport = Bodies()
    spool = MemorySpool(most_bytes=1 << 30) if kind == "memory" else DiskSpool(directory)
    client = Totango("SP-1-1", module="M", spool=spool, transport=transport, strict=True, max_connections=100)
    customers = [Account(f"A{number}", name=f"Acme {number}") for number in range(ACCOUNTS)]
    locks = [threading.Lock() for _ in customers]
    orders: dict[str, list[str]] = defaultdict(list)

    def work(number: int) -> None:
        for at in range(EACH):
            which = (number * 7 + at) % ACCOUNTS
            with locks[which]:  # so that the order of acceptance is known
                client.track(f"x{number}-{at}", account=customers[which], user="U")
                orders[customers[which].id].append(f"x{number}-{at}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(120), client.stats()
    stats = client.stats()
    assert stats.accepted == stats.delivered == THREADS * EACH, stats
    client.close()
    arrived: dict[str, list[str]] = defaultdict(list)
    named: Counter[str] = Counter()
    for body in transport.bodies:
        names = dict(pair.split("=") for pair in body.decode().split("&"))
        arrived[names["sdr_o"]].append(names["sdr_a"])
        named[names["sdr_o"]] += "sdr_odn" in names
    assert arrived == orders
    assert named == Counter(customer.id for customer in customers)
    print(f"{len(transport.bodies)} arrived, each once and in order; {len(named)} accounts were named once")


main(*sys.argv[1:])

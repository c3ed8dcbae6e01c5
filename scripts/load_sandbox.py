"""How much the sandbox takes while somebody looks: sends it 2,000 requests a second for 30 seconds
with its page open.

    python scripts/load_sandbox.py [--rate 2000] [--seconds 30]

Starts the sandbox as a process of its own and opens its page in Chromium. Prints what was sent,
what arrived, the sandbox's memory, and how long the page kept its user waiting. Ends with 1 if
anything is lost.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from playwright.sync_api import sync_playwright

from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.curl import CurlTransport

if TYPE_CHECKING:
    from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browsers import CHROMIUM, FLAGS

SANDBOX = [
    sys.executable,
    "-c",
    "from totango_sdk.cli import main; raise SystemExit(main())",
    "sandbox",
]
CONNECTIONS = 32
MOST_MEMORY_MB = 400
# Every 50 ms: how much later than asked the page came to it.
WATCH = """() => {
  window.__late = [];
  let due = performance.now() + 50;
  setInterval(() => { const now = performance.now(); window.__late.push(now - due); due = now + 50; }, 50);
}"""
# From a key in the filter until the next frame is drawn.
FILTER = """text => new Promise(done => {
  const input = document.querySelector('input[type=search]');
  const began = performance.now();
  input.value = text;
  input.dispatchEvent(new Event('input', {bubbles: true}));
  const settle = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
  requestAnimationFrame(settle);
})"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=2000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    process = subprocess.Popen(
        [*SANDBOX, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        return measure(told["url"], told["endpoint"], process.pid, options.rate, options.seconds)
    finally:
        process.terminate()
        process.wait(10)


def measure(url: str, endpoint: str, pid: int, rate: int, seconds: float) -> int:
    """Send, look, and tell."""
    count = int(rate * seconds)
    before = memory_mb(pid)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(url)
        page.evaluate(WATCH)
        sent: list[Any] = []
        times = [time.monotonic()]

        def run() -> None:
            sent.extend(send(endpoint, count, rate))
            times.append(time.monotonic())

        sender = threading.Thread(target=run)
        sender.start()
        filters = look(page, sender)
        sender.join()
        spent = times[1] - times[0]
        late = sorted(page.evaluate("() => window.__late"))
        browser.close()
    totals = httpx.get(f"{url}summary.json", trust_env=False, timeout=30).json()["totals"]
    answered = sent.count(200)
    after = memory_mb(pid)
    lines = {
        "sent": f"{count:,} requests in {spent:.1f} s: {count / spent:,.0f} a second ({rate:,} asked for)",
        "answered": f"{answered:,} with 200",
        "arrived": f"{totals['requests']:,}, of which {totals['accepted']:,} taken; {totals['lost']:,} lost",
        "memory": f"{before:.0f} MB before, {after:.0f} MB after",
        "page": f"late by {late[len(late) // 2]:.0f} ms (median), {late[-1]:.0f} ms (longest)",
        "filter": f"{max(filters, default=0):.0f} ms at most, of {len(filters)}",
    }
    for name, text in lines.items():
        print(f"{name:9} {text}")
    good = answered == totals["requests"] == count and not totals["lost"] and after < MOST_MEMORY_MB
    return 0 if good else 1


def look(page: Page, sender: threading.Thread) -> list[float]:
    """Use the page's filter for as long as events come."""
    times = []
    while sender.is_alive():
        for text in ("acct-7", ""):
            times.append(page.evaluate(FILTER, text))
            page.wait_for_timeout(500)  # as a person who reads
    return times


def send(endpoint: str, count: int, rate: int) -> list[int | None]:
    """Send so many events at this rate; returns what was answered."""
    transport = CurlTransport(Settings(endpoint, 10.0, CONNECTIONS, "totango-sdk/load"))
    statuses: list[int | None] = []
    began = time.monotonic()
    number = under_way = 0
    while len(statuses) < count:
        due = min(count, int((time.monotonic() - began) * rate) + 1)
        while number < due and under_way < CONNECTIONS:
            who = f"sdr_o=acct-{number % 500}&sdr_u=user{number % 1000}%40x.com"
            transport.submit(number, f"sdr_s=SP-1234-01&{who}&sdr_a=opened&sdr_m=Docs".encode())
            number, under_way = number + 1, under_way + 1
        answers = transport.poll(0.002)
        under_way -= len(answers)
        statuses += [answer.status for answer in answers]
    transport.close()
    return statuses


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())

"""`python -m ringwheel.bench.scanner_process`: requests of scanners, paced (see `child`).

First it tells ``{"sources": N}``. The command ``scan`` makes it send ``rate_per_s`` requests a
second to ``port`` of 127.0.0.1 until ``stop``, which tells, as soon as all is read,
``{"sent": {method: requests}, "answers": N}``. OPTIONS, REGISTER and INVITE take turns, and so do
the source addresses, none of which is 127.0.0.1.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count, cycle, islice

from ..media.codec import PCMU
from ..media.sdp import LocalMedia, make_offer
from .child import Answer, Parent
from .flooder_process import TICK_S, send_on_demand, ticks

HOST = "127.0.0.1"
METHODS = ("OPTIONS", "REGISTER", "INVITE")
AGENTS = ("friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.5", "Linksys-SPA942")
SOURCES = 64
POOL = 3_072
TURN_S = 0.1
RECEIVE_BYTES = 65_536
SETTLE_S = 0.1
"""What was sent is read and answered within, so that nothing of it disturbs what comes next."""


def scan_request(method: str, source: str, number: int) -> bytes:
    """What such programs send: an extension number tried after another."""
    body = make_offer(LocalMedia(source, 40_000, (PCMU,), number)) if method == "INVITE" else b""
    lines = [
        f"{method} sip:{number % 10_000}@{HOST} SIP/2.0",
        f"Via: SIP/2.0/UDP {source}:5060;branch=z9hG4bK-{number:08x};rport",
        "Max-Forwards: 70",
        f'From: "{number % 10_000}"<sip:{number % 10_000}@{HOST}>;tag={number:08x}',
        f"To: <sip:{number % 10_000}@{HOST}>",
        f"Call-ID: {number:016x}@{source}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:{number % 10_000}@{source}:5060>",
        f"User-Agent: {AGENTS[number % len(AGENTS)]}",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def source_addresses(number: int) -> list[str]:
    """Loopback addresses that nobody else uses here."""
    return [f"127.9.{index // 250}.{index % 250 + 1}" for index in range(number)]


class Scanner:
    """Sockets of many sources, and a pool of requests made beforehand."""

    def __init__(self, sources: int = SOURCES, pool: int = POOL) -> None:
        self._sockets = []
        for host in source_addresses(sources):
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            bound.bind((host, 0))
            self._sockets.append(bound)
        self._requests = cycle(list(islice(self._make(), pool)))
        self.sent: Counter[str] = Counter()

    def _make(self) -> Iterator[tuple[str, socket.socket, bytes]]:
        for number in count(1):
            method = METHODS[number % len(METHODS)]
            sender = self._sockets[number % len(self._sockets)]
            yield method, sender, scan_request(method, sender.getsockname()[0], number)

    def turn(self, to: tuple[str, int], rate_per_s: float) -> None:
        """100 ms of requests."""
        for _ in ticks(TURN_S):
            for method, sender, data in islice(self._requests, round(rate_per_s * TICK_S)):
                try:
                    sender.sendto(data, to)
                except (BlockingIOError, ConnectionRefusedError):
                    continue
                self.sent[method] += 1

    def answers(self) -> int:
        """Datagrams that came back, since the last time it was asked."""
        return sum(1 for bound in self._sockets for _ in waiting(bound))


def waiting(bound: socket.socket) -> Iterator[bytes]:
    """What lies in a socket's buffer."""
    while True:
        try:
            yield bound.recv(RECEIVE_BYTES)
        except (BlockingIOError, ConnectionRefusedError):
            return


def main() -> None:
    parent = Parent()
    scanner = Scanner()
    parent.tell({"sources": SOURCES})

    def turn(arguments: Answer) -> None:
        scanner.turn((HOST, arguments["port"]), arguments["rate_per_s"])

    def stop() -> Mapping[str, object]:
        sent = scanner.sent.copy()
        scanner.sent.clear()
        time.sleep(SETTLE_S)
        return {"sent": sent, "answers": scanner.answers()}

    send_on_demand(parent, "scan", turn, stop)


if __name__ == "__main__":
    main()

"""`python -m ringwheel.bench.flooder_process`: bad RTP at one leg, paced (see `child`).

First it tells ``{"port": ...}``, where its victim is to send to. The command ``flood`` makes it
send ``rate_per_s`` datagrams a second to ``victim_port`` of 127.0.0.1 until ``stop``, which tells
``{"sent": {kind: datagrams}}``. The kinds take turns of 100 ms, so that each comes at the full
rate; a second socket sends what comes from an address that the victim does not know.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count, cycle

from .child import Answer, Parent
from .engine_process import EVENT_PAYLOAD_TYPE, WAIT_S
from .interrupter import FRAME_TS
from .speech import caller_sound

HOST = "127.0.0.1"
TICK_S = 0.005
TURN_S = 0.1
LONG_BYTES = 1400
OWN_SSRC = 0xF100D
PCMU = 0
RTCP_TYPES = (200, 201, 202, 203, 204, 205)

Source = Callable[[], bytes]


def rtp(
    sequence: int, timestamp: int, ssrc: int, payload: bytes, payload_type: int = PCMU
) -> bytes:
    """One RTP packet; numbers wrap."""
    return (
        struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        + payload
    )


class Kinds:
    """What the victim gets. The stream that it knows goes on in three of the kinds."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._sequence = count()
        self._timestamp = 0
        sound = caller_sound()
        self._pieces = cycle(
            sound[at : at + LONG_BYTES] for at in range(0, len(sound) - LONG_BYTES, LONG_BYTES)
        )
        self.by_name: dict[str, Source] = {
            "rush": lambda: self._own(next(self._pieces)[:FRAME_TS]),
            "long": lambda: self._own(next(self._pieces)),
            "empty": bytes,
            "strangers": self._stranger,
            "unknown_address": self._stranger,
            "rtcp_lies": self._rtcp,
            "malformed": self._malformed,
            "digit_storm": self._digit,
        }

    def _own(self, payload: bytes, payload_type: int = PCMU) -> bytes:
        made = rtp(next(self._sequence), self._timestamp, OWN_SSRC, payload, payload_type)
        self._timestamp += len(payload)
        return made

    def _stranger(self) -> bytes:
        draw = self._dice.getrandbits
        return rtp(draw(16), draw(32), draw(32), next(self._pieces)[:FRAME_TS])

    def _rtcp(self) -> bytes:
        """Any kind of RTCP with any figures, and every second time with a length that is true."""
        body = self._dice.randbytes(4 * self._dice.randrange(1, 14))
        words = self._dice.choice((len(body) // 4, self._dice.randrange(14)))
        kind, count = self._dice.choice(RTCP_TYPES), self._dice.randrange(3)
        return struct.pack("!BBH", 0x80 | count, kind, words) + body

    def _malformed(self) -> bytes:
        """Too short, not version 2, or with CSRCs, an extension or padding that go past its end."""
        head = self._dice.choice((0x00, 0x40, 0xC0, 0x8F, 0x90, 0xA0, 0xBF))
        tail = self._dice.randbytes(self._dice.randrange(24))
        return bytes([head, PCMU]) + tail + b"\xff" * (len(tail) > 10)

    def _digit(self) -> bytes:
        """Another digit each time, which none of them ends."""
        event = struct.pack("!BBH", self._dice.randrange(16), 10, self._dice.randrange(1, 800))
        return self._own(event, EVENT_PAYLOAD_TYPE)


def ticks(seconds: float) -> Iterator[int]:
    """Numbers of ticks, each in its time; late ones come at once."""
    start_s = time.monotonic()
    for tick in range(round(seconds / TICK_S)):
        time.sleep(max(0.0, start_s + tick * TICK_S - time.monotonic()))
        yield tick


class Flooder:
    """Two sockets, of which the victim knows the first."""

    def __init__(self) -> None:
        self._known, self._unknown = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            for _ in range(2)
        )
        self._known.bind((HOST, 0))
        self._kinds = cycle(Kinds(seed=1).by_name.items())
        self.sent: Counter[str] = Counter()

    @property
    def port(self) -> int:
        return int(self._known.getsockname()[1])

    def turn(self, to: tuple[str, int], rate_per_s: float) -> None:
        """100 ms of the next kind."""
        kind, make = next(self._kinds)
        sender = self._unknown if kind == "unknown_address" else self._known
        for _ in ticks(TURN_S):
            for _ in range(round(rate_per_s * TICK_S)):
                try:
                    sender.sendto(make(), to)
                except (BlockingIOError, ConnectionRefusedError):
                    continue
                self.sent[kind] += 1


def send_on_demand(
    parent: Parent,
    begin: str,
    turn: Callable[[Answer], None],
    stop: Callable[[], Mapping[str, object]],
) -> None:
    """From the command ``begin`` until ``stop``, one turn after another by the parent's arguments.
    It is told what ``stop`` returns. Returns when the parent is done."""
    sending = False
    with contextlib.suppress(EOFError):
        while True:
            command = parent.command(0.0 if sending else WAIT_S)
            if command == begin:
                sending = True
                parent.tell({})
            elif command == "stop":
                sending = False
                parent.tell(stop())
            elif sending:
                turn(parent.arguments)


def main() -> None:
    parent = Parent()
    flooder = Flooder()
    parent.tell({"port": flooder.port})

    def turn(arguments: Answer) -> None:
        flooder.turn((HOST, arguments["victim_port"]), arguments["rate_per_s"])

    def stop() -> Mapping[str, object]:
        sent = flooder.sent.copy()
        flooder.sent.clear()
        return {"sent": sent}

    send_on_demand(parent, "flood", turn, stop)


if __name__ == "__main__":
    main()

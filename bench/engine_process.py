"""`python -m ringwheel.bench.engine_process`: one shard with many legs (see `child`).

Arguments: ``backend``, ``legs``, the receiver's ``ports``. The legs are opened without SIP, and
play speech-like noise in a loop. With ``hears`` each has ears: for "nothing" but the stream itself,
or for speech and tones by "detectors". With ``members`` they do not play, but are in conferences of
that size. With ``victim_port`` there is one leg more, which sends to that port of 127.0.0.1 and has
agreed on telephone events, and on RTCP there. With ``bridge``, the codecs of the even and of the
odd legs, these play nothing and are bridged in pairs. First it tells
``{"legs": N, "leg_ports": [...]}`` once all of them play; the victim's port is the last. Commands:
``begin`` starts a measuring window, ``report`` tells what the shard did in it, ``life`` what it has
counted so far.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from functools import partial

from ..media import _core
from ..media.codec import Codec, codec_by_name
from ..media.events import DigitHeard, Hearing, LegMedia, Role, SpeechHeard
from ..media.packets import silence_packet
from .child import Parent, cpu_time_us
from .measure import destinations, payload_type_of
from .speech import speech_like

# Not multiples of 20 ms: packets that straddle two prompts are part of the price.
PROMPT_SAMPLES = (40_037, 24_101, 56_003)
WAIT_S = 3600.0
OPEN_TIMEOUT_S = 30.0
FAILURES = ("send_refused", "send_buffer_full", "send_unreachable", "send_failed")
LISTEN_S = 0.02
EVENT_PAYLOAD_TYPE = 101
ROOM_HZ = 8_000
PTIME_MS = 20
NOTHING = Hearing("PCMU", 8000, speech=False, tones=False)
HEARINGS = {"nothing": NOTHING, "detectors": Hearing("PCMU", 8000)}


def leg_socket(legs: int) -> socket.socket:
    """A non-blocking UDP socket on a free port, with send buffer for one packet of each leg."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, min(4 << 20, 8192 * legs))
    made.bind(("127.0.0.1", 0))
    return made


def insist(command: Callable[[], object]) -> None:
    """Repeat a command while the shard's command ring is full. Raises OSError at the latest end."""
    deadline_s = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            command()
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.001)
        else:
            return


def victim_media(port: int) -> LegMedia:
    """Of a leg that takes whatever may come: sound, telephone events, and RTCP on one port."""
    return LegMedia(
        "127.0.0.1",
        port,
        event_payload_type=EVENT_PAYLOAD_TYPE,
        rtcp_port=port,
        rtcp_mux=True,
    )


def bridged_media(host: str, port: int, codec: Codec) -> LegMedia:
    """Of a leg that speaks this codec."""
    return LegMedia(
        host,
        port,
        payload_type=payload_type_of(codec),
        clock_rate_hz=codec.clock_rate_hz,
        bytes_per_ts=codec.bytes_per_ts,
        silence=codec.silence,
        silence_packet=silence_packet(codec, PTIME_MS) if codec.whole_packets else b"",
    )


class Engine:
    """One shard whose legs all play, or are in conferences of ``members``, and hear what ``hears``
    says; or that bridges them in pairs of these two codecs.
    """

    def __init__(
        self,
        *,
        backend: str,
        legs: int,
        ports: list[int],
        hears: str | None = None,
        victim_port: int | None = None,
        members: int = 0,
        bridge: list[str] | None = None,
    ) -> None:
        self._legs = legs + (victim_port is not None)
        self._hearing = HEARINGS[hears] if hears else None
        shared_fd = leg_socket(legs).detach() if backend == "shared" else -1
        self._shard = _core.Shard(self._legs, backend, shared_fd)
        self._prompts = [
            _core.Prompt(speech_like(samples, seed)) for seed, samples in enumerate(PROMPT_SAMPLES)
        ]
        self.leg_ports: list[int] = []
        self._members = members
        self._rooms: list[_core.Room] = []
        self._seats = 0
        self._heard = {"digits_heard": 0, "speech_heard": 0}
        places = [(str(ipaddress.IPv4Address(ip)), port) for ip, port in destinations(ports, legs)]
        if bridge is None:
            open_one = self._open_member if members else self._open_playing
            for place in places:
                open_one(LegMedia(*place), backend)
        else:
            self._open_bridged(places, [codec_by_name(name) for name in bridge], backend)
        if victim_port is not None:
            self._open_playing(victim_media(victim_port), backend)
        self._before = self._figures()

    def _open(self, media: LegMedia, backend: str, hearing: Hearing | None) -> int:
        fd = -1
        if backend == "per-leg":
            own = leg_socket(1)
            self.leg_ports.append(own.getsockname()[1])
            fd = own.detach()
        opened: list[int] = []
        insist(lambda: opened.append(self._shard.open_leg(media, fd=fd, hearing=hearing)))
        return opened[0]

    def _open_member(self, media: LegMedia, backend: str) -> None:
        """Fill one room after the other."""
        leg = self._open(media, backend, self._hearing)
        if self._seats % self._members == 0:
            self._rooms.append(_core.Room(ROOM_HZ, self._members))
        self._seats += 1
        seat, room = self._seats, self._rooms[-1]
        insist(lambda: self._shard.join(leg, seat, ("PCMU", 8000), room, Role.TALK, 0))

    def _open_playing(self, media: LegMedia, backend: str) -> None:
        leg = self._open(media, backend, self._hearing)
        insist(lambda: self._shard.play(leg, 1, self._prompts, loop=True))

    def _open_bridged(
        self, places: list[tuple[str, int]], codecs: list[Codec], backend: str
    ) -> None:
        names = [(codec.name, codec.clock_rate_hz) for codec in codecs]
        hearings = [NOTHING._replace(codec=name, clock_rate_hz=clock) for name, clock in names]
        legs = [
            self._open(bridged_media(*place, codecs[i % 2]), backend, hearings[i % 2])
            for i, place in enumerate(places)
        ]
        for one, two in zip(legs[::2], legs[1::2], strict=True):
            insist(partial(self._shard.relay, one, two, *names))
            insist(partial(self._shard.relay, two, one, *reversed(names)))

    @property
    def hears(self) -> bool:
        return self._hearing is not None

    def take_events(self) -> None:
        """Count what the legs have heard."""
        while events := self._shard.poll_events():
            for event in events:
                if isinstance(event, DigitHeard):
                    self._heard["digits_heard"] += not event.ended
                elif isinstance(event, SpeechHeard):
                    self._heard["speech_heard"] += event.started

    def wait_until_open(self) -> int:
        """Wait until every leg is open; returns how many are."""
        deadline_s = time.monotonic() + OPEN_TIMEOUT_S
        while self._shard.counters()["legs_opened"] < self._legs:
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.01)
        return self._shard.legs_open

    def _figures(self) -> dict[str, int]:
        counters = self._shard.counters()
        return {
            "packets": counters["packets_sent"],
            "skipped": counters["packets_skipped"],
            "caught_up": counters["packets_caught_up"],
            "failed": sum(counters[name] for name in FAILURES),
            "cpu_us": cpu_time_us(),
            "wall_us": time.monotonic_ns() // 1000,
            "shard_cpu_us": self._shard.cpu_ns // 1000,
            **self._heard,
        }

    def begin(self) -> None:
        """Start a measuring window."""
        self._before = self._figures()

    def report(self) -> dict[str, object]:
        """What happened in the window; lateness is that of the shard's whole life."""
        now = self._figures()
        lateness = self._shard.lateness_us()
        return {
            **{name: now[name] - before for name, before in self._before.items()},
            "lateness_us": {
                "p50": lateness.p50,
                "p99": lateness.p99,
                "p999": lateness.p999,
                "max": lateness.max,
            },
        }

    def life(self) -> dict[str, int]:
        """Every counter of the shard, from its beginning on."""
        return self._shard.counters()

    def stop(self) -> None:
        self._shard.stop()


def main() -> None:
    parent = Parent()
    arguments = parent.arguments
    try:
        engine = Engine(**arguments)
        parent.tell({"legs": engine.wait_until_open(), "leg_ports": engine.leg_ports})
    except OSError as error:
        parent.tell({"error": f"cannot open {arguments['legs']} legs: {error}"})
        return
    try:
        while True:
            command = parent.command(LISTEN_S if engine.hears else WAIT_S)
            engine.take_events()
            if command == "begin":
                engine.begin()
                parent.tell({})
            elif command == "report":
                parent.tell(engine.report())
            elif command == "life":
                parent.tell(engine.life())
    except EOFError:
        engine.stop()


if __name__ == "__main__":
    main()

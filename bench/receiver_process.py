"""`python -m ringwheel.bench.receiver_process`: the RTP receiver as a process (see `child`).

Arguments: those of `_native.Receiver`. First it tells ``{"ports": [...]}``. Commands: ``begin``
starts a measuring window, ``report`` tells what the window held. ``talk`` makes it speak to the
legs whose ports are in ``leg_ports``, in the order of `measure.destinations`, until ``hush``, which
tells ``{"talked": ..., "failed": ...}``: packets that the kernel took, and did not take. With
``codecs``, those of the even and of the odd legs, these are bridged in pairs, and ``judge`` tells
what came of that: `_native.Pairs`.
"""

from __future__ import annotations

from dataclasses import asdict

from ..media.codec import PCMU, Codec, Samples, codec_by_name
from ._native import Pairs, Receiver, Talker
from .child import Parent
from .measure import LOOPBACK, Reception, destinations, payload_type_of
from .speech import (
    FRAME_SAMPLES,
    FRAMES_PER_S,
    caller_sound,
    correlation,
    gliding_voice,
    packets_of,
    sound_of,
)

LISTEN_S = 0.05
VOICE_S = 20.0
KEPT_PAIRS = 10
KEPT_PACKETS = 200
SETTLING_PACKETS = 25
"""Half a second, in which a decoder that came into the middle of a stream finds its way."""


def reception_of(receiver: Receiver) -> Reception:
    """All streams of the window added up, and the one with the worst p99 interval error."""
    totals = receiver.totals()
    streams = [receiver.stream(index) for index in range(len(receiver))]
    errors = [stream["interval_error_us"] for stream in streams]
    return Reception(
        streams=sum(1 for stream in streams if stream["packets"]),
        packets=totals["packets"],
        lost=sum(stream["lost"] for stream in streams),
        duplicates=sum(stream["duplicates"] for stream in streams),
        reordered=sum(stream["reordered"] for stream in streams),
        timestamp_jumps=sum(stream["timestamp_jumps"] for stream in streams),
        spurts=sum(stream["spurts"] for stream in streams),
        rejected=sum(totals["rejected"].values()) + totals["oversized"],
        unknown=totals["unknown"],
        receiver_dropped=totals["dropped"],
        interval_error_us=receiver.interval_error_us(),
        worst_leg_interval_error_us=max(
            errors, key=lambda error: error["p99"], default=receiver.interval_error_us()
        ),
    )


def talker_to(receiver: Receiver, leg_ports: list[int], codecs: list[Codec]) -> Talker:
    """Who speaks to those legs from where they send to, to the first in the first codec."""
    origins = destinations(receiver.ports, len(leg_ports))
    sound = gliding_voice(VOICE_S) if len(codecs) > 1 else PCMU.decode(caller_sound())
    sounds = [(*format_of(codec), packets_of(codec, sound)) for codec in codecs]
    return Talker(receiver, origins, [(LOOPBACK, port) for port in leg_ports], sounds)


def format_of(codec: Codec) -> tuple[int, int]:
    """Its payload type, and a packet's length in RTP timestamps."""
    return payload_type_of(codec), codec.clock_rate_hz // FRAMES_PER_S


def unbroken(kept: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Packets up to where the voice began anew: a decoder finds no way over that."""
    falls = (at for at in range(1, len(kept)) if kept[at][0] < kept[at - 1][0])
    return kept[: next(falls, len(kept))]


class Bridged:
    """What comes out of the legs while a talker speaks to them, who are bridged in pairs."""

    def __init__(self, talker: Talker, leg_ports: list[int], codecs: list[Codec]) -> None:
        self._codecs = codecs
        self._legs = len(leg_ports)
        keep_every = max(1, self._legs // 2 // KEPT_PAIRS)
        formats = [format_of(codec) for codec in codecs]
        self.pairs = Pairs(talker, leg_ports, formats, keep_every, KEPT_PACKETS)

    def judge(self) -> dict[str, object]:
        """All packets by what came of them, and how like the source the kept ones sound."""
        return {
            "counts": self.pairs.counts(),
            "delay_us": self.pairs.delay_us(),
            "correlations": self._correlations() if self._codecs[0] != self._codecs[1] else [],
        }

    def _correlations(self) -> list[float]:
        source = gliding_voice(VOICE_S)
        kept = [unbroken(self.pairs.kept(leg)) for leg in range(self._legs)]
        return [
            self._correlation(source, self._codecs[leg % 2], packets)
            for leg, packets in enumerate(kept)
            if len(packets) >= 2 * SETTLING_PACKETS
        ]

    @staticmethod
    def _correlation(source: Samples, codec: Codec, packets: list[tuple[int, bytes]]) -> float:
        frames = source.reshape(-1, FRAME_SAMPLES)
        said = frames[[frame for frame, _ in packets]].ravel()
        heard = sound_of(codec, [payload for _, payload in packets])
        settled = SETTLING_PACKETS * FRAME_SAMPLES
        return round(correlation(said[settled:], heard[settled:]), 4)


def serve(parent: Parent, receiver: Receiver) -> None:
    """Do what the parent asks for. Raises EOFError when it is done."""
    talker: Talker | None = None
    bridged: Bridged | None = None
    while True:
        (talker or receiver).run(LISTEN_S)
        command = parent.command(0.0)
        if command == "begin":
            receiver.begin_window()
            if bridged:
                bridged.pairs.begin_window()
            parent.tell({})
        elif command == "report":
            parent.tell(asdict(reception_of(receiver)))
        elif command == "talk":
            leg_ports = parent.arguments["leg_ports"]
            codecs = [codec_by_name(name) for name in parent.arguments.get("codecs", ["pcmu"])]
            talker = talker_to(receiver, leg_ports, codecs)
            bridged = Bridged(talker, leg_ports, codecs) if len(codecs) > 1 else None
            parent.tell({})
        elif command == "hush" and talker:
            parent.tell({"talked": talker.packets, "failed": talker.failed})
            talker = None
        elif command == "judge" and bridged:
            parent.tell(bridged.judge())


def main() -> None:
    parent = Parent()
    try:
        receiver = Receiver(**parent.arguments)
    except OSError as error:
        parent.tell({"error": f"cannot open {parent.arguments['sockets']} sockets: {error}"})
        return
    parent.tell({"ports": receiver.ports})
    try:
        serve(parent, receiver)
    except EOFError:
        return


if __name__ == "__main__":
    main()

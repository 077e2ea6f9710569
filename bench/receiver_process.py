"""`python -m ringwheel.bench.receiver_process`: the RTP receiver as a process (see `child`).

Arguments: those of `_native.Receiver`. First it tells ``{"ports": [...]}``. Commands: ``begin``
starts a measuring window, ``report`` tells what the window held. ``talk`` makes it speak to the
legs whose ports are in ``leg_ports``, in the order of `measure.destinations`, until ``hush``, which
tells ``{"talked": ..., "failed": ...}``: packets that the kernel took, and did not take.
"""

from __future__ import annotations

from dataclasses import asdict

from ._native import Receiver, Talker
from .child import Parent
from .measure import LOOPBACK, Reception, destinations
from .speech import caller_sound

LISTEN_S = 0.05


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


def talker_to(receiver: Receiver, leg_ports: list[int]) -> Talker:
    """Who speaks to those legs from where they send to."""
    origins = destinations(receiver.ports, len(leg_ports))
    return Talker(receiver, origins, [(LOOPBACK, port) for port in leg_ports], caller_sound())


def serve(parent: Parent, receiver: Receiver) -> None:
    """Do what the parent asks for. Raises EOFError when it is done."""
    talker: Talker | None = None
    while True:
        (talker or receiver).run(LISTEN_S)
        command = parent.command(0.0)
        if command == "begin":
            receiver.begin_window()
            parent.tell({})
        elif command == "report":
            parent.tell(asdict(reception_of(receiver)))
        elif command == "talk":
            talker = talker_to(receiver, parent.arguments["leg_ports"])
            parent.tell({})
        elif command == "hush" and talker:
            parent.tell({"talked": talker.packets, "failed": talker.failed})
            talker = None


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

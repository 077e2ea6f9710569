"""`python -m ringwheel.bench.floor_process`: the stateless answerer as a process (see `child`).

It takes no arguments. First it tells ``{"target": "udp:HOST:PORT"}``. Commands: ``begin`` starts a
measuring window, ``report`` tells ``{"calls": ..., "cpu_us": ..., "dropped": ...}``.
"""

from __future__ import annotations

import socket

from ._native import run_floor
from .child import Parent, cpu_time_us

LISTEN_S = 0.1


def main() -> None:
    parent = Parent()
    calls = dropped = begun_us = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as floor:
        floor.bind(("127.0.0.1", 0))
        parent.tell({"target": f"udp:127.0.0.1:{floor.getsockname()[1]}"})
        try:
            while True:
                served = run_floor(floor.fileno(), LISTEN_S)
                calls, dropped = calls + served["calls"], dropped + served["dropped"]
                command = parent.command(0.0)
                if command == "begin":
                    calls = dropped = 0
                    begun_us = cpu_time_us()
                    parent.tell({})
                elif command == "report":
                    spent_us = cpu_time_us() - begun_us
                    parent.tell({"calls": calls, "cpu_us": spent_us, "dropped": dropped})
        except EOFError:
            return


if __name__ == "__main__":
    main()

"""Ports for the engines under test, and for programs beside them: no two are given the same."""

from __future__ import annotations

import os
import socket

# Below what `ringwheel` takes by itself, what the system chooses from, and apart from the ranges
# that tests of the command line name (16000 to 17899). The first are for sound, by the pair.
FIRST_PORT, LAST_PORT = 10_000, 15_999
FIRST_SINGLE, LAST_SINGLE = 18_000, 19_999
# Processes that tests may run in at the same time (pytest-xdist): each has a share of its own.
WORKERS = 4
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
SHARE = (LAST_PORT + 1 - FIRST_PORT) // WORKERS // 2 * 2
START = FIRST_PORT + WORKER % WORKERS * SHARE
SINGLES = (LAST_SINGLE + 1 - FIRST_SINGLE) // WORKERS
START_SINGLE = FIRST_SINGLE + WORKER % WORKERS * SINGLES


def can_bind(
    port: int, host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_DGRAM
) -> bool:
    """True if nobody holds the UDP port, or that of another ``kind``."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


class Turn:
    """Where the next range is looked for: two engines of one test never share a port, though
    neither has bound one yet when the other's are chosen."""

    def __init__(self, first: int, ports: int) -> None:
        self._first, self._end = first, first + ports
        self._next = first

    def take(self, ports: int) -> range:
        """The next ``ports`` in a row."""
        if self._next + ports > self._end:
            self._next = self._first
        taken = range(self._next, self._next + ports)
        self._next = taken.stop
        return taken


_turn = Turn(START, SHARE)
_single_turn = Turn(START_SINGLE, SINGLES)


def pairs_of(count: int) -> tuple[int, int]:
    """First and last port of ``count`` pairs that are free now."""
    for _ in range(SHARE // (2 * count)):
        ports = _turn.take(2 * count)
        if all(map(can_bind, ports)):
            return ports[0], ports[-1]
    raise RuntimeError(f"no {count} pairs in a row are free in {START}-{START + SHARE - 1}")


def free_port(following: int = 0) -> int:
    """A port that is free for UDP and TCP now, as are ``following`` behind it: none that the
    system would give to others, so that a program which takes it in a while finds it free."""
    for _ in range(SINGLES):
        ports = _single_turn.take(1 + following)
        if all(can_bind(port) and can_bind(port, kind=socket.SOCK_STREAM) for port in ports):
            return ports[0]
    raise RuntimeError(f"no port is free in {START_SINGLE}-{START_SINGLE + SINGLES - 1}")

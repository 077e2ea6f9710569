"""RTP ports for the engines under test: no two of them are given the same."""

from __future__ import annotations

import os
import socket

# Below what `ringwheel` takes by itself, what the system chooses from, and the ranges that
# tests of the command line name.
FIRST_PORT, LAST_PORT = 10_000, 15_999
# Processes that tests may run in at the same time (pytest-xdist): each has a share of its own.
WORKERS = 4
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
SHARE = (LAST_PORT + 1 - FIRST_PORT) // WORKERS // 2 * 2
START = FIRST_PORT + WORKER % WORKERS * SHARE


def can_bind(port: int, host: str = "127.0.0.1") -> bool:
    """True if nobody holds the UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
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

    def take(self, ports: int) -> tuple[int, int]:
        """First and last of the next ``ports`` (an even number) in a row."""
        if self._next + ports > self._end:
            self._next = self._first
        first, last = self._next, self._next + ports - 1
        self._next = last + 1
        return first, last


_turn = Turn(START, SHARE)


def pairs_of(count: int) -> tuple[int, int]:
    """First and last port of ``count`` pairs that are free now."""
    for _ in range(SHARE // (2 * count)):
        first, last = _turn.take(2 * count)
        if all(can_bind(port) for port in range(first, last + 1)):
            return first, last
    raise RuntimeError(f"no {count} pairs in a row are free in {START}-{START + SHARE - 1}")

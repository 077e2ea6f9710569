"""Ports of programs that others wrote: whether they have them by now."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

START_TIMEOUT_S = 60.0
POLL_S = 0.02


def ports_of(pid: int, table: str) -> list[int]:
    """Ports of a process: UDP ("udp") that it has, or TCP ("tcp") that it listens on."""
    inodes = set(_sockets_of(pid))
    with contextlib.suppress(OSError):  # it has ended
        rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        fields = [row.split() for row in rows]
        state = "0A" if table == "tcp" else "07"
        return [int(row[1][-4:], 16) for row in fields if row[3] == state and row[9] in inodes]
    return []


def _sockets_of(pid: int) -> Iterator[str]:
    """The inodes of its sockets. While it starts, files come and go."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(link.readlink())
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


async def listening_port(pid: int) -> int:
    """The TCP port that a process listens on, as soon as it does."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while not (ports := ports_of(pid, "tcp")):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(POLL_S)
    return ports[0]


async def until_bound(pid: int, port: int) -> None:
    """Return as soon as the process has the UDP port."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while port not in ports_of(pid, "udp"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(POLL_S)


def wait_until_bound(pid: int, port: int) -> bool:
    """The same without a loop; False if it has ended, or takes too long."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while port not in ports_of(pid, "udp"):
        if time.monotonic() > deadline_s or _has_ended(pid):
            return False
        time.sleep(POLL_S)
    return True


def _has_ended(pid: int) -> bool:
    """True for a child of ours that is to be waited for."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

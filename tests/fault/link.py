"""A bad network in a namespace of its own: whoever runs in it is far away.

Where the kernel has netem, a veth pair with it on both ends; else two TUN devices with a thread
between them that loses and delays packets in the same way.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

TUNSETIFF = 0x400454CA
IFF_TUN = 0x1
IFF_NO_PI = 0x1000
QUEUED_PACKETS = 20_000


@dataclass(frozen=True, slots=True)
class Badness:
    """What happens to packets, both ways: each takes from no time to twice ``jitter_ms``."""

    loss_percent: float
    jitter_ms: int


@dataclass(slots=True)
class Link:
    """``host`` is our end, ``far_host`` that in the namespace; ``enter`` runs a command there.

    ``latest_ms`` is how much more than it was to a packet was delayed at most, by a busy machine.
    """

    host: str
    far_host: str
    enter: tuple[str, ...]
    kind: str = "netem"
    latest_ms: float = 0.0


def run(*command: str) -> None:
    """Run a command of iproute2; RuntimeError with its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def bad_link(badness: Badness) -> Iterator[Link]:
    """A link to a new namespace; both are gone afterwards. RuntimeError: not possible here."""
    name = f"rw{os.getpid()}"
    subnet = f"198.18.{os.getpid() % 256}"  # RFC 2544: for tests of networks
    ends = f"{subnet}.1", f"{subnet}.2"
    with ExitStack() as stack:
        run("ip", "netns", "add", name)
        stack.callback(run, "ip", "netns", "delete", name)
        link = Link(*ends, ("ip", "netns", "exec", name))
        try:
            stack.enter_context(netem(name, ends, badness))
        except RuntimeError:
            stack.enter_context(relayed(name, link, badness))
        yield link


def set_up_end(device: str, address: str, peer: str, *namespace: str) -> None:
    ip = ("ip", *namespace)
    run(*ip, "address", "add", address, "peer", peer, "dev", device)
    run(*ip, "link", "set", device, "txqueuelen", str(QUEUED_PACKETS), "up")


@contextmanager
def netem(name: str, ends: tuple[str, str], badness: Badness) -> Iterator[None]:
    """A veth pair with netem on both ends."""
    here, there = f"{name}a", f"{name}b"
    run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
    try:
        jitter = f"{badness.jitter_ms}ms"
        queue = ("root", "netem", "limit", str(QUEUED_PACKETS))
        what = (*queue, "delay", jitter, jitter, "loss", f"{badness.loss_percent}%")
        run("tc", "qdisc", "add", "dev", here, *what)
        run("tc", "-n", name, "qdisc", "add", "dev", there, *what)
        set_up_end(here, ends[0], ends[1])
        set_up_end(there, ends[1], ends[0], "-n", name)
        yield
    finally:
        run("ip", "link", "delete", here)


def open_tun(device: str) -> int:
    """A TUN device, which is gone when its file is closed. RuntimeError: there are none."""
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    except OSError as error:
        raise RuntimeError(f"/dev/net/tun: {error}") from None
    return tun


@contextmanager
def relayed(name: str, link: Link, badness: Badness) -> Iterator[None]:
    """Two TUN devices, and a thread that carries packets from one to the other."""
    with ExitStack() as stack:
        here, there = f"{name}c", f"{name}d"
        tuns = [open_tun(device) for device in (here, there)]
        for tun in tuns:
            stack.callback(os.close, tun)
        run("ip", "link", "set", there, "netns", name)
        set_up_end(here, link.host, link.far_host)
        set_up_end(there, link.far_host, link.host, "-n", name)
        link.kind = "a relay"
        over = threading.Event()
        thread = threading.Thread(target=carry, args=(tuns, badness, link, over), daemon=True)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(over.set)
        yield


def carry(tuns: list[int], badness: Badness, link: Link, over: threading.Event) -> None:
    """Carry packets between two devices, badly, until it is ``over``."""
    chance = random.Random(5)
    to = {tuns[0]: tuns[1], tuns[1]: tuns[0]}
    waiting: list[tuple[float, int, int, bytes]] = []
    number = 0
    while not over.is_set():
        wait_s = min(0.05, waiting[0][0] - time.monotonic()) if waiting else 0.05
        for tun in select.select(tuns, [], [], max(0.0, wait_s))[0]:
            for packet in packets_of(tun):
                if chance.random() * 100 >= badness.loss_percent:
                    delay_s = chance.random() * 2 * badness.jitter_ms / 1000
                    number += 1
                    heapq.heappush(waiting, (time.monotonic() + delay_s, number, to[tun], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            due_s, _, tun, packet = heapq.heappop(waiting)
            link.latest_ms = max(link.latest_ms, (time.monotonic() - due_s) * 1000)
            os.write(tun, packet)


def packets_of(tun: int) -> Iterator[bytes]:
    """What waits in a device, so much of it that the other one gets its turn."""
    try:
        for _ in range(200):
            yield os.read(tun, 2048)
    except BlockingIOError:
        return

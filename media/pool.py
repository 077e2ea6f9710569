"""The media threads of an engine: shards, the sockets they send from, and who gets which leg."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ._core import Shard, SrtpKeys
from .events import Hearing, LegMedia, Quantiles, Silence
from .leg import Leg, LegTable
from .ports import NoRtpPort, RtpPorts

RtpSockets = Literal["per-leg", "shared"]
RtpSource = Literal["sdp", "latch"]


class RealtimeRefused(PermissionError):
    """Media threads are to run in real time, and the system does not let them."""

    def __str__(self) -> str:
        return (
            "media threads may not run in real time; let them (ulimit -r 1, systemd: LimitRTPRIO=1,"
            " docker: --ulimit rtprio=1), or leave realtime out"
        )


@dataclass(slots=True)
class Place:
    """A place for a leg, taken before offer and answer: a shard and a local port.

    ``fd`` is its socket, or -1 where the shard has one for all. A place has to end
    in :meth:`ShardPool.open` or :meth:`ShardPool.give_up`.
    """

    table: LegTable
    port: int
    fd: int


class ShardPool:
    """``shards`` media threads. New legs go to the one with the fewest.

    With ``rtp_sockets="shared"`` each shard sends all its legs from one socket, bound to
    ``bind_host`` on the range's first ports: for trunks, where each leg has a remote address of
    its own. With ``rtp_source="latch"`` a leg may move to where its peer's sound comes from, see
    ``csrc/latch/latch.h``. ``max_control_sockets``: sockets that each shard may open for RTCP.
    ``realtime``: the threads come before all that does not run in real time. NoRtpPort: a shared
    socket cannot be bound. PermissionError: they may not. OSError: no thread can be had.
    """

    def __init__(
        self,
        *,
        shards: int,
        max_legs: int,
        rtp_ports: tuple[int, int],
        rtp_sockets: RtpSockets = "per-leg",
        bind_host: str = "127.0.0.1",
        silence: Silence = "stop",
        rtp_source: RtpSource = "sdp",
        max_control_sockets: int = 0,
        realtime: bool = False,
    ) -> None:
        self.ports = RtpPorts(*rtp_ports)
        self._silence = silence
        self._latch = rtp_source == "latch"
        self._max_control_sockets = max_control_sockets
        self._realtime = realtime
        self._shared_ports: list[int] = []
        self._places = [0] * shards
        self._doubled: dict[int, int] = {}
        self.tables: list[LegTable] = []
        try:
            for _ in range(shards):
                self.tables.append(self._start(max_legs, rtp_sockets, bind_host))
        except BaseException:
            self._close_tables()
            raise

    def _start(self, max_legs: int, rtp_sockets: RtpSockets, bind_host: str) -> LegTable:
        if rtp_sockets == "per-leg":
            return LegTable(
                Shard(
                    max_legs,
                    max_control_sockets=self._max_control_sockets,
                    realtime=self._realtime,
                )
            )
        fd, port = self.ports.bind(bind_host)
        self._shared_ports.append(port)
        with socket.socket(fileno=fd) as shared:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                shared.setsockopt(socket.SOL_SOCKET, option, 4 * 1024 * 1024)
            return LegTable(Shard(max_legs, "shared", shared.detach(), realtime=self._realtime))

    @property
    def legs_open(self) -> int:
        """Legs open in all shards."""
        return sum(len(table) for table in self.tables)

    @property
    def places_taken(self) -> int:
        """Places for legs that are taken, each with its port."""
        return sum(self._places)

    def reserve(self, bind_host: str, beside: Leg | None = None) -> Place:
        """A place on the least loaded shard, or on that of ``beside``; its port is bound to
        ``bind_host``. NoRtpPort: there is none."""
        index = self._places.index(min(self._places))
        if beside is not None:
            shards = [table.shard for table in self.tables]
            index = shards.index(beside.shard)
        if self._shared_ports:
            place = Place(self.tables[index], self._shared_ports[index], -1)
        else:
            try:
                fd, port = self.ports.bind(bind_host)
            except NoRtpPort:
                self.take_events()  # a leg may have closed meanwhile
                fd, port = self.ports.bind(bind_host)
            place = Place(self.tables[index], port, fd)
        self._places[index] += 1
        return place

    def open(
        self,
        place: Place,
        media: LegMedia,
        hearing: Hearing | None = None,
        keys: SrtpKeys | None = None,
    ) -> Leg:
        """Open the leg of ``place``, which is given up if that fails (OSError, ValueError)."""
        try:
            leg = place.table.open(
                media,
                fd=place.fd,
                silence=self._silence,
                on_closed=partial(self._free, place),
                hearing=hearing,
                keys=keys,
                latch=self._latch,
            )
        except (OSError, ValueError):
            self.give_up(place)
            raise
        return leg

    def double(self, place: Place) -> Place:
        """A second place on the same socket, for a leg that takes over from that of the first one,
        which is to be closed before. OSError: the system has no descriptor for it."""
        fd = os.dup(place.fd) if place.fd >= 0 else -1
        self._places[self.tables.index(place.table)] += 1
        self._doubled[place.port] = self._doubled.get(place.port, 0) + 1
        return Place(place.table, place.port, fd)

    def give_up(self, place: Place) -> None:
        """The place is not needed."""
        if place.fd >= 0:
            os.close(place.fd)
        self._free(place)

    def _free(self, place: Place) -> None:
        self._places[self.tables.index(place.table)] -= 1
        others = self._doubled.pop(place.port, 0)
        if others > 1:
            self._doubled[place.port] = others - 1
        if not others and not self._shared_ports:
            self.ports.give_back(place.port)

    def take_events(self) -> None:
        """Pass on what the media threads tell, and have not announced yet."""
        for table in self.tables:
            table.take_events()

    def counters(self) -> dict[str, int]:
        """The counters of all shards, added up."""
        total: dict[str, int] = {}
        for table in self.tables:
            for name, value in table.shard.counters().items():
                total[name] = total.get(name, 0) + value
        return total

    def lateness_us(self) -> list[Quantiles]:
        """How late packets left, in microseconds, shard by shard."""
        return [table.shard.lateness_us() for table in self.tables]

    async def close(self) -> None:
        """Close every leg and end the threads."""
        self._close_tables()
        await asyncio.sleep(0)  # whoever waited for those legs goes on

    def _close_tables(self) -> None:
        with ExitStack() as tables:  # each, whatever becomes of the others
            for table in self.tables:
                tables.callback(table.close)


def announced_host(bind_host: str, remote_host: str) -> str:
    """The numeric address at which ``remote_host`` reaches a socket bound to ``bind_host``.

    A wildcard is resolved by asking the routing table; NoRtpPort if there is no way there.
    """
    if not ipaddress.ip_address(bind_host).is_unspecified:
        return bind_host
    try:
        family = socket.AF_INET6 if ":" in bind_host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote_host, 9))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise NoRtpPort(f"no way to {remote_host} for RTP: {error.strerror}") from error


__all__ = ["NoRtpPort", "Place", "RtpSockets", "RtpSource", "ShardPool", "announced_host"]

"""A trunk at work: its peers, what it carries, and what became of its calls."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..outcome import DialResult, Outcome
from ..sip.edge import Timers
from ..sip.fields import format_host_port
from ..sip.resolve import SIP_PORT, Target
from ..sip.sources import Network
from ..sip.uri import SipUri
from .figures import AddressFigures, PeerFigures, TrunkFigures
from .health import Ask, Health, Means, PeerWatch, Watch
from .limits import CallRate, Channels
from .registering import Registering
from .selection import Watched, order_peers
from .trunk import Peer, Trunk

Refresh = Callable[[str, Peer, PeerWatch], None]
"""Resolves the name of a peer of the trunk of that name, and tells its watch."""


BUSY_REST_S = 10
"""How long an address is left alone that has answered 503 and did not say for how long."""


@dataclass(slots=True)
class TrunkCounts:
    """See `TrunkFigures`."""

    placed: int = 0
    answered: int = 0
    failed_over: int = 0
    congested: int = 0
    received: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every trunk runs on."""

    timers: Timers
    ask: Ask
    source: random.Random
    refresh: Refresh
    changed: Callable[[str], None]


class RunningTrunk:
    """One configured trunk. Sans-I/O."""

    def __init__(
        self, trunk: Trunk, around: Surroundings, before: RunningTrunk | None = None
    ) -> None:
        """``before``: the one in whose place this one comes; its calls, limits and what it knows
        of peers that stay are kept. It must not be used any more."""
        self.trunk = trunk
        self.around = around
        self.channels: Channels = before.channels if before else Channels(None)
        self.channels.limit = trunk.limits.channels
        self.counts: TrunkCounts = before.counts if before else TrunkCounts()
        self.rate = CallRate(trunk.limits)
        if before is not None:
            self.rate.adopt(before.rate)
        kept = before.take_peers(trunk) if before else {}
        self.peers: list[Watched] = [
            (peer, kept.get(_address(peer)) or self._watch(peer)) for peer in trunk.peers
        ]
        self.registering: Registering | None = None
        self._fresh = [watch for peer, watch in self.peers if _address(peer) not in kept]

    def _watch(self, peer: Peer) -> PeerWatch:
        around, trunk = self.around, self.trunk
        means = Means(
            around.timers,
            around.ask,
            around.source,
            interval_ms=round(1_000 * trunk.options_interval_s),
            timeout_ms=round(1_000 * trunk.peer_timeout_s),
        )
        watch = PeerWatch(
            f"{trunk.name} {peer}",
            means,
            lambda: around.refresh(trunk.name, peer, watch),
            lambda: around.changed(trunk.name),
        )
        return watch

    def start(self) -> None:
        """Begin to watch the peers that are not watched yet."""
        for watch in self._fresh:
            watch.start()
        self._fresh = []

    def take_peers(self, trunk: Trunk) -> dict[object, PeerWatch]:
        """The watches of the peers that go on in ``trunk``, by address; the others are stopped."""
        same = (self.trunk.options_interval_s, self.trunk.peer_timeout_s) == (
            trunk.options_interval_s,
            trunk.peer_timeout_s,
        )
        wanted = {_address(peer) for peer in trunk.peers} if same else set()
        kept: dict[object, PeerWatch] = {}
        for peer, watch in self.peers:
            if _address(peer) in wanted:
                kept[_address(peer)] = watch
            else:
                watch.stop()
        self.peers, self._fresh = [], []
        return kept

    def stop(self) -> None:
        """Watch nobody any more. Calls go on."""
        for _, watch in self.peers:
            watch.stop()
        self.peers, self._fresh = [], []

    def networks(self) -> list[Network]:
        """Where its calls come from: as configured, else from its peers."""
        hosts = map(ipaddress.ip_network, self.inbound_hosts())
        return [*self.trunk.networks, *hosts]

    def serves(self, host: str) -> bool:
        """True if its calls may come from that address."""
        address = ipaddress.ip_address(host)
        return any(address in network for network in self.networks())

    def is_home_of(self, uri: SipUri) -> bool:
        """True for a URI that the other side may have written of somebody of its own: its domain
        or one of its peers stands in it."""
        if uri.port is None and format_host_port(uri.host, None) == self.trunk.uri_host.lower():
            return True
        peers = {(peer.host.lower(), peer.port or SIP_PORT) for peer in self.trunk.peers}
        known = {(host, port) for _, watch in self.peers for host, port, _ in watch.watches}
        return (uri.host, uri.port or SIP_PORT) in peers | known

    def inbound_hosts(self) -> list[str]:
        """The addresses that the peers lead to now, if calls may come from them."""
        if self.trunk.sources:
            return []
        return sorted({key[0] for _, watch in self.peers for key in watch.watches})

    def best_address(self) -> Watch | None:
        """Where requests that are no calls go: an address of the first peer that has one up, or
        has one at all."""
        watches = [
            watch
            for _, peer in sorted(self.peers, key=lambda pair: pair[0].priority)
            for watch in peer.watches.values()
        ]
        up = [watch for watch in watches if watch.health is not Health.DOWN]
        return next(iter(up or watches), None)

    def note_failure(self, target: Target, reason: str) -> None:
        """An address has failed otherwise than by a call."""
        for _, peer in self.peers:
            watch = peer.of(target)
            if watch is not None:
                watch.note_failure(reason)

    def ordered_peers(self) -> list[Watched]:
        """The peers in the order to try them for one call."""
        return order_peers(self.peers, self.around.source)

    def figures(self) -> TrunkFigures:
        """What it looks like now."""
        now_ms = self.around.timers.now_ms
        counts = self.counts
        return TrunkFigures(
            name=self.trunk.name,
            up=any(watch.up for _, watch in self.peers) or not self.peers,
            channels=self.channels.used,
            channels_limit=self.channels.limit,
            placed=counts.placed,
            answered=counts.answered,
            failed_over=counts.failed_over,
            congested=counts.congested,
            received=counts.received,
            refused=counts.refused,
            peers=tuple(_peer_figures(peer, watch, now_ms) for peer, watch in self.peers),
            registration=self.registering.state if self.registering else "",
            registration_cause=self.registering.reason if self.registering else "",
        )


def _address(peer: Peer) -> object:
    """What makes two peers the same, whatever their share of the calls."""
    return peer.host, peer.port, peer.transport


def _peer_figures(peer: Peer, watch: PeerWatch, now_ms: int) -> PeerFigures:
    addresses: Iterable[AddressFigures] = (
        AddressFigures(
            address_of(one.target), one.health.value, one.reason, (now_ms - one.since_ms) / 1_000
        )
        for one in watch.watches.values()
    )
    return PeerFigures(
        str(peer), peer.priority, peer.weight, watch.up, watch.trouble, tuple(addresses)
    )


def address_of(target: Target) -> str:
    """An address as people write it: ``udp:192.0.2.1:5060``."""
    return f"{target.transport.lower()}:{format_host_port(target.host, target.port)}"


class Passage:
    """One attempt by one way of a trunk: it takes a channel, and tells how the address is.

    However often it is told of the end, it gives the channel back once and judges once.
    """

    __slots__ = ("_judged", "_left", "_running", "_watch")

    def __init__(self, running: RunningTrunk, watch: Watch | None) -> None:
        """The channel is taken already. ``watch``: of the address, None if nobody watches it."""
        self._running = running
        self._watch = watch
        self._judged = False
        self._left = False

    def leave(self) -> None:
        """The call is over, or none came of it."""
        if not self._left:
            self._left = True
            self._running.channels.give_back()

    def judge(self, result: DialResult | None) -> None:
        """What the attempt came to says how the address is. None: nothing is known yet."""
        if self._judged or result is None:
            return
        self._judged = True
        if result.outcome is Outcome.ANSWERED:
            self._running.counts.answered += 1
        if result.silent:
            self.leave()  # its INVITE may wait for a final response for long: no call is there
        watch = self._watch
        if watch is None:
            return
        if result.silent:
            watch.note_failure("no answer to INVITE")
        elif result.status == 503 and result.outcome is not Outcome.CANCELLED:
            watch.note_failure("503 to INVITE", result.retry_after_s or BUSY_REST_S)
        elif watch.health is not Health.UP and result.outcome is not Outcome.CANCELLED:
            watch.note_alive()

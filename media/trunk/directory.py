"""The trunks of an engine: which one a call goes by or came from, and by which ways it is tried."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ..codec import Codec, codecs_by_name
from ..order import NoRoute, Order, Way, Ways
from ..outcome import Outcome
from ..sdp import SrtpPolicy
from ..sip.digest import Credentials
from ..sip.dns_records import ResolveError, numeric
from ..sip.edge import Flow
from ..sip.gate import GateRules
from ..sip.listener import ListenError
from ..sip.message import SipParseError
from ..sip.resolve import Lookups, Resolver, Target, default_port
from ..sip.sources import NetworkTable
from ..sip.uri import MAX_KNOWN_CHARS, SipUri
from .figures import TrunkFigures
from .health import Health, PeerWatch, Watch, key_of
from .options import OptionsAsker
from .registering import Registering
from .rules import Wanted, dress
from .running import Passage, RunningTrunk, Surroundings
from .selection import order_targets
from .trunk import Peer, Trunk

if TYPE_CHECKING:
    from ..dialling import DialledCall
    from ..sip.session import SipCall
    from ..sip.transport import SipEndpoint
    from ..sip.ua import UserAgent

log = structlog.get_logger(__name__)

SIGN_OF_LIFE_S = 4.0
"""How long an address may be silent before the next one of the same name is tried, where no trunk
says something else."""

MAX_WAYS = 16
"""Addresses that one call is tried at."""

KNOWN_PLACES = 1_024
"""Numeric addresses whose ways are remembered."""

MediaTerms = tuple[tuple[Codec, ...], SrtpPolicy | None]
"""Codecs and encryption of the calls of a trunk; none and None: those of the engine."""

FlowTo = Callable[[Target], Flow | None]
"""The way to an address; None: no listener leads there."""


class Trunks:
    """The directory of trunks. One event loop owns it; :meth:`close` ends what it has begun.

    ``codecs``: what an order has that asks for none of its own, and ``user`` its caller who names
    nobody. ``tell_sources`` is told where the calls of a trunk without ``sources`` come from.
    """

    def __init__(
        self,
        agent: UserAgent,
        flow_to: FlowTo,
        resolver: Resolver,
        *,
        codecs: tuple[Codec, ...],
        user: str,
        tell_sources: Callable[[str, Iterable[str]], None],
        source: random.Random | None = None,
    ) -> None:
        self._flow_to = flow_to
        self._resolver = resolver
        self._codecs = codecs
        self._user = user
        self._tell_sources = tell_sources
        self._timers = agent.timers
        self._around = Surroundings(
            agent.timers,
            OptionsAsker(agent, flow_to),
            source or random.SystemRandom(),
            self._refresh,
            self._on_change,
        )
        self._agent = agent
        self._gone: dict[str, RunningTrunk] = {}
        self._leaving: set[Registering] = set()
        self._left = asyncio.Event()
        self._running: dict[str, RunningTrunk] = {}
        self._resolving: dict[PeerWatch, asyncio.Task[None]] = {}
        self._networks = NetworkTable(())
        self._accounts: dict[str, list[RunningTrunk]] = {}
        self._inbound: dict[str, RunningTrunk] = {}
        self._settled: dict[object, list[Flow]] = {}
        agent.on_disconnected = self._on_disconnected

    def __len__(self) -> int:
        return len(self._running)

    @property
    def configured(self) -> tuple[Trunk, ...]:
        """The trunks as values."""
        return tuple(running.trunk for running in self._running.values())

    def figures(self) -> tuple[TrunkFigures, ...]:
        """Every trunk as it is now."""
        return tuple(running.figures() for running in self._running.values())

    def reload(self, trunks: Iterable[Trunk]) -> None:
        """Go by these trunks from now on. Calls that run go on, and stay counted.

        ValueError: two of one name; then everything stays as it was.
        """
        wanted = {trunk.name.lower(): trunk for trunk in checked_trunks(trunks)}
        for name in self._running.keys() - wanted.keys():
            self._take_out(name)
        for name, trunk in wanted.items():
            known = self._running.get(name)
            if known is None or known.trunk != trunk:
                self._put_in(name, trunk, known or self._gone.pop(name, None))
        self._running = {name: self._running[name] for name in wanted}
        self.tell_sources()

    def _put_in(self, name: str, trunk: Trunk, before: RunningTrunk | None) -> None:
        running = self._running[name] = RunningTrunk(trunk, self._around, before)
        self._register(running, before)
        running.start()
        self._on_change(name)

    def _take_out(self, name: str) -> None:
        running = self._running.pop(name)
        running.stop()
        self._leave(running.registering)
        running.registering = None
        self._tell_sources(running.trunk.name, ())
        # Put in again while calls of it go on, it counts them on.
        self._gone = {other: gone for other, gone in self._gone.items() if gone.channels.used}
        self._gone[name] = running

    def tell_sources(self) -> None:
        """Say of every trunk where its calls come from."""
        for running in self._running.values():
            self._tell_sources(running.trunk.name, running.inbound_hosts())
        self._read_networks()

    # Registrations

    def _register(self, running: RunningTrunk, before: RunningTrunk | None) -> None:
        """Give a trunk the registration that it wants: the one before, or another."""
        old = before.registering if before else None
        if before and old and _account(before.trunk) == _account(running.trunk):
            running.registering = old
            return
        self._leave(old)
        if running.trunk.registration is not None:
            running.registering = Registering(
                self._agent,
                running.trunk,
                self._flow_to,
                partial(self._unserved, running.trunk),
                self._on_left,
            )

    def _leave(self, registering: Registering | None) -> None:
        if registering is not None:
            self._leaving.add(registering)
            registering.stop()
            self._on_left()

    def _on_left(self) -> None:
        self._leaving = {other for other in self._leaving if not other.stopped}
        if self._leaving:
            self._left.clear()
        else:
            self._left.set()

    def _unserved(self, trunk: Trunk, target: Target, reason: str) -> None:
        running = self._running.get(trunk.name.lower())
        if running is not None:
            running.note_failure(target, reason)

    def _on_change(self, trunk: str) -> None:
        """An address of a trunk has changed: its registration may have to go elsewhere."""
        running = self._running.get(trunk.lower())
        if running is not None and running.registering is not None:
            best = running.best_address()
            if best is not None:
                running.registering.go_to(best.target, up=best.health is Health.UP)

    def _on_disconnected(self, flow: Flow) -> None:
        for running in self._running.values():
            if running.registering is not None:
                running.registering.disconnected(flow)

    async def unregister(self, timeout_s: float) -> None:
        """Take every registration back, and wait for the answers, but not for long."""
        for running in self._running.values():
            self._leave(running.registering)
            running.registering = None
        self._on_left()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._left.wait()

    def close(self) -> None:
        """Watch nobody any more."""
        for running in self._running.values():
            running.stop()
        for task in self._resolving.values():
            task.cancel()
        self._resolver.close()

    # Peers

    def _refresh(self, trunk: str, peer: Peer, watch: PeerWatch) -> None:
        if peer.numeric:
            self._take_targets(trunk, watch, [_target_of(peer)])
        elif watch not in self._resolving:
            task = asyncio.get_running_loop().create_task(self._resolve(trunk, peer, watch))
            self._resolving[watch] = task
            task.add_done_callback(lambda _: self._resolving.pop(watch))

    async def _resolve(self, trunk: str, peer: Peer, watch: PeerWatch) -> None:
        await self._targets(trunk, peer, watch)

    def _take_targets(self, trunk: str, watch: PeerWatch, targets: list[Target]) -> None:
        before = watch.watches.keys()
        watch.set_targets(targets)
        running = self._running.get(trunk.lower())
        if watch.watches.keys() != before and running is not None:
            self._tell_sources(trunk, running.inbound_hosts())
            self._read_networks()

    def _read_networks(self) -> None:
        self._networks = NetworkTable(
            (network, running.trunk.name)
            for running in self._running.values()
            for network in running.networks()
        )
        self._accounts = {}
        for running in self._running.values():
            if running.trunk.registration is not None:
                self._accounts.setdefault(running.trunk.registration.user, []).append(running)

    # Calls that come in

    def trunk_of(self, host: str) -> str | None:
        """The name of the trunk that an address belongs to."""
        return self._networks.find(host) if self._running else None

    def receive(self, call: SipCall) -> bool:
        """A call has come in. False: its trunk has no channel for it, and it was refused."""
        running = self._of(call)
        if running is None:
            return True
        running.counts.received += 1
        if running.channels.free:
            return True
        running.counts.refused += 1
        warning = f'399 {self._user} "all {running.channels.limit} channels are in use"'
        call.reject(503, headers=[("Retry-After", "5"), ("Warning", warning)])
        return False

    def keep(self, call: SipCall) -> str | None:
        """A call goes on here that has come in, or that another engine has begun: it takes a
        channel until :meth:`ended`. Returns the name of its trunk."""
        running = self._of(call)
        if running is None:
            return None
        running.channels.used += 1
        self._inbound[call.id] = running
        credentials = credentials_of(running.trunk)
        if credentials is not None:
            call.answer_challenges(credentials)
        return running.trunk.name

    def media_terms(self, trunk: str) -> MediaTerms:
        """What is agreed on in calls of the trunk of that name."""
        running = self._running.get(trunk.lower())
        return ((), None) if running is None else _media_terms(running.trunk)

    def ended(self, call: SipCall) -> None:
        """A call is over, one that was kept or another one."""
        running = self._inbound.pop(call.id, None)
        if running is not None:
            running.channels.give_back()

    def _of(self, call: SipCall) -> RunningTrunk | None:
        """The trunk that a call has come by. Several may have accounts at one address: then it is
        the one whose account is called, as our Contact has its name."""
        host = call.flow.remote_host
        name = self.trunk_of(host)
        found = self._running.get(name.lower()) if name else None
        if found is None or len(self._accounts) < 2:
            return found
        called = self._accounts.get(_user_of(call.invite.uri), ())
        return next((running for running in called if running.serves(host)), found)

    # Calls that go out

    def public_uri(self, uri: str) -> str:
        """A URI as others know it: the domain of a trunk in the place of its name. ValueError."""
        parsed = SipUri.parse(uri)
        running = self._running.get(parsed.host)
        return uri if running is None else dress(running.trunk, Wanted(parsed, "")).uri

    def named(self, uri: str) -> str | None:
        """The name of the trunk that a URI to be dialled has in the place of a host."""
        running = self._running.get(SipUri.parse(uri).host)
        return None if running is None else running.trunk.name

    def route(self, order: Order) -> Ways:
        """See `Router`."""
        uri = SipUri.parse(order.uri)
        running = self._running.get(uri.host) or self._home_of(order, uri)
        if running is not None:
            return self._by_trunk(running, order, uri)
        place = (uri.scheme, uri.host, uri.port, uri.params)
        flows = self._settled.get(place)
        return self._by_name(order, uri, place) if flows is None else _ways_by(flows, order)

    def _home_of(self, order: Order, uri: SipUri) -> RunningTrunk | None:
        """The trunk that an order names besides, if the target is of its side."""
        running = self._running.get(order.trunk.lower()) if order.trunk else None
        return running if running is not None and running.is_home_of(uri) else None

    async def _by_name(self, order: Order, uri: SipUri, place: object) -> AsyncGenerator[Way, None]:
        """By what DNS says of the URI's host (RFC 3263)."""
        flows = await self._flows_to(order, uri)
        if numeric(uri.param("maddr") or uri.host) and len(order.uri) <= MAX_KNOWN_CHARS:
            self._settle(place, flows)
        for way in _ways_by(flows, order):
            yield way

    async def _flows_to(self, order: Order, uri: SipUri) -> list[Flow]:
        try:
            targets = await self._resolver.resolve(uri)
        except ResolveError as error:
            raise NoRoute(str(error)) from None
        flows = [flow for flow in map(self._flow_to, targets) if flow is not None]
        if not flows:
            raise NoRoute(f"{order.uri}: no listener leads to {targets[0].host}")
        return flows[:MAX_WAYS]

    def _settle(self, place: object, flows: list[Flow]) -> None:
        """Where a numeric address leads is settled: by our listeners, which stay."""
        if len(self._settled) >= KNOWN_PLACES:
            self._settled.clear()
        self._settled[place] = flows

    async def _by_trunk(
        self, running: RunningTrunk, order: Order, uri: SipUri
    ) -> AsyncGenerator[Way, None]:
        await self._turn(running)
        # Which may have changed meanwhile.
        running = self._running.get(running.trunk.name.lower(), running)
        dressed = self._dressed(running.trunk, order, uri)
        secure = uri.scheme == "sips"
        tried = 0
        async for target, flow, watch in self._addresses(running):
            if secure and target.transport != "TLS":
                continue
            passage = self._passage(running, watch.of(target))
            if tried:
                running.counts.failed_over += 1
            tried += 1
            placed: list[DialledCall] = []
            try:
                yield Way(
                    flow,
                    dressed,
                    running.trunk.peer_timeout_s,
                    frozenset(running.trunk.failover_statuses),
                    partial(_over, passage),
                    partial(_placed, running, placed),
                )
            finally:
                if placed:
                    passage.judge(placed[0].result)
                else:
                    passage.leave()
        if not tried:
            cause = "; ".join(watch.trouble for _, watch in running.peers if watch.trouble)
            raise NoRoute(f"trunk {running.trunk.name}: {cause or 'no peer can be reached'}")

    async def _turn(self, running: RunningTrunk) -> None:
        """Wait for this call's turn."""
        wait_ms = running.rate.reserve(self._timers.now_ms)
        if wait_ms is None:
            running.counts.congested += 1
            limit = running.trunk.limits.calls_per_s
            text = f"trunk {running.trunk.name}: more than {limit:g} calls per second"
            raise NoRoute(text, Outcome.CONGESTION)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1_000)

    @staticmethod
    def _passage(running: RunningTrunk, watch: Watch | None) -> Passage:
        if not running.channels.take():
            running.counts.congested += 1
            text = f"trunk {running.trunk.name}: all {running.channels.limit} channels are in use"
            raise NoRoute(text, Outcome.CONGESTION)
        return Passage(running, watch)

    async def _addresses(
        self, running: RunningTrunk
    ) -> AsyncIterator[tuple[Target, Flow, PeerWatch]]:
        """Where to try, in this order, each address once."""
        tried: set[object] = set()
        for peer, watch in running.ordered_peers():
            targets = await self._targets(running.trunk.name, peer, watch)
            for target in order_targets(watch, targets):
                flow = self._flow_to(target)
                if flow is not None and key_of(target) not in tried and len(tried) < MAX_WAYS:
                    tried.add(key_of(target))
                    yield target, flow, watch

    async def _targets(self, trunk: str, peer: Peer, watch: PeerWatch) -> list[Target]:
        """A peer's addresses; the last ones known while its name leads nowhere."""
        if peer.numeric:
            return [_target_of(peer)]
        try:
            targets = await self._resolver.resolve(peer.uri)
        except ResolveError as error:
            watch.set_trouble(str(error))
            return [known.target for known in watch.watches.values()]
        self._take_targets(trunk, watch, targets)
        return targets

    def _dressed(self, trunk: Trunk, order: Order, uri: SipUri) -> Order:
        """The order as it goes out by a trunk."""
        caller = "" if order.caller == self._user else order.caller
        try:
            told = uri.host != trunk.name.lower()
            dressed = dress(trunk, Wanted(uri, caller, order.display_name, order.headers, told))
        except ValueError as error:
            raise NoRoute(str(error)) from None
        codecs, srtp = _media_terms(trunk)
        return order._replace(
            uri=dressed.uri,
            caller=dressed.from_uri,
            display_name=dressed.display_name,
            headers=dressed.headers,
            codecs=codecs if codecs and order.codecs == self._codecs else order.codecs,
            srtp=order.srtp if srtp is None else srtp,
            credentials=order.credentials or credentials_of(trunk),
        )


def _ways_by(flows: Sequence[Flow], order: Order) -> tuple[Way, ...]:
    """RFC 3263 4.3: what one address does not answer, or by 503, goes to the next."""
    if len(flows) == 1:
        return (Way(flows[0], order),)
    before_last = [Way(flow, order, SIGN_OF_LIFE_S) for flow in flows[:-1]]
    return (*before_last, Way(flows[-1], order))


def _account(trunk: Trunk) -> object:
    """What makes a registration another one when it changes."""
    return trunk.registration, trunk.uri_host, trunk.user, trunk.password


def _media_terms(trunk: Trunk) -> MediaTerms:
    return codecs_by_name(trunk.codecs), None if trunk.srtp is None else SrtpPolicy(trunk.srtp)


def _user_of(uri: str) -> str:
    """The user part of a Request-URI, or nothing."""
    try:
        return SipUri.parse(uri).user or ""
    except SipParseError:
        return ""


def credentials_of(trunk: Trunk) -> Credentials | None:
    """What answers the challenges of a trunk."""
    return Credentials(trunk.user, trunk.password) if trunk.user else None


def _target_of(peer: Peer) -> Target:
    """The address of a peer that needs no DNS."""
    transport = peer.transport or "UDP"
    return Target(peer.host, peer.port or default_port(transport), transport, peer.host)


def _placed(running: RunningTrunk, placed: list[DialledCall], call: DialledCall) -> None:
    running.counts.placed += 1
    call.trunk = running.trunk.name
    placed.append(call)


def _over(passage: Passage, call: DialledCall) -> None:
    passage.judge(call.result)
    passage.leave()


def start_trunks(
    agent: UserAgent,
    endpoint: SipEndpoint,
    codecs: tuple[Codec, ...],
    user: str,
    dns: Sequence[str] = (),
) -> Trunks:
    """A directory over an endpoint, without trunks yet. ``dns``: servers as ``HOST[:PORT]``
    instead of the system's."""
    hosts = [listener.host for listener in endpoint.listeners]
    families = [socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts]
    udp = any(listener.transport == "UDP" for listener in endpoint.listeners)
    # Who listens on this machine alone may well mean it by a name.
    loopback = all(ipaddress.ip_address(host).is_loopback for host in hosts)
    resolver = Resolver(
        partial(_names, tuple(dns), loopback),
        # TCP and TLS need no listener of their own to call by.
        transports=(*(["UDP"] if udp else []), "TCP", "TLS"),
        families=tuple(dict.fromkeys(families)),
    )

    def tell_sources(trunk: str, hosts: Iterable[str]) -> None:
        if agent.gate is not None:
            agent.gate.set_peers(trunk, hosts)

    return Trunks(
        agent,
        partial(_flow_to, endpoint),
        resolver,
        codecs=codecs,
        user=user,
        tell_sources=tell_sources,
    )


def checked_trunks(trunks: Iterable[Trunk]) -> tuple[Trunk, ...]:
    """Trunks that go together. ValueError: two have one name."""
    checked = tuple(trunks)
    names: set[str] = set()
    for trunk in checked:
        if trunk.name.lower() in names:
            raise ValueError(f"there are two trunks named {trunk.name}; give one another name")
        names.add(trunk.name.lower())
    return checked


def checked_servers(servers: Sequence[str]) -> tuple[str, ...]:
    """DNS servers that can be asked. ValueError: one is none."""
    if servers:
        from ..sip.dns_client import server_of  # noqa: PLC0415 - as below

        for text in servers:
            server_of(text)
    return tuple(servers)


def _names(servers: Sequence[str], loopback: bool) -> Lookups:
    # Only who uses names pays for the library.
    from ..sip.dns_client import system_dns  # noqa: PLC0415

    return system_dns(servers, loopback=loopback)


def _flow_to(endpoint: SipEndpoint, target: Target) -> Flow | None:
    try:
        return endpoint.flow(target.host, target.port, 0, target.transport, target.name)
    except ListenError:
        return None


def rules_for(trunks: Sequence[Trunk]) -> GateRules | None:
    """A gate that lets the calls of these trunks in, and no others; None without trunks."""
    if not trunks:
        return None
    return GateRules(trunks=tuple((trunk.name, trunk.inbound) for trunk in trunks))

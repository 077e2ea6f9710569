"""From a SIP URI to the addresses that it leads to, in the order to try them (RFC 3263)."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .dns_records import DnsTrouble, Kind, Naptr, Record, ResolveError, Srv, fault_of, numeric
from .uri import SipUri

SIP_PORT = 5060
SIPS_PORT = 5061
MAX_TARGETS = 32
MAX_HOSTS = 16
"""Hosts of SRV records that are looked up for one URI: the first in the order to try them."""

RESOLVE_TIMEOUT_S = 6.0

_SERVICES = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_SRV_PREFIX = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}
_KIND_OF = {socket.AF_INET: Kind.A, socket.AF_INET6: Kind.AAAA}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send a request: ``host`` is numeric, ``transport`` UDP, TCP or TLS.

    ``name`` is the host of the URI, for which a TLS certificate must be (RFC 5922 7.2).
    """

    host: str
    port: int
    transport: str = "UDP"
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Ways:
    """Transports that a URI may be reached by; ``explicit``: the URI names ``default`` itself."""

    allowed: tuple[str, ...]
    default: str
    explicit: bool


class Lookups(Protocol):
    """DNS, as `DnsCache` gives it."""

    async def lookup(self, name: str, kind: Kind) -> tuple[Record, ...]:
        """The records; none where there are none. ResolveError: nobody knows, or no such name."""

    def close(self) -> None:
        """Give up what is under way."""


class Resolver:
    """Finds the targets of URIs.

    ``dns`` answers for names, or makes what does once there is a name to ask for.
    ``transports`` and ``families`` are what we can send by, the preferred one first. ``source``
    orders hosts of the same priority by their weights.
    """

    def __init__(
        self,
        dns: Lookups | Callable[[], Lookups],
        *,
        transports: Sequence[str] = ("UDP", "TCP", "TLS"),
        families: Sequence[socket.AddressFamily] = (socket.AF_INET, socket.AF_INET6),
        source: random.Random | None = None,
        timeout_s: float = RESOLVE_TIMEOUT_S,
    ) -> None:
        self._dns = dns
        self._transports = tuple(transports)
        self._families = tuple(families)
        self._random = source or random.SystemRandom()
        self._timeout_s = timeout_s

    def close(self) -> None:
        """Give up what is under way."""
        if not callable(self._dns):
            self._dns.close()

    async def resolve(self, uri: str | SipUri) -> list[Target]:
        """Every target of a URI, best first: at least one.

        ResolveError: it leads nowhere. SipParseError: malformed.
        """
        parsed = uri if isinstance(uri, SipUri) else SipUri.parse(uri)
        host = parsed.param("maddr") or parsed.host
        if not host:
            raise ResolveError(str(parsed), DnsTrouble.BAD_NAME, "write sip:NUMBER@HOST")
        ways = self._ways(parsed)
        if numeric(host):
            return [self._numeric(parsed, host, ways.default)]
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._named(parsed, host, ways)
        except TimeoutError:
            raise ResolveError(host, DnsTrouble.TIMEOUT) from None

    def _ways(self, uri: SipUri) -> _Ways:
        """What the URI says of transports (RFC 3263 4.1, RFC 3261 26.2.2)."""
        named = (uri.param("transport") or "").upper()
        secure = uri.scheme == "sips"
        if secure and named == "TCP":
            named = "TLS"
        allowed = tuple(t for t in self._transports if t == "TLS" or not secure)
        if not allowed or (named and named not in allowed):
            raise ResolveError(str(uri), DnsTrouble.TRANSPORT, named.lower() or "tls")
        # UDP where nothing says otherwise.
        default = named or ("UDP" if "UDP" in allowed else allowed[0])
        return _Ways(allowed, default, explicit=bool(named))

    def _numeric(self, uri: SipUri, host: str, transport: str) -> Target:
        fault = fault_of(host, loopback=True)
        if fault:
            raise ResolveError(host, DnsTrouble.UNUSABLE_ADDRESS, fault)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if family not in self._families:
            raise ResolveError(host, DnsTrouble.NO_ADDRESS)
        return Target(host, uri.port or default_port(transport), transport, uri.host)

    async def _named(self, uri: SipUri, host: str, ways: _Ways) -> list[Target]:
        if uri.port is None:
            services = await self._services(host, ways)
            found = await self._served(uri, services)
            if found is not None:
                return found
        port = uri.port or default_port(ways.default)
        addresses = await self._addresses(host)
        return [Target(ip, port, ways.default, uri.host) for ip in addresses][:MAX_TARGETS]

    async def _services(self, host: str, ways: _Ways) -> list[tuple[str, str]]:
        """(transport, SRV name) of a domain, best first: what NAPTR says, else by RFC 3263 4.1."""
        if ways.explicit:
            return [(ways.default, f"{_SRV_PREFIX[ways.default]}.{host}")]
        naptrs = await self._naptrs(host, ways)
        if naptrs:
            return [(_SERVICES[r.service.upper()], r.replacement) for r in naptrs]
        # Without NAPTR, TLS is for sips alone.
        asked = [t for t in ways.allowed if t != "TLS"] or ["TLS"]
        return [(t, f"{_SRV_PREFIX[t]}.{host}") for t in asked]

    async def _naptrs(self, host: str, ways: _Ways) -> list[Naptr]:
        """The NAPTR records to follow, best first."""
        try:
            records = await self._lookups.lookup(host, Kind.NAPTR)
        except ResolveError as error:
            if error.trouble is DnsTrouble.NO_SUCH_NAME:
                raise
            # Some servers fail on types that they do not know: go on as without NAPTR.
            return []
        usable = [r for r in records if isinstance(r, Naptr) and _usable(r, ways)]
        # RFC 3403 4.1: once one matches, none of a higher order counts.
        lowest = min((record.order for record in usable), default=0)
        return sorted((r for r in usable if r.order == lowest), key=lambda r: r.preference)

    async def _served(self, uri: SipUri, services: list[tuple[str, str]]) -> list[Target] | None:
        """Targets by SRV; None if there is no SRV record at all. A service that nobody can tell of
        costs the others nothing."""
        hosts: list[tuple[str, Srv]] = []
        refused = False
        trouble: BaseException | None = None
        answers = await asyncio.gather(
            *(self._srv_records(name) for _, name in services), return_exceptions=True
        )
        for (transport, _), records in zip(services, answers, strict=True):
            if isinstance(records, BaseException):
                trouble = records
                continue
            offered = [r for r in records if isinstance(r, Srv) and r.target and r.port]
            refused = refused or len(offered) < len(records)
            hosts += [(transport, srv) for srv in order_by_weight(offered, self._random)]
        if not hosts:
            if trouble is not None:
                raise trouble
            if refused:  # RFC 2782: a target of "." says that there is no such service
                raise ResolveError(uri.host, DnsTrouble.NOT_OFFERED)
            return None
        return await self._hosts(uri, hosts[:MAX_HOSTS])

    async def _srv_records(self, name: str) -> tuple[Record, ...]:
        try:
            return await self._lookups.lookup(name, Kind.SRV)
        except ResolveError as error:
            if error.trouble is DnsTrouble.NO_SUCH_NAME:
                return ()
            raise

    async def _hosts(self, uri: SipUri, hosts: list[tuple[str, Srv]]) -> list[Target]:
        """The addresses of the hosts of SRV records; one that leads nowhere costs the others
        nothing."""
        looked_up = await asyncio.gather(
            *(self._addresses(srv.target) for _, srv in hosts), return_exceptions=True
        )
        targets: list[Target] = []
        trouble: BaseException | None = None
        for (transport, srv), found in zip(hosts, looked_up, strict=True):
            if isinstance(found, BaseException):
                trouble = found
                continue
            targets += [Target(ip, srv.port, transport, uri.host) for ip in found]
        if not targets and trouble is not None:
            raise trouble
        return targets[:MAX_TARGETS]

    async def _addresses(self, host: str) -> list[str]:
        """Numeric addresses of a host, of the families that we have, in their order."""
        if numeric(host):
            raise ResolveError(host, DnsTrouble.BAD_ANSWER, "an address in the place of a name")
        kinds = [_KIND_OF[family] for family in self._families]
        found = await asyncio.gather(
            *(self._lookups.lookup(host, kind) for kind in kinds), return_exceptions=True
        )
        addresses = [ip for part in found if not isinstance(part, BaseException) for ip in part]
        if addresses:
            return [ip for ip in addresses if isinstance(ip, str)]
        for part in found:
            if isinstance(part, BaseException):
                raise part
        raise ResolveError(host, DnsTrouble.NO_ADDRESS)

    @property
    def _lookups(self) -> Lookups:
        if callable(self._dns):
            self._dns = self._dns()
        return self._dns


def _usable(record: Naptr, ways: _Ways) -> bool:
    """One that leads to SRV records of a transport that we may take."""
    transport = _SERVICES.get(record.service.upper())
    return transport in ways.allowed and record.flags.lower() == "s" and bool(record.replacement)


def default_port(transport: str) -> int:
    """5061 for TLS, else 5060 (RFC 3261 19.1.2)."""
    return SIPS_PORT if transport == "TLS" else SIP_PORT


def order_by_weight(records: Iterable[Srv], source: random.Random) -> list[Srv]:
    """By priority, and at random by weight among equals (RFC 2782)."""
    ordered: list[Srv] = []
    waiting = sorted(records, key=lambda srv: srv.priority)
    while waiting:
        group = [srv for srv in waiting if srv.priority == waiting[0].priority]
        chosen = pick_by_weight([srv.weight for srv in group], source)
        ordered.append(group[chosen])
        waiting.remove(group[chosen])
    return ordered


def pick_by_weight(weights: Sequence[int], source: random.Random) -> int:
    """An index, at random: each has the share that its weight says, and 0 about a hundredth of what
    all together have, where others have more (RFC 2782); the same share where all have 0.

    The RFC's own way, a whole number from 0 to the sum, gives the first of two equals two thirds.
    """
    total = sum(weights)
    shares = [100 * weight or total or 1 for weight in weights]
    return source.choices(range(len(weights)), shares)[0]

"""The edge of DNS: servers are asked by dnspython, and names of this machine read from a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.resolver
from dns.asyncbackend import get_backend

from .dns_cache import DnsCache
from .dns_records import Answer, DnsTrouble, Kind, Naptr, Record, ResolveError, Srv, numeric

LOOKUP_TIMEOUT_S = 3.0
"""For one record of one name, all servers and attempts."""

ATTEMPT_TIMEOUT_S = 1.0

HOSTS_FILE = Path("/etc/hosts")
MAX_HOSTS_BYTES = 1024 * 1024


class DnsClient:
    """Asks DNS servers: those given as ``HOST`` or ``HOST:PORT``, or those of the system."""

    def __init__(self, servers: Sequence[str] = (), timeout_s: float = LOOKUP_TIMEOUT_S) -> None:
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def ask(self, name: str, kind: Kind) -> Answer:
        """See `dns_cache.Ask`."""
        try:
            question = dns.name.from_text(name)
        except dns.exception.DNSException:
            raise ResolveError(name, DnsTrouble.BAD_NAME) from None
        try:
            answer = await self._resolver_of(name).resolve(
                question,
                kind.value,
                raise_on_no_answer=False,
                lifetime=self._timeout_s,
                search=False,
                backend=get_backend("asyncio"),
            )
        except dns.resolver.NXDOMAIN as error:
            return Answer((), _negative_ttl_s(error, question), DnsTrouble.NO_SUCH_NAME)
        except Exception as error:  # noqa: BLE001 - whatever the library makes of hostile bytes
            # The next one reads anew which servers there are.
            self._resolver = None
            raise ResolveError(name, _trouble_of(error)) from None
        if answer.rrset is None:
            return Answer((), answer.chaining_result.minimum_ttl)
        return Answer(tuple(_records(answer.rrset)), answer.chaining_result.minimum_ttl)

    def _resolver_of(self, name: str) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            try:
                resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            except dns.resolver.NoResolverConfiguration:
                raise ResolveError(name, DnsTrouble.NO_SERVERS, "see /etc/resolv.conf") from None
            if self._servers:
                resolver.nameservers = [server_of(text) for text in self._servers]
            resolver.timeout = min(ATTEMPT_TIMEOUT_S, self._timeout_s)
            self._resolver = resolver
        return self._resolver


def server_of(text: str) -> dns.nameserver.Nameserver:
    """A server from ``HOST``, ``HOST:PORT`` or ``[V6]:PORT``. ValueError: it is none."""
    host, port = text, "53"
    if not numeric(text):
        host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not numeric(host) or not port.isdecimal():
        raise ValueError(f"{text!r} is no DNS server; write it as HOST or HOST:PORT, numeric")
    return dns.nameserver.Do53Nameserver(host, int(port))


def _trouble_of(error: Exception) -> DnsTrouble:
    if isinstance(error, dns.exception.Timeout):
        return DnsTrouble.TIMEOUT
    if isinstance(error, dns.resolver.NoNameservers):
        said = [why for *_, why, _ in error.kwargs.get("errors", [])]
        if not any(isinstance(why, dns.exception.DNSException) for why in said):
            return DnsTrouble.SERVER_FAILED
    return DnsTrouble.BAD_ANSWER


def _negative_ttl_s(error: dns.resolver.NXDOMAIN, name: dns.name.Name) -> float:
    """How long it holds that there is no such name (RFC 2308 5)."""
    return float(error.kwargs["responses"][name].resolve_chaining().minimum_ttl)


def _records(rrset: Iterable[dns.rdata.Rdata]) -> Iterable[Record]:
    """Ours for theirs, without other kinds and what leads on by a regular expression."""
    for rdata in rrset:
        if isinstance(rdata, dns.rdtypes.IN.SRV.SRV):
            yield Srv(rdata.priority, rdata.weight, rdata.port, _name_of(rdata.target))
        elif isinstance(rdata, dns.rdtypes.IN.NAPTR.NAPTR) and not rdata.regexp:
            yield Naptr(
                rdata.order,
                rdata.preference,
                rdata.flags.decode("ascii", "replace"),
                rdata.service.decode("ascii", "replace"),
                _name_of(rdata.replacement),
            )
        elif rdata.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            yield rdata.to_text()


def _name_of(name: dns.name.Name) -> str:
    """Text of a name, without the last dot: "" for the root, which says that there is nothing."""
    return name.to_text(omit_final_dot=True) if name != dns.name.root else ""


class HostsFile:
    """``/etc/hosts``, read again when it has changed."""

    def __init__(self, path: Path = HOSTS_FILE) -> None:
        self._path = path
        self._read_at: int | None = None
        self._hosts: dict[str, list[str]] = {}

    def find(self, name: str, kind: Kind) -> tuple[Record, ...] | None:
        """See `dns_cache.Hosts`. Such a name has addresses and no services."""
        self._refresh()
        # The name of an SRV record is two labels longer than that of its host.
        host = name.split(".", 2)[-1] if kind is Kind.SRV else name
        addresses = self._hosts.get(host)
        if addresses is None:
            return None
        return tuple(ip for ip in addresses if kind is (Kind.AAAA if ":" in ip else Kind.A))

    def _refresh(self) -> None:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at == self._read_at:
                return
            with self._path.open("rb") as file:
                text = file.read(MAX_HOSTS_BYTES).decode("utf-8", "replace")
        except OSError:
            text, changed_at = "", 0
        self._read_at, self._hosts = changed_at, {}
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            for name in names if numeric(address) else ():
                self._hosts.setdefault(name.lower(), []).append(address)


def system_dns(servers: Sequence[str] = (), *, loopback: bool = False) -> DnsCache:
    """What this machine knows of names: its hosts file, then DNS servers, its own or these.

    ``loopback``: see `DnsCache`.
    """
    return DnsCache(DnsClient(servers).ask, hosts=HostsFile(), loopback=loopback)

"""Where requests come from: networks looked up by address, and rates counted by source."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable

from .edge import Timers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOBODYS = (bytes(8), b"\xfe\x80", b"\x00\x64\xff\x9b")
"""How /64s begin that are no customer's: mapped and loopback addresses, those of a link, and those
that translators make of IPv4 (RFC 6052 section 2.1, RFC 8215), where all of it is within one."""


def source_of(host: str) -> str:
    """Whom a numeric address counts for: itself, or with IPv6 its /64, which is the least that one
    customer has (RFC 6177): who may choose among 2**64 addresses is one source all the same.

    What has no customer's prefix counts for itself: link-local addresses, loopback ones, and IPv4
    that is mapped or translated.
    """
    if ":" not in host:
        return host
    try:
        prefix = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8]
    except (OSError, ValueError):
        return host
    if prefix.startswith(_NOBODYS):
        return host
    return socket.inet_ntop(socket.AF_INET6, prefix + bytes(8)) + "/64"


class NetworkTable:
    """Finds the network that an address lies in, the smallest where several hold it.

    One look into a dict for each length of prefix that occurs, whatever the number of networks.
    """

    def __init__(self, entries: Iterable[tuple[Network, str]]) -> None:
        """Networks, and what :meth:`find` answers for them; of two alike the first counts."""
        lengths: dict[tuple[int, int], dict[int, str]] = {}
        for network, label in entries:
            shift = network.max_prefixlen - network.prefixlen
            prefixes = lengths.setdefault((network.version, shift), {})
            prefixes.setdefault(int(network.network_address) >> shift, label)
        self._v4, self._v6 = (
            [(shift, lengths[key, shift]) for key, shift in sorted(lengths) if key == version]
            for version in (4, 6)
        )

    def __bool__(self) -> bool:
        return bool(self._v4 or self._v6)

    def find(self, host: str) -> str | None:
        """The label of the network that a numeric address lies in; None: in no one."""
        v6 = ":" in host
        address_text = host.partition("%")[0] if v6 else host  # link-local: behind it is the link
        try:
            packed = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, address_text)
        except (OSError, ValueError):
            return None
        address = int.from_bytes(packed, "big")
        for shift, prefixes in self._v6 if v6 else self._v4:
            label = prefixes.get(address >> shift)
            if label is not None:
                return label
        return None


class SourceRates:
    """A token bucket for each source; the one that was silent longest makes room."""

    __slots__ = ("_buckets", "_evicted", "_full", "_rate", "_sources", "_timers")

    def __init__(
        self,
        rate_per_s: float,
        burst: int,
        sources: int,
        timers: Timers,
        evicted: Callable[[], object] = lambda: None,
    ) -> None:
        """``evicted`` is called for each source that made room."""
        self._rate = rate_per_s
        self._full = burst * 1_000.0
        self._sources = sources
        self._timers = timers
        self._evicted = evicted
        # Thousandths of requests left, and when that was; least recently seen first.
        self._buckets: dict[str, tuple[float, int]] = {}

    def take(self, host: str) -> bool:
        """Take one request from a source's share; False if it has none left."""
        now_ms = self._timers.now_ms
        left, since_ms = self._buckets.pop(host, (self._full, now_ms))
        left = min(self._full, left + self._rate * (now_ms - since_ms))
        granted = left >= 1_000.0
        self._buckets[host] = (left - 1_000.0 if granted else left, now_ms)
        if len(self._buckets) > self._sources:
            del self._buckets[next(iter(self._buckets))]
            self._evicted()
        return granted

"""What DNS says of a SIP domain: records, answers, and the reasons for which they are refused."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class DnsTrouble(StrEnum):
    """Why a name leads nowhere; the name of each is its counter."""

    NO_SUCH_NAME = "there is no such name in DNS"
    NO_ADDRESS = "the name has no address of a kind that we listen on"
    TIMEOUT = "the DNS servers did not answer in time"
    SERVER_FAILED = "the DNS servers answered with a failure"
    NO_SERVERS = "no DNS server is configured"
    BUSY = "too many DNS lookups are under way"
    BAD_NAME = "the name is none that DNS can have"
    BAD_ANSWER = "the DNS answer is malformed, or its names lead in a circle"
    TOO_MANY_RECORDS = "the DNS answer has too many records"
    NOT_OFFERED = "the domain says by DNS that it offers no SIP"
    UNUSABLE_ADDRESS = "no call can go to that address"
    TRANSPORT = "the transport is none that we have"


class ResolveError(Exception):
    """A URI leads nowhere. The message is one line; ``trouble`` says of which kind it is."""

    def __init__(self, name: str, trouble: DnsTrouble, detail: str = "") -> None:
        super().__init__(f"{name}: {trouble.value}" + (f" ({detail})" if detail else ""))
        self.trouble = trouble
        self.detail = detail


class Kind(StrEnum):
    """The types of records that SIP asks for (RFC 3263)."""

    A = "A"
    AAAA = "AAAA"
    SRV = "SRV"
    NAPTR = "NAPTR"


@dataclass(frozen=True, slots=True)
class Srv:
    """A host that offers a service (RFC 2782). ``target`` "" says that nobody offers it."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """Where a domain has a service (RFC 3403); only the kind that leads on to an SRV name."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


Record = str | Srv | Naptr
"""An address is its text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the servers say of one name and kind: that there are no records is an answer too."""

    records: tuple[Record, ...]
    ttl_s: float
    trouble: DnsTrouble | None = None
    detail: str = ""


@lru_cache(maxsize=1024)
def numeric(host: str) -> bool:
    """True if ``host`` is an IPv4 or IPv6 address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def fault_of(address: str, *, loopback: bool) -> str:
    """Why no call can go to a numeric address; empty if one can.

    ``loopback``: whether the address may be this machine's own, which is a lie where DNS says it.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.scope_id):
        return "an IPv4 address or an interface within an IPv6 one"
    if ip.is_loopback:
        return "" if loopback else "this machine's own"
    faults = {
        "multicast": ip.is_multicast,
        "no address at all": ip.is_unspecified or address.startswith("0."),
        "reserved": ip.is_reserved,
        "link-local": ip.version == 6 and ip.is_link_local,
    }
    return next((fault for fault, found in faults.items() if found), "")

"""By which listener and transport requests go, and how we are written in Via and Contact.

RFC 3261 8.1.1.8, 12.2.1.1 and 18.1.1, RFC 3581, RFC 5630, RFC 5923.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace

from .dialog import address_uri
from .dns_records import numeric
from .edge import Flow
from .fields import get_param, parse_host_port
from .message import Request, SipParseError
from .reject import SipReject
from .uri import SipUri

UDP, TCP, TLS = "UDP", "TCP", "TLS"
MAX_DATAGRAM_BYTES = 1_300
"""RFC 3261 18.1.1: larger requests are not for UDP, where the path's MTU is not known."""

_PORTS = {UDP: 5060, TCP: 5060, TLS: 5061}


class Ways:
    """What a user agent knows of its listeners: the address that peers write, and the transport.

    Without ``transports`` every listener takes every transport.
    """

    def __init__(self, user: str, addresses: Sequence[str], transports: Sequence[str]) -> None:
        self._user = user
        self._addresses = tuple(addresses)
        self._transports = tuple(transports)
        self._v6 = tuple(address.startswith("[") for address in addresses)
        self._datagram_contacts = tuple(f"<sip:{user}@{address}>" for address in addresses)

    def contact(self, flow: Flow, uri: str) -> str:
        """Our Contact on ``flow``, in a dialog that began with a request to ``uri``."""
        if flow.transport == UDP:
            return self._datagram_contacts[flow.listener]
        address = self._addresses[flow.listener]
        if is_secure(uri):
            return f"<sips:{self._user}@{address}>"  # RFC 3261 8.1.1.8, 12.1.1
        return f"<sip:{self._user}@{address};transport={flow.transport.lower()}>"

    def via(self, flow: Flow, branch: str) -> str:
        """Our Via value on ``flow``."""
        address = self._addresses[flow.listener]
        return f"SIP/2.0/{flow.transport} {address};branch={branch};rport"

    def next_hop(self, uri: str, flow: Flow) -> Flow:
        """Where requests to ``uri`` go (RFC 3261 8.1.2) in a dialog that ``flow`` brought us into.

        A name that needs DNS, and an address of another family, are reached the way the peer
        reached us; and so is the peer itself, whatever it calls its address (RFC 5923, RFC 3581).
        """
        try:
            target = SipUri.parse(uri)
        except SipParseError:
            return flow
        transport = self._transport_of(target, flow)
        port = target.port or _PORTS[transport]
        host = target.param("maddr") or target.host  # RFC 3261 19.1.1
        there = (host, port)
        if transport == flow.transport and (
            there in ((flow.remote_host, flow.remote_port), flow.alias)
        ):
            return flow
        if _family(host) != _family(flow.remote_host):
            return flow
        return Flow(host, port, self._listener_for(transport, flow), transport)

    def _transport_of(self, target: SipUri, flow: Flow) -> str:
        if flow.transport == TLS or not self._transports:
            return flow.transport  # what began in secret goes on so (RFC 5630 3.1.1)
        if target.scheme == "sips":
            return TLS
        wanted = (get_param(target.params, "transport") or "").upper() if target.params else ""
        if wanted == UDP and UDP not in self._transports:
            return flow.transport
        return wanted if wanted in _PORTS else flow.transport

    def _listener_for(self, transport: str, flow: Flow) -> int:
        """The listener of that transport in the family of ``flow``; its own if there is none."""
        if not self._transports or self._transports[flow.listener] == transport:
            return flow.listener
        found = self._find(transport, flow)
        return flow.listener if found is None else found

    def _find(self, transport: str, flow: Flow) -> int | None:
        v6 = self._v6[flow.listener]
        listeners = enumerate(zip(self._transports, self._v6, strict=False))
        return next((i for i, one in listeners if one == (transport, v6)), None)

    def by_stream(self, flow: Flow) -> Flow | None:
        """``flow`` over TCP, for what is too large for UDP; None if we have no listener for it."""
        listener = self._find(TCP, flow)
        if listener is None:
            return None
        return replace(flow, listener=listener, transport=TCP, alias=None)


def is_secure(uri: str) -> bool:
    """True for a SIPS URI."""
    return uri[:5].lower() == "sips:"


def flow_of_peer(request: Request, flow: Flow) -> Flow:
    """``flow``, with the address that the sender of ``request`` calls its own (Via sent-by).

    Over UDP only if it has asked to be answered where it sends from (RFC 3581): else that port
    need not be open.
    """
    if flow.transport == TLS:
        flow = replace(flow, peer_name=_name_of_peer(request))
    host, port = flow.remote_host, flow.remote_port
    if request.sent_by in (f"{host}:{port}", f"[{host}]:{port}"):
        return flow
    via = request.headers.get("Via") or ""
    if flow.transport == UDP and ";rport" not in via.lower():
        return flow
    try:
        host, named = parse_host_port(request.sent_by, SipReject.VIA)
    except SipParseError:
        return flow
    return replace(flow, alias=(host, named or _PORTS[flow.transport]))


def _name_of_peer(request: Request) -> str:
    """What the element that has sent ``request`` calls itself, if that is a name: its certificate
    is made out to that (RFC 5923 section 4), and seldom to an address."""
    try:
        own, _ = parse_host_port(request.sent_by, SipReject.VIA)
        if not numeric(own):
            return own
        headers = request.headers
        address = headers.get("Record-Route") or headers.get("Contact")
        host = SipUri.parse(address_uri(address)).host if address else ""
    except SipParseError:
        return ""
    return "" if numeric(host) else host


def reply_way(request: Request, flow: Flow) -> Flow:
    """``flow``, and where responses go if its connection is gone: to where the request came from,
    on the port that its Via names (RFC 3261 18.2.2)."""
    peer = flow_of_peer(request, flow)
    if peer.alias is None:
        return peer
    return replace(peer, alias=(flow.remote_host, peer.alias[1]))


def _family(host: str) -> socket.AddressFamily | None:
    """The address family of a numeric host, None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return None

"""SIP dialogs (RFC 3261 section 12): plain data that can be written down, and requests within."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .._core import bracketed
from .digest import DigestClient
from .edge import Flow
from .fields import split_commas
from .message import Headers, Message, Request, Response, SipParseError
from .uri import NameAddr, SipUri

DialogKey = tuple[str, str, str]
"""Call-ID, our tag and the peer's, which a peer of RFC 2543 may not have: then it is empty
(RFC 3261 12.1.1)."""

SNAPSHOT_KEY = ("call_id", "local_tag", "remote_tag")
SNAPSHOT_TEXTS = ("local", "remote", "remote_target")
"""Fields of a dialog that are written down as they are."""


@dataclass(slots=True)
class Dialog:
    """One dialog, which ``key`` identifies.

    ``local`` and ``remote`` are header values as they go into From and To. ``remote_cseq`` is None
    until the peer has sent a request. ``route_set`` holds Route values in the order in which our
    requests carry them. ``auth`` answers challenges to requests of ours, and ``hop`` is where these
    go, once it was decided; neither is part of what can be written down.
    """

    key: DialogKey
    local: str
    remote: str
    remote_target: str
    local_cseq: int
    remote_cseq: int | None
    route_set: tuple[str, ...] = ()
    auth: DigestClient | None = field(default=None, repr=False, compare=False)
    hop: Flow | None = field(default=None, repr=False, compare=False)

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.key[0]

    @property
    def local_tag(self) -> str:
        """Our tag."""
        return self.key[1]

    @property
    def remote_tag(self) -> str:
        """The peer's tag, or nothing."""
        return self.key[2]

    def accepts(self, request: Request) -> bool:
        """False for a request that is out of order (RFC 3261 12.2.2), else its CSeq is noted."""
        if self.remote_cseq is not None and request.cseq < self.remote_cseq:
            return False
        self.remote_cseq = request.cseq
        return True

    def refresh_target(self, message: Message) -> None:
        """Take the remote target from a re-INVITE or its 2xx (RFC 3261 12.2.1.2, 12.2.2)."""
        try:
            target = contact_uri(message.headers)
        except SipParseError:
            return  # an unreadable target leaves the one that works
        if target is not None:
            self.remote_target = target
            self.hop = None

    def confirm(self, response: Response) -> None:
        """A 2xx to our INVITE makes it a confirmed dialog, whose routes are those of the 2xx; what
        was counted and agreed on before stays (RFC 3261 13.2.2.4).

        SipParseError as `uac_dialog`; then all is as it was.
        """
        headers = response.headers
        target = contact_uri(headers)
        self.route_set = routes_of(headers)[::-1] if "Record-Route" in headers else ()
        self.remote_target = target or self.remote_target
        self.remote = headers.get("To") or self.remote
        self.hop = None

    def routing(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values of a request in the dialog (RFC 3261 12.2.1.1)."""
        if not self.route_set:
            return self.remote_target, ()
        first = address_uri(self.route_set[0])
        if SipUri.parse(first).param("lr") is not None:
            return self.remote_target, self.route_set
        # A strict router: it finds itself in the Request-URI and the target at the list's end.
        return request_uri_of(first), (*self.route_set[1:], f"<{self.remote_target}>")

    def next_hop(self) -> str:
        """The URI of the next element: the first route, loose or strict, else the target."""
        return address_uri(self.route_set[0]) if self.route_set else self.remote_target

    def snapshot(self) -> dict[str, object]:
        """The dialog as plain data for JSON, without credentials; `adoption.dialog_of` reads it."""
        texts = {name: getattr(self, name) for name in SNAPSHOT_TEXTS}
        return (
            dict(zip(SNAPSHOT_KEY, self.key, strict=True))
            | texts
            | {
                "local_cseq": self.local_cseq,
                "remote_cseq": self.remote_cseq,
                "route_set": list(self.route_set),
            }
        )

    def next_cseq(self) -> int:
        """Take the next local sequence number."""
        self.local_cseq += 1
        return self.local_cseq

    def request(
        self,
        method: str,
        cseq: int,
        via: str,
        branch: str,
        lines: Iterable[tuple[str, str]],
        *,
        body: bytes = b"",
    ) -> Request:
        """A request within the dialog; ``via`` is the Via value that holds ``branch``."""
        call_id, local_tag, remote_tag = self.key
        # Parsed, or our own: and what goes on the wire is looked at once more as a whole.
        own = [
            ("Via", via),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Max-Forwards", "70"),
        ]
        uri = self.remote_target
        if self.route_set:
            uri, routes = self.routing()
            own[1:1] = [("Route", route) for route in routes]
        headers = Headers.adopt(own)
        for name, value in lines:
            headers.add(name, value)
        return Request(
            headers,
            method=method,
            uri=uri,
            body=body,
            call_id=call_id,
            cseq=cseq,
            cseq_method=method,
            from_tag=local_tag,
            to_tag=remote_tag,
            branch=branch,
        )


def uas_dialog(request: Request, local_tag: str) -> Dialog:
    """The dialog that answering ``request`` creates (RFC 3261 12.1.1).

    SipParseError: a Contact, From or Record-Route that cannot be read.
    """
    headers = request.headers
    remote = headers.get("From") or ""
    return Dialog(
        (request.call_id, local_tag, request.from_tag or ""),
        f"{headers.get('To') or ''};tag={local_tag}",
        remote,
        # RFC 2543 let an INVITE come without Contact: then the From URI is the target.
        contact_uri(headers) or address_uri(remote),
        0,
        request.cseq,
        routes_of(headers) if "Record-Route" in headers else (),
    )


def uac_dialog(request: Request, response: Response, auth: DigestClient | None = None) -> Dialog:
    """The dialog that ``response`` to our ``request`` creates (RFC 3261 12.1.2).

    SipParseError: a Contact or Record-Route that cannot be read.
    """
    headers = response.headers
    return Dialog(
        (request.call_id, request.from_tag or "", response.to_tag or ""),
        request.headers.get("From") or "",
        headers.get("To") or "",
        contact_uri(headers) or request.uri,
        request.cseq,
        None,
        routes_of(headers)[::-1] if "Record-Route" in headers else (),
        auth,
    )


def dialog_to_be(request: Request, auth: DigestClient | None) -> Dialog:
    """What all dialogs that our ``request`` may create have in common, for `fork_of`."""
    return Dialog(
        key=(request.call_id, request.from_tag or "", ""),
        local=request.headers.get("From") or "",
        remote=request.headers.get("To") or "",
        remote_target=request.uri,
        local_cseq=request.cseq,
        remote_cseq=None,
        auth=auth,
    )


def fork_of(dialog: Dialog, response: Response) -> Dialog:
    """The dialog of another fork that answered the INVITE which made ``dialog``.

    SipParseError as `uac_dialog`.
    """
    return replace(
        dialog,
        key=(dialog.call_id, dialog.local_tag, response.to_tag or ""),
        remote=response.headers.get("To") or "",
        remote_target=contact_uri(response.headers) or dialog.remote_target,
        local_cseq=response.cseq,
        remote_cseq=None,
        route_set=routes_of(response.headers)[::-1],
        hop=None,
    )


def routes_of(headers: Headers) -> tuple[str, ...]:
    """Record-Route values in wire order. SipParseError: one of them is no SIP address."""
    lines = headers.all("Record-Route")
    routes = tuple(value for line in lines for value in split_commas(line))
    for route in routes:
        NameAddr.parse(route).target()
    return routes


def contact_uri(headers: Headers) -> str | None:
    """The URI of the first Contact; None if there is none that can serve as a target."""
    value = headers.get("Contact")
    if value is None or value.strip() == "*":
        return None
    return bracketed(value) or address_uri(value)


def address_uri(value: str) -> str:
    """The URI of a name-addr or addr-spec, the first of a list. SipParseError: there is none."""
    found = bracketed(value)
    if found is not None:
        return found
    return NameAddr.parse(next(iter(split_commas(value)), "")).uri


def request_uri_of(uri: str) -> str:
    """``uri`` without what a Request-URI may not hold: method parameter, headers (19.1.1)."""
    base, *params = uri.partition("?")[0].split(";")
    return ";".join([base, *(p for p in params if not p.lower().startswith("method="))])

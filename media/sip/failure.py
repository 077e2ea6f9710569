"""Messages that did not get away (RFC 3261 8.1.3.1, 17.1.4, 18.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from .edge import Flow, SendFailure
from .fields import quote
from .message import Headers, Request, Response, parse
from .ways import Ways

UNDELIVERED_REASON = "SIP;cause=503;text="
"""Begins the Reason header of an `Undelivered`; its words follow as a quoted string."""

_COPIED = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})


class Undelivered(Response):
    """The 503 that stands for a failure of our own transport; no peer has sent it."""

    __slots__ = ()


def failed_response(data: bytes, failure: SendFailure) -> Undelivered:
    """What the user of a client transaction gets whose request, ``data``, did not get away."""
    request = parse(data)
    headers = Headers([line for line in request.headers if line[0] in _COPIED])
    headers.add("Reason", UNDELIVERED_REASON + quote(failure.text))
    return Undelivered(
        headers,
        status=503,
        reason="Service Unavailable",
        call_id=request.call_id,
        cseq=request.cseq,
        cseq_method=request.cseq_method,
        from_tag=request.from_tag,
        to_tag=request.to_tag,
        branch=request.branch,
        sent_by=request.sent_by,
    )


@dataclass(frozen=True, slots=True)
class Datagram:
    """A request that is too large for UDP, as it was before it went by TCP: it goes by UDP all the
    same if nobody takes TCP there (RFC 3261 18.1.1)."""

    request: Request
    via: str
    flow: Flow

    def restore(self) -> bytes:
        """Name UDP in the request again; its bytes."""
        self.request.headers.replace_first("Via", self.via)
        return self.request.to_bytes()


def by_stream(request: Request, flow: Flow, ways: Ways) -> tuple[Flow, Datagram | None]:
    """Name TCP in a large request, if we have it; the flow that it takes, and what it was."""
    stream = ways.by_stream(flow)
    if stream is None:
        return flow, None
    datagram = Datagram(request, request.headers.get("Via") or "", flow)
    request.headers.replace_first("Via", ways.via(stream, request.branch))
    return stream, datagram

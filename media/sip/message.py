"""SIP messages (RFC 3261 section 7): requests, responses, headers; reading and writing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._core import (
    Headers,
    answer_lines,
    canonical_header_name,
    render_lines,
    scan_message,
    stamp_via_value,
)
from .reject import SipParseError, SipReject

if TYPE_CHECKING:
    from .._core import ScannedMessage

__all__ = [
    "REASON_PHRASES",
    "Headers",
    "Message",
    "Request",
    "Response",
    "SipParseError",
    "SipReject",
    "canonical_header_name",
    "parse",
    "response_bytes",
    "stamp_via",
]


@dataclass(slots=True)
class Message:
    """What requests and responses share. The fields below the body are read off the headers once.

    ``branch`` and ``sent_by`` are those of the topmost Via; ``sent_by`` is ``host:port`` in lower
    case with the default port filled in. ``from_tag`` and ``to_tag`` are None where absent.
    """

    headers: Headers
    body: bytes = field(default=b"", kw_only=True)
    call_id: str = field(default="", kw_only=True)
    cseq: int = field(default=0, kw_only=True)
    cseq_method: str = field(default="", kw_only=True)
    from_tag: str | None = field(default=None, kw_only=True)
    to_tag: str | None = field(default=None, kw_only=True)
    branch: str = field(default="", kw_only=True)
    sent_by: str = field(default="", kw_only=True)

    def start_line(self) -> str:
        """The first line, without its CRLF."""
        raise AssertionError("a message is a Request or a Response")

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is always written, once, and right.

        ValueError: a line break in the start line or a header.
        """
        return self.headers.render(self.start_line(), self.body)


@dataclass(slots=True)
class Request(Message):
    """A SIP request. ``uri`` is the Request-URI as on the wire."""

    method: str = field(kw_only=True)
    uri: str = field(kw_only=True)

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(slots=True)
class Response(Message):
    """A SIP response. ``reason`` may be empty (RFC 3261 section 25.1)."""

    status: int = field(kw_only=True)
    reason: str = field(kw_only=True)

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


# What a response copies from a request (RFC 3261 section 8.2.6.2), in the request's order.
_COPIED = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})
# RFC 3261 section 12.1.1: with a response that makes a dialog, the route set as well.
_COPIED_TO_DIALOG = _COPIED | {"Record-Route"}
# RFC 3261 section 8.2.6.1: only 100 (Trying) carries it back.
_COPIED_TO_TRYING = _COPIED | {"Timestamp"}
_MAKES_DIALOG = frozenset({"INVITE", "SUBSCRIBE", "REFER"})


def parse(data: bytes) -> Request | Response:
    """Read one message from a datagram of up to 65,535 bytes.

    Bytes behind Content-Length are dropped (RFC 3261 section 18.3). SipParseError, and nothing
    else, for whatever is no SIP message; it says whether and what to answer.
    """
    scanned = scan_message(data)
    if scanned[0]:
        raise _parse_error(scanned)
    return _build(scanned, Headers.adopt(scanned[6]))


def _build(scanned: ScannedMessage, headers: Headers) -> Request | Response:
    _, _, method, uri, status, reason, _, body, call_id, cseq, cseq_method = scanned[:11]
    from_tag, to_tag, branch, sent_by = scanned[11:]
    if method is None:
        return Response(
            headers,
            status=status,
            reason=reason,
            body=body,
            call_id=call_id,
            cseq=cseq,
            cseq_method=cseq_method,
            from_tag=from_tag,
            to_tag=to_tag,
            branch=branch,
            sent_by=sent_by,
        )
    return Request(
        headers,
        method=method,
        uri=uri,
        body=body,
        call_id=call_id,
        cseq=cseq,
        cseq_method=cseq_method,
        from_tag=from_tag,
        to_tag=to_tag,
        branch=branch,
        sent_by=sent_by,
    )


def _parse_error(scanned: ScannedMessage) -> SipParseError:
    reason = SipReject(scanned[0])
    if not scanned[1]:
        return SipParseError(reason)
    partial = _build(scanned, Headers.adopt(list(_answerable_lines(scanned[6]))))
    assert isinstance(partial, Request)  # the scanner answers requests only
    return SipParseError(reason, scanned[1], partial)


def _answerable_lines(lines: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What an answer to a refused request copies: every Via, and the first of all others."""
    seen: set[str] = set()
    for line in lines:
        name = line[0]
        if name in _COPIED and (name == "Via" or name not in seen):
            seen.add(name)
            yield line


def stamp_via(request: Request, host: str, port: int) -> int:
    """Note in the topmost Via where a request came from; call it once, on arrival.

    ``host`` is the numeric source address without brackets. Adds ``received`` (RFC 3261 section
    18.2.1) and fills ``rport`` in (RFC 3581 section 4), in the place of what the peer put there.
    Returns the port that responses go to (section 18.2.2); their host is ``host``. An ``maddr`` is
    not followed: it serves multicast, and would let a peer aim our responses at others.
    """
    via = request.headers.get("Via")
    if via is None:
        raise ValueError("a request without Via")
    stamped, reply_port = stamp_via_value(via, host, port)
    if stamped is not via:
        request.headers.replace_first("Via", stamped)
    return reply_port


def response_bytes(
    request: Request,
    status: int,
    reason: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    to_tag: str | None = None,
) -> bytes:
    """A response to ``request`` as it goes on the wire (RFC 3261 section 8.2.6): its Via, From, To,
    Call-ID and CSeq, then ``headers``.

    ``reason`` defaults to the standard phrase. ``to_tag`` is added to To where the request had none
    and the response is not 100. Record-Route is copied into responses that may make a dialog.
    ValueError: a line break in one of the headers.
    """
    phrase = REASON_PHRASES.get(status, "") if reason is None else reason
    wanted = _COPIED
    if status == 100:
        wanted = _COPIED_TO_TRYING
    elif status < 300 and request.to_tag is None and request.method in _MAKES_DIALOG:
        wanted = _COPIED_TO_DIALOG
    tag = to_tag if request.to_tag is None and status != 100 else None
    lines = answer_lines(request.headers, wanted, tag, headers)
    return render_lines(f"SIP/2.0 {status} {phrase}", lines, body)


REASON_PHRASES: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}
"""Reason phrases of the IANA registry of SIP response codes."""

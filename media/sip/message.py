"""SIP messages (RFC 3261 section 7): requests, responses, headers; reading and writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from .._core import (
    Headers,
    Message,
    Request,
    Response,
    answer,
    canonical_header_name,
    header_ids,
    read_message,
    stamp_via,
)
from .reject import SipParseError, SipReject

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

# What a response copies from a request (RFC 3261 section 8.2.6.2), in the request's order.
_COPIED = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})
_COPIED_IDS = header_ids(_COPIED)
# RFC 3261 section 12.1.1: with a response that makes a dialog, the route set as well.
_COPIED_TO_DIALOG = header_ids(_COPIED | {"Record-Route"})
# RFC 3261 section 8.2.6.1: only 100 (Trying) carries it back.
_COPIED_TO_TRYING = header_ids(_COPIED | {"Timestamp"})
_MAKES_DIALOG = frozenset({"INVITE", "SUBSCRIBE", "REFER"})


def _refusal(reject: int, status: int, found: Request | None) -> SipParseError:
    if found is None:
        return SipParseError(SipReject(reject))
    found.headers = Headers.adopt(list(_answerable_lines(found.headers)))
    return SipParseError(SipReject(reject), status, found)


def _answerable_lines(lines: Headers) -> Iterator[tuple[str, str]]:
    """What an answer to a refused request copies: every Via, and the first of all others."""
    seen: set[str] = set()
    for line in lines:
        name = line[0]
        if name in _COPIED and (name == "Via" or name not in seen):
            seen.add(name)
            yield line


parse: Callable[[bytes], Request | Response] = partial(read_message, _refusal)
"""Read one message from a datagram of up to 65,535 bytes.

Bytes behind Content-Length are dropped (RFC 3261 section 18.3). SipParseError, and nothing
else, for whatever is no SIP message; it says whether and what to answer.
"""


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
    unknown = request.to_tag is None
    wanted = _COPIED_IDS
    if status == 100:
        wanted = _COPIED_TO_TRYING
    elif status < 300 and unknown and request.method in _MAKES_DIALOG:
        wanted = _COPIED_TO_DIALOG
    tag = to_tag if unknown and status != 100 else None
    return answer(request.headers, f"SIP/2.0 {status} {phrase}", wanted, tag, headers, body)


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

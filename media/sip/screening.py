"""Is a request one that we can serve? The checks of RFC 3261 8.2.1 to 8.2.3, in their order."""

from __future__ import annotations

from dataclasses import dataclass

from .counters import Count
from .fields import media_type, split_commas
from .info import ACCEPT as INFO_ACCEPT
from .message import Request, SipParseError
from .ways import TLS, is_secure

SDP = "application/sdp"
ACCEPTED = f"{SDP}, multipart/mixed"
"""Bodies that may describe a session: alone, or among others (`multipart`)."""
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER, NOTIFY, PRACK, UPDATE"
SUPPORTED = "replaces, norefersub, 100rel, timer, 199"
SERVED = frozenset(ALLOW.split(", "))
ABILITIES = (("Allow", ALLOW), ("Supported", SUPPORTED))
_EXTENSIONS = frozenset(SUPPORTED.split(", "))
_WITHIN_DIALOGS = frozenset({"BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"})
_DESCRIBED = frozenset({"INVITE", "PRACK", "UPDATE"})
"""Methods whose body is a session description."""
_SDP_RANGES = frozenset({SDP, "application/*", "*/*"})


@dataclass(frozen=True, slots=True)
class Rejection:
    """How to answer a request that we cannot serve, and why."""

    status: int
    count: Count
    headers: tuple[tuple[str, str], ...] = ()


METHOD = Rejection(405, Count.REJECTED_METHOD, (("Allow", ALLOW),))
NO_DIALOG = Rejection(481, Count.REJECTED_NO_DIALOG)
MERGED = Rejection(482, Count.REJECTED_MERGED)
BAD_REQUEST = Rejection(400, Count.REJECTED_BAD_REQUEST)
OUT_OF_ORDER = Rejection(500, Count.REJECTED_CSEQ)
NO_RACK = Rejection(481, Count.REJECTED_RACK)
GLARE = Rejection(491, Count.REJECTED_GLARE)
_SCHEME = Rejection(416, Count.REJECTED_URI_SCHEME)
_TOO_LARGE = Rejection(513, Count.REJECTED_TOO_LARGE)
_MEDIA_TYPE = Rejection(415, Count.REJECTED_MEDIA_TYPE, (("Accept", ACCEPTED),))
_ENCODING = Rejection(415, Count.REJECTED_MEDIA_TYPE, (("Accept-Encoding", "identity"),))
INFO_TYPE = Rejection(415, Count.REJECTED_MEDIA_TYPE, (("Accept", INFO_ACCEPT),))
_ACCEPT = Rejection(488, Count.REJECTED_ACCEPT)
_STRANGER = Rejection(403, Count.REJECTED_REFER)


def screen_request(
    request: Request, max_body_bytes: int, transport: str = "UDP"
) -> Rejection | None:
    """Check a request outside of dialogs that came by ``transport``; None if it can be served."""
    if request.method not in SERVED:
        return METHOD
    if request.method in _WITHIN_DIALOGS:
        return NO_DIALOG
    if request.method == "REFER":
        return _STRANGER  # we call for those only with whom we talk
    if request.uri[:4].lower() != "sip:" and not (transport == TLS and is_secure(request.uri)):
        return _SCHEME  # RFC 3261 8.2.2.1
    return screen_content(request, max_body_bytes)


def screen_content(request: Request, max_body_bytes: int) -> Rejection | None:
    """Check what holds within dialogs too: extensions, and the body of an INVITE or UPDATE."""
    headers = request.headers
    required = headers.all("Require")
    rejection = _unsupported(required) if required else None
    if rejection is not None:
        return rejection
    if len(request.body) > max_body_bytes:
        return _TOO_LARGE
    if request.method not in _DESCRIBED:
        return None
    if request.body:
        # RFC 3261 8.2.3.
        described = headers.get("Content-Type") or ""
        if described != SDP and media_type(described) != SDP:
            return _MEDIA_TYPE
        if (headers.get("Content-Encoding") or "identity").lower() != "identity":
            return _ENCODING
    accepted = headers.all("Accept")
    return _screen_accept(accepted) if accepted else None


def _unsupported(required: list[str]) -> Rejection | None:
    # RFC 3261 8.2.2.3: an answer names those that we do not know.
    names = [name.strip() for line in required for name in line.split(",")]
    unknown = ", ".join(name for name in names if name and name.lower() not in _EXTENSIONS)
    lines = (("Unsupported", unknown),)
    return Rejection(420, Count.REJECTED_EXTENSION, lines) if unknown else None


def _screen_accept(lines: list[str]) -> Rejection | None:
    try:
        items = (item for line in lines for item in split_commas(line))
        return None if any(media_type(item) in _SDP_RANGES for item in items) else _ACCEPT
    except SipParseError:
        return BAD_REQUEST

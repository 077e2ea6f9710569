"""Digits in INFO requests: bodies that gateways have long sent, though no RFC has them."""

from __future__ import annotations

from typing import NamedTuple

from .fields import media_type
from .message import Request

DTMF_RELAY = "application/dtmf-relay"
DTMF = "application/dtmf"
ACCEPT = f"{DTMF_RELAY}, {DTMF}"
MAX_BODY_BYTES = 256
MAX_DURATION_MS = 60_000
USUAL_DURATION_MS = 100

_SYMBOLS = frozenset("0123456789*#ABCD")
# Some senders write the event codes of RFC 4733 in place of the keys.
_CODES = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


class InfoDigit(NamedTuple):
    """A key that was pressed, and for how long, as the sender says."""

    symbol: str
    duration_ms: int


def is_digit_info(request: Request) -> bool:
    """True if the body is of a type that can hold a digit."""
    return _type_of(request) in (DTMF_RELAY, DTMF)


def read_digit(request: Request) -> InfoDigit | None:
    """The digit of an INFO for which :func:`is_digit_info` holds; None if there is none in it."""
    if len(request.body) > MAX_BODY_BYTES:
        return None
    text = request.body.decode("latin-1")
    if _type_of(request) == DTMF:
        return _digit(text, "")
    fields: dict[str, str] = {}
    for line in text.replace("\r", "\n").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            fields.setdefault(name.strip().lower(), value)
    return _digit(fields.get("signal", ""), fields.get("duration", ""))


def _type_of(request: Request) -> str:
    return media_type(request.headers.get("Content-Type") or "")


def _digit(signal: str, duration: str) -> InfoDigit | None:
    signal = signal.strip().upper()
    symbol = _CODES.get(signal, signal)
    if symbol not in _SYMBOLS:
        return None
    duration = duration.strip()
    if not (duration.isascii() and duration.isdigit()) or len(duration) > 6:
        return InfoDigit(symbol, USUAL_DURATION_MS)
    return InfoDigit(symbol, min(int(duration), MAX_DURATION_MS))

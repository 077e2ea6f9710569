"""How many SIP messages of which kind went by, both ways."""

from __future__ import annotations

from .edge import Flow

METHODS = frozenset(
    {
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO",
        "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH",
    }
)  # fmt: skip
OTHER = b"other"
MAX_KINDS = 700
"""There are 600 statuses, and few methods; each of these may be known by several beginnings."""

_RESPONSE = b"SIP/2.0"
_START_BYTES = len(_RESPONSE)


class Traffic:
    """Counts requests by method and responses by status; what is neither counts as ``other``.

    It is a `MessageObserver`. However hostile the messages, there are few counters.
    """

    def __init__(self) -> None:
        # By the first bytes of a request, or by the status of a response: no more is looked at.
        self._counts: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})

    def __call__(self, sent: bool, flow: Flow, data: bytes, time_s: float) -> None:
        """Count a message."""
        start = data[:_START_BYTES]
        if start == _RESPONSE:
            start = data[8:11]
        try:
            self._counts[sent][start] += 1
        except KeyError:
            counts = self._counts[sent]
            kept = start if kind_of(start) != OTHER and len(counts) < MAX_KINDS else OTHER
            counts[kept] = counts.get(kept, 0) + 1

    def requests(self, *, sent: bool) -> dict[str, int]:
        """Requests by method."""
        return self._by_kind(sent, responses=False)

    def responses(self, *, sent: bool) -> dict[str, int]:
        """Responses by status."""
        return self._by_kind(sent, responses=True)

    def _by_kind(self, sent: bool, *, responses: bool) -> dict[str, int]:
        found: dict[str, int] = {}
        for start, count in self._counts[sent].items():
            if start.isdigit() is responses:
                kind = kind_of(start).decode()
                found[kind] = found.get(kind, 0) + count
        return found


def kind_of(start: bytes) -> bytes:
    """The method that a request begins with, or a status; ``other`` for what is neither."""
    if start.isdigit():
        return start if len(start) == 3 and 100 <= int(start) < 700 else OTHER
    return _METHODS.get(start) or _METHODS.get(start.partition(b" ")[0]) or OTHER


_METHODS = {method[:_START_BYTES].encode(): method.encode() for method in METHODS}

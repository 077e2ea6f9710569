"""How many SIP messages of which kind went by, both ways."""

from __future__ import annotations

from .edge import Flow

METHODS = frozenset(
    {
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO",
        "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH",
    }
)  # fmt: skip
OTHER = "other"
LONGEST_METHOD = 9


class Traffic:
    """Counts requests by method and responses by status; what is neither counts as ``other``.

    It is a `MessageObserver`. However hostile the messages, there are few counters.
    """

    def __init__(self) -> None:
        self._requests: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
        self._responses: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})

    def __call__(self, sent: bool, flow: Flow, data: bytes, time_s: float) -> None:
        """Count a message."""
        if data[:8] == b"SIP/2.0 ":
            counts, kind = self._responses[sent], data[8:11]
        else:
            counts, kind = self._requests[sent], data[: LONGEST_METHOD + 1].partition(b" ")[0]
        try:
            counts[kind] += 1
        except KeyError:
            kind = kind if _known(kind) else OTHER.encode()
            counts[kind] = counts.get(kind, 0) + 1

    def requests(self, *, sent: bool) -> dict[str, int]:
        """Requests by method."""
        return {kind.decode(): count for kind, count in self._requests[sent].items()}

    def responses(self, *, sent: bool) -> dict[str, int]:
        """Responses by status."""
        return {kind.decode(): count for kind, count in self._responses[sent].items()}


def _known(kind: bytes) -> bool:
    if kind.isdigit():
        return len(kind) == 3 and 100 <= int(kind) < 700
    return kind.decode("ascii", "replace") in METHODS

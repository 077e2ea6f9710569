"""What the sans-I/O SIP layers ask of the world: a way to send, and timers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from, or goes to: a remote address by way of one of our listeners.

    ``remote_host`` is a numeric IPv4 or IPv6 address without brackets; ``listener`` is the index of
    the local transport in the order in which the listeners were configured; ``transport`` is
    ``UDP``, ``TCP`` or ``TLS``. Over TLS, ``name`` is who the certificate of the peer must be made
    out to, if that is not ``remote_host``.

    ``alias`` is the address that the peer calls its own: requests for that one take this flow, and
    where the flow is a connection that is gone, a new one goes there. ``peer_name`` is who its
    certificate must be made out to then, where ``name`` does not say.
    """

    remote_host: str
    remote_port: int
    listener: int = 0
    transport: str = "UDP"
    name: str = ""
    alias: tuple[str, int] | None = field(default=None, compare=False)
    peer_name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SendFailure:
    """Why a message was not delivered; ``unconnected``: there was no connection to send it by."""

    text: str
    unconnected: bool = False


class Sender(Protocol):
    """Puts one message on the wire, or counts why it could not. Never raises.

    Over TCP and TLS, what becomes of a message may be known later: `MessageTaker.undelivered`.
    """

    def __call__(self, data: bytes, flow: Flow) -> None: ...


class MessageObserver(Protocol):
    """Sees every message at the edge, as it went or came, at ``time_s`` seconds since 1970. Quick,
    and never raises."""

    def __call__(self, sent: bool, flow: Flow, data: bytes, time_s: float) -> None: ...


class TimerHandle(Protocol):
    """An armed timer."""

    def cancel(self) -> bool: ...


class Timers(Protocol):
    """The C timer wheel (`ringwheel.media._core.TimerWheel`), or any stand-in of the same shape."""

    @property
    def now_ms(self) -> int: ...

    def arm(self, delay_ms: int, callback: Callable[[], object]) -> TimerHandle: ...

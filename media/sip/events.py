"""What the user agent tells its user: the callbacks, and the values that they carry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .info import InfoDigit
    from .message import Response
    from .refer import Referral
    from .session import SipCall


class EndedBy(Enum):
    """Who ended a call."""

    LOCAL = "local"
    REMOTE = "remote"
    ERROR = "error"

    __hash__ = object.__hash__  # there is one of each; that of `Enum` is a call in Python


@dataclass(frozen=True, slots=True)
class EndCause:
    """Why a call ended.

    ``status`` is the SIP status that says it best (200 for an ordinary BYE) and ``reason`` its
    phrase; ``text`` is the Reason header (RFC 3326) that came or went with it, or ours, or empty.
    ``contacts`` are the targets of a 3xx, best first; ``retry_after_s`` is when the peer says that
    it is worth another try.
    """

    by: EndedBy
    status: int
    reason: str
    text: str = ""
    contacts: tuple[str, ...] = ()
    retry_after_s: int | None = None


class Refuse(Exception):
    """Raised by a handler, or by ``dial``: the offer or call is refused with this status."""

    def __init__(self, status: int, reason: str = "", text: str = "") -> None:
        super().__init__(f"{status} {reason}".rstrip())
        self.status = status
        self.reason = reason
        self.text = text


class CallStateError(Exception):
    """The call cannot do that in its present state (a mistake of the caller, not of the peer)."""


class CallHandler(Protocol):
    """Callbacks of the user agent, called synchronously; each may call methods of the call.

    An exception out of one is logged and counted, and never reaches the protocol; out of
    ``on_invite`` and ``on_offer`` it costs the request a 500.
    """

    def on_invite(self, call: SipCall) -> None:
        """A call came in. Once a call. ``call.remote_sdp`` is its offer, or None."""

    def on_ringing(self, call: SipCall, response: Response) -> None:
        """A call of ours got a provisional response other than 100. Any number of times."""

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        """A call of ours was answered and the ACK is sent. Once a call."""

    def on_ack(self, call: SipCall, sdp: bytes | None) -> None:
        """Our answer was acknowledged: once for a call that came in, with the peer's answer if our
        200 made the offer; again for each re-INVITE in which our 200 made the offer."""

    def on_offer(self, call: SipCall, sdp: bytes | None) -> bytes:
        """The peer offers a change (then return our answer), or our offer is wanted (``sdp`` None),
        because the peer asks for it or to refresh the session as it stands.

        May raise :class:`Refuse`; the session then goes on as it was.
        """

    def on_answer(self, call: SipCall, sdp: bytes) -> None:
        """The peer answers an offer of ours, by PRACK to that of a provisional response, or in the
        2xx to what ``on_offer`` gave for the refresh of a session."""

    def on_info_digit(self, call: SipCall, digit: InfoDigit) -> None:
        """The peer says by INFO that a key was pressed."""

    def on_reinvited(self, call: SipCall, status: int, sdp: bytes | None) -> None:
        """How our re-INVITE or UPDATE ended: once for each ``reinvite`` and ``update`` unless the
        call ends before."""

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        """The call is over. Exactly once for each call that was announced or dialled."""


class TransferHandler(Protocol):
    """Callbacks about transfers; what goes for those of `CallHandler` goes for them."""

    def on_refer(self, call: SipCall, referral: Referral) -> None:
        """The peer asks us to call somebody: ``referral`` wants to be accepted or refused."""

    def on_replaces(self, call: SipCall, replaced: SipCall) -> None:
        """A call came in that takes the place of ``replaced`` (RFC 3891), in the place of
        ``on_invite``: accept it and hang the other one up, or reject it."""


HeaderLines = Iterable[tuple[str, str]]

"""Transfer by REFER (RFC 3515): asking a peer to call somebody, and being asked.

Both roles are one request and the subscription that comes with it, whose NOTIFYs tell how the call
to the third party goes. A call has at most one of each at a time. They outlive the call: who is
transferred may hang up first, and still tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog
from .edge import TimerHandle
from .events import CallStateError, EndCause, EndedBy
from .fields import get_param, media_type, parse_params
from .message import REASON_PHRASES, Request, Response, SipParseError
from .replaces import ReferTo
from .screening import BAD_REQUEST, GLARE, NO_DIALOG, Rejection
from .transaction import ServerTransaction

if TYPE_CHECKING:
    from .session import SipCall

MAX_REFERS = 10_000
"""Subscriptions of a user agent, both roles together."""

DECISION_MS = 10_000
"""How long the user may think about a REFER: it has no provisional answers (RFC 4320)."""

SUBSCRIPTION_MS = 180_000
"""How long a peer that asked for a transfer is told about it."""

MAX_SIPFRAG_BYTES = 8_192
MAX_ID_DIGITS = 10
"""Those of a CSeq number."""

_SIPFRAG = "message/sipfrag"
_EVENT = Rejection(489, Count.REJECTED_EVENT, (("Allow-Events", "refer"),))
_FRAGMENT_TYPE = Rejection(415, Count.REJECTED_MEDIA_TYPE, (("Accept", _SIPFRAG),))
_TOO_MANY = Rejection(503, Count.REJECTED_REFER, (("Retry-After", "10"),))


@dataclass(frozen=True, slots=True)
class Progress:
    """How the call to the third party stands: a SIP status and its phrase."""

    status: int
    reason: str

    @property
    def final(self) -> bool:
        """True once the third party has answered, one way or the other."""
        return self.status >= 200

    @classmethod
    def parse(cls, body: bytes) -> Progress:
        """Read the status line of a message/sipfrag body (RFC 3420). ValueError: there is none."""
        line = (
            body[:MAX_SIPFRAG_BYTES].partition(b"\n")[0].decode("utf-8", "surrogateescape").strip()
        )
        version, _, rest = line.partition(" ")
        digits, _, reason = rest.strip().partition(" ")
        if version.upper() != "SIP/2.0" or not (digits.isascii() and digits.isdigit()):
            raise ValueError("no status line")
        if len(digits) != 3 or digits < "100" or digits > "699":
            raise ValueError("no SIP status")
        return cls(int(digits), reason.strip())

    def fragment(self) -> bytes:
        """The body that tells it."""
        line = f"SIP/2.0 {self.status} {self.reason}".rstrip()
        return line.encode("utf-8", "surrogateescape") + b"\r\n"


class ReferEnd(Enum):
    """How a REFER of ours came to its end."""

    TOLD = auto()  # the peer has told how its call ended
    REFUSED = auto()  # the peer will not do it
    UNTOLD = auto()  # the peer has taken it, and says no more (RFC 4488), or hung up
    LOST = auto()  # no word in time, or the call ended before there was one


@dataclass(frozen=True, slots=True)
class ReferOutcome:
    """The end of a REFER of ours, and the SIP status that says it best."""

    end: ReferEnd
    status: int
    reason: str


class Refers:
    """The transfers of one call: what it has asked for, and what it was asked."""

    __slots__ = ("_call", "_count", "asked", "asking")

    def __init__(self, call: SipCall) -> None:
        self._call = call
        self._count = 0
        self.asking: Referring | None = None
        self.asked: Referral | None = None

    @classmethod
    def of(cls, call: SipCall) -> Refers:
        """Those of ``call``, made when they are needed first."""
        if call.refers is None:
            call.refers = cls(call)
        return call.refers

    def ask(
        self,
        refer_to: ReferTo,
        *,
        timeout_ms: int,
        on_progress: Callable[[Progress], object],
        on_outcome: Callable[[ReferOutcome], object],
    ) -> None:
        """Send a REFER; ends in ``on_outcome``, once, ``timeout_ms`` from now at the latest.

        CallStateError: the call is not confirmed, or another transfer is under way. SipParseError:
        the URI is malformed.
        """
        call, value = self._call, str(refer_to)
        busy = self.asking is not None and not self.asking.done
        if busy or call.dialog is None or not call.confirmed:
            raise CallStateError("another transfer of this call is still under way")
        if len(call.agent.refers) >= MAX_REFERS:
            raise CallStateError(f"{MAX_REFERS} transfers are under way already")
        self.forget()
        self.asking = Referring(call, call.dialog, timeout_ms, on_progress, on_outcome)
        self.asking.send(value)

    def on_request(self, transaction: ServerTransaction, request: Request) -> None:
        """A REFER or NOTIFY in the call's dialog."""
        if not self._call.agent.acceptable(transaction, request):
            return
        if request.method == "REFER":
            self._on_refer(transaction, request)
        else:
            self._on_notify(transaction, request)

    @property
    def awaits_notify(self) -> bool:
        """True while a NOTIFY is due though the call may be over."""
        return self.asking is not None and not self.asking.done

    def on_call_ended(self, cause: EndCause) -> None:
        """The call is over; what was told or asked in it may go on a little."""
        if self.asking is not None:
            self.asking.on_call_ended(cause)
        self.rest()

    def rest(self) -> None:
        """Part from a call that is over once nothing is asked or told any more, so that it is freed
        without the collector."""
        told = self.asked is None or self.asked.over
        if self._call.ended and told and not self.awaits_notify:
            self._call.refers = None

    def forget(self) -> None:
        """Nobody waits for the outcome of our REFER any more."""
        if self.asking is not None:
            self.asking.stop()
            self.asking = None

    def _on_refer(self, transaction: ServerTransaction, request: Request) -> None:
        call, agent = self._call, self._call.agent
        try:
            refer_to = ReferTo.of(request)
        except SipParseError as error:
            rejection = Rejection(error.status or 400, Count.REJECTED_REFER)
            agent.reject(transaction, request, rejection)
            return
        if not call.confirmed or (self.asked is not None and not self.asked.over):
            agent.reject(transaction, request, GLARE)
        elif len(agent.refers) >= MAX_REFERS:
            agent.reject(transaction, request, _TOO_MANY)
        else:
            self._count += 1
            self.asked = Referral(call, transaction, request, refer_to, again=self._count > 1)
            agent.counters.add(Count.REFERS_RECEIVED)
            self._tell_user(self.asked)

    def _tell_user(self, referral: Referral) -> None:
        agent = self._call.agent
        try:
            agent.transfers.on_refer(self._call, referral)
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            agent.handler_failed("on_refer")
            referral.reject(500)

    def _on_notify(self, transaction: ServerTransaction, request: Request) -> None:
        agent = self._call.agent
        event, semicolon, rest = (request.headers.get("Event") or "").partition(";")
        if event.strip().lower() != "refer":
            agent.reject(transaction, request, _EVENT)  # RFC 6665 4.1.3
            return
        try:
            number = get_param(parse_params(semicolon + rest), "id")
        except SipParseError:
            agent.reject(transaction, request, BAD_REQUEST)
            return
        if self.asking is None or not self.asking.is_meant(number):
            agent.reject(transaction, request, NO_DIALOG)
        else:
            self.asking.on_notify(transaction, request)


class Referring:
    """A REFER of ours: the user of its transaction, and the subscription that it makes."""

    __slots__ = (
        "_accepted",
        "_call",
        "_dialog",
        "_lingers",
        "_on_outcome",
        "_on_progress",
        "_timer",
        "cseq",
        "done",
    )

    def __init__(
        self,
        call: SipCall,
        dialog: Dialog,
        timeout_ms: int,
        on_progress: Callable[[Progress], object],
        on_outcome: Callable[[ReferOutcome], object],
    ) -> None:
        self._call = call
        self._dialog = dialog
        self._on_progress = on_progress
        self._on_outcome = on_outcome
        self._accepted: Progress | None = None
        self._lingers = False
        self._timer: TimerHandle | None = call.agent.timers.arm(timeout_ms, self._on_late)
        self.cseq = 0
        self.done = False

    def send(self, refer_to: str) -> None:
        """Ask for it."""
        agent, call = self._call.agent, self._call
        agent.refers.add(self)
        agent.counters.add(Count.REFERS_SENT)
        lines = [
            ("Contact", agent.contact(call.flow, self._dialog.remote_target)),
            ("Refer-To", refer_to),
            # RFC 3892: who it is that asks.
            ("Referred-By", f"<{call.local_uri}>"),
        ]
        self.cseq = agent.send_in_dialog("REFER", self._dialog, call.flow, self, headers=lines)

    # The user of the REFER transaction

    def on_response(self, response: Response) -> None:
        """The peer's answer to the REFER."""
        self.cseq = response.cseq  # another one where credentials were asked for
        if response.status < 200 or self.done:
            return  # or the NOTIFY with the outcome has overtaken it
        if response.status >= 300:
            self._finish(ReferEnd.REFUSED, response.status, response.reason)
            if response.status in (408, 481):
                self._lost(response.status, response.reason)
        elif (response.headers.get("Refer-Sub") or "").strip().lower() == "false":
            # RFC 4488: it will do it, and not tell.
            self._finish(ReferEnd.UNTOLD, response.status, response.reason)
        else:
            self._accepted = Progress(response.status, response.reason)

    def on_timeout(self) -> None:
        """Nobody answered the REFER."""
        if not self.done:
            self._finish(ReferEnd.LOST, 408, "Request Timeout")
        self._lost(408, "Request Timeout")

    def _lost(self, status: int, reason: str) -> None:
        """The peer knows nothing of the call any more (RFC 3261 12.2.1.2)."""
        self._call.change_fatal(status, reason, "REFER failed")

    # The subscription

    def is_meant(self, number: str | None) -> bool:
        """RFC 3515 2.4.6: the id is the CSeq of the REFER, and may be missing for the first. Which
        one that was, after a challenge, is told by an answer that a NOTIFY may overtake."""
        if number is None:
            return True
        if not (number.isascii() and number.isdigit()) or len(number) > MAX_ID_DIGITS:
            return False
        latest = self.cseq if self._accepted or self.done else self._dialog.local_cseq
        return self.cseq <= int(number) <= latest

    def on_notify(self, transaction: ServerTransaction, request: Request) -> None:
        """How the peer's call stands."""
        agent, headers = self._call.agent, request.headers
        state = (headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
        progress = None
        if request.body:
            if media_type(headers.get("Content-Type") or "") != _SIPFRAG:
                agent.reject(transaction, request, _FRAGMENT_TYPE)
                return
            try:
                progress = Progress.parse(request.body)
            except ValueError:
                agent.reject(transaction, request, BAD_REQUEST)
                return
        if not state:
            agent.reject(transaction, request, BAD_REQUEST)  # RFC 6665 4.1.3: it has to be there
            return
        agent.respond(transaction, request, 200)
        self._take(progress, over=state == "terminated")

    def _take(self, progress: Progress | None, *, over: bool) -> None:
        if self.done:
            return
        if progress is not None:
            self._call.agent.tell(self._on_progress, progress)
        if progress is not None and progress.final:
            self._finish(ReferEnd.TOLD, progress.status, progress.reason)
        elif over and not self.done:
            self._finish(ReferEnd.LOST, 408, "the subscription ended without an outcome")

    def on_call_ended(self, cause: EndCause) -> None:
        """The call is over. Whom we have transferred may hang up first and tell afterwards."""
        if self.done:
            return
        if cause.by is not EndedBy.REMOTE or self._accepted is None:
            self._finish(ReferEnd.LOST, 487, "the call ended")
            return
        agent = self._call.agent
        agent.calls_by_dialog[self._dialog.key] = self._call
        self._lingers = True
        self._drop_timer()
        self._timer = agent.timers.arm(agent.config.timing.give_up_ms, self._on_late)

    def stop(self) -> None:
        """Nobody asks any more."""
        if not self.done:
            self._finish(ReferEnd.LOST, 487, "the call ended")

    def _on_late(self) -> None:
        self._timer = None
        if self._lingers and self._accepted is not None:
            self._finish(ReferEnd.UNTOLD, self._accepted.status, self._accepted.reason)
        else:
            self._finish(ReferEnd.LOST, 408, "no outcome in time")

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self, end: ReferEnd, status: int, reason: str) -> None:
        agent = self._call.agent
        self.done = True
        self._drop_timer()
        agent.refers.discard(self)
        if self._lingers:
            agent.calls_by_dialog.pop(self._dialog.key, None)
        phrase = reason or REASON_PHRASES.get(status, "")
        agent.tell(self._on_outcome, ReferOutcome(end, status, phrase))
        Refers.of(self._call).rest()


class Referral:
    """A REFER of the peer: it asks us to call ``target``. Undecided, it is refused after 10 s.

    ``replaces`` is the dialog there that the call is to take the place of, in an attended transfer;
    ``referred_by`` the Referred-By header (RFC 3892), None if there is none.
    """

    __slots__ = (
        "_call",
        "_dialog",
        "_event",
        "_last",
        "_next",
        "_notifying",
        "_request",
        "_silent",
        "_timer",
        "_transaction",
        "_when_told",
        "over",
        "referred_by",
        "replaces",
        "target",
    )

    def __init__(
        self,
        call: SipCall,
        transaction: ServerTransaction,
        request: Request,
        refer_to: ReferTo,
        *,
        again: bool,
    ) -> None:
        assert call.dialog is not None
        self._call = call
        self._dialog = call.dialog
        self._request = request
        self._transaction: ServerTransaction | None = transaction
        # RFC 3515 2.4.6: every REFER but the first in a dialog is named by its CSeq.
        self._event = f"refer;id={request.cseq}" if again else "refer"
        wanted = (request.headers.get("Refer-Sub") or "").strip().lower()
        self._silent = wanted == "false"  # RFC 4488
        self._last: Progress | None = None
        self._next: Progress | None = None
        self._notifying = False
        self._when_told: Callable[[], object] | None = None
        self._timer: TimerHandle | None = call.agent.timers.arm(DECISION_MS, self._on_undecided)
        self.over = False
        self.target = refer_to.uri
        self.replaces = refer_to.replaces
        self.referred_by = request.headers.get("Referred-By")
        call.agent.refers.add(self)

    @property
    def decided(self) -> bool:
        """True once it was accepted or refused."""
        return self._transaction is None

    def accept(self) -> bool:
        """Answer with 202, and tell the peer that the call is being tried; False: too late."""
        transaction, agent = self._transaction, self._call.agent
        if transaction is None:
            return False
        self._transaction = None
        self._drop_timer()
        lines = [("Contact", agent.contact(self._call.flow, self._dialog.remote_target))]
        if self._silent:
            lines.append(("Refer-Sub", "false"))
        agent.respond(transaction, self._request, 202, lines)
        self._timer = agent.timers.arm(SUBSCRIPTION_MS, self._on_expired)
        self.tell(Progress(100, "Trying"))
        return True

    def reject(self, status: int = 603, reason: str | None = None) -> bool:
        """Refuse it with 300 to 699; False: too late."""
        transaction = self._transaction
        if transaction is None:
            return False
        if not 300 <= status < 700:
            raise ValueError(f"{status} refuses nothing")
        self._transaction = None
        agent = self._call.agent
        agent.counters.add(Count.REJECTED_REFER)
        agent.respond(transaction, self._request, status, reason=reason)
        self._close()
        return True

    def tell(self, progress: Progress, when_told: Callable[[], object] | None = None) -> None:
        """Tell the peer how the call stands; a final status is the last one that it is told.

        ``when_told`` is called once the peer has heard the final one, or will not hear it.
        """
        self._when_told = when_told
        if progress.final and (self._silent or self.over):
            self._close()
        elif not (self._silent or self.over) and progress != self._last:
            self._next = progress
            self._send_next()

    def stop(self) -> None:
        """The user agent shuts down."""
        self._transaction = None
        self._close()

    # The user of the NOTIFY transactions, of which there is one at a time

    def on_response(self, response: Response) -> None:
        """The peer's answer to a NOTIFY."""
        if response.status < 200:
            return
        self._notifying = False
        if response.status >= 300 or (self._last is not None and self._last.final):
            self._close()  # RFC 6665 4.2.2: whoever refuses one wants no other
        elif not self.over:
            self._send_next()

    def on_timeout(self) -> None:
        """Nobody answered a NOTIFY: the same."""
        self._notifying = False
        self._close()

    def _send_next(self) -> None:
        if self._notifying or self._next is None:
            return
        self._last, self._next = self._next, None
        self._notifying = True
        left_s = SUBSCRIPTION_MS // 1_000
        state = "terminated;reason=noresource" if self._last.final else f"active;expires={left_s}"
        self._notify(state, self._last)

    def _notify(self, state: str, progress: Progress) -> None:
        agent, flow = self._call.agent, self._call.flow
        lines = [
            ("Contact", agent.contact(flow, self._dialog.remote_target)),
            ("Event", self._event),
            ("Subscription-State", state),
            ("Content-Type", f"{_SIPFRAG};version=2.0"),
        ]
        agent.send_in_dialog(
            "NOTIFY", self._dialog, flow, self, headers=lines, body=progress.fragment()
        )

    def _on_undecided(self) -> None:
        self._timer = None
        self.reject(603)

    def _on_expired(self) -> None:
        self._timer = None
        if self._last is not None and not self._last.final:
            self._notify("terminated;reason=timeout", self._last)
        self._close()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self.over = True
        self._next = None
        self._drop_timer()
        self._call.agent.refers.discard(self)
        when_told, self._when_told = self._when_told, None
        if when_told is not None:
            self._call.agent.tell(when_told)
        Refers.of(self._call).rest()


class Untransferable:
    """The handler of a user agent that takes part in no transfers."""

    def on_refer(self, call: SipCall, referral: Referral) -> None:
        """Refused: we call nobody because a peer says so."""
        referral.reject()

    def on_replaces(self, call: SipCall, replaced: SipCall) -> None:
        """Refused: nobody takes the place of another."""
        call.reject(603)

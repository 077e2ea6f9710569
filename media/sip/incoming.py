"""A call that came in: the UAS side of an INVITE (RFC 3261 section 13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, uas_dialog
from .edge import Flow
from .events import CallStateError, EndCause, EndedBy, HeaderLines
from .message import REASON_PHRASES, Request
from .reliable import Early, ReliableRinging, requires_reliable, supports_reliable
from .screening import ALLOW, BAD_REQUEST, GLARE, NO_RACK, SDP, Rejection
from .session import CallState, SipCall, reason_of
from .session_timer import Terms
from .transaction import ServerTransaction
from .update import answer_update

if TYPE_CHECKING:
    from .ua import UserAgent

PROGRESS_INTERVAL_MS = 60_000


class IncomingCall(SipCall):
    """States INCOMING, RINGING, ANSWERED, CONFIRMED, ENDED."""

    __slots__ = (
        "_answer",
        "_deadline_ms",
        "_provisional",
        "_reliable",
        "_terms",
        "_transaction",
        "reply_flow",
    )

    def __init__(
        self,
        agent: UserAgent,
        transaction: ServerTransaction,
        invite: Request,
        flow: Flow,
        terms: Terms | None = None,
    ) -> None:
        """``terms`` of a session timer go into the 2xx.

        SipParseError: Contact, From or Record-Route cannot be read.
        """
        local_tag = agent.new_token()
        dialog = uas_dialog(invite, local_tag)
        super().__init__(agent, local_tag, invite, flow, CallState.INCOMING)
        transaction.tag = local_tag
        transaction.owner = self
        self.dialog: Dialog = dialog
        self.remote_sdp = invite.body or None
        self._transaction: ServerTransaction | None = transaction
        self.reply_flow = transaction.flow
        self._provisional: tuple[int, bytes] | None = None
        self._reliable: ReliableRinging | None = None
        self._answer: tuple[bytes, HeaderLines] | None = None
        self._terms = terms
        self._deadline_ms = 0
        # RFC 3261 17.2.1: 100 only if nothing else goes out within 200 ms.
        self._timer = agent.timers.arm(agent.config.trying_ms, self._send_trying)

    def ring(
        self, status: int = 180, sdp: bytes | None = None, *, reliable: bool | None = None
    ) -> bool:
        if self.ended:
            return False
        self._open_transaction()
        if not 100 < status < 200:
            raise ValueError(f"{status} is no provisional response")
        surely = self._surely(sdp, reliable)
        if sdp is not None and not surely and not self.invite.body:
            raise CallStateError("the caller takes no offer in a provisional response")
        contact = self.agent.contact(self.flow, self.invite.uri)
        lines = (("Contact", contact), ("Allow", ALLOW))
        self.agent.calls_by_dialog[self.dialog.key] = self
        self.state = CallState.RINGING
        if surely:
            self._ring_reliably(status, lines, sdp or b"")
        else:
            described = (*lines, ("Content-Type", SDP)) if sdp is not None else lines
            self.send_progress(status, described, sdp or b"")
        return True

    def _surely(self, sdp: bytes | None, reliable: bool | None) -> bool:
        """Whether a provisional response is sent reliably (RFC 3262 3)."""
        wanted = sdp is not None if reliable is None else reliable
        headers = self.invite.headers
        return supports_reliable(headers) if wanted else requires_reliable(headers)

    def _ring_reliably(self, status: int, lines: tuple[tuple[str, str], ...], sdp: bytes) -> None:
        if self._reliable is None:
            self._reliable = ReliableRinging(self)
        if self._reliable.full:
            raise CallStateError("too many provisional responses wait for the caller's PRACK")
        self._reliable.send(status, lines, sdp)

    def send_progress(self, status: int, lines: HeaderLines, sdp: bytes) -> bytes:
        """Send a provisional response; returns its bytes."""
        transaction = self._open_transaction()
        data = self.agent.respond(transaction, self.invite, status, lines, sdp, tag=self.id)
        self._provisional = (status, data)
        self._wait_for_user()
        return data

    def accept(self, sdp: bytes, headers: HeaderLines = ()) -> bool:
        if self.state is CallState.ENDED:
            return False
        transaction = self._transaction or self._open_transaction()
        if self._answer is not None:
            raise CallStateError("the call was answered before")
        if self._reliable is not None and self._reliable.holds_the_answer:
            self._answer = (sdp, tuple(headers))
            return True
        if self._reliable is not None and self._reliable.session is Early.AGREED:
            sdp = b""
        self._close_invite()
        self.state = CallState.ANSWERED
        self.agent.counters.add(Count.CALLS_ANSWERED)
        self.agent.calls_by_dialog[self.dialog.key] = self
        self._send_answer(transaction, self.invite, sdp, headers, self._terms)
        return True

    def reject(self, status: int, reason: str | None = None, headers: HeaderLines = ()) -> bool:
        if self.ended:
            return False
        if not 300 <= status < 700:
            raise ValueError(f"{status} refuses nothing")
        self._open_transaction()
        lines = tuple(headers)
        phrase = reason or REASON_PHRASES.get(status, "")
        self._refuse(status, EndCause(EndedBy.LOCAL, status, phrase, reason_of(lines)), lines)
        return True

    def on_cancel(self, cancel: Request) -> None:
        """The caller gave up before the final response (RFC 3261 9.2)."""
        text = cancel.headers.get("Reason") or ""
        self._refuse(487, EndCause(EndedBy.REMOTE, 487, "Request Terminated", text))

    def _on_early_bye(self, transaction: ServerTransaction, request: Request) -> None:
        # The INVITE still wants its answer (RFC 3261 15.1.2).
        self.agent.respond(self._open_transaction(), self.invite, 487, tag=self.id)
        self._close_invite()
        self._on_bye(transaction, request)

    def _on_prack(self, transaction: ServerTransaction, request: Request) -> None:
        agent, reliable = self.agent, self._reliable
        if reliable is None or not reliable.matches(request):
            agent.reject(transaction, request, NO_RACK)  # RFC 3262 3
        elif not agent.acceptable(transaction, request):
            return
        elif reliable.wants_answer(request):
            agent.reject(transaction, request, BAD_REQUEST)
        elif reliable.acknowledged():
            self._on_agreed(transaction, request)
        elif request.body:
            answer_update(self, transaction, request)  # the same rules hold (RFC 3262 5)
        else:
            agent.respond(transaction, request, 200)
        if not self.ended and self._transaction is not None:
            self._after_prack(reliable)

    def _on_agreed(self, transaction: ServerTransaction, request: Request) -> None:
        """A description of ours is acknowledged: an answer, or an offer, which is answered here."""
        agent = self.agent
        if self.invite.body and request.body:
            answer_update(self, transaction, request)
            return
        agent.respond(transaction, request, 200)
        if request.body:
            self.remote_sdp = request.body
            agent.tell(agent.handler.on_answer, self, request.body)

    def _after_prack(self, reliable: ReliableRinging | None) -> None:
        if reliable is None:
            return
        if self._answer is not None and not reliable.holds_the_answer:
            answer, self._answer = self._answer, None
            self.accept(*answer)
        else:
            reliable.go_on()

    def on_no_prack(self) -> None:
        """64*T1 passed after a reliable provisional response (RFC 3262 3)."""
        if self._transaction is not None:
            text = "no PRACK came for our provisional response"
            self._refuse(504, EndCause(EndedBy.ERROR, 504, "Server Time-out", text))

    def offer_conflict(self, request: Request) -> Rejection | None:
        conflict = super().offer_conflict(request)
        if conflict is not None or self._transaction is None:
            return conflict
        session = Early.OPEN if self._reliable is None else self._reliable.session
        if session is Early.AGREED:
            return None
        return GLARE if session is Early.OFFERED else self._later()

    def _dialog_for_update(self) -> Dialog | None:
        early = self._reliable is not None and self._reliable.session is Early.AGREED
        ringing = early and self.state is CallState.RINGING
        return self.dialog if ringing else super()._dialog_for_update()

    def _give_up(self, headers: tuple[tuple[str, str], ...], status: int) -> None:
        if self.state is CallState.ANSWERED:
            self._goodbye = headers
        else:
            self.reject(status, None, headers)

    def _give_up_early(self, cause: EndCause) -> None:
        phrase = REASON_PHRASES[500]
        self._refuse(500, EndCause(EndedBy.ERROR, 500, phrase, f"{cause.text}: {cause.status}"))

    def _open_transaction(self) -> ServerTransaction:
        if self._transaction is None:
            raise CallStateError("the call was answered before")
        return self._transaction

    def _close_invite(self) -> None:
        self._transaction = None
        self._provisional = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reliable is not None:
            self._reliable.stop()

    def _refuse(self, status: int, cause: EndCause, headers: HeaderLines = ()) -> None:
        transaction = self._open_transaction()
        self._close_invite()
        self.agent.respond(
            transaction, self.invite, status, headers, reason=cause.reason, tag=self.id
        )
        self.agent.calls_by_dialog.pop(self.dialog.key, None)
        self._end(cause)

    def _send_trying(self) -> None:
        self._timer = None
        if self._transaction is not None:
            self.agent.respond(self._transaction, self.invite, 100)
            self._wait_for_user()

    def _wait_for_user(self) -> None:
        """The user's time to answer runs; RFC 3261 13.3.1.1 wants a sign of life every minute."""
        now_ms = self.agent.timers.now_ms
        if not self._deadline_ms:
            self._deadline_ms = now_ms + self._patience_ms()
        self._drop_timer()
        wait_ms = min(PROGRESS_INTERVAL_MS, self._deadline_ms - now_ms)
        self._timer = self.agent.timers.arm(max(1, wait_ms), self._on_wait)

    def _patience_ms(self) -> int:
        expires = self.invite.headers.get("Expires") or ""
        limit_ms = self.agent.config.answer_timeout_ms
        if expires.isascii() and expires.isdigit() and len(expires) < 10:
            return min(limit_ms, 1_000 * int(expires))
        return limit_ms

    def _on_wait(self) -> None:
        self._timer = None
        if self.agent.timers.now_ms >= self._deadline_ms:
            # RFC 3261 13.3.1: 487 once the INVITE has expired.
            text = "not answered in time"
            self._refuse(487, EndCause(EndedBy.ERROR, 487, "Request Terminated", text))
        elif self._transaction is not None:
            self._show_life(self._transaction)
            self._wait_for_user()

    def _show_life(self, transaction: ServerTransaction) -> None:
        if self._provisional is None:
            return
        status, data = self._provisional
        if self._reliable is None:
            transaction.respond(status, data)
        elif not self._reliable.full:
            lines = (("Contact", self.agent.contact(self.flow, self.invite.uri)), ("Allow", ALLOW))
            self._reliable.send(status, lines, b"")  # RFC 3262 3: each has an RSeq of its own

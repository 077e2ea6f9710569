"""A call that came in: the UAS side of an INVITE (RFC 3261 section 13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, uas_dialog
from .edge import Flow
from .events import CallStateError, EndCause, EndedBy, HeaderLines
from .message import REASON_PHRASES, Request
from .screening import ALLOW, SDP
from .session import CallState, SipCall, reason_of
from .transaction import ServerTransaction

if TYPE_CHECKING:
    from .ua import UserAgent

PROGRESS_INTERVAL_MS = 60_000


class IncomingCall(SipCall):
    """States INCOMING, RINGING, ANSWERED, CONFIRMED, ENDED."""

    __slots__ = ("_deadline_ms", "_provisional", "_transaction")

    def __init__(
        self, agent: UserAgent, transaction: ServerTransaction, invite: Request, flow: Flow
    ) -> None:
        """SipParseError: Contact, From or Record-Route cannot be read."""
        local_tag = agent.new_token()
        dialog = uas_dialog(invite, local_tag)
        super().__init__(agent, local_tag, invite, flow, CallState.INCOMING)
        transaction.tag = local_tag
        transaction.owner = self
        self.dialog: Dialog = dialog
        self.remote_sdp = invite.body or None
        self._transaction: ServerTransaction | None = transaction
        self._provisional: tuple[int, bytes] | None = None
        self._deadline_ms = 0
        # RFC 3261 17.2.1: 100 only if nothing else goes out within 200 ms.
        self._timer = agent.timers.arm(agent.config.trying_ms, self._send_trying)

    def ring(self, status: int = 180, sdp: bytes | None = None) -> bool:
        if self.ended:
            return False
        transaction = self._open_transaction()
        if not 100 < status < 200:
            raise ValueError(f"{status} is no provisional response")
        agent = self.agent
        lines = [("Contact", agent.contact(self.flow, self.invite.uri)), ("Allow", ALLOW)]
        if sdp is not None:
            lines.append(("Content-Type", SDP))
        agent.remember_dialog(self.dialog, self)
        self.state = CallState.RINGING
        data = agent.respond(transaction, self.invite, status, lines, sdp or b"", tag=self.id)
        self._provisional = (status, data)
        self._wait_for_user()
        return True

    def accept(self, sdp: bytes, headers: HeaderLines = ()) -> bool:
        if self.ended:
            return False
        transaction = self._open_transaction()
        self._close_invite()
        self.state = CallState.ANSWERED
        self.agent.counters.add(Count.CALLS_ANSWERED)
        self.agent.remember_dialog(self.dialog, self)
        self._send_answer(transaction, self.invite, sdp, headers)
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

    def _on_bye(self, transaction: ServerTransaction, request: Request) -> None:
        if self._transaction is not None:
            # BYE in an early dialog: the INVITE still wants its answer (RFC 3261 15.1.2).
            self.agent.respond(self._transaction, self.invite, 487, tag=self.id)
            self._close_invite()
        super()._on_bye(transaction, request)

    def _give_up(self, headers: tuple[tuple[str, str], ...], status: int) -> None:
        if self.state is CallState.ANSWERED:
            self._goodbye = headers
        else:
            self.reject(status, None, headers)

    def _open_transaction(self) -> ServerTransaction:
        if self._transaction is None:
            raise CallStateError("the call was answered before")
        return self._transaction

    def _close_invite(self) -> None:
        self._transaction = None
        self._provisional = None
        self._drop_timer()

    def _refuse(self, status: int, cause: EndCause, headers: HeaderLines = ()) -> None:
        transaction = self._open_transaction()
        self._close_invite()
        self.agent.respond(
            transaction, self.invite, status, headers, reason=cause.reason, tag=self.id
        )
        self.agent.forget_dialog(self.dialog)
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
            if self._provisional is not None:
                self._transaction.respond(*self._provisional)
            self._wait_for_user()

"""A call of ours: the UAC side of an INVITE (RFC 3261 section 13.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, uac_dialog
from .digest import AuthAttempt, DigestClient
from .edge import Flow
from .events import EndCause, EndedBy
from .invites import MAX_FORKS, AckKeeper
from .message import Headers, Request, Response, SipParseError
from .requests import repeated
from .session import NO_HEADERS, CallState, SipCall, reason_of
from .transaction import InviteClient, ServerTransaction

if TYPE_CHECKING:
    from .ua import UserAgent


class OutgoingCall(SipCall):
    """States CALLING, CANCELLING, CONFIRMED, ENDED. It is the user of its INVITE transaction."""

    __slots__ = (
        "_attempt",
        "_auth",
        "_cancel_headers",
        "_cause",
        "_early",
        "_proceeding",
        "_transaction",
    )

    outgoing = True

    def __init__(
        self, agent: UserAgent, invite: Request, flow: Flow, auth: DigestClient | None = None
    ) -> None:
        super().__init__(agent, invite.from_tag or "", invite, flow, CallState.CALLING)
        self._auth = auth
        self._attempt = None if auth is None else AuthAttempt(auth)
        self._early: dict[str, Dialog] = {}
        self._cause: EndCause | None = None
        self._cancel_headers = NO_HEADERS
        self._proceeding = False
        self._timer = agent.timers.arm(agent.config.answer_timeout_ms, self._on_unanswered)
        self._transaction: InviteClient | None = agent.transactions.send_invite(invite, flow, self)

    # The user of the INVITE transaction

    def on_response(self, response: Response) -> None:
        """A provisional response, or the first final one."""
        if response.status < 200:
            self._on_provisional(response)
        elif response.status < 300:
            self._on_accepted(response)
        elif not self._tries_again(response):
            self._over(EndCause(EndedBy.REMOTE, response.status, response.reason, _why(response)))

    def _tries_again(self, response: Response) -> bool:
        """True if a challenge was answered (RFC 3261 22.2): the call goes on as if just dialled."""
        calling = self.state is CallState.CALLING
        if self._attempt is None or not calling or not self._attempt.answers(response):
            return False
        self._forget_early()
        self._proceeding = False
        self.invite = repeated(self.agent, self.invite, self.flow, self.invite.cseq + 1, self._auth)
        self._transaction = self.agent.transactions.send_invite(self.invite, self.flow, self)
        return True

    def on_timeout(self) -> None:
        """Timer B: treated as a 408 (RFC 3261 8.1.3.1)."""
        self._over(EndCause(EndedBy.ERROR, 408, "Request Timeout", "no answer to the INVITE"))

    def _on_provisional(self, response: Response) -> None:
        first = not self._proceeding
        self._proceeding = True
        if self.state is CallState.CANCELLING:
            if first:
                self._send_cancel()
            return
        if response.status == 100:
            return
        if response.to_tag is not None:
            self._note_early(response.to_tag, response)
        self.agent.tell(self.agent.handler.on_ringing, self, response)

    def _note_early(self, tag: str, response: Response) -> None:
        """An early dialog for each fork that rings (RFC 3261 13.2.2.1)."""
        if tag in self._early or len(self._early) >= MAX_FORKS:
            return
        try:
            self._early[tag] = uac_dialog(self.invite, response, self._auth)
        except SipParseError:
            self.agent.counters.add(Count.REJECTED_BAD_REQUEST)
        else:
            self.agent.remember_dialog(self._early[tag], self)

    def _on_accepted(self, response: Response) -> None:
        agent, transaction = self.agent, self._transaction
        self._forget_early()
        try:
            dialog = uac_dialog(self.invite, response, self._auth)
        except SipParseError:
            # No dialog can come of it, and without one neither ACK nor BYE.
            self._over(EndCause(EndedBy.ERROR, 502, "Bad Gateway", "unreadable 200"))
            return
        cancelled = self.state is CallState.CANCELLING
        self._close_invite()
        self.dialog = dialog
        self.state = CallState.CONFIRMED
        agent.remember_dialog(dialog, self)
        agent.counters.add(Count.CALLS_ANSWERED)
        asked = not self.invite.body and not cancelled
        answer = self.answer_to(response.body) if asked else b""
        ack = agent.ack(dialog, self.flow, response.cseq, answer or None)
        agent.send(*ack)
        if transaction is not None:
            transaction.user = AckKeeper(agent, dialog, self.flow, ack)
        if cancelled:
            # The 200 crossed our CANCEL (RFC 3261 9.1).
            cause = self._cause or EndCause(EndedBy.LOCAL, 487, "Request Terminated")
            self._leave(self._cancel_headers, cause)
        elif answer is None:
            self.offer_unanswered()
        elif not self.ended:
            self.remote_sdp = response.body or None
            agent.tell(agent.handler.on_answered, self, self.remote_sdp)

    # Giving up

    def _give_up(self, headers: tuple[tuple[str, str], ...], status: int) -> None:
        if self.state is CallState.CANCELLING:
            return
        cause = EndCause(EndedBy.LOCAL, 487, "Request Terminated", reason_of(headers))
        self._cancel(headers, cause)

    def _on_unanswered(self) -> None:
        self._timer = None
        if self.state is CallState.CALLING:
            text = "not answered in time"
            self._cancel(NO_HEADERS, EndCause(EndedBy.ERROR, 408, "Request Timeout", text))
        else:
            # RFC 3261 9.1: no final response in 64*T1 after the CANCEL.
            if self._transaction is not None:
                self._transaction.terminate()
            self._over(EndCause(EndedBy.LOCAL, 487, "Request Terminated"))

    def _cancel(self, headers: tuple[tuple[str, str], ...], cause: EndCause) -> None:
        self.state = CallState.CANCELLING
        self._cause = cause
        self._cancel_headers = headers
        # RFC 3261 9.1: not before a provisional response has come.
        if self._proceeding:
            self._send_cancel()

    def _send_cancel(self) -> None:
        agent = self.agent
        agent.transactions.send_request(cancel_of(self.invite, self._cancel_headers), self.flow)
        self._drop_timer()
        self._timer = agent.timers.arm(agent.config.timing.give_up_ms, self._on_unanswered)

    def _over(self, cause: EndCause) -> None:
        self._forget_early()
        self._close_invite()
        self._end(self._cause or cause)

    def _close_invite(self) -> None:
        self._transaction = None
        self._drop_timer()

    def _forget_early(self) -> None:
        for dialog in self._early.values():
            self.agent.forget_dialog(dialog)
        self._early.clear()

    # Requests in early dialogs

    def _dialog_of(self, request: Request) -> Dialog:
        early = self._early.get(request.from_tag or "")
        return early if early is not None else super()._dialog_of(request)

    def _on_bye(self, transaction: ServerTransaction, request: Request) -> None:
        if self.dialog is not None:
            super()._on_bye(transaction, request)
            return
        # The callee left an early dialog, which ends that fork (RFC 3261 15.1.2).
        self.agent.respond(transaction, request, 200)
        self.agent.forget_dialog(self._early.pop(request.from_tag or ""))
        if not self._early and self.state is CallState.CALLING:
            text = request.headers.get("Reason") or ""
            self._cancel(NO_HEADERS, EndCause(EndedBy.REMOTE, 200, "OK", text))

    def shut_down(self) -> None:
        self._forget_early()
        super().shut_down()


def cancel_of(invite: Request, headers: tuple[tuple[str, str], ...]) -> Request:
    """The CANCEL for an INVITE of ours: same branch, same CSeq number (RFC 3261 9.1)."""
    original = invite.headers
    lines = [("Via", original.get("Via") or "")]
    lines += [("Route", route) for route in original.all("Route")]
    lines += [
        ("From", original.get("From") or ""),
        ("To", original.get("To") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{invite.cseq} CANCEL"),
        ("Max-Forwards", "70"),
        *headers,
    ]
    return Request(
        Headers(lines),
        method="CANCEL",
        uri=invite.uri,
        call_id=invite.call_id,
        cseq=invite.cseq,
        cseq_method="CANCEL",
        branch=invite.branch,
    )


def _why(response: Response) -> str:
    return response.headers.get("Reason") or response.headers.get("Warning") or ""

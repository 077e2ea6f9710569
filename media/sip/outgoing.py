"""A call of ours: the UAC side of an INVITE (RFC 3261 section 13.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, dialog_to_be, uac_dialog
from .digest import AuthAttempt, DigestClient
from .edge import Flow
from .events import CallStateError, EndCause, EndedBy
from .failure import Undelivered
from .invites import MAX_FORKS, AckKeeper
from .message import Headers, Request, Response, SipParseError
from .redirect import TargetSet, contacts_of
from .reliable import ReliableProgress, rseq_of, send_prack
from .requests import repeated, retry_after_s
from .screening import GLARE, Rejection
from .session import NO_HEADERS, CallState, SipCall, reason_of
from .session_timer import MAX_INTERVAL_S, IntervalAsked, SessionTimer
from .transaction import InviteClient, ServerTransaction

if TYPE_CHECKING:
    from .ua import UserAgent

OnRedirect = Callable[["OutgoingCall", str], None]
"""Told the URI of each target that a redirected call may try. It, or who it tells, calls `follow`
or `skip` of the call, now or later."""


class OutgoingCall(SipCall):
    """States CALLING, CANCELLING, CONFIRMED, ENDED. It is the user of its INVITE transaction.

    Challenges and redirections make another INVITE, with a transaction of its own, and the call
    goes on as if it had just been dialled.
    """

    __slots__ = (
        "_asked",
        "_attempt",
        "_auth",
        "_cancel_headers",
        "_cause",
        "_early",
        "_early_sdp",
        "_on_redirect",
        "_proceeding",
        "_refusal",
        "_reliable",
        "_target",
        "_targets",
        "_transaction",
        "speech",
    )

    outgoing = True

    def __init__(
        self,
        agent: UserAgent,
        invite: Request,
        flow: Flow,
        auth: DigestClient | None = None,
        on_redirect: OnRedirect | None = None,
        *,
        speech: bool = False,
    ) -> None:
        super().__init__(agent, invite.from_tag or "", invite, flow, CallState.CALLING)
        self.speech = speech
        self._auth = auth
        self._attempt = None if auth is None else AuthAttempt(auth)
        self._on_redirect = on_redirect
        self._targets: TargetSet | None = None
        self._target: str | None = None
        self._refusal: EndCause | None = None
        self._early: dict[str, Dialog] = {}
        self._early_sdp: dict[str, bytes] = {}
        self._reliable: dict[str, ReliableProgress] = {}
        self._asked: IntervalAsked | None = None
        self._cause: EndCause | None = None
        self._cancel_headers = NO_HEADERS
        self._proceeding = False
        self._timer = agent.timers.arm(agent.config.answer_timeout_ms, self._on_unanswered)
        self._transaction: InviteClient | None = agent.transactions.send_invite(invite, flow, self)

    @property
    def heard_of(self) -> bool:
        """True once there was any response, 100 or a challenge included."""
        return self._proceeding or self.invite.cseq > 1

    # What the user may do about a redirection

    def follow(self, flow: Flow) -> bool:
        """Try the target that ``on_redirect`` was told, by way of ``flow``.

        Credentials go only to the host that they were given for. CallStateError: there is none.
        """
        if self.ended:
            return False
        target, self._target = self._target, None
        if target is None:
            raise CallStateError("no redirection waits for a decision")
        if flow.remote_host != self.flow.remote_host:
            self._auth = None
        self._attempt = None if self._auth is None else AuthAttempt(self._auth)
        self.flow = flow
        self._invite_again(target)
        return True

    def skip(self) -> bool:
        """Leave that target out: try the next one, or end with the refusal of the last.

        CallStateError as `follow`.
        """
        if self.ended:
            return False
        if self._target is None or self._refusal is None:
            raise CallStateError("no redirection waits for a decision")
        self._failed(self._refusal)
        return True

    # The user of the INVITE transaction

    def on_response(self, response: Response) -> None:
        """A provisional response, or the first final one."""
        if response.status < 200:
            self._on_provisional(response)
        elif response.status < 300:
            self._on_accepted(response)
        else:
            self._on_refused(response)

    def on_timeout(self) -> None:
        """Timer B: treated as a 408 (RFC 3261 8.1.3.1). A 2xx may still be on its way."""
        if self._transaction is not None:
            self._transaction.abandon(self._late_answers())
        self._failed(EndCause(EndedBy.ERROR, 408, "Request Timeout", "no answer to the INVITE"))

    def _late_answers(self) -> AckKeeper:
        """Who acknowledges and leaves what a fork answers though the INVITE has come to its end."""
        return AckKeeper(self.agent, dialog_to_be(self.invite, self._auth), self.flow)

    def _on_refused(self, response: Response) -> None:
        if self._transaction is not None:
            self._transaction.user = self._late_answers()
        if self.state is CallState.CALLING:
            answers = self._attempt is not None and self._attempt.answers(response)
            if answers or self._asks_again(response):
                self._invite_again()
                return
            if self._targets is None and self._on_redirect is not None:
                self._targets = TargetSet(self.invite.uri)
            if self._targets is not None:
                self._targets.add(response)
        self._failed(_cause_of(response), final=response.status >= 600)

    def _asks_again(self, response: Response) -> bool:
        """True if a 422 wants a longer session interval, which the next INVITE asks for."""
        config = self.agent.config
        if response.status != 422 or not config.session_expires_s:
            return False
        self._asked = self._asked or IntervalAsked(config.session_expires_s, config.min_se_s)
        if not self._asked.raised_by(response):
            return False
        for name, value in self._asked.lines():
            self.invite.headers.set(name, value)
        return True

    def _invite_again(self, uri: str | None = None) -> None:
        """Another INVITE with the ids of the first (RFC 3261 22.2, 8.1.3.4)."""
        agent, flow = self.agent, self.flow
        self._leave_early()
        self._proceeding = False
        self.invite = repeated(agent, self.invite, flow, self.invite.cseq + 1, self._auth, uri=uri)
        self.invite.headers.replace_first("Contact", agent.contact(flow, self.invite.uri))
        self._transaction = agent.transactions.send_invite(self.invite, flow, self)

    def _failed(self, cause: EndCause, *, final: bool = False) -> None:
        """One target has refused: on to the next, unless we gave up or it spoke for all (6xx)."""
        calling = self.state is CallState.CALLING and not final
        target = self._targets.take() if calling and self._targets is not None else None
        if target is None or self._on_redirect is None:
            self._over(cause)
            return
        self._leave_early()
        self._transaction = None
        self._target, self._refusal = target, cause
        try:
            self._on_redirect(self, target)
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.agent.handler_failed("on_redirect")
            if self._target is target:
                self.skip()

    def _on_provisional(self, response: Response) -> None:
        first = not self._proceeding
        self._proceeding = True
        if self.state is CallState.CANCELLING:
            if first:
                self._send_cancel()
            return
        if response.status == 100:
            return
        tag = response.to_tag
        if tag is not None and (response.body or tag not in self._early):
            self._note_early(tag, response)
        if response.status == 199:
            self._forget_fork(tag or "")
        if "RSeq" not in response.headers or self._takes(response):
            try:
                self.agent.handler.on_ringing(self, response)
            except Exception:  # noqa: BLE001 - whatever the user's code raises
                self.agent.handler_failed("on_ringing")

    def _takes(self, response: Response) -> bool:
        """True for a provisional response that is news; a reliable one is acknowledged."""
        rseq = rseq_of(response)
        if rseq is None:
            return True
        tag = response.to_tag or ""
        dialog = self._early.get(tag)
        if dialog is None or not self._reliable.setdefault(tag, ReliableProgress()).takes(rseq):
            return False
        dialog.refresh_target(response)
        answer = self._settle_early(tag, response)
        send_prack(self, dialog, response, rseq, answer)
        if answer is None and self.state is CallState.CALLING:
            text = "no answer to the offer in a provisional response"
            self._cancel(NO_HEADERS, EndCause(EndedBy.ERROR, 488, "Not Acceptable Here", text))
        return self.state is CallState.CALLING

    def _settle_early(self, tag: str, response: Response) -> bytes | None:
        """What the PRACK carries (RFC 3262 5): the answer to a first offer, None if there is none;
        nothing where the response answers our offer, or describes nothing."""
        progress = self._reliable[tag]
        if not response.body or progress.described:
            return b""
        progress.described = True
        if not self.invite.body:
            return self.answer_to(response.body)
        self.remote_sdp = response.body
        return b""

    def _has_agreed(self, tag: str) -> bool:
        """True if offer and answer were exchanged reliably in that early dialog."""
        progress = self._reliable.get(tag)
        return progress is not None and progress.described

    def _note_early(self, tag: str, response: Response) -> None:
        """An early dialog for each fork that rings (RFC 3261 13.2.2.1), and what it offers."""
        if tag in self._early and response.body and not self._has_agreed(tag):
            self._early_sdp[tag] = response.body
        if tag in self._early or len(self._early) >= MAX_FORKS:
            return
        try:
            self._early[tag] = uac_dialog(self.invite, response, self._auth)
        except SipParseError:
            self.agent.counters.add(Count.REJECTED_BAD_REQUEST)
        else:
            self.agent.calls_by_dialog[self._early[tag].key] = self
            if response.body:
                self._early_sdp[tag] = response.body

    def _forget_fork(self, tag: str) -> None:
        """A fork has left: 199 (RFC 6228), or its BYE."""
        dialog = self._early.pop(tag, None)
        self._early_sdp.pop(tag, None)
        self._reliable.pop(tag, None)
        if dialog is not None:
            self.agent.calls_by_dialog.pop(dialog.key, None)

    def _on_accepted(self, response: Response) -> None:
        agent, transaction = self.agent, self._transaction
        tag = response.to_tag or ""
        early, agreed = self._early.get(tag), tag in self._reliable and self._has_agreed(tag)
        # A peer whose answer came in a provisional response need not repeat it; what was answered
        # reliably is not changed by a 2xx (RFC 3261 13.2.1).
        sdp = None if agreed else response.body
        sdp = sdp or self._early_sdp.get(tag)
        try:
            if early is None:
                dialog = uac_dialog(self.invite, response, self._auth)
            else:  # in which a request of ours may be under way
                dialog = early
                dialog.confirm(response)
        except SipParseError:
            self._on_unreadable()
            return
        if self._update is not None:
            self._leave_update(early)
        self._forget_early(early)
        cancelled = self.state is CallState.CANCELLING
        self._close_invite()
        self.dialog = dialog
        self.state = CallState.CONFIRMED
        if dialog is not early:
            agent.calls_by_dialog[dialog.key] = self
        if not self.speech:
            agent.counters.add(Count.CALLS_ANSWERED)
        asked = not self.invite.body and not cancelled and not agreed
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
        elif not (asked and self.ended):
            self.remote_sdp = sdp or None
            if "Session-Expires" in response.headers:
                self._begin_session(response)
            try:
                agent.handler.on_answered(self, self.remote_sdp)
            except Exception:  # noqa: BLE001 - whatever the user's code raises
                agent.handler_failed("on_answered")

    def _on_unreadable(self) -> None:
        """No dialog can come of the 2xx, and without one neither ACK nor BYE."""
        if self._transaction is not None:
            self._transaction.user = self._late_answers()
        self._over(EndCause(EndedBy.ERROR, 502, "Bad Gateway", "unreadable 200"))

    def _begin_session(self, response: Response) -> None:
        """The 2xx settles the session timer (RFC 4028 7.2)."""
        config = self.agent.config
        interval_s = config.session_expires_s or MAX_INTERVAL_S
        asked = self._asked or IntervalAsked(interval_s, config.min_se_s)
        self.session_timer = SessionTimer(self, asked)
        self.session_agreed(response)

    # Giving up

    def _give_up(self, headers: tuple[tuple[str, str], ...], status: int) -> None:
        if self.state is CallState.CANCELLING:
            return
        cause = EndCause(EndedBy.LOCAL, 487, "Request Terminated", reason_of(headers))
        self._cancel(headers, cause)

    def _give_up_early(self, cause: EndCause) -> None:
        if self.state is CallState.CALLING:
            self._cancel(NO_HEADERS, cause)

    def _on_unanswered(self) -> None:
        self._timer = None
        if self.state is CallState.CALLING:
            text = "not answered in time"
            self._cancel(NO_HEADERS, EndCause(EndedBy.ERROR, 408, "Request Timeout", text))
        else:
            # RFC 3261 9.1: no final response in 64*T1 after the CANCEL.
            if self._transaction is not None:
                self._transaction.abandon(self._late_answers())
            self._over(EndCause(EndedBy.LOCAL, 487, "Request Terminated"))

    def _cancel(self, headers: tuple[tuple[str, str], ...], cause: EndCause) -> None:
        self.state = CallState.CANCELLING
        self._cause = cause
        self._cancel_headers = headers
        if self._transaction is None:
            self._over(cause)  # between two targets: nobody has an INVITE of ours
        elif self._proceeding:
            self._send_cancel()  # RFC 3261 9.1: not before a provisional response has come
        else:
            self._transaction.unwanted()

    def _send_cancel(self) -> None:
        agent = self.agent
        cancel = cancel_of(self.invite, self._cancel_headers)
        # The way of the INVITE, which took TCP if it was large (RFC 3261 9.1, 18.1.1).
        flow = self.flow if self._transaction is None else self._transaction.flow
        agent.transactions.send_request(cancel, flow)
        self._drop_timer()
        self._timer = agent.timers.arm(agent.config.timing.give_up_ms, self._on_unanswered)

    def _over(self, cause: EndCause) -> None:
        self._forget_early()
        self._close_invite()
        self._end(self._cause or cause)

    def _close_invite(self) -> None:
        self._transaction = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget_early(self, kept: Dialog | None = None) -> None:
        for dialog in self._early.values():
            if dialog is not kept:
                self.agent.calls_by_dialog.pop(dialog.key, None)
        self._early.clear()
        self._early_sdp.clear()
        self._reliable.clear()

    def _leave_early(self, kept: Dialog | None = None) -> None:
        """The call goes on without its early dialogs, but for the one that is answered."""
        if self._update is not None:
            self._leave_update(kept)
        self._forget_early(kept)

    def _leave_update(self, kept: Dialog | None) -> None:
        update = self._update
        if update is not None and update.dialog is not kept:
            update.stop()
            self.update_done(update, 487, None)

    # Requests in early dialogs

    def dialog_of(self, request: Request) -> Dialog:
        early = self._early.get(request.from_tag or "")
        return early if early is not None else super().dialog_of(request)

    def offer_conflict(self, request: Request) -> Rejection | None:
        conflict = super().offer_conflict(request)
        if conflict is not None or self.dialog is not None:
            return conflict
        if self._has_agreed(request.from_tag or ""):
            return None
        # Our offer in the INVITE, or the one that we have asked for, is still open.
        return GLARE if self.invite.body else self._later()

    def _dialog_for_update(self) -> Dialog | None:
        if self.state is not CallState.CALLING:
            return super()._dialog_for_update()
        agreed = [dialog for tag, dialog in self._early.items() if self._has_agreed(tag)]
        return agreed[0] if len(agreed) == 1 else None

    def _on_early_bye(self, transaction: ServerTransaction, request: Request) -> None:
        # The callee left an early dialog, which ends that fork (RFC 3261 15.1.2).
        self.agent.respond(transaction, request, 200)
        self._forget_fork(request.from_tag or "")
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


def _cause_of(response: Response) -> EndCause:
    return EndCause(
        EndedBy.ERROR if isinstance(response, Undelivered) else EndedBy.REMOTE,
        response.status,
        response.reason,
        _why(response),
        contacts_of(response.headers) if response.status < 400 else (),
        retry_after_s(response),
    )


def _why(response: Response) -> str:
    reasons = ", ".join(response.headers.all("Reason"))  # one for each protocol (RFC 3326)
    return reasons or response.headers.get("Warning") or ""

"""UPDATE (RFC 3311): a change of the session, or its refresh, in early and confirmed dialogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dialog import Dialog
from .edge import TimerHandle
from .invites import FATAL, GLARE_ATTEMPTS, Offer, wait_ms
from .message import Request, Response
from .screening import ALLOW, NO_DIALOG, SDP, SUPPORTED, Rejection
from .session_timer import Terms, terms_for
from .transaction import ServerTransaction

if TYPE_CHECKING:
    from .session import SipCall


class Update:
    """An UPDATE of ours: the user of its transactions, tried again after glare."""

    __slots__ = ("_attempts", "_call", "_offer", "_stopped", "_timer", "dialog", "in_progress")

    def __init__(self, call: SipCall, dialog: Dialog, offer: Offer | None) -> None:
        """Without ``offer`` it refreshes the session and nothing else."""
        self._call = call
        self.dialog = dialog
        self._offer = offer
        self._attempts = 0
        self._timer: TimerHandle | None = None
        self._stopped = False
        self.in_progress = False

    def __call__(self) -> None:
        """Send it."""
        self._timer = None
        self._attempts += 1
        call, agent = self._call, self._call.agent
        sdp = self._offer() if callable(self._offer) else self._offer
        # RFC 3311 5.1: only one that carries an offer can meet another.
        self.in_progress = sdp is not None
        lines = [
            ("Contact", agent.contact(call.flow, call.invite.uri)),
            ("Allow", ALLOW),
            ("Supported", SUPPORTED),
        ]
        lines += call.timer_lines()
        if sdp is not None:
            lines.append(("Content-Type", SDP))
        agent.send_in_dialog("UPDATE", self.dialog, call.flow, self, headers=lines, body=sdp or b"")

    def stop(self) -> None:
        """The dialog is over: what still comes changes nothing."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_timeout(self) -> None:
        """Nobody answered."""
        self.in_progress = False
        if not self._stopped:
            self._call.change_fatal(408, "Request Timeout", "UPDATE failed")

    def on_response(self, response: Response) -> None:
        """A response to the UPDATE."""
        status = response.status
        if status < 200:
            return
        self.in_progress = False
        call = self._call
        if self._stopped:
            return
        if status < 300:
            self.dialog.refresh_target(response)
            call.session_agreed(response)
            call.update_done(self, status, response.body or None)
        elif status in FATAL:
            call.change_fatal(status, response.reason, "UPDATE failed")
        elif status == 422 and call.interval_raised(response):
            self()
        elif self._attempts < GLARE_ATTEMPTS and self._waits(response):
            return
        else:
            call.update_done(self, status, None)

    def _waits(self, response: Response) -> bool:
        """True if it is tried again."""
        delay_ms = wait_ms(self._call, response)
        if delay_ms is not None:
            self._timer = self._call.agent.timers.arm(max(1, delay_ms), self)
        return delay_ms is not None


def answer_update(call: SipCall, transaction: ServerTransaction, request: Request) -> None:
    """Answer an UPDATE of the peer (RFC 3311 5.2)."""
    agent = call.agent
    if not agent.acceptable(transaction, request):
        return
    # A session that has not begun has no timer (RFC 4028 5).
    terms = terms_for(request, agent.config, call.session_timer) if call.answered else None
    conflict = call.offer_conflict(request) if request.body else None
    rejection = terms if isinstance(terms, Rejection) else conflict
    if rejection is not None:
        agent.reject(transaction, request, rejection)
        return
    sdp = call.ask_offer(transaction, request) if request.body else b""
    if call.ended:
        agent.reject(transaction, request, NO_DIALOG)
    elif sdp is not None:
        assert terms is None or isinstance(terms, Terms)
        _accept(call, transaction, request, sdp, terms)


def _accept(
    call: SipCall,
    transaction: ServerTransaction,
    request: Request,
    sdp: bytes,
    terms: Terms | None,
) -> None:
    call.dialog_of(request).refresh_target(request)
    call.remote_sdp = request.body or call.remote_sdp
    lines = [
        ("Contact", call.agent.contact(call.flow, call.invite.uri)),
        ("Allow", ALLOW),
        ("Supported", SUPPORTED),
    ]
    lines += call.timer_answered(terms)
    if sdp:
        lines.append(("Content-Type", SDP))
    call.agent.respond(transaction, request, 200, lines, sdp)

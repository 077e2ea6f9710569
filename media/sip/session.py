"""One call as SIP sees it: what calls that came in and calls of ours have in common."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, address_uri
from .digest import Credentials, DigestClient
from .edge import Flow, TimerHandle
from .events import CallStateError, EndCause, EndedBy, HeaderLines, Refuse
from .info import is_digit_info, read_digit
from .invites import ByeWatcher, Offer, PendingAck, Reinvite
from .message import Request, Response
from .refer import Refers
from .screening import (
    ABILITIES,
    BAD_REQUEST,
    GLARE,
    INFO_TYPE,
    METHOD,
    NO_DIALOG,
    NO_RACK,
    OUT_OF_ORDER,
    SDP,
    Rejection,
)
from .session_timer import IntervalAsked, RefreshByInvite, SessionTimer, Terms, terms_for
from .transaction import ServerTransaction
from .update import Update, answer_update

if TYPE_CHECKING:
    from .ua import UserAgent

NO_HEADERS: tuple[tuple[str, str], ...] = ()
GOODBYE = EndCause(EndedBy.LOCAL, 200, "OK")
"""Of a call that we have hung up, with nothing to say about it."""
FAREWELL = EndCause(EndedBy.REMOTE, 200, "OK")
"""Of one that the peer has hung up like that."""


class CallState(Enum):
    """Where a call stands."""

    CALLING = auto()  # ours, not answered
    CANCELLING = auto()  # ours, given up before the answer, whose outcome is still open
    INCOMING = auto()  # theirs, nothing but 100 sent
    RINGING = auto()  # theirs, provisional response sent
    ANSWERED = auto()  # theirs, 200 sent, ACK outstanding
    CONFIRMED = auto()
    ENDED = auto()


_UNANSWERED = (CallState.CALLING, CallState.CANCELLING, CallState.INCOMING, CallState.RINGING)


class SipCall:
    """A call: one INVITE and the dialog that came of it.

    ``id`` is unique; ``invite`` is the request that began the call; ``remote_sdp`` the latest
    session description of the peer; ``context`` belongs to whoever handles the call. The methods
    answer False, and send nothing, when the call is over already.
    """

    __slots__ = (
        "_goodbye",
        "_pending",
        "_refresh",
        "_reinvite",
        "_timer",
        "_update",
        "agent",
        "call_id",
        "context",
        "dialog",
        "flow",
        "id",
        "invite",
        "refers",
        "remote_sdp",
        "session_timer",
        "state",
    )

    outgoing = False
    speech = False
    """True for a session with a speech server: it is not counted among calls."""

    def __init__(
        self, agent: UserAgent, local_tag: str, invite: Request, flow: Flow, state: CallState
    ) -> None:
        self.agent = agent
        self.id = local_tag
        self.call_id = invite.call_id
        self.invite = invite
        self.flow = flow
        self.state = state
        self.remote_sdp: bytes | None = None
        self.dialog: Dialog | None = None
        self.context: object = None
        self._timer: TimerHandle | None = None
        self._pending: PendingAck | None = None
        self._reinvite: Reinvite | None = None
        self._update: Update | None = None
        self._refresh: Update | Reinvite | None = None
        self.session_timer: SessionTimer | None = None
        self._goodbye: tuple[tuple[str, str], ...] | None = None
        self.refers: Refers | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state.name}>"

    @property
    def from_uri(self) -> str:
        """The URI of the INVITE's From."""
        return address_uri(self.invite.headers.get("From") or "")

    @property
    def to_uri(self) -> str:
        """The URI of the INVITE's To."""
        return address_uri(self.invite.headers.get("To") or "")

    @property
    def ended(self) -> bool:
        """True once ``on_ended`` was called."""
        return self.state is CallState.ENDED

    @property
    def answered(self) -> bool:
        """True from the 200 to the end."""
        return self.state in (CallState.ANSWERED, CallState.CONFIRMED)

    @property
    def confirmed(self) -> bool:
        """True from the first ACK to the end."""
        return self.state is CallState.CONFIRMED

    @property
    def local_uri(self) -> str:
        """Who we are in this call."""
        return self.from_uri if self.outgoing else self.to_uri

    @property
    def awaits_ack(self) -> bool:
        """True while a 200 of ours to an INVITE is not acknowledged."""
        return self._pending is not None

    # What the user may do

    def ring(
        self, status: int = 180, sdp: bytes | None = None, *, reliable: bool | None = None
    ) -> bool:
        """Send a provisional response (101 to 199), with early media if ``sdp`` is given.

        ``reliable``: repeated until the caller acknowledges it (RFC 3262), where it can; by default
        if the caller insists, or ``sdp`` is given. Without an offer of the caller ``sdp`` is ours,
        and has to be reliable: CallStateError where it cannot be.
        """
        raise CallStateError("only a call that came in can ring")

    def accept(self, sdp: bytes, headers: HeaderLines = ()) -> bool:
        """Answer with 200, repeated until the ACK comes (RFC 3261 13.3.1.4).

        It waits until a reliable description that was sent before is acknowledged, and goes without
        ``sdp`` then: the session is agreed on (RFC 3262 5).
        """
        raise CallStateError("only a call that came in can be accepted")

    def reject(self, status: int, reason: str | None = None, headers: HeaderLines = ()) -> bool:
        """Answer with 300 to 699; the call is over."""
        raise CallStateError("only a call that came in can be rejected")

    def hangup(self, headers: HeaderLines = (), status: int = 480) -> bool:
        """End the call whatever its state: BYE, CANCEL, or the final response ``status``.

        While an ACK is outstanding the BYE waits for it (RFC 3261 section 15), and so does
        ``on_ended``; the same with the outcome of a CANCEL.
        """
        if self.state is CallState.ENDED:
            return False
        lines = tuple(headers)
        if self.state is CallState.CONFIRMED:
            said = EndCause(EndedBy.LOCAL, 200, "OK", reason_of(lines)) if lines else GOODBYE
            self._leave(lines, said)
        else:
            self._give_up(lines, status)
        return True

    def reinvite(self, offer: Offer | None) -> bool:
        """Offer a change of the session (None: ask for an offer); ends in ``on_reinvited``.

        It waits for the end of an INVITE of the peer (RFC 3261 14.1). CallStateError before the
        call is confirmed or while another one of ours is under way.
        """
        if self.state is CallState.ENDED:
            return False
        busy = self._reinvite is not None
        if self.state is not CallState.CONFIRMED or self.dialog is None or busy:
            raise CallStateError("another INVITE of this call is still under way")
        self._reinvite = Reinvite(self, self.dialog, offer)
        self._reinvite()
        return True

    def update(self, offer: Offer | None) -> bool:
        """Offer a change by UPDATE (RFC 3311), or only refresh the session (None); ends in
        ``on_reinvited``. It can be done before the call is answered, once both sides have agreed
        reliably on a session; CallStateError before, and while another change is under way.
        """
        if self.state is CallState.ENDED:
            return False
        dialog = self._dialog_for_update()
        busy = self._update is not None or self._reinvite is not None
        if dialog is None or busy or (offer is not None and self._offering):
            raise CallStateError("another change of this call is still under way")
        self._update = Update(self, dialog, offer)
        self._update()
        return True

    def answer_challenges(self, credentials: Credentials) -> None:
        """Answer challenges to requests of ours in the call, unless it has credentials already."""
        dialog = self.dialog
        if dialog is not None and dialog.auth is None:
            dialog.auth = DigestClient(credentials, self.agent.new_token)

    # What the user agent tells the call

    def on_request(self, transaction: ServerTransaction, request: Request) -> None:
        """A request within the dialog, other than ACK and CANCEL."""
        method = request.method
        if self.state is CallState.ENDED and method != "BYE" and not self._outlived_by(method):
            self.agent.reject(transaction, request, NO_DIALOG)
        elif not (self.dialog or self.dialog_of(request)).accepts(request):
            self.agent.reject(transaction, request, OUT_OF_ORDER)
        elif method == "BYE" and self.state in _UNANSWERED:
            self._on_early_bye(transaction, request)
        elif method == "BYE":
            self._on_bye(transaction, request)
        elif method == "INVITE":
            self._on_reinvite(transaction, request)
        elif method == "OPTIONS":
            self.agent.answer_options(transaction, request)
        elif method == "INFO":
            self._on_info(transaction, request)
        elif method in ("REFER", "NOTIFY"):
            Refers.of(self).on_request(transaction, request)
        elif method == "UPDATE":
            answer_update(self, transaction, request)
        elif method == "PRACK":
            self._on_prack(transaction, request)
        else:
            self.agent.reject(transaction, request, METHOD)

    def _outlived_by(self, method: str) -> bool:
        """True for what may come though the call is over (RFC 5057)."""
        return method == "NOTIFY" and self.refers is not None and self.refers.awaits_notify

    def _on_info(self, transaction: ServerTransaction, request: Request) -> None:
        agent = self.agent
        if not agent.acceptable(transaction, request):
            return
        if not request.body:  # a sign of life
            agent.respond(transaction, request, 200)
            return
        if not is_digit_info(request):
            agent.reject(transaction, request, INFO_TYPE)
            return
        digit = read_digit(request)
        if digit is None:
            agent.reject(transaction, request, BAD_REQUEST)
            return
        agent.respond(transaction, request, 200)
        agent.tell(agent.handler.on_info_digit, self, digit)

    def on_ack(self, request: Request) -> None:
        """An ACK within the dialog."""
        pending = self._pending
        if pending is None or pending.cseq != request.cseq:
            self.agent.counters.add(Count.STRAY_ACKS)
            return
        self._acknowledged(pending, request.body or None if pending.late_offer else None)

    def _acknowledged(self, pending: PendingAck, sdp: bytes | None) -> None:
        first = self.state is CallState.ANSWERED
        self._pending = None
        pending.timer.cancel()
        self.state = CallState.CONFIRMED
        self.remote_sdp = sdp or self.remote_sdp
        if self._goodbye is not None:
            self.hangup(self._goodbye)
        elif first or pending.late_offer:
            try:
                self.agent.handler.on_ack(self, sdp)
            except Exception:  # noqa: BLE001 - whatever the user's code raises
                self.agent.handler_failed("on_ack")

    def on_no_ack(self) -> None:
        """64*T1 passed after our 200 (RFC 3261 13.3.1.4, 14.2): the session is over."""
        self.agent.counters.add(Count.ACK_TIMEOUTS)
        if self._goodbye is not None:
            self.state = CallState.CONFIRMED
            self.hangup(self._goodbye)
        else:
            cause = EndCause(EndedBy.ERROR, 408, "Request Timeout", "no ACK came for our 200")
            self._leave(NO_HEADERS, cause)

    def shut_down(self) -> None:
        """End now, whatever the peer has still to say."""
        cause = EndCause(EndedBy.LOCAL, 503, "Service Unavailable", "shutting down")
        if self.state in (CallState.ANSWERED, CallState.CONFIRMED):
            self._leave(NO_HEADERS, cause)  # nobody will wait for an ACK
        else:
            self.hangup(status=503)
            self._end(cause)

    # Within

    def _give_up(self, headers: tuple[tuple[str, str], ...], status: int) -> None:
        raise AssertionError("each role has its own")

    def _give_up_early(self, cause: EndCause) -> None:
        """The early dialog is lost: its INVITE still has to come to an end."""
        raise AssertionError("each role has its own")

    def _on_prack(self, transaction: ServerTransaction, request: Request) -> None:
        self.agent.reject(transaction, request, NO_RACK)

    def dialog_of(self, request: Request) -> Dialog:
        """The dialog in which ``request`` came."""
        assert self.dialog is not None
        return self.dialog

    def _dialog_for_update(self) -> Dialog | None:
        """The dialog in which we may send UPDATE now."""
        return self.dialog if self.state is CallState.CONFIRMED else None

    @property
    def _offering(self) -> bool:
        """True while an offer of ours is unanswered."""
        changes = (self._reinvite, self._update, self._refresh)
        return any(change is not None and change.in_progress for change in changes)

    def offer_conflict(self, request: Request) -> Rejection | None:
        """Why the offer in an UPDATE or PRACK cannot be answered now (RFC 3311 5.2)."""
        if self._offering or (self._pending is not None and self._pending.late_offer):
            return GLARE
        return None

    def must_wait(self, change: Reinvite) -> bool:
        """True while a re-INVITE of ours would meet an open INVITE (RFC 3261 14.1), or another
        offer of ours (RFC 3264 4)."""
        other = self._reinvite if change is self._refresh else self._refresh
        changes = (other, self._update)
        return self.awaits_ack or any(item is not None and item.in_progress for item in changes)

    def _on_bye(self, transaction: ServerTransaction, request: Request) -> None:
        self.agent.respond(transaction, request, 200)
        dialog = self.dialog or self.dialog_of(request)
        self.agent.calls_by_dialog.pop(dialog.key, None)
        text = request.headers.get("Reason")
        self._end(EndCause(EndedBy.REMOTE, 200, "OK", text) if text else FAREWELL)

    def _on_early_bye(self, transaction: ServerTransaction, request: Request) -> None:
        """BYE before the call was answered."""
        raise AssertionError("each role has its own")

    def _on_reinvite(self, transaction: ServerTransaction, request: Request) -> None:
        agent = self.agent
        if self._offering or self.state in (CallState.CALLING, CallState.CANCELLING):
            agent.reject(transaction, request, GLARE)  # RFC 3261 14.2
        elif self.state not in (CallState.ANSWERED, CallState.CONFIRMED):
            # The first INVITE has no final response yet (RFC 3261 14.2).
            agent.reject(transaction, request, self._later())
        elif self._pending is not None and self._pending.late_offer:
            # Our offer is still unanswered (RFC 5407 3.1.4).
            agent.reject(transaction, request, GLARE)
        elif agent.acceptable(transaction, request):
            self._answer_reinvite(transaction, request)

    def _later(self) -> Rejection:
        retry = (("Retry-After", str(self.agent.random.randint(0, 10))),)
        return Rejection(500, Count.REJECTED_GLARE, retry)

    def _answer_reinvite(self, transaction: ServerTransaction, request: Request) -> None:
        terms = terms_for(request, self.agent.config, self.session_timer)
        if isinstance(terms, Rejection):
            self.agent.reject(transaction, request, terms)
            return
        if self._pending is not None:
            # Only the ACK can have been lost: who sends a re-INVITE has seen our 200.
            self._acknowledged(self._pending, None)
        body = None if self.ended else self.ask_offer(transaction, request)
        if self.ended:
            self.agent.reject(transaction, request, NO_DIALOG)
        elif body is not None and self.dialog is not None:
            self.dialog.refresh_target(request)
            self.remote_sdp = request.body or self.remote_sdp
            self._send_answer(transaction, request, body, NO_HEADERS, terms)

    def ask_offer(self, transaction: ServerTransaction, request: Request) -> bytes | None:
        """The handler's answer to an offer in the dialog; None if it refused (and that is sent)."""
        try:
            return self.agent.handler.on_offer(self, request.body or None)
        except Refuse as refuse:
            self.agent.respond(transaction, request, refuse.status, reason=refuse.reason or None)
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.agent.handler_failed("on_offer")
            self.agent.respond(transaction, request, 500)
        return None

    def answer_to(self, offer: bytes) -> bytes | None:
        """The handler's answer to an offer that came in a 2xx; None if it has none."""
        self.remote_sdp = offer or self.remote_sdp
        if not offer or self.ended:
            return None
        try:
            return self.agent.handler.on_offer(self, offer)
        except Refuse:
            return None
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.agent.handler_failed("on_offer")
            return None

    def standing_offer(self) -> bytes | None:
        """The handler's offer of what stands; None if it fails."""
        try:
            return self.agent.handler.on_offer(self, None)
        except Refuse:
            return None
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.agent.handler_failed("on_offer")
            return None

    def _send_answer(
        self,
        transaction: ServerTransaction,
        request: Request,
        sdp: bytes,
        headers: HeaderLines,
        terms: Terms | None,
    ) -> None:
        """The 200 of an INVITE or re-INVITE, and the wait for its ACK."""
        lines = [
            ("Contact", self.agent.ways.contact(self.flow, self.invite.uri)),
            *ABILITIES,
            *headers,
        ]
        if sdp:
            lines.append(("Content-Type", SDP))
        if terms is not None or self.session_timer is not None:
            lines += self.timer_answered(terms)
        data = self.agent.respond(transaction, request, 200, lines, sdp, tag=self.id)
        late_offer = bool(sdp) and not request.body
        self._pending = PendingAck(self, data, transaction.flow, request, late_offer=late_offer)

    # Session timers (RFC 4028)

    def timer_lines(self) -> tuple[tuple[str, str], ...]:
        """What a re-INVITE or UPDATE of ours says of the session timer."""
        return NO_HEADERS if self.session_timer is None else self.session_timer.lines()

    def timer_answered(self, terms: Terms | None) -> tuple[tuple[str, str], ...]:
        """Our 2xx goes out with these terms; its headers."""
        if terms is None:
            self._stop_session_timer()
            return NO_HEADERS
        if self.session_timer is None:
            asked = IntervalAsked(terms.interval_s, terms.min_s)
            self.session_timer = SessionTimer(self, asked)
        self.session_timer.answered(terms)
        return terms.lines()

    def session_agreed(self, response: Response) -> None:
        """A 2xx to a re-INVITE or UPDATE of ours says how the session timer goes on."""
        timer = self.session_timer
        if timer is not None and not self.ended and not timer.agreed(response):
            self._stop_session_timer()

    def interval_raised(self, response: Response) -> bool:
        """True if a 422 is to be followed by another attempt."""
        timer = self.session_timer
        return timer is not None and not self.ended and timer.asked.raised_by(response)

    def refresh_session(self) -> None:
        """Send UPDATE where the peer takes it, else re-INVITE (RFC 4028 7.4); any other change that
        is under way refreshes the session as well."""
        changing = self._reinvite or self._update or self._refresh
        timer, dialog = self.session_timer, self.dialog
        if self.state is not CallState.CONFIRMED or changing or timer is None or dialog is None:
            return
        self.agent.counters.add(Count.SESSIONS_REFRESHED)
        if timer.by_update:
            self._refresh = Update(self, dialog, None)
        else:
            self._refresh = RefreshByInvite(self, dialog, None)
        self._refresh()

    def refresh_done(self, sdp: bytes | None) -> None:
        """Our refresh came to its end; ``sdp`` answers what it offered."""
        self._refresh = None
        if sdp is not None and not self.ended:
            self.remote_sdp = sdp
            self.agent.tell(self.agent.handler.on_answer, self, sdp)

    def session_expired(self) -> None:
        """Nobody has refreshed the session in time (RFC 4028 10)."""
        if self._pending is not None and self.session_timer is not None:
            self.session_timer.wait_on(self.agent.config.timing.t2_ms)  # for the ACK, or its end
            return
        self.agent.counters.add(Count.SESSIONS_EXPIRED)
        text = "session timer expired"
        cause = EndCause(EndedBy.ERROR, 408, "Request Timeout", text)
        self._leave((("Reason", f'SIP;cause=408;text="{text}"'),), cause)

    def _stop_session_timer(self) -> None:
        if self.session_timer is not None:
            self.session_timer.stop()
            self.session_timer = None

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self, headers: HeaderLines, cause: EndCause) -> None:
        """Send BYE. The dialog stays until it is answered, so that a crossing BYE gets its 200."""
        if self.dialog is not None:
            agent, dialog = self.agent, self.dialog
            watcher = ByeWatcher(agent, dialog)
            agent.send_in_dialog("BYE", dialog, self.flow, watcher, headers=headers)
        self._end(cause)

    def _end(self, cause: EndCause) -> None:
        if self.state is CallState.ENDED:
            return
        self.state = CallState.ENDED
        if self._timer is not None:
            self._drop_timer()
        if self._pending is not None:
            self._pending.timer.cancel()
            self._pending = None
        if self.session_timer is not None:
            self._stop_session_timer()
        for change in (self._reinvite, self._update, self._refresh):
            if change is not None:
                change.stop()
        self._reinvite = self._update = self._refresh = None
        if self.refers is not None:
            self.refers.on_call_ended(cause)
        self.agent.call_ended(self, cause)

    def reinvite_done(self, status: int, sdp: bytes | None) -> None:
        """Our re-INVITE came to its end; the session is changed if ``status`` is 2xx."""
        self._reinvite = None
        if not self.ended:
            self.remote_sdp = sdp or self.remote_sdp
            self.agent.tell(self.agent.handler.on_reinvited, self, status, sdp)

    def update_done(self, update: Update, status: int, sdp: bytes | None) -> None:
        """An UPDATE of ours came to its end."""
        if update is self._update:
            self._update = None
            self.remote_sdp = sdp or self.remote_sdp
            self.agent.tell(self.agent.handler.on_reinvited, self, status, sdp)
        elif update is self._refresh:
            self._refresh = None
            self._refresh_otherwise(status)

    def _refresh_otherwise(self, status: int) -> None:
        """A peer that does not know UPDATE, whatever its Allow said, is sent a re-INVITE."""
        if status in (405, 501) and self.session_timer is not None:
            self.session_timer.by_update = False
            self.refresh_session()

    def change_fatal(self, status: int, reason: str, text: str) -> None:
        """The peer has lost the dialog, so it is over (RFC 3261 12.2.1.2, RFC 5057 5)."""
        cause = EndCause(EndedBy.ERROR, status, reason, text)
        if self.answered:
            self._leave(NO_HEADERS, cause)
        elif not self.ended:
            self._give_up_early(cause)

    def offer_unanswered(self) -> None:
        """The peer's 2xx made an offer that we have no answer to: nothing to talk in."""
        if not self.ended:
            text = "no answer to the offer in the 200"
            self._leave(NO_HEADERS, EndCause(EndedBy.ERROR, 488, "Not Acceptable Here", text))


def reason_of(headers: HeaderLines) -> str:
    """The Reason header (RFC 3326) among ``headers``, or nothing."""
    return next((value for name, value in headers if name.lower() == "reason"), "")

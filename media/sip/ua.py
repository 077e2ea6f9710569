"""The user agent: takes messages, keeps calls and dialogs, tells a handler (RFC 3261 8, 12 to 15).

Sans-I/O: it sends through a `Sender`, and time comes from `Timers`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import structlog

from .._core import Tokens
from ..snapshot import SnapshotError
from .admission import Admission, Limits, Refusal
from .adoption import AdoptedCall, adopted_call
from .counters import Count, Counters
from .dialog import Dialog, DialogKey
from .digest import Credentials, DigestClient
from .edge import Flow, Sender, SendFailure, Timers
from .events import CallHandler, EndCause, EndedBy, HeaderLines, Refuse, TransferHandler
from .gate import Gate, GateRules
from .incoming import IncomingCall
from .invites import Reinvite
from .message import Headers, Request, Response, SipParseError, response_bytes
from .multipart import unwrap
from .outgoing import OnRedirect, OutgoingCall
from .refer import Referral, Referring, Untransferable
from .reject import SipReject
from .replaces import replaced_by
from .requests import PendingRequest, RequestSeries, request_outside
from .screening import (
    ABILITIES,
    ACCEPTED,
    ALLOW,
    BAD_REQUEST,
    MERGED,
    NO_DIALOG,
    SDP,
    SUPPORTED,
    Rejection,
    screen_content,
    screen_request,
)
from .session import CallState, SipCall
from .session_timer import MIN_SE_S, ask_lines, terms_for
from .transaction import (
    MAGIC_COOKIE,
    ClientUser,
    InviteClient,
    ServerTransaction,
    Timing,
    TransactionLayer,
    reply_flow,
)
from .uri import NameAddr, SipUri
from .ways import Ways, flow_of_peer

log = structlog.get_logger(__name__)

_ENDED = {
    EndedBy.LOCAL: Count.CALLS_ENDED_LOCAL,
    EndedBy.REMOTE: Count.CALLS_ENDED_REMOTE,
    EndedBy.ERROR: Count.CALLS_ENDED_ERROR,
}
_CAPABILITIES = (("Allow", ALLOW), ("Accept", ACCEPTED), ("Supported", SUPPORTED))


@dataclass(frozen=True, slots=True)
class UserAgentConfig:
    """``addresses``: for each listener the ``host:port`` that peers reach it by (IPv6 host in
    brackets), as it goes into Via and Contact; ``transports``: its ``UDP``, ``TCP`` or ``TLS``, and
    none if each takes all. ``answer_timeout_ms``: a call that nobody answers is given up after it.
    ``max_body_bytes``: longer bodies get 513. ``session_expires_s``: the session timer that calls
    of ours ask for, and the longest that we agree to (RFC 4028), 0 for none; ``min_se_s``: the
    shortest."""

    addresses: tuple[str, ...]
    transports: tuple[str, ...] = ()
    user: str = "ringwheel"
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    trying_ms: int = 200
    answer_timeout_ms: int = 180_000
    max_transactions: int = 200_000
    max_body_bytes: int = 32_768
    session_expires_s: int = 1_800
    min_se_s: int = MIN_SE_S


class UserAgent:
    """One SIP user agent over any number of listeners. One thread owns it."""

    def __init__(
        self,
        send: Sender,
        timers: Timers,
        config: UserAgentConfig,
        handler: CallHandler,
        source: random.Random | None = None,
    ) -> None:
        """``source`` makes tags and branches; the system's secure one by default."""
        self.send = send
        self.timers = timers
        self.config = config
        self.handler = handler
        self.random = source or random.SystemRandom()
        # 64 random bits as text: a tag, a Call-ID, what follows the cookie of a branch.
        self.new_token = Tokens(self.random)
        self.counters = Counters()
        self.admission = Admission(config.limits, timers, self.counters)
        self.ways = Ways(config.user, config.addresses, config.transports)
        self.transactions = TransactionLayer(
            send,
            timers,
            self,
            counters=self.counters,
            timing=config.timing,
            limit=config.max_transactions,
            ways=self.ways,
        )
        self.gate: Gate | None = None
        self._invite_lines = ABILITIES + ask_lines(config)
        # Who takes the requests within a dialog; those of no dialog here get 481.
        self.calls_by_dialog: dict[DialogKey, SipCall] = {}
        self._calls: dict[str, SipCall] = {}
        self.refers: set[Referring | Referral] = set()
        self.transfers: TransferHandler = Untransferable()
        self._closed = False
        self.on_disconnected: Callable[[Flow], object] = lambda _: None
        """Told of each connection that the edge had opened and that is gone."""
        self.unreadable = [0] * len(SipReject)
        self._stateless = self.new_token()  # makes the tags of such answers ours

    # What the edge calls

    def receive(self, message: Request | Response, flow: Flow) -> None:
        """A message came in on ``flow``."""
        if self._closed:
            return
        if isinstance(message, Request):
            if self.gate is None or self.gate.passes(message, flow):
                unwrap(message)
                self.transactions.receive_request(message, flow)
        else:
            unwrap(message)
            self.transactions.receive_response(message)

    def undelivered(self, message: Request | Response, failure: SendFailure) -> None:
        """A message of ours did not get away."""
        if not self._closed:
            self.transactions.undelivered(message, failure)

    def disconnected(self, flow: Flow, failure: SendFailure) -> None:
        """A connection that the edge had opened is gone."""
        if not self._closed:
            self.transactions.disconnected(flow, failure)
            self.tell(self.on_disconnected, flow)

    def refused(self, branch: str, method: str, failure: SendFailure) -> None:
        """A datagram with a request of ours came back, or could not be sent."""
        if not self._closed:
            self.transactions.refused(branch, method, failure)

    def guard(self, rules: GateRules | None) -> Gate | None:
        """Serve only whom ``rules`` let in, from now on (None: everybody); calls that run go on."""
        if rules is None:
            self.gate = None
        elif self.gate is None:
            self.gate = Gate(rules, self.timers, self.counters, self)
        else:
            self.gate.reload(rules)
        return self.gate

    def receive_error(self, error: SipParseError, flow: Flow) -> None:
        """Something came in that is no SIP: answered without state where it can be (8.2.7)."""
        self.counters.add(Count.PARSE_ERRORS)
        self.unreadable[error.reason] += 1
        partial, status = error.partial, error.status
        if self._closed or partial is None or status is None:
            return
        if self.gate is not None and not self.gate.passes(partial, flow):
            return
        refusal = self.admission.charge(flow.remote_host)
        if refusal is not None:
            self.admission.note(refusal, flow.remote_host)
            return
        self.refuse(partial, status, flow)

    def dial(
        self,
        uri: str,
        sdp: bytes | None,
        flow: Flow,
        *,
        from_uri: str,
        display_name: str = "",
        headers: HeaderLines = (),
        credentials: Credentials | None = None,
        on_redirect: OnRedirect | None = None,
        speech: bool = False,
    ) -> OutgoingCall:
        """Place a call to ``uri`` by way of ``flow``; without ``sdp`` the peer makes the offer.

        ``credentials`` answer challenges to the INVITE and to every request of ours in the call.
        Without ``on_redirect`` a 3xx ends the call, and the end cause has its targets. ``speech``:
        it is a session with a speech server. Refuse: no room for a call, or draining. ValueError: a
        malformed URI or header.
        """
        SipUri.parse(uri)
        caller = _caller(from_uri, display_name)
        invite = self._make_invite(uri, sdp, flow, caller, headers)
        refusal = self.admission.admit_speech() if speech else self.admission.no_call()
        if refusal is not None:
            self.admission.note(refusal, flow.remote_host)
            raise Refuse(503, "Service Unavailable", refusal.text)
        if speech:
            self.counters.add(Count.SPEECH_SESSIONS_DIALLED)
        else:
            self.admission.calls += 1
            self.counters.add(Count.CALLS_DIALLED)
        auth = None if credentials is None else DigestClient(credentials, self.new_token)
        call = OutgoingCall(self, invite, flow, auth, on_redirect, speech=speech)
        self._calls[call.id] = call
        return call

    def adopt(
        self, state: Mapping[str, Any], flow: Flow, credentials: Credentials | None = None
    ) -> AdoptedCall:
        """Go on with a confirmed call of another user agent, as `adoption.snapshot_of` wrote it
        down, whose peer is reached by ``flow``. The first thing to do is a re-INVITE: the peer
        does not know this agent yet. ``credentials``, which nobody writes down, answer challenges.

        SnapshotError: it cannot be read, or the call is here. Refuse: no room, or draining.
        """
        call = adopted_call(self, state, flow)
        if call.dialog.key in self.calls_by_dialog or call.id in self._calls:
            raise SnapshotError(f"call {call.id} is here already")
        if credentials is not None:
            call.answer_challenges(credentials)
        refusal = self.admission.no_call()
        if refusal is not None:
            raise Refuse(503, "Service Unavailable", refusal.text)
        self.admission.calls += 1
        self.counters.add(Count.CALLS_ADOPTED)
        self._calls[call.id] = call
        self.calls_by_dialog[call.dialog.key] = call
        if call.session_timer is not None:
            call.session_timer.go_on()
        return call

    def request(
        self,
        method: str,
        uri: str,
        flow: Flow,
        *,
        from_uri: str,
        to_uri: str | None = None,
        headers: HeaderLines = (),
        body: bytes = b"",
        user: ClientUser | None = None,
        credentials: Credentials | None = None,
        series: RequestSeries | None = None,
    ) -> PendingRequest:
        """Send a request outside of dialogs (no INVITE); ``user`` hears what becomes of it.

        ``to_uri`` is ``uri`` unless given. Requests that belong together share a ``series``, which
        has credentials of its own. ValueError: a malformed URI or header.
        """
        series = series or RequestSeries(self, credentials)
        request = request_outside(
            self,
            method,
            uri,
            flow,
            from_uri=from_uri,
            to_uri=to_uri or uri,
            headers=headers,
            body=body,
            series=series,
        )
        return PendingRequest(
            self, request, flow, user, auth=series.auth, next_cseq=series.next_cseq
        )

    def drain(self) -> None:
        """From now on answer new calls with 503 and Retry-After; those that run go on."""
        self.admission.draining = True

    def shutdown(self) -> None:
        """End every call now (BYE, CANCEL or 503, sent once), drop every timer, ignore the rest."""
        self.drain()
        for call in list(self._calls.values()):
            call.shut_down()
        for refer in list(self.refers):
            refer.stop()
        self.transactions.close()
        self.calls_by_dialog.clear()
        self._closed = True

    @property
    def calls(self) -> int:
        """Calls that are not over."""
        return len(self._calls)

    def calls_by_state(self) -> dict[str, int]:
        """How many calls are in which state, those of no call included."""
        states = (state.name.lower() for state in CallState if state is not CallState.ENDED)
        found = dict.fromkeys(states, 0)
        for call in (call for call in self._calls.values() if not call.speech):
            found[call.state.name.lower()] += 1
        return found

    @property
    def dialogs(self) -> int:
        """Dialogs, early ones and those whose BYE is unanswered included."""
        return len(self.calls_by_dialog)

    # What the gate asks (`Served`)

    def has_call(self, tag: str) -> bool:
        """True if ``tag`` is our side's of a call that is not over."""
        return tag in self._calls

    def expects(self, branch: str, method: str) -> bool:
        """True if a request of ours waits for a response."""
        return self.transactions.expects(branch, method)

    def knows(self, request: Request) -> bool:
        """True if a request belongs to a transaction that was let in."""
        return self.transactions.knows(request)

    def refuse(self, request: Request, status: int, flow: Flow, headers: HeaderLines = ()) -> None:
        """Answer without a transaction, a retransmission the same way (RFC 3261 8.2.7)."""
        try:
            target = reply_flow(request, flow)
        except ValueError:
            return  # no Via that leads anywhere
        tag = f"{hash((self._stateless, request.branch, request.call_id)) & 2**64 - 1:016x}"
        self.send(response_bytes(request, status, None, headers, to_tag=tag), target)

    # What the transaction layer calls

    def on_request(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """A new request."""
        if request.method == "CANCEL":
            self._on_cancel(transaction, request)
        elif request.to_tag is None:
            self._on_initial(transaction, request, flow)
        else:
            call = self.calls_by_dialog.get(
                (request.call_id, request.to_tag, request.from_tag or "")
            )
            if call is None:
                self.reject(transaction, request, NO_DIALOG)
            else:
                call.on_request(transaction, request)

    def on_merged(self, transaction: ServerTransaction, request: Request) -> None:
        """The same request came by another way (RFC 3261 8.2.2.2)."""
        self.reject(
            transaction,
            request,
            screen_request(request, 2**31, transaction.flow.transport) or MERGED,
        )

    def on_ack(self, request: Request, flow: Flow) -> None:
        """An ACK for a 2xx, or a stray one."""
        key = request.call_id, request.to_tag or "", request.from_tag or ""
        call = self.calls_by_dialog.get(key)
        if call is None:
            self.counters.add(Count.STRAY_ACKS)
        else:
            call.on_ack(request)

    def on_table_full(self, request: Request, flow: Flow) -> None:
        """No room for a transaction."""
        headers = [("Retry-After", str(self.config.limits.retry_after_s))]
        self.refuse(request, 503, flow, headers)

    def _on_cancel(self, transaction: ServerTransaction, request: Request) -> None:
        invite = self.transactions.invite_of(request)
        if invite is None:
            self.reject(transaction, request, NO_DIALOG)
            return
        self.respond(transaction, request, 200, tag=invite.tag)
        if isinstance(invite.owner, IncomingCall):
            invite.owner.on_cancel(request)

    def _on_initial(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        admission = self.admission
        refusal = admission.charge(flow.remote_host) if admission.charges else None
        if refusal is not None:
            self._refuse(transaction, request, refusal, flow)
            return
        try:
            rejection = screen_request(request, self.config.max_body_bytes, flow.transport)
            if rejection is not None:
                self.reject(transaction, request, rejection)
            elif request.method == "INVITE":
                self._on_invite(transaction, request, flow)
            else:
                self._on_options(transaction, request, flow)
        except SipParseError:
            self.reject(transaction, request, BAD_REQUEST)

    def _on_options(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        # RFC 3261 11.2: the status that an INVITE would get now.
        refusal = self.admission.no_call()
        if refusal is not None:
            self._refuse(transaction, request, refusal, flow)
        else:
            self.answer_options(transaction, request)

    def _on_invite(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        refusal = self.admission.no_call()
        if refusal is not None:
            self._refuse(transaction, request, refusal, flow)
            return
        replaces = request.headers.get("Replaces")
        replaced = (
            None if replaces is None else replaced_by(request, replaces, self.calls_by_dialog)
        )
        if isinstance(replaced, Rejection):
            self.reject(transaction, request, replaced)
            return
        timed = "Session-Expires" in request.headers
        terms = terms_for(request, self.config, None) if timed else None
        if isinstance(terms, Rejection):
            self.reject(transaction, request, terms)
            return
        call = IncomingCall(self, transaction, request, flow_of_peer(request, flow), terms)
        self.admission.calls += 1
        self.counters.add(Count.CALLS_OFFERED)
        self._calls[call.id] = call
        try:
            if replaced is None:
                self.handler.on_invite(call)
            else:
                self.transfers.on_replaces(call, replaced)
                if call.answered:
                    self.counters.add(Count.CALLS_REPLACED)
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.handler_failed("on_invite")
            call.hangup(status=500)

    # What calls use

    def tell(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call the handler; what it raises is logged and counted."""
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.handler_failed(getattr(callback, "__name__", repr(callback)))

    def handler_failed(self, callback: str) -> None:
        """Log and count the exception that is being handled."""
        self.counters.add(Count.HANDLER_ERRORS)
        log.exception("call handler failed", callback=callback)

    def respond(
        self,
        transaction: ServerTransaction,
        request: Request,
        status: int,
        headers: HeaderLines = (),
        body: bytes = b"",
        *,
        reason: str | None = None,
        tag: str | None = None,
    ) -> bytes:
        """Answer a request by its transaction; returns the bytes that were sent."""
        if request.to_tag is None and status > 100:
            transaction.tag = tag or transaction.tag or self.new_token()
        data = response_bytes(request, status, reason, headers, body, to_tag=transaction.tag)
        transaction.respond(status, data)
        return data

    def reject(
        self, transaction: ServerTransaction, request: Request, rejection: Rejection
    ) -> None:
        """Answer with a rejection, and count it."""
        self.counters.add(rejection.count)
        self.respond(transaction, request, rejection.status, rejection.headers)

    def acceptable(self, transaction: ServerTransaction, request: Request) -> bool:
        """Check a request within a dialog; False if it was rejected."""
        rejection = screen_content(request, self.config.max_body_bytes)
        if rejection is not None:
            self.reject(transaction, request, rejection)
        return rejection is None

    def answer_options(self, transaction: ServerTransaction, request: Request) -> None:
        """What we can do (RFC 3261 11.2)."""
        self.respond(transaction, request, 200, _CAPABILITIES)

    def via(self, flow: Flow) -> tuple[str, str]:
        """A new Via value for a request that goes by ``flow``, and its branch."""
        branch = MAGIC_COOKIE + self.new_token()
        return self.ways.via(flow, branch), branch

    def contact(self, flow: Flow, uri: str = "") -> str:
        """Our Contact on the listener of ``flow``, towards ``uri``, which may be a SIPS URI."""
        return self.ways.contact(flow, uri)

    def call_ended(self, call: SipCall, cause: EndCause) -> None:
        """The one place where a call is let go and ``on_ended`` is called."""
        del self._calls[call.id]
        if call.speech:
            self.admission.release_speech()
            self.counters.add(Count.SPEECH_SESSIONS_ENDED)
        else:
            self.admission.calls -= 1
            self.counters.add(_ENDED[cause.by])
        try:
            self.handler.on_ended(call, cause)
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            self.handler_failed("on_ended")

    def ack(self, dialog: Dialog, flow: Flow, cseq: int, sdp: bytes | None) -> tuple[bytes, Flow]:
        """The ACK for a 2xx (RFC 3261 13.2.2.4), and where it goes."""
        lines: tuple[tuple[str, str], ...] = (("Content-Type", SDP),) if sdp else ()
        if dialog.auth is not None:
            lines += dialog.auth.ack_lines
        hop = dialog.hop or self._hop_of(dialog, flow)
        branch = MAGIC_COOKIE + self.new_token()
        via = self.ways.via(hop, branch)
        return dialog.request("ACK", cseq, via, branch, lines, body=sdp or b"").to_bytes(), hop

    def send_in_dialog(
        self,
        method: str,
        dialog: Dialog,
        flow: Flow,
        user: ClientUser | None,
        *,
        headers: HeaderLines = (),
        body: bytes = b"",
    ) -> int:
        """Send a request within a dialog (no INVITE, no ACK); ``user`` hears what becomes of it.

        Returns its CSeq number. Challenges are answered with the credentials of the dialog, where
        it has some.
        """
        hop = dialog.hop or self._hop_of(dialog, flow)
        cseq = dialog.local_cseq = dialog.local_cseq + 1
        branch = MAGIC_COOKIE + self.new_token()
        request = dialog.request(
            method, cseq, self.ways.via(hop, branch), branch, headers, body=body
        )
        if dialog.auth is None:
            self.transactions.send_request(request, hop, user)
        else:
            PendingRequest(self, request, hop, user, auth=dialog.auth, next_cseq=dialog.next_cseq)
        return cseq

    def send_reinvite(
        self,
        dialog: Dialog,
        flow: Flow,
        sdp: bytes | None,
        user: Reinvite,
        headers: HeaderLines = (),
    ) -> InviteClient:
        """Send a re-INVITE; ``user`` hears what becomes of it."""
        hop = dialog.hop or self._hop_of(dialog, flow)
        lines = [
            ("Contact", self.contact(flow, dialog.remote_target)),
            *ABILITIES,
            *headers,
        ]
        if sdp:
            lines.append(("Content-Type", SDP))
        invite = dialog.request(
            "INVITE", dialog.next_cseq(), *self.via(hop), lines, body=sdp or b""
        )
        if dialog.auth is not None:
            dialog.auth.sign(invite)
        return self.transactions.send_invite(invite, hop, user)

    # Within

    def _refuse(
        self, transaction: ServerTransaction, request: Request, refusal: Refusal, flow: Flow
    ) -> None:
        self.admission.note(refusal, flow.remote_host)
        self.respond(transaction, request, 503, self.admission.lines(refusal))

    def _hop_of(self, dialog: Dialog, flow: Flow) -> Flow:
        """Where requests in a dialog go that ``flow`` brought us into, decided once for its target
        and routes."""
        uri = dialog.next_hop() if dialog.route_set else dialog.remote_target
        dialog.hop = self.ways.next_hop(uri, flow)
        return dialog.hop

    def _make_invite(
        self, uri: str, sdp: bytes | None, flow: Flow, caller: str, headers: HeaderLines
    ) -> Request:
        branch = MAGIC_COOKIE + self.new_token()
        call_id, tag = self.new_token(), self.new_token()
        lines = [
            ("Via", self.ways.via(flow, branch)),
            ("From", f"{caller};tag={tag}"),
            ("To", f"<{uri}>"),
            ("Call-ID", call_id),
            ("CSeq", "1 INVITE"),
            ("Max-Forwards", "70"),
            ("Contact", self.ways.contact(flow, uri)),
            *self._invite_lines,
        ]
        if sdp:
            lines.append(("Content-Type", SDP))
        if headers:
            lines += Headers(headers)
        return Request(
            Headers.adopt(lines),
            method="INVITE",
            uri=uri,
            body=sdp or b"",
            call_id=call_id,
            cseq=1,
            cseq_method="INVITE",
            from_tag=tag,
            branch=branch,
        )


@lru_cache(maxsize=256)
def _caller(uri: str, display_name: str) -> str:
    """What stands in From, but for the tag. ValueError: a malformed URI, or a line break."""
    SipUri.parse(uri)
    ((_, value),) = Headers([("From", str(NameAddr(uri, display_name)))])
    return value

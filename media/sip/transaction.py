"""SIP transactions (RFC 3261 section 17, corrected by RFC 6026): four machines and their table.

Each machine is one timer. Where RFC 3261 runs two at once (A with B, E with F, G with H), it is
armed for the earlier of the next retransmission and the end, which ``deadline_ms`` tells.
A transaction is its own timer, and the callback of that, so that nothing but the transaction and,
where the RFC asks for it, the bytes of its last answer stay behind while it lingers for 32 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from .._core import Timer, client_key, merge_key_of, server_key
from .counters import Count, Counters
from .edge import Flow, Sender, SendFailure, Timers
from .failure import Datagram, by_stream, failed_response
from .message import Headers, Request, Response, parse, stamp_via
from .ways import MAX_DATAGRAM_BYTES, Ways, reply_way

MAGIC_COOKIE = "z9hG4bK"
UNRELIABLE = "UDP"

STREAMLESS_MS = 600_000
"""How long large requests go by UDP at once to whom no connection was to be had."""

MAX_STREAMLESS = 1_024


@dataclass(frozen=True, slots=True)
class Timing:
    """The constants of RFC 3261 table 4. Every timer A to M is computed from them."""

    t1_ms: int = 500
    t2_ms: int = 4_000
    t4_ms: int = 5_000
    wait_d_ms: int = 32_000
    give_up_ms: int = field(init=False, repr=False, compare=False)
    """64*T1: timers B, F, H, J, L and M."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "give_up_ms", 64 * self.t1_ms)


class State(Enum):
    """States of the machines in RFC 3261 figures 5 to 8 and RFC 6026 section 8."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class TransactionUser(Protocol):
    """What the layer above is told about requests."""

    def on_request(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """A new request; the user owes ``transaction`` a final response."""

    def on_merged(self, transaction: ServerTransaction, request: Request) -> None:
        """The same request came before by another way (RFC 3261 section 8.2.2.2)."""

    def on_ack(self, request: Request, flow: Flow) -> None:
        """An ACK that no transaction absorbed: one for a 2xx, or a stray."""

    def on_table_full(self, request: Request, flow: Flow) -> None:
        """No room for a transaction: answer without one, or not at all."""


class ClientUser(Protocol):
    """What the owner of a client transaction is told."""

    def on_response(self, response: Response) -> None:
        """A response that is not a retransmission (for an INVITE, every 2xx: RFC 6026 8.4)."""

    def on_timeout(self) -> None:
        """Timer B or F: nobody answered. The transaction is over."""


class Transaction(Timer):
    """What the four machines share: identity, peer, state, and being a timer."""

    __slots__ = ("_layer", "deadline_ms", "flow", "interval_ms", "key", "state")

    def __init__(self, layer: TransactionLayer, key: str, flow: Flow, state: State) -> None:
        self._layer = layer
        self.key = key
        self.flow = flow
        self.state = state
        self.interval_ms = 0
        self.deadline_ms = 0

    def __call__(self) -> None:
        """The timer expired."""
        raise AssertionError("each machine has its own")

    def _start_retransmitting(self) -> None:
        timing, timers = self._layer.timing, self._layer.timers
        self.interval_ms = timing.t1_ms
        self.deadline_ms = timers.now_ms + timing.give_up_ms
        reliable = self.flow.transport != UNRELIABLE
        timers.arm(timing.give_up_ms if reliable else timing.t1_ms, self)

    def _wait_longer(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        timers = self._layer.timers
        timers.arm(min(interval_ms, self.deadline_ms - timers.now_ms), self)

    def _given_up(self) -> bool:
        return self._layer.timers.now_ms >= self.deadline_ms

    def _linger(self, state: State, delay_ms: int) -> None:
        """Stay in the table for ``delay_ms`` to catch what still comes."""
        self.state = state
        self._layer.timers.arm(delay_ms, self)

    def _linger_on_udp(self, state: State, delay_ms: int) -> None:
        """Stay in the table where datagrams may still come (again); else nothing does."""
        if self.flow.transport == UNRELIABLE:
            self._linger(state, delay_ms)
        else:
            self.terminate()

    def terminate(self) -> None:
        """Leave the table."""
        self.state = State.TERMINATED
        self.cancel()
        self._layer.remove(self)


class ServerTransaction(Transaction):
    """A request that came to us. ``tag`` is the To tag of our answers; ``owner`` is the call."""

    __slots__ = ("merge_key", "owner", "response", "tag")

    def __init__(self, layer: TransactionLayer, key: str, flow: Flow, merge_key: int) -> None:
        super().__init__(layer, key, flow, State.PROCEEDING)
        self.merge_key = merge_key
        self.response: bytes | None = None
        self.tag: str | None = None
        self.owner: object | None = None

    def respond(self, status: int, data: bytes) -> bool:
        """Send a response; False if a final one was sent before (then nothing is sent)."""
        if self.state is not State.PROCEEDING:
            return False
        self.response = data
        if status >= 200:
            self.owner = None
            self._finish(status)
        self._layer.send(data, self.flow)
        return True

    def receive(self, request: Request, flow: Flow) -> None:
        """A request that matched this transaction."""
        raise AssertionError("each machine has its own")

    def _finish(self, status: int) -> None:
        raise AssertionError("each machine has its own")


class InviteServer(ServerTransaction):
    """RFC 3261 17.2.1 with RFC 6026 7.1: PROCEEDING, COMPLETED, CONFIRMED or ACCEPTED."""

    __slots__ = ()

    def receive(self, request: Request, flow: Flow) -> None:
        if request.method == "ACK":
            self._acknowledged(request, flow)
            return
        self._layer.counters.add(Count.RETRANSMISSIONS_ABSORBED)
        # ACCEPTED absorbs (RFC 6026 7.1): the user retransmits the 2xx by its own clock.
        if self.response is not None and self.state in (State.PROCEEDING, State.COMPLETED):
            self._layer.send_again(self.response, self.flow)

    def _acknowledged(self, request: Request, flow: Flow) -> None:
        if self.state is State.COMPLETED:
            self.response = None
            self._linger_on_udp(State.CONFIRMED, self._layer.timing.t4_ms)  # timer I
        elif self.state is State.ACCEPTED:
            # An ACK for a 2xx has a branch of its own, but not from RFC 2543 clients.
            self._layer.user.on_ack(request, flow)

    def _finish(self, status: int) -> None:
        if status < 300:
            self.response = None
            self._linger(State.ACCEPTED, self._layer.timing.give_up_ms)  # timer L
        else:
            self.state = State.COMPLETED
            self._start_retransmitting()  # timers G and H

    def __call__(self) -> None:
        if self.state is not State.COMPLETED:
            self.terminate()  # timer I or L
        elif self._given_up():
            self._layer.counters.add(Count.ACK_TIMEOUTS)
            self.terminate()  # timer H
        elif self.response is not None:
            self._layer.send_again(self.response, self.flow)
            self._wait_longer(min(2 * self.interval_ms, self._layer.timing.t2_ms))  # timer G


class NonInviteServer(ServerTransaction):
    """RFC 3261 17.2.2. TRYING is PROCEEDING with no response to repeat yet."""

    __slots__ = ()

    def receive(self, request: Request, flow: Flow) -> None:
        self._layer.counters.add(Count.RETRANSMISSIONS_ABSORBED)
        if self.response is not None:
            self._layer.send_again(self.response, self.flow)

    def _finish(self, status: int) -> None:
        self._linger_on_udp(State.COMPLETED, self._layer.timing.give_up_ms)  # timer J

    def __call__(self) -> None:
        self.terminate()


class ClientTransaction(Transaction):
    """A request of ours. ``data`` is kept only while it may have to be sent again."""

    __slots__ = ("data", "datagram", "user")

    def __init__(
        self,
        layer: TransactionLayer,
        request: Request,
        flow: Flow,
        user: ClientUser | None,
        state: State = State.TRYING,
    ) -> None:
        super().__init__(layer, client_key(request), flow, state)
        self.user = user
        self.data: bytes | None = None
        self.datagram: Datagram | None = None

    def start(self, data: bytes) -> None:
        """Send the request and start the timers (A and B, or E and F)."""
        self.data = data
        self._start_retransmitting()
        self._layer.send(data, self.flow)

    def receive(self, response: Response) -> None:
        """A response that matched this transaction."""
        raise AssertionError("each machine has its own")

    def undelivered(self, failure: SendFailure) -> None:
        """The request did not get away (RFC 3261 17.1.4): a 503 for its user (8.1.3.1)."""
        data, datagram, self.datagram = self.data, self.datagram, None
        if data is None or self.state not in (State.CALLING, State.TRYING):
            return
        if failure.unconnected and datagram is not None:
            self._layer.note_streamless(datagram.flow)
            self.flow = datagram.flow
            self.start(datagram.restore())
            return
        user, self.user = self.user, None
        self._layer.counters.add(Count.TRANSPORT_FAILURES)
        self.terminate()
        if user is not None:
            user.on_response(failed_response(data, failure))

    def refused(self, failure: SendFailure) -> None:
        """The network gave the datagram back (RFC 3261 18.4).

        Once may be a peer that starts anew, and says nothing about who is asked again after T1;
        twice is believed. So a forged ICMP message harms no request that is answered within T1.
        Within a dialog it is repeated to the end all the same: it has no other way to go, and a
        proxy that starts anew is back before, and wants the BYE.
        """
        if self.flow.transport != UNRELIABLE or self.interval_ms <= self._layer.timing.t1_ms:
            return
        if self.data is not None and parse(self.data).to_tag is None:
            self.undelivered(failure)

    def _timed_out(self) -> None:
        user, self.user = self.user, None
        self._layer.counters.add(Count.TRANSACTION_TIMEOUTS)
        self.terminate()
        if user is not None:
            user.on_timeout()

    def terminate(self) -> None:
        # The user may hold the transaction: let go of it, or only the collector frees the two.
        self.user = None
        super().terminate()

    def _stray(self) -> None:
        self._layer.counters.add(Count.STRAY_RESPONSES)


class InviteClient(ClientTransaction):
    """RFC 3261 17.1.1 with RFC 6026 7.2: CALLING, PROCEEDING, COMPLETED or ACCEPTED."""

    __slots__ = ("request",)

    def __init__(
        self, layer: TransactionLayer, request: Request, flow: Flow, user: ClientUser
    ) -> None:
        super().__init__(layer, request, flow, user, State.CALLING)
        self.request: Request | None = request

    def receive(self, response: Response) -> None:
        if self.state is State.CALLING or self.state is State.PROCEEDING:
            self._first_final(response) if response.status >= 200 else self._provisional(response)
        elif self.state is State.COMPLETED and response.status >= 300 and self.data is not None:
            self._layer.send_again(self.data, self.flow)
        elif response.status // 100 == 2 and self.user is not None:
            self.user.on_response(response)
        elif self.request is not None and response.status >= 300:
            self.user = None
            self._first_final(response)
        else:
            self._stray()

    def _provisional(self, response: Response) -> None:
        self.state = State.PROCEEDING
        self.data = None
        self.cancel()
        if self.user is not None:
            self.user.on_response(response)

    def unwanted(self) -> None:
        """Nobody waits for an answer any more: where TCP fails, it does not go by UDP."""
        self.datagram = None

    def expire_in(self, delay_ms: int) -> None:
        """Bound the wait for a final response after a provisional one, which has no timer."""
        if self.state is State.PROCEEDING:
            self._layer.timers.arm(delay_ms, self)

    def abandon(self, user: ClientUser) -> None:
        """No final response came in time: tell ``user`` of every 2xx that comes too late."""
        self.user, self.data = user, None
        self._layer.keep(self)
        self._linger(State.ACCEPTED, self._layer.timing.give_up_ms)

    def _first_final(self, response: Response) -> None:
        user, request = self.user, self.request
        self.request = self.data = None
        if response.status < 300:
            self._linger(State.ACCEPTED, self._layer.timing.give_up_ms)  # timer M
        elif request is not None:
            self.user = None
            self.data = ack_for_failure(request, response).to_bytes()
            self._layer.send_again(self.data, self.flow)
            self._linger_on_udp(State.COMPLETED, self._layer.timing.wait_d_ms)  # timer D
        if user is not None:
            user.on_response(response)

    def __call__(self) -> None:
        if self.state is State.PROCEEDING:
            self._timed_out()
        elif self.state is not State.CALLING:
            self.terminate()  # timer D or M
        elif self._given_up():
            self._timed_out()  # timer B
        elif self.data is not None:
            self._layer.send_again(self.data, self.flow)
            self._wait_longer(2 * self.interval_ms)  # timer A doubles without a cap


class NonInviteClient(ClientTransaction):
    """RFC 3261 17.1.2: TRYING, PROCEEDING, COMPLETED."""

    __slots__ = ()

    def receive(self, response: Response) -> None:
        if self.state is State.COMPLETED:
            self._stray()
            return
        user = self.user
        if response.status < 200:
            self.state = State.PROCEEDING
        else:
            self.user = self.data = None
            self._linger_on_udp(State.COMPLETED, self._layer.timing.t4_ms)  # timer K
        if user is not None:
            user.on_response(response)

    def __call__(self) -> None:
        if self.state is State.COMPLETED:
            self.terminate()  # timer K
        elif self._given_up():
            self._timed_out()  # timer F
        elif self.data is not None:
            self._layer.send_again(self.data, self.flow)
            t2_ms = self._layer.timing.t2_ms
            proceeding = self.state is State.PROCEEDING
            self._wait_longer(t2_ms if proceeding else min(2 * self.interval_ms, t2_ms))  # timer E


class TransactionLayer:
    """The transactions that are alive, and the matching of messages to them."""

    def __init__(
        self,
        send: Sender,
        timers: Timers,
        user: TransactionUser,
        *,
        counters: Counters,
        timing: Timing,
        limit: int,
        ways: Ways | None = None,
    ) -> None:
        """``limit`` bounds the server transactions; a request beyond it goes to on_table_full.
        ``ways`` has the listener for requests that are too large for UDP."""
        self.send = send
        self.timers = timers
        self.user = user
        self.counters = counters
        self.timing = timing
        self._limit = limit
        self._ways = ways
        self._servers: dict[str, ServerTransaction] = {}
        self._clients: dict[str, ClientTransaction] = {}
        self._merge_keys: set[int] = set()
        self._streamless: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    def receive_request(self, request: Request, flow: Flow) -> None:
        """Match a request (RFC 3261 17.2.3), or open a transaction for it."""
        self.counters.add(Count.REQUESTS)
        method = request.method
        key = server_key(request, method)
        known = self._servers.get(key)
        if known is not None:
            known.receive(request, flow)
        elif method == "ACK":
            self.user.on_ack(request, flow)
        elif len(self._servers) >= self._limit:
            self.counters.add(Count.TRANSACTION_TABLE_FULL)
            self.user.on_table_full(request, flow)
        else:
            self._open(key, request, flow)

    def _open(self, key: str, request: Request, flow: Flow) -> None:
        merge_key = merge_key_of(request)
        merged = merge_key in self._merge_keys
        machine = InviteServer if request.method == "INVITE" else NonInviteServer
        transaction = machine(self, key, reply_flow(request, flow), 0 if merged else merge_key)
        self._servers[key] = transaction
        if merged:
            self.user.on_merged(transaction, request)
            return
        if merge_key:
            self._merge_keys.add(merge_key)
        self.user.on_request(transaction, request, flow)

    def invite_of(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE transaction that a CANCEL means (RFC 3261 section 9.2)."""
        return self._servers.get(server_key(cancel, "INVITE"))

    def knows(self, request: Request) -> bool:
        """True for a retransmission, the ACK to a refusal, and the CANCEL of an INVITE that is
        open."""
        method = request.method
        return server_key(request, "INVITE" if method == "CANCEL" else method) in self._servers

    def expects(self, branch: str, method: str) -> bool:
        """True if a request of ours of that branch and method is under way."""
        return f"{branch} {method}" in self._clients

    def receive_response(self, response: Response) -> None:
        """Match a response by branch and CSeq method (RFC 3261 17.1.3); count a stray one."""
        self.counters.add(Count.RESPONSES)
        transaction = self._clients.get(f"{response.branch} {response.cseq_method}")
        via = response.headers.only("Via")
        # More than one Via value: not meant for us (RFC 3261 8.1.3.3). Our own holds no comma.
        if transaction is None or via is None or "," in via:
            self.counters.add(Count.STRAY_RESPONSES)
        else:
            transaction.receive(response)

    def send_invite(self, request: Request, flow: Flow, user: ClientUser) -> InviteClient:
        """Start an INVITE client transaction."""
        transaction = InviteClient(self, request, flow, user)
        self._start(transaction, request)
        return transaction

    def send_request(
        self, request: Request, flow: Flow, user: ClientUser | None = None
    ) -> NonInviteClient:
        """Start a client transaction for any method but INVITE and ACK."""
        transaction = NonInviteClient(self, request, flow, user)
        self._start(transaction, request)
        return transaction

    def _start(self, transaction: ClientTransaction, request: Request) -> None:
        data = request.to_bytes()
        flow, ways = transaction.flow, self._ways
        large = len(data) > MAX_DATAGRAM_BYTES and flow.transport == UNRELIABLE
        if large and ways is not None and not self._is_streamless(flow):
            transaction.flow, transaction.datagram = by_stream(request, flow, ways)
            data = request.to_bytes()
        self._clients[transaction.key] = transaction
        transaction.start(data)

    def note_streamless(self, flow: Flow) -> None:
        """Nobody takes connections where ``flow`` leads, or something on the way eats them: to wait
        for that with each request would take longer than many a peer has."""
        if len(self._streamless) >= MAX_STREAMLESS:
            self._streamless.clear()
        self._streamless[flow.remote_host, flow.remote_port] = self.timers.now_ms + STREAMLESS_MS

    def _is_streamless(self, flow: Flow) -> bool:
        until_ms = self._streamless.get((flow.remote_host, flow.remote_port))
        return until_ms is not None and self.timers.now_ms < until_ms

    def keep(self, transaction: ClientTransaction) -> None:
        """Go on matching responses to a transaction that has timed out."""
        self._clients[transaction.key] = transaction

    def send_again(self, data: bytes, flow: Flow) -> None:
        """Send what was sent before."""
        self.counters.add(Count.RETRANSMISSIONS_SENT)
        self.send(data, flow)

    def undelivered(self, message: Request | Response, failure: SendFailure) -> None:
        """A message did not get away: tell its transaction."""
        if isinstance(message, Response):
            self.counters.add(Count.TRANSPORT_FAILURES)
            server = self._servers.get(f"{message.branch} {message.sent_by} {message.cseq_method}")
            if server is not None and server.state is State.COMPLETED:
                server.terminate()  # RFC 3261 17.2.4: nobody is there to hear it again
        elif (client := self._clients.get(client_key(message))) is not None:
            client.undelivered(failure)

    def refused(self, branch: str, method: str, failure: SendFailure) -> None:
        """A datagram with a request came back: tell its transaction."""
        if (client := self._clients.get(f"{branch} {method}")) is not None:
            client.refused(failure)

    def disconnected(self, flow: Flow, failure: SendFailure) -> None:
        """A connection of ours is gone: requests that nobody has answered at all went with it."""
        lost = [client for client in self._clients.values() if client.flow == flow]
        for client in lost:
            client.undelivered(failure)

    def remove(self, transaction: Transaction) -> None:
        """Forget a transaction that is over."""
        if isinstance(transaction, ServerTransaction):
            self._servers.pop(transaction.key, None)
            self._merge_keys.discard(transaction.merge_key)
        else:
            self._clients.pop(transaction.key, None)

    def close(self) -> None:
        """End every transaction at once, telling nobody."""
        for transaction in [*self._servers.values(), *self._clients.values()]:
            transaction.terminate()


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Stamp the request with its source, and say where its responses go (RFC 3261 18.2)."""
    port = stamp_via(request, flow.remote_host, flow.remote_port)
    if flow.transport != UNRELIABLE:
        return reply_way(request, flow)
    if port == flow.remote_port:
        return flow
    return Flow(flow.remote_host, port, flow.listener, flow.transport)


def ack_for_failure(request: Request, response: Response) -> Request:
    """The ACK for a 3xx to 6xx, which is part of the INVITE's transaction (RFC 3261 17.1.1.3)."""
    original = request.headers
    headers = Headers([("Via", original.get("Via") or "")])
    for route in original.all("Route"):
        headers.add("Route", route)
    headers.add("From", original.get("From") or "")
    headers.add("To", response.headers.get("To") or original.get("To") or "")
    headers.add("Call-ID", request.call_id)
    headers.add("CSeq", f"{request.cseq} ACK")
    headers.add("Max-Forwards", "70")
    return Request(
        headers,
        method="ACK",
        uri=request.uri,
        call_id=request.call_id,
        cseq=request.cseq,
        cseq_method="ACK",
        branch=request.branch,
    )

"""A network in virtual time: user agents joined by a link that loses, delays, doubles, reorders.

Nothing sleeps: the C timer wheel is advanced from deadline to deadline.
"""

import heapq
import itertools
import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import structlog
from ringwheel.media._core import TimerWheel
from ringwheel.media.sip.edge import Flow
from ringwheel.media.sip.events import CallStateError, Refuse
from ringwheel.media.sip.message import Message, Request, Response, SipParseError, parse
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig

DELAY_MS = 1


@dataclass
class Packet:
    """One datagram as it was sent, whether it arrived or not."""

    at_ms: int
    source: str
    target: str
    message: Request | Response

    @property
    def name(self) -> str:
        """``INVITE``, or ``200 INVITE`` for a response."""
        m = self.message
        return m.method if isinstance(m, Request) else f"{m.status} {m.cseq_method}"

    def __str__(self) -> str:
        return f"{self.at_ms} {self.source}>{self.target} {self.name}"


def deliver_all(packet: Packet) -> list[int]:
    """The link's default: each datagram arrives once, after `DELAY_MS`."""
    return [DELAY_MS]


class Net:
    """Hosts by name; ``link`` maps a packet to the delays of the copies that arrive."""

    def __init__(self, transport: str = "UDP") -> None:
        self.wheel = TimerWheel(0)
        self.agents: dict[str, UserAgent] = {}
        self.packets: list[Packet] = []
        self.inboxes: dict[str, list[Packet]] = {}
        self.link: Callable[[Packet], list[int]] = deliver_all
        self.transport = transport
        self._in_flight: list[tuple[int, int, Packet, bytes]] = []
        self._count = itertools.count()

    def agent(self, host: str, handler: object, **options: object) -> UserAgent:
        """A user agent at ``host``, port 5060."""
        config = UserAgentConfig(**{"addresses": (f"{host}:5060",)} | options)
        agent = UserAgent(
            self._sender(host),
            self.wheel,
            config,
            handler,
            random.Random(f"{host} {len(self.agents)}"),
        )
        self.agents[host] = agent
        if hasattr(handler, "on_refer"):
            agent.transfers = handler
        return agent

    def flow(self, host: str) -> Flow:
        """The way to ``host``, and from it."""
        return Flow(host, 5060, 0, self.transport)

    def _sender(self, source: str) -> Callable[[bytes, Flow], None]:
        return lambda data, flow: self.transmit(source, flow.remote_host, data)

    def transmit(self, source: str, target: str, data: bytes) -> None:
        """Put a datagram on the link."""
        packet = Packet(self.wheel.now_ms, source, target, parse(data))
        self.packets.append(packet)
        for delay_ms in self.link(packet):
            # The count keeps packets that arrive together in the order of their sending.
            arrival = (self.wheel.now_ms + delay_ms, next(self._count), packet, data)
            heapq.heappush(self._in_flight, arrival)

    def _arrive(self) -> None:
        _, _, packet, data = heapq.heappop(self._in_flight)
        if packet.target in self.agents:
            self.receive(packet.target, packet.source, data)
        else:
            self.inboxes.setdefault(packet.target, []).append(packet)

    def receive(self, target: str, source: str, data: bytes) -> None:
        """Give a datagram to the agent at ``target``, now."""
        agent, flow = self.agents[target], self.flow(source)
        try:
            message = parse(data)
        except SipParseError as error:
            agent.receive_error(error, flow)
        else:
            agent.receive(message, flow)

    def run(self, duration_ms: int) -> None:
        """Let virtual time pass, from deadline to deadline."""
        end_ms = self.wheel.now_ms + duration_ms
        while (next_ms := self._next_ms()) <= end_ms:
            self.wheel.advance(next_ms)
            while self._in_flight and self._in_flight[0][0] <= self.wheel.now_ms:
                self._arrive()
        self.wheel.advance(end_ms)

    def _next_ms(self) -> float:
        timer_ms = self.wheel.next_ms()
        arrival_ms = self._in_flight[0][0] if self._in_flight else math.inf
        return min(
            arrival_ms, math.inf if timer_ms is None else max(timer_ms, self.wheel.now_ms + 1)
        )

    def sent(self, name: str, source: str | None = None) -> list[Packet]:
        """Packets of that name, in order."""
        return [p for p in self.packets if p.name == name and source in (None, p.source)]

    def times(self, name: str, source: str | None = None) -> list[int]:
        """When packets of that name were sent."""
        return [packet.at_ms for packet in self.sent(name, source)]

    def trace(self) -> list[str]:
        """Every packet as ``source>target name``, without times."""
        return [f"{p.source}>{p.target} {p.name}" for p in self.packets]

    def assert_quiet(self) -> None:
        """No call, dialog, transaction or timer is left anywhere."""
        for agent in self.agents.values():
            left = (agent.calls, agent.dialogs, len(agent.transactions), agent.admission.calls)
            assert left == (0, 0, 0, 0)
        assert (len(self.wheel), self._in_flight) == (0, [])


@dataclass
class Recorder:
    """A handler that notes what it is told, and answers as its fields say."""

    answer: bytes | None = b"v=0 answer"
    ring: bool = False
    events: list[tuple] = field(default_factory=list)
    calls: list = field(default_factory=list)
    ended: dict = field(default_factory=dict)
    offer_reply: bytes | Exception = b"v=0 reply"
    referrals: list = field(default_factory=list)
    on_referral: Callable | None = None

    def names(self) -> list[str]:
        return [event[0] for event in self.events]

    def on_invite(self, call):
        self.calls.append(call)
        self.events.append(("invite", call.remote_sdp))
        if self.ring:
            call.ring()
        if self.answer is not None:
            call.accept(self.answer)

    def on_ringing(self, call, response):
        self.events.append(("ringing", response.status))

    def on_answered(self, call, sdp):
        self.events.append(("answered", sdp))

    def on_ack(self, call, sdp):
        self.events.append(("ack", sdp))

    def on_offer(self, call, sdp):
        self.events.append(("offer", sdp))
        if isinstance(self.offer_reply, Exception):
            raise self.offer_reply
        return self.offer_reply

    def on_answer(self, call, sdp):
        self.events.append(("answer", sdp))

    def on_info_digit(self, call, digit):
        self.events.append(("digit", digit.symbol, digit.duration_ms))

    def on_reinvited(self, call, status, sdp):
        self.events.append(("reinvited", status, sdp))

    def on_refer(self, call, referral):
        self.events.append(("refer", referral.target))
        self.referrals.append(referral)
        if self.on_referral is not None:
            self.on_referral(referral)

    def on_replaces(self, call, replaced):
        self.calls.append(call)
        self.events.append(("replaces", replaced.id))
        call.accept(self.answer)
        replaced.hangup()

    def on_ended(self, call, cause):
        assert call.id not in self.ended, "on_ended twice"
        self.ended[call.id] = cause
        self.events.append(("ended", cause.by.value, cause.status))


def sip(start: str, *lines: str, body: bytes = b"", **fields: str) -> bytes:
    """A request or response with defaults; ``fields`` replace them, ``lines`` are added."""
    headers = {
        "Via": "SIP/2.0/UDP peer:5060;branch=z9hG4bKone;rport",
        "From": "<sip:p@peer>;tag=peertag",
        "To": "<sip:u@ua>",
        "Call_ID": "call1",
        "CSeq": f"1 {start.split(maxsplit=1)[0]}",
        "Contact": "<sip:p@10.0.0.9:5060>",
        "Max_Forwards": "70",
    } | fields
    text = [start if "SIP/2.0" in start else f"{start} SIP/2.0"]
    text += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    text += list(lines)
    if body and not any(line.startswith("Content-Type") for line in lines):
        text.append("Content-Type: application/sdp")
    text.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*text, "", ""]).encode() + body


@pytest.fixture(autouse=True, scope="module")
def silent():
    """Handlers fail on purpose here, thousands of times: formatting it takes all the time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def net() -> Net:
    """A network without hosts."""
    return Net()


class World:
    """What tests build with, reached by a fixture since test modules do not import each other."""

    Net = Net
    Recorder = Recorder
    Refuse = Refuse
    CallStateError = CallStateError
    sip = staticmethod(sip)


@pytest.fixture
def world() -> type[World]:
    """The building blocks."""
    return World


@dataclass
class Pair:
    """Two agents: ``caller`` dials ``callee``."""

    net: Net
    caller: UserAgent
    callee: UserAgent
    here: Recorder
    there: Recorder

    def dial(self, sdp: bytes | None = b"v=0 offer", **options):
        return self.caller.dial(
            "sip:robot@10.0.0.2:5060",
            sdp,
            self.net.flow("10.0.0.2"),
            from_uri="sip:me@10.0.0.1",
            **options,
        )

    def call(self, sdp: bytes | None = b"v=0 offer"):
        """A confirmed call: (its caller's side, its callee's side)."""
        call = self.dial(sdp)
        self.net.run(10)
        return call, self.there.calls[-1]

    def finish(self):
        """Let everything run out, and check that nothing is left."""
        self.net.run(200_000)
        self.net.assert_quiet()


World.Pair = Pair


@pytest.fixture
def pair(net: Net) -> Pair:
    """Two agents on a perfect link."""
    here, there = Recorder(), Recorder()
    return Pair(net, net.agent("10.0.0.1", here), net.agent("10.0.0.2", there), here, there)


@dataclass
class Lone:
    """One agent at 10.0.0.2 and a peer at 10.0.0.9 that is played by the test."""

    net: Net
    agent: UserAgent
    handler: Recorder

    def send(self, start: str, *lines: str, body: bytes = b"", **fields: str) -> None:
        """The peer sends; the agent gets it at once."""
        self.net.receive("10.0.0.2", "10.0.0.9", sip(start, *lines, body=body, **fields))

    def send_raw(self, data: bytes) -> None:
        self.net.receive("10.0.0.2", "10.0.0.9", data)

    def dial(self, sdp: bytes | None = b"v=0 offer", **options):
        return self.agent.dial(
            "sip:p@10.0.0.9:5060", sdp, self.net.flow("10.0.0.9"), from_uri="sip:u@ua", **options
        )

    def reply(self, request: Packet, status: int, tag: str = "peertag", *lines, body=b"", **fields):
        """The peer answers a request of the agent."""
        m = request.message
        fields = {
            "Via": m.headers.get("Via"),
            "From": m.headers.get("From"),
            "To": m.headers.get("To") + (f";tag={tag}" if m.to_tag is None and tag else ""),
            "Call_ID": m.call_id,
            "CSeq": f"{m.cseq} {m.cseq_method}",
            "Max_Forwards": "",
        } | fields
        start = f"SIP/2.0 {status} Phrase"
        self.net.receive("10.0.0.2", "10.0.0.9", sip(start, *lines, body=body, **fields))

    @property
    def out(self) -> list[Packet]:
        return [p for p in self.net.packets if p.source == "10.0.0.2"]

    @property
    def last(self) -> Message:
        return self.out[-1].message

    def statuses(self) -> list[str]:
        return [packet.name for packet in self.out]


@pytest.fixture
def lone(net: Net) -> Lone:
    """One agent and a peer made of text."""
    handler = Recorder()
    return Lone(net, net.agent("10.0.0.2", handler), handler)


@pytest.fixture(scope="session")
def make_lone():
    """Makes a `Lone` with a network of its own: for each example of a Hypothesis test."""

    def make(**options: object) -> Lone:
        net, handler = Net(), Recorder()
        return Lone(net, net.agent("10.0.0.2", handler, **options), handler)

    return make

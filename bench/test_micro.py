"""Costs of the small steps of a call, run by `make bench`; nothing is asserted on time.

What a step yields is checked all the same: a benchmark of something broken measures nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ringwheel.bench.scanner_process import scan_request
from ringwheel.media._core import TimerWheel
from ringwheel.media.codec import PCMA, PCMU, Codec
from ringwheel.media.monitor.monitor import chain
from ringwheel.media.sdp import LocalMedia, answer_offer, answer_to, make_offer, parse_sdp
from ringwheel.media.sip.edge import Flow
from ringwheel.media.sip.events import EndCause
from ringwheel.media.sip.gate import GateRules
from ringwheel.media.sip.info import InfoDigit
from ringwheel.media.sip.message import Request, Response, parse, response_bytes
from ringwheel.media.sip.session import SipCall
from ringwheel.media.sip.trace import Trace
from ringwheel.media.sip.traffic import Traffic
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig
from ringwheel.robot.script.actions import AskNow
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.script.events import Begin, Done, Event, Heard
from ringwheel.robot.script.interpreter import Interpreter
from ringwheel.robot.script.model import Json
from ringwheel.robot.script.state import State

Benchmark = Callable[..., Any]

OURS = LocalMedia("192.0.2.1", 40000, (PCMU, PCMA), 7)
THEIRS = LocalMedia("192.0.2.2", 30000, (PCMA, PCMU), 8)
OFFER = make_offer(THEIRS)
FLOW = Flow("192.0.2.2", 5060)
TIMERS = 100_000
LINGER_MS = 40_000


def request(method: str, branch: str, call_id: str, to: str, body: bytes = b"") -> bytes:
    """A request as SIPp and many phones send it."""
    lines = [
        f"{method} sip:robot@192.0.2.1:5060 SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch};rport",
        "From: <sip:caller@192.0.2.2:5060>;tag=their-tag",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {2 if method == 'BYE' else 1} {method}",
        "Contact: <sip:caller@192.0.2.2:5060>",
        "Max-Forwards: 70",
        "User-Agent: a phone",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


INVITE = request("INVITE", "1", "a-call", "<sip:robot@192.0.2.1:5060>", OFFER)


def test_parse_invite(benchmark: Benchmark) -> None:
    message = benchmark(parse, INVITE)
    assert isinstance(message, Request)
    assert message.body == OFFER


def test_observe_a_message(benchmark: Benchmark) -> None:
    """What a monitor with an HTTP port adds to each message: counted, and kept in a full ring."""
    trace, traffic = Trace(1_000), Traffic()
    observe = chain([traffic, trace])
    for _ in range(1_001):
        observe(False, FLOW, INVITE, time.time())
    benchmark(lambda: observe(False, FLOW, INVITE, time.time()))
    assert len(trace) == 1_000
    assert traffic.requests(sent=False)["INVITE"] > 1_001


def test_make_answer_to_invite(benchmark: Benchmark) -> None:
    invite = parse(INVITE)
    assert isinstance(invite, Request)

    def answer() -> bytes:
        return response_bytes(invite, 200, to_tag="our-tag")

    assert benchmark(answer).startswith(b"SIP/2.0 200 OK\r\n")


def test_parse_sdp(benchmark: Benchmark) -> None:
    assert benchmark(parse_sdp, OFFER).media[0].port == 30000


def test_answer_offer(benchmark: Benchmark) -> None:
    answer = benchmark(answer_offer, parse_sdp(OFFER), OURS)
    assert answer.media is not None
    assert answer.media.codec is PCMA


def test_answer_offers_that_are_alike(benchmark: Benchmark) -> None:
    offers = cycle([make_offer(THEIRS._replace(rtp_port=port)) for port in range(30000, 30200, 2)])
    answer = benchmark(lambda: answer_to(next(offers), OURS))
    assert answer.media is not None
    assert answer.media.codec is PCMA


@pytest.mark.parametrize("codec", [PCMU, PCMA], ids=lambda codec: codec.name)
def test_encode_one_second(benchmark: Benchmark, codec: Codec) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 8000).astype(np.int16)
    assert len(benchmark(codec.encode, samples)) == 8000


def test_arm_and_cancel_a_timer_among_many(benchmark: Benchmark) -> None:
    wheel = TimerWheel(0)
    source = random.Random(1)
    for _ in range(TIMERS):
        wheel.arm(source.randrange(1, LINGER_MS), int)

    def arm_and_cancel() -> bool:
        return wheel.arm(500, int).cancel()

    assert benchmark(arm_and_cancel) is True
    wheel.clear()


class Answerer:
    """Takes every call at once."""

    def __init__(self) -> None:
        self.ended = 0

    def on_invite(self, call: SipCall) -> None:
        call.accept(OFFER)

    def on_ack(self, call: SipCall, sdp: bytes | None) -> None:
        """The call is up."""

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        self.ended += 1

    def on_ringing(self, call: SipCall, response: Response) -> None:
        """Not for calls that come in."""

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        """Not for calls that come in."""

    def on_offer(self, call: SipCall, sdp: bytes | None) -> bytes:
        return OFFER

    def on_answer(self, call: SipCall, sdp: bytes) -> None:
        """Nothing is offered."""

    def on_info_digit(self, call: SipCall, digit: InfoDigit) -> None:
        """Nobody types here."""

    def on_reinvited(self, call: SipCall, status: int, sdp: bytes | None) -> None:
        """None is sent."""


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "INVITE"])
def test_drop_of_a_strangers_datagram(benchmark: Benchmark, method: str) -> None:
    """What a scanner's request costs from the socket's batch on; nobody reads it."""
    wheel = TimerWheel(0)
    config = UserAgentConfig(("192.0.2.1:5060",))
    agent = UserAgent(lambda data, flow: None, wheel, config, Answerer())
    gate = agent.guard(GateRules(allow=("192.0.2.0/24",)))
    assert gate is not None
    data = scan_request(method, "203.0.113.9", 1)
    sources = cycle(f"203.0.113.{number}" for number in range(64))

    assert benchmark(lambda: gate.admits(data, next(sources))) is False
    agent.shutdown()


def test_pass_of_a_known_source(benchmark: Benchmark) -> None:
    """What the gate costs the INVITE of who is served: its datagram, and its request."""
    wheel = TimerWheel(0)
    config = UserAgentConfig(("192.0.2.1:5060",))
    agent = UserAgent(lambda data, flow: None, wheel, config, Answerer())
    gate = agent.guard(GateRules(allow=("192.0.2.0/24",)))
    assert gate is not None
    invite = parse(INVITE)
    assert isinstance(invite, Request)

    assert benchmark(lambda: gate.admits(INVITE, FLOW.remote_host) and gate.passes(invite, FLOW))
    agent.shutdown()


def test_signalling_of_a_complete_call(benchmark: Benchmark) -> None:
    """INVITE, ACK and BYE through parser and user agent; transactions linger as they do."""
    wheel = TimerWheel(0)
    handler = Answerer()
    sent: list[bytes] = []
    config = UserAgentConfig(("192.0.2.1:5060",))
    agent = UserAgent(lambda data, _flow: sent.append(data), wheel, config, handler)
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        sent.clear()
        robot = "<sip:robot@192.0.2.1:5060>"
        agent.receive(parse(request("INVITE", f"i{calls}", f"c{calls}", robot, OFFER)), FLOW)
        answer = parse(sent[-1])
        to = answer.headers.get("To") or ""
        agent.receive(parse(request("ACK", f"a{calls}", f"c{calls}", to)), FLOW)
        agent.receive(parse(request("BYE", f"b{calls}", f"c{calls}", to)), FLOW)
        wheel.advance(wheel.now_ms + 3)  # about 300 calls a second: some 10,000 linger

    benchmark(call)
    assert handler.ended == calls
    agent.shutdown()


def test_signalling_of_a_call_that_we_place(benchmark: Benchmark) -> None:
    """INVITE to BYE by user agent and parser; what the callee answers is made from our requests."""
    wheel = TimerWheel(0)
    handler = Answerer()
    sent: list[bytes] = []
    config = UserAgentConfig(("192.0.2.1:5060",))
    agent = UserAgent(lambda data, _flow: sent.append(data), wheel, config, handler)
    contact = ("Contact", "<sip:callee@192.0.2.2:5060>")
    calls = 0

    def answer(asked: bytes, status: int, body: bytes = b"") -> None:
        message = parse(asked)
        assert isinstance(message, Request)
        headers = [contact, *([("Content-Type", "application/sdp")] if body else [])]
        data = response_bytes(message, status, None, headers, body, to_tag=f"t{calls}")
        agent.receive(parse(data), FLOW)

    def call() -> None:
        nonlocal calls
        calls += 1
        sent.clear()
        ours = agent.dial("sip:callee@192.0.2.2:5060", OFFER, FLOW, from_uri="sip:r@192.0.2.1")
        invite = sent[-1]
        answer(invite, 180)
        answer(invite, 200, OFFER)
        ours.hangup()
        answer(sent[-1], 200)
        wheel.advance(wheel.now_ms + 3)  # as above

    benchmark(call)
    assert handler.ended == calls
    agent.shutdown()


SURVEY = load_script(Path(__file__).resolve().parents[1] / "examples" / "scripts" / "survey.yaml")
SURVEY_ANSWERS: tuple[Json, ...] = (True, 3, 5, "garden", False)


def hold(interpreter: Interpreter) -> int:
    """The survey from its first question to its last words; how many steps that took."""
    answers = iter(SURVEY_ANSWERS)
    (action,) = interpreter.begin(Begin(at_ms=0))
    while interpreter.waiting is not None:
        turn = interpreter.waiting.turn
        event: Event = Done(at_ms=0, turn=turn)
        if isinstance(action, AskNow):
            event = Heard(at_ms=0, turn=turn, mode="dtmf", text="", value=next(answers))
        (action,) = interpreter.handle(event)
    return interpreter.steps


def test_hold_a_survey(benchmark: Benchmark) -> None:
    """A conversation of 15 steps, five of them questions, by the interpreter alone."""
    assert benchmark(lambda: hold(Interpreter(SURVEY, {}))) == 15


def test_save_and_restore_a_conversation(benchmark: Benchmark) -> None:
    interpreter = Interpreter(SURVEY, {})
    interpreter.begin(Begin(at_ms=0))

    def carry() -> Interpreter:
        text = interpreter.state().to_json()
        return Interpreter.restore(SURVEY, State.from_json(text), {})

    assert benchmark(carry).resume() == interpreter.resume()

"""The 49 torture messages of RFC 4475: what the user agent answers, and that nothing is left."""

import json
import os
import random
import re
from pathlib import Path

import pytest
from ringwheel.media._core import TimerWheel
from ringwheel.media.sip.edge import Flow
from ringwheel.media.sip.message import SipParseError, parse
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig

DATA = Path(__file__).parents[1] / "data" / "rfc4475"
ROWS = {row["message"]: row for row in json.loads((DATA / "expected.json").read_text())}
MUTATED_MESSAGES = int(os.environ.get("RINGWHEEL_FUZZ_MESSAGES", "8000"))
"""`make fuzz` takes a million; each seed makes 2,000 of them."""

# The statuses that are right; none where the message must be dropped.
ANSWERS = {
    name: row.get("answer", [row["status"]] if "status" in row else [])
    for name, row in ROWS.items()
}
# An INVITE with a To tag belongs to a dialog, of which this agent knows nothing (12.2.2).
NO_DIALOG = {"wsinv"}


class Answering:
    """Accepts every call."""

    def __init__(self):
        self.calls = []
        self.ended = []

    def on_invite(self, call):
        self.calls.append(call)
        call.accept(b"v=0\r\n")

    def on_ended(self, call, cause):
        self.ended.append(call)


class Bench:
    """A user agent that hears one datagram."""

    def __init__(self):
        self.wheel = TimerWheel(0)
        self.handler = Answering()
        self.sent = []
        config = UserAgentConfig(addresses=("192.0.2.200:5060",))
        self.agent = UserAgent(self._send, self.wheel, config, self.handler)

    def _send(self, data, flow):
        self.sent.append((data, flow))

    def hear(self, data):
        flow = Flow("192.0.2.99", 5060)
        try:
            self.agent.receive(parse(data), flow)
        except SipParseError as error:
            self.agent.receive_error(error, flow)

    def run(self, until_ms):
        while (next_ms := self.wheel.next_ms()) is not None and next_ms <= until_ms:
            self.wheel.advance(max(next_ms, self.wheel.now_ms + 1))
        self.wheel.advance(until_ms)


@pytest.mark.parametrize("name", ROWS)
def test_answer_and_nothing_left(name):
    bench = Bench()
    bench.hear((DATA / f"{name}.dat").read_bytes())
    # Not parsed: an answer mirrors what was broken.
    statuses = [int(data.split()[1]) for data, _ in bench.sent]
    expected = ANSWERS[name]
    if name in NO_DIALOG:
        assert statuses == [481]
    elif expected:
        assert len(statuses) == 1
        assert statuses[0] in expected
    else:
        assert statuses == []
    for call in bench.handler.calls:
        call.hangup()
    bench.run(64_000)  # no ACK in 64*T1, then no answer to the BYE in as long
    assert len(bench.handler.ended) == len(bench.handler.calls)
    left = (bench.agent.calls, bench.agent.dialogs, len(bench.agent.transactions))
    assert (*left, len(bench.wheel)) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", [name for name in ROWS if ANSWERS[name]])
def test_answers_go_back_to_the_sender_with_its_fields(name):
    bench = Bench()
    data = (DATA / f"{name}.dat").read_bytes()
    bench.hear(data)
    answer, flow = bench.sent[0]
    assert flow.remote_host == "192.0.2.99"
    if ROWS[name]["parse"] == "accept":
        request, response = parse(data), parse(answer)
        assert (response.call_id, response.cseq) == (request.call_id, request.cseq)
        assert response.from_tag == request.from_tag
        assert response.to_tag is not None


def test_repeated_they_get_the_same_answer():
    for name in ("bext01", "invut", "zeromf", "inv2543", "badbranch"):
        bench = Bench()
        data = (DATA / f"{name}.dat").read_bytes()
        bench.hear(data)
        bench.hear(data)
        assert len({data for data, _ in bench.sent}) == 1
        assert len(bench.handler.calls) <= 1


SPLICES = [
    b"",
    b"\r\n",
    b'"',
    b"<",
    b">",
    b",",
    b";",
    b";lr",
    b";tag=x",
    b"\xff",
    b"\x00",
    b"0",
    b"sip:",
]


def mutate(data, source):
    """Cut, double, flip or splice at a few random places."""
    data = bytearray(data)
    for _ in range(source.randint(1, 4)):
        at, to = sorted(source.randrange(len(data) + 1) for _ in range(2))
        to = min(to, at + source.choice([0, 1, 1, 4, 40]))
        data[at:to] = source.choice([*SPLICES, data[at:to] * 2, bytes([source.randrange(256)])])
    return bytes(data)


@pytest.mark.parametrize("seed", range(MUTATED_MESSAGES // 2_000))
def test_mutated_messages_leave_no_dialog_and_raise_nothing(seed):
    source = random.Random(seed)
    originals = [(DATA / f"{name}.dat").read_bytes() for name in ROWS]
    bench = Bench()
    for _ in range(2_000):
        bench.hear(mutate(source.choice(originals), source))
        bench.run(bench.wheel.now_ms + 1_000)
    for call in bench.handler.calls:
        call.hangup()
    bench.run(bench.wheel.now_ms + 64_000)
    assert len(bench.handler.ended) == len(bench.handler.calls) > 10
    left = (bench.agent.calls, bench.agent.dialogs, len(bench.agent.transactions))
    assert (*left, len(bench.wheel)) == (0, 0, 0, 0)


def test_a_merged_request_whose_accept_cannot_be_read_is_answered():
    bench = Bench()
    original = (DATA / "sdp01.dat").read_bytes()
    bench.hear(original)
    merged = original.replace(b"branch=z9hG4bK", b"branch=z9hG4bKother")
    bench.hear(re.sub(rb"Accept: [^\r]*", b'Accept: text/"unclosed', merged))
    assert int(bench.sent[-1][0].split()[1]) == 400
    for call in bench.handler.calls:
        call.hangup()
    bench.run(64_000)
    assert (len(bench.agent.transactions), len(bench.wheel)) == (0, 0)

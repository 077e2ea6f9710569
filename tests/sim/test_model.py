"""Random behaviour of handlers, users, peers and link: what holds whatever happens."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.message import SipParseError, parse
from ringwheel.media.sip.refer import Progress, Refers
from ringwheel.media.sip.replaces import ReferTo

METHODS = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "FLY", "REFER", "NOTIFY"]
EXTRA = {
    302: "Contact: <sip:x@10.0.0.1>;q=0.5, <sip:y@10.0.0.2>",
    401: 'WWW-Authenticate: Digest realm="a", nonce="b", qop="auth"',
    407: 'Proxy-Authenticate: Digest realm="a", nonce="b", stale=true',
    503: "Retry-After: 10",
}
METHODS += ["PRACK", "UPDATE", "UPDATE"]
STATUSES = [100, 180, 183, 199, 200, 299, 302, 401, 407, 408, 422, 481, 488, 491, 500, 501, 503]
STATUSES += [504, 699]
ACTIONS = ["ring", "accept", "reject", "hangup", "reinvite", "ask_offer", "refer"]
ACTIONS += ["ring_early", "ring_surely", "update", "refresh"]
ODD_LINES = [
    "Supported: timer, 100rel",
    "Require: 100rel",
    "Require: timer",
    "Require: magic",
    "RSeq: 1",
    "RSeq: 2",
    "RSeq: x",
    "RAck: 1 1 INVITE",
    "RAck: 2 1",
    "Session-Expires: 90",
    "Session-Expires: 100;refresher=uas",
    "Session-Expires: 120;refresher=uac",
    "Session-Expires: 1",
    "Session-Expires: soon",
    "Min-SE: 200",
    "Min-SE: never",
    "Allow: INVITE, BYE",
    "Allow: UPDATE",
    "Retry-After: 2",
    "Contact: <sip:elsewhere@10.0.0.99>",
    "Contact: nowhere",
]
DESCRIBED = ["INVITE", "PRACK", "UPDATE"]
IDS = ["Via", "From", "To", "Call-ID", "CSeq"]
# Virtual time has no deadline; the fixture is a class without state.
RELAXED = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
step = st.one_of(
    st.tuples(st.just("dial"), st.integers(0, 1), st.booleans()),
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 5, 300, 1_000, 40_000, 70_000]), st.just(0)),
    st.tuples(st.just("replay"), st.integers(0, 200), st.integers(0, 1)),
    st.tuples(st.just("maim"), st.integers(0, 200), st.integers(0, 1_500)),
    st.tuples(st.just("response"), st.integers(0, 200), st.sampled_from(STATUSES)),
    st.tuples(st.just("request"), st.integers(0, 200), st.sampled_from(METHODS)),
    st.tuples(st.just("tell"), st.integers(0, 1), st.sampled_from([100, 183, 200, 486])),
    st.tuples(st.just("drain"), st.just(0), st.just(0)),
)


class Weather:
    """A link that loses, delays, doubles and so reorders."""

    def __init__(self, source):
        self._random = source

    def __call__(self, packet):
        kind = self._random.random()
        copies = 0 if kind < 0.15 else 2 if kind > 0.85 else 1
        return [self._random.choice([1, 1, 2, 20, 600]) for _ in range(copies)]


class Moody:
    """A handler whose callbacks act or fail at random, and which counts ``on_ended``."""

    def __init__(self, source, refuse):
        self._random = source
        self._refuse = refuse
        self.calls = []
        self.ended = []
        self.acks = []
        self.referrals = []
        self.asked = 0
        self.outcomes = []

    def _mood(self, call):
        kind = self._random.random()
        if kind < 0.1:
            raise RuntimeError("bug in the handler")
        if kind < 0.2:
            call.hangup()

    def on_invite(self, call):
        self.calls.append(call)
        if self._random.random() < 0.5:
            call.ring()
        if self._random.random() < 0.3 and call.remote_sdp:
            call.ring(183, b"v=0 early")
        if self._random.random() < 0.6:
            call.accept(b"v=0 answer")
        self._mood(call)

    def on_ringing(self, call, response):
        self._mood(call)

    def on_answered(self, call, sdp):
        self._mood(call)

    def on_ack(self, call, sdp):
        self._mood(call)

    def on_answer(self, call, sdp):
        self._mood(call)

    def on_info_digit(self, call, digit):
        self._mood(call)

    def on_reinvited(self, call, status, sdp):
        self._mood(call)

    def ask(self, call):
        Refers.of(call).ask(
            ReferTo("sip:third@10.0.0.3"),
            timeout_ms=60_000,
            on_progress=lambda _: self._mood(call),
            on_outcome=self.outcomes.append,
        )
        self.asked += 1

    def on_refer(self, call, referral):
        self._mood(call)
        self.referrals.append(referral)
        if self._random.random() < 0.7:
            referral.accept()

    def on_replaces(self, call, replaced):
        self.calls.append(call)
        self._mood(call)
        call.accept(b"v=0 answer")
        replaced.hangup()

    def on_offer(self, call, sdp):
        self._mood(call)
        if self._random.random() < 0.3:
            raise self._refuse(488)
        return b"v=0 reply"

    def on_ended(self, call, cause):
        assert call not in self.ended
        self.ended.append(call)
        if self._random.random() < 0.2:
            raise RuntimeError("bug in on_ended")


class Story:
    """Two agents, and whatever is done to them."""

    HOSTS = ("10.0.0.1", "10.0.0.2")

    def __init__(self, world, seed):
        self.source = random.Random(seed)
        self.world = world
        self.net = world.Net()
        self.net.link = Weather(self.source)
        self.handlers = [Moody(self.source, world.Refuse) for _ in self.HOSTS]
        self.agents = [
            self.net.agent(
                host, handler, answer_timeout_ms=90_000, session_expires_s=100, min_se_s=90
            )
            for host, handler in zip(self.HOSTS, self.handlers, strict=True)
        ]
        self.serial = 0

    def play(self, action, first, second):
        getattr(self, f"do_{action}", lambda *_: self.act(action, first, second))(first, second)

    def do_dial(self, who, late):
        target = self.HOSTS[1 - who]
        sdp = None if late else b"v=0 offer"
        headers = [("Require", "100rel")] if self.source.random() < 0.3 else []
        try:
            call = self.agents[who].dial(
                f"sip:u@{target}",
                sdp,
                self.net.flow(target),
                from_uri="sip:me@here",
                credentials=self.source.choice([None, Credentials("me", "secret")]),
                on_redirect=self.source.choice([None, self.on_redirect]),
                headers=headers,
            )
        except self.world.Refuse:
            return
        self.handlers[who].calls.append(call)

    def on_redirect(self, call, uri):
        """Follow it, leave it, or think about it for ever."""
        decision = self.source.random()
        if decision < 0.5:
            call.follow(self.net.flow(self.source.choice(self.HOSTS)))
        elif decision < 0.7:
            call.skip()
        elif decision < 0.8:
            call.hangup()

    def act(self, action, who, which):
        calls = self.handlers[who].calls
        if not calls:
            return
        call = calls[which % len(calls)]
        methods = {
            "ring": call.ring,
            "ring_early": lambda: call.ring(183, b"v=0 early"),
            "ring_surely": lambda: call.ring(reliable=True),
            "update": lambda: call.update(b"v=0 updated"),
            "refresh": lambda: call.update(None),
            "accept": lambda: call.accept(b"v=0 late"),
            "reject": lambda: call.reject(486),
            "hangup": call.hangup,
            "reinvite": lambda: call.reinvite(b"v=0 hold"),
            "ask_offer": lambda: call.reinvite(None),
            "refer": lambda: self.handlers[who].ask(call),
        }
        try:
            methods[action]()
        except self.world.CallStateError:
            assert call.outgoing or action == "refer" or not call.ended

    def _odd_lines(self):
        return self.source.sample(ODD_LINES, self.source.choice([0, 0, 1, 2, 4]))

    def do_maim(self, which, place):
        """A packet of the past that lost its end, or a line."""
        packet = self._earlier(which)
        if packet is None:
            return
        data = packet.message.to_bytes()
        lines = data.split(b"\r\n")
        del lines[place % len(lines)]
        maimed = data[: place % len(data)] if place % 2 else b"\r\n".join(lines)
        try:
            parse(maimed)
        except SipParseError as error:
            if error.partial is not None and not all(name in error.partial.headers for name in IDS):
                return  # our 400 has not what the request had not: this net could not read it
        self.net.receive(packet.target, packet.source, maimed)

    def do_tell(self, who, status):
        for referral in self.handlers[who].referrals[-1:]:
            referral.tell(Progress(status, "Odd"))

    def do_wait(self, duration_ms, _):
        self.net.run(duration_ms)

    def _earlier(self, which):
        """A packet of the past between the two (what a forged Contact drew elsewhere is not)."""
        between = [p for p in self.net.packets if {p.source, p.target} == set(self.HOSTS)]
        return between[which % len(between)] if between else None

    def do_replay(self, which, back):
        packet = self._earlier(which)
        if packet:
            ends = (packet.source, packet.target) if back else (packet.target, packet.source)
            self.net.receive(*ends, packet.message.to_bytes())

    def do_response(self, which, status):
        """A response to some request of the past, with an odd status and tag."""
        packet = self._earlier(which)
        if packet is None or " " in packet.name:
            return
        lines = [f"SIP/2.0 {status} Odd"]
        for name in IDS:
            value = packet.message.headers.get(name)
            odd = name == "To" and packet.message.to_tag is None and self.source.random() < 0.8
            lines.append(f"{name}: {value}" + (f";tag=t{self.source.randint(0, 3)}" if odd else ""))
        lines += [EXTRA[status]] if status in EXTRA else []
        lines += self._odd_lines()
        body = "v=0 odd" if self.source.random() < 0.4 else ""
        data = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()
        self.net.receive(packet.source, packet.target, data)

    def do_request(self, which, method):
        """A request with the ids of some packet of the past, under a new branch."""
        packet = self._earlier(which)
        if packet is None:
            return
        self.serial += 1
        headers = packet.message.headers
        swap = self.source.random() < 0.5
        ends = ("To", "From") if swap else ("From", "To")
        data = self.world.sip(
            f"{method} sip:u@{packet.target}",
            *self._odd_lines(),
            Via=f"SIP/2.0/UDP {packet.source};branch=z9hG4bKextra{self.serial};rport",
            From=headers.get(ends[0]),
            To=headers.get(ends[1]),
            Call_ID=packet.message.call_id,
            CSeq=f"{self.source.randint(0, 9)} {method}",
            body=b"v=0" if method in DESCRIBED and self.source.random() < 0.5 else b"",
        )
        self.net.receive(packet.target, packet.source, data)

    def do_drain(self, _, __):
        self.agents[1].drain()

    def end(self):
        for handler in self.handlers:
            for call in handler.calls:
                call.hangup()
        self.net.run(400_000)


@settings(max_examples=150, **RELAXED)
@given(seed=st.integers(0, 2**32), steps=st.lists(step, max_size=40))
def test_every_call_ends_once_and_leaves_nothing(world, seed, steps):
    story = Story(world, seed)
    for item in steps:
        story.play(*item)
        for agent in story.agents:
            assert agent.calls == agent.admission.calls
    story.end()
    for handler in story.handlers:
        assert sorted(c.id for c in handler.calls) == sorted(c.id for c in handler.ended)
        assert len(handler.outcomes) == handler.asked
    assert not any(agent.refers for agent in story.agents)
    story.net.assert_quiet()


@settings(max_examples=100, **RELAXED)
@given(seed=st.integers(0, 2**32), steps=st.lists(step, max_size=30))
def test_no_call_outlives_its_peer_but_those_that_agreed_on_no_timer(world, seed, steps):
    story = Story(world, seed)
    for item in steps:
        story.play(*item)
    story.net.link = lambda packet: []
    story.net.run(400_000)
    for agent, handler in zip(story.agents, story.handlers, strict=True):
        left = [call for call in handler.calls if not call.ended]
        assert all(call.confirmed and call.session_timer is None for call in left)
        assert (agent.calls, len(agent.transactions)) == (len(left), 0)
        assert agent.dialogs == len(left)
    assert len(story.net.wheel) == 0


@settings(max_examples=60, **RELAXED)
@given(seed=st.integers(0, 2**32), calls=st.integers(1, 12))
def test_on_a_bad_line_every_call_still_comes_to_its_end(world, seed, calls):
    net = world.Net()
    source = random.Random(seed)
    net.link = Weather(source)
    here, there = world.Recorder(), world.Recorder()
    caller, callee = net.agent("10.0.0.1", here), net.agent("10.0.0.2", there)
    dialled = []
    for _ in range(calls):
        flow = net.flow("10.0.0.2")
        dialled.append(caller.dial("sip:u@10.0.0.2", b"v=0", flow, from_uri="sip:me@10.0.0.1"))
        net.run(source.randint(0, 2_000))
    net.run(32_000)
    for call in dialled:
        call.hangup()
    net.run(200_000)
    assert set(here.ended) == {call.id for call in dialled}
    assert set(there.ended) == {call.id for call in there.calls}
    assert len(there.calls) <= calls  # retransmissions never make a second call
    net.assert_quiet()
    assert callee.counters.as_dict()["calls_offered"] == len(there.calls)

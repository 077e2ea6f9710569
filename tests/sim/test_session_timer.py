"""Session timers in virtual time (RFC 4028): negotiation, refresh, calls that nobody refreshes."""

import itertools

import pytest

CALLER, CALLEE = "10.0.0.1", "10.0.0.2"
SUPPORTED = "Supported: timer"


def expires(packet):
    return packet.message.headers.get("Session-Expires")


@pytest.fixture
def timed(world):
    """A pair of agents with session timers of 100 s, and what else an agent can be made with."""

    def make(here=None, there=None):
        net = world.Net()
        times = {"session_expires_s": 100, "min_se_s": 90}
        handlers = world.Recorder(), world.Recorder()
        agents = [
            net.agent(host, handler, **(times | (options or {})))
            for host, handler, options in zip(
                (CALLER, CALLEE), handlers, (here, there), strict=True
            )
        ]
        return world.Pair(net, *agents, *handlers)

    return make


class TestBetweenOurs:
    def test_the_caller_asks_and_refreshes_by_update(self, timed):
        pair = timed()
        call, _robot = pair.call()
        assert expires(pair.net.sent("INVITE")[0]) == "100"
        answer = pair.net.sent("200 INVITE")[0]
        assert expires(answer) == "100;refresher=uac"
        assert answer.message.headers.get("Require") == "timer"
        pair.net.run(1_000_000)
        refreshes = pair.net.times("UPDATE")
        assert len(refreshes) == 19
        steps = {later - earlier for earlier, later in itertools.pairwise(refreshes)}
        assert steps == {50_002}  # half the interval, and a round trip
        assert pair.net.sent("UPDATE", CALLEE) == []
        assert expires(pair.net.sent("UPDATE")[0]) == "100;refresher=uac"
        assert pair.net.sent("UPDATE")[0].message.body == b""
        assert {expires(p) for p in pair.net.sent("200 UPDATE")} == {"100;refresher=uac"}
        assert pair.here.names() == ["answered"]
        call.hangup()
        pair.finish()

    def test_off_when_nobody_asks(self, timed):
        pair = timed({"session_expires_s": 0}, {"session_expires_s": 0})
        call, robot = pair.call()
        assert expires(pair.net.sent("INVITE")[0]) is None
        assert expires(pair.net.sent("200 INVITE")[0]) is None
        pair.net.run(10_000_000)
        assert (call.session_timer, robot.session_timer) == (None, None)
        assert len(pair.net.packets) == 3
        call.hangup()
        pair.finish()

    def test_the_caller_is_gone(self, timed):
        pair = timed()
        _call, _robot = pair.call()
        pair.net.link = lambda packet: []
        pair.net.run(100_000)
        # A third of the interval before its end, which the 200 began at 1 ms.
        assert pair.net.times("BYE", CALLEE)[0] == 1 + 100_000 - 32_000
        (cause,) = pair.there.ended.values()
        assert (cause.by.value, cause.status) == ("error", 408)
        assert cause.text == "session timer expired"
        assert pair.net.sent("BYE", CALLEE)[0].message.headers.get("Reason") == (
            'SIP;cause=408;text="session timer expired"'
        )
        assert pair.callee.counters.as_dict()["sessions_expired"] == 1
        # Our UPDATE was never answered: that alone ends the call on this side.
        assert pair.here.events[-1] == ("ended", "error", 408)
        pair.finish()

    def test_a_refresh_settles_everything_anew(self, timed):
        pair = timed({"session_expires_s": 200})
        call, robot = pair.call()
        assert robot.session_timer.interval_s == 100
        assert call.session_timer.interval_s == 100  # the callee has shortened it
        robot.reinvite(b"v=0 hold")
        pair.net.run(10)
        # Who refreshes stays who it was, though the request came from the other side.
        assert expires(pair.net.sent("INVITE", CALLEE)[0]) == "100;refresher=uas"
        assert (call.session_timer.ours, robot.session_timer.ours) == (True, False)
        pair.net.run(60_000)
        assert len(pair.net.sent("UPDATE", CALLER)) == 1
        call.hangup()
        pair.finish()

    def test_422_is_followed_by_what_the_callee_wants(self, timed):
        pair = timed(None, {"min_se_s": 300, "session_expires_s": 1800})
        call, robot = pair.call()
        assert pair.net.sent("422 INVITE")[0].message.headers.get("Min-SE") == "300"
        first, second = pair.net.sent("INVITE")
        assert (expires(second), second.message.headers.get("Min-SE")) == ("300", "300")
        assert second.message.cseq == first.message.cseq + 1
        assert second.message.from_tag == first.message.from_tag
        assert call.session_timer.interval_s == robot.session_timer.interval_s == 300
        assert pair.there.names() == ["invite", "ack"]
        call.hangup()
        pair.finish()


class TestAnswering:
    """We are called."""

    def invite(self, lone, *lines, **fields):
        lone.send("INVITE sip:u@ua", *lines, body=b"v=0", **fields)
        answer = lone.last
        lone.send(
            "ACK sip:u@ua",
            To=answer.headers.get("To"),
            Via="SIP/2.0/UDP peer;branch=z9hG4bKack",
            CSeq=f"{answer.cseq} ACK",
        )
        return answer

    def ask(self, lone, method, cseq, *lines, **fields):
        to = lone.out[0].message.headers.get("To")
        via = f"SIP/2.0/UDP peer;branch=z9hG4bK{method}{cseq};rport"
        fields = {"To": to, "CSeq": f"{cseq} {method}", "Via": via} | fields
        lone.send(f"{method} sip:u@ua", *lines, **fields)
        return lone.last

    def test_too_short_an_interval(self, lone):
        answer = self.invite(lone, SUPPORTED, "Session-Expires: 89")
        assert (answer.status, answer.headers.get("Min-SE")) == (422, "90")
        assert lone.handler.names() == []
        assert lone.agent.counters.as_dict()["rejected_interval"] == 1

    def test_too_short_for_a_peer_that_cannot_read_a_422(self, lone):
        answer = self.invite(lone, "Session-Expires: 1")
        assert (answer.status, answer.headers.get("Session-Expires")) == (200, None)
        lone.handler.calls[0].hangup()

    @pytest.mark.parametrize("value", ["", "x", "-5", "90;refresher=me", "9" * 11, "90;;"])
    def test_a_malformed_value(self, lone, value):
        assert self.invite(lone, SUPPORTED, f"Session-Expires: {value}").status == 400
        assert lone.handler.names() == []

    @pytest.mark.parametrize(
        ("lines", "agreed"),
        [
            ([SUPPORTED, "Session-Expires: 1200"], "1200;refresher=uac"),
            ([SUPPORTED, "x: 1200;refresher=UAS"], "1200;refresher=uas"),
            (["Require: timer", SUPPORTED, "Session-Expires: 90;a=b"], "90;refresher=uac"),
            ([SUPPORTED, "Session-Expires: 7200"], "1800;refresher=uac"),
            ([SUPPORTED, "Session-Expires: 7200", "Min-SE: 3600"], "3600;refresher=uac"),
            (["Session-Expires: 1200"], "1200;refresher=uas"),
            ([SUPPORTED, "Session-Expires: 100", "Min-SE: 3600"], "100;refresher=uac"),
        ],
    )
    def test_what_is_agreed(self, lone, lines, agreed):
        answer = self.invite(lone, *lines)
        assert answer.headers.get("Session-Expires") == agreed
        requires = answer.headers.get("Require")
        assert requires == ("timer" if SUPPORTED in lines else None)
        lone.handler.calls[0].hangup()

    def test_we_refresh_by_reinvite_where_update_is_not_taken(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 100;refresher=uas", "Allow: INVITE, BYE")
        lone.handler.offer_reply = b"v=0 as it stands"
        lone.net.run(50_000)
        refresh = lone.out[-1]
        assert (refresh.name, refresh.message.body) == ("INVITE", b"v=0 as it stands")
        assert expires(refresh) == "100;refresher=uac"
        fields = {"body": b"v=0 theirs"}
        lone.reply(refresh, 200, "", "Session-Expires: 100;refresher=uac", **fields)
        assert lone.out[-1].name == "ACK"
        assert lone.handler.events[-2:] == [("offer", None), ("answer", b"v=0 theirs")]
        lone.net.run(50_000)
        assert lone.out[-1].name == "INVITE"  # and again
        lone.handler.calls[0].hangup()

    def test_a_handler_that_makes_no_offer_costs_the_refresh(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 100;refresher=uas")
        lone.handler.offer_reply = RuntimeError("bug")
        lone.net.run(99_999)
        assert lone.statuses() == ["200 INVITE"]
        lone.net.run(1)
        assert lone.handler.events[-1] == ("ended", "error", 408)

    def test_update_that_is_not_known_after_all(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 100;refresher=uas", "Allow: UPDATE")
        lone.net.run(50_000)
        assert lone.out[-1].name == "UPDATE"
        lone.reply(lone.out[-1], 501, "")
        assert lone.out[-1].name == "INVITE"
        lone.handler.calls[0].hangup()

    def test_422_to_a_refresh(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 100;refresher=uas", "Allow: UPDATE")
        lone.net.run(50_000)
        lone.reply(lone.out[-1], 422, "", "Min-SE: 200")
        again = lone.out[-1]
        assert (again.name, expires(again)) == ("UPDATE", "200;refresher=uac")
        assert again.message.headers.get("Min-SE") == "200"
        lone.reply(again, 200, "", "Session-Expires: 200;refresher=uac")
        lone.net.run(99_999)
        assert lone.out[-1] is again
        lone.net.run(1)
        assert lone.out[-1].name == "UPDATE"
        lone.handler.calls[0].hangup()

    @pytest.mark.parametrize("status", [488, 500, 503])
    def test_a_refused_refresh_is_tried_again_and_then_given_up(self, lone, status):
        self.invite(lone, SUPPORTED, "Session-Expires: 160;refresher=uas", "Allow: UPDATE")
        # The peer would give up at 128 s.
        for wait_ms in (80_000, 24_000, 12_000):
            lone.net.run(wait_ms)
            assert lone.out[-1].name == "UPDATE"
            lone.reply(lone.out[-1], status, "")
        lone.net.run(43_999)
        assert lone.handler.names() == ["invite", "ack"]
        lone.net.run(1)
        assert lone.net.times("UPDATE") == [80_000, 104_000, 116_000]
        assert lone.net.times("BYE")[0] == 160_000
        assert lone.handler.events[-1] == ("ended", "error", 408)

    @pytest.mark.parametrize("status", [408, 481, 404])
    def test_a_refresh_that_finds_no_dialog_ends_the_call(self, lone, status):
        self.invite(lone, SUPPORTED, "Session-Expires: 100;refresher=uas", "Allow: UPDATE")
        lone.net.run(50_000)
        lone.reply(lone.out[-1], status, "")
        assert lone.handler.events[-1] == ("ended", "error", status)

    def test_the_peer_refreshes(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 90")
        lone.net.run(59_000)
        answer = self.ask(
            lone, "UPDATE", 2, SUPPORTED, "Session-Expires: 120;refresher=uac", body=b""
        )
        assert answer.status == 200
        assert answer.headers.get("Session-Expires") == "120;refresher=uac"
        lone.net.run(87_999)
        assert lone.handler.names() == ["invite", "ack"]
        lone.net.run(1)  # min(32 s, a third) before the end
        assert lone.handler.events[-1] == ("ended", "error", 408)

    def test_a_reinvite_that_does_not_speak_of_timers_turns_them_off(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 90")
        answer = self.ask(lone, "INVITE", 2, body=b"v=0 hold")
        assert (answer.status, answer.headers.get("Session-Expires")) == (200, None)
        self.ask(lone, "ACK", 2)
        lone.net.run(1_000_000)
        assert lone.handler.names() == ["invite", "ack", "offer"]
        lone.handler.calls[0].hangup()

    def test_a_reinvite_of_a_peer_that_knows_timers_keeps_them(self, lone):
        self.invite(lone, SUPPORTED, "Session-Expires: 90")
        answer = self.ask(lone, "INVITE", 2, SUPPORTED, body=b"v=0 hold")
        assert answer.headers.get("Session-Expires") == "90;refresher=uac"
        lone.handler.calls[0].hangup()

    def test_the_end_waits_for_an_ack(self, lone):
        lone.send("INVITE sip:u@ua", SUPPORTED, "Session-Expires: 90", body=b"v=0")
        to = lone.last.headers.get("To")
        lone.send("ACK sip:u@ua", To=to, Via="SIP/2.0/UDP peer;branch=z9hG4bKack")
        lone.net.run(59_000)
        assert self.ask(lone, "INVITE", 2, SUPPORTED, body=b"v=0 hold").status == 200
        lone.net.run(32_000)  # that ACK never comes
        assert lone.handler.events[-1] == ("ended", "error", 408)
        lone.net.run(40_000)
        lone.net.assert_quiet()


def test_the_longest_interval_there_is(world):
    net, handler = world.Net(), world.Recorder()
    net.agent(CALLEE, handler, session_expires_s=0)
    lines = (SUPPORTED, f"Session-Expires: {2**33}", "From: <sip:p@peer>;tag=p")
    net.receive(CALLEE, CALLER, world.sip("INVITE sip:u@ua", *lines, From="", body=b"v=0"))
    assert expires(net.sent("200 INVITE")[0]) == f"{2**31 - 1};refresher=uac"
    handler.calls[0].hangup()
    net.run(100_000)
    net.assert_quiet()


class TestAsking:
    """We call."""

    def dial(self, lone, *lines):
        call = lone.dial()
        lone.reply(lone.out[0], 200, "peertag", *lines, body=b"v=0")
        return call

    def test_a_peer_without_timers(self, lone):
        call = self.dial(lone)
        assert call.session_timer is None
        assert (
            lone.out[0].message.headers.get("Supported")
            == "replaces, norefersub, 100rel, timer, 199"
        )
        assert expires(lone.out[0]) == "1800"
        call.hangup()

    def test_the_peer_refreshes_and_stops(self, lone):
        call = self.dial(lone, "Session-Expires: 300;refresher=uas")
        lone.net.run(268_000)
        assert call.ended
        assert lone.handler.events[-1] == ("ended", "error", 408)

    @pytest.mark.parametrize(("said", "counts"), [("1", 90), ("86400", 1800), ("200", 200)])
    def test_an_interval_out_of_bounds_is_brought_into_them(self, lone, said, counts):
        call = self.dial(lone, f"Session-Expires: {said}")
        assert (call.session_timer.interval_s, call.session_timer.ours) == (counts, True)
        call.hangup()

    def test_an_unreadable_value_is_none(self, lone):
        call = self.dial(lone, "Session-Expires: soon")
        assert call.session_timer is None
        call.hangup()

    @pytest.mark.parametrize("min_se", ["", "x", "90", "1800"])
    def test_a_422_that_asks_for_nothing_new_is_a_refusal(self, lone, min_se):
        lone.dial()
        lone.reply(lone.out[0], 422, "t", *([f"Min-SE: {min_se}"] if min_se else []))
        assert lone.handler.events[-1] == ("ended", "remote", 422)

    def test_a_peer_that_never_has_enough(self, lone):
        lone.dial()
        for wanted in (2000, 3000, 4000, 5000):
            lone.reply(lone.out[-1], 422, "t", f"Min-SE: {wanted}")
            lone.net.run(10)
        assert len(lone.net.sent("INVITE")) == 4
        assert lone.handler.events[-1] == ("ended", "remote", 422)
        lone.net.run(40_000)
        lone.net.assert_quiet()

    def test_a_2xx_to_a_refresh_that_is_silent_about_timers_ends_them(self, lone):
        call = self.dial(lone, "Session-Expires: 100;refresher=uac", "Allow: UPDATE")
        lone.net.run(50_000)
        lone.reply(lone.out[-1], 200, "")
        assert call.session_timer is None
        lone.net.run(1_000_000)
        assert len(lone.net.sent("UPDATE")) == 1
        call.hangup()

    def test_a_hold_is_a_refresh_too(self, lone):
        call = self.dial(lone, "Session-Expires: 100;refresher=uac", "Allow: UPDATE")
        lone.net.run(40_000)
        call.reinvite(b"v=0 hold")
        assert expires(lone.out[-1]) == "100;refresher=uac"
        lone.reply(lone.out[-1], 200, "", "Session-Expires: 100;refresher=uac", body=b"v=0")
        lone.net.run(49_999)
        assert lone.net.sent("UPDATE") == []
        lone.net.run(1)
        assert len(lone.net.sent("UPDATE")) == 1
        call.hangup()

    def test_a_hold_waits_for_a_refresh_by_reinvite(self, lone):
        call = self.dial(lone, "Session-Expires: 100;refresher=uac", "Allow: INVITE")
        lone.net.run(50_000)
        refresh = lone.out[-1]
        call.reinvite(b"v=0 hold")
        lone.net.run(100)
        assert [p.message.body for p in lone.net.sent("INVITE")][1:] == [b"v=0 reply"]
        lone.reply(refresh, 200, "", "Session-Expires: 100", body=b"v=0 stands")
        lone.net.run(4_000)
        assert lone.net.sent("INVITE")[-1].message.body == b"v=0 hold"
        assert ("answer", b"v=0 stands") in lone.handler.events
        call.hangup()

"""UPDATE in virtual time (RFC 3311): before and after the answer, and offers that meet."""

import pytest
from ringwheel.media.sip.events import CallStateError, Refuse

CALLER, CALLEE = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def early(pair):
    """A call that rings, with a session that both sides have agreed on."""
    pair.there.answer = None
    call = pair.dial()
    pair.net.run(10)
    robot = pair.there.calls[-1]
    robot.ring(183, b"v=0 early")
    pair.net.run(10)
    return call, robot


class TestBetweenOurs:
    @pytest.mark.parametrize("by_caller", [True, False])
    def test_confirmed(self, pair, by_caller):
        call, robot = pair.call()
        asker, ours, theirs = (
            (call, pair.here, pair.there) if by_caller else (robot, pair.there, pair.here)
        )
        asker.update(b"v=0 hold")
        pair.net.run(10)
        assert theirs.events[-1] == ("offer", b"v=0 hold")
        assert ours.events[-1] == ("reinvited", 200, b"v=0 reply")
        assert len(pair.net.sent("ACK")) == 1  # the one of the call
        call.hangup()
        pair.finish()

    @pytest.mark.parametrize("by_caller", [True, False])
    def test_early(self, pair, early, by_caller):
        call, robot = early
        asker, ours, theirs = (
            (call, pair.here, pair.there) if by_caller else (robot, pair.there, pair.here)
        )
        asker.update(b"v=0 changed")
        pair.net.run(10)
        assert theirs.events[-1] == ("offer", b"v=0 changed")
        assert ours.events[-1] == ("reinvited", 200, b"v=0 reply")
        robot.accept(b"v=0 early")
        pair.net.run(10)
        assert pair.there.events[-1] == ("ack", None)
        assert pair.here.names()[-1] == "answered"
        call.hangup()
        pair.net.run(10)
        methods = ("INVITE", "PRACK", "UPDATE", "BYE")
        ours = [p for p in pair.net.packets if p.source == CALLER and p.name in methods]
        cseqs = [p.message.cseq for p in ours]
        assert cseqs == sorted(set(cseqs))
        pair.finish()

    def test_without_an_offer_it_only_refreshes(self, pair):
        call, _robot = pair.call()
        call.update(None)
        pair.net.run(10)
        assert pair.here.events[-1] == ("reinvited", 200, None)
        assert pair.there.names() == ["invite", "ack"]
        assert pair.net.sent("200 UPDATE")[0].message.headers.get("Contact") is not None
        call.hangup()
        pair.finish()

    def test_offers_that_meet_are_tried_again(self, pair):
        call, robot = pair.call()
        call.update(b"v=0 mine")
        robot.update(b"v=0 yours")
        pair.net.run(5_000)
        assert len(pair.net.sent("491 UPDATE")) == 2
        assert ("reinvited", 200, b"v=0 reply") in pair.here.events
        assert ("reinvited", 200, b"v=0 reply") in pair.there.events
        assert pair.net.times("UPDATE", CALLEE)[1] <= 2_013
        assert 2_100 <= pair.net.times("UPDATE", CALLER)[1] - 10 <= 4_003
        call.hangup()
        pair.finish()

    def test_an_update_that_meets_a_reinvite(self, pair):
        call, robot = pair.call()
        call.update(b"v=0 mine")
        robot.reinvite(b"v=0 yours")
        pair.net.run(10_000)
        assert len(pair.net.sent("491 UPDATE")) == 1
        assert len(pair.net.sent("491 INVITE")) == 1
        assert ("reinvited", 200, b"v=0 reply") in pair.here.events
        assert ("reinvited", 200, b"v=0 reply") in pair.there.events
        call.hangup()
        pair.finish()

    def test_a_plain_refresh_meets_nothing(self, pair):
        call, robot = pair.call()
        call.update(None)
        robot.reinvite(b"v=0 yours")
        pair.net.run(100)
        assert pair.net.sent("491 INVITE") == []
        assert ("reinvited", 200, b"v=0 reply") in pair.there.events
        call.hangup()
        pair.finish()

    def test_refused(self, pair):
        call, robot = pair.call()
        pair.there.offer_reply = Refuse(488)
        call.update(b"v=0 video")
        pair.net.run(10)
        assert pair.here.events[-1] == ("reinvited", 488, None)
        assert not call.ended
        assert not robot.ended
        call.hangup()
        pair.finish()

    def test_hangup_while_it_is_under_way(self, pair):
        call, _robot = pair.call()
        call.update(b"v=0 hold")
        call.hangup()
        pair.finish()
        assert "reinvited" not in pair.here.names()

    def test_nobody_answers(self, pair):
        call, _robot = pair.call()
        pair.net.link = lambda packet: []
        call.update(b"v=0 hold")
        pair.net.run(32_000)
        assert pair.here.events[-1] == ("ended", "error", 408)
        assert call.ended

    def test_states_that_forbid_it(self, pair):
        pair.there.answer = None
        call = pair.dial()
        with pytest.raises(CallStateError):
            call.update(b"v=0")
        pair.net.run(10)
        robot = pair.there.calls[-1]
        with pytest.raises(CallStateError):
            robot.update(b"v=0")
        robot.ring()
        with pytest.raises(CallStateError):
            robot.update(b"v=0")
        robot.accept(b"v=0")
        pair.net.run(10)
        call.update(b"v=0")
        with pytest.raises(CallStateError):
            call.update(b"v=0")
        call.hangup()
        assert call.update(b"v=0") is False
        pair.finish()


class TestByHand:
    def ask(self, lone, method, cseq, *lines, **fields):
        first = lone.out[0].message
        ends = {"To": first.headers.get("To"), "From": "<sip:p@peer>;tag=peertag"}
        if lone.out[0].name == "INVITE":  # we called
            ends = {"To": first.headers.get("From"), "From": "<sip:p@peer>;tag=t1",
                    "Call_ID": first.call_id}  # fmt: skip
        via = f"SIP/2.0/UDP peer;branch=z9hG4bK{method}{cseq};rport"
        fields = ends | {"CSeq": f"{cseq} {method}", "Via": via} | fields
        lone.send(f"{method} sip:u@ua", *lines, **fields)
        return lone.last

    def test_before_the_answer_to_their_offer(self, lone):
        lone.handler.answer = None
        lone.handler.ring = True
        lone.send("INVITE sip:u@ua", body=b"v=0")
        answer = self.ask(lone, "UPDATE", 2, body=b"v=0 changed")
        assert answer.status == 500
        assert 0 <= int(answer.headers.get("Retry-After")) <= 10
        assert self.ask(lone, "UPDATE", 3).status == 200
        assert lone.handler.names() == ["invite"]
        lone.handler.calls[0].reject(486)

    def test_before_the_answer_to_our_offer(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 183, "t1", body=b"v=0 not reliable")
        assert self.ask(lone, "UPDATE", 2, body=b"v=0 changed").status == 491
        call.hangup()

    def test_before_the_offer_that_we_have_asked_for(self, lone):
        call = lone.dial(None)
        lone.reply(lone.out[0], 180, "t1")
        assert self.ask(lone, "UPDATE", 2, body=b"v=0 changed").status == 500
        call.hangup()

    def test_after_the_answer_to_our_offer(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 183, "t1", "Require: 100rel", "RSeq: 1", body=b"v=0 answer")
        answer = self.ask(lone, "UPDATE", 2, body=b"v=0 changed")
        assert (answer.status, answer.body) == (200, b"v=0 reply")
        assert call.remote_sdp == b"v=0 changed"
        call.hangup()

    def test_an_early_session_has_no_timer(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 180, "t1")
        self.ask(lone, "UPDATE", 2, "Supported: timer", "Session-Expires: 90")
        assert (lone.last.status, lone.last.headers.get("Session-Expires")) == (200, None)
        lone.net.run(100_000)
        assert not call.ended
        call.hangup()

    def test_it_moves_the_target(self, lone):
        lone.send("INVITE sip:u@ua", body=b"v=0")
        call = lone.handler.calls[0]
        self.ask(lone, "ACK", 1)
        self.ask(lone, "UPDATE", 2, Contact="<sip:new@10.0.0.77:7000>")
        assert call.dialog.remote_target == "sip:new@10.0.0.77:7000"
        call.hangup()
        assert lone.out[-1].target == "10.0.0.77"

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            (["Content-Type: text/plain"], 415),
            (["Require: magic"], 420),
            (["Accept: text/html"], 488),
            (["Supported: timer", "Session-Expires: 10"], 422),
            (["Session-Expires: x"], 400),
        ],
    )
    def test_rejected(self, lone, lines, status):
        lone.send("INVITE sip:u@ua", body=b"v=0")
        self.ask(lone, "ACK", 1)
        assert self.ask(lone, "UPDATE", 2, *lines, body=b"v=0 offer").status == status
        assert lone.handler.names() == ["invite", "ack"]
        lone.handler.calls[0].hangup()

    def test_outside_of_a_dialog(self, lone):
        lone.send("UPDATE sip:u@ua")
        assert lone.last.status == 481

    def test_a_500_says_when_to_try_again(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 200, "t1", body=b"v=0")
        call.update(b"v=0 hold")
        lone.reply(lone.out[-1], 500, "", "Retry-After: 3")
        lone.net.run(2_999)
        assert len(lone.net.sent("UPDATE")) == 1
        lone.net.run(1)
        assert len(lone.net.sent("UPDATE")) == 2
        lone.reply(lone.out[-1], 200, "", body=b"v=0 answer")
        assert lone.handler.events[-1] == ("reinvited", 200, b"v=0 answer")
        call.hangup()

    def test_a_peer_that_is_never_ready(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 200, "t1", body=b"v=0")
        call.update(b"v=0 hold")
        for _ in range(4):
            lone.reply(lone.out[-1], 500, "", "Retry-After: 999999")
            lone.net.run(10_000)
        assert len(lone.net.sent("UPDATE")) == 4
        assert lone.handler.events[-1] == ("reinvited", 500, None)
        call.hangup()

    @pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
    @pytest.mark.parametrize("status", [404, 408, 410, 416, 481, 482, 484, 485, 502, 604])
    def test_answers_after_which_there_is_no_dialog(self, lone, method, status):
        call = lone.dial()
        lone.reply(lone.out[0], 200, "t1", body=b"v=0")
        (call.update if method == "UPDATE" else call.reinvite)(b"v=0 hold")
        lone.reply(lone.net.sent(method)[-1], status, "")
        assert lone.handler.events[-1] == ("ended", "error", status)
        assert lone.net.sent("BYE") != []
        lone.net.run(64_000)
        lone.net.assert_quiet()

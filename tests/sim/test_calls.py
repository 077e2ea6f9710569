"""Calls between two user agents over a link in virtual time (RFC 3261 sections 12 to 15)."""

import pytest
from ringwheel.media.sip.events import CallStateError, Refuse

CALLER, CALLEE = "10.0.0.1", "10.0.0.2"


def lose(net, *names, count=1):
    """The link loses the first ``count`` packets of each name."""
    left = dict.fromkeys(names, count)

    def link(packet):
        if left.get(packet.name, 0):
            left[packet.name] -= 1
            return []
        return [1]

    net.link = link


def test_a_call_from_invite_to_bye(pair):
    call, robot = pair.call()
    assert pair.there.events == [("invite", b"v=0 offer"), ("ack", None)]
    assert pair.here.events == [("answered", b"v=0 answer")]
    assert (robot.from_uri, robot.to_uri) == ("sip:me@10.0.0.1", "sip:robot@10.0.0.2:5060")
    call.hangup([("Reason", 'Q.850;cause=16;text="done"')])
    pair.net.run(10)
    assert pair.net.trace() == [
        "10.0.0.1>10.0.0.2 INVITE",
        "10.0.0.2>10.0.0.1 200 INVITE",
        "10.0.0.1>10.0.0.2 ACK",
        "10.0.0.1>10.0.0.2 BYE",
        "10.0.0.2>10.0.0.1 200 BYE",
    ]
    cause = pair.there.ended[robot.id]
    assert (cause.by.value, cause.status) == ("remote", 200)
    assert cause.text == 'Q.850;cause=16;text="done"'
    assert pair.here.ended[call.id].by.value == "local"
    pair.finish()


def test_the_callee_hangs_up(pair):
    _call, robot = pair.call()
    robot.hangup()
    pair.net.run(10)
    assert pair.here.events[-1] == ("ended", "remote", 200)
    assert pair.there.events[-1] == ("ended", "local", 200)
    pair.finish()


def test_methods_of_an_ended_call_do_nothing(pair):
    call, robot = pair.call()
    call.hangup()
    pair.net.run(10)
    sent = len(pair.net.packets)
    answers = [robot.ring(), robot.accept(b"x"), robot.reject(486), robot.hangup()]
    assert [*answers, call.reinvite(b"x"), call.hangup()] == [False] * 6
    assert len(pair.net.packets) == sent
    pair.finish()


def test_methods_that_the_state_forbids_raise(pair):
    call, robot = pair.call()
    for forbidden in (lambda: robot.accept(b"x"), robot.ring, lambda: call.accept(b"x")):
        with pytest.raises(CallStateError):
            forbidden()
    call.hangup()
    pair.finish()


def test_rejected(pair):
    pair.there.answer = None
    call = pair.dial()
    pair.net.run(10)
    pair.there.calls[0].reject(486, "Busy Tonight", [("Reason", "SIP;cause=486")])
    pair.net.run(10)
    cause = pair.here.ended[call.id]
    assert (cause.by.value, cause.status, cause.reason) == ("remote", 486, "Busy Tonight")
    assert cause.text == "SIP;cause=486"
    assert pair.there.events[-1] == ("ended", "local", 486)
    pair.finish()


def test_ringing_with_early_media(pair):
    pair.there.answer = None
    pair.dial()
    pair.net.run(10)
    robot = pair.there.calls[0]
    robot.ring()
    robot.ring(183, b"v=0 early", reliable=False)
    pair.net.run(10)
    assert pair.here.events == [("ringing", 180), ("ringing", 183)]
    assert pair.net.sent("183 INVITE")[0].message.body == b"v=0 early"
    robot.accept(b"v=0 late")
    pair.net.run(10)
    assert pair.here.events[-1] == ("answered", b"v=0 late")
    robot.hangup()
    pair.finish()


def test_an_unanswered_call_is_kept_alive_every_minute_then_given_up(pair):
    pair.there.answer = None
    pair.there.ring = True
    pair.dial()
    pair.net.run(200_000)
    assert pair.net.times("180 INVITE", CALLEE) == [1, 60_001, 120_001]
    assert pair.net.times("CANCEL") == [180_000]
    assert pair.here.events[-1] == ("ended", "error", 408)
    assert pair.net.times("487 INVITE", CALLEE) == [180_001]
    pair.finish()


def test_expires_bounds_the_wait(lone):
    lone.handler.answer = None
    lone.send("INVITE sip:u@ua", "Expires: 30", body=b"v=0")
    lone.net.run(40_000)
    assert lone.net.times("487 INVITE")[0] == 30_200
    assert lone.handler.events[-1] == ("ended", "error", 487)


@pytest.mark.parametrize("lost", ["INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"])
def test_any_message_may_be_lost(pair, lost):
    lose(pair.net, lost)
    call = pair.dial()
    pair.net.run(1_600)
    assert pair.here.names() == ["answered"]
    assert pair.there.names() == ["invite", "ack"]
    call.hangup()
    pair.net.run(1_600)
    assert pair.here.events[-1] == ("ended", "local", 200)
    assert pair.there.events[-1] == ("ended", "remote", 200)
    pair.finish()


def test_a_200_is_repeated_until_its_ack_and_then_given_up(lone):
    lone.send("INVITE sip:u@ua", body=b"v=0")
    lone.net.run(31_999)
    assert lone.net.times("200 INVITE") == [
        0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
    ]  # fmt: skip
    assert lone.handler.names() == ["invite"]
    lone.net.run(1)
    assert lone.net.times("BYE") == [32_000]
    assert lone.handler.events[-1] == ("ended", "error", 408)
    lone.net.run(32_000)
    lone.net.assert_quiet()


def test_hangup_before_the_ack_waits_for_it(pair):
    lose(pair.net, "ACK")
    pair.dial()
    pair.net.run(10)
    robot = pair.there.calls[0]
    assert robot.hangup()
    pair.net.run(400)
    assert pair.net.sent("BYE") == []
    assert pair.there.names() == ["invite"]
    pair.net.run(200)
    assert pair.net.times("BYE") == [503]  # 200 again at 501, its ACK back at 503
    assert pair.there.names() == ["invite", "ended"]
    pair.finish()


def test_hangup_before_an_ack_that_never_comes(lone):
    lone.send("INVITE sip:u@ua", body=b"v=0")
    lone.handler.calls[0].hangup()
    lone.net.run(32_000)
    assert lone.net.times("BYE") == [32_000]
    assert lone.handler.events[-1] == ("ended", "local", 200)
    lone.net.run(32_000)
    lone.net.assert_quiet()


def test_cancel(pair):
    pair.there.answer = None
    pair.there.ring = True
    call = pair.dial()
    pair.net.run(10)
    call.hangup([("Reason", "SIP;cause=200")])
    pair.net.run(10)
    assert pair.net.trace()[2:] == [
        "10.0.0.1>10.0.0.2 CANCEL",
        "10.0.0.2>10.0.0.1 200 CANCEL",
        "10.0.0.2>10.0.0.1 487 INVITE",
        "10.0.0.1>10.0.0.2 ACK",
    ]
    tags = {p.message.to_tag for p in pair.net.packets if p.source == CALLEE}
    assert len(tags) == 1  # RFC 3261 9.2
    assert pair.here.events[-1] == ("ended", "local", 487)
    assert pair.there.ended[pair.there.calls[0].id].text == "SIP;cause=200"
    pair.finish()


def test_cancel_waits_for_a_provisional_response(pair):
    pair.there.answer = None
    call = pair.dial()
    call.hangup()
    pair.net.run(190)
    assert pair.net.sent("CANCEL") == []
    pair.net.run(100)
    assert pair.net.times("CANCEL") == [202]  # the 100 left at 201
    pair.finish()
    assert pair.here.events == [("ended", "local", 487)]


def test_cancel_that_meets_the_200_leads_to_ack_and_bye(pair):
    pair.there.answer = None
    pair.there.ring = True
    call = pair.dial()
    pair.net.run(10)
    pair.there.calls[0].accept(b"v=0 late")
    call.hangup()
    pair.net.run(10)
    names = [packet.name for packet in pair.net.packets]
    assert names[2:] == [
        "200 INVITE", "CANCEL", "ACK", "BYE", "200 CANCEL", "200 BYE"
    ]  # fmt: skip
    assert pair.here.events == [("ringing", 180), ("ended", "local", 487)]
    assert pair.there.names() == ["invite", "ack", "ended"]
    pair.finish()


def test_cancel_without_final_response_ends_after_64_t1(lone):
    call = lone.dial()
    lone.reply(lone.out[0], 180)
    call.hangup()
    lone.reply(lone.out[1], 200, CSeq="1 CANCEL")
    lone.net.run(31_999)
    assert lone.handler.names() == ["ringing"]
    lone.net.run(1)
    assert lone.handler.events[-1] == ("ended", "local", 487)
    lone.net.run(32_000)
    lone.net.assert_quiet()


def test_cancel_of_nothing_gets_481(lone):
    lone.send("CANCEL sip:u@ua")
    assert lone.statuses() == ["481 CANCEL"]


def test_cancel_after_the_final_response_changes_nothing(lone):
    lone.send("INVITE sip:u@ua", body=b"v=0")
    lone.send("CANCEL sip:u@ua")
    assert lone.statuses() == ["200 INVITE", "200 CANCEL"]
    assert lone.handler.names() == ["invite"]
    lone.handler.calls[0].hangup()


def test_byes_that_cross_both_get_a_200(pair):
    call, robot = pair.call()
    call.hangup()
    robot.hangup()
    pair.net.run(10)
    assert len(pair.net.sent("200 BYE")) == 2
    assert pair.here.events[-1] == ("ended", "local", 200)
    assert pair.there.events[-1] == ("ended", "local", 200)
    pair.finish()


def test_bye_in_an_early_dialog_answers_the_invite_with_487(lone):
    lone.handler.answer = None
    lone.handler.ring = True
    lone.send("INVITE sip:u@ua", body=b"v=0")
    to = lone.last.headers.get("To")
    lone.send("BYE sip:u@ua", To=to, CSeq="2 BYE", Via="SIP/2.0/UDP peer;branch=z9hG4bKbye")
    assert lone.statuses() == ["180 INVITE", "487 INVITE", "200 BYE"]
    assert lone.handler.events[-1] == ("ended", "remote", 200)


def test_bye_to_a_call_that_is_over_gets_481(pair, world):
    call, _robot = pair.call()
    call.hangup()
    pair.net.run(60_000)
    bye = pair.net.sent("BYE")[0].message
    bye.headers.set("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKnew")
    pair.net.receive(CALLEE, CALLER, bye.to_bytes())
    assert pair.net.packets[-1].name == "481 BYE"
    pair.finish()


def test_a_second_fork_that_answers_is_acknowledged_and_left(lone):
    call = lone.dial()
    lone.reply(lone.out[0], 180, "fork1")
    lone.reply(lone.out[0], 180, "fork2")
    assert lone.agent.dialogs == 2
    lone.reply(lone.out[0], 200, "fork1", body=b"v=0 one")
    lone.reply(lone.out[0], 200, "fork2", body=b"v=0 two")
    lone.reply(lone.out[0], 200, "fork2", body=b"v=0 two")
    rest = [(p.name, p.message.to_tag) for p in lone.out[1:]]
    assert rest == [("ACK", "fork1"), ("ACK", "fork2"), ("BYE", "fork2"), ("ACK", "fork2")]
    assert lone.handler.names() == ["ringing", "ringing", "answered"]
    assert call.remote_sdp == b"v=0 one"
    call.hangup()
    lone.net.run(64_000)
    lone.net.assert_quiet()


def test_an_early_fork_that_leaves_is_forgotten(lone):
    lone.dial()
    lone.reply(lone.out[0], 180, "fork1")
    fields = {"From": "<sip:p@peer>;tag=fork1", "To": lone.out[0].message.headers.get("From")}
    fields |= {"Call_ID": lone.out[0].message.call_id, "CSeq": "7 BYE"}
    lone.send("BYE sip:u@ua", **fields)
    assert lone.statuses()[1:] == ["200 BYE", "CANCEL"]
    lone.reply(lone.out[0], 487, "fork1")
    assert lone.handler.events[-1] == ("ended", "remote", 200)


class TestOffers:
    def test_late_offer(self, pair):
        pair.here.offer_reply = b"v=0 late answer"
        _call, robot = pair.call(sdp=None)
        assert pair.there.events == [("invite", None), ("ack", b"v=0 late answer")]
        assert pair.here.events == [("offer", b"v=0 answer"), ("answered", b"v=0 answer")]
        assert robot.remote_sdp == b"v=0 late answer"
        robot.hangup()
        pair.finish()

    def test_late_offer_that_is_refused_ends_the_call(self, pair):
        pair.here.offer_reply = Refuse(488)
        pair.call(sdp=None)
        pair.net.run(10)
        assert pair.here.events[-1] == ("ended", "error", 488)
        assert pair.there.events == [("invite", None), ("ack", None), ("ended", "remote", 200)]
        pair.finish()

    @pytest.mark.parametrize("by_caller", [True, False])
    def test_reinvite(self, pair, by_caller):
        call, robot = pair.call()
        asker, ours, theirs = (
            (call, pair.here, pair.there) if by_caller else (robot, pair.there, pair.here)
        )
        asker.reinvite(b"v=0 hold")
        pair.net.run(10)
        assert theirs.events[-1] == ("offer", b"v=0 hold")
        assert ours.events[-1] == ("reinvited", 200, b"v=0 reply")
        asker.reinvite(b"v=0 resume")
        pair.net.run(10)
        assert ours.events[-1] == ("reinvited", 200, b"v=0 reply")
        call.hangup()
        pair.finish()

    def test_reinvite_without_an_offer(self, pair):
        call, _robot = pair.call()
        call.reinvite(None)
        pair.net.run(10)
        assert pair.there.events[-2:] == [("offer", None), ("ack", b"v=0 reply")]
        assert pair.here.events[-2:] == [
            ("offer", b"v=0 reply"),
            ("reinvited", 200, b"v=0 reply"),
        ]
        call.hangup()
        pair.finish()

    def test_refused_reinvite_leaves_the_session_as_it_was(self, pair):
        call, robot = pair.call()
        pair.there.offer_reply = Refuse(488, "No Video")
        call.reinvite(b"v=0 video")
        pair.net.run(10)
        assert pair.here.events[-1] == ("reinvited", 488, None)
        assert pair.net.sent("488 INVITE")[0].message.reason == "No Video"
        assert (call.state.name, robot.state.name) == ("CONFIRMED", "CONFIRMED")
        call.hangup()
        pair.finish()

    @pytest.mark.parametrize("lost", ["ACK", "200 INVITE", "INVITE"])
    def test_reinvite_over_loss(self, pair, lost):
        call, robot = pair.call()
        lose(pair.net, lost)
        call.reinvite(b"v=0 hold")
        pair.net.run(1_600)
        assert pair.here.events[-1] == ("reinvited", 200, b"v=0 reply")
        assert pair.there.names().count("offer") == 1
        assert not robot.awaits_ack
        call.hangup()
        pair.finish()

    def test_reinvite_whose_ack_never_comes_ends_the_call(self, pair):
        call, _robot = pair.call()
        lose(pair.net, "ACK", count=99)
        call.reinvite(b"v=0 hold")
        pair.net.run(40_000)
        assert pair.there.events[-1] == ("ended", "error", 408)
        assert pair.here.events[-1] == ("ended", "remote", 200)
        pair.finish()

    def test_reinvite_that_nobody_answers_ends_the_call(self, pair):
        call, robot = pair.call()
        pair.net.link = lambda packet: []
        call.reinvite(b"v=0 hold")
        pair.net.run(32_000)
        assert pair.here.events[-1] == ("ended", "error", 408)
        robot.hangup()
        pair.finish()

    def test_glare_is_resolved_by_waiting(self, pair):
        call, robot = pair.call()
        call.reinvite(b"v=0 mine")
        robot.reinvite(b"v=0 yours")
        pair.net.run(5_000)
        assert len(pair.net.sent("491 INVITE")) == 2
        assert ("reinvited", 200, b"v=0 reply") in pair.here.events
        assert ("reinvited", 200, b"v=0 reply") in pair.there.events
        assert pair.net.times("INVITE", CALLEE)[1] <= 2_013  # the callee: 0 to 2 s
        again = pair.net.times("INVITE", CALLER)[2]
        assert 2_100 <= again - 10 <= 4_003  # the owner of the Call-ID: 2.1 to 4 s
        call.hangup()
        pair.finish()

    def test_a_reinvite_that_comes_too_early_is_sent_again_when_the_peer_says(self, lone):
        """It has another change to finish first (RFC 3261 14.2)."""
        call = lone.dial()
        lone.reply(lone.out[0], 200, body=b"v=0")
        call.reinvite(b"v=0 hold")
        for number in range(1, 4):
            lone.reply(lone.net.sent("INVITE")[-1], 500, "", "Retry-After: 3")
            lone.net.run(2_900)
            assert len(lone.net.sent("INVITE")) == 1 + number
            lone.net.run(200)
            assert len(lone.net.sent("INVITE")) == 2 + number
        lone.reply(lone.net.sent("INVITE")[-1], 500, "", "Retry-After: 3")
        assert lone.handler.events[-1] == ("reinvited", 500, None)
        call.reinvite(b"v=0 hold")
        lone.reply(lone.net.sent("INVITE")[-1], 500)
        assert lone.handler.names().count("reinvited") == 2

    def test_an_offer_is_made_anew_for_each_attempt(self, pair):
        call, robot = pair.call()
        offers = [b"v=0 first", b"v=0 second", b"v=0 third"]
        made = iter(offers)
        call.reinvite(lambda: next(made))
        robot.reinvite(b"v=0 yours")
        pair.net.run(5_000)
        assert ("offer", b"v=0 second") in pair.there.events
        assert next(made) == b"v=0 third"
        call.hangup()
        pair.finish()

    def test_a_reinvite_waits_for_the_ack_of_the_peers(self, pair):
        call, robot = pair.call()
        lose(pair.net, "ACK", count=2)
        call.reinvite(b"v=0 mine")
        pair.net.run(10)
        assert robot.awaits_ack
        robot.reinvite(b"v=0 yours")
        pair.net.run(10)
        assert ("offer", b"v=0 yours") not in pair.here.events
        pair.net.run(10_000)
        assert ("offer", b"v=0 yours") in pair.here.events
        assert pair.there.events[-1] == ("reinvited", 200, b"v=0 reply")
        call.hangup()
        pair.finish()

    def test_one_invite_at_a_time(self, pair):
        call, _robot = pair.call()
        call.reinvite(b"v=0 hold")
        with pytest.raises(CallStateError):
            call.reinvite(b"v=0 again")
        call.hangup()
        pair.finish()

    def test_a_reinvite_stands_for_a_lost_ack(self, pair):
        lose(pair.net, "ACK", count=1)
        call, robot = pair.call()
        assert robot.awaits_ack
        call.reinvite(b"v=0 hold")
        pair.net.run(10)
        assert pair.there.names() == ["invite", "ack", "offer"]
        assert not robot.awaits_ack
        call.hangup()
        pair.finish()

    def test_reinvite_before_our_late_offer_is_answered_gets_491(self, pair):
        lose(pair.net, "ACK", count=1)
        call, _robot = pair.call(sdp=None)
        call.reinvite(b"v=0 hold")
        pair.net.run(10)
        assert len(pair.net.sent("491 INVITE")) == 1
        call.hangup()
        pair.finish()

    def test_reinvite_during_a_reinvite_that_is_over_when_the_call_is(self, pair):
        call, _robot = pair.call()
        call.reinvite(b"v=0 hold")
        call.hangup()
        pair.finish()
        assert "reinvited" not in pair.here.names()


def test_a_reinvite_that_gets_no_further_than_100_is_given_up(lone):
    call = lone.dial()
    lone.reply(lone.out[0], 200, body=b"v=0")
    call.reinvite(b"v=0 hold")
    lone.reply(lone.out[-1], 100)
    lone.net.run(179_999)
    assert lone.handler.names() == ["answered"]
    lone.net.run(1)
    assert lone.handler.events[-1] == ("ended", "error", 408)
    lone.net.run(32_000)
    lone.net.assert_quiet()


def test_a_reinvite_in_progress_does_not_outlive_its_call_for_long(lone):
    call = lone.dial()
    lone.reply(lone.out[0], 200, body=b"v=0")
    call.reinvite(b"v=0 hold")
    lone.reply(lone.out[-1], 100)
    call.hangup()
    lone.net.run(32_000)
    lone.net.assert_quiet()


class TestWithinDialogs:
    def confirmed(self, lone, **fields):
        lone.send("INVITE sip:u@ua", body=b"v=0", **fields)
        self.to = lone.last.headers.get("To")
        lone.send("ACK sip:u@ua", To=self.to, Via="SIP/2.0/UDP peer;branch=z9hG4bKack")
        return lone.handler.calls[0]

    def ask(self, lone, method, cseq, *lines, **fields):
        via = f"SIP/2.0/UDP peer;branch=z9hG4bK{method}{cseq};rport"
        fields = {"To": self.to, "CSeq": f"{cseq} {method}", "Via": via} | fields
        lone.send(f"{method} sip:u@ua", *lines, **fields)
        return lone.last

    def test_options_and_unsupported_methods(self, lone):
        self.confirmed(lone)
        reply = self.ask(lone, "OPTIONS", 2)
        accepted = "application/sdp, multipart/mixed"
        assert (reply.status, reply.headers.get("Accept")) == (200, accepted)
        reply = self.ask(lone, "PUBLISH", 4)
        assert reply.status == 405
        assert reply.headers.get("Allow") == (
            "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER, NOTIFY, PRACK, UPDATE"
        )
        assert lone.handler.names() == ["invite", "ack"]

    @pytest.mark.parametrize(
        ("media_type", "body", "digit"),
        [
            ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", ("5", 160)),
            ("Application/DTMF-Relay; x=y", b" signal = d \nDURATION= 99999999", ("D", 100)),
            ("application/dtmf-relay", b"Signal=11\r\nDuration=900000", ("#", 60_000)),
            ("application/dtmf", b"*\r\n", ("*", 100)),
        ],
    )
    def test_a_digit_by_info(self, lone, media_type, body, digit):
        self.confirmed(lone)
        reply = self.ask(lone, "INFO", 2, f"Content-Type: {media_type}", body=body)
        assert reply.status == 200
        assert lone.handler.events[-1] == ("digit", *digit)
        # A retransmission gets the same answer, and is not another digit.
        assert self.ask(lone, "INFO", 2, f"Content-Type: {media_type}", body=body).status == 200
        assert lone.handler.names().count("digit") == 1

    @pytest.mark.parametrize(
        ("media_type", "body", "status"),
        [
            ("application/dtmf-relay", b"Signal=17", 400),
            ("application/dtmf-relay", b"Duration=100", 400),
            ("application/dtmf-relay", b"Signal=5" + b" " * 256, 400),
            ("application/dtmf", b"", 200),
            ("application/dtmf", b"123", 400),
            ("application/dtmf", b"\xff", 400),
            ("text/plain", b"5", 415),
        ],
    )
    def test_an_info_without_a_digit(self, lone, media_type, body, status):
        self.confirmed(lone)
        reply = self.ask(lone, "INFO", 2, f"Content-Type: {media_type}", body=body)
        assert reply.status == status
        if status == 415:
            assert reply.headers.get("Accept") == "application/dtmf-relay, application/dtmf"
        assert "digit" not in lone.handler.names()

    def test_an_info_outside_of_a_dialog(self, lone):
        lone.send("INFO sip:u@ua", "Content-Type: application/dtmf", body=b"1")
        assert lone.last.status == 481

    def test_a_lower_cseq_gets_500(self, lone):
        self.confirmed(lone, CSeq="10 INVITE")
        assert self.ask(lone, "OPTIONS", 9).status == 500
        assert self.ask(lone, "OPTIONS", 30).status == 200

    def test_another_tag_is_no_dialog(self, lone):
        self.confirmed(lone)
        assert self.ask(lone, "BYE", 2, To="<sip:u@ua>;tag=guess").status == 481
        assert self.ask(lone, "BYE", 3, From="<sip:p@peer>;tag=guess").status == 481
        assert lone.handler.names() == ["invite", "ack"]

    def test_required_extension_gets_420(self, lone):
        self.confirmed(lone)
        reply = self.ask(lone, "INVITE", 2, "Require: sec-agree")
        assert (reply.status, reply.headers.get("Unsupported")) == (420, "sec-agree")

    def test_reinvite_moves_the_target(self, lone):
        call = self.confirmed(lone)
        self.ask(lone, "INVITE", 2, Contact="<sip:new@10.0.0.77:7000>")
        assert call.dialog.remote_target == "sip:new@10.0.0.77:7000"

    def test_route_set_and_next_hop(self, lone):
        routes = "<sip:10.0.0.5:5070;lr>, <sip:proxy.example;lr>"
        lone.send("INVITE sip:u@ua", f"Record-Route: {routes}", body=b"v=0")
        assert lone.last.headers.all("Record-Route") == [routes]
        lone.send(
            "ACK sip:u@ua",
            To=lone.last.headers.get("To"),
            CSeq="1 ACK",
            Via="SIP/2.0/UDP peer;branch=z9hG4bKack",
        )
        lone.handler.calls[0].hangup()
        bye = lone.out[-1]
        assert bye.target == "10.0.0.5"
        assert bye.message.uri == "sip:p@10.0.0.9:5060"
        assert bye.message.headers.all("Route") == [
            "<sip:10.0.0.5:5070;lr>",
            "<sip:proxy.example;lr>",
        ]

    def test_bye_ends_even_while_the_ack_is_outstanding(self, lone):
        lone.send("INVITE sip:u@ua", body=b"v=0")
        self.to = lone.last.headers.get("To")
        assert self.ask(lone, "BYE", 2).status == 200
        assert lone.handler.events[-1] == ("ended", "remote", 200)
        lone.net.run(32_000)
        lone.net.assert_quiet()


class TestHandlerErrors:
    def test_on_invite(self, lone):
        def broken(call):
            raise RuntimeError("bug")

        lone.handler.on_invite = broken
        lone.send("INVITE sip:u@ua", body=b"v=0")
        assert lone.statuses() == ["500 INVITE"]
        assert lone.handler.events == [("ended", "local", 500)]
        assert lone.agent.counters.as_dict()["handler_errors"] == 1

    def test_on_offer(self, pair):
        call, _robot = pair.call()
        pair.there.offer_reply = RuntimeError("bug")
        call.reinvite(b"v=0 hold")
        pair.net.run(10)
        assert pair.here.events[-1] == ("reinvited", 500, None)
        call.hangup()
        pair.finish()

    def test_on_ended(self, pair):
        call, _robot = pair.call()

        def broken(call, cause):
            raise RuntimeError("bug")

        pair.here.on_ended = broken
        call.hangup()
        pair.finish()
        assert pair.caller.counters.as_dict()["handler_errors"] == 1


def test_shutdown_leaves_nothing_behind(pair):
    pair.call()
    pair.there.answer = None
    pair.dial()
    pair.net.run(10)
    pair.callee.shutdown()
    assert [cause.status for cause in pair.there.ended.values()] == [503, 503]
    left = (pair.callee.calls, pair.callee.dialogs, len(pair.callee.transactions))
    assert left == (0, 0, 0)
    pair.net.run(10)
    assert pair.here.names().count("ended") == 2
    pair.net.receive(CALLEE, CALLER, pair.net.sent("INVITE")[0].message.to_bytes())
    pair.finish()

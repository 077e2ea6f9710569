"""Features that meet in one call: an UPDATE that fails before the answer, forks that answer after
an unreadable one, challenges that cross the 200."""

import pytest
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.edge import SendFailure
from ringwheel.media.sip.refer import Refers
from ringwheel.media.sip.replaces import ReferTo

CHALLENGE = 'Proxy-Authenticate: Digest realm="a", nonce="n", qop="auth"'
RELIABLE = ("Require: 100rel", "RSeq: 1")


def of(lone, name):
    return [p for p in lone.out if p.name == name]


@pytest.fixture
def early(lone):
    """A call of ours that rings, with a session that both sides have agreed on."""
    call = lone.dial(credentials=Credentials("user", "secret"))
    lone.reply(lone.out[0], 183, "peertag", *RELIABLE, body=b"v=0 early")
    return call


class TestAnUpdateThatFailsBeforeTheAnswer:
    def test_in_a_call_of_ours_it_is_cancelled(self, lone, early):
        lone.reply(of(lone, "PRACK")[0], 200)
        early.update(b"v=0 changed")
        lone.reply(of(lone, "UPDATE")[0], 481)
        assert lone.statuses()[-1] == "CANCEL"
        lone.reply(lone.out[-1], 200)
        lone.reply(lone.out[0], 487)
        assert lone.handler.names() == ["ringing", "ended"]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_and_an_answer_that_crosses_the_cancel_is_left(self, lone, early):
        lone.reply(of(lone, "PRACK")[0], 200)
        early.update(b"v=0 changed")
        lone.reply(of(lone, "UPDATE")[0], 481)
        lone.reply(lone.out[0], 200, body=b"v=0 early")
        assert lone.statuses()[-3:] == ["CANCEL", "ACK", "BYE"]
        assert lone.handler.names() == ["ringing", "ended"]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_one_that_went_with_a_refused_invite_harms_nothing(self, lone):
        call = lone.dial(on_redirect=lambda call, target: call.follow(call.flow))
        lone.reply(lone.out[0], 183, "first", *RELIABLE, body=b"v=0 early")
        lone.reply(of(lone, "PRACK")[0], 200)
        call.update(b"v=0 changed")
        lone.reply(lone.out[0], 302, "first", Contact="<sip:q@10.0.0.9:5060>")
        assert lone.handler.events[-1] == ("reinvited", 487, None)
        lone.reply(of(lone, "UPDATE")[0], 481)
        second = of(lone, "INVITE")[1]
        lone.reply(second, 200, "second", body=b"v=0")
        assert lone.handler.events[-1] == ("answered", b"v=0")
        call.hangup()
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_a_call_that_came_in_is_refused(self, lone):
        lone.handler.answer = None
        lone.send("INVITE sip:u@ua", "Supported: 100rel", body=b"v=0")
        (call,) = lone.handler.calls
        call.ring(183, b"v=0 early")
        rseq = lone.last.headers.get("RSeq")
        tag = f"<sip:u@ua>;tag={call.id}"
        via = "SIP/2.0/UDP peer;branch=z9hG4bKprack"
        lone.send("PRACK sip:u@ua", f"RAck: {rseq} 1 INVITE", To=tag, CSeq="2 PRACK", Via=via)
        call.update(b"v=0 changed")
        lone.reply(lone.out[-1], 481)
        assert lone.statuses()[-1] == "500 INVITE"
        assert lone.last.to_tag == call.id
        assert of(lone, "BYE") == []  # RFC 3261 15: not by the callee in an early dialog
        lone.send("ACK sip:u@ua", To=tag, CSeq="1 ACK")
        lone.net.run(64_000)
        lone.net.assert_quiet()


class TestAfterTheAnswer:
    def test_a_fork_that_answers_after_an_unreadable_one_is_left(self, lone):
        lone.dial()
        lone.reply(lone.out[0], 200, "bad", "Record-Route: <name:proxy>", body=b"v=0")
        assert lone.handler.events == [("ended", "error", 502)]
        lone.reply(lone.out[0], 200, "good", body=b"v=0")
        rest = [(p.name, p.message.to_tag) for p in lone.out[1:]]
        assert rest == [("ACK", "good"), ("BYE", "good")]
        lone.reply(lone.out[-1], 200)
        assert lone.handler.names() == ["ended"]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_a_prack_that_is_challenged_late_takes_a_number_of_its_own(self, lone, early):
        lone.reply(lone.out[0], 200, body=b"v=0 early")
        lone.reply(of(lone, "PRACK")[0], 407, "peertag", CHALLENGE)
        early.hangup()
        first, second = of(lone, "PRACK")
        (bye,) = of(lone, "BYE")
        assert first.message.cseq < second.message.cseq < bye.message.cseq
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_the_target_that_an_early_update_named_stays(self, lone, early):
        lone.reply(of(lone, "PRACK")[0], 200)
        lone.send(
            "UPDATE sip:u@ua",
            To=f"<sip:u@ua>;tag={early.id}",
            Call_ID=early.call_id,
            From="<sip:p@10.0.0.9:5060>;tag=peertag",
            CSeq="7 UPDATE",
            Contact="<sip:moved@10.0.0.9:5060>",
        )
        assert lone.last.status == 200
        lone.reply(lone.out[0], 200, body=b"v=0 early", Contact="")
        assert lone.statuses()[-1] == "ACK"
        assert lone.last.uri == "sip:moved@10.0.0.9:5060"
        early.hangup()
        lone.net.run(64_000)


def test_a_refer_has_one_outcome_though_nobody_ever_answers(pair):
    call, _robot = pair.call()
    pair.net.link = lambda packet: []
    outcomes = []
    Refers.of(call).ask(
        ReferTo("sip:third@10.0.0.3"),
        timeout_ms=5_000,
        on_progress=lambda progress: None,
        on_outcome=lambda outcome: outcomes.append((outcome.end.name, outcome.status)),
    )
    pair.net.run(40_000)
    assert outcomes == [("LOST", 408)]
    assert pair.here.events[-1] == ("ended", "error", 408)


def test_a_reinvite_waits_for_the_answer_to_an_update(pair):
    """RFC 3264 section 4: no new offer while another is unanswered."""
    call, _robot = pair.call()
    call.update(b"v=0 one")
    call.reinvite(b"v=0 two")
    pair.net.run(8_000)
    assert pair.net.sent("491 INVITE") == []
    assert [e for e in pair.there.events if e[0] == "offer"] == [
        ("offer", b"v=0 one"),
        ("offer", b"v=0 two"),
    ]
    (answer,), (reinvite,) = pair.net.sent("200 UPDATE"), pair.net.sent("INVITE")[1:]
    assert reinvite.at_ms > answer.at_ms
    call.hangup()
    pair.finish()


def test_a_refresh_that_waits_asks_for_no_offer_beside_that_of_a_change(lone):
    """The handler is asked for one offer at a time: it would take the answer for the last one."""
    call = lone.dial()
    timer = ("Session-Expires: 90;refresher=uac", "Require: timer")
    lone.reply(lone.out[0], 200, "peertag", *timer, body=b"v=0")
    lone.net.run(45_000)
    assert lone.handler.names() == ["answered", "offer"]
    lone.reply(of(lone, "INVITE")[1], 491)
    call.reinvite(b"v=0 hold")
    change = of(lone, "INVITE")[2]
    lone.reply(change, 100)
    lone.net.run(10_000)
    assert lone.handler.names() == ["answered", "offer"]
    lone.reply(change, 200, "peertag", *timer, body=b"v=0 held")
    assert lone.handler.events[-1] == ("reinvited", 200, b"v=0 held")
    lone.net.run(5_000)
    assert lone.handler.names()[-1] == "offer"
    lone.reply(of(lone, "INVITE")[3], 200, "peertag", *timer, body=b"v=0 held")
    assert lone.handler.events[-1] == ("answer", b"v=0 held")
    call.hangup()
    lone.net.run(64_000)
    lone.net.assert_quiet()


def test_a_notify_that_overtakes_the_answer_to_a_challenged_refer(lone):
    call = lone.dial(credentials=Credentials("user", "secret"))
    lone.reply(lone.out[0], 200, body=b"v=0")
    progress = []
    Refers.of(call).ask(
        ReferTo("sip:third@10.0.0.3"),
        timeout_ms=10_000,
        on_progress=lambda told: progress.append(told.status),
        on_outcome=lambda outcome: progress.append(outcome.end.name),
    )
    lone.reply(of(lone, "REFER")[0], 407, "", CHALLENGE)
    refer = of(lone, "REFER")[1]

    def notify(number, status, cseq):
        lone.send(
            "NOTIFY sip:u@ua",
            f"Event: refer;id={number}",
            "Subscription-State: active",
            "Content-Type: message/sipfrag",
            body=f"SIP/2.0 {status} Phrase".encode(),
            Via=f"SIP/2.0/UDP peer;branch=z9hG4bKnotify{cseq}",
            To=f"<sip:u@ua>;tag={call.id}",
            From="<sip:p@10.0.0.9:5060>;tag=peertag",
            Call_ID=call.call_id,
            CSeq=f"{cseq} NOTIFY",
        )
        return lone.last.status

    assert notify(refer.message.cseq, 100, 5) == 200
    assert notify(refer.message.cseq + 1, 180, 6) == 481
    lone.reply(refer, 202, "")
    assert notify(refer.message.cseq - 1, 180, 7) == 481
    assert notify("x", 180, 8) == 481
    assert notify(refer.message.cseq, 200, 9) == 200
    assert progress == [100, 200, "TOLD"]
    call.hangup()
    lone.net.run(64_000)
    lone.net.assert_quiet()


def test_a_refresh_that_went_with_its_connection_is_made_again_in_time(world):
    """The peer leaves a third of the interval before its end: the next attempt comes sooner."""
    net, here, there = world.Net("TLS"), world.Recorder(), world.Recorder()
    caller = net.agent("10.0.0.1", here, session_expires_s=90)
    pair = world.Pair(net, caller, net.agent("10.0.0.2", there), here, there)
    call, _robot = pair.call()
    net.link = lambda packet: []
    net.run(45_000)
    assert len(net.sent("UPDATE")) == 1
    caller.disconnected(net.flow("10.0.0.2"), SendFailure("gone"))
    net.link = lambda packet: [1]
    net.run(100_000)
    assert len(net.sent("200 UPDATE")) >= 2
    assert not call.ended
    call.hangup()
    pair.finish()

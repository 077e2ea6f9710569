"""Transfers by REFER in virtual time: RFC 3515, 3891, 3892, 4488."""

from dataclasses import dataclass, field

import pytest
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.events import CallStateError
from ringwheel.media.sip.message import SipParseError
from ringwheel.media.sip.refer import Progress, ReferEnd, Refers
from ringwheel.media.sip.replaces import ReferTo, Replaces

THIRD = "sip:third@10.0.0.3"
SIPFRAG = "Content-Type: message/sipfrag;version=2.0"
ACTIVE, OVER = (
    f"Subscription-State: {state}"
    for state in ("active;expires=60", "terminated;reason=noresource")
)
EVENT = "Event: refer"


@dataclass
class Asked:
    """What became of a REFER of ours."""

    progress: list = field(default_factory=list)
    outcomes: list = field(default_factory=list)

    def ask(self, call, refer_to=THIRD, replaces=None, timeout_ms=60_000):
        Refers.of(call).ask(
            ReferTo(refer_to, replaces),
            timeout_ms=timeout_ms,
            on_progress=lambda progress: self.progress.append(progress.status),
            on_outcome=lambda outcome: self.outcomes.append((outcome.end.name, outcome.status)),
        )
        return self


def blind(pair, *told):
    """A call whose callee asks the caller to call somebody; what the caller has told so far."""
    call, robot = pair.call()
    asked = Asked().ask(robot)
    pair.net.run(10)
    (referral,) = pair.here.referrals
    for status in told:
        referral.tell(Progress(status, "Phrase"))
        pair.net.run(10)
    return call, robot, referral, asked


def accepting(pair):
    pair.here.on_referral = lambda referral: referral.accept()
    return pair


def notify(lone, call, *lines, body=b"SIP/2.0 200 OK", cseq=90, **fields):
    """A NOTIFY of the peer in a call that it dialled."""
    lines = lines or (EVENT, ACTIVE, SIPFRAG)
    lone.send(
        "NOTIFY sip:u@ua",
        *lines,
        body=body,
        **{
            "Via": f"SIP/2.0/UDP peer;branch=z9hG4bKnotify{cseq}",
            "To": f"<sip:u@ua>;tag={call.id}",
            "CSeq": f"{cseq} NOTIFY",
        }
        | fields,
    )
    return lone.last.status


def in_call(lone):
    """A call from the peer that we have answered."""
    lone.send("INVITE sip:u@ua", body=b"v=0")
    (call,) = lone.handler.calls
    tag = f"<sip:u@ua>;tag={call.id}"
    lone.send("ACK sip:u@ua", To=tag, CSeq="1 ACK", Via="SIP/2.0/UDP peer;branch=z9hG4bKack")
    return call


def refer(lone, call, *lines, cseq=50, refer_to=f"<{THIRD}>"):
    """The peer asks; our answer's status."""
    lone.send(
        "REFER sip:u@ua",
        *([f"Refer-To: {refer_to}"] if refer_to else []),
        *lines,
        Via=f"SIP/2.0/UDP peer;branch=z9hG4bKrefer{cseq}",
        To=f"<sip:u@ua>;tag={call.id}",
        CSeq=f"{cseq} REFER",
    )
    answers = [p.message.status for p in lone.out if p.name.endswith(" REFER")]
    return answers[-1] if answers else None


def test_the_peer_calls_and_tells_how_it_goes(pair):
    _, _robot, _, asked = blind(accepting(pair), 180, 200)
    assert pair.here.events[-1] == ("refer", THIRD)
    assert asked.progress == [100, 180, 200]
    assert asked.outcomes == [("TOLD", 200)]
    assert pair.net.trace()[3:] == [
        "10.0.0.2>10.0.0.1 REFER",
        "10.0.0.1>10.0.0.2 202 REFER",
        "10.0.0.1>10.0.0.2 NOTIFY",
        "10.0.0.2>10.0.0.1 200 NOTIFY",
        "10.0.0.1>10.0.0.2 NOTIFY",
        "10.0.0.2>10.0.0.1 200 NOTIFY",
        "10.0.0.1>10.0.0.2 NOTIFY",
        "10.0.0.2>10.0.0.1 200 NOTIFY",
    ]
    request = pair.net.sent("REFER")[0].message
    assert request.headers.get("Refer-To") == f"<{THIRD}>"
    assert request.headers.get("Referred-By") == "<sip:robot@10.0.0.2:5060>"
    told = [p.message for p in pair.net.sent("NOTIFY")]
    assert [t.body for t in told] == [
        b"SIP/2.0 100 Trying\r\n",
        b"SIP/2.0 180 Phrase\r\n",
        b"SIP/2.0 200 Phrase\r\n",
    ]
    states = [t.headers.get("Subscription-State") for t in told]
    assert states == ["active;expires=180"] * 2 + ["terminated;reason=noresource"]
    assert {t.headers.get("Event") for t in told} == {"refer"}
    assert {t.headers.get("Content-Type") for t in told} == {"message/sipfrag;version=2.0"}
    _robot.hangup()
    pair.finish()


def test_a_busy_third_leaves_the_call_up_and_another_may_be_asked_for(pair):
    call, robot, _, asked = blind(accepting(pair), 486)
    assert asked.outcomes == [("TOLD", 486)]
    assert not (call.ended or robot.ended)
    again = Asked().ask(robot)
    pair.net.run(10)
    pair.here.referrals[-1].tell(Progress(200, "OK"))
    pair.net.run(10)
    assert again.outcomes == [("TOLD", 200)]
    # RFC 3515 2.4.6: a second REFER in a dialog is named by its CSeq.
    number = pair.net.sent("REFER")[-1].message.cseq
    assert pair.net.sent("NOTIFY")[-1].message.headers.get("Event") == f"refer;id={number}"
    call.hangup()
    pair.finish()


@pytest.mark.parametrize("status", [403, 405, 501, 603])
def test_a_peer_that_refuses(pair, status):
    pair.here.on_referral = lambda referral: referral.reject(status)
    call, _, _, asked = blind(pair)
    assert asked.outcomes == [("REFUSED", status)]
    assert not pair.net.sent("NOTIFY")
    call.hangup()
    pair.finish()


def test_a_referral_that_nobody_decides_is_refused_in_time(pair):
    call, _, referral, asked = blind(pair)
    assert asked.outcomes == []
    pair.net.run(10_000)
    assert asked.outcomes == [("REFUSED", 603)]
    assert referral.accept() is False
    call.hangup()
    pair.finish()


def test_a_handler_that_fails_costs_500(pair):
    def fail(referral):
        raise RuntimeError("bug")

    pair.here.on_referral = fail
    call, _, _, asked = blind(pair)
    assert asked.outcomes == [("REFUSED", 500)]
    call.hangup()
    pair.finish()


@pytest.mark.parametrize("status", [408, 481])
def test_a_peer_that_knows_the_call_no_more(lone, status):
    call = in_call(lone)
    asked = Asked().ask(call)
    lone.reply(lone.out[-1], status, "peertag")
    assert asked.outcomes == [("REFUSED", status)]
    assert lone.handler.events[-1] == ("ended", "error", status)
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_a_peer_that_is_gone(lone):
    call = in_call(lone)
    asked = Asked().ask(call)
    lone.net.run(32_000)
    assert asked.outcomes == [("LOST", 408)]
    assert lone.handler.events[-1] == ("ended", "error", 408)
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_a_peer_that_will_not_tell(lone):
    call = in_call(lone)
    asked = Asked().ask(call)
    lone.reply(lone.out[-1], 200, "peertag", "Refer-Sub: false")
    assert asked.outcomes == [("UNTOLD", 200)]
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_we_do_not_tell_who_does_not_want_it(lone):
    lone.handler.on_referral = lambda referral: referral.accept()
    call = in_call(lone)
    assert refer(lone, call, "Refer-Sub: false") == 202
    assert lone.last.headers.get("Refer-Sub") == "false"
    (referral,) = lone.handler.referrals
    told = []
    referral.tell(Progress(180, "Ringing"))
    referral.tell(Progress(200, "OK"), lambda: told.append(True))
    assert told == [True]
    assert "NOTIFY" not in lone.statuses()
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_no_outcome_in_time(pair):
    call, _, _, asked = blind(accepting(pair), 180)
    pair.net.run(60_000)
    assert asked.outcomes == [("LOST", 408)]
    call.hangup()
    pair.finish()


def test_a_referral_nobody_finishes_expires(pair):
    call, robot = accepting(pair).call()
    asked = Asked().ask(robot, timeout_ms=400_000)
    pair.net.run(180_100)
    assert asked.outcomes == [("LOST", 408)]
    last = pair.net.sent("NOTIFY")[-1].message
    assert last.headers.get("Subscription-State") == "terminated;reason=timeout"
    call.hangup()
    pair.finish()


def test_whom_we_transferred_may_hang_up_first_and_tell_afterwards(pair):
    call, robot, referral, asked = blind(accepting(pair))
    call.hangup()
    pair.net.run(5_000)
    assert robot.ended
    assert asked.outcomes == []
    referral.tell(Progress(200, "OK"))
    pair.net.run(10)
    assert asked.outcomes == [("TOLD", 200)]
    pair.finish()


def test_or_hang_up_and_not_tell(pair):
    call, _, referral, asked = blind(accepting(pair))
    call.hangup()
    pair.net.run(33_000)
    assert asked.outcomes == [("UNTOLD", 202)]
    referral.tell(Progress(200, "OK"))
    pair.finish()
    assert pair.net.sent("481 NOTIFY")


def test_a_transfer_of_ours_ends_with_our_own_call(pair):
    _, robot, referral, asked = blind(accepting(pair))
    robot.hangup()
    assert asked.outcomes == [("LOST", 487)]
    pair.net.run(10)
    told = []
    referral.tell(Progress(200, "OK"), lambda: told.append(True))
    pair.finish()
    assert told == [True]
    assert pair.net.sent("481 NOTIFY")


def test_one_transfer_at_a_time(pair):
    call, robot, referral, _ = blind(accepting(pair))
    with pytest.raises(CallStateError):
        Asked().ask(robot)
    other = Asked().ask(call)  # the other way is another matter
    pair.net.run(10)
    assert other.outcomes == []
    referral.tell(Progress(486, "Busy Here"))
    call.hangup()
    pair.finish()


def test_only_a_confirmed_call_is_transferred(pair):
    call = pair.dial()
    with pytest.raises(CallStateError):
        Asked().ask(call)
    pair.net.run(10)
    call.hangup()
    pair.finish()


def test_a_second_referral_has_to_wait(lone):
    lone.handler.on_referral = lambda referral: referral.accept()
    call = in_call(lone)
    assert refer(lone, call) == 202
    assert refer(lone, call, cseq=51) == 491
    assert len(lone.handler.referrals) == 1
    call.hangup()
    lone.net.run(400_000)
    lone.net.assert_quiet()


def test_lost_packets_change_nothing(pair):
    names = {"REFER": 1, "202 REFER": 1, "NOTIFY": 2, "200 NOTIFY": 1}

    def link(packet):
        if names.get(packet.name, 0):
            names[packet.name] -= 1
            return []
        return [1]

    call, robot = accepting(pair).call()
    pair.net.link = link
    asked = Asked().ask(robot)
    pair.net.run(5_000)
    (referral,) = pair.here.referrals
    referral.tell(Progress(180, "Ringing"))
    referral.tell(Progress(200, "OK"))
    pair.net.run(10_000)
    # What was overtaken while a NOTIFY was under way is not told.
    assert asked.outcomes == [("TOLD", 200)]
    assert asked.progress[-1] == 200
    call.hangup()
    pair.finish()


def test_one_notify_at_a_time_and_what_is_overtaken_is_not_told(pair):
    call, robot = accepting(pair).call()
    asked = Asked().ask(robot)
    pair.net.run(1)
    (referral,) = pair.here.referrals
    for status in (180, 183, 486):
        referral.tell(Progress(status, "Phrase"))
    assert len(pair.net.sent("NOTIFY")) == 1
    pair.net.run(10)
    assert asked.progress == [100, 486]
    call.hangup()
    pair.finish()


def test_a_challenged_refer_is_known_by_the_number_of_the_second(lone):
    call = lone.dial(credentials=Credentials("robot", "secret"))
    lone.reply(lone.out[-1], 200, body=b"v=0")
    asked = Asked().ask(call)
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=MD5'
    lone.reply(lone.out[-1], 401, "peertag", challenge)
    again = lone.out[-1]
    assert again.message.headers.get("Authorization")
    lone.reply(again, 202)
    lines = (f"Event: refer;id={again.message.cseq}", OVER, SIPFRAG)
    headers = again.message.headers
    ends = {"From": headers.get("To"), "To": headers.get("From"), "Call_ID": call.call_id}
    assert notify(lone, call, *lines, **ends) == 200
    assert asked.outcomes == [("TOLD", 200)]
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_a_notify_that_overtakes_the_202(lone):
    call = in_call(lone)
    asked = Asked().ask(call)
    sent = lone.out[-1]
    assert notify(lone, call, EVENT, OVER, SIPFRAG) == 200
    assert asked.outcomes == [("TOLD", 200)]
    lone.reply(sent, 202)
    assert asked.outcomes == [("TOLD", 200)]
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        ((EVENT, ACTIVE, SIPFRAG), b"SIP/2.0 180 Ringing\r\n", 200),
        ((EVENT, ACTIVE, SIPFRAG), b"SIP/2.0 603", 200),
        ((EVENT, ACTIVE), b"", 200),
        (("Event: Refer;id=1", ACTIVE), b"", 200),
        (("Event: refer;id=7", ACTIVE), b"", 481),
        (("Event: refer;=1", ACTIVE), b"", 400),
        (("Event: presence", ACTIVE), b"", 489),
        ((ACTIVE,), b"", 489),
        ((EVENT,), b"", 400),
        ((EVENT, ACTIVE, "Content-Type: text/plain"), b"SIP/2.0 200 OK", 415),
        ((EVENT, ACTIVE, SIPFRAG), b"SIP/2.0 20 OK", 400),
        ((EVENT, ACTIVE, SIPFRAG), b"SIP/2.0 999 OK", 400),
        ((EVENT, ACTIVE, SIPFRAG), b"\xff\x00", 400),
        ((EVENT, ACTIVE, SIPFRAG), b"SIP/2.0 \xc2\xb2\xc2\xb2\xc2\xb2 OK", 400),
        ((EVENT, ACTIVE, SIPFRAG), b"INVITE sip:x SIP/2.0", 400),
    ],
)
def test_notifies_of_any_kind(lone, lines, body, status):
    call = in_call(lone)
    asked = Asked().ask(call)
    lone.reply(lone.out[-1], 202)
    assert notify(lone, call, *lines, body=body) == status
    assert len(asked.outcomes) == (b"603" in body)
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_a_notify_that_nobody_asked_for(lone):
    call = in_call(lone)
    assert notify(lone, call) == 481
    call.hangup()
    assert notify(lone, call, cseq=91) == 481
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_a_subscription_that_ends_without_an_outcome(lone):
    call = in_call(lone)
    asked = Asked().ask(call)
    lone.reply(lone.out[-1], 202)
    assert notify(lone, call, EVENT, OVER, body=b"") == 200
    assert asked.outcomes == [("LOST", 408)]
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


@pytest.mark.parametrize(
    ("refer_to", "status"),
    [
        (None, 400),
        ("nonsense", 400),
        (f"<{THIRD}>, <sip:x@y>", 400),
        ("<sip:x@y?Replaces=a%3Bto-tag%3Db>", 400),
        ("<sip:x@y?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc&Replaces=b>", 400),
        ("<http://x.y>", 416),
        ("<sip:x@y;method=SUBSCRIBE>", 501),
    ],
)
def test_referrals_that_lead_nowhere(lone, refer_to, status):
    call = in_call(lone)
    assert refer(lone, call, refer_to=refer_to) == status
    assert lone.handler.referrals == []
    assert lone.agent.counters.as_dict()["rejected_refer"] == 1
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_what_a_referral_says(lone):
    call = in_call(lone)
    headers = "Subject=no&Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2"
    refer_to = f"<sip:x@y;method=INVITE;transport=tcp?{headers}>"
    refer(lone, call, "Referred-By: <sip:boss@y>", refer_to=refer_to)
    (referral,) = lone.handler.referrals
    assert referral.target == "sip:x@y;transport=tcp"
    assert referral.replaces == Replaces("a@b", "1", "2")
    assert referral.referred_by == "<sip:boss@y>"
    referral.reject()
    call.hangup()
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_a_phrase_of_any_bytes_is_passed_on():
    told = b"SIP/2.0 486 Besetzt \xff\xc3\xa4"
    assert Progress.parse(told + b"\r\nTo: x").fragment() == told + b"\r\n"


def test_shutting_down_leaves_no_transfer(pair):
    _, _, _, asked = blind(accepting(pair))
    pair.callee.shutdown()
    pair.caller.shutdown()
    assert asked.outcomes == [("LOST", 487)]
    assert not (pair.caller.refers or pair.callee.refers)
    assert len(pair.net.wheel) == 0


# Replaces


def replacing(pair, replaces, *more):
    """A third party calls the callee in the place of somebody; its call."""
    third = pair.net.agent("10.0.0.3", pair.third)
    call = third.dial(
        "sip:robot@10.0.0.2:5060",
        b"v=0 third",
        pair.net.flow("10.0.0.2"),
        from_uri=THIRD,
        headers=[("Replaces", str(replaces)), *more],
    )
    pair.net.run(10)
    return call


@pytest.fixture
def three(pair, world):
    """Two agents, and room for a third."""

    @dataclass
    class Three(type(pair)):
        third: object = field(default_factory=world.Recorder)

    return Three(**vars(pair))


def test_a_call_takes_the_place_of_another(three):
    call, robot = three.call()
    new = replacing(three, Replaces.of(call.dialog), ("Require", "replaces"))
    assert ("replaces", robot.id) in three.there.events
    assert new.confirmed
    assert robot.ended
    assert three.here.ended[call.id].by.value == "remote"
    assert three.callee.counters.as_dict()["calls_replaced"] == 1
    new.hangup()
    three.finish()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"to_tag": "other"}, 481),
        ({"from_tag": "other"}, 481),
        ({"call_id": "other"}, 481),
        ({"early_only": True}, 486),
    ],
)
def test_replaces_that_fits_no_call(three, change, status):
    call, robot = three.call()
    fields = {"call_id": call.call_id, "to_tag": robot.id, "from_tag": call.id} | change
    new = replacing(three, Replaces(**fields))
    assert three.third.ended[new.id].status == status
    assert not robot.ended
    assert three.callee.counters.as_dict()["rejected_replaces"] == 1
    call.hangup()
    three.finish()


def test_a_call_that_is_over_is_not_replaced(three):
    call, robot = three.call()
    three.net.link = lambda packet: [] if packet.name == "200 BYE" else [1]
    robot.hangup()
    three.net.run(10)
    new = replacing(three, Replaces(call.call_id, robot.id, call.id))
    assert three.third.ended[new.id].status == 603
    three.net.link = lambda _: [1]
    three.finish()


def test_an_early_call_is_not_replaced(three):
    three.there.answer, three.there.ring = None, True
    call = three.dial()
    three.net.run(10)
    robot = three.there.calls[0]
    new = replacing(three, Replaces(call.call_id, robot.id, call.id))
    assert three.third.ended[new.id].status == 481
    call.hangup()
    three.finish()


def test_an_answer_that_is_not_acknowledged_yet_is_not_replaced(three):
    three.net.link = lambda packet: [] if packet.name == "ACK" else [1]
    call = three.dial()
    three.net.run(10)
    robot = three.there.calls[0]
    new = replacing(three, Replaces(call.call_id, robot.id, call.id))
    assert three.third.ended[new.id].status == 491
    three.net.link = lambda _: [1]
    call.hangup()
    three.finish()


@pytest.mark.parametrize(
    "lines", [("Replaces: x",), ("Replaces:",), ("Replaces: a;to-tag=1;from-tag=2",) * 2]
)
def test_unreadable_replaces(lone, lines):
    lone.send("INVITE sip:u@ua", *lines, body=b"v=0")
    assert lone.last.status == 400
    assert lone.handler.events == []
    lone.net.run(40_000)
    lone.net.assert_quiet()


def test_replaces_is_read_as_it_is_written():
    for text in ("a@b;to-tag=1;from-tag=2", "a;to-tag=1;from-tag=2;early-only"):
        assert str(Replaces.parse(text)) == text
    for text in ("", ";to-tag=1;from-tag=2", "a;to-tag=1", "a;to-tag=1;to-tag=2;from-tag=3", 'a;"'):
        with pytest.raises(SipParseError):
            Replaces.parse(text)


def test_refer_to_is_escaped():
    value = str(ReferTo(THIRD, Replaces("a@b", "1", "2")))
    assert value == f"<{THIRD}?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>"
    assert ReferEnd.TOLD.name == "TOLD"

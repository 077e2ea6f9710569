"""What streams do in virtual time: keep-alives and deadlines, failures, and the way of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.sip.counters import Count
from ringwheel.media.sip.edge import Flow, SendFailure
from ringwheel.media.sip.failure import Undelivered
from ringwheel.media.sip.lifeline import Due, Lifeline, StreamLimits
from ringwheel.media.sip.message import parse, response_bytes
from ringwheel.media.sip.resolve import Target
from ringwheel.media.sip.ways import Ways, flow_of_peer
from ringwheel.media.trunk.options import OptionsAsker

from .conftest import Net, Recorder, deliver_all, sip

LIMITS = StreamLimits()


def life(*, initiator, share=0.0):
    return Lifeline(LIMITS, 0, share, initiator=initiator)


def due_at(line, until_ms):
    """(time, what) of all that is due, looked at no oftener than the line asks for."""
    now_ms, found = 0, []
    while now_ms < until_ms:
        now_ms += line.wait_ms(now_ms)
        if (due := line.due(now_ms)) is not Due.NOTHING:
            found.append((now_ms, due))
            if due is not Due.PING:
                break
    return found


def test_a_first_message_has_ten_seconds():
    assert due_at(life(initiator=False), 60_000) == [(10_000, Due.SLOW)]


def test_each_message_has_ten_seconds_of_its_own():
    line = life(initiator=False)
    line.heard(9_000, message=True, within=True)
    assert line.due(18_999) is Due.NOTHING
    line.heard(18_999, message=False, within=True)  # one byte more is no reason to wait on
    assert line.due(19_000) is Due.SLOW


def test_an_idle_connection_ends_after_fifteen_minutes():
    line = life(initiator=False)
    line.heard(0, message=True, within=False)
    assert due_at(line, 2_000_000) == [(900_000, Due.IDLE)]
    line.pinged(899_999)
    assert line.due(900_000) is Due.NOTHING


@pytest.mark.parametrize("answers", [True, False])
def test_a_connection_of_ours_is_kept_while_the_peer_answers(answers):
    line, now_ms = life(initiator=True), 0
    while now_ms < 3 * LIMITS.idle_opened_ms:
        now_ms += line.wait_ms(now_ms)
        due = line.due(now_ms)
        if due is Due.PING and answers:
            line.heard(now_ms, message=False, within=False)
            line.ponged(now_ms)
        elif due is Due.IDLE:
            break
        assert due in (Due.NOTHING, Due.PING)
    assert now_ms == LIMITS.idle_opened_ms or answers


@pytest.mark.parametrize(("share", "first_ms"), [(0.0, 120_000), (1.0, 96_000)])
def test_we_ping_at_most_every_two_minutes_and_somewhat_sooner(share, first_ms):
    line = life(initiator=True, share=share)
    assert due_at(line, 130_000)[0] == (first_ms, Due.PING)


def test_a_peer_that_has_answered_once_must_go_on():
    line = life(initiator=True)
    assert line.due(120_000) is Due.PING
    line.heard(120_050, message=False, within=False)
    line.ponged(120_050)
    assert line.due(240_050) is Due.PING
    assert line.due(250_049) is Due.NOTHING
    assert line.due(250_050) is Due.DEAD


def test_any_sign_of_life_is_as_good_as_a_pong():
    line = life(initiator=True)
    assert line.due(120_000) is Due.PING
    line.ponged(120_050)
    assert line.due(240_000) is Due.PING
    line.heard(245_000, message=True, within=False)
    assert line.due(250_000) is Due.NOTHING


def test_a_peer_that_does_not_read_has_ten_seconds():
    line = life(initiator=True)
    line.stalled(5_000)
    assert line.due(14_999) is Due.NOTHING
    assert line.due(15_000) is Due.STALLED
    line.stalled(None)
    assert line.due(15_000) is Due.NOTHING


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 5))))
def test_the_next_look_is_never_past_ten_seconds_and_always_ahead(initiator, steps):
    line, now_ms = life(initiator=initiator), 0
    for step_ms, what in steps:
        now_ms += step_ms
        if what == 0:
            line.heard(now_ms, message=True, within=False)
        elif what == 1:
            line.heard(now_ms, message=False, within=True)
        elif what == 2:
            line.pinged(now_ms)
        elif what == 3:
            line.ponged(now_ms)
        elif what == 4:
            line.stalled(now_ms)
        else:
            line.due(now_ms)
        assert 1 <= line.wait_ms(now_ms) <= 10_000


# Failures


REFUSED = SendFailure("connection refused", unconnected=True)


def dialling():
    net = Net("TCP")
    net.link = lambda packet: []
    handler = Recorder()
    agent = net.agent("ua", handler)
    agent.dial("sip:u@peer", b"v=0", net.flow("peer"), from_uri="sip:me@ua")
    return net, agent, handler


def test_an_invite_that_does_not_get_away_is_a_503():
    net, agent, handler = dialling()
    agent.undelivered(net.packets[0].message, REFUSED)
    assert handler.events == [("ended", "error", 503)]
    (cause,) = handler.ended.values()
    assert cause.text == 'SIP;cause=503;text="connection refused"'
    assert agent.counters[Count.TRANSPORT_FAILURES] == 1
    net.run(60_000)
    net.assert_quiet()


def refuse(agent, request):
    agent.refused(request.branch, request.method, SendFailure("nobody listens there"))


def test_a_datagram_that_comes_back_twice_is_a_503():
    net = Net()
    net.link = lambda packet: []
    handler = Recorder()
    agent = net.agent("ua", handler)
    agent.dial("sip:u@peer", b"v=0", net.flow("peer"), from_uri="sip:me@ua")
    invite = net.packets[0].message
    refuse(agent, invite)
    net.run(400)
    refuse(agent, invite)  # what the network says again of the first one
    assert handler.events == []
    net.run(200)
    assert len(net.packets) == 2  # timer A
    agent.refused(invite.branch + "x", "INVITE", SendFailure("forged"))
    agent.refused(invite.branch, "BYE", SendFailure("forged"))
    assert handler.events == []
    refuse(agent, invite)
    assert handler.events == [("ended", "error", 503)]
    (cause,) = handler.ended.values()
    assert cause.text == 'SIP;cause=503;text="nobody listens there"'
    net.run(60_000)
    net.assert_quiet()


def test_an_options_that_comes_back_was_answered_by_nobody():
    """A trunk's peer that starts anew is no peer that has said 503."""
    net = Net()
    net.link = lambda packet: []
    agent, heard = net.agent("ua", Recorder()), []
    OptionsAsker(agent, lambda target: net.flow(target.host))(Target("peer", 5060), heard.append)
    for _ in range(2):
        net.run(600)
        refuse(agent, net.packets[0].message)
    assert heard == [None]
    net.assert_quiet()


def test_a_bye_reaches_a_peer_that_starts_anew():
    """Where it comes back there is no other way, and the peer may be back before it is given up."""
    net = Net()
    here, there = Recorder(), Recorder()
    agent = net.agent("ua", here)
    net.agent("peer", there)
    call = agent.dial("sip:u@peer", b"v=0", net.flow("peer"), from_uri="sip:me@ua")
    net.run(10)
    net.link = lambda packet: []
    call.hangup()
    for _ in range(3):
        net.run(600)
        refuse(agent, net.sent("BYE")[0].message)
    net.link = deliver_all
    net.run(5_000)
    assert there.events[-1] == ("ended", "remote", 200)
    net.run(60_000)
    net.assert_quiet()


def test_a_callee_that_rings_cannot_be_refused():
    net = Net()
    handler = Recorder()
    agent = net.agent("ua", handler)
    agent.dial("sip:u@peer", b"v=0", net.flow("peer"), from_uri="sip:me@ua")
    net.run(700)
    invite = net.packets[0].message
    net.receive("ua", "peer", response_bytes(invite, 180, to_tag="callee"))
    refuse(agent, invite)
    assert [event[0] for event in handler.events] == ["ringing"]


def test_a_failure_after_the_outcome_changes_nothing():
    net, agent, handler = dialling()
    invite = net.packets[0].message
    net.receive("ua", "peer", sip_response(invite, "486 Busy Here"))
    agent.undelivered(invite, REFUSED)
    agent.disconnected(net.flow("peer"), REFUSED)
    assert handler.names() == ["ended"]
    net.run(60_000)
    net.assert_quiet()


def sip_response(request, status):
    lines = [
        f"{name}: {value};tag=peer" if name == "To" else f"{name}: {value}"
        for name, value in request.headers
        if name in ("Via", "From", "To", "Call-ID", "CSeq")
    ]
    return "\r\n".join([f"SIP/2.0 {status}", *lines, "Content-Length: 0\r\n\r\n"]).encode()


@pytest.mark.parametrize(("host", "ends"), [("peer", True), ("other", False)])
def test_a_connection_that_is_lost_takes_unanswered_requests_with_it(host, ends):
    net, agent, handler = dialling()
    agent.disconnected(net.flow(host), SendFailure("reset"))
    assert handler.names() == (["ended"] if ends else [])


def test_a_ringing_call_outlives_its_connection():
    """The answer may come on another one (RFC 3261 18.2.2)."""
    net, agent, handler = dialling()
    invite = net.packets[0].message
    net.receive("ua", "peer", sip_response(invite, "180 Ringing"))
    agent.disconnected(net.flow("peer"), SendFailure("reset"))
    assert handler.names() == ["ringing"]


def test_a_response_that_does_not_get_away_is_not_kept():
    net = Net("TCP")
    net.link = lambda packet: []
    agent = net.agent("ua", Recorder())
    net.receive("ua", "peer", sip("BYE sip:u@ua SIP/2.0", To="<sip:u@ua>;tag=x"))
    answer = net.packets[0].message
    assert answer.status == 481
    agent.undelivered(answer, REFUSED)
    assert agent.counters[Count.TRANSPORT_FAILURES] == 1
    net.assert_quiet()


def test_an_undelivered_response_says_that_nobody_sent_it():
    net, agent, _ = dialling()
    heard = []

    class User:
        def on_response(self, response):
            heard.append(response)

        def on_timeout(self):
            raise AssertionError

    agent.request("OPTIONS", "sip:peer", net.flow("peer"), from_uri="sip:ua", user=User())
    agent.undelivered(net.packets[-1].message, REFUSED)
    assert [(type(r), r.status, r.cseq_method) for r in heard] == [(Undelivered, 503, "OPTIONS")]


# The way of requests

WAYS = Ways(
    "ringwheel",
    ("192.0.2.1:5060", "192.0.2.1:5060", "192.0.2.1:5061", "[2001:db8::1]:5061"),
    ("UDP", "TCP", "TLS", "TLS"),
)
UDP_PEER = Flow("198.51.100.7", 5060)
TCP_PEER = Flow("198.51.100.7", 40_000, 1, "TCP", alias=("198.51.100.7", 5060))
TLS_PEER = Flow("198.51.100.7", 5061, 2, "TLS", "sip.example.com")


@pytest.mark.parametrize(
    ("target", "flow", "hop"),
    [
        ("sip:a@198.51.100.7", UDP_PEER, UDP_PEER),
        ("sip:a@198.51.100.8:5070", UDP_PEER, Flow("198.51.100.8", 5070)),
        ("sip:a@198.51.100.8;transport=tcp", UDP_PEER, Flow("198.51.100.8", 5060, 1, "TCP")),
        ("sip:a@198.51.100.8;transport=tls", UDP_PEER, Flow("198.51.100.8", 5061, 2, "TLS")),
        ("sips:a@198.51.100.8", UDP_PEER, Flow("198.51.100.8", 5061, 2, "TLS")),
        ("sip:a@198.51.100.8;transport=sctp", UDP_PEER, Flow("198.51.100.8", 5060)),
        ("sip:a@198.51.100.7;transport=tcp", TCP_PEER, TCP_PEER),  # its own address
        ("sip:a@198.51.100.7:40000", TCP_PEER, TCP_PEER),
        ("sip:a@198.51.100.9", TCP_PEER, Flow("198.51.100.9", 5060, 1, "TCP")),
        ("sip:a@198.51.100.9;transport=udp", TCP_PEER, Flow("198.51.100.9", 5060)),
        ("sip:a@sip.example.com", TCP_PEER, TCP_PEER),
        ("sip:a@sip.example.com;maddr=198.51.100.8", UDP_PEER, Flow("198.51.100.8", 5060)),
        ("sip:a@[2001:db8::7]", TCP_PEER, TCP_PEER),
        ("sip:a@198.51.100.7:5061", TLS_PEER, TLS_PEER),
        ("sip:a@198.51.100.7:5061;transport=udp", TLS_PEER, TLS_PEER),  # no secret gets out
        ("sips:a@198.51.100.9", TLS_PEER, Flow("198.51.100.9", 5061, 2, "TLS")),
        ("nonsense", TLS_PEER, TLS_PEER),
    ],
)
def test_the_next_hop(target, flow, hop):
    found = WAYS.next_hop(target, flow)
    assert (found, found.alias) == (hop, hop.alias)


@pytest.mark.parametrize(
    ("via", "source", "alias"),
    [
        ("UDP 198.51.100.7:5060;rport", UDP_PEER, None),
        ("UDP 192.168.1.2:5060;rport", UDP_PEER, ("192.168.1.2", 5060)),
        ("UDP 192.168.1.2:5060", UDP_PEER, None),
        ("TCP 198.51.100.7:5060", Flow("198.51.100.7", 999, 1, "TCP"), ("198.51.100.7", 5060)),
        ("TLS phone.invalid", Flow("198.51.100.7", 999, 2, "TLS"), ("phone.invalid", 5061)),
    ],
)
def test_what_a_peer_calls_itself(via, source, alias):
    request = parse(sip("OPTIONS sip:u@ua SIP/2.0", Via=f"SIP/2.0/{via};branch=z9hG4bKa"))
    assert flow_of_peer(request, source).alias == alias


def test_a_caller_behind_a_nat_gets_our_bye_where_it_sends_from():
    """Its Contact is the address that its Via says, which nobody else can reach (RFC 3581)."""
    net = Net()
    handler = Recorder()
    net.agent("198.51.100.1", handler)
    inside = "192.168.1.2:5060"
    net.receive(
        "198.51.100.1",
        "203.0.113.9",
        sip(
            "INVITE sip:u@198.51.100.1 SIP/2.0",
            f"Contact: <sip:p@{inside}>",
            "Content-Type: application/sdp",
            body=b"v=0",
            Via=f"SIP/2.0/UDP {inside};branch=z9hG4bKone;rport",
        ),
    )
    handler.calls[0].hangup()
    net.run(100)
    assert {packet.target for packet in net.packets} == {"203.0.113.9"}


@given(st.sampled_from([UDP_PEER, TCP_PEER, TLS_PEER]), st.text(max_size=60))
def test_no_target_breaks_the_way(flow, target):
    found = WAYS.next_hop(f"sip:{target}", flow)
    assert found.transport in ("UDP", "TCP", "TLS")
    assert flow.transport != "TLS" or found.transport == "TLS"

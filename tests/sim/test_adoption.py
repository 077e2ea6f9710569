"""A confirmed call written down by one user agent and continued by another, in virtual time."""

import copy
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.media.sip.adoption import CSEQ_GAP, adopted_call, peer_of, snapshot_of
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.events import CallStateError, Refuse
from ringwheel.media.snapshot import SnapshotError

CALLER, LOST, HEIR = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def written_down(call):
    """As another process reads it."""
    return json.loads(json.dumps(snapshot_of(call)))


@pytest.fixture
def talk(net, world):
    """A call from CALLER to LOST, both agents' handlers, and the heir with its own."""
    here, there, heirs = world.Recorder(), world.Recorder(), world.Recorder()
    caller = net.agent(CALLER, here)
    lost, heir = net.agent(LOST, there), net.agent(HEIR, heirs)
    ours = caller.dial(
        f"sip:robot@{LOST}:5060", b"v=0 offer", net.flow(LOST), from_uri=f"sip:me@{CALLER}"
    )
    net.run(100)
    return caller, lost, heir, here, there, heirs, ours


def lose(net, agent):
    """The process dies: nothing of it is sent, heard or timed any more."""
    host = next(host for host, known in net.agents.items() if known is agent)
    agent.send = agent.transactions.send = lambda data, flow: None
    agent.shutdown()
    del net.agents[host]


@pytest.mark.parametrize("outgoing", [False, True], ids=["incoming", "outgoing"])
@pytest.mark.parametrize("we_hang_up", [False, True], ids=["peer", "heir"])
def test_an_adopted_call_goes_on_and_ends_with_a_bye(net, talk, outgoing, we_hang_up):
    caller, lost, heir, here, there, heirs, ours = talk
    theirs = there.calls[0]
    call = ours if outgoing else theirs
    peer, peers = (theirs, there) if outgoing else (ours, here)
    state = written_down(call)
    lose(net, caller if outgoing else lost)
    peer_host = LOST if outgoing else CALLER
    assert peer_of(state) == (peer_host, 5060, "UDP", "")
    adopted = heir.adopt(state, net.flow(peer_host))
    assert (adopted.id, adopted.call_id) == (call.id, call.call_id)
    assert (adopted.from_uri, adopted.to_uri) == (call.from_uri, call.to_uri)
    adopted.reinvite(b"v=0 heir")
    net.run(100)
    assert peers.events[-1] == ("offer", b"v=0 heir")
    assert heirs.events == [("reinvited", 200, b"v=0 reply")]
    (invite,) = net.sent("INVITE", HEIR)
    assert invite.message.cseq == (1 if outgoing else 0) + CSEQ_GAP + 1
    assert len(net.sent("ACK", HEIR)) == 1
    (adopted if we_hang_up else peer).hangup()
    net.run(40_000)
    (bye,) = net.sent("BYE")
    # The peer's requests follow the Contact of the re-INVITE (RFC 3261 12.2.2).
    assert bye.target == (peer_host if we_hang_up else HEIR)
    assert len(net.sent("200 BYE")) == 1
    net.assert_quiet()


@pytest.mark.parametrize("outgoing", [False, True], ids=["peer refreshes", "heir refreshes"])
def test_a_session_timer_goes_on(net, talk, outgoing):
    caller, lost, heir, _here, there, heirs, ours = talk
    call = ours if outgoing else there.calls[0]
    state = written_down(call)
    lose(net, caller if outgoing else lost)
    heir.adopt(state, net.flow(LOST if outgoing else CALLER)).reinvite(b"v=0 heir")
    net.run(10)
    role = "uac" if outgoing else "uas"
    (invite,) = net.sent("INVITE", HEIR)
    assert invite.message.headers.get("Session-Expires") == f"1800;refresher={role}"
    net.run(4_000_000)
    refreshes = net.sent("UPDATE")
    assert len(refreshes) == 4
    assert {p.source for p in refreshes} == {HEIR if outgoing else CALLER}
    assert heirs.names() == ["reinvited"]
    net.link = lambda packet: []
    net.run(2_000_000)
    net.assert_quiet()


def test_a_session_timer_that_cannot_be_read(net, talk):
    *_, heir, _here, there, _heirs, _ours = talk
    for wrong in ({}, {"interval_s": 0}, 7, {"interval_s": 90, "min_s": 91}):
        state = written_down(there.calls[0]) | {"session_timer": wrong}
        with pytest.raises(SnapshotError):
            heir.adopt(state, net.flow(CALLER))
    assert heir.calls == 0


def test_a_peer_that_knows_the_call_no_more_ends_it(net, talk):
    caller, lost, heir, _, there, heirs, _ = talk
    state = written_down(there.calls[0])
    lose(net, lost)
    lose(net, caller)
    net.agent(CALLER, there)
    heir.adopt(state, net.flow(CALLER)).reinvite(b"v=0 heir")
    net.run(40_000)
    assert heirs.events == [("ended", "error", 481)]
    net.assert_quiet()


@pytest.mark.parametrize("outgoing", [False, True], ids=["incoming", "outgoing"])
def test_a_peer_that_wants_credentials_gets_those_of_the_heir(lone, make_lone, outgoing):
    if outgoing:
        call = lone.dial(credentials=Credentials("user", "secret"))
        lone.reply(lone.out[0], 200, body=b"v=0")
    else:
        lone.send("INVITE sip:u@ua", body=b"v=0")
        (call,) = lone.handler.calls
        via, to = "SIP/2.0/UDP peer;branch=z9hG4bKack", f"<sip:u@ua>;tag={call.id}"
        lone.send("ACK sip:u@ua", To=to, CSeq="1 ACK", Via=via)
    state = written_down(call)
    assert "secret" not in json.dumps(state)
    heir = make_lone()
    flow = heir.net.flow("10.0.0.9")
    adopted = heir.agent.adopt(state, flow, Credentials("user", "secret"))
    adopted.reinvite(b"v=0 heir")
    asks = 'Proxy-Authenticate: Digest realm="a", nonce="n", qop="auth"'
    heir.reply(heir.out[0], 407, "", asks)
    again = heir.out[-1]
    assert again.name == "INVITE"
    assert 'username="user"' in again.message.headers.get("Proxy-Authorization")
    heir.reply(again, 200, "", body=b"v=0 reply")
    assert heir.handler.events == [("reinvited", 200, b"v=0 reply")]
    assert "Proxy-Authorization" in heir.last.headers  # the ACK's (RFC 3261 13.2.2.4)
    adopted.hangup()
    assert "Proxy-Authorization" in heir.last.headers
    heir.reply(heir.out[-1], 200, "")
    heir.net.run(64_000)
    heir.net.assert_quiet()


@pytest.mark.parametrize(
    "name", ["田中\u3000太郎", "a\u00a0b", "tab\there", "caf\udce9", "\U0001f469\u200d\U0001f4bb"]
)
def test_whatever_the_caller_is_called_its_call_is_adopted(lone, make_lone, world, name):
    peer, heir = f'"{name}" <sip:p@peer>;tag=peertag', make_lone()

    def said(start, **fields):
        wire = world.sip(start, From="PEER", **fields)
        lone.send_raw(wire.replace(b"PEER", peer.encode("utf-8", "surrogateescape")))

    said("INVITE sip:u@ua", body=b"v=0")
    (call,) = lone.handler.calls
    said("ACK sip:u@ua", To=f"<sip:u@ua>;tag={call.id}", CSeq="1 ACK")
    adopted = heir.agent.adopt(written_down(call), heir.net.flow("10.0.0.9"))
    adopted.hangup()
    assert heir.last.headers.get("To") == peer


def test_only_a_confirmed_call_can_be_written_down(net, world):
    here, there = world.Recorder(), world.Recorder(answer=None)
    caller, _ = net.agent(CALLER, here), net.agent(LOST, there)
    ours = caller.dial(f"sip:r@{LOST}", b"v=0", net.flow(LOST), from_uri="sip:me@here")
    net.run(10)
    for call in (ours, there.calls[0]):
        with pytest.raises(CallStateError):
            snapshot_of(call)
    there.calls[0].accept(b"v=0 answer")
    net.run(10)
    assert snapshot_of(ours)["outgoing"] and not snapshot_of(there.calls[0])["outgoing"]
    ours.hangup()
    with pytest.raises(CallStateError):
        snapshot_of(ours)


def test_a_call_is_adopted_once(net, talk):
    _, lost, heir, *_, there, _, _ = talk
    state = written_down(there.calls[0])
    heir.adopt(state, net.flow(CALLER))
    with pytest.raises(SnapshotError, match="here already"):
        heir.adopt(state, net.flow(CALLER))
    with pytest.raises(SnapshotError, match="here already"):
        lost.adopt(state, net.flow(CALLER))
    assert heir.calls == heir.admission.calls == 1


def test_an_agent_that_drains_adopts_nothing(net, talk):
    _, _, heir, *_, there, _, _ = talk
    heir.drain()
    with pytest.raises(Refuse):
        heir.adopt(written_down(there.calls[0]), net.flow(CALLER))
    assert heir.calls == heir.dialogs == 0


EXAMPLE = {
    "dialog": {
        "call_id": "c@host",
        "local_tag": "l",
        "remote_tag": "r",
        "local": "<sip:robot@a>;tag=l",
        "remote": "<sip:p@b>;tag=r",
        "remote_target": "sip:p@10.0.0.9:5060",
        "local_cseq": 1,
        "remote_cseq": None,
        "route_set": ["<sip:10.0.0.7;lr>"],
    },
    "outgoing": True,
    "peer": {"host": "10.0.0.9", "port": 5060, "transport": "UDP"},
}
PLACES = [("dialog", name) for name in EXAMPLE["dialog"]] + [
    ("peer", name) for name in EXAMPLE["peer"]
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.one_of(st.text(), st.integers()), max_size=40),
    st.sampled_from(["a\r\nEvil: yes", "<sip:", "sip:", "", "x" * 5000]),
)


def test_the_example_is_readable(net, world):
    agent = net.agent(HEIR, world.Recorder())
    assert adopted_call(agent, EXAMPLE, net.flow(CALLER)).outgoing


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_a_damaged_snapshot_is_refused_by_name_or_read(place, value):
    state = copy.deepcopy(EXAMPLE)
    state[place[0]][place[1]] = value
    try:
        peer_of(state)
        call = adopted_call(None, state, None)
    except SnapshotError as error:
        assert str(error).partition(":")[0] in (*place, "dialog")
    else:
        lines = [call.dialog.local, call.dialog.remote, *call.dialog.route_set]
        for line in lines:
            assert not re.search(rb"[\x00-\x08\x0a-\x1f]", line.encode("utf-8", "surrogateescape"))

"""Admission: exact call limit, request rate by source, drain (RFC 3261 21.5.4)."""

import pytest
from ringwheel.media.sip.admission import Limits
from ringwheel.media.sip.events import Refuse


class Crowd:
    """One agent with limits, and any number of callers made of text."""

    def __init__(self, world, **limits):
        self.net = world.Net()
        self.handler = world.Recorder()
        self.sip = world.sip
        self.agent = self.net.agent("10.0.0.2", self.handler, limits=Limits(**limits))

    def invite(self, number, host="10.0.0.9", method="INVITE"):
        self.net.receive("10.0.0.2", host, self.message(method, number))
        return self.net.packets[-1].message

    def dial(self, *, speech=False):
        flow = self.net.flow("10.0.0.9")
        return self.agent.dial("sip:p@10.0.0.9", b"v=0", flow, from_uri="sip:u@ua", speech=speech)

    def message(self, method, number, cseq=1, to="<sip:u@ua>", mark=""):
        return self.sip(
            f"{method} sip:u@ua",
            Via=f"SIP/2.0/UDP peer;branch=z9hG4bK{number}{mark};rport",
            Call_ID=f"call{number}",
            CSeq=f"{cseq} {method}",
            To=to,
            body=b"v=0" if method == "INVITE" else b"",
        )

    def bye(self, number, to, host="10.0.0.9"):
        self.net.receive("10.0.0.2", host, self.message("BYE", number, 2, to))
        return self.net.packets[-1].message


def test_the_call_limit_is_exact(world):
    crowd = Crowd(world, max_calls=3)
    replies = [crowd.invite(number) for number in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 503, 503]
    assert replies[3].headers.get("Retry-After") == "5"
    assert replies[3].headers.get("Warning") == '399 ringwheel "call limit reached"'
    assert crowd.agent.counters.as_dict()["refused_max_calls"] == 2
    assert len(crowd.handler.calls) == 3
    crowd.bye(1, replies[1].headers.get("To"))
    assert crowd.agent.admission.calls == 2
    assert [crowd.invite(number).status for number in (10, 11)] == [200, 503]


def test_a_retransmitted_invite_is_not_counted_twice(world):
    crowd = Crowd(world, max_calls=2)
    crowd.invite(1)
    crowd.invite(1)
    assert crowd.agent.admission.calls == 1


def test_a_refused_invite_gets_the_same_answer_again(world):
    crowd = Crowd(world, max_calls=0)
    first = crowd.invite(1)
    again = crowd.invite(1)
    assert first.to_bytes() == again.to_bytes()
    assert crowd.agent.counters.as_dict()["refused_max_calls"] == 1


def test_calls_of_ours_count_too(world):
    crowd = Crowd(world, max_calls=1)
    call = crowd.agent.dial(
        "sip:p@10.0.0.9", b"v=0", crowd.net.flow("10.0.0.9"), from_uri="sip:u@ua"
    )
    assert crowd.invite(1).status == 503
    with pytest.raises(Refuse, match="503"):
        crowd.dial()
    call.hangup()
    crowd.net.run(32_000)
    assert crowd.agent.admission.calls == 0
    assert crowd.invite(2).status == 200


def test_rate_is_counted_by_source(world):
    crowd = Crowd(world, requests_per_s=10.0, burst_requests=2)
    statuses = [crowd.invite(number).status for number in range(3)]
    assert statuses == [200, 200, 503]
    assert crowd.invite(10, host="10.0.0.8").status == 200
    crowd.net.run(99)
    assert crowd.invite(4).status == 503
    crowd.net.run(1)
    assert crowd.invite(5).status == 200
    assert crowd.agent.counters.as_dict()["refused_rate"] == 2


def test_rate_leaves_running_calls_alone(world):
    crowd = Crowd(world, requests_per_s=1.0, burst_requests=1)
    to = crowd.invite(1).headers.get("To")
    assert crowd.invite(2, method="OPTIONS").status == 503
    assert crowd.bye(1, to).status == 200


def test_rate_covers_broken_messages(world):
    crowd = Crowd(world, requests_per_s=1.0, burst_requests=1)
    broken = crowd.message("OPTIONS", 1).replace(b"SIP/2.0\r\n", b"SIP/9.0\r\n", 1)
    for _ in range(3):
        crowd.net.receive("10.0.0.2", "10.0.0.9", broken)
    assert [packet.name for packet in crowd.net.packets] == ["505 OPTIONS"]


def test_sources_are_bounded(world):
    crowd = Crowd(world, requests_per_s=1.0, burst_requests=1, sources=2)
    for number, last in enumerate((1, 2, 1, 3)):
        crowd.invite(number, host=f"10.0.1.{last}")
    counters = crowd.agent.counters.as_dict()
    assert counters["rate_sources_evicted"] == 1
    assert crowd.invite(8, host="10.0.1.1").status == 503  # seen after 10.0.1.2, which made room
    assert crowd.invite(9, host="10.0.1.2").status == 200


def test_drain(world):
    crowd = Crowd(world)
    to = crowd.invite(1).headers.get("To")
    crowd.agent.drain()
    reply = crowd.invite(2)
    assert (reply.status, reply.headers.get("Retry-After")) == (503, "5")
    assert crowd.invite(3, method="OPTIONS").status == 503  # RFC 3261 11.2
    with pytest.raises(Refuse, match="503"):
        crowd.dial()
    assert crowd.bye(1, to).status == 200
    assert crowd.agent.counters.as_dict()["refused_draining"] == 3


def test_calls_that_drain_may_still_speak(world):
    crowd = Crowd(world)
    to = crowd.invite(1).headers.get("To")
    crowd.agent.drain()
    assert crowd.dial(speech=True)
    assert crowd.bye(1, to).status == 200
    with pytest.raises(Refuse, match="503"):
        crowd.dial(speech=True)

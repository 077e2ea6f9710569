"""What goes out again is counted, by whichever machine repeats it."""

import pytest
from ringwheel.media.sip.counters import Count

CALLER, CALLEE = "10.0.0.1", "10.0.0.2"


def lose_first(net, *names):
    """The link loses the first packet of each name."""
    left = set(names)

    def link(packet):
        if packet.name in left:
            left.remove(packet.name)
            return []
        return [1]

    net.link = link


def repeated(net, host):
    """How many packets of a host were not the first of their name."""
    names = [packet.name for packet in net.packets if packet.source == host]
    return len(names) - len(set(names))


@pytest.mark.parametrize(
    "lost",
    [
        (),
        ("INVITE",),
        ("200 INVITE",),
        ("ACK",),
        ("BYE",),
        ("200 BYE",),
        ("INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"),
    ],
)
def test_a_call_on_a_bad_link(pair, lost):
    lose_first(pair.net, *lost)
    call = pair.dial()
    pair.net.run(10_000)
    call.hangup()
    pair.finish()
    for agent, host in ((pair.caller, CALLER), (pair.callee, CALLEE)):
        assert agent.counters[Count.RETRANSMISSIONS_SENT] == repeated(pair.net, host)
    assert bool(lost) == bool(repeated(pair.net, CALLER) + repeated(pair.net, CALLEE))


def test_a_refusal_that_is_not_acknowledged(pair):
    pair.net.link = lambda packet: [] if packet.name == "ACK" else [1]
    pair.there.answer = None
    pair.dial()
    pair.net.run(100)
    pair.there.calls[-1].reject(486)
    pair.finish()
    again = pair.callee.counters[Count.RETRANSMISSIONS_SENT]
    assert again == repeated(pair.net, CALLEE) == 10

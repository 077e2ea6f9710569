"""Calls free themselves: the collector, which runs rarely in a process that settles it, has nothing
to do for them, whatever they went through."""

import gc

import pytest
from ringwheel.media.sip.dialog import Dialog
from ringwheel.media.sip.refer import Progress, Refers, ReferTo
from ringwheel.media.sip.session import SipCall

LINGER_MS = 40_000
"""Longer than every transaction stays to absorb what is repeated (64*T1)."""


def hold(pair, call):
    assert call.reinvite(b"v=0 hold")


def refresh(pair, call):
    assert call.update(None)


def refer(pair, call):
    Refers.of(call).ask(
        ReferTo("sip:third@10.0.0.3"),
        timeout_ms=10_000,
        on_progress=lambda progress: None,
        on_outcome=lambda outcome: None,
    )
    pair.net.run(10)
    (referral,) = pair.here.referrals
    referral.accept()
    referral.tell(Progress(200, "OK"))


def refer_in_vain(pair, call):
    refer_to = ReferTo("sip:third@10.0.0.3")
    Refers.of(call).ask(
        refer_to, timeout_ms=10_000, on_progress=lambda _: None, on_outcome=lambda _: None
    )


def nothing(pair, call):
    """A call as most are."""


def go_through(pair, change):
    call, robot = pair.call()
    change(pair, robot)
    pair.net.run(10)
    call.hangup()
    pair.net.run(LINGER_MS)
    for recorder in (pair.here, pair.there):
        for kept in vars(recorder).values():
            if isinstance(kept, list | dict):
                kept.clear()


@pytest.mark.parametrize("change", [nothing, hold, refresh, refer, refer_in_vain])
def test_a_call_is_freed_without_the_collector(pair, change):
    gc.collect()
    others = {id(thing) for thing in gc.get_objects() if isinstance(thing, SipCall | Dialog)}
    gc.disable()
    try:
        go_through(pair, change)
        things = [thing for thing in gc.get_objects() if isinstance(thing, SipCall | Dialog)]
        assert not [thing for thing in things if id(thing) not in others]
    finally:
        gc.enable()

"""Calls of an engine to SIPp: answers, early media, refusals, races of CANCEL, 3xx, forks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from ringwheel import DialFailed, DialledCall, EndedBy, Engine, Outcome

from .test_sipp_reliability import answer, hear, sdp
from .test_sipp_transfer import ANSWERS
from .test_sipp_transfer import ask as ask_caller
from .test_sipp_uac import DEADLINE_S, ENDED_BY_US, HOST, Peer, peer, recv, send

__all__ = ["peer"]  # a fixture

TO_INVITE = "1 INVITE"
UNANSWERED = 'Reason: Q.850;cause=19;text="no answer"'


def pause(duration_ms: int) -> str:
    """A step that waits."""
    return f'<pause milliseconds="{duration_ms}" />'


def run(story: Callable[[Engine], Awaitable[None]]) -> None:
    """Run a coroutine function with an engine, for a bounded time."""

    async def bounded() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            Engine([f"udp:{HOST}:0"]) as engine,
        ):
            await story(engine)
            assert await engine.drain(DEADLINE_S)

    asyncio.run(bounded())


def dial(engine: Engine, callee: Peer, **options: object) -> Awaitable[DialledCall]:
    """Call SIPp."""
    return engine.dial(f"sip:callee@{HOST}:{callee.port}", **options)  # type: ignore[arg-type]


def outcome_with(callee: Peer, **options: object) -> DialFailed:
    """What a call that nobody answers comes to."""
    failures = []

    async def story(engine: Engine) -> None:
        with pytest.raises(DialFailed) as failed:
            await dial(engine, callee, **options)
        failures.append(failed.value)

    run(story)
    return failures[0]


def test_a_call_is_answered_and_hung_up_by_us(peer):
    async def story(engine):
        call = await dial(engine, callee)
        assert call.codec == "PCMU"
        assert (await call.hangup()).by is EndedBy.LOCAL

    with peer(recv("INVITE"), send(100), send(180), send(200, sdp=True), *ENDED_BY_US) as callee:
        run(story)


def test_early_media_opens_and_the_answer_needs_no_body(peer):
    sounds = []

    async def early(call):
        sounds.append(call.codec)

    async def story(engine):
        call = await dial(engine, callee, early=early)
        await call.hangup()

    with peer(recv("INVITE"), send(183, sdp=True), pause(100), send(200), *ENDED_BY_US) as callee:
        run(story)
    assert sounds == ["PCMU"]


def test_busy_is_told_with_the_cause_of_the_network(peer):
    with peer(recv("INVITE"), send(486, "Reason: Q.850;cause=17"), recv("ACK")) as callee:
        failed = outcome_with(callee)
    assert (failed.outcome, failed.status, failed.q850) == (Outcome.BUSY, 486, 17)


def test_a_call_that_nobody_answers_is_cancelled(peer):
    with peer(
        recv("INVITE"),
        send(180),
        recv("CANCEL"),
        send(200),
        send(487, UNANSWERED, cseq=TO_INVITE),
        recv("ACK"),
    ) as callee:
        failed = outcome_with(callee, timeout_s=2.0)
    assert (failed.outcome, failed.status) == (Outcome.NO_ANSWER, 408)


def test_an_answer_that_crosses_our_cancel_gets_ack_and_bye(peer):
    with peer(
        recv("INVITE"),
        send(180),
        recv("CANCEL"),
        send(200, cseq=TO_INVITE, sdp=True),
        *ENDED_BY_US,
    ) as callee:
        assert outcome_with(callee, timeout_s=2.0).outcome is Outcome.NO_ANSWER


def test_an_answer_out_of_silence_that_comes_too_late_gets_ack_and_bye(peer):
    with peer(recv("INVITE"), pause(400), send(200, sdp=True), *ENDED_BY_US) as callee:
        assert outcome_with(callee, timeout_s=0.2).outcome is Outcome.UNREACHABLE


def test_reinvites_go_both_ways(peer):
    """We hold and resume, and then the one we called does."""

    async def story(engine):
        call = await dial(engine, callee)
        await call.hold()
        await call.unhold()
        await call.wait_held()
        await call.wait_resumed()
        assert (await call.wait_ended()).by is EndedBy.REMOTE

    steps = list(ANSWERS)
    for direction in ("inactive", "sendrecv"):
        steps += [recv("INVITE"), answer(200, body=sdp(direction)), recv("ACK")]
    for cseq, direction in ((1, "sendonly"), (2, "sendrecv")):
        offer = ask_caller("INVITE", cseq, "Content-Type: application/sdp", body=sdp(direction))
        steps += [offer, '<recv response="200" />', ask_caller("ACK", cseq)]
    steps += [ask_caller("BYE", 3), '<recv response="200" />']
    # An ACK is not answered, and so not sent again.
    steps = [step.replace(' retrans="500"', "") if "\nACK " in step else step for step in steps]
    with peer(*steps) as callee:
        run(story)


@pytest.mark.parametrize("redirects", [0, 1])
def test_a_302_is_followed_as_often_as_allowed(peer, redirects):
    async def story(engine):
        if redirects:
            call = await dial(engine, first, redirects=redirects)
            await call.hangup()
            return
        with pytest.raises(DialFailed) as failed:
            await dial(engine, first, redirects=redirects)
        assert (failed.value.status, failed.value.contacts) == (302, (target,))

    with contextlib.ExitStack() as peers:
        target = "sip:nobody@127.0.0.9"
        if redirects:
            second = peers.enter_context(peer(recv("INVITE"), send(200, sdp=True), *ENDED_BY_US))
            target = f"sip:other@{HOST}:{second.port}"
        moved = send(302, f"Contact: <{target}>")
        first = peers.enter_context(peer(recv("INVITE"), moved, recv("ACK")))
        run(story)


def test_of_two_forks_that_answer_the_second_is_let_go(peer):
    async def story(engine):
        call = await dial(engine, callee)
        while not engine.snapshot().sip["forks_released"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        assert call.ended is None
        await call.hangup()

    def bye_to(tag):
        return [hear("BYE", header="To", like=f"tag={tag}"), send(200, tag="")]

    # The second answers when the first has its ACK: else it might be let go before that.
    late = answer(200, late=True, body=sdp())
    late = late.replace("[last_To:]", "To: <sip:callee@[local_ip]:[local_port]>;tag=one")
    steps = [
        hear("INVITE", header="Via", like="(SIP/2.0.*)", into="via"),
        *(send(183, tag="one", sdp=True), send(180, tag="two"), send(200, tag="two", sdp=True)),
        *(hear("ACK", header="To", like="tag=two"), late),
        *(hear("ACK", header="To", like="tag=one"), *bye_to("one"), *bye_to("two")),
    ]
    with peer(*steps) as callee:
        run(story)

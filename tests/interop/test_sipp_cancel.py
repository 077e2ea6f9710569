"""SIPp calls us and takes it back: in time, too late, and what it never asked for."""

from __future__ import annotations

from ringwheel import Call, EndedBy
from ringwheel.media.sip.events import EndCause

from .test_sipp_reliability import LET_GO, Sipp, ask, called, got, sdp, sipp

__all__ = ["sipp"]  # a fixture

INVITE = ask("INVITE", 1, body=sdp(), first=True)
TRYING = '<recv response="100" optional="true" />'
CANCELLED = got(200, header="CSeq", like="1 CANCEL")


def of_invite(step: str, steps_since: int) -> str:
    """A step with the branch of the INVITE, so many steps before (RFC 3261 9.1, 17.1.1.3)."""
    return step.replace("branch=[branch]", f"branch=[branch-{steps_since}]")


def cancel(steps_since: int) -> str:
    """A step that cancels the INVITE."""
    return of_invite(ask("CANCEL", 1, first=True), steps_since)


def test_a_call_that_rings_is_cancelled(sipp: Sipp) -> None:
    async def ring(call: Call) -> None:
        call.ring()
        causes.append(await call.wait_ended())

    causes: list[EndCause] = []
    steps = [INVITE, TRYING, got(180), cancel(3), CANCELLED, got(487), of_invite(ask("ACK", 1), 6)]
    called(sipp, ring, *steps)
    assert [(cause.by, cause.status) for cause in causes] == [(EndedBy.REMOTE, 487)]


def test_a_cancel_that_crosses_our_answer_ends_nothing(sipp: Sipp) -> None:
    """What has its final response is a call (RFC 3261 9.2), and we are in it."""

    async def take(call: Call) -> None:
        await call.answer()
        causes.append(await call.hangup())

    causes: list[EndCause] = []
    crossed = [INVITE, TRYING, '<recv response="180" optional="true" />', got(200)]
    crossed += [cancel(4), CANCELLED, ask("ACK", 1)]
    called(sipp, take, *crossed, *LET_GO)
    assert [(cause.by, cause.status) for cause in causes] == [(EndedBy.LOCAL, 200)]


def test_a_cancel_with_another_branch_is_refused_and_ends_nothing(sipp: Sipp) -> None:
    async def take(call: Call) -> None:
        call.ring()
        await call.wait_ended()

    stray = [ask("CANCEL", 1, first=True), got(481)]
    real = [cancel(5), CANCELLED, got(487), of_invite(ask("ACK", 1), 8)]
    called(sipp, take, INVITE, TRYING, got(180), *stray, *real)

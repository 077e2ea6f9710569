"""Two engines of ours call each other: the sound that arrives is the sound that was played."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from ringwheel import Call, DialFailed, Outcome
from ringwheel.media.codec import PCMU

from ..ports import pairs_of
from .conftest import serving
from .test_dial import dialling

pytestmark = pytest.mark.one_loop

PROMPT_SAMPLES = 8_000


def share_heard(heard: np.ndarray, sent: np.ndarray) -> float:
    """How much of what was sent lies in what was heard, at the best place: a correlation."""
    size = len(heard) + len(sent)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size))
    place = int(np.fft.irfft(spectrum, size)[: len(heard)].argmax())
    part = heard[place : place + len(sent)]
    return float(np.corrcoef(part, sent[: len(part)])[0, 1]) if len(part) > len(sent) / 2 else 0.0


async def hear(call: Call) -> np.ndarray:
    """All that the other side says, to the end of the call."""
    return np.concatenate([block async for block in call.listen()]).astype(float)


@pytest.mark.parametrize("srtp", ["off", "required"])
async def test_each_hears_what_the_other_plays(srtp, make_prompt):
    (asked, question), (said, answer) = (
        make_prompt("question.ulaw", PROMPT_SAMPLES),
        make_prompt("answer.ulaw", PROMPT_SAMPLES),
    )
    heard = asyncio.get_running_loop().create_future()

    async def robot(call: Call) -> None:
        call.ring()
        await call.answer()
        listening = asyncio.create_task(hear(call))
        await call.play(said)
        heard.set_result(await listening)

    async with serving(robot, srtp=srtp) as there, dialling(srtp=srtp) as here:
        call = await here.dial(f"sip:robot@{there.addresses[0]}")
        listening = asyncio.create_task(hear(call))
        await call.play(asked)
        await call.hangup()
        assert share_heard(await listening, PCMU.decode(answer).astype(float)) > 0.9
        assert share_heard(await heard, PCMU.decode(question).astype(float)) > 0.9


async def test_encryption_that_the_other_side_refuses_is_told():
    async def robot(call: Call) -> None:
        await call.answer()

    async with serving(robot, srtp="off") as there, dialling(srtp="required") as here:
        with pytest.raises(DialFailed) as failed:
            await here.dial(f"sip:robot@{there.addresses[0]}")
    assert (failed.value.outcome, failed.value.status) == (Outcome.REJECTED, 488)


async def test_a_hundred_calls_at_once_all_come_up():
    async def robot(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    first, last = pairs_of(240)  # one range, so that the halves do not overlap
    async with (
        serving(robot, rtp_ports=(first, first + 239)) as there,
        dialling(rtp_ports=(first + 240, last)) as here,
    ):
        uri = f"sip:robot@{there.addresses[0]}"
        calls = await asyncio.gather(*(here.dial(uri) for _ in range(100)))
        assert there.snapshot().calls_up == 100
        await asyncio.gather(*(call.hangup() for call in calls))

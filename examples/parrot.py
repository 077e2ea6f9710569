"""A robot that repeats what it hears: `python examples/parrot.py`, then call sip:anyone@127.0.0.1.

The two loops in it are all that a voice agent needs: what the caller says comes in blocks of
samples, and what is to be said is given in blocks of samples.
"""

import asyncio
import signal
from collections.abc import AsyncIterator

import numpy as np
import ringwheel

RATE_HZ = 8000
PAUSE_BLOCKS = 40
"""Silence after which it is the parrot's turn: 0.8 s in blocks of 20 ms."""


async def phrase(call: ringwheel.Call) -> list[np.ndarray]:
    """What the caller says until the next pause."""
    said: list[np.ndarray] = []
    silent = 0
    async for block in call.listen(sample_rate_hz=RATE_HZ):
        silent = 0 if call.speaking else silent + 1
        if call.speaking or said:
            said.append(block)
        if said and silent == PAUSE_BLOCKS:
            return said
    return said


async def repeat(blocks: list[np.ndarray]) -> AsyncIterator[np.ndarray]:
    """Say it again, piece by piece."""
    for block in blocks:
        yield block


async def parrot(call: ringwheel.Call) -> None:
    """Listen and repeat until the caller hangs up."""
    await call.answer()
    while True:
        said = await phrase(call)
        await call.speak(repeat(said), sample_rate_hz=RATE_HZ, barge_in="speech")


async def main() -> None:
    """Serve until Ctrl-C."""
    async with ringwheel.Engine() as engine:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: loop.create_task(engine.drain()))
        await engine.serve(parrot)


if __name__ == "__main__":
    asyncio.run(main())

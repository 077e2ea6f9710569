"""What a caller says and types, on its way to a peer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import NoReturn

from ....media.call import Call, CallEnded
from ....media.codec import PCMU
from .outbox import Outbox, OutboxFull, Outgoing, Pressed, Said
from .wire import StreamFailed, Wire

BLOCK_MS = 20
STALL_S = 10.0
"""How long a peer may leave unread what is sent to it, or a question whether it is there."""

CHECK_S = 5.0
DIGIT_WAIT_MS = 60_000


class Uplink:
    """Its methods run until they are cancelled, or raise :class:`StreamFailed`, or
    :class:`CallEnded`. ``on_speech`` is called when the caller begins to speak."""

    def __init__(self, call: Call, wire: Wire, on_speech: Callable[[], None]) -> None:
        self.blocks = 0
        self._call = call
        self._wire = wire
        self._on_speech = on_speech
        self._outbox = Outbox()
        self._full = False
        self._outgoing = asyncio.Event()

    @property
    def dropped_blocks(self) -> int:
        """What the peer has not read in time."""
        return self._outbox.dropped_blocks

    def put(self, message: Outgoing) -> None:
        """Send a message behind those that wait."""
        try:
            self._outbox.put(message)
        except OutboxFull:
            self._full = True
        self._outgoing.set()

    async def hear(self) -> NoReturn:
        """Give the peer what the caller says."""
        spoke = self._call.speaking  # what he says since before is no answer to us
        hears = self._call.listen(sample_rate_hz=self._wire.rate_hz, block_ms=BLOCK_MS)
        async with aclosing(hears) as blocks:
            async for block in blocks:
                sound = PCMU.encode(block) if self._wire.encoded else block.tobytes()
                self.put(Said(sound, self.blocks * BLOCK_MS))
                self.blocks += 1
                speaks = self._call.speaking
                if speaks and not spoke:
                    self._on_speech()
                spoke = speaks
        raise CallEnded(await self._call.wait_ended())

    async def send(self) -> NoReturn:
        """Send what waits."""
        while not self._full:
            message = self._outbox.take()
            if message is None:
                self._outgoing.clear()
                await self._outgoing.wait()
                continue
            try:
                async with asyncio.timeout(STALL_S):
                    await self._wire.send(message)
            except TimeoutError:
                break
        raise StreamFailed("stalled", f"the peer has read nothing for {STALL_S:g} s, or too little")

    async def type(self) -> NoReturn:
        """Tell the peer what the caller types."""
        while True:
            typed = await self._call.gather(1, "", first_ms=DIGIT_WAIT_MS)
            if typed.digits:
                self.put(Pressed(typed.digits))

    async def check(self) -> NoReturn:
        """Ask now and then whether the peer is there."""
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                async with asyncio.timeout(STALL_S):
                    await self._wire.check()
            except TimeoutError:
                text = f"the peer has not answered a ping for {STALL_S:g} s"
                raise StreamFailed("stalled", text) from None

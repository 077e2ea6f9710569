"""A voice agent in the form of Twilio Media Streams that repeats what it hears.

`python examples/agent.py`, then `ringwheel serve --stream ws://127.0.0.1:8765`, then call
sip:anyone@127.0.0.1. Nothing of Ringwheel is used in it: agents that exist look like this one.
"""

import asyncio
import base64
import json
import math
from collections.abc import Iterator

from websockets.asyncio.server import ServerConnection, serve

BLOCK_BYTES = 160
PAUSE_BLOCKS = 40
"""Silence after which it is the agent's turn: 0.8 s in blocks of 20 ms."""


def mulaw_of(sample: int) -> int:
    """A sample of 16 bits in mu-law."""
    sign, size = (0x80, -sample) if sample < 0 else (0, sample)
    size = min(size, 32635) + 132
    exponent = size.bit_length() - 8
    return ~(sign | exponent << 4 | size >> (exponent + 3) & 0x0F) & 0xFF


def loudness_of(block: bytes) -> int:
    """The loudest sample of a block of mu-law: 0 to 127."""
    return max(~byte & 0x7F for byte in block)


def beep(hz: float, ms: int) -> bytes:
    """What it says before anything was said to it."""
    return bytes(
        mulaw_of(round(8000 * math.sin(2 * math.pi * hz * at / 8000))) for at in range(8 * ms)
    )


class Parrot:
    """One stream: it listens, and says what it heard when the caller pauses."""

    def __init__(self, connection: ServerConnection, stream_sid: str) -> None:
        self._connection = connection
        self._stream_sid = stream_sid
        self._phrase = b""
        self._silent = 0
        self._speaking = False

    async def _send(self, event: str, **content: str) -> None:
        message = {"event": event, "streamSid": self._stream_sid}
        await self._connection.send(json.dumps(message | ({event: content} if content else {})))

    async def say(self, sound: bytes) -> None:
        """Send it all at once: whoever plays it has the clock. The mark comes back at its end."""
        for block in blocks_of(sound):
            await self._send("media", payload=base64.b64encode(block).decode())
        await self._send("mark", name="said")
        self._speaking = True

    async def hear(self, message: dict) -> None:
        """A message of the stream."""
        if message["event"] == "media":
            await self._hear_block(base64.b64decode(message["media"]["payload"]))
        elif message["event"] == "mark":
            self._speaking = False
        elif message["event"] == "dtmf":
            print("key", message["dtmf"]["digit"])

    async def _hear_block(self, block: bytes) -> None:
        loud = loudness_of(block) > 60
        self._silent = 0 if loud else self._silent + 1
        if loud and self._speaking:
            await self._send("clear")  # the caller has interrupted
        if loud or self._phrase:
            self._phrase += block
        if self._phrase and self._silent == PAUSE_BLOCKS:
            phrase, self._phrase = self._phrase, b""
            await self.say(phrase)


def blocks_of(sound: bytes) -> Iterator[bytes]:
    """Sound in pieces of 20 ms."""
    for at in range(0, len(sound), BLOCK_BYTES):
        yield sound[at : at + BLOCK_BYTES]


async def talk(connection: ServerConnection) -> None:
    """One call."""
    parrot = None
    async for text in connection:
        message = json.loads(text)
        if message["event"] == "start":
            print("call", message["start"]["callSid"], message["start"]["customParameters"])
            parrot = Parrot(connection, message["streamSid"])
            await parrot.say(beep(440, 200))
        elif message["event"] == "stop":
            return
        elif parrot is not None:
            await parrot.hear(message)


async def main() -> None:
    """Serve until Ctrl-C."""
    async with serve(talk, "127.0.0.1", 8765) as server:
        print("listening on ws://127.0.0.1:8765")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

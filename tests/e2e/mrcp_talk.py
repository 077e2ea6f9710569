"""A call that has speech over MRCPv2, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from ringwheel import Call, Engine
from ringwheel.media.call import Played
from ringwheel.robot.grammar.builders import yes_no
from ringwheel.robot.grammar.model import Grammar
from ringwheel.robot.script.model import Timing
from ringwheel.robot.speech.mrcp.pool import PoolLimits
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpOptions, MrcpService
from ringwheel.robot.speech.mrcp.session import SessionLimits
from ringwheel.robot.speech.mrcp.speech import MrcpSpeech, SpeechLimits
from ringwheel.robot.speech.service import Recognition, SpeechFailed

from .client import Phone
from .conftest import phoning, serving
from .speech_peer import GOES_ON, Asked, SpeechPeer

YES_NO = yes_no("en-US")
TIMING = Timing(no_input_ms=1_000, complete_ms=200, max_speech_ms=1_000)
LIMITS = SpeechLimits(speak_s=3.0, prompt_s=3.0, grace_s=0.2)


@dataclass(eq=False)
class Talk:
    """A call, and the service that its handler speaks by."""

    engine: Engine
    service: MrcpService
    call: Call
    phone: Phone
    speech: MrcpSpeech
    rtp_port: int
    sent: int = 0

    def sound(self, packets: int = 1) -> bool:
        """The caller speaks."""
        for _ in range(packets):
            header = struct.pack(">BBHII", 0x80, 0, self.sent, self.sent * 160, 7)
            self.phone.rtp.sendto(header + b"\x20" * 160, ("127.0.0.1", self.rtp_port))
            self.sent += 1
        return True

    def press(self, digit: str) -> None:
        """The caller presses a key (RFC 4733)."""
        for number, (marker, end, duration) in enumerate(
            [(0x80, 0, 160), (0, 0, 320), (0, 0x80, 480)]
        ):
            head = struct.pack(">BBHII", 0x80, marker | 101, self.sent + number, 160 * self.sent, 7)
            event = struct.pack(">BBH", int(digit), end | 10, duration)
            self.phone.rtp.sendto(head + event, ("127.0.0.1", self.rtp_port))
            self.sent += 1

    async def say(self, text: str = "hello", **options: Any) -> Played:
        """Speak."""
        wanted = {"locale": "en-US", "voice": None, "ssml": False, "barge_in": "none"} | options
        return await self.speech.speak(text, **wanted)  # type: ignore[arg-type]

    async def hear(
        self,
        *,
        timers_run: bool = True,
        on_speech: Callable[[], None] = lambda: None,
        timing: Timing = TIMING,
        grammar: Grammar = YES_NO,
    ) -> Recognition:
        """Recognize yes or no."""
        return await self.speech.recognize(
            [grammar],
            locale="en-US",
            timing=timing,
            min_confidence=0.4,
            timers_run=timers_run,
            on_speech=on_speech,
        )

    async def hear_kind(self) -> str:
        """What kind of failure recognizing ends in."""
        with pytest.raises(SpeechFailed) as failed:
            await self.hear()
        return failed.value.kind

    async def say_kind(self) -> str:
        """What kind of failure speaking ends in."""
        with pytest.raises(SpeechFailed) as failed:
            await self.say()
        return failed.value.kind


def options_of(*peers: SpeechPeer, **server: object) -> MrcpOptions:
    servers = tuple(
        MrcpServer(peer.uri, f"s{number}", priority=number, **server)  # type: ignore[arg-type]
        for number, peer in enumerate(peers)
    )
    return MrcpOptions(
        servers,
        sessions=SessionLimits(invite_s=3.0, response_ms=1_500),
        pool=PoolLimits(open_s=12.0),
        speech=LIMITS,
    )


@contextlib.asynccontextmanager
async def talking(options: MrcpOptions, **engine_options: object) -> AsyncIterator[Talk]:
    """A caller in a call, and a speech session for it."""
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)
        await call.wait_ended()

    async with (
        serving(handler, **engine_options) as engine,
        phoning(engine, formats="0 101") as phone,
    ):
        service = MrcpService(engine, options)
        answer = await phone.call(phone.offer("rtpmap:101 telephone-event/8000"))
        rtp_port = int(answer.sdp("m=audio ").split()[0])
        call = await calls.get()
        speech = await service.open(call)
        try:
            yield Talk(engine, service, call, phone, speech, rtp_port)
        finally:
            await speech.close()
            await service.close()


async def heard(phone: Phone) -> bytes:
    """The sound that was played to the caller up to now."""
    first = await phone.packets(1)
    return b"".join(packet.payload for packet in [*first, *phone.waiting_packets()])


def take(asked: Asked) -> None:
    """Take a request, and leave it so."""
    asked.respond(200, GOES_ON)

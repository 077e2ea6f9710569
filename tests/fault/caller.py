"""The caller of the fault tests, a process of its own: `caller.py '{"target": ...}'`.

Every call says a sound of its own and holds what it hears against the prompt. It begins to speak
on the arrival of a packet of the prompt, and notes which, so that where both stand in a recording
can be told to the packet. Its notes are one JSON object on stdout.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import uvloop
from ringwheel.bench.measure import allow_files
from ringwheel.bench.phone import Phone
from ringwheel.media.codec import PCMU
from ringwheel.media.sdp import LocalMedia, accept_answer, make_offer, parse_sdp
from ringwheel.media.sip.events import EndCause, Refuse
from ringwheel.media.sip.info import InfoDigit
from ringwheel.media.sip.message import Response
from ringwheel.media.sip.session import SipCall

FRAME = 160
FRAME_S = 0.02
MARK = 5
"""The packet of the prompt on whose arrival a caller begins to speak, or the first behind it."""
TAIL_S = 0.1
"""From the last packet to the BYE."""
ANSWER_TIMEOUT_MS = 32_000
ANSWERS_S = 10.0
"""What calls may take beside their sound."""
SO_TIMESTAMPNS = 35  # of Linux: the socket module has no name for it
TIMESTAMP = socket.CMSG_SPACE(16)


def sound_of(number: int, packets: int) -> bytes:
    """What the call of that number says: noise that no other call has, as PCMU."""
    return np.random.default_rng(1000 + number).bytes(packets * FRAME)


@dataclass(slots=True)
class Notes:
    """What became of one call. Packets of the prompt are counted from the first one heard."""

    number: int
    user: str
    status: int = 0
    heard: int = 0
    heard_up_to: int = 0
    first_frame: int = -1
    wrong: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)
    """Where timestamps went on further than the sequence: packet, and its place in frames."""
    said: int = 0
    mark: int = -1
    """The packet on whose arrival the call began to speak."""
    behind_mark: int = -1
    """The first that arrived when the call's first packet had been sent."""
    latest_ms: float = 0.0
    """The longest that a packet left after its time."""
    unsteady_ms: float = 0.0
    """How far apart packets of the prompt came from their times, at most."""


class Talk:
    """The sound of one call, both ways."""

    def __init__(self, notes: Notes, host: str, packets: int, frames: dict[bytes, int]) -> None:
        self.notes = notes
        self.packets = packets
        self.on_said: Callable[[], None] | None = None
        self._frames = frames
        self._sound = memoryview(sound_of(notes.number, packets))
        self._target: tuple[str, int] | None = None
        self._first = (0, 0)
        self._shift = 0
        self._drifts_ns: list[int] = []
        self._began_s = 0.0
        self._began_ns = 0
        self._loop = asyncio.get_running_loop()
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._rtp.bind((host, 0))
        self.port: int = self._rtp.getsockname()[1]

    def begin(self, target: tuple[str, int]) -> None:
        self._target = target
        self._loop.add_reader(self._rtp.fileno(), self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._rtp.fileno())
        self._rtp.close()
        if self._drifts_ns:
            self.notes.unsteady_ms = (max(self._drifts_ns) - min(self._drifts_ns)) / 1e6

    def _read(self) -> None:
        while True:
            try:
                data, control, _, source = self._rtp.recvmsg(2048, TIMESTAMP)
            except BlockingIOError:
                return
            if source == self._target and len(data) == 12 + FRAME:
                seconds, nanoseconds = struct.unpack("@qq", control[0][2])
                self._hear(data, seconds * 1_000_000_000 + nanoseconds)

    def _hear(self, data: bytes, arrived_ns: int) -> None:
        notes = self.notes
        sequence, timestamp = struct.unpack_from("!HI", data, 2)
        frame = self._frames.get(data[12:], -1)
        if notes.first_frame < 0:
            notes.first_frame = frame
            self._first = (sequence, timestamp)
        packet = (sequence - self._first[0] + 32768) % 65536 - 32768
        place = ((timestamp - self._first[1]) % 2**32) // FRAME
        self._drifts_ns.append(arrived_ns - round(place * FRAME_S * 1e9))
        notes.heard += 1
        notes.heard_up_to = max(notes.heard_up_to, packet + 1)
        notes.wrong += frame != (notes.first_frame + packet) % len(self._frames)
        if packet > 0 and place - packet > self._shift:
            self._shift = place - packet
            notes.steps.append((packet, place))
        if notes.mark < 0 and packet >= MARK:
            notes.mark = packet
            self._speak()
        elif notes.mark >= 0 > notes.behind_mark and arrived_ns > self._began_ns:
            notes.behind_mark = packet

    def _speak(self) -> None:
        self._began_s = self._loop.time()
        self._say()
        self._began_ns = time.time_ns()

    def _say(self) -> None:
        """Send what is due."""
        notes, now_s = self.notes, self._loop.time()
        while notes.said < self.packets and self._due_s() <= now_s:
            notes.latest_ms = max(notes.latest_ms, (now_s - self._due_s()) * 1000)
            at = notes.said
            header = struct.pack("!BBHII", 0x80, 0, at + 7, at * FRAME + 77, 0xFA000 + notes.number)
            self._rtp.sendto(header + self._sound[at * FRAME : (at + 1) * FRAME], self._target)
            notes.said += 1
        if notes.said < self.packets:
            self._loop.call_at(self._due_s(), self._say)
        elif self.on_said is not None:
            self._loop.call_later(TAIL_S, self.on_said)

    def _due_s(self) -> float:
        return self._began_s + self.notes.said * FRAME_S


@dataclass(slots=True)
class Placed:
    """The context of a call."""

    talk: Talk
    local: LocalMedia
    offer: bytes


class Caller:
    """The handler of a user agent whose calls say all they have to say, and hang up."""

    def __init__(self, arguments: dict) -> None:
        self._host: str = arguments["host"]
        self._target: tuple[str, int] = tuple(arguments["target"])
        self._users: list[str] = arguments["users"]
        self._rate_per_s: float = arguments["rate_per_s"]
        self._packets: int = arguments["packets"]
        self._patience_s: float = arguments["patience_s"]
        prompt = Path(arguments["prompt"]).read_bytes()
        frames = [prompt[at : at + FRAME] for at in range(0, len(prompt), FRAME)]
        self._frames = {frame: number for number, frame in enumerate(frames)}
        self._ended = 0
        self.talks: list[Talk] = []

    async def run(self) -> None:
        """Place the calls, and wait for their end."""
        calls = len(self._users)
        with Phone(
            self, host=self._host, max_calls=calls, answer_timeout_ms=ANSWER_TIMEOUT_MS
        ) as phone:
            flow = phone.flow(*self._target)
            for number, user in enumerate(self._users):
                self._dial(phone, flow, number, user)
                await asyncio.sleep(1 / self._rate_per_s)
            await until(lambda: self._ended == calls, self._packets * FRAME_S + ANSWERS_S)
            # Answers to our BYEs may be lost, and the BYEs.
            await until(lambda: not phone.agent.dialogs, self._patience_s)
            for talk in self.talks:
                talk.close()

    def _dial(self, phone: Phone, flow: object, number: int, user: str) -> None:
        talk = Talk(Notes(number, user), self._host, self._packets, self._frames)
        local = LocalMedia(self._host, talk.port, (PCMU,), number + 1)
        offer = make_offer(local)
        self.talks.append(talk)
        host, port = self._target
        call = phone.agent.dial(
            f"sip:{user}@{host}:{port}", offer, flow, from_uri=f"sip:caller{number}@{self._host}"
        )
        call.context = Placed(talk, local, offer)
        talk.on_said = call.hangup

    # What the user agent tells

    def on_invite(self, call: SipCall) -> None:
        call.reject(403)

    def on_ringing(self, call: SipCall, response: Response) -> None:
        """The answer counts."""

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        placed = call.context
        media = accept_answer(placed.offer, parse_sdp(sdp), placed.local)
        placed.talk.begin((media.remote_host, media.remote_port))

    def on_ack(self, call: SipCall, sdp: bytes | None) -> None:
        """No call comes in."""

    def on_offer(self, call: SipCall, sdp: bytes | None) -> bytes:
        raise Refuse(488)

    def on_answer(self, call: SipCall, sdp: bytes) -> None:
        """Nothing is offered but in the INVITE."""

    def on_info_digit(self, call: SipCall, digit: InfoDigit) -> None:
        """Nobody types."""

    def on_reinvited(self, call: SipCall, status: int, sdp: bytes | None) -> None:
        """Nothing is changed."""

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        if isinstance(call.context, Placed):
            call.context.talk.notes.status = cause.status
            self._ended += 1


async def until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait for a condition, or for so long."""
    deadline_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - many ends
        await asyncio.sleep(FRAME_S)
    await asyncio.sleep(FRAME_S)


async def place_calls(arguments: dict) -> list[Talk]:
    """Place the calls of ``arguments``; returns what was said and heard."""
    caller = Caller(arguments)
    await caller.run()
    return caller.talks


def main() -> None:
    arguments = json.loads(sys.argv[1])
    allow_files(len(arguments["users"]))
    talks = uvloop.run(place_calls(arguments))
    print(json.dumps([asdict(talk.notes) for talk in talks]))


if __name__ == "__main__":
    main()

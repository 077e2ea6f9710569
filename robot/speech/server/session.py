"""One session: a SIP call, its control channels, and what works for each of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ....media.call import Call, CallEnded
from ....media.sdp import ApplicationLine
from ....media.sip.edge import Timers
from ..engines.engine import EngineFailed
from ..engines.engine import Synthesizer as SynthesizerEngine
from ..mrcp.message import AnyMessage, ChannelId, Request
from ..mrcp.words import RECOGNIZERS, SYNTHESIZERS, Resource
from .control import ControlConnection
from .hearing import CallHearing, Engines, digits_of
from .recognizer import Recognizer
from .recorder import Recorder
from .resource import ChannelResource, ResourceFigures
from .synthesizer import Synthesizer
from .voice import CallSpeaker

log = structlog.get_logger(__name__)

MAX_CHANNELS = 8
PLAIN, ENCRYPTED = "TCP/MRCPv2", "TCP/TLS/MRCPv2"


@dataclass(slots=True)
class Means:
    """What sessions work with."""

    engines: Engines
    synthesizer: SynthesizerEngine
    timers: Timers
    ports: dict[str, int]
    """Of the control listeners, by the protocol of SDP."""
    voice: str | None = None
    folder: Path | None = None
    bind_s: float = 60.0
    """A session whose channels nobody uses for so long is ended."""
    channels: dict[str, Channel] = field(default_factory=dict)
    figures: ResourceFigures = field(default_factory=ResourceFigures)


class Channel:
    """A control channel: its resource, and the connection that it belongs to."""

    def __init__(self, session: Session, kind: Resource) -> None:
        self.id = ChannelId(secrets.token_hex(12), kind)
        self.connection: ControlConnection | None = None
        self._session = session
        self._workers: list[CallSpeaker | CallHearing] = []
        self.resource = self._make(kind)

    def receive(self, request: Request) -> None:
        """A request for it."""
        self.resource.receive(request)

    def disconnected(self) -> None:
        """The connection is gone, and nobody else may speak for the channel."""
        self._session.end("the control connection is gone")

    async def close(self) -> None:
        """End it, and all that works for it."""
        self.resource.close()
        if self.connection is not None:
            self.connection.release(str(self.id))
            self.connection = None
        for worker in self._workers:
            await worker.close()

    def _send(self, message: AnyMessage) -> None:
        if self.connection is not None:
            self.connection.send(message)

    def _make(self, kind: Resource) -> ChannelResource:
        means, call = self._session.means, self._session.call
        common = (self.id, self._send, means.timers)
        if kind in SYNTHESIZERS:
            speaker = CallSpeaker(call, means.synthesizer, self._spoken, means.voice, means.figures)
            self._workers.append(speaker)
            return Synthesizer(*common, speaker, means.figures)
        hearing = CallHearing(call, means.engines, means.folder)
        self._workers.append(hearing)
        resource: Recognizer | Recorder
        if kind in RECOGNIZERS:
            resource = Recognizer(*common, hearing, means.figures, room=means.engines.room)
        else:
            resource = Recorder(*common, hearing, means.figures)
        hearing.listener = resource
        return resource

    def _spoken(self, failure: EngineFailed | None) -> None:
        assert isinstance(self.resource, Synthesizer)
        self.resource.spoken(failure)


class Session:
    """A session from its INVITE to its end."""

    def __init__(self, call: Call, means: Means) -> None:
        self.call = call
        self.means = means
        self._lines: list[Channel | None] = []  # one for each application line
        self._over = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer, and serve until either side ends it."""
        lines = self._answer(self.call.application_lines)
        if not any(line.port for line in lines):
            log.info("session refused", call=self.call.id, cause="no channel that we serve")
            self.call.reject(488)
            return
        self.call.on_applications = self._answer
        try:
            await self.call.answer(applications=lines)
            log.info("session", call=self.call.id, channels=self._names())
            await self._serve()
        except CallEnded:
            pass
        finally:
            await self._close()

    def end(self, cause: str) -> None:
        """It cannot go on."""
        if not self._over.is_set():
            log.info("session ends", call=self.call.id, cause=cause)
            self._over.set()

    async def _serve(self) -> None:
        digits = asyncio.create_task(digits_of(self.call, self._digit))
        ended = asyncio.create_task(self.call.wait_ended())
        over = asyncio.create_task(self._over.wait())
        unused = asyncio.get_running_loop().call_later(self.means.bind_s, self._check_used)
        try:
            await asyncio.wait([ended, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            unused.cancel()
            for task in (digits, ended, over):
                task.cancel()

    def _check_used(self) -> None:
        """Nobody has used a channel in time: the client has died between INVITE and connecting."""
        if all(channel is None or channel.connection is None for channel in self._lines):
            self.end("no channel was used")

    async def _close(self) -> None:
        for channel in self._lines:
            if channel is not None:
                self._forget(channel)
        if self._closing:
            await asyncio.wait(self._closing)

    def _forget(self, channel: Channel) -> None:
        self.means.channels.pop(str(channel.id), None)
        closing = asyncio.create_task(channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _digit(self, symbol: str) -> None:
        for channel in self._lines:
            if channel is not None and isinstance(channel.resource, Recognizer):
                channel.resource.digit(symbol)

    def _names(self) -> list[str]:
        return [str(channel.id) for channel in self._lines if channel is not None]

    # SDP (RFC 6787, 4.2)

    def _answer(self, offered: Sequence[ApplicationLine]) -> list[ApplicationLine]:
        """Our lines for those of an offer, the first or a later one: channels come and go."""
        answered = []
        for index, line in enumerate(offered):
            if index == len(self._lines):
                self._lines.append(None)
            answered.append(self._answer_line(index, line))
        return answered

    def _answer_line(self, index: int, line: ApplicationLine) -> ApplicationLine:
        channel = self._lines[index]
        port = self.means.ports.get(line.protocol)
        kind = _resource_of(line)
        refused = line._replace(port=0, attributes=(), host=None)
        if not line.port or port is None or kind is None or index >= MAX_CHANNELS:
            if channel is not None:
                self._lines[index] = None
                self._forget(channel)
            return refused
        if channel is None:
            channel = self._lines[index] = Channel(self, kind)
            self.means.channels[str(channel.id)] = channel
        attributes: list[tuple[str, str | None]] = [
            ("setup", "passive"),
            ("connection", line.value("connection") or "new"),
            ("channel", str(channel.id)),
        ]
        if (cmid := line.value("cmid")) is not None:
            attributes.append(("cmid", cmid))
        return line._replace(port=port, attributes=tuple(attributes), host=None)


def _resource_of(line: ApplicationLine) -> Resource | None:
    """What the line asks for; None: nothing that we have. We only ever wait for connections, so
    the client has to open them (RFC 6787, 4.2)."""
    if line.value("setup") not in {"active", "actpass"}:
        return None
    try:
        return Resource((line.value("resource") or "").strip().lower())
    except ValueError:
        return None

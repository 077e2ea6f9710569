"""One session with a speech server: its SIP call, its control channels (RFC 6787, section 4)."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ....media.connection import CallEnded, HoldRefused
from ....media.dialling import DialFailed, DialledCall
from ....media.outcome import Outcome as DialOutcome
from ....media.sdp import ApplicationLine
from .channel import Oddity
from .connection import ConnectFailed, ControlAddress, ControlConnections
from .line import Line, fits
from .message import ChannelId
from .servers import MrcpServer
from .taken import Taken
from .words import Method, Resource

if TYPE_CHECKING:
    from ....media._core import Shard
    from ....media.call import Call
    from ....media.engine import Engine

PROTOCOLS = {"tcp": "TCP/MRCPv2", "tls": "TCP/TLS/MRCPv2"}
DISCARD_PORT = 9
"""The port of who will connect (RFC 4145, 4.1)."""
MAX_GRAMMARS = 100
"""Grammars that are defined in one session at a time."""
AUDIO_MID = "1"
"""Names the line of sound for the control channels (RFC 6787, 4.3)."""

_UNREACHABLE = frozenset(
    {DialOutcome.UNREACHABLE, DialOutcome.NO_ANSWER, DialOutcome.NUMBER_INVALID}
)


class SessionFailed(Exception):
    """No session came of it. ``kind`` is a word of `SpeechFailed`; ``retry_after_s`` is what a
    server that refuses has said; ``ours``: nothing that the server has done."""

    def __init__(
        self, kind: str, text: str, *, retry_after_s: int | None = None, ours: bool = False
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.ours = ours


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Deadlines of sessions, in the order in which they count: the INVITE, each MRCP response."""

    invite_s: float = 4.0
    response_ms: int = 4_000


@dataclass(slots=True)
class Surroundings:
    """What all sessions of a service share."""

    engine: Engine
    connections: ControlConnections
    limits: SessionLimits = field(default_factory=SessionLimits)
    odd: Counter[Oddity] = field(default_factory=Counter)
    answers: dict[Method, Taken] = field(default_factory=dict)
    control: dict[str, ControlAddress] = field(default_factory=dict)
    """Where the control connections of each server went last, by its URI."""


class DefinedGrammars:
    """The grammars that were defined in a session. Servers keep so many only: a name is used again
    for another grammar, which replaces the one that was used longest ago (RFC 6787, 9.8)."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # by the ids of grammars, the last one used last

    def find(self, grammar_id: str) -> str | None:
        """The name of a grammar; None: it has to be defined."""
        name = self._names.pop(grammar_id, None)
        if name is not None:
            self._names[grammar_id] = name
        return name

    def free_name(self) -> str:
        """A name to define a grammar by; whatever had it is not known any more."""
        if len(self._names) >= MAX_GRAMMARS:
            return self._names.pop(next(iter(self._names)))
        used = set(self._names.values())
        names = (f"{number}@ringwheel.grammar" for number in itertools.count(1))
        return next(name for name in names if name not in used)

    def defined(self, grammar_id: str, name: str) -> None:
        """The server has taken it."""
        self._names[grammar_id] = name


class MrcpSession:
    """A session: `open` sets it up. ``lines`` are its channels by what they lead to, ``refused``
    the resources that the server does not give; ``lost`` says why it is over, empty until then.
    """

    def __init__(self, around: Surroundings, server: MrcpServer) -> None:
        self._around = around
        self.server = server
        self.lines: dict[Resource, Line] = {}
        self.refused: set[Resource] = set()
        self.lost = ""
        self.on_lost: Callable[[MrcpSession], None] | None = None
        self.grammars = DefinedGrammars()
        self._call: DialledCall | None = None
        self._asked: list[Resource] = []  # in the order of their lines
        self._adding = asyncio.Lock()
        self._ids = itertools.count(1)
        self._watching: asyncio.Task[None] | None = None

    @property
    def call(self) -> DialledCall:
        """The SIP call with the server."""
        assert self._call is not None
        return self._call

    @property
    def shard(self) -> Shard:
        """The media thread that its sound is on."""
        return self.call.connected()[0].shard

    @property
    def busy(self) -> bool:
        """True while something that was asked goes on."""
        return any(line.channel.open for line in self.lines.values())

    async def open(self, resources: Sequence[Resource], beside: Call | None = None) -> None:
        """Set it up, on the media thread of ``beside``. SessionFailed: there is none."""
        around = self._around
        lines = self._offer(resources)
        try:
            self._call = await around.engine.dial(
                self.server.uri,
                timeout_s=around.limits.invite_s,
                codecs=self.server.codecs,
                redirects=1,
                beside=beside,
                applications=lines,
            )
        except DialFailed as error:
            raise _failure_of(error) from None
        except (CallEnded, RuntimeError) as error:  # of `beside`
            raise SessionFailed("cancelled", str(error), ours=True) from None
        try:
            self._asked = list(resources)
            await self._take(lines, resources)
            if not self.lines:
                raise SessionFailed(
                    "resource", f"{self.server.name} gives none of {_list(resources)}"
                )
        except BaseException:
            self._end("not set up")
            raise
        self._watching = asyncio.ensure_future(self._watch(self._call))
        if beside is None or not self.server.share:
            await self._claim()

    async def add(self, resource: Resource) -> None:
        """Add a resource to the session by a re-INVITE, if it has it not. SessionFailed."""
        async with self._adding:
            if resource not in self.lines:
                await self._add(resource)

    def close(self, text: str = "") -> None:
        """End it: BYE, and its channels given up."""
        self._end(text or "closed by us")

    # Within

    async def _add(self, resource: Resource) -> None:
        """As `add`. One that was asked for before in vain has a line already."""
        if self.lost:
            raise SessionFailed("lost", self.lost)
        if resource in self.refused:
            raise SessionFailed("resource", f"{self.server.name} gives no {resource}")
        new = resource not in self._asked
        if new:
            self._asked.append(resource)
        lines = [self._line_again(known, known is resource) for known in self._asked]
        try:
            async with asyncio.timeout(self._around.limits.invite_s):
                await self.call.offer_applications(lines)
        except HoldRefused as error:
            if new:
                self._asked.remove(resource)  # the session is as it was (RFC 3261, 14.1)
            raise SessionFailed("refused", f"{self.server.name}: {error}") from None
        except TimeoutError:
            raise SessionFailed(
                "deadline", f"{self.server.name}: no answer to a re-INVITE"
            ) from None
        except (CallEnded, RuntimeError) as error:
            raise SessionFailed("lost", str(error)) from None
        slot = self._asked.index(resource)
        await self._take([lines[slot]], [resource], slot)
        if resource in self.refused:
            raise SessionFailed("resource", f"{self.server.name} gives no {resource}")

    def _line_again(self, resource: Resource, wanted: bool) -> ApplicationLine:
        """The line of a resource in a later offer; ``wanted``: its channel is to be opened."""
        fresh = wanted and not self.server.share
        port = 0 if resource in self.refused else DISCARD_PORT
        return self._line(resource, "new" if fresh else "existing", port)

    async def _claim(self) -> None:
        """Use every channel once: what nobody uses, a server may take for that of a client which
        has died, and so a connection without a channel. SessionFailed: it is lost meanwhile."""
        await asyncio.gather(*[line.claim() for line in self.lines.values()])
        if self.lost:
            raise SessionFailed("lost", self.lost)

    def _offer(self, resources: Sequence[Resource]) -> list[ApplicationLine]:
        """The first channel asks for a new connection, unless there is one to the server, and the
        others for the same (RFC 6787, 4.2)."""
        known = self._around.control.get(self.server.uri)
        sharing = self.server.share
        existing = sharing and known is not None and self._around.connections.existing(known)
        return [
            self._line(resource, "existing" if existing or (sharing and index) else "new")
            for index, resource in enumerate(resources)
        ]

    def _line(
        self, resource: Resource, connection: str, port: int = DISCARD_PORT
    ) -> ApplicationLine:
        attributes: tuple[tuple[str, str | None], ...] = (
            ("setup", "active"),
            ("connection", connection),
            ("resource", str(resource)),
            ("cmid", AUDIO_MID),
        )
        return ApplicationLine(port, PROTOCOLS[self.server.transport], attributes)

    async def _take(
        self, offered: Sequence[ApplicationLine], resources: Sequence[Resource], skip: int = 0
    ) -> None:
        """Open what the answer to these lines gives. SessionFailed: it cannot be used."""
        answered = self.call.application_lines[skip:]
        if len(answered) < len(resources):
            raise SessionFailed("protocol", f"{self.server.name} answers without control channels")
        for resource, line in zip(resources, answered, strict=False):
            if line.port == 0:
                self.refused.add(resource)
                continue
            channel = self._channel(resource, line)
            try:
                await self._attach(resource, channel, line)
            except ConnectFailed as error:
                raise SessionFailed("unreachable", f"{self.server.name}: {error}") from None

    def _channel(self, resource: Resource, line: ApplicationLine) -> ChannelId:
        channel = ChannelId.parse(line.value("channel") or "")
        if channel is None or not fits(resource, channel):
            text = f"{self.server.name} answers {resource} with channel {line.value('channel')!r}"
            raise SessionFailed("protocol", text[:200])
        if line.protocol.lower() != PROTOCOLS[self.server.transport].lower():
            raise SessionFailed("protocol", f"{self.server.name} answers with {line.protocol[:40]}")
        return channel

    async def _attach(self, resource: Resource, channel: ChannelId, line: ApplicationLine) -> None:
        around, server = self._around, self.server
        host = line.host or self.call.peer[0]
        address = ControlAddress(host, line.port, server.transport == "tls", server.host)
        connection = await around.connections.get(
            address, fresh=line.value("connection") == "new", shared=server.share
        )
        around.control[server.uri] = address
        made = Line(
            connection, channel, self._ids, around.odd, response_ms=around.limits.response_ms
        )
        made.answers = around.answers
        made.on_lost_channel = self._lose
        self.lines[resource] = made

    async def _watch(self, call: DialledCall) -> None:
        """The server may end the session at any time."""
        cause = await call.wait_ended()
        self._lose(f"{self.server.name} has ended the session: {cause.status} {cause.reason}")

    def _lose(self, text: str) -> None:
        first = not self.lost
        self._end(text)
        if first and self.on_lost is not None:
            self.on_lost(self)

    def _end(self, text: str) -> None:
        if self.lost:
            return
        self.lost = text
        if self._watching is not None and self._watching is not asyncio.current_task():
            self._watching.cancel()
        for line in self.lines.values():
            line.close(text)
        if self._call is not None:
            self._call.abandon()


def _failure_of(error: DialFailed) -> SessionFailed:
    """What a refused or unanswered INVITE means (RFC 6787, 4.1; RFC 3261, 21)."""
    kind = "unreachable" if error.outcome in _UNREACHABLE else "refused"
    return SessionFailed(kind, str(error), retry_after_s=error.retry_after_s)


def _list(resources: Sequence[Resource]) -> str:
    return ", ".join(str(resource) for resource in resources)

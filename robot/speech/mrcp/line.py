"""A control channel at work: its requests over a connection, in the loop's time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from .channel import Asked, Channel, Oddity, Outcome, RequestUser
from .connection import ControlConnection
from .message import ChannelId, Event, Response
from .resources import Recognizer, Recorder, Synthesizer
from .taken import Taken
from .words import RECOGNIZERS, SYNTHESIZERS, Header, Method, RequestState, Resource

Ask = Callable[[RequestUser, int], Asked]
"""Asks something of a resource, as ``lambda user, now_ms: synthesizer.pause(user, now_ms)``."""


class Running:
    """A request that was sent, for who waits for it. ``taken`` is done when the server has taken
    it, and ``ended`` when it is over; ``taken`` then as well."""

    __slots__ = ("_began_s", "_line", "_on_event", "asked", "ended", "taken")

    def __init__(self, line: Line, on_event: Callable[[Event], None] | None) -> None:
        loop = asyncio.get_running_loop()
        self._line = line
        self._on_event = on_event
        self._began_s = loop.time()
        self.taken: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Outcome] = loop.create_future()
        self.asked: Asked | None = None

    def on_taken(self, asked: Asked) -> None:
        if not self.taken.done():
            self.taken.set_result(None)
            self._line.note(asked.method, self._began_s)

    def on_event(self, asked: Asked, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def on_ended(self, asked: Asked, outcome: Outcome) -> None:
        self.on_taken(asked)
        self.ended.set_result(outcome)

    @property
    def open(self) -> bool:
        """True until it is over, whoever still waits for it."""
        return self.asked is not None and self.asked.state is not RequestState.COMPLETE

    @property
    def ok(self) -> bool:
        """True once it has ended as it should."""
        return self.ended.done() and self.ended.result().ok

    async def outcome(self) -> Outcome:
        """Wait until it is over. Cancelling that leaves the request as it is."""
        await asyncio.wait([self.ended])
        return self.ended.result()


class Line:
    """One control channel of a session. ``response_ms``: the deadline of each response."""

    def __init__(
        self,
        connection: ControlConnection,
        id: ChannelId,
        ids: Iterator[int],
        odd: Counter[Oddity],
        *,
        response_ms: int,
    ) -> None:
        """ConnectFailed: the connection is gone."""
        self.connection = connection
        self.channel = Channel(id, connection.send, ids, response_ms=response_ms, odd=odd)
        self.lost = ""
        self.on_lost_channel: Callable[[str], None] | None = None
        self.answers: dict[Method, Taken] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        connection.attach(id, self)

    @property
    def synthesizer(self) -> Synthesizer:
        """What the channel leads to, if it is one."""
        return Synthesizer(self.channel)

    @property
    def recognizer(self) -> Recognizer:
        """What the channel leads to, if it is one."""
        return Recognizer(self.channel)

    @property
    def recorder(self) -> Recorder:
        """What the channel leads to, if it is one."""
        return Recorder(self.channel)

    def start(self, ask: Ask, on_event: Callable[[Event], None] | None = None) -> Running:
        """Send a request. TooManyRequests; ValueError: it cannot be sent."""
        running = Running(self, on_event)
        running.asked = ask(running, self._now_ms())
        self._arm()
        return running

    async def ask(self, ask: Ask) -> Outcome:
        """Send a request, and wait until it is over; every request has its deadline."""
        return await self.start(ask).outcome()

    async def claim(self) -> None:
        """Use the channel, by a question that changes nothing; any answer will do."""
        tag = (Header.LOGGING_TAG,)
        await self.ask(lambda user, now_ms: self.synthesizer.get_params(user, now_ms, tag))

    def extend(self, running: Running, within_ms: int | None) -> None:
        """Give a request another time for its completion, from now on."""
        if running.asked is not None and running.open:
            self.channel.extend(running.asked, within_ms, self._now_ms())
            self._arm()

    def close(self, text: str) -> None:
        """The session is over."""
        self.connection.detach(self.channel.id)
        self._end(text)

    def note(self, method: Method, began_s: float) -> None:
        """A request was answered that was sent then."""
        self.answers.setdefault(method, Taken()).add(self._loop.time() - began_s)

    # What the connection tells

    def on_message(self, message: Response | Event) -> None:
        self.channel.receive(message, self._now_ms())
        self._arm()

    def on_lost(self, text: str) -> None:
        self._end(text)
        if self.on_lost_channel is not None:
            self.on_lost_channel(text)

    # Within

    def _end(self, text: str) -> None:
        self.lost = self.lost or text
        self.channel.lose(text)
        self._arm()

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1_000)

    def _arm(self) -> None:
        """Wake up when the next request is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self.channel.due_ms
        if due_ms is not None:
            self._timer = self._loop.call_at(due_ms / 1_000, self._expire)

    def _expire(self) -> None:
        self._timer = None
        # The loop may wake a little early: what it woke up for is due all the same.
        self.channel.expire(max(self._now_ms(), self.channel.due_ms or 0))
        self._arm()


def fits(resource: Resource, id: ChannelId) -> bool:
    """True if the channel leads to what was asked for: the plain kinds may be answered by the full
    ones (RFC 6787, 3.1)."""
    for kinds in (SYNTHESIZERS, RECOGNIZERS):
        if resource in kinds:
            return id.resource in kinds
    return id.resource == resource

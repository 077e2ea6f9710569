"""A call connected with a peer that hears what the caller says, and speaks to him."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

import structlog

from ....media.call import Call, CallEnded
from .mouth import CallMouth
from .outbox import MarkPassed
from .playout import REFILL_MS, Playout
from .tcp import AudioSocketWire
from .together import first_of
from .totals import CANCELLED, StreamTotals
from .twilio import Answer, Clear, Incoming, Mark, Media
from .uplink import BLOCK_MS, Uplink
from .wire import Address, Opening, PeerBargeIn, StreamFailed, Wire, check_opening, read_address

log = structlog.get_logger(__name__)

SILENCE_CHECK_S = 0.5

BUFFER_MS = 180_000
"""Sound of a peer that may wait; what is more is discarded."""


class StreamEnd(StrEnum):
    """Who, or what, ended a stream."""

    PEER = "peer"
    CALLER = "caller"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What went over a stream. Times in milliseconds of sound; ``dropped_ms`` was not read by the
    peer in time, ``discarded_ms`` was more than there is room for, ``cleared_ms`` was cleared
    before it was begun. ``marks_refused`` were more than may wait. ``rejected``: messages by the
    reason for which they were not taken."""

    heard_ms: int = 0
    dropped_ms: int = 0
    spoken_ms: int = 0
    discarded_ms: int = 0
    cleared_ms: int = 0
    clears: int = 0
    barge_ins: int = 0
    marks: int = 0
    marks_cleared: int = 0
    marks_refused: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Streamed:
    """How a stream went. ``seconds`` count from its start."""

    ended_by: StreamEnd
    seconds: float
    figures: StreamFigures


class Session:
    """One stream of one call."""

    def __init__(
        self,
        call: Call,
        wire: Wire,
        *,
        barge_in: PeerBargeIn = "none",
        max_silence_ms: int | None = None,
        answer: Callable[[Call], Awaitable[None]] | None = None,
    ) -> None:
        self._call = call
        self._wire = wire
        self._answer_call = answer
        self._barge_in = barge_in
        self._max_silence_ms = max_silence_ms
        self._loop = asyncio.get_running_loop()
        self._uplink = Uplink(call, wire, self._on_speech)
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        self._end_mark: int | None = None
        self._played_out = asyncio.Event()
        self._silenced = asyncio.Event()
        self._barge_ins = 0
        self._mouth = CallMouth(wire.rate_hz, encoded=wire.encoded, on_sent=self._on_sent)
        self._bytes_per_s = (1 if wire.encoded else 2) * wire.rate_hz
        room = BUFFER_MS // 1000 * self._bytes_per_s
        bytes_per_ms = self._bytes_per_s // 1000
        self._playout = Playout(self._mouth, bytes_per_ms=bytes_per_ms, room=room)

    async def run(self, max_ms: int | None) -> Streamed:
        """Connect, and go on until one side ends it, or ``max_ms`` are over."""
        began_s = self._loop.time()
        politely = True
        try:
            async with asyncio.timeout(max_ms / 1000 if max_ms is not None else None):
                ended_by = await first_of(self._left(), self._stream())
        except StreamFailed:
            politely = False
            raise
        except TimeoutError:
            ended_by = StreamEnd.LIMIT
        except CallEnded:
            ended_by = StreamEnd.CALLER
        finally:
            self._stop_playing()
            await self._wire.close(politely=politely)
        seconds = round(self._loop.time() - began_s, 3)
        return Streamed(ended_by, seconds, self.figures)

    @property
    def figures(self) -> StreamFigures:
        """What went over it up to now."""
        playout = self._playout.figures
        return StreamFigures(
            heard_ms=self._uplink.blocks * BLOCK_MS,
            dropped_ms=self._uplink.dropped_blocks * BLOCK_MS,
            spoken_ms=self._ms(playout.taken),
            discarded_ms=self._ms(playout.discarded),
            cleared_ms=self._ms(playout.cleared),
            clears=playout.clears - self._barge_ins,
            barge_ins=self._barge_ins,
            marks=playout.marks,
            marks_cleared=playout.marks_cleared,
            marks_refused=playout.marks_refused,
            rejected=dict(self._wire.rejections.counts),
        )

    def _ms(self, sound_bytes: int) -> int:
        return sound_bytes * 1000 // self._bytes_per_s

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    # What goes on at the same time

    async def _left(self) -> StreamEnd:
        await self._call.wait_ended()
        return StreamEnd.CALLER

    async def _stream(self) -> StreamEnd:
        await self._wire.open()
        if self._answer_call is not None:
            await self._answer_call(self._call)
        await self._mouth.open(self._call)
        self._call.forget_digits()
        uplink = self._uplink
        works = [
            self._receive(),
            self._speak(),
            uplink.hear(),
            uplink.send(),
            uplink.type(),
            uplink.check(),
        ]
        if self._max_silence_ms is not None:
            works.append(self._mind(self._max_silence_ms))
        ended_by = await first_of(*works)
        if ended_by is StreamEnd.PEER:
            # What it has said before it left is said to the end.
            ended_by = await first_of(self._play_out(), self._speak(), uplink.hear())
        return ended_by

    async def _receive(self) -> StreamEnd:
        """Take what the peer sends. A peer that sends too fast waits, and so does its clear."""
        while True:
            try:
                found = await self._wire.receive()
            except EOFError:
                return StreamEnd.PEER
            for incoming in found:
                self._take(incoming)

    async def _speak(self) -> StreamEnd:
        """See that the peer can be heard."""
        await self._silenced.wait()
        raise StreamFailed("lost", "what plays to the caller was stopped")

    async def _mind(self, max_silence_ms: int) -> StreamEnd:
        """See that there is no silence for too long."""
        heard_ms = self._now_ms()
        while True:
            await asyncio.sleep(SILENCE_CHECK_S)
            now_ms = self._now_ms()
            if self._call.speaking or not self._playout.idle:
                heard_ms = now_ms
            elif now_ms - heard_ms >= max_silence_ms:
                text = f"nobody has said anything for {max_silence_ms} ms"
                raise StreamFailed("stalled", text)

    async def _play_out(self) -> StreamEnd:
        self._played_out.clear()  # a clear of before was about other sound
        self._end_mark = self._playout.end()
        self._pump()
        await self._played_out.wait()
        return StreamEnd.PEER

    # What they do

    def _take(self, incoming: Incoming) -> None:
        match incoming:
            case Media():
                self._playout.put(incoming.sound)
                if not self._full:
                    self._pump()
            case Mark():
                self._playout.mark(incoming.name)
                self._pump()
            case Clear():
                self._clear()
            case Answer():
                self._wire.rejections.note("unexpected_answer")

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._mouth.over:
            self._silenced.set()
            return
        delay_ms = self._playout.advance(self._now_ms())
        self._full = delay_ms == REFILL_MS
        if delay_ms is not None:
            self._timer = self._loop.call_later(delay_ms / 1000, self._pump)

    def _on_sent(self, number: int) -> None:
        for name in self._playout.sent(number):
            self._uplink.put(MarkPassed(name))
        if self._end_mark is not None and number >= self._end_mark:
            self._played_out.set()

    def _on_speech(self) -> None:
        if self._barge_in == "speech":
            self._barge_ins += 1
            self._clear()

    def _clear(self) -> None:
        self._full = False
        for name in self._playout.clear():
            self._uplink.put(MarkPassed(name))
        self._played_out.set()

    def _stop_playing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._mouth.close()


async def stream(
    call: Call,
    url: str,
    *,
    parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    max_ms: int | None = None,
    connect_ms: int = 5_000,
    max_silence_ms: int | None = None,
    barge_in: PeerBargeIn = "none",
    answer: Callable[[Call], Awaitable[None]] | None = None,
    totals: StreamTotals | None = None,
) -> Streamed:
    """Connect a call with a peer: ``ws://`` and ``wss://`` for one that speaks
    Twilio Media Streams, ``audiosocket+tcp://HOST:PORT`` for an AudioSocket server. Returns when
    the peer or the caller has ended it, or after ``max_ms``. The call itself goes on, unless the
    caller has hung up. Cancelling it ends the stream.

    ``parameters`` reach the peer as ``customParameters``; AudioSocket has only ``uuid``. ``tls``
    verifies the peer of a ``wss://``, by the system's authorities if it is None. With ``barge_in``
    ``speech`` a caller who speaks ends what the peer has sent, as a ``clear`` of the peer would.
    ``max_silence_ms``: if neither side says anything for so long, the stream fails. ``answer`` is
    called once the peer is there, and answers a call that was not; without it, the call has to be.
    ``totals``: what the stream is added to. :class:`StreamFailed`: it could not be had, or broke.
    """
    address = read_address(url)
    opening = Opening(call.id, parameters or {}, headers or {}, tls, connect_ms)
    session = Session(
        call,
        wire_to(address, opening),
        barge_in=barge_in,
        max_silence_ms=max_silence_ms,
        answer=answer,
    )
    note = log.bind(call=call.id, peer=address.shown)
    note.info("stream begins")
    totals = totals or StreamTotals()
    totals.up += 1
    end = CANCELLED
    try:
        streamed = await session.run(max_ms)
        end = streamed.ended_by.value
    except StreamFailed as error:
        end = error.kind
        note.warning("stream failed", kind=error.kind, cause=str(error), **_told(session.figures))
        raise
    finally:
        totals.up -= 1
        totals.note(end, session.figures)
    note.info("stream over", ended_by=end, seconds=streamed.seconds, **_told(streamed.figures))
    return streamed


def wire_to(address: Address, opening: Opening) -> Wire:
    """What leads to a peer, not open yet. StreamFailed: it cannot begin like that."""
    check_opening(opening)
    if address.scheme == "audiosocket+tcp":
        return AudioSocketWire(address, opening)
    # A slow import, which nobody needs who streams nothing.
    from .websocket import WebSocketWire  # noqa: PLC0415

    return WebSocketWire(address, opening)


def _told(figures: StreamFigures) -> dict[str, object]:
    """Figures for the log: those that are not nought."""
    return {key: value for key, value in asdict(figures).items() if value}

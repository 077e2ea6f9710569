"""A call as a handler sees it: everything that it can do with one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import structlog

from ._core import LiveSound, dial_tones
from .codec import PCMU, Codec, Samples
from .connection import CallEnded, Connection, HoldChange, HoldRefused, quotable
from .events import BargeIn, PlayEnded, PlayOutcome
from .keypad import Gathered, check_digits, check_entry
from .leg import Leg
from .listening import MAX_BLOCK_MS, MIN_BLOCK_MS, listen, listen_mulaw
from .live import (
    LIVE_ROOM_MS,
    MAX_MARKS,
    MAX_OUT_ROOM_MS,
    OUT_ROOM_MS,
    Converter,
    Feed,
    LiveOut,
    Pcm,
    checked_rate,
)
from .one_way import OneWay
from .position import Position
from .prompt import NOTHING, Playable
from .quality import Quality
from .recording import Recording
from .sdp import ApplicationLine, Direction
from .session import MediaSession
from .sip.adoption import snapshot_of
from .sip.events import EndCause, EndedBy
from .sip.session import SipCall
from .snapshot import State
from .sound import StrPath

if TYPE_CHECKING:
    from .engine import Engine
    from .transfer import Means, OnProgress, Transferred

log = structlog.get_logger(__name__)

BargeInName = Literal["none", "dtmf", "speech", "both"]
SoundEncoding = Literal["pcm", "mulaw"]

FROM_ROOM_MS = 8_000
"""What another call has said and this one has not played yet: behind a prompt it adds up."""
BEGIN_S = 0.2
"""How long to wait for a media thread to say that it listens; it does within some milliseconds."""
FROM_LEAD_MS = 10
"""So much is there more than a packet before the first one leaves: then a media thread that is late
by less, and serves the two calls in another order than else, leaves no gap."""

MAX_DIGITS = 32
MIN_DIGIT_MS = 40
"""Shorter ones are not heard everywhere (ITU-T Q.24)."""
MAX_DIGIT_MS = 10_000

TAIL_S = 0.2
"""What a peer's jitter buffer may still hold when our last packet has left; a BYE would cut it."""

SNAPSHOT_VERSION = 1
"""Of what :meth:`Call.snapshot` writes down."""


@dataclass(frozen=True, slots=True)
class Played:
    """How playing went. ``played_ms`` counts sound handed to the network, without silence."""

    outcome: PlayOutcome
    played_ms: float


class Call(Connection):
    """One call, that came in or was dialled. Its methods raise :class:`CallEnded` once it is over.

    ``id`` is unique within the engine and goes through all log lines of the call; ``call_id`` is
    SIP's Call-ID; ``ended`` says why the call ended, None while it lasts; ``speaking`` is True
    while the caller speaks; ``trunk`` names the trunk that it came or went by, None without one.
    """

    __slots__ = (
        "_bridged_to",
        "_ordering",
        "_position",
        "_queueing",
        "_sound_from",
        "_sound_to",
        "_sound_until_s",
        "_tail",
    )

    def __init__(self, engine: Engine, sip: SipCall, media: MediaSession | None = None) -> None:
        super().__init__(engine, sip, media)
        self._bridged_to: Call | None = None
        self._sound_to: OneWay | None = None
        self._sound_from: OneWay | None = None
        self._queueing = 0
        self._ordering: asyncio.Lock | None = None
        self._sound_until_s = 0.0
        self._tail = NOTHING
        self._position: Position | None = None

    def ring(self, *, early_media: bool = False, reliable: bool | None = None) -> None:
        """Tell the caller that it rings (180), or with ``early_media`` (183) what it will hear
        before the answer: from then on :meth:`play` is heard.

        ``reliable``: repeated until the caller confirms it (RFC 3262), where it can; by default
        early media is, and everything that the caller wants to be. Early media that cannot be
        agreed on refuses the call, as :meth:`answer` does. RuntimeError: a caller that leaves the
        offer to us takes none before the answer.
        """
        self._check()
        if early_media:
            self._ring_early(reliable)
        else:
            self._sip.ring(reliable=reliable)
        if self._history:
            self._history.ringing_s = time.time()

    async def answer(self, *, applications: Sequence[ApplicationLine] = ()) -> None:
        """Answer the call; returns when the caller has confirmed (ACK) and sound can flow.

        ``applications``: what answers the caller's :attr:`application_lines`, one for each, in
        their order; port 0 refuses one, and so does leaving it out. To those of a re-INVITE the
        function in :attr:`on_applications` gives the answer; without it they stay as they are.

        An offer that cannot be met is refused with the status that fits (488 for codecs, 503 if
        there is no RTP port), and :class:`CallEnded` raised.
        """
        self._check()
        if applications and self._description is not None:
            raise RuntimeError("the session was described already, with the early media")
        if self._media is None or self._description is not None:
            self._accept(applications)
        while not self._confirmed:
            await self._change()
            if self.ended is not None:
                raise CallEnded(self.ended)

    def reject(self, status: int = 603, reason: str | None = None) -> None:
        """Refuse the call with a SIP status of 300 to 699."""
        self._check()
        self._sip.reject(status, reason)

    async def play(
        self,
        *prompts: StrPath,
        loop: bool = False,
        replace: bool = False,
        barge_in: BargeInName = "none",
    ) -> Played:
        """Play sound files one after the other, without a gap; returns when the last packet left.

        Playing starts behind what is queued already, or at once with ``replace``. Cancelling it
        stops the sound. ``barge_in``: what the caller may do to end it, ``dtmf``, ``speech`` or
        ``both``; the outcome is ``barged-in`` then. Raises PromptError for a file that cannot be
        played, ValueError if there is nothing to loop, RuntimeError if the call was not answered.
        """
        self._check()
        leg, codec = self._open_leg()
        ends = _barge_in_of(barge_in)
        library, packet_ms = self._engine.prompts, self._packet_ms
        # Whose files are there need wait for nobody, where nobody waits.
        held = None if self._queueing else library.held(prompts, codec, packet_ms)
        if held is not None:
            playable = held
            playing = leg.play(playable.natives, loop=loop, replace=replace, barge_in=ends)
        else:
            async with self._in_order():
                playable = await library.arrange(
                    prompts, codec, packet_ms=packet_ms, loop=loop, tail=self._tail
                )
                self._check()
                self._tail = playable.tail
                playing = leg.play(playable.natives, loop=loop, replace=replace, barge_in=ends)
        self._note(leg, playing, prompts, playable)
        try:
            done = await playing
        except asyncio.CancelledError:
            if not leg.closed.done():
                leg.stop_playing()
            raise
        if done.outcome is PlayOutcome.LEG_CLOSED:
            raise CallEnded(await self.wait_ended())
        return self._played(done, playable)

    async def speak(
        self,
        source: AsyncIterable[Pcm],
        *,
        sample_rate_hz: int | None = None,
        barge_in: BargeInName = "none",
    ) -> Played:
        """Play what ``source`` gives while it gives it; returns when the last packet left.

        Blocks may be of any length: mono int16 arrays, or their bytes, at ``sample_rate_hz`` (that
        of the codec, if not given). A source that is fast waits; where a slow one leaves a gap, no
        packets are sent. It plays behind what is queued already. Cancelling it stops the sound, as
        does an error of the source, which is raised here. Otherwise as :meth:`play`.
        """
        self._check()
        leg, codec = self._open_leg()
        ends = _barge_in_of(barge_in)
        rate_hz = checked_rate(sample_rate_hz or codec.sample_rate_hz)
        live = LiveSound((codec.name, codec.clock_rate_hz), self._packet_ms, LIVE_ROOM_MS)
        playable = Playable([], codec, self._packet_ms)
        feed = Feed(live, rate_hz, codec.sample_rate_hz)
        async with self._in_order():
            playing = leg.play_live(live, barge_in=ends)
        self._note(leg, playing, ("(live)",), playable)
        feeding = asyncio.ensure_future(feed.run(source))
        either: list[asyncio.Future[Any]] = [feeding, playing]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                feeding.result()
                live.finish()
            done = await playing
        except BaseException:
            if not leg.closed.done():
                leg.stop_playing()
            raise
        finally:
            live.finish()
            await _cancelled(feeding)
        if done.outcome is PlayOutcome.LEG_CLOSED:
            raise CallEnded(await self.wait_ended())
        return self._played(done, playable)

    async def play_from(
        self, other: Call, until: Awaitable[object], *, barge_in: BargeInName = "none"
    ) -> Played:
        """Play what the peer of ``other`` says from now on, such as a speech synthesizer; returns
        when the last packet left.

        It goes from leg to leg within the C core, through a jitter buffer, and leaves in packets of
        this call's own length and clock; silence before it and pauses in it are not sent. What is
        heard before ``until`` is done belongs to it, and it ends with the end of ``other``, too. An
        error of ``until`` stops the sound, and is raised here; a coroutine is begun when all is
        ready, and cancelled when the sound ends before it. Otherwise as :meth:`play`. Up to 8 s
        wait behind what is queued already. RuntimeError: one of the calls was not answered.
        """
        self._check()
        ends = _barge_in_of(barge_in)
        (leg, codec), (source, source_codec) = self._open_leg(), other.connected()
        name = (codec.name, codec.clock_rate_hz)
        live = LiveSound(name, self._packet_ms, FROM_ROOM_MS, lead_ms=FROM_LEAD_MS)
        playable = Playable([], codec, self._packet_ms)
        async with self._in_order():
            playing = leg.play_live(live, barge_in=ends)
        begun = asyncio.Event()
        tap = source.speak_to(source_codec, live, begun.set)
        self._note(leg, playing, ("(live)",), playable)
        waiting = asyncio.ensure_future(_behind(begun, until))
        either: list[asyncio.Future[Any]] = [waiting, playing, tap.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
            source.end_tap(tap)
            done = await playing
        except BaseException:
            if not leg.closed.done():
                leg.stop_playing()
            raise
        finally:
            source.end_tap(tap)
            await _cancelled(waiting)
        if live.dropped:
            log.warning("sound of another call dropped", call=self.id, samples=live.dropped)
        if done.outcome is PlayOutcome.LEG_CLOSED:
            raise CallEnded(await self.wait_ended())
        return self._played(done, playable)

    async def open_live(
        self,
        *,
        sample_rate_hz: int | None = None,
        encoding: SoundEncoding = "pcm",
        room_ms: int = OUT_ROOM_MS,
    ) -> LiveOut:
        """Sound that is written piece by piece for as long as the call lasts, with marks that tell
        when it has left, and cleared at once if need be: what voice agents stream.

        ``encoding``: ``pcm``, int16 at ``sample_rate_hz`` (that of the codec, if not given), or
        ``mulaw`` at 8,000 Hz, which is sent as it is where that is the codec. Up to ``room_ms``
        (1,000 to 60,000) wait. It plays behind what is queued already.
        """
        self._check()
        leg, codec = self._open_leg()
        if encoding not in get_args(SoundEncoding):
            raise ValueError(f"encoding: {encoding!r}; use {' or '.join(get_args(SoundEncoding))}")
        if not 1_000 <= room_ms <= MAX_OUT_ROOM_MS:
            raise ValueError(f"room_ms: use 1000 to {MAX_OUT_ROOM_MS}")
        mulaw = encoding == "mulaw"
        from_hz = checked_rate(sample_rate_hz or (8_000 if mulaw else codec.sample_rate_hz))
        if mulaw and from_hz != PCMU.sample_rate_hz:
            raise ValueError("sample_rate_hz: mu-law has 8000")
        out = self._live_out(codec, from_hz, mulaw, room_ms)
        async with self._in_order():
            playing = out.begin(leg)
        self._note(leg, playing, ("(live)",), Playable([], codec, self._packet_ms))
        return out

    def _live_out(self, codec: Codec, from_hz: int, mulaw: bool, room_ms: int) -> LiveOut:
        native = mulaw and codec == PCMU
        live = LiveSound(
            (codec.name, codec.clock_rate_hz),
            self._packet_ms,
            room_ms,
            marks=MAX_MARKS,
            encoded=native,
            rounds_up=True,
        )
        converter = None if native else Converter(from_hz, codec.sample_rate_hz, mulaw=mulaw)
        return LiveOut(live, converter, codec.sample_rate_hz)

    def listen(
        self, *, sample_rate_hz: int | None = None, block_ms: int = 20
    ) -> AsyncGenerator[Samples, None]:
        """What the caller says from the first iteration on, until the call ends: mono int16 arrays
        of ``block_ms`` (10 to 1,000) at ``sample_rate_hz`` (that of the codec, if not given).

        The blocks follow each other without a gap, also where the caller sends nothing or packets
        are lost. Up to 2 s wait for a slow listener, what is more is dropped. Several may listen.
        """
        self._check()
        leg, codec = self._open_leg()
        _check_block(block_ms)
        rate_hz = checked_rate(sample_rate_hz or codec.sample_rate_hz)
        return listen(leg, codec, rate_hz, block_ms)

    def listen_mulaw(self, *, block_ms: int = 20) -> AsyncGenerator[bytes, None]:
        """As :meth:`listen`, in blocks of mu-law at 8,000 Hz."""
        self._check()
        leg, codec = self._open_leg()
        _check_block(block_ms)
        return listen_mulaw(leg, codec, block_ms)

    def record(self, path: StrPath, *, stereo: bool = True, rotate_s: float = 0) -> Recording:
        """Record the call from now on to a WAV file, which must not be there yet.

        With ``stereo`` the caller is left and the robot right, aligned in time; else both are in
        one channel. After each ``rotate_s`` of sound it goes on in ``NAME-2.wav`` and so on. It
        ends with :meth:`Recording.stop` or with the call. OSError: the file cannot be created.
        """
        self._check()
        leg, codec = self._open_leg()
        recording = self._engine.recorder.open(path, codec, stereo=stereo, rotate_s=rotate_s)
        recording.begin(leg, codec)
        if self._history:
            self._history.awaited += 1
            recording.on_recorded = self._on_recorded
        return recording

    async def gather(
        self,
        max: int = 1,
        terminators: str = "#",
        *,
        first_ms: int = 5000,
        inter_ms: int = 2000,
    ) -> Gathered:
        """Gather digits: up to a terminator, to ``max`` of them, or until none comes in time.

        Digits that were typed before count. ``first_ms`` is the time for the first, ``inter_ms``
        that between two.
        """
        check_entry(max, terminators, first_ms, inter_ms)
        self._check()
        keypad = self._keypad or self._make_keypad()
        gathering = asyncio.ensure_future(keypad.gather(max, terminators, first_ms, inter_ms))
        ending = asyncio.ensure_future(self.wait_ended())
        try:
            await asyncio.wait([gathering, ending], return_when=asyncio.FIRST_COMPLETED)
            if gathering.done():
                return gathering.result()
            raise CallEnded(ending.result())
        finally:
            gathering.cancel()
            ending.cancel()

    async def bridge(self, other: Call) -> None:
        """Connect the caller of this call with that of ``other``; returns when one of them ends.

        Each hears the other, packet for packet where both have one codec, transcoded otherwise;
        digits pass, and are still gathered. What plays to either stands still meanwhile. Cancelling
        it parts them again. ValueError: the calls are on different shards; RuntimeError: one was
        not answered, or is connected already.
        """
        if other is self:
            raise ValueError("a call cannot be connected with itself")
        (leg, codec), (other_leg, other_codec) = self.connected(), other.connected()
        self.check_unbridged()
        other.check_unbridged()
        endings = [asyncio.ensure_future(call.wait_ended()) for call in (self, other)]
        self._bridged_to, other._bridged_to = other, self
        try:
            leg.relay(other_leg, codec, other_codec)
            other_leg.relay(leg, other_codec, codec)
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._bridged_to = other._bridged_to = None
            for ending in endings:
                ending.cancel()
            leg.end_relay()
            other_leg.end_relay()

    def send_sound_to(self, other: Call) -> OneWay:
        """Send what the caller of this call says to ``other``, such as a speech recognizer, from
        now on until :meth:`OneWay.stop` or the end of either call.

        Packets go from leg to leg within the C core, transcoded only where the codecs differ;
        digits pass, and are still gathered. What plays to this caller goes on; to ``other`` nothing
        else is sent meanwhile. ValueError: the calls are on different shards (`Engine.dial` has
        ``beside``); RuntimeError: one was not answered, or is connected already.
        """
        if other is self:
            raise ValueError("a call cannot be connected with itself")
        self.check_unbridged()
        other.check_unbridged()
        self._sound_to = other._sound_from = OneWay(self, other)
        return self._sound_to

    async def transfer(
        self,
        target: str | Call,
        *,
        how: Means = "auto",
        timeout_s: float = 60.0,
        caller: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Transferred:
        """Connect the peer with ``target``: a URI, or who we talk with in another call of ours.

        With ``refer`` the peer is told to call (RFC 3515), in an attended transfer in the place of
        our other call (RFC 3891), and ours are ended when it says that it is connected. With
        ``bridge`` we call ``target``, by ``caller`` as in :meth:`Engine.dial`, connect the two, and
        end both calls when one ends. ``auto``: by REFER, and by a bridge if the peer knows none.
        ``on_progress`` is called with each SIP status that is heard. Unless the result is ``ok``,
        this call goes on. RuntimeError: a call was not answered, or is being transferred already.
        """
        return await self._engine.transfers.transfer(
            self, target, how=how, timeout_s=timeout_s, caller=caller, on_progress=on_progress
        )

    @property
    def typed(self) -> str:
        """The digits that wait to be gathered."""
        return self._keypad.typed if self._keypad else ""

    def next_digit(self, timeout_s: float) -> Coroutine[Any, Any, str | None]:
        """The next digit, one that was typed before or the first to come; None after
        ``timeout_s``. It does not end with the call."""
        return (self._keypad or self._make_keypad()).next(timeout_s)

    def watch_digits(self, on_typed: Callable[[], None] | None) -> None:
        """Have ``on_typed`` called when a digit has come, which waits to be gathered as others do;
        None ends that. It is quick, and never raises."""
        (self._keypad or self._make_keypad()).on_typed = on_typed

    def forget_digits(self) -> None:
        """Forget what the caller has typed ahead."""
        if self._keypad:
            self._keypad.clear()

    async def send_digits(self, digits: str, *, on_ms: int = 100, off_ms: int = 100) -> None:
        """Press digits (0 to 9, ``*``, ``#``, A to D): as telephone events (RFC 4733) where they
        are agreed on, else as tones. Up to 32 at once; each lasts ``on_ms``, at least 40.
        """
        check_digits(digits)
        if not 1 <= len(digits) <= MAX_DIGITS:
            raise ValueError(f"{len(digits)} digits; send 1 to {MAX_DIGITS} at once")
        if not (MIN_DIGIT_MS <= on_ms <= MAX_DIGIT_MS and MIN_DIGIT_MS <= off_ms <= MAX_DIGIT_MS):
            raise ValueError(f"on_ms and off_ms: use {MIN_DIGIT_MS} to {MAX_DIGIT_MS}")
        self._check()
        leg, codec = self._open_leg()
        if self._media and self._media.sends_events:
            leg.send_digits(digits, on_ms, off_ms)
            return
        tones = dial_tones(digits, on_ms, off_ms, codec.sample_rate_hz)
        async with self._in_order():
            native = await self._engine.prompts.encode(tones, codec, self._packet_ms)
            self._check()
            playing = leg.play([native], replace=False)
        await playing

    def stop_playing(self) -> None:
        """Stop what plays and forget what is queued; their ``play`` returns ``stopped``."""
        if self._media and self._media.leg:
            self._media.leg.stop_playing()

    def pause(self) -> None:
        """Hold what plays at its place."""
        if self._media and self._media.leg:
            self._media.leg.pause()

    def resume(self) -> None:
        """Go on from where :meth:`pause` held."""
        if self._media and self._media.leg:
            self._media.leg.resume()

    async def hold(self, music: StrPath | None = None) -> None:
        """Put the peer on hold: it hears ``music``, round and round, or nothing, and is not heard.

        What plays stands still until :meth:`unhold`. Called once more, it changes the music. Raises
        HoldRefused, and PromptError for music that cannot be played; then all is as it was.
        """
        self._check()
        _, codec = self._open_leg()
        if music is None:
            await self._offer_direction(Direction.INACTIVE, [])
            return
        playable = await self._engine.prompts.arrange(
            (music,), codec, packet_ms=self._packet_ms, loop=True
        )
        self._check()
        await self._offer_direction(Direction.SENDONLY, playable.natives)

    async def unhold(self) -> None:
        """Take the peer up again: what played goes on from its place. Raises HoldRefused."""
        self._check()
        self._open_leg()
        await self._offer_direction(Direction.SENDRECV, [])

    async def offer_applications(self, lines: Sequence[ApplicationLine]) -> None:
        """Change our application lines, by a re-INVITE; :attr:`application_lines` has the answer
        then. Those that were there come first, in their order: as they were, or with port 0 to
        turn them off. Raises HoldRefused."""
        self._check()
        self._open_leg()
        assert self._media is not None
        await self._unchanging()
        change = HoldChange(self._media.direction, [], tuple(lines))
        await self._renegotiate(self._media, change)

    async def wait_held(self) -> None:
        """Wait until the peer puts us on hold."""
        self._check()
        while not self.held:
            await self._change()
            self._check()

    async def wait_resumed(self) -> None:
        """Wait until we are not on hold any more; returns at once if we are not."""
        self._check()
        while self.held:
            await self._change()
            self._check()

    async def hangup(self, text: str = "") -> EndCause:
        """End the call, if it is not over: BYE, or 480 before the answer. Returns the cause.

        After a prompt it waits until the peer, too, has played it to its end. ``text`` goes out in
        a Reason header (RFC 3326).
        """
        rest_s = self._sound_until_s - asyncio.get_running_loop().time()
        if rest_s > 0 and self.ended is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self.wait_ended()
        if self.ended is None:
            self.abandon(text)
        return self.ended or await self.wait_ended()

    def abandon(self, text: str = "") -> None:
        """As :meth:`hangup`, at once, without waiting for the end."""
        if self.ended is None:
            headers = [("Reason", f'SIP;cause=200;text="{quotable(text)}"')] if text else []
            self._sip.hangup(headers)

    def snapshot(self) -> State:
        """The call as plain data for JSON, with which another engine can go on: `Engine.adopt`.

        ``playing`` lists what plays and is queued, with ``played_ms`` of each; ``sip`` and
        ``media`` are the engine's own. No keys are in it. RuntimeError: the call is not confirmed.
        """
        self._check()
        leg, _ = self._open_leg()
        assert self._media is not None
        return {
            "version": SNAPSHOT_VERSION,
            "id": self.id,
            "sip": snapshot_of(self._sip),
            "media": self._media.snapshot(),
            "playing": self._position.snapshot(leg) if self._position else [],
        }

    # What transfers ask

    def check_unbridged(self) -> None:
        """RuntimeError: the call is connected with another one."""
        if self._bridged_to is not None:
            raise RuntimeError(
                f"call {self.id} is connected with call {self._bridged_to.id} already"
            )
        for way in (self._sound_to, self._sound_from):
            if way is not None and way.active:
                raise RuntimeError(f"{way}; stop that first")

    # Within

    @property
    def _packet_ms(self) -> int:
        """How long the packets of the open leg are."""
        assert self._media is not None
        return self._media.ptime_ms

    @contextlib.asynccontextmanager
    async def _in_order(self) -> AsyncIterator[None]:
        """However long their files take to load, plays queue in the order in which they were
        called."""
        self._queueing += 1
        try:
            self._ordering = self._ordering or asyncio.Lock()
            async with self._ordering:
                yield
        finally:
            self._queueing -= 1

    def _played(self, done: PlayEnded, playable: Playable) -> Played:
        """What playing came to, for whoever waited for it."""
        self._sound_until_s = asyncio.get_running_loop().time() + TAIL_S
        return Played(done.outcome, playable.played_ms(done))

    def _note(
        self,
        leg: Leg,
        playing: asyncio.Future[PlayEnded],
        files: tuple[StrPath, ...],
        playable: Playable,
    ) -> None:
        if self._position is None:
            self._position = Position()
        self._position.add(leg, files, playable, playing)
        if self._history:
            playing.add_done_callback(partial(self._note_played, files, playable))

    def _note_played(
        self, files: tuple[StrPath, ...], playable: Playable, playing: asyncio.Future[PlayEnded]
    ) -> None:
        if self._history and not playing.cancelled():
            done = playing.result()
            self._history.played(files, done.outcome, playable.played_ms(done))


_BARGE_IN: dict[str, BargeIn] = {name: BargeIn[name.upper()] for name in get_args(BargeInName)}


def _barge_in_of(name: BargeInName) -> BargeIn:
    try:
        return _BARGE_IN[name]
    except KeyError:
        names = ", ".join(_BARGE_IN)
        raise ValueError(f"barge_in: {name!r}; use one of {names}") from None


def _check_block(block_ms: int) -> None:
    if not MIN_BLOCK_MS <= block_ms <= MAX_BLOCK_MS:
        raise ValueError(f"block_ms: use {MIN_BLOCK_MS} to {MAX_BLOCK_MS}")


async def _behind(begun: asyncio.Event, until: Awaitable[object]) -> None:
    """Wait for ``until``, which is begun once sound is listened to. A future is its owner's, and is
    not cancelled with this."""
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_S):
                await begun.wait()
    except asyncio.CancelledError:
        if isinstance(until, Coroutine):
            until.close()
        raise
    await (asyncio.shield(until) if isinstance(until, asyncio.Future) else until)


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """End a task; what it may still raise is nobody's."""
    task.cancel()
    await asyncio.wait([task])


__all__ = ["Call", "CallEnded", "EndCause", "EndedBy", "HoldRefused", "Played", "Quality"]

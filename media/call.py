"""A call, as the handler of an engine sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import structlog

from ._core import LiveSound, Prompt, dial_tones
from .codec import Codec, Samples
from .events import (
    BargeIn,
    DigitHeard,
    LegClosed,
    LegFigures,
    PlayEnded,
    PlayOutcome,
    SpeechHeard,
)
from .keypad import Gathered, Keypad, check_digits, check_entry
from .leg import Heard, Leg
from .listening import MAX_BLOCK_MS, MIN_BLOCK_MS, listen
from .live import LIVE_ROOM_MS, Feed, Pcm, checked_rate
from .pool import NoRtpPort
from .position import Position
from .prompt import NOTHING, Playable
from .quality import Quality, quality_of
from .record import History
from .recording import Recorded, Recording
from .sdp import Direction, NotAcceptable, SdpError, SdpReason
from .session import MediaSession
from .sip.adoption import snapshot_of
from .sip.events import EndCause, EndedBy, Refuse
from .sip.message import REASON_PHRASES, Headers
from .sip.session import SipCall
from .snapshot import State
from .sound import StrPath

if TYPE_CHECKING:
    from .engine import Engine
    from .transfer import Means, OnProgress, Transferred

log = structlog.get_logger(__name__)

BargeInName = Literal["none", "dtmf", "speech", "both"]

MAX_DIGITS = 32
MIN_DIGIT_MS = 40
"""Shorter ones are not heard everywhere (ITU-T Q.24)."""
MAX_DIGIT_MS = 10_000

TAIL_S = 0.2
"""What a peer's jitter buffer may still hold when our last packet has left; a BYE would cut it."""


SNAPSHOT_VERSION = 1
"""Of what :meth:`Call.snapshot` writes down."""


class CallEnded(Exception):
    """The call is over; ``cause`` says who ended it and why."""

    def __init__(self, cause: EndCause) -> None:
        super().__init__(f"the call was ended ({cause.by.value}): {cause.status} {cause.reason}")
        self.cause = cause


class HoldRefused(Exception):
    """The peer has refused to be held, or taken up again, with ``status``; all is as it was."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the peer refused: {status} {REASON_PHRASES.get(status, '')}".rstrip())
        self.status = status


@dataclass(slots=True)
class HoldChange:
    """A re-INVITE of ours that is under way, what it offers, and the music that goes with it."""

    direction: Direction
    music: list[Prompt]
    status: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """How playing went. ``played_ms`` counts sound handed to the network, without silence."""

    outcome: PlayOutcome
    played_ms: float


class Call:
    """One call, that came in or was dialled. Its methods raise :class:`CallEnded` once it is over.

    ``id`` is unique within the engine and goes through all log lines of the call; ``call_id`` is
    SIP's Call-ID; ``ended`` says why the call ended, None while it lasts; ``speaking`` is True
    while the caller speaks.
    """

    __slots__ = (
        "_bridged_to",
        "_confirmed",
        "_engine",
        "_history",
        "_hold_change",
        "_keypad",
        "_media",
        "_position",
        "_queueing",
        "_sip",
        "_sound_until_s",
        "_tail",
        "_waiting",
        "call_id",
        "ended",
        "id",
        "speaking",
    )

    def __init__(self, engine: Engine, sip: SipCall, media: MediaSession | None = None) -> None:
        self._engine = engine
        self._sip = sip
        self._media = media
        self._bridged_to: Call | None = None
        self._confirmed = False
        self._queueing = asyncio.Lock()
        self._sound_until_s = 0.0
        self._tail = NOTHING
        self._waiting: list[asyncio.Future[None]] = []
        self._hold_change: HoldChange | None = None
        self._keypad = Keypad()
        self._position = Position()
        self._history = History() if engine.keeps_records else None
        self.speaking = False
        self.ended: EndCause | None = None
        self.id = sip.id
        self.call_id = sip.call_id

    def __repr__(self) -> str:
        return f"<Call {self.id} from {self.from_uri} to {self.to_uri}>"

    @property
    def state(self) -> str:
        """How far the call has come: ``ringing``, ``confirmed``, ``ended`` and so on."""
        return self._sip.state.name.lower()

    @property
    def peer(self) -> tuple[str, int]:
        """Where the call's SIP comes from."""
        return self._sip.flow.remote_host, self._sip.flow.remote_port

    @property
    def outgoing(self) -> bool:
        """True for a call of ours."""
        return self._sip.outgoing

    @property
    def from_uri(self) -> str:
        """Who calls, as the From header says."""
        return self._sip.from_uri

    @property
    def to_uri(self) -> str:
        """Who is called, as the To header says."""
        return self._sip.to_uri

    @property
    def headers(self) -> Headers:
        """The headers of the INVITE."""
        return self._sip.invite.headers

    @property
    def codec(self) -> str | None:
        """Name of the codec agreed on (``PCMU``); None before the answer."""
        codec = self._media.codec if self._media else None
        return codec.name if codec else None

    @property
    def figures(self) -> LegFigures:
        """Packets and bytes of the call's leg up to now."""
        leg = self._media.leg if self._media else None
        return leg.figures() if leg else LegFigures()

    def quality(self) -> Quality:
        """How the call sounds, both ways, up to now; after its end, how it sounded."""
        codec = self.codec
        return quality_of(codec, self.figures) if codec else Quality()

    @property
    def held(self) -> bool:
        """True while the peer holds us: it takes no sound, and what plays stands still."""
        return self._media is not None and self._media.held

    @property
    def holding(self) -> bool:
        """True while we have put the peer on hold."""
        return self._media is not None and self._media.direction is not Direction.SENDRECV

    def ring(self) -> None:
        """Tell the caller that it rings (180)."""
        self._check()
        self._sip.ring()
        if self._history:
            self._history.ringing_s = time.time()

    async def answer(self) -> None:
        """Answer the call; returns when the caller has confirmed (ACK) and sound can flow.

        An offer that cannot be met is refused with the status that fits (488 for codecs, 503 if
        there is no RTP port), and :class:`CallEnded` raised.
        """
        self._check()
        if self._media is None:
            self._accept()
        while not self._confirmed:
            await self._change()
            self._check()

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
        # However long their files take to load, plays queue in the order in which they were called.
        async with self._queueing:
            playable = await self._engine.prompts.arrange(
                prompts, codec, packet_ms=self._packet_ms, loop=loop, tail=self._tail
            )
            self._check()
            self._tail = playable.tail
            playing = leg.play(playable.natives, loop=loop, replace=replace, barge_in=ends)
        self._note(playing, prompts, playable)
        try:
            done = await playing
        except asyncio.CancelledError:
            if not leg.closed.done():
                leg.stop_playing()
            raise
        return await self._played(done, playable)

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
        async with self._queueing:
            playing = leg.play_live(live, barge_in=ends)
        self._note(playing, ("(live)",), playable)
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
        return await self._played(done, playable)

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
        if not MIN_BLOCK_MS <= block_ms <= MAX_BLOCK_MS:
            raise ValueError(f"block_ms: use {MIN_BLOCK_MS} to {MAX_BLOCK_MS}")
        rate_hz = checked_rate(sample_rate_hz or codec.sample_rate_hz)
        return listen(leg, codec, rate_hz, block_ms)

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
        gathering = asyncio.ensure_future(self._keypad.gather(max, terminators, first_ms, inter_ms))
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
        self._check_unbridged()
        other._check_unbridged()
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

    def _check_unbridged(self) -> None:
        if self._bridged_to is not None:
            raise RuntimeError(
                f"call {self.id} is connected with call {self._bridged_to.id} already"
            )

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

    def forget_digits(self) -> None:
        """Forget what the caller has typed ahead."""
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
        async with self._queueing:
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
        self.abandon(text)
        return await self.wait_ended()

    def abandon(self, text: str = "") -> None:
        """As :meth:`hangup`, at once, without waiting for the end."""
        if self.ended is None:
            headers = [("Reason", f'SIP;cause=200;text="{_quotable(text)}"')] if text else []
            self._sip.hangup(headers)

    async def wait_ended(self) -> EndCause:
        """Wait until the call is over, whoever ends it."""
        while self.ended is None:
            await self._change()
        return self.ended

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
            "playing": self._position.snapshot(leg),
        }

    # What the engine and conferences ask and tell

    @property
    def sip(self) -> SipCall:
        """The call as SIP sees it."""
        return self._sip

    def move_to(self, sip: SipCall) -> None:
        """Accept a call, and go on with its peer in the place of ours. SdpError: they do not fit,
        and all is as it was."""
        assert self._media is not None
        body = self._media.meet(sip.remote_sdp)
        if self._hold_change is not None:
            self.on_reinvited(487, None)
        self._sip, self.call_id = sip, sip.call_id
        sip.accept(body)
        self._changed()

    async def adopted(self, media: MediaSession) -> None:
        """Go on with a call of another engine. HoldRefused: the peer refuses the new session."""
        self._media = media
        self._confirmed = True
        if self._history:
            self._history.confirmed_s = time.time()
        await self._renegotiate(media, HoldChange(media.direction, []))

    def on_ack(self, sdp: bytes | None) -> None:
        """Our answer is confirmed; ``sdp`` answers our offer, where we made it."""
        assert self._media is not None
        try:
            if sdp is not None:
                self._media.settle(sdp)
            if self._media.negotiated is None:
                raise SdpError(SdpReason.ANSWER_MISMATCH, "the ACK carried no answer")
            self._connect(self._media)
        except (SdpError, OSError, ValueError) as error:
            self._fail(error)
            return
        self._confirmed = True
        if self._history:
            self._history.confirmed_s = time.time()
        self._changed()

    def take_digit(self, symbol: str) -> None:
        """The caller pressed a digit, however that was heard."""
        self._keypad.take(symbol)
        if self._history:
            self._history.digits_heard += 1

    def on_offer(self, sdp: bytes | None) -> bytes:
        """A re-INVITE: returns our answer, or our offer if it had none. Raises Refuse."""
        assert self._media is not None
        try:
            return self._media.offer() if sdp is None else self._media.answer(sdp)
        except SdpError as error:
            raise Refuse(error.status, text=str(error)) from error
        finally:
            self._changed()

    def on_reinvited(self, status: int, sdp: bytes | None) -> None:
        """Our re-INVITE was answered."""
        change, self._hold_change = self._hold_change, None
        if change is not None:
            change.status = status
            if status < 300:
                self._take_over(change, sdp)
        self._changed()

    def on_ended(self, cause: EndCause) -> None:
        """The call is over."""
        if self._media is not None:
            self._media.close()
        self.ended = cause
        if self._history:
            self._history.ended_s = time.time()
            self._tell_record(self._history)
        self._changed()

    def connected(self) -> tuple[Leg, Codec]:
        """What connects this call with others. RuntimeError: it was not answered."""
        self._check()
        return self._open_leg()

    # Within

    def _connect(self, media: MediaSession) -> None:
        """Open the leg, where it is not open. OSError, ValueError: the system refuses it."""
        if media.leg is not None:
            return
        leg = media.open()
        if self._history:
            self._history.awaited += 1
        leg.closed.add_done_callback(self._on_leg_closed)
        leg.on_heard = self._on_heard

    async def _offer_direction(self, direction: Direction, music: list[Prompt]) -> None:
        assert self._media is not None
        while self._hold_change is not None:
            await self._change()
            self._check()
        if direction is self._media.direction:
            self._play_music(music)
            return
        await self._renegotiate(self._media, HoldChange(direction, music))

    async def _renegotiate(self, media: MediaSession, change: HoldChange) -> None:
        self._sip.reinvite(partial(media.offer, change.direction))
        self._hold_change = change
        while self._hold_change is change:
            await self._change()
            self._check()
        if change.status >= 300:
            raise HoldRefused(change.status)

    def _take_over(self, change: HoldChange, sdp: bytes | None) -> None:
        """The peer has accepted: whether or not somebody still waits for it."""
        assert self._media is not None
        try:
            if sdp is None:
                raise SdpError(SdpReason.ANSWER_MISMATCH, "the 200 carried no answer")
            self._media.settle(sdp)
            self._connect(self._media)
        except (SdpError, OSError, ValueError) as error:
            self._fail(error)
        else:
            self._play_music(change.music)

    def _play_music(self, music: list[Prompt]) -> None:
        leg, _ = self._open_leg()
        if music:
            leg.play_music(music)
        else:
            leg.end_music()

    def _open_leg(self) -> tuple[Leg, Codec]:
        leg = self._media.leg if self._media else None
        codec = self._media.codec if self._media else None
        if leg is None or codec is None:
            raise RuntimeError("answer the call before playing to it")
        return leg, codec

    @property
    def _packet_ms(self) -> int:
        """How long the packets of the open leg are."""
        assert self._media is not None
        return self._media.ptime_ms

    async def _played(self, done: PlayEnded, playable: Playable) -> Played:
        """What playing came to, for whoever waited for it."""
        if done.outcome is PlayOutcome.LEG_CLOSED:
            raise CallEnded(await self.wait_ended())
        self._sound_until_s = asyncio.get_running_loop().time() + TAIL_S
        return Played(done.outcome, playable.played_ms(done))

    def _note(
        self, playing: asyncio.Future[PlayEnded], files: tuple[StrPath, ...], playable: Playable
    ) -> None:
        self._position.add(self._open_leg()[0], files, playable, playing)
        if self._history:
            playing.add_done_callback(partial(self._note_played, files, playable))

    def _note_played(
        self, files: tuple[StrPath, ...], playable: Playable, playing: asyncio.Future[PlayEnded]
    ) -> None:
        if self._history and not playing.cancelled():
            done = playing.result()
            self._history.played(files, done.outcome, playable.played_ms(done))

    def _on_heard(self, heard: Heard) -> None:
        if isinstance(heard, DigitHeard):
            if not heard.ended:
                self.take_digit(heard.symbol)
        elif isinstance(heard, SpeechHeard):
            self.speaking = heard.started
        elif self.ended is None:
            log.warning("nothing heard, hanging up", call=self.id)
            self._sip.hangup([("Reason", 'SIP;cause=408;text="no media"')])

    async def _change(self) -> None:
        """Wait for the confirmation or the end, whichever comes next."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _changed(self) -> None:
        for change in self._waiting:
            if not change.done():  # cancelled by whoever waited
                change.set_result(None)
        self._waiting.clear()

    def _check(self) -> None:
        if self.ended is not None:
            raise CallEnded(self.ended)

    def _accept(self) -> None:
        try:
            self._media = self._engine.open_media(self._sip)
            offer = self._sip.remote_sdp
            body = self._media.offer() if offer is None else self._media.answer(offer)
        except (SdpError, NoRtpPort) as error:
            self._refuse(error)
        else:
            self._sip.accept(body)
            if self._history:
                self._history.answered_s = time.time()

    def _refuse(self, error: SdpError | NoRtpPort) -> None:
        """Refuse the call and say why: in the log, and in a Warning (RFC 3261 20.43)."""
        status = error.status if isinstance(error, SdpError) else 503
        code = error.warning_code if isinstance(error, NotAcceptable) else 399
        warning = f'{code} {self._engine.agent_name} "{_quotable(str(error))}"'
        log.warning("call refused", call=self.id, status=status, cause=str(error))
        self._sip.reject(status, headers=[("Warning", warning)])
        self._check()

    def _fail(self, error: Exception) -> None:
        """The call cannot go on: hang up and say why."""
        log.warning("call failed", call=self.id, cause=str(error))
        self._sip.hangup([("Reason", f'SIP;cause=488;text="{_quotable(str(error))}"')])

    def _on_leg_closed(self, closed: asyncio.Future[LegClosed]) -> None:
        last = closed.result()
        if last.error and self.ended is None:
            self._fail(OSError(last.error, os.strerror(last.error)))
        if self._history:
            self._history.awaited -= 1
            self._tell_record(self._history)
        if self._engine.on_leg_over is not None:
            self._engine.on_leg_over(self)

    def _on_recorded(self, done: Recorded) -> None:
        if self._history:
            self._history.recorded(done)
            self._history.awaited -= 1
            self._tell_record(self._history)

    def _tell_record(self, history: History) -> None:
        """The record, as soon as the call, its leg and its recordings have come to their end."""
        if self.ended is not None and not history.awaited:
            self._engine.take_record(history.record(self._sip, self.ended, self._media))


def _barge_in_of(name: BargeInName) -> BargeIn:
    if name not in get_args(BargeInName):
        raise ValueError(f"barge_in: {name!r}; use one of {', '.join(get_args(BargeInName))}")
    return BargeIn[name.upper()]


async def _cancelled(task: asyncio.Future[None]) -> None:
    """End a task; what it may still raise is nobody's."""
    task.cancel()
    await asyncio.wait([task])


def _quotable(text: str) -> str:
    """Text fit for a quoted string in a header."""
    return "".join(c if c.isprintable() and c not in '"\\' else " " for c in text)[:200]


__all__ = ["Call", "CallEnded", "EndCause", "EndedBy", "HoldRefused", "Played", "Quality"]

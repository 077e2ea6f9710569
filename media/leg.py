"""Legs as asyncio sees them: handles on what a shard's thread owns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ._core import Listener, LiveSound, Prompt, RecordingFile, Room, Shard, SrtpKeys
from .codec import Codec
from .events import (
    BargeIn,
    DigitHeard,
    Hearing,
    LegClosed,
    LegFigures,
    LegMedia,
    MarkReached,
    MediaTimeout,
    PlayEnded,
    PlayOutcome,
    RelayEnded,
    Role,
    SeatEnded,
    Silence,
    SoundHeard,
    SpeechHeard,
    TapEnded,
)

log = structlog.get_logger(__name__)

CLOSE_AGAIN_S = 1.0
"""A shard that takes no commands holds the event loop up for 100 ms with each that it is sent."""

Heard = DigitHeard | SpeechHeard | MediaTimeout
LegEvent = PlayEnded | RelayEnded | SoundHeard | MarkReached | TapEnded | SeatEnded | Heard
OnMark = Callable[[int, bool], None]
"""Told the number of a mark in live sound, and whether the sound before it was cleared."""

_play_ids = itertools.count(1)
_tap_ids = itertools.count(1)
_seat_ids = itertools.count(1)


class Tap:
    """Where a leg gives its sound to until ``ended``; ``on_sound`` is called when there is some."""

    __slots__ = ("ended", "id", "on_sound")

    def __init__(
        self, ended: asyncio.Future[TapEnded], on_sound: Callable[[], None] | None
    ) -> None:
        self.id = next(_tap_ids)
        self.ended = ended
        self.on_sound = on_sound


class Seat:
    """A leg's seat in a conference, until ``ended``."""

    __slots__ = ("ended", "id")

    def __init__(self, ended: asyncio.Future[SeatEnded]) -> None:
        self.id = next(_seat_ids)
        self.ended = ended


class Leg:
    """One RTP stream. Methods return at once; what comes of them is told by futures.

    ``closed`` ends with the leg's last figures, however it came to be closed. ``on_heard`` is
    called with what the leg hears.
    """

    __slots__ = (
        "_loop",
        "_on_marks",
        "_plays",
        "_seats",
        "_shard",
        "_taps",
        "closed",
        "id",
        "on_heard",
    )

    def __init__(self, shard: Shard, leg_id: int, loop: asyncio.AbstractEventLoop) -> None:
        self._shard = shard
        self._loop = loop
        self._plays: dict[int, asyncio.Future[PlayEnded]] = {}
        self._taps: dict[int, Tap] = {}
        self._seats: dict[int, Seat] = {}
        self._on_marks: dict[int, OnMark] | None = None
        self.id = leg_id
        self.closed: asyncio.Future[LegClosed] = loop.create_future()
        self.on_heard: Callable[[Heard], None] | None = None

    @property
    def shard(self) -> Shard:
        """Whose it is: legs of one shard can be connected."""
        return self._shard

    def play(
        self,
        prompts: Sequence[Prompt],
        *,
        loop: bool = False,
        replace: bool = False,
        barge_in: BargeIn = BargeIn.NONE,
    ) -> asyncio.Future[PlayEnded]:
        """Queue ``prompts`` behind what plays, without a gap; or play them now instead of it."""
        play = partial(
            self._shard.play, prompts=prompts, loop=loop, replace=replace, barge_in=barge_in
        )
        return self._hand_over(play)

    def play_live(
        self,
        live: LiveSound,
        *,
        replace: bool = False,
        barge_in: BargeIn = BargeIn.NONE,
        on_mark: OnMark | None = None,
    ) -> asyncio.Future[PlayEnded]:
        """As :meth:`play`, what is written to ``live`` meanwhile."""
        play = partial(self._shard.play_live, live=live, replace=replace, barge_in=barge_in)
        return self._hand_over(play, on_mark)

    def play_music(self, prompts: Sequence[Prompt]) -> asyncio.Future[PlayEnded]:
        """Play ``prompts`` round and round until :meth:`end_music`; all else stands still."""
        return self._hand_over(partial(self._shard.play_music, prompts=prompts))

    def end_music(self) -> None:
        """End the music: what it has silenced goes on from its place."""
        self._shard.end_music(self.id)

    def _hand_over(
        self, play: Callable[..., None], on_mark: OnMark | None = None
    ) -> asyncio.Future[PlayEnded]:
        play_id = next(_play_ids)
        ended: asyncio.Future[PlayEnded] = self._loop.create_future()
        if self.closed.done():
            ended.set_result(PlayEnded(self.id, play_id, PlayOutcome.LEG_CLOSED, 0))
            return ended
        play(self.id, play_id)
        self._plays[play_id] = ended
        if on_mark is not None:
            self._on_marks = self._on_marks or {}
            self._on_marks[play_id] = on_mark
        return ended

    def stop_playing(self) -> None:
        """End everything that plays or is queued."""
        self._shard.stop_playing(self.id)

    def send_digits(self, digits: str, on_ms: int, off_ms: int) -> None:
        """Send digits as telephone events, after those that wait; sound stands still meanwhile."""
        self._shard.send_digits(self.id, digits, on_ms, off_ms)

    def relay(self, to: Leg, codec: Codec, to_codec: Codec) -> None:
        """Send what this leg hears to another one, in the place of what that one plays.

        ValueError: the two are on different shards.
        """
        if self._shard is not to._shard:
            raise ValueError(
                "the legs are on different shards: dial the second call with beside=, or use an"
                " engine of one shard"
            )
        names = (codec.name, codec.clock_rate_hz), (to_codec.name, to_codec.clock_rate_hz)
        self._shard.relay(self.id, to.id, *names)

    def end_relay(self) -> None:
        """End what :meth:`relay` began."""
        if not self.closed.done():
            self._shard.end_relay(self.id)

    def record(self, codec: Codec, file: RecordingFile) -> Tap:
        """Give what this leg hears and sends to ``file``, which stays open until the tap ends."""
        return self._tap(partial(self._shard.tap_recording, file=file), codec, None)

    def listen(self, codec: Codec, listener: Listener, on_sound: Callable[[], None]) -> Tap:
        """Give what this leg hears to ``listener``."""
        return self._tap(partial(self._shard.tap_listener, listener=listener), codec, on_sound)

    def speak_to(self, codec: Codec, live: LiveSound, on_begun: Callable[[], None]) -> Tap:
        """Give what this leg hears to ``live``, which another leg plays, and finish it with the
        tap. ``on_begun``: what is sent from now on belongs to it."""
        tap = self._tap(partial(self._shard.tap_speaker, live=live), codec, on_begun)
        tap.ended.add_done_callback(lambda _: live.finish())
        return tap

    def _tap(
        self, begin: Callable[..., None], codec: Codec, on_sound: Callable[[], None] | None
    ) -> Tap:
        tap = Tap(self._loop.create_future(), on_sound)
        if self.closed.done():
            tap.ended.set_result(TapEnded(self.id, tap.id))
        else:
            begin(self.id, tap.id, (codec.name, codec.clock_rate_hz))
            self._taps[tap.id] = tap
        return tap

    def end_tap(self, tap: Tap) -> None:
        """End a tap; its ``ended`` tells when."""
        if tap.id in self._taps:
            self._shard.end_tap(self.id, tap.id)

    def join(self, room: Room, codec: Codec, role: Role, whisper_to: Leg | None) -> Seat:
        """Take a seat in ``room``, in the place of one in another.

        ValueError: the room is on another shard.
        """
        seat = Seat(self._loop.create_future())
        if self.closed.done():
            seat.ended.set_result(SeatEnded(self.id, seat.id))
            return seat
        name = (codec.name, codec.clock_rate_hz)
        self._shard.join(self.id, seat.id, name, room, role, _id_of(whisper_to))
        self._seats[seat.id] = seat
        return seat

    def set_role(self, seat: Seat, role: Role, whisper_to: Leg | None) -> None:
        """Change who hears this leg in the conference."""
        if seat.id in self._seats:
            self._shard.set_role(self.id, seat.id, role, _id_of(whisper_to))

    def leave(self, seat: Seat) -> None:
        """Give up a seat; its ``ended`` tells when."""
        if seat.id in self._seats:
            self._shard.leave(self.id, seat.id)

    def pause(self) -> None:
        """Hold what plays at its place."""
        self._shard.pause(self.id, True)

    def resume(self) -> None:
        """Go on from where :meth:`pause` held."""
        self._shard.pause(self.id, False)

    def update(self, media: LegMedia) -> None:
        """Take over a new agreement; what plays goes on."""
        self._shard.update_leg(self.id, media)

    def rekey(self, keys: SrtpKeys) -> None:
        """Change the keys of a leg that has SRTP; its streams go on."""
        self._shard.rekey(self.id, keys)

    def close(self) -> None:
        """Close the leg and its socket; ``closed`` tells when."""
        if self.closed.done():
            return
        try:
            self._shard.close_leg(self.id)
        except BlockingIOError:  # nobody else sees to it that its port comes back
            log.warning("leg not closed yet, its shard is too busy", leg=self.id)
            self._loop.call_later(CLOSE_AGAIN_S, self.close)

    def figures(self) -> LegFigures:
        """Counts up to now."""
        if self.closed.done():
            return self.closed.result().figures
        return self._shard.leg_figures(self.id) or LegFigures()

    @property
    def packets_sent(self) -> int:
        """How many packets were sent up to now."""
        if self.closed.done():
            return self.closed.result().figures.packets_sent
        return self._shard.packets_sent(self.id)

    def on_event(self, event: LegEvent) -> None:
        """An event of this leg, from the shard, but for its :meth:`end`."""
        match event:
            case PlayEnded():
                self._end_play(event)
            case DigitHeard() | SpeechHeard() | MediaTimeout():
                if self.on_heard is not None:
                    self.on_heard(event)
            case SoundHeard():
                if (tap := self._taps.get(event.tap_id)) and tap.on_sound is not None:
                    tap.on_sound()
            case TapEnded():
                self._end_tap(event)
            case SeatEnded():
                self._end_seat(event)
            case MarkReached():
                if self._on_marks and (on_mark := self._on_marks.get(event.play_id)):
                    on_mark(event.mark_id, event.cleared)
            case RelayEnded():
                pass

    def end(self, event: LegClosed) -> None:
        """The leg is closed, with its last figures."""
        self.closed.set_result(event)
        self.on_heard = None  # whoever hears knows the leg: else only the collector could free them
        # What came too late for the shard is told by nobody else.
        if self._plays:
            for play_id in list(self._plays):
                self._end_play(PlayEnded(self.id, play_id, PlayOutcome.LEG_CLOSED, 0))
        if self._taps:
            for tap_id in list(self._taps):
                self._end_tap(TapEnded(self.id, tap_id))
        if self._seats:
            for seat_id in list(self._seats):
                self._end_seat(SeatEnded(self.id, seat_id))

    def _end_seat(self, event: SeatEnded) -> None:
        seat = self._seats.pop(event.seat_id)
        if not seat.ended.done():  # cancelled by whoever waited
            seat.ended.set_result(event)

    def _end_tap(self, event: TapEnded) -> None:
        tap = self._taps.pop(event.tap_id)
        tap.on_sound = None
        if not tap.ended.done():
            tap.ended.set_result(event)

    def _end_play(self, event: PlayEnded) -> None:
        ended = self._plays.pop(event.play_id)
        if self._on_marks:
            self._on_marks.pop(event.play_id, None)
        if not ended.done():  # cancelled by whoever waited
            ended.set_result(event)


def _id_of(leg: Leg | None) -> int:
    """0 names no leg."""
    return leg.id if leg else 0


class LegTable:
    """The open legs of one shard, and the reader that brings them the shard's events."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._legs: dict[int, tuple[Leg, Callable[[], None]]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(shard.event_fd, self.take_events)

    def __len__(self) -> int:
        return len(self._legs)

    def open(
        self,
        media: LegMedia,
        *,
        fd: int,
        silence: Silence,
        on_closed: Callable[[], None],
        hearing: Hearing | None = None,
        keys: SrtpKeys | None = None,
        latch: bool = False,
    ) -> Leg:
        """Open a leg; the shard owns ``fd`` on success. ``on_closed`` is called when it is gone.

        OSError and ValueError as :meth:`Shard.open_leg`.
        """
        leg_id = self.shard.open_leg(
            media, fd=fd, silence=silence, hearing=hearing, keys=keys, latch=latch
        )
        leg = Leg(self.shard, leg_id, self._loop)
        self._legs[leg_id] = leg, on_closed
        return leg

    def close(self) -> None:
        """End the shard's thread: every leg is closed and its last events are told."""
        self._loop.remove_reader(self.shard.event_fd)
        self.shard.stop()
        while self.take_events():
            pass

    def take_events(self) -> bool:
        """Pass on what the shard tells; False if it told nothing.

        It announces what somebody may wait for, and that a leg has closed only when that was not
        seen for a while: whoever is at work anyway looks here.
        """
        events = self.shard.poll_events()
        for event in events:
            try:
                self._take(event)
            except Exception:  # the others are told but once
                log.exception("event not taken", told=type(event).__name__, leg=event.leg_id)
        return bool(events)

    def _take(self, event: LegEvent | LegClosed) -> None:
        if not isinstance(event, LegClosed):
            if event.leg_id in self._legs:
                self._legs[event.leg_id][0].on_event(event)
            return
        leg, on_closed = self._legs.pop(event.leg_id)
        try:
            leg.end(event)
        finally:
            on_closed()

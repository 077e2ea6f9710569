"""A call from its offer to its end, as SIP and the media threads tell it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ._core import Prompt
from .codec import Codec
from .events import DigitHeard, LegClosed, LegFigures, SpeechHeard
from .keypad import Keypad
from .leg import Heard, Leg
from .pool import NoRtpPort
from .quality import Quality, quality_of
from .record import History
from .recording import Recorded
from .sdp import (
    ApplicationLine,
    Direction,
    NotAcceptable,
    SdpError,
    SdpReason,
    applications_in,
)
from .session import MediaSession
from .sip.events import CallStateError, EndCause, Refuse
from .sip.message import REASON_PHRASES, Headers
from .sip.session import SipCall

if TYPE_CHECKING:
    from .engine import Engine

log = structlog.get_logger(__name__)

OnApplications = Callable[[tuple[ApplicationLine, ...]], Sequence[ApplicationLine]]
"""Gives our application lines for those of an offer, one for each in their order."""


class CallEnded(Exception):
    """The call is over; ``cause`` says who ended it and why."""

    def __init__(self, cause: EndCause) -> None:
        super().__init__(f"the call was ended ({cause.by.value}): {cause.status} {cause.reason}")
        self.cause = cause


class HoldRefused(Exception):
    """The peer has refused to be held or taken up again, or another change of the session, with
    ``status``; all is as it was."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the peer refused: {status} {REASON_PHRASES.get(status, '')}".rstrip())
        self.status = status


@dataclass(slots=True)
class HoldChange:
    """A re-INVITE of ours that is under way, what it offers, and the music that goes with it;
    ``applications``: or it changes those lines, and the music stays."""

    direction: Direction
    music: list[Prompt]
    applications: tuple[ApplicationLine, ...] | None = None
    status: int = 0


class Connection:
    """A call as SIP and its leg make it; what a handler does with it is in `Call`.

    From the offer to the end: the leg is opened when both sides have agreed, re-INVITEs are settled
    whoever waits for them, and the record is told when all has come to its end. Whoever waits for
    something is woken at every change (`_changed()`), and looks for himself.
    """

    __slots__ = (
        "_confirmed",
        "_description",
        "_engine",
        "_history",
        "_hold_change",
        "_keypad",
        "_media",
        "_sip",
        "_waiting",
        "call_id",
        "ended",
        "id",
        "on_applications",
        "speaking",
        "trunk",
    )

    def __init__(self, engine: Engine, sip: SipCall, media: MediaSession | None = None) -> None:
        self._engine = engine
        self._sip = sip
        self._media = media
        self._confirmed = False
        self._description: bytes | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._hold_change: HoldChange | None = None
        self._keypad: Keypad | None = None
        self._history = History() if engine.keeps_records else None
        self.speaking = False
        self.on_applications: OnApplications | None = None
        self.ended: EndCause | None = None
        self.trunk: str | None = None
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
    def speech(self) -> bool:
        """True for a session with a speech server, dialled with ``applications``."""
        return self._sip.speech

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

    @property
    def packets_sent(self) -> int:
        """Packets of sound that were sent up to now."""
        leg = self._media.leg if self._media else None
        return leg.packets_sent if leg else 0

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

    @property
    def application_lines(self) -> tuple[ApplicationLine, ...]:
        """The application lines of the peer's last description, such as the control channels of
        MRCPv2 (RFC 6787 4.2): of its offer, before :meth:`Call.answer`; later of what it said
        last."""
        return applications_in(self._sip.remote_sdp)

    async def wait_ended(self) -> EndCause:
        """Wait until the call is over, whoever ends it."""
        while self.ended is None:
            await self._change()
        return self.ended

    async def wait_closed(self) -> None:
        """Wait until the call is over and its leg closed: :attr:`figures` and :meth:`quality` say
        how it was in the end."""
        await self.wait_ended()
        leg = self._media.leg if self._media else None
        if leg is not None:
            await asyncio.wait([leg.closed])

    async def wait_speaking(self, speaking: bool) -> None:
        """Wait until the caller speaks, or does not any more. CallEnded: the call is over."""
        while self.speaking is not speaking:
            self._check()
            await self._change()

    # What the engine, conferences and transfers ask and tell

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
            if self._media.leg is None:
                self._connect(self._media)
        except (SdpError, OSError, ValueError) as error:
            self._fail(error)
            return
        self._confirmed = True
        if self._history:
            self._history.confirmed_s = time.time()
        if self._waiting:
            self._changed()

    def take_digit(self, symbol: str) -> None:
        """The caller pressed a digit, however that was heard."""
        (self._keypad or self._make_keypad()).take(symbol)
        if self._history:
            self._history.digits_heard += 1

    def _make_keypad(self) -> Keypad:
        """With the first digit, or who asks for one: most calls have neither."""
        self._keypad = Keypad()
        return self._keypad

    def on_offer(self, sdp: bytes | None) -> bytes:
        """A re-INVITE: returns our answer, or our offer if it had none. Raises Refuse."""
        assert self._media is not None
        try:
            if sdp is None:
                return self._media.offer()
            return self._media.answer(sdp, self._applications_for(sdp))
        except SdpError as error:
            raise Refuse(error.status, text=str(error)) from error
        finally:
            self._changed()

    def _applications_for(self, offer: bytes) -> Sequence[ApplicationLine] | None:
        """Our application lines for an offer within the call; None: as they stand."""
        return self.on_applications(applications_in(offer)) if self.on_applications else None

    def on_answer(self, sdp: bytes) -> None:
        """The peer answers an offer of ours: one before the 200, or one of what stood anyway."""
        assert self._media is not None
        try:
            self._media.settle(sdp)
            self._connect(self._media)
        except (SdpError, OSError, ValueError) as error:
            self._fail(error)
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
        self.ended = cause  # first: whatever comes of the rest, it is
        if self._history:
            self._history.ended_s = time.time()
            self._tell_record(self._history)
        if self._waiting:
            self._changed()
        if self._media is not None:
            self._media.close()

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
        leg.closed.add_done_callback(partial(self._on_leg_closed, leg))
        leg.on_heard = self._on_heard

    async def _offer_direction(self, direction: Direction, music: list[Prompt]) -> None:
        assert self._media is not None
        await self._unchanging()
        if direction is self._media.direction:
            self._play_music(music)
            return
        await self._renegotiate(self._media, HoldChange(direction, music))

    async def _unchanging(self) -> None:
        """Wait until no re-INVITE of ours is under way."""
        while self._hold_change is not None:
            await self._change()
            self._check()

    async def _renegotiate(self, media: MediaSession, change: HoldChange) -> None:
        self._sip.reinvite(partial(media.offer, change.direction, change.applications))
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
            if change.applications is None:
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

    def _on_heard(self, heard: Heard) -> None:
        if isinstance(heard, DigitHeard):
            if not heard.ended:
                self.take_digit(heard.symbol)
        elif isinstance(heard, SpeechHeard):
            self.speaking = heard.started
            self._changed()
        elif self.ended is None:
            log.warning("nothing heard, hanging up", call=self.id)
            self._sip.hangup([("Reason", 'SIP;cause=408;text="no media"')])

    def _change(self) -> asyncio.Future[None]:
        """To be awaited: the confirmation or the end, whichever comes next."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        return change

    def _changed(self) -> None:
        for change in self._waiting:
            if not change.done():  # cancelled by whoever waited
                change.set_result(None)
        self._waiting.clear()

    def _check(self) -> None:
        if self.ended is not None:
            raise CallEnded(self.ended)

    def _accept(self, applications: Sequence[ApplicationLine] = ()) -> None:
        body = self._describe(applications)
        self._description = None
        self._sip.accept(body)
        if self._history:
            self._history.answered_s = time.time()

    def _describe(self, applications: Sequence[ApplicationLine] = ()) -> bytes:
        """Our answer to the INVITE, or our offer: the same before the 200 and in it. CallEnded: it
        cannot be had, and the call is refused."""
        if self._description is None:
            try:
                self._media = self._engine.media_for(self._sip.flow, self.trunk)
                offer = self._sip.remote_sdp
                self._description = (
                    self._media.offer(applications=applications)
                    if offer is None
                    else self._media.answer(offer, applications)
                )
            except (SdpError, NoRtpPort) as error:
                self._refuse(error)
                raise AssertionError("a call that is refused is over") from error
        return self._description

    def _ring_early(self, reliable: bool | None) -> None:
        body = self._describe()
        assert self._media is not None
        try:
            self._sip.ring(183, body, reliable=reliable)
        except CallStateError as error:
            raise RuntimeError(str(error)) from error
        if self._media.negotiated is not None:
            try:
                self._connect(self._media)
            except (OSError, ValueError) as error:
                self._fail(error)

    def _refuse(self, error: SdpError | NoRtpPort) -> None:
        """Refuse the call and say why: in the log, and in a Warning (RFC 3261 20.43)."""
        status = error.status if isinstance(error, SdpError) else 503
        code = error.warning_code if isinstance(error, NotAcceptable) else 399
        warning = f'{code} {self._engine.agent_name} "{quotable(str(error))}"'
        log.warning("call refused", call=self.id, status=status, cause=str(error))
        self._sip.reject(status, headers=[("Warning", warning)])
        self._check()

    def _fail(self, error: Exception) -> None:
        """The call cannot go on: hang up and say why."""
        log.warning("call failed", call=self.id, cause=str(error))
        self._sip.hangup([("Reason", f'SIP;cause=488;text="{quotable(str(error))}"')])

    def _on_leg_closed(self, leg: Leg, closed: asyncio.Future[LegClosed]) -> None:
        last = closed.result()
        # Before the answer, another leg may have taken its place: then it is nobody's loss.
        in_use = self._media is not None and self._media.leg is leg
        if in_use and last.error and self.ended is None:
            self._fail(OSError(last.error, os.strerror(last.error)))
        if self._history:
            self._history.awaited -= 1
            self._tell_record(self._history)
        if in_use and self._engine.on_leg_over is not None and not self._sip.speech:
            self._engine.on_leg_over(self)

    def _on_recorded(self, done: Recorded) -> None:
        if self._history:
            self._history.recorded(done)
            self._history.awaited -= 1
            self._tell_record(self._history)

    def _tell_record(self, history: History) -> None:
        """The record, as soon as the call, its leg and its recordings have come to their end."""
        if self.ended is not None and not history.awaited:
            self._engine.take_record(history.record(self._sip, self.ended, self._media, self.trunk))


def quotable(text: str) -> str:
    """Text fit for a quoted string in a header."""
    return "".join(c if c.isprintable() and c not in '"\\' else " " for c in text)[:200]

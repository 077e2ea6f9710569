"""Calls of ours: from the order to the answer, by as many ways as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from .call import Call, CallEnded
from .early_sound import EarlyEar, EarlySound
from .events import MediaTimeout
from .leg import Heard
from .order import NoRoute, Order, Way, first_way
from .outcome import ANSWERED, DialResult, Outcome, failure_of, not_answered
from .pool import NoRtpPort
from .record import History, Record, address_text
from .sdp import ApplicationLine, SdpError
from .session import MediaSession
from .sip.edge import Flow, TimerHandle
from .sip.events import EndCause, Refuse
from .sip.message import REASON_PHRASES, Response
from .sip.outgoing import OutgoingCall
from .sip.session import SipCall
from .sip.uri import SipUri

if TYPE_CHECKING:
    from .engine import Engine

log = structlog.get_logger(__name__)


EarlyFunction = Callable[[Call], Awaitable[None]]
"""What is done with a call between its first sound and its answer."""


RingingFunction = Callable[["DialledCall"], None]
"""Told of each provisional response; its ``early_sound`` may be known then."""


class Wishes(NamedTuple):
    """What who dials wants of the call itself, whatever way it goes. With ``applications`` it is a
    session with a speech server."""

    early: EarlyFunction | None = None
    ringing: RingingFunction | None = None
    beside: Call | None = None
    applications: tuple[ApplicationLine, ...] = ()


class DialFailed(Exception):
    """Nobody has answered. ``outcome`` says why in a word, ``status`` and ``reason`` as SIP does,
    ``q850`` by the cause of the telephone network, where one came. ``contacts`` are the targets of
    a redirection that was not followed; ``retry_after_s`` says when to try again, None: nobody did.
    ``early_sound`` is what was heard before the end, None where nothing was. ``trunk`` is the one
    by which it was tried last, or would have been; None: by none.
    """

    def __init__(
        self, result: DialResult, sound: EarlySound | None = None, trunk: str | None = None
    ) -> None:
        super().__init__(str(result))
        self.outcome = result.outcome
        self.status = result.status
        self.reason = result.reason
        self.q850 = result.q850
        self.contacts = result.contacts
        self.retry_after_s = result.retry_after_s
        self.early_sound = sound
        self.trunk = trunk


class DialledCall(Call):
    """A call of ours: one attempt to reach somebody, and what comes of it.

    ``result`` is None until that is known, and ``decided`` done as soon as it is. ``rang``: there
    was a provisional response other than 100.
    """

    __slots__ = (
        "_ear",
        "_early_sdp",
        "_early_task",
        "_flow",
        "_on_way_left",
        "_order",
        "_outgoing",
        "_redirecting",
        "_redirects",
        "_wishes",
        "decided",
        "progress",
        "rang",
        "result",
    )

    def __init__(
        self,
        engine: Engine,
        sip: OutgoingCall,
        media: MediaSession,
        way: Way,
        wishes: Wishes,
    ) -> None:
        super().__init__(engine, sip, media)
        self._outgoing = sip
        self._order = way.order
        self._flow = way.flow
        self._on_way_left = way.on_ended
        self._wishes = wishes
        self._early_task: asyncio.Task[None] | None = None
        self._redirecting: asyncio.Task[None] | None = None
        self._redirects = 0
        self._early_sdp: bytes | None = None
        self._ear: EarlyEar | None = None
        self.decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rang = False
        self.progress = 100, "Trying"
        self.result: DialResult | None = None
        if sip.speech:
            self._history = None
        if self._history:
            self._history.awaited += 1  # the end of dialling, which may go on by another way

    @property
    def outcome(self) -> Outcome | None:
        """What dialling came to; None while it rings."""
        return self.result.outcome if self.result else None

    @property
    def early_sound(self) -> EarlySound | None:
        """What is heard before the answer, or was; None: no sound came, or too little to tell."""
        return self._ear.sound if self._ear else None

    @property
    def proceeding(self) -> bool:
        """True once the other side has given a sign of life."""
        return self._outgoing.heard_of

    # What the engine tells

    def on_ringing(self, response: Response) -> None:
        """A provisional response other than 100."""
        self.rang = True
        self.progress = response.status, response.reason
        if self._history and self._history.ringing_s is None:
            self._history.ringing_s = time.time()
        if self.result is not None:
            return
        if response.body:
            self._on_early(response.body)
        if self._wishes.ringing is not None:
            self._wishes.ringing(self)

    def _on_early(self, sdp: bytes) -> None:
        try:
            self._hear_early(sdp)
        except (SdpError, OSError, ValueError) as error:
            # What counts is the answer in the 200, which may come of another fork.
            log.info("early media not taken", call=self.id, cause=str(error))
            return
        early = self._wishes.early
        if early is not None and self._early_task is None:
            self._early_task = asyncio.ensure_future(self._run_early(early))

    def on_answered(self, sdp: bytes | None) -> None:
        """The call was answered."""
        if self._history:
            self._history.answered_s = time.time()
        if self._ear is not None:
            self._ear.stop()
        if self._early_sdp is not None and sdp in (None, self._early_sdp):
            # The answer to our offer came before (RFC 3261 13.2.1).
            assert self._media is not None
            self._media.confirm()
            sdp = None
        self.on_ack(sdp)
        if self._confirmed:
            self.decide(ANSWERED)

    def on_ended(self, cause: EndCause) -> None:
        if self._ear is not None:
            self._ear.stop()
        if not self.decided.done():
            self.decide(failure_of(cause, proceeding=self.proceeding))
        super().on_ended(cause)
        if self._on_way_left is not None:
            self._leave_way()

    def move_to(self, sip: SipCall) -> None:
        super().move_to(sip)
        self._leave_way()  # it goes on by another one

    # What dialling does

    def decide(self, result: DialResult) -> None:
        """Say what the attempt has come to; the first word counts."""
        if self.result is None:
            self.result = result
        if not self.decided.done():
            self.decided.set_result(None)

    def give_up(self, result: DialResult) -> None:
        """Nobody waits for an answer any more."""
        self.result = result
        self.abandon()

    def give_up_silent(self, waited_s: float) -> None:
        """It is time for another way, if nothing at all has come back by this one."""
        if not self.proceeding and self.result is None:
            self.decide(not_answered(waited_s, proceeding=False))
            self.abandon()

    def on_redirect(self, target: str) -> None:
        """The callee is said to be elsewhere: try there, as far as the order goes."""
        self._redirects += 1
        self._redirecting = asyncio.ensure_future(self._redirect(target))

    async def end_tasks(self) -> None:
        """The call goes into other hands."""
        if self._early_task is None and self._redirecting is None:
            return
        tasks = [task for task in (self._early_task, self._redirecting) if task is not None]
        self._early_task = self._redirecting = None
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def follow(self, began_s: float, attempts: list[Record]) -> None:
        """Others were tried before this one, from ``began_s`` on."""
        if self._history:
            self._history.offered_s = began_s
            self._history.dialled["attempts"] = attempts

    def superseded(self) -> Record:
        """Another way is tried: what its record is to tell of this one, which gets none itself."""
        assert self.result is not None
        self._history = None
        return {
            "to": self.to_uri,
            "trunk": self.trunk,
            "sip_peer": address_text(self._sip.flow.remote_host, self._sip.flow.remote_port),
            "outcome": self.result.outcome.value,
            "status": self.result.status,
            "reason": self.result.reason,
            "q850": self.result.q850,
        }

    async def settle(self) -> None:
        """Dialling is over, and this was its last attempt."""
        if self._early_task is not None or self._redirecting is not None:
            await self.end_tasks()
        if self._history:
            self._history.awaited -= 1
            self._tell_record(self._history)

    # Within

    def _leave_way(self) -> None:
        on_ended, self._on_way_left = self._on_way_left, None
        if on_ended is not None:
            on_ended(self)

    def _hear_early(self, sdp: bytes) -> None:
        assert self._media is not None
        if sdp == self._early_sdp:
            return
        self._media.settle(sdp, early=True)
        self._early_sdp = sdp
        self._connect(self._media)
        leg, codec = self._open_leg()
        if self._ear is None or self._ear.leg is not leg:
            if self._ear is not None:
                self._ear.stop()
            self._ear = EarlyEar(leg, codec)

    async def _redirect(self, target: str) -> None:
        if self._redirects <= self._order.redirects:
            with contextlib.suppress(NoRoute):
                flow = await self._flow_to(target)
                if flow is not None:
                    self._outgoing.follow(flow)
                    return
        self._outgoing.skip()

    async def _flow_to(self, target: str) -> Flow | None:
        """The way to the target of a redirection. NoRoute."""
        if _place_of(target) == _place_of(self._order.uri):
            # Another user of the same domain: whoever serves that may be known by its trunk alone.
            return self._flow
        way = await first_way(self._engine.router(self._order._replace(uri=target)))
        return None if way is None else way.flow

    async def _run_early(self, early: EarlyFunction) -> None:
        try:
            await early(self)
        except CallEnded:
            pass
        except Exception:
            log.exception("early function failed", call=self.id)

    def _on_heard(self, heard: Heard) -> None:
        if self._confirmed or not isinstance(heard, MediaTimeout):  # silence may ring, too
            super()._on_heard(heard)

    def _fail(self, error: Exception) -> None:
        text = str(error)
        self.decide(DialResult(Outcome.REJECTED, 488, REASON_PHRASES[488], text=text))
        super()._fail(error)

    def _tell_record(self, history: History) -> None:
        result = self.result
        history.dialled["early_sound"] = self.early_sound
        if result is not None:
            history.dialled["outcome"] = result.outcome.value
            if result.outcome is not Outcome.ANSWERED:
                history.dialled |= {
                    "status": result.status,
                    "reason": result.reason,
                    "text": result.text,
                    "q850": result.q850,
                }
        super()._tell_record(history)


def _place_of(uri: str) -> object:
    """Where a URI leads, whoever is meant there."""
    there = SipUri.parse(uri)
    return there.scheme, there.host, there.port, there.param("transport"), there.param("maddr")


class Dialler:
    """One dialling: its attempts, of which the last is ``call``, and the time that they have.

    When that is over, the task that dials is cancelled, as `asyncio.timeout` does it; but the timer
    lies on the wheel of the protocol timers, as one of the event loop costs several times as much.
    """

    __slots__ = (
        "_attempts",
        "_began_s",
        "_cancelled_before",
        "_engine",
        "_order",
        "_over",
        "_task",
        "_timer",
        "_wishes",
        "call",
    )

    def __init__(self, engine: Engine, order: Order, wishes: Wishes) -> None:
        """To be made by the task that dials, just before it does."""
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] | None = task
        self._cancelled_before = task.cancelling()
        self._over = False
        self._timer = engine.timers.arm(math.ceil(order.timeout_s * 1_000), self._expire)
        self._engine = engine
        self._order = order
        self._wishes = wishes
        self._attempts: list[Record] = []
        self._began_s = time.time()
        self.call: DialledCall | None = None

    async def dial(self) -> DialledCall:
        """The answered call. DialFailed: no way has led to one in time."""
        try:
            ways = self._engine.router(self._order)
            if isinstance(ways, tuple):
                for way in ways:
                    if await self._try(way):
                        break
            else:
                async with contextlib.aclosing(ways):
                    async for way in ways:
                        if await self._try(way):
                            break
            return self._answered()
        except asyncio.CancelledError:
            if not self._end_time():
                self._cancel()
                raise
            raise self._failed(self._time_out()) from None
        except NoRoute as error:
            status = 503 if error.outcome is Outcome.CONGESTION else 404
            result = DialResult(error.outcome, status, REASON_PHRASES[status], text=str(error))
            raise self._failed(result) from None
        finally:
            self._end_time()
            if self.call is not None:
                await self.call.settle()

    async def _try(self, way: Way) -> bool:
        """Try a way. True: no other one is to be tried, for it was answered or refused."""
        call = self._place(way)
        silence: TimerHandle | None = None
        if way.sign_of_life_s is not None:
            give_up = partial(call.give_up_silent, way.sign_of_life_s)
            silence = self._engine.timers.arm(math.ceil(way.sign_of_life_s * 1_000), give_up)
        try:
            await call.decided
        finally:
            if silence is not None:
                silence.cancel()
        result = call.result
        assert result is not None
        if result.outcome is Outcome.ANSWERED:
            return True
        await call.end_tasks()
        # RFC 3263 section 4.3: the callee's own word
        return call.rang or (not result.silent and result.status not in way.next_on)

    def _place(self, way: Way) -> DialledCall:
        try:
            call = self._engine.place(way, self._wishes)
        except (NoRtpPort, Refuse) as error:
            text = error.text if isinstance(error, Refuse) else str(error)
            result = DialResult(Outcome.CONGESTION, 503, REASON_PHRASES[503], text=text)
            raise self._failed(result) from None
        if self.call is not None:
            self._attempts.append(self.call.superseded())
            call.follow(self._began_s, self._attempts)
        self.call = call
        return call

    def _answered(self) -> DialledCall:
        """The last call, if it was answered. DialFailed: what it came to."""
        call = self.call
        if call is None:
            raise NoRoute("no way leads there")
        assert call.result is not None
        if call.result.outcome is not Outcome.ANSWERED:
            raise self._failed(call.result)
        return call

    def _failed(self, result: DialResult) -> DialFailed:
        """What whoever dials is told."""
        call = self.call
        trunk = call.trunk if call else self._engine.trunk_named(self._order.uri)
        return DialFailed(result, self._early_sound, trunk)

    @property
    def _early_sound(self) -> EarlySound | None:
        """What the last attempt has heard."""
        return self.call.early_sound if self.call else None

    def _time_out(self) -> DialResult:
        """The time is over."""
        call = self.call
        proceeding = call is not None and call.proceeding
        within_s = self._order.timeout_s
        result = not_answered(within_s, proceeding=proceeding, sound=self._early_sound)
        if call is not None:
            call.give_up(result)
        return result

    def _cancel(self) -> None:
        """Whoever wanted the call does not want it any more."""
        if self.call is not None:
            self.call.abandon()

    def _expire(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()

    def _end_time(self) -> bool:
        """Time counts no more. True, the first time, if it was over and nobody else has cancelled
        the task."""
        self._timer.cancel()
        # It must not know the task any longer: else only the collector could free what failed.
        task, self._task = self._task, None
        if task is None or not self._over:
            return False
        return task.uncancel() <= self._cancelled_before

"""Conversations by phone: what a script wants done, done over a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from ...media.call import Call, CallEnded
from ...media.sip.events import EndedBy
from ...media.sound import PromptError
from ..script import events
from ..script.actions import (
    Action,
    AskNow,
    FetchNow,
    HangUpNow,
    RecordNow,
    SayNow,
    SendDigitsNow,
    Speech,
    Spoken,
    SpokenText,
    StreamNow,
    TransferNow,
)
from ..script.events import Done, Event, Failed, Left
from ..script.model import By, Json
from ..speech.service import SpeechService
from ..speech.stream import StreamFailed, StreamTotals, stream
from .question import Question
from .sounds import Sounds
from .text import Fetches
from .voice import KeptPrompts, SayFailed, Voice

if TYPE_CHECKING:
    from ...media.recording import Recording
    from ...media.sip.refer import Progress
    from ...media.transfer import Transferred

log = structlog.get_logger(__name__)

DIGIT_ON_MS = DIGIT_OFF_MS = 100
DIGIT_PAUSE_S = 1.0
MAX_DIGITS_AT_ONCE = 32
MIN_TRANSFER_S, MAX_TRANSFER_S = 1.0, 180.0
SETTLE_S = 2.0
"""How long it may take from the word that two are connected to the end of our call."""
NO_CAUSE = frozenset({"done", ""})

Target = Callable[[str, Call], str]


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def sip_target(to: str, call: Call) -> str:
    """A URI as it is, a number by the trunk that the call came or went by. ValueError: it has
    none."""
    if ":" in to:
        return to
    number = "".join(character for character in to if character not in " -/().")
    if not number.removeprefix("+").isalnum():
        raise ValueError(f"{to!r} is no number and no SIP URI")
    if call.trunk is None:
        raise ValueError(f"the number {to} needs a trunk, and the call has none; write a SIP URI")
    return f"sip:{number}@{call.trunk}"


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the phone channels of one robot share.

    ``recordings`` is where `record` steps put their files. ``speech`` has the services by what a
    script calls them; without any, scripts have files and keys. ``target`` says where a transfer
    goes. ValueError: nowhere.
    """

    fetcher: Fetches
    sounds: Sounds
    recordings: Path
    speech: Mapping[By, SpeechService] = field(default_factory=dict)
    kept: KeptPrompts | None = None
    target: Target = sip_target
    clock_ms: Callable[[], int] = clock_ms
    streams: StreamTotals = field(default_factory=StreamTotals)


class PhoneChannel:
    """One call that was answered. ``script_by`` is how its script has speech made, where a step
    does not say so itself. :meth:`close` it when the conversation is over."""

    kind: events.Channel = "phone"

    def __init__(self, call: Call, equipment: Equipment, *, script_by: By = "local") -> None:
        self._call = call
        self._equipment = equipment
        self._clock_ms = equipment.clock_ms
        self._by = script_by
        self._voice = Voice(call, equipment.speech, equipment.sounds, equipment.kept)
        self._recorded = 0
        self._ending: asyncio.Future[None] | None = None
        self._left_with: Json = None
        self._left_told = False
        self._talking: asyncio.Task[Transferred] | None = None

    async def close(self) -> None:
        """Give back what was opened for the call."""
        if self._talking is not None and not self._talking.done():
            self._talking.cancel()
            await asyncio.wait([self._talking])
        await self._voice.close()

    async def wait_left(self) -> Left:
        cause = await self._call.wait_ended()
        if self._ending is not None:
            # A call that ends because it was transferred is told as that, one that ends in the
            # middle of a recording with it.
            await asyncio.wait([self._ending])
        by = "hung up" if cause.by is EndedBy.REMOTE else f"{cause.status} {cause.reason}"
        return self._left(by)

    def _left(self, cause: str) -> Left:
        self._left_told = True
        return Left(at_ms=self._clock_ms(), cause=cause, result=self._left_with)

    async def perform(self, action: Action) -> Event | None:
        try:
            return await self._work_for(action)
        except SayFailed as error:
            return self._failed(action, error.kind, str(error))
        except CallEnded as error:
            return self._gone(action, error)

    def _gone(self, action: Action, error: CallEnded) -> Event | None:
        """The call is over in the middle of something: the person has left, if nobody said so."""
        if isinstance(action, HangUpNow):
            return None
        if self._left_told:
            return self._failed(action, "left", str(error))
        return self._left(str(error))

    def _work_for(self, action: Action) -> Awaitable[Event | None]:  # noqa: PLR0911 - one for each
        match action:
            case SayNow():
                return self._say(action)
            case AskNow():
                question = Question(self._call, self._voice, action, action.by, self._clock_ms)
                return question.run()
            case FetchNow():
                return self._fetch(action)
            case RecordNow():
                return self._record(action)
            case TransferNow():
                return self._transfer(action)
            case SendDigitsNow():
                return self._send_digits(action)
            case StreamNow():
                return self._stream(action)
            case HangUpNow():
                return self._hang_up(action)

    async def _say(self, action: SayNow) -> Event | None:
        await self._voice.say(action.speech, action.barge_in, self._by)
        return self._done(action)

    def _done(self, action: Action, result: Json = None) -> Done:
        assert not isinstance(action, HangUpNow)
        return Done(at_ms=self._clock_ms(), turn=action.turn, result=result)

    def _failed(self, action: Action, kind: str, reason: str, result: Json = None) -> Failed | None:
        if isinstance(action, HangUpNow):
            log.warning("last words not said", call=self._call.id, kind=kind, cause=reason)
            return None
        return Failed(
            at_ms=self._clock_ms(), turn=action.turn, kind=kind, reason=reason, result=result
        )

    # What takes more than a line

    async def _fetch(self, action: FetchNow) -> Event:
        filler = tuple(spoken for spoken in action.filler if not _is_empty(spoken))
        filling = asyncio.ensure_future(self._fill(filler)) if filler else None
        try:
            return await self._equipment.fetcher.perform(action)
        finally:
            if filling is not None:
                filling.cancel()
                await asyncio.wait([filling])

    async def _fill(self, filler: Speech) -> None:
        """Say it again and again. A filler that cannot be said leaves silence, and the request
        goes on."""
        try:
            while await self._voice.say(filler, "none", self._by):
                pass
        except SayFailed as error:
            log.warning("filler not said", call=self._call.id, cause=str(error))
        except CallEnded:
            pass

    async def _record(self, action: RecordNow) -> Event | None:
        if not await self._voice.say(action.speech, "none", self._by):
            return self._failed(action, "record", "the prompt was stopped")
        if action.beep:
            await self._call.play(self._equipment.sounds.beep())
        self._call.forget_digits()
        self._recorded += 1
        path = self._equipment.recordings / f"{self._call.id}-{self._recorded}.wav"
        try:
            recording = self._call.record(path, stereo=False)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            return self._failed(action, "record", reason)
        with self._may_end_the_call():
            return await self._until_said(action, recording)

    @contextmanager
    def _may_end_the_call(self) -> Iterator[None]:
        """What this comes to is told before the call's end, or with it."""
        ending = self._ending = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            ending.set_result(None)
            self._ending = None

    async def _until_said(self, action: RecordNow, recording: Recording) -> Event | None:
        works = {
            "silence": asyncio.ensure_future(self._silence(action.silence_ms / 1000)),
            "key": asyncio.ensure_future(self._finish_key(action.finish_keys)),
        }
        try:
            done, _ = await asyncio.wait(
                works.values(),
                timeout=action.max_ms / 1000,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in works.values():
                task.cancel()
            ends = await asyncio.gather(*works.values(), return_exceptions=True)
            recorded = await recording.stop()
        failed = next((end for end in ends if isinstance(end, Exception)), None)
        ended_by = next((name for name, task in works.items() if task in done), "limit")
        result: Json = {
            "file": str(recorded.files[0]) if recorded.files else "",
            "ms": round(recorded.recorded_ms),
            "ended_by": "hang_up" if failed else ended_by,
        }
        if failed is not None:
            self._left_with = result
            raise failed
        if recorded.error is not None and not recorded.recorded_ms:
            return self._failed(action, "record", str(recorded.error))
        return self._done(action, result)

    async def _silence(self, silence_s: float) -> None:
        """Return when nothing was said for so long."""
        while True:
            await self._call.wait_speaking(False)
            try:
                async with asyncio.timeout(silence_s):
                    await self._call.wait_speaking(True)
            except TimeoutError:
                return

    async def _finish_key(self, keys: str) -> None:
        while True:
            symbol = await self._call.next_digit(3600.0)
            if symbol is not None and symbol in keys:
                return

    async def _transfer(self, action: TransferNow) -> Event | None:
        await self._voice.say(action.speech, "none", self._by)
        timeout_s = min(max(action.timeout_ms / 1000, MIN_TRANSFER_S), MAX_TRANSFER_S)
        try:
            with self._may_end_the_call():
                to = self._equipment.target(action.to, self._call)
                done = await self._hand_over(to, timeout_s)
        except (ValueError, RuntimeError) as error:
            return self._failed(action, "transfer", str(error))
        if done is None:
            return self._done(action, {"how": "bridge"})
        if done.ok:
            return self._done(action, {"how": done.how})
        reason = f"{done.status} {done.reason}"
        return self._failed(action, "transfer", reason, {"status": done.status})

    async def _hand_over(self, to: str, timeout_s: float) -> Transferred | None:
        """What a transfer came to; None: the two are connected by us, and talk now."""
        connected = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.status >= 200:
                connected.set()

        works: list[asyncio.Task[Any]] = [
            asyncio.ensure_future(
                self._call.transfer(to, timeout_s=timeout_s, on_progress=on_progress)
            ),
            asyncio.ensure_future(connected.wait()),
        ]
        handing: asyncio.Task[Transferred] = works[0]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            # By REFER it is over when that is told; by a bridge it lasts as long as they talk.
            await asyncio.wait([handing], timeout=SETTLE_S)
        except asyncio.CancelledError:
            handing.cancel()
            await asyncio.wait([handing])
            raise
        finally:
            works[1].cancel()
        if handing.done():
            return handing.result()
        self._talking = handing
        return None

    async def finish(self) -> None:
        """Wait until those whom a transfer has connected through us have talked."""
        if self._talking is not None:
            with suppress(CallEnded, RuntimeError):
                await self._talking

    async def _send_digits(self, action: SendDigitsNow) -> Event | None:
        for number, group in enumerate(action.digits.upper().split(",")):
            if number:
                await asyncio.sleep(DIGIT_PAUSE_S)
            for start in range(0, len(group), MAX_DIGITS_AT_ONCE):
                digits = group[start : start + MAX_DIGITS_AT_ONCE]
                await self._call.send_digits(digits, on_ms=DIGIT_ON_MS, off_ms=DIGIT_OFF_MS)
                # As events they only wait to be sent: nothing is to cut them short.
                await asyncio.sleep(len(digits) * (DIGIT_ON_MS + DIGIT_OFF_MS) / 1000)
        return self._done(action)

    async def _stream(self, action: StreamNow) -> Event | None:
        try:
            streamed = await stream(
                self._call,
                action.url,
                parameters=action.parameters,
                max_ms=action.max_ms,
                max_silence_ms=action.max_silence_ms,
                totals=self._equipment.streams,
            )
        except StreamFailed as error:
            return self._failed(action, "stream", f"{error.kind}: {error}")
        result: Json = {"ended_by": str(streamed.ended_by), "seconds": streamed.seconds}
        return self._done(action, result)

    async def _hang_up(self, action: HangUpNow) -> None:
        if self._talking is not None:
            return  # our part is over, and theirs goes on
        try:
            with suppress(SayFailed, PromptError):
                await self._voice.say(action.speech, "none", self._by)
        finally:
            if self._call.ended is None:
                await self._call.hangup("" if action.cause in NO_CAUSE else action.cause)


def _is_empty(spoken: Spoken) -> bool:
    return isinstance(spoken, SpokenText) and not spoken.text.strip()

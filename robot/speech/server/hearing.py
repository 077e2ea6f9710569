"""The ears of a session: what the caller says, cut into utterances and handed to the engines."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog

from ....media.call import Call, CallEnded
from ....media.codec import Samples
from ...grammar.model import Grammar
from ..engines.engine import EngineFailed, Hypothesis
from ..engines.pool import RecognizerPool
from ..engines.worker import pickled
from ..mrcp.words import RecognizeCause
from .endpoint import BLOCK_MS, PAUSE_MS, RATE_HZ, Endpointer
from .grammars import Active, GrammarRefused, Room, UnknownEntity, attempt

log = structlog.get_logger(__name__)

MAX_KNOWN = 1_024
MAX_SHOWN = 20
"""Unknown words in the log, of a grammar that may have thousands."""
READ_S = 5.0
"""How long reading the grammars of one request may take, the wait for others' included."""
DIGIT_WAIT_MS = 3_600_000
STALE_PACKETS = 10
"""So many have to come before what the voice detector says is news."""
MAX_RECORDED_MS = 130_000
"""A little more than the longest Max-Time."""


class Listener(Protocol):
    """Who is told what is heard."""

    def speech_began(self) -> None: ...

    def speech_paused(self, sound: Samples, silent_ms: int) -> None: ...

    def speech_resumed(self) -> None: ...


class Engines:
    """The recognizers of a server, and which grammars they have taken already."""

    def __init__(self, pool: RecognizerPool) -> None:
        self.pool = pool
        self.room = Room()
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()
        # One thread: what they do takes the interpreter from the event loop, a slice at a time.
        self._reader = ThreadPoolExecutor(1, "ringwheel-grammars")

    async def read(
        self, work: Callable[[], list[Active]]
    ) -> list[Active] | GrammarRefused | UnknownEntity:
        """Read grammars while the event loop goes on; behind those of others, in bounded time."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READ_S):
                return await loop.run_in_executor(self._reader, _read, work)
        except TimeoutError:
            cause = f"the grammars were not read within {READ_S:g} s"
            return GrammarRefused(RecognizeCause.GRAMMAR_COMPILATION_FAILURE, cause)

    def close(self) -> None:
        """Read no more."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def compile(self, grammars: Sequence[Grammar], locale: str) -> None:
        """Make ready, if that was not done before. Raises EngineFailed."""
        key = (locale, *(grammar.id for grammar in grammars))
        if key in self._known:
            self._known.move_to_end(key)
            return
        if unknown := await self.pool.compile(grammars, locale):
            log.warning(
                "words that are never recognized",
                engine=self.pool.name,
                count=len(unknown),
                words=list(unknown[:MAX_SHOWN]),
            )
        self._known[key] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _read(work: Callable[[], list[Active]]) -> list[Active] | GrammarRefused | UnknownEntity:
    """Read grammars, and write those of speech down as workers are sent them, which takes as
    long."""
    found = attempt(work)
    if isinstance(found, list):
        for one in found:
            if one.grammar.mode == "voice":
                pickled(one.grammar)
    return found


class CallHearing:
    """Listens to a call for one recognizer, or one recorder, its ``listener``."""

    def __init__(self, call: Call, engines: Engines, folder: Path | None = None) -> None:
        self._folder = folder
        self._call = call
        self._engines = engines
        self._received_before = 0
        self._endpointer: Endpointer | None = None
        self._recorded: Endpointer | None = None
        self._listening: asyncio.Task[None] | None = None
        self._decoding: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._whole: list[Samples] | None = None  # all that was heard, if that is wanted
        self.listener: Listener

    def listen(self, sensitivity: float) -> bool:
        """Listen from now on; True if the caller is speaking already."""
        self._listen_by(Endpointer(sensitivity))
        # A client may send sound only while it wants something heard: whoever spoke when that ended
        # last does not speak for that reason still.
        came = self._call.figures.packets_received - self._received_before
        return self._call.speaking and came > STALE_PACKETS

    def stop(self) -> None:
        """Do not listen any more."""
        self._endpointer = None
        if self._listening is not None:
            self._received_before = self._call.figures.packets_received
            self._listening.cancel()
            self._listening = None
        self._drop_decoding()

    def heard(self) -> Samples:
        """The utterance up to now."""
        assert self._endpointer is not None
        return self._endpointer.sound()

    def restart(self) -> None:
        """What comes is another utterance."""
        if self._endpointer is not None:
            self._endpointer.restart()

    # For recorders

    @property
    def stores(self) -> bool:
        """Whether files are kept."""
        return self._folder is not None

    def record(self, sensitivity: float, *, from_speech: bool) -> None:
        """Listen, and keep everything, or what is said from the beginning of speech on."""
        self._whole = None if from_speech else []
        kept_ms = MAX_RECORDED_MS if from_speech else 0
        self._recorded = Endpointer(sensitivity, longest_ms=kept_ms)
        self._listen_by(self._recorded)

    def kept(self) -> Samples:
        """What was kept."""
        if self._whole is not None:
            return np.concatenate(self._whole) if self._whole else np.empty(0, np.int16)
        assert self._recorded is not None
        return self._recorded.sound()

    def store(self, wav: bytes, done: Callable[[str | OSError], None]) -> None:
        """Write a file of its own."""
        folder = self._folder
        assert folder is not None

        async def store_it() -> None:
            path = folder / f"{self._call.id}-{secrets.token_hex(4)}.wav"
            try:
                await asyncio.to_thread(path.write_bytes, wav)
            except OSError as error:
                log.warning("recording not written", path=str(path), cause=error.strerror)
                done(error)
            else:
                done(path.absolute().as_uri())

        self._work(store_it())

    # For recognizers

    def read(
        self,
        work: Callable[[], list[Active]],
        done: Callable[[list[Active] | GrammarRefused | UnknownEntity], None],
    ) -> None:
        """Read grammars."""

        async def read_them() -> None:
            done(await self._engines.read(work))

        self._work(read_them())

    def compile(
        self,
        grammars: Sequence[Grammar],
        locale: str,
        done: Callable[[EngineFailed | None], None],
    ) -> None:
        """Make the grammars ready."""

        async def compile_them() -> None:
            failure = None
            try:
                await self._engines.compile(grammars, locale)
            except EngineFailed as error:
                failure = error
            done(failure)

        self._work(compile_them())

    def decode(
        self,
        sound: Samples,
        grammars: Sequence[Grammar],
        locale: str,
        done: Callable[[Sequence[Hypothesis] | EngineFailed], None],
    ) -> None:
        """Recognize what was said; whatever was to be recognized before is not wanted any more."""

        async def decode_it() -> None:
            found: Sequence[Hypothesis] | EngineFailed
            try:
                found = await self._engines.pool.recognize(sound, RATE_HZ, grammars, locale)
            except EngineFailed as error:
                log.warning("not recognized", call=self._call.id, cause=str(error))
                found = error
            self._decoding = None
            done(found)

        self._drop_decoding()
        self._decoding = self._work(decode_it())

    async def close(self) -> None:
        """Stop all work, and wait until it is put away."""
        self.stop()
        for task in self._working:
            task.cancel()
        if self._working:
            await asyncio.wait(self._working)

    def _drop_decoding(self) -> None:
        """A recognition that waits for a worker would only keep it from others."""
        if self._decoding is not None:
            self._decoding.cancel()
            self._decoding = None

    def _work(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._worked)
        return task

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("recognition failed", call=self._call.id, exc_info=error)

    def _listen_by(self, endpointer: Endpointer) -> None:
        self.stop()
        self._endpointer = endpointer
        self._listening = asyncio.create_task(self._listen(endpointer))

    async def _listen(self, endpointer: Endpointer) -> None:
        try:
            await self._call.answer()  # the request may have overtaken the ACK
            async with aclosing(
                self._call.listen(sample_rate_hz=RATE_HZ, block_ms=BLOCK_MS)
            ) as blocks:
                async for block in blocks:
                    self._hear(endpointer, block)
        except CallEnded:
            return

    def _hear(self, endpointer: Endpointer, block: Samples) -> None:
        if self._whole is not None and len(self._whole) * BLOCK_MS < MAX_RECORDED_MS:
            self._whole.append(block)
        change = endpointer.hear(block)
        if change is None or self._endpointer is not endpointer:
            return
        if change == "began":
            self.listener.speech_began()
        elif change == "resumed":
            self.listener.speech_resumed()
        else:
            self.listener.speech_paused(endpointer.sound(), PAUSE_MS)


async def digits_of(call: Call, tell: Callable[[str], None]) -> None:
    """Tell each key that the caller presses, until the call ends."""
    while True:
        try:
            gathered = await call.gather(1, "", first_ms=DIGIT_WAIT_MS)
        except CallEnded:
            return
        for symbol in gathered.digits:
            tell(symbol)

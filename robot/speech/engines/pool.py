"""Workers that recognize: a bounded number of processes, a bounded queue before them."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen
from types import TracebackType
from typing import Any

import structlog

from ....media.codec import Samples
from ...grammar.model import Grammar
from .engine import EngineFailed, FailureKind, Hypothesis
from .worker import LENGTH, READY, Answer, Job, Sent, pack, pickled

log = structlog.get_logger(__name__)

MAX_WAITING = 256
JOB_S = 20.0
"""How long a job may take in a worker; one that takes longer is ended, and its worker with it."""
ANSWER_S = 30.0
"""How long anybody waits for an answer: for a worker that is free, and for its work."""
START_S = 60.0
MIN_BACK_OFF_S, MAX_BACK_OFF_S = 0.2, 10.0
MAX_TRIES = 2
"""A job whose worker has died is given to another one once: it may be what it died of."""

CLOSED = "the recognizers are being shut down"


@dataclass(slots=True, eq=False)
class _Task:
    """A job that somebody waits for."""

    job: Job
    done: asyncio.Future[Answer]
    tries: int = 0


@dataclass(slots=True)
class PoolFigures:
    """What the workers have done so far."""

    workers: int = 0
    waiting: int = 0
    jobs: int = 0
    failed: int = 0
    refused: int = 0
    restarts: int = 0
    cpu_us: int = 0


class RecognizerPool:
    """``workers`` processes with the recognizer ``name``; an asynchronous context manager.

    A job takes the next worker that is free. EngineFailed, raised at entry, says why an engine
    cannot work here; a worker that dies later is started again, later and later while that fails.
    """

    def __init__(self, name: str, *, workers: int = 2, max_waiting: int = MAX_WAITING) -> None:
        if workers < 1 or max_waiting < 1:
            raise ValueError("a pool needs at least one worker, and room for one job")
        self._name = name
        self._workers = workers
        self._max_waiting = max_waiting
        self._waiting: asyncio.Queue[_Task] = asyncio.Queue(max_waiting)
        self._figures = PoolFigures()
        self._numbers = 0
        self._owners: list[asyncio.Task[None]] = []
        self._running: set[_Worker] = set()
        self._closed = False

    async def __aenter__(self) -> RecognizerPool:
        ready: list[asyncio.Future[None]] = []
        for _ in range(self._workers):
            started = asyncio.get_running_loop().create_future()
            ready.append(started)
            self._owners.append(asyncio.create_task(self._keep(started)))
        try:
            await asyncio.gather(*ready)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all workers; who waits for a job gets EngineFailed."""
        self._closed = True
        for owner in self._owners:
            owner.cancel()
        await asyncio.gather(*self._owners, return_exceptions=True)
        while not self._waiting.empty():
            self._fail(self._waiting.get_nowait(), "failed", CLOSED)

    @property
    def name(self) -> str:
        """The recognizer's."""
        return self._name

    def figures(self) -> PoolFigures:
        """As they are now."""
        self._figures.waiting = self._waiting.qsize()
        self._figures.workers = len(self._running)
        return self._figures

    async def compile(self, grammars: Sequence[Grammar], locale: str) -> Sequence[str]:
        """Check that the grammars can be recognized; gives the words of theirs that are never
        recognized. Raises EngineFailed."""
        return (await self._do(Job(self._number(), _sent(grammars), locale))).unknown

    async def recognize(
        self, samples: Samples, sample_rate_hz: int, grammars: Sequence[Grammar], locale: str
    ) -> Sequence[Hypothesis]:
        """What was said, the best first. Raises EngineFailed; cancelling it forgets the job."""
        job = Job(self._number(), _sent(grammars), locale, sample_rate_hz, samples.tobytes())
        return (await self._do(job)).hypotheses

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _do(self, job: Job) -> Answer:
        if self._closed:
            raise EngineFailed("failed", CLOSED)
        task = _Task(job, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(task)
        except asyncio.QueueFull:
            self._figures.refused += 1
            raise EngineFailed(
                "busy", f"{self._max_waiting} recognitions wait already; give it more --workers"
            ) from None
        answer = await self._answer_to(task)
        self._figures.jobs += 1
        self._figures.cpu_us += answer.cpu_us
        if answer.failure is not None:
            self._figures.failed += 1
            raise answer.failure
        return answer

    async def _answer_to(self, task: _Task) -> Answer:
        """Its answer; a job that nobody waits for any more is not begun."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await task.done
        except TimeoutError:
            cause = f"no {self._name} was free within {ANSWER_S:g} s; give it more --workers"
            return Answer(task.job.number, failure=EngineFailed("deadline", cause))

    async def _keep(self, started: asyncio.Future[None]) -> None:
        """Keep one worker running, for ever."""
        back_off_s = MIN_BACK_OFF_S
        while True:
            worker = _Worker(self._name)
            try:
                await worker.start()
                if not started.done():
                    started.set_result(None)
                self._running.add(worker)
                if await self._serve(worker):
                    back_off_s = MIN_BACK_OFF_S
            except EngineFailed as error:
                if not started.done():
                    started.set_exception(error)
                    return
                log.warning("recognizer does not start", engine=self._name, cause=str(error))
            finally:
                self._running.discard(worker)
                await worker.end()
            self._figures.restarts += 1
            log.warning("recognizer worker ended", engine=self._name, again_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, MAX_BACK_OFF_S)

    async def _serve(self, worker: _Worker) -> bool:
        """Give the worker jobs until it dies; True if it did at least one."""
        worked = False
        while task := await self._next(worker):
            try:
                async with asyncio.timeout(JOB_S):
                    answer = await worker.do(task.job)
            except TimeoutError:
                self._fail(task, "deadline", f"{self._name} took more than {JOB_S:.0f} s")
                return worked
            except (EOFError, OSError):
                self._again(task)
                return worked
            except asyncio.CancelledError:
                self._fail(task, "failed", CLOSED)
                raise
            worked = True
            if not task.done.done():
                task.done.set_result(answer)
        return worked

    async def _next(self, worker: _Worker) -> _Task | None:
        """The next job that is still wanted; None if the worker has died."""
        while True:
            getting = asyncio.ensure_future(self._waiting.get())
            try:
                either: list[asyncio.Future[Any]] = [getting, worker.ended]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if getting.done():  # just taken out of the queue, where `close` would have found it
                    self._fail(getting.result(), "failed", CLOSED)
                raise
            finally:
                getting.cancel()
            if not getting.done():
                return None
            task = getting.result()
            if not task.done.done():
                return task

    def _again(self, task: _Task) -> None:
        task.tries += 1
        if task.tries < MAX_TRIES and not self._waiting.full():
            self._waiting.put_nowait(task)
        else:
            self._fail(task, "failed", f"{self._name} dies of this utterance")

    @staticmethod
    def _fail(task: _Task, kind: FailureKind, text: str) -> None:
        if not task.done.done():
            failure = EngineFailed(kind, text)
            task.done.set_result(Answer(task.job.number, failure=failure))


class _Worker:
    """One process, and the pipes to it. ``ended`` is done once it has closed its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: Popen[bytes] | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._expected: dict[int, asyncio.Future[Answer]] = {}
        self.ended: asyncio.Future[None]

    async def start(self) -> None:
        """EngineFailed: it does not, or not in time."""
        self._process = process = await asyncio.to_thread(_spawn, self._name)
        assert process.stdin is not None and process.stdout is not None
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader()
        out, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), process.stdout
        )
        self._transports.append(out)
        into, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), process.stdin
        )
        self._transports.append(into)
        self._writer = asyncio.StreamWriter(into, protocol, None, loop)
        ready = self._expected[READY] = loop.create_future()
        self.ended = asyncio.ensure_future(self._read_answers())
        try:
            async with asyncio.timeout(START_S):
                answer = await ready
        except TimeoutError:
            raise EngineFailed("deadline", f"{self._name} not ready in {START_S:.0f} s") from None
        except EOFError:
            raise EngineFailed("failed", f"{self._name}: its worker ended at once") from None
        if answer.failure is not None:
            raise answer.failure

    async def do(self, job: Job) -> Answer:
        """EOFError, OSError: the worker has died."""
        if self.ended.done():
            raise EOFError
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._expected[job.number] = answered
        try:
            self._writer.write(pack(job))
            await self._writer.drain()
            return await answered
        finally:
            del self._expected[job.number]

    async def _read_answers(self) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                answer: Answer = pickle.loads(await self._reader.readexactly(length))
                answered = self._expected.get(answer.number)
                if answered is not None and not answered.done():
                    answered.set_result(answer)
        except (EOFError, OSError, pickle.UnpicklingError):
            for answered in self._expected.values():
                if not answered.done():
                    answered.set_exception(EOFError())

    async def end(self) -> None:
        """Kill it, if it has not ended."""
        if self._process is None:
            return
        for transport in self._transports:
            transport.close()
        self._process.kill()
        await asyncio.shield(asyncio.to_thread(self._process.wait))
        if hasattr(self, "ended"):
            await self.ended


def _sent(grammars: Sequence[Grammar]) -> tuple[Sent, ...]:
    return tuple(pickled(grammar) for grammar in grammars)


def _spawn(name: str) -> Popen[bytes]:
    # Not -m: then what it pickles would belong to `__main__`.
    program = f"from {__package__}.worker import main; main()"
    try:
        return Popen([sys.executable, "-c", program, name], stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    except OSError as error:
        raise EngineFailed("failed", f"{name}: worker not started: {error.strerror}") from error

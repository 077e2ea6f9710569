"""A robot: a script, and the calls of an engine that it is held with."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Any, Self

import structlog

from ..media.call import Call, CallEnded
from ..media.dialling import DialFailed
from ..media.engine import Engine
from ..media.sound import PromptError
from .channels.channel import Channel
from .channels.phone import Equipment, PhoneChannel, Target, clock_ms, sip_target
from .channels.sounds import Sounds
from .channels.voice import KeptPrompts
from .conversation import converse
from .fetch import Fetcher
from .figures import RobotFigures
from .interruptible import Interruptible
from .record import record_of
from .script import events
from .script.actions import Action
from .script.interpreter import Interpreter
from .script.model import By, FilePrompt, Json, Script
from .script.outcome import Ended
from .script.secrets import MissingSecret, read_secrets
from .script.walk import parts
from .speech.service import SpeechService
from .speech.stream import StreamTotals

log = structlog.get_logger(__name__)

Record = dict[str, Any]
TakeRecord = Callable[[Record], Awaitable[None]]
Observe = Callable[[Call, Action | events.Event], None]
"""Told of each action of a call when it is begun, and of the event that answers it."""


LAST_FIGURES_S = 1.0


class RobotError(Exception):
    """A robot cannot begin; the text says why."""


class Robot:
    """Holds the conversations of a script; an asynchronous context manager.

    ``engine`` is one that runs. ``speech`` has the services that speak and recognize, by what
    scripts call them; without any, a script has files and keys. ``kept`` has prompts that were
    spoken before. ``recordings`` is the folder of `record` steps. ``results`` is given the record
    of each call. ``observe`` sees what goes on. ``target`` says where a transfer goes. Beyond
    ``max_conversations`` at the same time, calls are refused with 503. ``conversations`` counts
    those that go on; ``idle`` is set after :meth:`drain`, when there are none.

    RobotError: the script needs a secret that the environment does not have.
    """

    def __init__(
        self,
        engine: Engine,
        script: Script,
        *,
        speech: Mapping[By, SpeechService] | None = None,
        kept: KeptPrompts | None = None,
        recordings: Path | None = None,
        results: TakeRecord | None = None,
        observe: Observe | None = None,
        target: Target = sip_target,
        max_conversations: int | None = None,
    ) -> None:
        self.script = script
        self.conversations = 0
        self.figures = RobotFigures()
        self.idle = asyncio.Event()
        self._log = log.bind()  # once: binding costs more than a line that is not wanted
        self._draining = False
        self._most = max_conversations
        self._engine = engine
        self._secrets = secrets_of(script)
        self._results = results
        self._observe = observe
        self._fetcher = Fetcher(clock_ms)
        self._sounds = Sounds()
        self._equipment = Equipment(
            self._fetcher,
            self._sounds,
            recordings or Path(gettempdir()),
            speech or {},
            kept,
            target,
        )

    @property
    def streams(self) -> StreamTotals:
        """What its `stream` steps have come to."""
        return self._equipment.streams

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._fetcher.close()
        self._sounds.close()

    async def prepare(self) -> None:
        """Read the script's sound files before anybody calls. RobotError: one cannot be played."""
        try:
            await self._engine.load(*files_of(self.script))
        except PromptError as error:
            raise RobotError(str(error)) from error

    def drain(self) -> None:
        """No more calls will come."""
        self._draining = True
        self._rest()

    def _rest(self) -> None:
        if self._draining and not self.conversations:
            self.idle.set()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """From before a call is answered until its record was taken: those that come at the same
        time are counted, and whoever waits for the end waits for the records."""
        self.conversations += 1
        try:
            yield
        finally:
            self.conversations -= 1
            self._rest()

    async def answer(self, call: Call) -> None:
        """Answer a call and hold the conversation: a handler for :meth:`Engine.serve`."""
        if self._most is not None and self.conversations >= self._most:
            call.reject(503)
            return
        with self._counted():
            await self._answer(call)

    async def _answer(self, call: Call) -> None:
        facts = facts_of(call)
        began_ms = clock_ms()
        try:
            await call.answer()
        except CallEnded as error:
            record = record_of(
                self.script,
                call,
                facts,
                began_ms=began_ms,
                ended_ms=clock_ms(),
                outcome="abandoned",
                reason=str(error),
            )
            await self._take(record)
            return
        await self._hold(call, facts, began_ms)

    async def dial(
        self, uri: str, facts: Mapping[str, Json] | None = None, **options: Any
    ) -> Record:
        """Call somebody, and hold the conversation; returns its record. ``facts`` are what the
        script knows beside who is called. ``options`` are those of :meth:`Engine.dial`."""
        given: dict[str, Json] = {"direction": "out", "callee": uri, **(facts or {})}
        with self._counted():
            return await self._dial(uri, given, options)

    async def _dial(self, uri: str, given: dict[str, Json], options: dict[str, Any]) -> Record:
        began_ms = clock_ms()
        try:
            call = await self._engine.dial(uri, **options)
        except (DialFailed, ValueError) as error:
            failed = error if isinstance(error, DialFailed) else None
            record = record_of(
                self.script,
                None,
                given,
                began_ms=began_ms,
                ended_ms=clock_ms(),
                outcome=failed.outcome.value if failed else "rejected",
                reason=str(error),
                trunk=failed.trunk if failed else None,
            )
            await self._take(record)
            return record
        try:
            return await self._hold(call, facts_of(call) | given, began_ms)
        finally:
            call.abandon()

    async def _hold(self, call: Call, facts: dict[str, Json], began_ms: int) -> Record:
        interpreter = Interpreter(self.script, self._secrets)
        phone = PhoneChannel(call, self._equipment, script_by=self.script.by)
        channel: Channel = phone
        if self._observe is not None:
            channel = Observed(phone, call, self._observe)
        try:
            await converse(interpreter, channel, clock_ms=clock_ms, facts=facts)
            await phone.finish()
        except asyncio.CancelledError:
            interpreter.stop(clock_ms(), "shutdown")
            raise
        except Exception:
            interpreter.stop(clock_ms(), "error")
            raise
        finally:
            try:
                record = await self._take_answered(call, facts, began_ms, interpreter.ended)
            finally:
                await phone.close()
        return record

    async def _take_answered(
        self, call: Call, facts: dict[str, Json], began_ms: int, ended: Ended | None
    ) -> Record:
        try:
            await _quiet(call)
        finally:
            # Also for who is cancelled while he waits: there is no other record of the call.
            record = record_of(
                self.script,
                call,
                facts,
                began_ms=began_ms,
                ended_ms=clock_ms(),
                outcome="answered",
                ended=ended,
            )
            await self._take(record)
        return record

    async def _take(self, record: Record) -> None:
        self.figures.note(record)
        self._log.info(
            "conversation over",
            call=record["call"],
            outcome=record["outcome"],
            cause=record["cause"],
            steps=record["steps"],
            seconds=record["seconds"],
        )
        if self._results is not None:
            await self._results(record)


async def _quiet(call: Call) -> None:
    """Wait for the last figures of a call that is over."""
    if call.ended is not None:
        with Interruptible() as closing:
            limit = asyncio.get_running_loop().call_later(LAST_FIGURES_S, closing.interrupt)
            try:
                await call.wait_closed()
            finally:
                limit.cancel()


class Observed:
    """A channel that lets somebody see what goes over it."""

    def __init__(self, channel: Channel, call: Call, observe: Observe) -> None:
        self.kind = channel.kind
        self._channel = channel
        self._call = call
        self._observe = observe

    async def perform(self, action: Action) -> events.Event | None:
        self._observe(self._call, action)
        event = await self._channel.perform(action)
        if event is not None:
            self._observe(self._call, event)
        return event

    async def wait_left(self) -> events.Left:
        left = await self._channel.wait_left()
        self._observe(self._call, left)
        return left


def facts_of(call: Call) -> dict[str, Json]:
    """What a script may know of a call."""
    return {
        "call": call.id,
        "call_id": call.call_id,
        "direction": "out" if call.outgoing else "in",
        "caller": call.from_uri,
        "callee": call.to_uri,
    }


def secrets_of(script: Script) -> dict[str, str]:
    """The texts of a script's secrets, from the environment. RobotError: one is not there."""
    try:
        return read_secrets(script, os.environ)
    except MissingSecret as error:
        raise RobotError(f"{error}: set these environment variables") from error


def files_of(script: Script) -> list[Path]:
    """The sound files of a script whose names do not depend on the conversation."""
    found: dict[Path, None] = {}
    for one in script.all:
        for prompt in (part for step in one.steps.values() for part in parts(step)):
            if isinstance(prompt, FilePrompt) and prompt.path.constant is not None:
                found[Path(one.base, prompt.path.constant)] = None
    return list(found)

"""Who speaks and hears for a robot: from ``--speech`` and ``[speech]`` to services."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ..media.capacity import MAX_CALLS
from ..media.engine import Engine
from ..media.sip.transport import ListenError
from ..robot.kept import CachedPrompts
from ..robot.runner import Robot
from ..robot.script.model import By
from ..robot.speech.cache import PromptCache
from ..robot.speech.embedded import EmbeddedSpeech, SpeechUnavailable
from ..robot.speech.engines.engine import EngineFailed
from ..robot.speech.engines.espeak import EspeakSynthesizer
from ..robot.speech.mrcp.servers import MrcpServer
from ..robot.speech.mrcp.service import MrcpOptions, MrcpService
from ..robot.speech.service import SpeechService
from .config import ServeConfig
from .errors import CommandError, cause_of
from .streaming import stream_speech

LOCAL = "local"
MANY_SESSIONS = 10_000
"""Sessions where nobody limits calls: what RTP ports allow by default."""
REMEDY = "Use local, or an MRCP server's sip:HOST:PORT; an agent is named by --stream"

Services = dict[By, SpeechService]


def wants_speech(config: ServeConfig, given: Sequence[str]) -> bool:
    """Whether there will be any; then a call may take a session, with a socket of its own."""
    return bool(given) or config.speech is not None


def speech_sessions_of(config: ServeConfig, given: Sequence[str]) -> int:
    """How many sessions there may be: a call may take one of our own server and one of another."""
    if not wants_speech(config, given):
        return 0
    if config.max_calls is None:
        return MANY_SESSIONS
    return min(2 * config.max_calls, MAX_CALLS - config.max_calls)


def check_speech(config: ServeConfig, given: Sequence[str], kept: Path | None) -> None:
    """CommandError: what --speech, --stream and --keep-prompts name cannot be."""
    _named_servers(given)
    stream_speech(config)
    if kept is not None and LOCAL not in given:
        raise CommandError("--keep-prompts keeps those of --speech local", f"Add --speech {LOCAL}")


@contextlib.asynccontextmanager
async def speech_services(
    engine: Engine,
    config: ServeConfig,
    given: Sequence[str],
    embedded: EmbeddedSpeech | None = None,
) -> AsyncIterator[Services]:
    """Services by what scripts call them. What is not there is done by another one: a script that
    asks for ``local`` goes to the MRCP server where there is only that, and the other way round.
    ``embedded`` is run as the local one.

    CommandError: one cannot be had.
    """
    found: Services = {}
    async with contextlib.AsyncExitStack() as stack:
        options = _named_servers(given) or config.speech
        try:
            if LOCAL in given:
                uri = await stack.enter_async_context(embedded or EmbeddedSpeech())
                local = MrcpOptions((MrcpServer(uri, LOCAL),))
                found["local"] = await _mrcp(engine, local, stack)
            if options is not None:
                found["mrcp"] = await _mrcp(engine, options, stack)
        except (SpeechUnavailable, ListenError, ValueError) as error:
            raise CommandError(f"--speech: {error}") from error
        found |= stream_speech(config)
        others: tuple[tuple[By, tuple[By, ...]], ...] = (
            ("local", ("mrcp", "stream")),
            ("mrcp", ("local", "stream")),
        )
        for name, instead in others:
            there = [found[other] for other in instead if other in found]
            if name not in found and there:
                found[name] = there[0]
        yield found


async def close_when_idle(robot: Robot, services: Services) -> None:
    """When a robot that drains has held its last conversation: `close_services`."""
    await robot.idle.wait()
    await close_services(services)


async def close_services(services: Services) -> None:
    """End the sessions that wait for another conversation: they are calls of the engine, and who
    drains that would wait for their end."""
    for service in set(services.values()):
        await service.close()


def _named_servers(given: Sequence[str]) -> MrcpOptions | None:
    """The MRCP servers among them, if any. CommandError for what is neither that nor local."""
    uris = [text for text in given if text != LOCAL]
    for text in uris:
        if not text.startswith(("sip:", "sips:")):
            raise CommandError(f"--speech: no {text!r}", REMEDY)
    try:
        return MrcpOptions(tuple(map(MrcpServer, uris))) if uris else None
    except ValueError as error:
        raise CommandError(f"--speech: {error}", REMEDY) from None


async def _mrcp(
    engine: Engine, options: MrcpOptions, stack: contextlib.AsyncExitStack
) -> MrcpService:
    service = MrcpService(engine, options)
    stack.push_async_callback(service.close)
    await service.prepare()
    return service


@contextlib.asynccontextmanager
async def kept_prompts(folder: Path | None) -> AsyncIterator[CachedPrompts | None]:
    """Prompts of our own engine are kept in a folder. CommandError: they cannot be."""
    if folder is None:
        yield None
        return
    try:
        cached = CachedPrompts(PromptCache(folder, synthesizer=EspeakSynthesizer()))
    except (EngineFailed, OSError) as error:
        cause = f"--keep-prompts {folder}: {cause_of(error)}"
        remedy = "" if isinstance(error, EngineFailed) else "Name a folder that may be written to"
        raise CommandError(cause, remedy) from error
    try:
        yield cached
    finally:
        await cached.close()

"""Synthesis by espeak-ng, a program of its own: text to its stdin, sound from its stdout."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import struct
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import numpy as np

from ....media.codec import Samples
from .engine import EngineFailed, Utterance

PROGRAM = "espeak-ng"
RATE_HZ = 22_050
WORDS_PER_MINUTE = 160
MIN_WORDS_PER_MINUTE, MAX_WORDS_PER_MINUTE = 80, 450
AMPLITUDE, MAX_AMPLITUDE = 100, 200

MAX_TEXT_BYTES = 48_000
"""Less than a pipe holds, so that writing it never waits."""
MAX_PROCESSES = 64
READ_BYTES = 8_192
TURN_S = 10.0
"""How long a place among the processes, and the next sound of one, is waited for."""

_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}(\+[A-Za-z0-9]{1,16})?")
"""espeak-ng takes paths for voices as well: those are not for callers."""


@dataclass(slots=True)
class _WavHeader:
    """Takes the header off a stream of WAV whose lengths are not known yet."""

    held: bytes = b""
    done: bool = False

    def take(self, data: bytes) -> bytes:
        """The sound in ``data``. EngineFailed: it is no mono sound of 16 bits at `RATE_HZ`."""
        if self.done:
            return data
        self.held += data
        at = 12
        while len(self.held) >= at + 8:
            kind, size = struct.unpack_from("<4sI", self.held, at)
            if kind == b"data":
                self.done = True
                return self.held[at + 8 :]
            if kind == b"fmt " and len(self.held) >= at + 24:
                _check_format(struct.unpack_from("<HHIIHH", self.held, at + 8))
            at += 8 + size
        return b""


def _check_format(found: tuple[int, ...]) -> None:
    _, channels, rate_hz, _, _, bits = found
    if (channels, rate_hz, bits) != (1, RATE_HZ, 16):
        raise EngineFailed(
            "failed", f"espeak-ng makes {channels} x {bits} bits at {rate_hz} Hz; update it"
        )


class EspeakSynthesizer:
    """A process for each utterance, at most ``max_processes`` at a time.

    The process is paced by who takes its sound: its pipe holds a second and a half.
    """

    name = "espeak-ng"
    sample_rate_hz = RATE_HZ

    def __init__(self, max_processes: int = MAX_PROCESSES) -> None:
        self._program = shutil.which(PROGRAM)
        if self._program is None:
            raise EngineFailed(
                "missing", "espeak-ng is not installed; install it: apt-get install espeak-ng"
            )
        self._places = asyncio.Semaphore(max_processes)
        self._languages: frozenset[str] = frozenset()

    async def check(self, utterance: Utterance) -> None:
        """EngineFailed: the language, the voice or the text is none that it can speak."""
        await self._voice_of(utterance)
        _bytes_of(utterance)

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[Samples, None]:
        """Blocks of about 0.2 s, the first after some 20 ms of CPU time."""
        command = [*self._command(utterance), "-v", await self._voice_of(utterance)]
        text = _bytes_of(utterance)
        try:
            async with asyncio.timeout(TURN_S):
                await self._places.acquire()
        except TimeoutError:
            raise EngineFailed(
                "busy", f"no room for one more espeak-ng in {TURN_S:.0f} s"
            ) from None
        try:
            async with aclosing(_sound_of(command, text)) as blocks:
                async for block in blocks:
                    yield block
        finally:
            self._places.release()

    def _command(self, utterance: Utterance) -> list[str]:
        assert self._program is not None
        words = round(WORDS_PER_MINUTE * utterance.rate)
        loud = round(AMPLITUDE * utterance.volume)
        return [
            self._program,
            "--stdin",
            "--stdout",
            "-b1",
            f"-s{min(max(words, MIN_WORDS_PER_MINUTE), MAX_WORDS_PER_MINUTE)}",
            f"-a{min(max(loud, 0), MAX_AMPLITUDE)}",
            *(["-m"] if utterance.ssml else []),
        ]

    async def _voice_of(self, utterance: Utterance) -> str:
        languages = await self._known_languages()
        voice = utterance.voice
        if voice is not None:
            if not _VOICE.fullmatch(voice) or voice.partition("+")[0].lower() not in languages:
                raise EngineFailed("voice", f"espeak-ng has no voice {voice!r}; see its --voices")
            return voice
        locale = utterance.locale.lower()
        for name in (locale, locale.partition("-")[0]):
            if name in languages:
                return name
        raise EngineFailed("language", f"espeak-ng does not speak {utterance.locale!r}")

    async def _known_languages(self) -> frozenset[str]:
        if not self._languages:
            self._languages = await asyncio.to_thread(_languages, str(self._program))
        return self._languages


def _languages(program: str) -> frozenset[str]:
    try:
        listed = subprocess.run(
            [program, "--voices"], capture_output=True, check=True, timeout=TURN_S, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineFailed("failed", f"espeak-ng cannot list its voices: {error}") from error
    return frozenset(
        fields[1].lower() for line in listed.splitlines()[1:] if (fields := line.split())
    )


def _bytes_of(utterance: Utterance) -> bytes:
    text = utterance.text.replace("\0", " ").encode("utf-8", "replace")
    if len(text) > MAX_TEXT_BYTES:
        cause = f"{len(text)} bytes of text at once, at most {MAX_TEXT_BYTES}; split it"
        raise EngineFailed("failed", cause)
    return text


async def _sound_of(command: list[str], text: bytes) -> AsyncGenerator[Samples, None]:
    # Popen in a thread, since it does not copy the process's memory map (vfork): the loop's own
    # way to start programs would, under uvloop, and shards would stumble over that.
    process = await asyncio.to_thread(_start, command, text)
    assert process.stdout is not None
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_BYTES)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    header, odd, some = _WavHeader(), b"", False
    try:
        while data := await _read(reader):
            sound = odd + header.take(data)
            whole = len(sound) & ~1
            odd = sound[whole:]
            if whole:
                some = True
                yield np.frombuffer(sound[:whole], "<i2").astype(np.int16)
        if not some:
            await asyncio.to_thread(process.wait)
            if process.returncode:
                raise EngineFailed("failed", f"espeak-ng ended with status {process.returncode}")
    finally:
        transport.close()
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(asyncio.to_thread(process.wait))


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(TURN_S):
            return await reader.read(READ_BYTES)
    except TimeoutError:
        raise EngineFailed("deadline", f"espeak-ng gave no sound for {TURN_S:.0f} s") from None


def _start(command: list[str], text: bytes) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        raise EngineFailed("failed", f"espeak-ng does not start: {error.strerror}") from error
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(text)
        process.stdin.close()
    return process

"""The speech server that comes with Ringwheel, run as a child process for who needs no other."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from types import TracebackType

import structlog

from ...media.ports import rtp_port_range

log = structlog.get_logger(__name__)

START_S = 60.0
STOP_S = 5.0
MIN_BACK_OFF_S, MAX_BACK_OFF_S = 0.5, 15.0
READ_BYTES = 65_536
KEPT_BYTES = 4_096
"""What is kept of what it says before it serves."""
LAST_LINES = 3
"""Lines of that which go into an error's text."""
LAST_WORDS_S = 2.0
"""How long they are waited for."""
STEADY_S = 30.0
"""A server that has lived so long is started again soon when it dies."""


class SpeechUnavailable(Exception):
    """The server does not start; the text says why, and what helps."""


class _Words:
    """What a server says on stderr. It is read all the time, so that the server never waits for
    that: the end of it is kept until it serves, and from then on all is passed on."""

    def __init__(self, stderr: asyncio.StreamReader) -> None:
        self._kept = b""
        self._passing_on = False
        self.read = asyncio.create_task(self._read(stderr))

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        while said := await stderr.read(READ_BYTES):
            if self._passing_on:
                _pass_on(said)
            else:
                self._kept = (self._kept + said)[-KEPT_BYTES:]

    def pass_on(self) -> None:
        """It serves."""
        _pass_on(self._kept)
        self._passing_on = True

    def last_lines(self) -> str:
        """What it has said last, as one line, before it served."""
        lines = self._kept.decode(errors="replace").splitlines()
        told = [line.strip().removeprefix("ringwheel: ") for line in lines if line.strip()]
        return "; ".join(told[-LAST_LINES:])

    async def wait(self) -> None:
        """Until all was read, of a server that ends: not long, because others may hold its end."""
        await asyncio.wait([self.read], timeout=LAST_WORDS_S)


def _pass_on(said: bytes) -> None:
    sys.stderr.write(said.decode(errors="replace"))


class EmbeddedSpeech:
    """``ringwheel speech`` on free ports of the loopback interface; a context manager that gives
    its SIP URI.

    When it dies it is started again on the same ports, later and later while it dies at once:
    ``restarts`` counts how often that was tried, ``served_again`` how often it served.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        voice: str | None = None,
        rtp_ports: tuple[int, int] = (41_000, 45_000),
        log_level: str = "warning",
    ) -> None:
        if not rtp_port_range(*rtp_ports):
            raise ValueError(f"RTP ports {rtp_ports[0]}-{rtp_ports[1]}: there is none among them")
        self._options = ["--rtp-ports", f"{rtp_ports[0]}-{rtp_ports[1]}"]
        if workers is not None:
            self._options += ["--workers", str(workers)]
        if voice is not None:
            self._options += ["--voice", voice]
        self._log_level = log_level
        self._sip, self._mrcp = "udp:127.0.0.1:0", "127.0.0.1:0"
        self._process: Process | None = None
        self._words: _Words | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.restarts = 0
        self.served_again = 0

    @property
    def pid(self) -> int | None:
        """Of the server that runs now; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def uri(self) -> str:
        """Where sessions are set up."""
        return f"sip:{self._sip.removeprefix('udp:')}"

    async def __aenter__(self) -> str:
        """SpeechUnavailable: it does not start."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self.uri

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._end()

    async def _start(self) -> None:
        """Start it, and wait until it serves."""
        command = ["-m", "ringwheel.cli.main", "--log-level", self._log_level, "speech"]
        command += ["--sip", self._sip, "--mrcp", self._mrcp, "--announce", *self._options]
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert process.stderr is not None
        self._words = words = _Words(process.stderr)
        try:
            told = json.loads(await self._first_line(process, words))
        except BaseException:  # whoever gives up waiting leaves no server behind
            with suppress(ProcessLookupError):
                process.kill()
            await self._end()
            raise
        words.pass_on()
        self._sip, self._mrcp = told["sip"][0], told["mrcp"]

    @staticmethod
    async def _first_line(process: Process, words: _Words) -> bytes:
        """What it tells once it serves. SpeechUnavailable."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            late = f"ringwheel speech does not serve in {START_S:.0f} s"
            raise SpeechUnavailable("; ".join(filter(None, (late, words.last_lines())))) from None
        if not line:
            await words.wait()
            raise SpeechUnavailable(words.last_lines() or "it ended without a word")
        return line

    async def _keep(self) -> None:
        """Start it again whenever it has died."""
        loop = asyncio.get_running_loop()
        back_off_s = MIN_BACK_OFF_S
        while True:
            began_s = loop.time()
            await self._watch()
            if loop.time() - began_s >= STEADY_S:
                back_off_s = MIN_BACK_OFF_S
            log.warning("speech server died", again_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, MAX_BACK_OFF_S)
            self.restarts += 1
            try:
                await self._start()
                self.served_again += 1
            except (SpeechUnavailable, OSError) as error:
                log.warning("speech server does not start", cause=str(error))

    async def _watch(self) -> None:
        """Wait until it ends."""
        process, words = self._process, self._words
        if process is not None and words is not None:
            await asyncio.wait([words.read])
            await process.wait()

    async def _end(self) -> None:
        process, self._process = self._process, None
        words, self._words = self._words, None
        if process is not None and process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if words is not None:
            await words.wait()
            words.read.cancel()

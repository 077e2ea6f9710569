"""Phones that others wrote, and that a test drives: pjsua2 (PJSIP) and baresip.

Each is a process of its own, which answers who calls it, and sends back what it hears.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringwheel.media.sip.tls import TlsConfig

from ..certificates import Authority
from ..ports import free_port

DEADLINE_S = 60.0
KEY_S = 0.1
PHONE = Path(__file__).with_name("pjsua2_phone.py")


@dataclass(frozen=True, slots=True)
class Line:
    """What calls go over: UDP and RTP in the clear, or TLS and SRTP with its keys in the SDP."""

    tls: bool
    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, tls: bool) -> Line:
        """A line with certificates of its own."""
        authority = Authority(folder)
        certificate, key = authority.issue("127.0.0.1", "localhost")
        return cls(tls, authority.path, certificate, key)

    def engine_options(self) -> dict[str, Any]:
        """For an `Engine`. baresip's SDP names the machine's address, and it sends from loopback:
        hence ``latch``."""
        options: dict[str, Any] = {"sip": ["udp:127.0.0.1:0"], "rtp_source": "latch"}
        if self.tls:
            config = TlsConfig(self.certificate, self.key, self.authority, "off")
            options |= {"sip": ["tls:127.0.0.1:0"], "tls": config, "srtp": "required"}
        return options

    def uri(self, user: str, address: str) -> str:
        """How to call ``user`` there."""
        return f"sip:{user}@{address}{';transport=tls' if self.tls else ''}"


class Phone(abc.ABC):
    """What a test sees of it. ``uri`` is how to call it; ``digits`` what was pressed to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = ""
        self.digits = ""
        self.events: list[tuple[str, str]] = []
        self._change = asyncio.Event()

    def _tell(self, event: str, text: str) -> None:
        if event == "digit":
            self.digits += text
        self.events.append((event, text))
        self._change.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what it has told makes ``condition`` true."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._change.clear()
                await self._change.wait()

    async def told(self, event: str, text: str | None = None) -> None:
        """Wait until it has told of ``event``."""
        await self.until(
            lambda: any(one == event and text in (None, with_) for one, with_ in self.events)
        )

    def recordings(self) -> list[Path]:
        """What it has heard, once it is closed: WAV files, nonempty ones."""
        found = self.folder.glob(self._recordings)
        return [file for file in found if file.stat().st_size > 44]

    _recordings: str

    @abc.abstractmethod
    async def call(self, uri: str) -> None:
        """Call there."""

    @abc.abstractmethod
    async def hold(self) -> None:
        """Put the other side on hold."""

    @abc.abstractmethod
    async def resume(self) -> None:
        """Take it up again."""

    @abc.abstractmethod
    async def press(self, digits: str) -> None:
        """Press keys."""

    @abc.abstractmethod
    async def transfer(self, uri: str) -> None:
        """Send the other side there, in angle brackets: both write it into Refer-To as it is."""

    @abc.abstractmethod
    async def hang_up(self) -> None:
        """End the first call."""


class Pjsua2Phone(Phone):
    """`pjsua2_phone.py`, through its pipes."""

    _recordings = "heard-*.wav"

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        super().__init__(folder)
        assert process.stdin and process.stdout
        self._in, self._out = process.stdin, process.stdout

    async def read(self, line: Line) -> None:
        """Take what it tells, to its end."""
        async for text in self._out:
            if not text.startswith(b"{"):  # PJSIP's own log, until it is told to write none
                continue
            event = json.loads(text)
            if event["event"] == "ready":
                self.uri = line.uri("pjsua2", event["with"])
            self._tell(event["event"], event["with"])

    async def _do(self, name: str, text: str = "") -> None:
        self._in.write(json.dumps({"do": name, "with": text}).encode() + b"\n")
        await self._in.drain()

    async def call(self, uri: str) -> None:
        await self._do("call", uri)

    async def hold(self) -> None:
        await self._do("hold")

    async def resume(self) -> None:
        await self._do("resume")

    async def press(self, digits: str) -> None:
        await self._do("press", digits)

    async def transfer(self, uri: str) -> None:
        await self._do("transfer", f"<{uri}>")

    async def attend(self) -> None:
        """Connect the other sides of its two calls."""
        await self._do("attend")

    async def hang_up(self) -> None:
        await self._do("hang up")

    def quit(self) -> None:
        """Let it complete its files, and end."""
        self._in.close()


@contextlib.asynccontextmanager
async def pjsua2_phone(folder: Path, line: Line) -> AsyncIterator[Pjsua2Phone]:
    """It runs, and is reached at its ``uri``."""
    files = [f"--tls-ca={line.authority}", f"--tls-cert={line.certificate}"]
    options = ["--srtp", *files, f"--tls-key={line.key}"] if line.tls else []
    async with running(sys.executable, str(PHONE), str(folder), *options) as process:
        phone = Pjsua2Phone(folder, process)
        async with reading(phone.read(line)):
            await phone.told("ready")
            yield phone
            phone.quit()
            async with asyncio.timeout(DEADLINE_S):
                assert await process.wait() == 0


BARESIP = """\
sip_listen 127.0.0.1:{sip_port}
sip_certificate {pem}
sip_cafile {ca}
sip_verify_server yes
audio_player aubridge,loop
audio_source {source}
audio_alert aubridge,alert
audio_srate 8000
audio_channels 1
audio_buffer 20-160
jitter_buffer_delay 5-10
snd_path {folder}
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module aufile.so
module sndfile.so
module srtp.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
module_app cons.so
cons_listen 127.0.0.1:{console_port}
"""
"""By the source ``aubridge,loop``, sound goes round in a circle inside it. Its SIP port by TLS is
the next one."""

BARESIP_EVENTS = {
    "CALL_ESTABLISHED": "confirmed",
    "CALL_CLOSED": "ended",
    "CALL_DTMF_START": "digit",
    "TRANSFER": "sent away",
    "TRANSFER_FAILED": "transfer failed",
    "CALL_REMOTE_SDP": "media",
}
RELEASE = b"\r"


class Baresip(Phone):
    """baresip: commands and events by ctrl_tcp, and keys, which have to last, by its console."""

    _recordings = "dump-*-dec.wav"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._control: asyncio.StreamWriter
        self._console: asyncio.StreamWriter

    async def connect(self, control_port: int, console_port: int) -> asyncio.StreamReader:
        """Reach it, as soon as it listens; what it tells is read from what is returned."""
        reader, self._control = await connected(control_port)
        _, self._console = await connected(console_port)
        return reader

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Take what it tells, netstrings of JSON, to its end."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                event = json.loads((await reader.readexactly(length + 1))[:-1])
                if event.get("type") in BARESIP_EVENTS:
                    self._tell(BARESIP_EVENTS[event["type"]], event.get("param", ""))

    async def _do(self, command: str, params: str = "") -> None:
        text = json.dumps({"command": command, "params": params, "token": command}).encode()
        self._control.write(b"%d:%s," % (len(text), text))
        await self._control.drain()

    async def call(self, uri: str) -> None:
        await self._do("dial", uri)

    async def hold(self) -> None:
        await self._do("hold")

    async def resume(self) -> None:
        await self._do("resume")

    async def press(self, digits: str) -> None:
        for digit in digits:
            for key in (digit.encode(), RELEASE):
                self._console.write(key)
                await self._console.drain()
                await asyncio.sleep(KEY_S)

    async def transfer(self, uri: str) -> None:
        await self._do("transfer", f"<{uri}>")

    async def hang_up(self) -> None:
        await self._do("hangup")

    async def quit(self) -> None:
        """Let it end."""
        await self._do("quit")
        self._console.close()


@contextlib.asynccontextmanager
async def baresip_phone(
    program: str, folder: Path, line: Line, source: str = "aubridge,loop"
) -> AsyncIterator[Baresip]:
    """It runs, and is reached at its ``uri``. Its loop stands still after a hold, a file does not:
    ``aufile,PATH``."""
    # It cannot be asked which it has taken. By TLS, it takes the port behind.
    sip_port, control_port, console_port = free_port(following=1), free_port(), free_port()
    pem = folder / "baresip.pem"
    pem.write_bytes(line.certificate.read_bytes() + line.key.read_bytes())
    (folder / "config").write_text(
        BARESIP.format(
            sip_port=sip_port,
            control_port=control_port,
            console_port=console_port,
            pem=pem,
            ca=line.authority,
            folder=folder,
            source=source,
        )
    )
    options = ";transport=tls" if line.tls else ""
    secure = ";mediaenc=srtp-mand" if line.tls else ""
    account = f"<sip:baresip@127.0.0.1{options}>;regint=0;audio_codecs=pcmu;answermode=auto{secure}"
    (folder / "accounts").write_text(f"{account}\n")
    (folder / "contacts").write_text("")
    async with running(program, "-f", str(folder)) as process:
        phone = Baresip(folder)
        phone.uri = line.uri("baresip", f"127.0.0.1:{sip_port + line.tls}")
        async with reading(phone.read(await phone.connect(control_port, console_port))):
            yield phone
            await phone.quit()
            async with asyncio.timeout(DEADLINE_S):
                assert await process.wait() == 0


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to loopback, as soon as somebody listens."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE if command[0] == sys.executable else None,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def reading(work: Any) -> AsyncIterator[None]:
    """A reader that is ended with the block."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

"""A little speech server for tests: SIP and MRCPv2 in plain text, sockets of its own.

Nothing of Ringwheel is used here. It does what a good server does, and whatever else a test wants:
what becomes of each method is a function in ``on``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from .client import TIMEOUT_S, Message, read_message, udp, udp_pair

PACKET_BYTES = 160
FINE = "COMPLETE"
GOES_ON = "IN-PROGRESS"

NLSML = """<?xml version="1.0"?>
<result xmlns="urn:ietf:params:xml:ns:mrcpv2" grammar="{grammar}">
<interpretation grammar="{grammar}" confidence="{confidence}">
<instance>{instance}</instance><input mode="speech">{text}</input>
</interpretation></result>"""


@dataclass(slots=True, eq=False)
class Asked:
    """A request as it came by a control connection."""

    peer: SpeechPeer
    writer: asyncio.StreamWriter
    method: str
    id: str
    headers: dict[str, str]
    body: str

    @property
    def channel(self) -> str:
        """Whose channel it is for."""
        return self.headers.get("channel-identifier", "")

    def send(self, rest: str, *lines: str, body: str = "", channel: str | None = None) -> None:
        """Send a message: what stands behind version and length, header lines, a body."""
        self.peer.write(
            self.writer, rest, self.channel if channel is None else channel, lines, body
        )

    def respond(self, status: int = 200, state: str = FINE, *lines: str, body: str = "") -> None:
        """Answer the request."""
        self.send(f"{self.id} {status} {state}", *lines, body=body)

    def tell(self, name: str, state: str = FINE, *lines: str, body: str = "") -> None:
        """Tell an event of it."""
        self.send(f"{name} {self.id} {state}", *lines, body=body)


Act = Callable[[Asked], None]


@dataclass(slots=True, eq=False)
class Session:
    """A session as the peer sees it."""

    invite: Message
    source: tuple[str, int]
    caller_rtp: tuple[str, int]
    channels: list[str]
    ended: bool = False
    sent: int = 0


@dataclass(eq=False)
class SpeechPeer:
    """The server. ``status`` and ``headers`` answer INVITEs; ``refuses`` are resources that it has
    not; ``says`` is what it hears; ``answer`` may change the lines of a description of its own."""

    tls: ssl.SSLContext | None = None
    status: str = "200 OK"
    headers: tuple[str, ...] = ()
    refuses: frozenset[str] = frozenset()
    packets: int = 10
    says: str = "yes"
    silent: bool = False
    answer: Callable[[list[str]], list[str]] = lambda lines: lines
    on: dict[str, Act] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    rtp_received: int = 0
    invites: int = 0
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self, sip_port: int = 0, control_port: int = 0) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self.sip = udp("127.0.0.1", sip_port)
        self.rtp, self.rtcp = udp_pair("127.0.0.1")
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(self.sip, self._on_sip)
        loop.add_reader(self.rtp, self._on_rtp)
        self.server = await asyncio.start_server(
            self._serve, "127.0.0.1", control_port, ssl=self.tls
        )
        self.control_port = self.server.sockets[0].getsockname()[1]
        self.sip_port = self.sip.getsockname()[1]
        self.rtp_port = self.rtp.getsockname()[1]

    def stop(self) -> None:
        """Be gone, as a process that is killed: no BYE, connections are reset."""
        loop = asyncio.get_running_loop()
        for bound in (self.sip, self.rtp):
            if bound.fileno() >= 0:
                loop.remove_reader(bound)
                bound.close()
        self.rtcp.close()
        self.server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()

    def reset(self) -> None:
        """Reset every control connection."""
        for writer in list(self.writers):
            writer.transport.abort()

    @property
    def uri(self) -> str:
        """Where sessions are set up."""
        return f"sip:127.0.0.1:{self.sip_port}"

    @property
    def methods(self) -> list[str]:
        """The methods that came, in order."""
        return [asked.method for asked in self.asked]

    @property
    def open_sessions(self) -> int:
        """Sessions without a BYE."""
        return sum(not session.ended for session in self.sessions.values())

    async def got(self, method: str, count: int = 1) -> Asked:
        """Wait until that method has come so often."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.methods.count(method) < count:  # noqa: ASYNC110 - what comes has no event
                await asyncio.sleep(0.002)
        return [asked for asked in self.asked if asked.method == method][count - 1]

    # SIP

    def _on_sip(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, source = self.sip.recvfrom(65_536)
                if not data.strip() or self.silent:
                    continue
                message = read_message(data)
                if message.method == "INVITE":
                    self._on_invite(message, source)
                elif message.method == "BYE":
                    self._reply(message, source, "200 OK")
                    if message.get("Call-ID") in self.sessions:
                        self.sessions[message.get("Call-ID")].ended = True

    def _on_invite(self, invite: Message, source: tuple[str, int]) -> None:
        call_id = invite.get("Call-ID")
        self.invites += 1
        if not self.status.startswith("200"):
            self._reply(invite, source, self.status, *self.headers)
            return
        session = self.sessions.get(call_id)
        lines, channels = self._described(invite.body, session.channels if session else [])
        if session is None:
            rtp = re.search(r"m=audio (\d+)", invite.body)
            assert rtp is not None
            caller = ("127.0.0.1", int(rtp[1]))
            self.sessions[call_id] = Session(invite, source, caller, channels)
        else:
            session.channels = channels
        body = "\r\n".join([*self.answer(lines), ""])
        self._reply(invite, source, "200 OK", *self.headers, body=body)

    def _described(self, offer: str, known: list[str]) -> tuple[list[str], list[str]]:
        """Our answer: each line of the offer in its order."""
        lines = ["v=0", f"o=- 1 {next(self._numbers)} IN IP4 127.0.0.1", "s=-"]
        lines += ["c=IN IP4 127.0.0.1", "t=0 0"]
        channels = []
        name = known[0].partition("@")[0] if known else f"{next(self._numbers):012X}"
        for section in re.split(r"\r\n(?=m=)", offer)[1:]:
            if section.startswith("m=audio"):
                lines += [f"m=audio {self.rtp_port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000"]
                lines += ["a=rtpmap:101 telephone-event/8000", "a=mid:1", "a=sendrecv"]
                continue
            resource = re.search(r"a=resource:(\S+)", section)
            protocol = section.split()[2]
            if section.split()[1] == "0" or resource is None or resource[1] in self.refuses:
                lines.append(f"m=application 0 {protocol} 1")
                continue
            connection = re.search(r"a=connection:(\S+)", section)
            assert connection is not None and "a=setup:active" in section
            channels.append(f"{name}@{resource[1]}")
            lines += [
                f"m=application {self.control_port} {protocol} 1",
                "a=setup:passive",
                f"a=connection:{connection[1]}",
                f"a=channel:{channels[-1]}",
                "a=cmid:1",
            ]
        return lines, channels

    def hang_up(self, call_id: str) -> None:
        """End a session from this side."""
        session = self.sessions[call_id]
        invite = session.invite
        contact = re.search(r"<([^>]+)>", invite.get("Contact"))
        assert contact is not None
        lines = [
            f"BYE {contact[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.sip_port};branch=z9hG4bK-bye-{next(self._numbers)}",
            "Max-Forwards: 70",
            f"From: {invite.get('To')};tag=speech",
            f"To: {invite.get('From')}",
            f"Call-ID: {call_id}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
            "",
            "",
        ]
        session.ended = True
        self.sip.sendto("\r\n".join(lines).encode(), session.source)

    def _reply(
        self, request: Message, source: tuple[str, int], status: str, *headers: str, body: str = ""
    ) -> None:
        copied = ("via", "from", "call-id", "cseq")
        to = request.get("To")
        lines = [
            f"SIP/2.0 {status}",
            *(f"{name}: {value}" for name, value in request.headers if name.lower() in copied),
            f"To: {to}" if ";tag=" in to else f"To: {to};tag=speech",
            f"Contact: <sip:speech@127.0.0.1:{self.sip_port}>",
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self.sip.sendto("\r\n".join(lines).encode(), source)

    # Sound

    def _on_rtp(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.rtp.recv(2_048)
                self.rtp_received += 1

    def speak(self, asked: Asked, byte: int = 0x31, then: Act | None = None) -> None:
        """Send ``packets`` packets of sound to who has asked, and then do what comes behind."""
        task = asyncio.ensure_future(self._speak(asked, byte, then))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _speak(self, asked: Asked, byte: int, then: Act | None) -> None:
        sessions = [s for s in self.sessions.values() if asked.channel in s.channels]
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        for number in range(self.packets):
            for session in sessions:
                stamp = (int(begin_s * 8_000) + number * PACKET_BYTES) % 2**32
                header = struct.pack(">BBHII", 0x80, 0, session.sent % 65_536, stamp, 0xCAFE)
                self.rtp.sendto(header + bytes([byte]) * PACKET_BYTES, session.caller_rtp)
                session.sent += 1
            await asyncio.sleep(max(0.0, begin_s + 0.02 * (number + 1) - loop.time()))
        if then is not None:
            then(asked)

    # Control

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while True:
                start = (await reader.readuntil(b"\r\n")).decode()
                _, length, method, request_id = start.split()
                rest = await reader.readexactly(int(length) - len(start))
                head, _, body = rest.decode().partition("\r\n\r\n")
                pairs = (line.partition(":") for line in head.split("\r\n") if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                asked = Asked(self, writer, method, request_id, headers, body)
                self.asked.append(asked)
                self.on.get(method, good)(asked)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    @staticmethod
    def write(
        writer: asyncio.StreamWriter, rest: str, channel: str, lines: tuple[str, ...], body: str
    ) -> None:
        """Write a message."""
        head = [f"Channel-Identifier: {channel}"] if channel else []
        head += lines
        if body:
            head.append(f"Content-Length: {len(body.encode())}")
        tail = f" {rest}\r\n" + "".join(f"{line}\r\n" for line in head) + "\r\n" + body
        size = len("MRCP/2.0 ") + len(tail.encode())
        size += len(str(size + 3))
        writer.write(f"MRCP/2.0 {size}{tail}".encode())


def good(asked: Asked) -> None:
    """What a good server does."""
    peer = asked.peer
    if asked.method == "SPEAK":
        asked.respond(200, GOES_ON)
        peer.speak(
            asked, then=lambda a: a.tell("SPEAK-COMPLETE", FINE, "Completion-Cause: 000 normal")
        )
    elif asked.method == "RECOGNIZE":
        asked.respond(200, GOES_ON)
        asked.tell("START-OF-INPUT", GOES_ON)
        recognized(asked)
    else:
        asked.respond()


def recognized(asked: Asked, cause: str = "000 success", confidence: float = 0.9) -> None:
    """End a recognition with what the peer says that it has heard, in the first grammar."""
    grammar = asked.body.split()[0]
    text = asked.peer.says
    body = NLSML.format(grammar=grammar, confidence=confidence, instance=text, text=text)
    lines = (f"Completion-Cause: {cause}", "Content-Type: application/nlsml+xml")
    asked.tell("RECOGNITION-COMPLETE", FINE, *lines, body=body)


@contextlib.asynccontextmanager
async def speech_peer(**options: object) -> AsyncIterator[SpeechPeer]:
    """A speech server while the block lasts."""
    peer = SpeechPeer(**options)  # type: ignore[arg-type]
    await peer.start()
    try:
        yield peer
    finally:
        peer.stop()

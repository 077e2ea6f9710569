"""A small SIP caller of plain sockets and text, independent of the project's own SIP code."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import struct
from dataclasses import dataclass, field

_numbers = itertools.count(1)
TIMEOUT_S = 10.0


@dataclass
class Answer:
    """A message that came in."""

    text: str

    @property
    def status(self) -> int:
        return int(self.text.split(" ", 2)[1]) if self.text.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return self.text.split(" ", 1)[0]

    @property
    def body(self) -> str:
        return self.text.partition("\r\n\r\n")[2]

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}: *(.*?)\r$", self.text, re.MULTILINE | re.IGNORECASE)
        return found.group(1) if found else ""


@dataclass
class Packet:
    """One RTP packet."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass
class Client:
    """One call: a SIP socket and an RTP socket, both on ``host``."""

    target: tuple[str, int]
    host: str = "127.0.0.1"
    offer_codecs: str = "0"
    ptime: int | None = None
    direction: str = "sendrecv"
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.sip, self.rtp = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for opened in (self.sip, self.rtp):
            opened.bind((self.host, 0))
            opened.setblocking(False)
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.cseq = 0
        self.to = f"<sip:robot@{self._bracketed(self.target[0])}>"
        self.here = f"{self._bracketed(self.host)}:{self.sip.getsockname()[1]}"

    @staticmethod
    def _bracketed(host: str) -> str:
        return f"[{host}]" if ":" in host else host

    def close(self) -> None:
        self.sip.close()
        self.rtp.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Signalling

    def sdp(self, *, address: str | None = None, version: int = 1) -> str:
        kind = "IP6" if ":" in self.host else "IP4"
        lines = [
            "v=0",
            f"o=- 7 {version} IN {kind} {self.host}",
            "s=-",
            f"c=IN {kind} {address or self.host}",
            "t=0 0",
            f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {self.offer_codecs}",
            f"a={self.direction}",
        ]
        if self.ptime:
            lines.append(f"a=ptime:{self.ptime}")
        return "\r\n".join(lines) + "\r\n"

    def send(
        self, method: str, body: str = "", *, cseq: int | None = None, branch: str = ""
    ) -> str:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        branch = branch or f"z9hG4bK-{self.number}-{method}-{cseq}"
        content = "Content-Type: application/sdp\r\n" if body else ""
        message = (
            f"{method} sip:robot@{self._bracketed(self.target[0])}:{self.target[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.here};branch={branch};rport\r\n"
            f"From: <sip:test@{self.here}>;tag=c{self.number}\r\n"
            f"To: {self.to}\r\n"
            f"Call-ID: {self.number}@test\r\n"
            f"CSeq: {cseq} {method}\r\n"
            f"Contact: <sip:test@{self.here}>\r\n"
            "Max-Forwards: 70\r\n"
            f"{content}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.sip.sendto(message.encode(), self.target)
        return branch

    async def receive(self) -> Answer:
        loop = asyncio.get_running_loop()
        data = await asyncio.wait_for(loop.sock_recv(self.sip, 65536), TIMEOUT_S)
        return Answer(data.decode())

    async def final(self) -> Answer:
        """The next final response; provisional ones are passed over."""
        while (answer := await self.receive()).status < 200:
            assert answer.status, answer.text
        return answer

    async def invite(self, body: str | None = None, ack_body: str = "") -> Answer:
        """INVITE and its final response, which is acknowledged."""
        branch = self.send("INVITE", self.sdp() if body is None else body)
        answer = await self.final()
        self.to = answer.header("To")
        ok = answer.status < 300
        self.send("ACK", ack_body, cseq=self.cseq, branch="" if ok else branch)
        return answer

    async def bye(self) -> Answer:
        self.send("BYE")
        return await self.final()

    async def wait_bye(self) -> Answer:
        """The engine's BYE, answered."""
        request = await self.receive()
        assert request.method == "BYE", request.text
        copied = "".join(
            f"{name}: {request.header(name)}\r\n"
            for name in ("Via", "From", "To", "Call-ID", "CSeq")
        )
        self.sip.sendto(
            f"SIP/2.0 200 OK\r\n{copied}Content-Length: 0\r\n\r\n".encode(), self.target
        )
        return request

    # Sound

    async def hear(self, count: int) -> list[Packet]:
        """The next ``count`` packets."""
        loop = asyncio.get_running_loop()
        return [
            parse_rtp(await asyncio.wait_for(loop.sock_recv(self.rtp, 2048), TIMEOUT_S))
            for _ in range(count)
        ]

    def heard(self) -> list[Packet]:
        """Every packet that waits in the socket."""
        packets = []
        while True:
            try:
                packets.append(parse_rtp(self.rtp.recv(2048)))
            except BlockingIOError:
                return packets


def parse_rtp(data: bytes) -> Packet:
    first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
    assert first == 0x80
    return Packet(bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, data[12:])

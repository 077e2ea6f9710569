"""An independent little SIP client and RTP receiver for tests: messages are text, sockets plain.

Nothing of Ringwheel is used here, so that a mistake in our reading of a message cannot hide one in
our writing of it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

TIMEOUT_S = 30.0

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Message:
    """A request or response as it came: the start line, header lines, the body."""

    start: str
    headers: list[tuple[str, str]]
    body: str

    @property
    def status(self) -> int:
        """The status of a response, 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """The method of a request, or the one that a response answers."""
        return self.start.split()[0] if not self.status else self.get("CSeq").split()[1]

    def get(self, name: str) -> str:
        """The first header of that name; empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def sdp(self, prefix: str) -> str:
        """What follows ``prefix`` on the first line of the body that begins with it."""
        lines = (line for line in self.body.split("\r\n") if line.startswith(prefix))
        return next(lines, prefix)[len(prefix) :]


def read_message(data: bytes) -> Message:
    """Split a datagram into its lines."""
    head, _, body = data.decode().partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(start, [(name.strip(), value.strip()) for name, _, value in pairs], body)


@dataclass(frozen=True, slots=True)
class Rtp:
    """A packet of 12 header bytes (version 2, no CSRC, no extension) and its payload."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    source: tuple[str, int]


def read_rtp(data: bytes, source: tuple[str, int]) -> Rtp:
    """Read a packet; ValueError if its first byte says that it is of another kind."""
    if len(data) < 12 or data[0] != 0x80:
        raise ValueError(f"not plain RTP: {data[:12].hex()}")
    return Rtp(
        bool(data[1] & 0x80),
        data[1] & 0x7F,
        int.from_bytes(data[2:4], "big"),
        int.from_bytes(data[4:8], "big"),
        int.from_bytes(data[8:12], "big"),
        data[12:],
        source,
    )


def udp(host: str, port: int = 0) -> socket.socket:
    """A bound, non-blocking UDP socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    bound.bind((host, port))
    return bound


def udp_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets for RTP, and on the port behind it for RTCP, which every call gets sooner or later:
    what nobody reads there arrives at nobody else."""
    while True:
        rtp = udp(host)
        try:
            return rtp, udp(host, rtp.getsockname()[1] + 1)
        except OSError:  # somebody has it
            rtp.close()


def bracketed(host: str) -> str:
    """A host as it stands in a URI."""
    return f"[{host}]" if ":" in host else host


@dataclass(slots=True)
class Phone:
    """One call from ``host`` to ``server``, with a socket for SIP and one for RTP."""

    server: tuple[str, int]
    host: str = "127.0.0.1"
    formats: str = "0"
    ptime_ms: int = 0
    invite_headers: tuple[str, ...] = ()
    call_id: str = field(default_factory=lambda: f"e2e-{next(_numbers)}")
    to_tag: str = ""
    cseq: int = 0
    bye: Message | None = None
    sip: socket.socket = field(init=False)
    rtp: socket.socket = field(init=False)
    rtcp: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.sip = udp(self.host)
        self.rtp, self.rtcp = udp_pair(self.host)

    async def __aenter__(self) -> Phone:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for bound in (self.sip, self.rtp, self.rtcp):
            bound.close()

    # Sending

    def offer(self, *attributes: str, host: str = "", rtp_port: int | None = None) -> str:
        """An SDP body for one audio stream to our RTP socket, or where we are told."""
        family = "IP6" if ":" in self.host else "IP4"
        port = self.rtp.getsockname()[1] if rtp_port is None else rtp_port
        ptime = [f"a=ptime:{self.ptime_ms}"] if self.ptime_ms else []
        lines = [
            "v=0",
            f"o=- 1 {self.cseq + 1} IN {family} {self.host}",
            "s=-",
            f"c=IN {family} {host or self.host}",
            "t=0 0",
            f"m=audio {port} RTP/AVP {self.formats}",
            *ptime,
            *(f"a={attribute}" for attribute in attributes),
        ]
        return "\r\n".join([*lines, ""])

    def send(
        self, method: str, body: str = "", *headers: str, cseq: int = 0, content: str = ""
    ) -> None:
        """Send a request. CANCEL has the INVITE's branch (RFC 3261 9.1), others their own.

        ``body`` is SDP; ``content`` is another one, whose type is among ``headers``.
        """
        if method not in ("ACK", "CANCEL"):
            self.cseq += 1
        number = cseq or self.cseq
        branch = "INVITE" if method == "CANCEL" else method
        host, port = bracketed(self.host), self.sip.getsockname()[1]
        server = f"{bracketed(self.server[0])}:{self.server[1]}"
        lines = [
            f"{method} sip:robot@{server} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{self.call_id}-{branch}-{number}",
            "Max-Forwards: 70",
            f"From: <sip:caller@{host}>;tag=from-{self.call_id}",
            f"To: <sip:robot@{server}>{self.to_tag and ';tag=' + self.to_tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:caller@{host}:{port}>",
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body or content)}",
            "",
            body or content,
        ]
        self.sip.sendto("\r\n".join(lines).encode(), self.server)

    def invite(self, body: str | None = None) -> None:
        """Send the INVITE, or a re-INVITE once there is a dialog; an empty body offers late."""
        self.send("INVITE", self.offer() if body is None else body, *self.invite_headers)

    # Receiving

    async def _datagram(self, bound: socket.socket) -> tuple[bytes, tuple[str, int]]:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, source = bound.recvfrom(65536)
                return data, source[:2]
            except BlockingIOError:
                readable = loop.create_future()
                loop.add_reader(bound.fileno(), _mark, readable)
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        await readable
                finally:
                    loop.remove_reader(bound.fileno())

    async def message(self) -> Message:
        """The next message; a BYE is answered with 200 and kept in ``bye``."""
        message = read_message((await self._datagram(self.sip))[0])
        if message.method == "BYE" and not message.status:
            self.bye = message
            self.answer(message)
        return message

    def answer(
        self,
        request: Message,
        status: str = "200 OK",
        body: str = "",
        lines: Sequence[str] = (),
    ) -> None:
        """Answer a request of the other side, with SDP if ``body`` is given."""
        copied = ("via", "from", "to", "call-id", "cseq")
        host, port = bracketed(self.host), self.sip.getsockname()[1]
        text = [
            f"SIP/2.0 {status}",
            *(f"{name}: {value}" for name, value in request.headers if name.lower() in copied),
            f"Contact: <sip:caller@{host}:{port}>",
            *lines,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self.sip.sendto("\r\n".join(text).encode(), self.server)

    async def request(self, method: str) -> Message:
        """The next request of that method from the other side."""
        while True:
            message = await self.message()
            if not message.status and message.method == method:
                return message

    async def accept_reinvite(self, *attributes: str) -> Message:
        """Answer the other side's re-INVITE with ``attributes``, and take the ACK; returns it."""
        asked = await self.request("INVITE")
        self.answer(asked, body=self.offer(*attributes))
        await self.request("ACK")
        return asked

    async def response(self, method: str) -> Message:
        """The final response to our last request of that method."""
        while True:
            message = await self.message()
            if message.status >= 200 and message.method == method:
                found = re.search(r";tag=([^;>\s]+)", message.get("To"))
                self.to_tag = found[1] if found else ""
                return message

    async def until_bye(self) -> Message:
        """Wait for the other side to hang up."""
        while self.bye is None:
            await self.message()
        return self.bye

    async def call(self, body: str | None = None) -> Message:
        """INVITE, the 200 and its ACK; returns the 200."""
        self.invite(body)
        answer = await self.response("INVITE")
        assert answer.status == 200, answer
        self.send("ACK")
        return answer

    async def hang_up(self) -> None:
        """BYE and its 200."""
        self.send("BYE")
        assert (await self.response("BYE")).status == 200

    async def datagram(self) -> tuple[bytes, tuple[str, int]]:
        """The next datagram of the RTP socket, and its source."""
        return await self._datagram(self.rtp)

    def waiting_datagrams(self) -> list[tuple[bytes, tuple[str, int]]]:
        """What lies in the RTP socket's buffer."""
        datagrams = []
        while True:
            try:
                data, source = self.rtp.recvfrom(2048)
            except BlockingIOError:
                return datagrams
            datagrams.append((data, source[:2]))

    async def packets(self, count: int) -> list[Rtp]:
        """The next ``count`` RTP packets."""
        return [read_rtp(*await self.datagram()) for _ in range(count)]

    def waiting_packets(self) -> list[Rtp]:
        """What lies in the RTP socket's buffer: all that came so far and was not read."""
        return [read_rtp(data, source) for data, source in self.waiting_datagrams()]


def _mark(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)

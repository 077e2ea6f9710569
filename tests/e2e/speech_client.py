"""An MRCPv2 client of plain text for tests: one SIP call, one TCP connection, RTP both ways.

Nothing of Ringwheel's own MRCP is used here.
"""

import asyncio
import re

import numpy as np
from ringwheel.media.codec import PCMU

from .client import TIMEOUT_S, Phone, bracketed

PACKET = 160


class Answer:
    """A message of the server."""

    def __init__(self, head, body):
        self.start, *lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.body = body
        words = self.start.split()
        self.name = "" if words[2].isdigit() else words[2]
        self.request_id = int(words[3] if self.name else words[2])
        self.status = 0 if self.name else int(words[3])
        self.state = words[4]

    @property
    def cause(self):
        return self.headers.get("completion-cause", "")

    def __repr__(self):
        return f"{self.start} {self.headers}"


class Control:
    """A control connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.numbers = {}
        self.waiting = []

    @classmethod
    async def open(cls, port, ssl=None):
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=ssl))

    def request(self, channel, method, *lines, body="", kind=""):
        """Send a request; its number."""
        number = self.numbers[channel] = self.numbers.get(channel, 0) + 1
        self.writer.write(message(f"{method} {number}", channel, *lines, body=body, kind=kind))
        return number

    async def read(self):
        """The next message."""
        async with asyncio.timeout(TIMEOUT_S):
            start = await self.reader.readline()
            length = int(start.split()[1])
            rest = await self.reader.readexactly(length - len(start))
        head, _, body = (start + rest).partition(b"\r\n\r\n")
        return Answer(head, body)

    async def response(self, number):
        """The response to a request; events that come before it wait."""
        while True:
            found = await self.read()
            if not found.name and found.request_id == number:
                return found
            self.waiting.append(found)

    async def event(self, name):
        """The next event of this name."""
        while True:
            found = self.waiting.pop(0) if self.waiting else await self.read()
            if found.name == name:
                return found

    async def ask(self, channel, method, *lines, **more):
        """Send a request and wait for the response."""
        return await self.response(self.request(channel, method, *lines, **more))

    async def closed(self):
        """Wait until the server closes it."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass

    def close(self):
        self.writer.close()


def message(words, channel="", *lines, body="", kind=""):
    """A message as it goes on the wire; ``words`` stand behind its length."""
    data = body.encode()
    lines = [*([f"Channel-Identifier: {channel}"] if channel else []), *lines]
    if data:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
    rest = f" {words}\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
    for digits in range(1, 8):
        length = len("MRCP/2.0 ") + digits + len(rest.encode()) + len(data)
        if len(str(length)) == digits:
            return f"MRCP/2.0 {length}{rest}".encode() + data
    raise AssertionError


def offer(phone, *resources, protocol="TCP/MRCPv2", setup="active"):
    """An offer of a sound stream, and an application line for each resource."""
    phone.formats = "0 101"
    lines = phone.offer("rtpmap:101 telephone-event/8000", "mid:1")
    for resource in resources:
        lines += (
            f"m=application 9 {protocol} 1\r\na=setup:{setup}\r\na=connection:new\r\n"
            f"a=resource:{resource}\r\na=cmid:1\r\n"
        )
    return lines


class SpeechPhone(Phone):
    """A phone that is a client of speech resources."""

    async def open(self, *resources, **more):
        """Set up a session; channels of the resources, and the port for control connections."""
        return self.take(await self.call(offer(self, *resources, **more)))

    def take(self, answer):
        """The same of an answer that came, and is not acknowledged yet."""
        sections = answer.body.split("m=application ")[1:]
        self.ports = [int(section.split()[0]) for section in sections]
        found = [re.search(r"a=channel:(\S+)", section) for section in sections]
        self.channels = [match[1] if match else None for match in found]
        rtp = re.search(r"m=audio (\d+)", answer.body)
        self.rtp_to = ("127.0.0.1", int(rtp[1]))
        self.answer_body = answer.body
        return self.channels

    def press(self, keys):
        """Press digits: RFC 4733, the end of each event three times."""
        for at, key in enumerate(keys):
            for copy, (duration, end) in enumerate([(160, 0), *3 * [(800, 0x80)]]):
                header = bytes([0x80, 101]) + (at * 4 + copy + 1).to_bytes(2, "big")
                header += (16_000 + 1_600 * at).to_bytes(4, "big") + b"\x11\x22\x33\x44"
                event = bytes([int(key), end | 10]) + duration.to_bytes(2, "big")
                self.rtp.sendto(header + event, self.rtp_to)

    async def say(self, samples, pause_ms=1_500):
        """Send sound at 8 kHz in packets of 20 ms, a line of soft noise around it, in real time."""
        lead, tail = np.zeros(3_200, np.int16), np.zeros(pause_ms * 8, np.int16)
        sound = np.concatenate([lead, samples, tail])
        sound += np.random.default_rng(1).integers(-20, 20, len(sound), np.int16)
        payload = PCMU.encode(sound)
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for number, at in enumerate(range(0, len(payload) - PACKET + 1, PACKET)):
            header = bytes([0x80, 0]) + (number & 0xFFFF).to_bytes(2, "big")
            header += (number * PACKET).to_bytes(4, "big") + b"\x11\x22\x33\x44"
            self.rtp.sendto(header + payload[at : at + PACKET], self.rtp_to)
            due_s += 0.02
            await asyncio.sleep(max(0, due_s - loop.time()))


__all__ = ["Control", "SpeechPhone", "bracketed", "message", "offer"]

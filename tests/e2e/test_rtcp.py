"""Reports (RTCP) as a caller sees them: their numbers, their ways, and what is made of his."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field

import pytest
from ringwheel import Call, Engine, Quality
from ringwheel.media import engine as engine_module

from .client import Message, Phone, Rtp, read_rtp, udp
from .conftest import eventually, phoning, serving
from .test_hear import Mouth

pytestmark = pytest.mark.one_loop

NTP_OF_1970_S = 2_208_988_800
PEER_SSRC = 0xABCD
"""That of Mouth."""


@dataclass(frozen=True, slots=True)
class Report:
    """A compound packet (RFC 3550 section 6): the parts that ours have."""

    ssrc: int
    sender: tuple[int, int, int, int] | None  # NTP time, timestamp, packets, bytes
    block: tuple[int, ...] | None  # SSRC, fraction, lost, highest sequence, jitter, LSR, DLSR
    cname: bytes
    bye: bool


def is_rtcp(data: bytes) -> bool:
    return 200 <= data[1] <= 204


def read_report(data: bytes) -> Report:
    """Read a compound packet of SR or RR, SDES with a CNAME, and perhaps BYE."""
    packets = []
    while data:
        first, kind, words = struct.unpack_from("!BBH", data)
        assert first & 0xE0 == 0x80
        packets.append((kind, first & 0x1F, data[4 : 4 * words + 4]))
        data = data[4 * words + 4 :]
    (kind, blocks, body), (description, chunks, items), *rest = packets
    assert kind in (200, 201)
    assert (description, chunks) == (202, 1)
    ssrc = int.from_bytes(body[:4], "big")
    assert items[:5] == body[:4] + b"\x01"
    sender = struct.unpack_from("!QIII", body, 4) if kind == 200 else None
    block = None
    if blocks:
        numbers = struct.unpack_from("!IIIIII", body, 24 if sender else 4)
        block = numbers[0], numbers[1] >> 24, numbers[1] & 0xFFFFFF, *numbers[2:]
    assert rest in ([], [(203, 1, body[:4])])
    return Report(ssrc, sender, block, items[6 : 6 + items[5]], bool(rest))


def receiver_report(
    about: int, lost: int = 0, jitter: int = 0, lsr: int = 0, dlsr: int = 0
) -> bytes:
    return struct.pack(
        "!BBHIIIIIII", 0x81, 201, 7, PEER_SSRC, about, lost & 0xFFFFFF, 0, jitter, lsr, dlsr
    )


def goodbye(ssrc: int) -> bytes:
    return struct.pack("!BBHIBBHI", 0x80, 201, 1, ssrc, 0x81, 203, 1, ssrc)


@dataclass(slots=True)
class Reporting:
    """What a phone receives, sound and reports, on one port or two."""

    phone: Phone
    mux: bool
    sound: list[Rtp] = field(default_factory=list)
    rtcp: socket.socket = field(init=False)
    answer: Message = field(init=False)

    def __post_init__(self) -> None:
        # Else the port behind, which no SDP has to name.
        self.rtcp = self.phone.rtp if self.mux else self.phone.rtcp

    async def call(self) -> Message:
        self.answer = await self.phone.call(self.phone.offer(*["rtcp-mux"] * self.mux))
        assert ("a=rtcp-mux" in self.answer.body.split("\r\n")) == self.mux
        return self.answer

    @property
    def target(self) -> tuple[str, int]:
        """Where the engine takes reports."""
        return "127.0.0.1", int(self.answer.sdp("m=audio ").split()[0]) + (not self.mux)

    def send(self, packet: bytes) -> None:
        self.rtcp.sendto(packet, self.target)

    async def report(self) -> Report:
        """The next one; sound before it is kept."""
        while True:
            data, source = await self.phone._datagram(self.rtcp)
            assert source == self.target
            if is_rtcp(data):
                return read_report(data)
            self.sound.append(read_rtp(data, source))

    async def last_report(self) -> Report:
        """The one that says goodbye; all sound is in then."""
        while not (report := await self.report()).bye:
            pass
        if not self.mux:
            self.sound += self.phone.waiting_packets()
        return report

    def close(self) -> None:
        self.rtcp.close()


@pytest.fixture
def reporting():
    made = []

    def make(phone: Phone, mux: bool = True) -> Reporting:
        made.append(Reporting(phone, mux))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def wait_for_the_end(call: Call) -> None:
    await call.answer()
    await call.wait_ended()


@pytest.mark.parametrize(
    ("mux", "sockets"), [(True, "per-leg"), (False, "per-leg"), (True, "shared")]
)
async def test_sender_reports_agree_with_what_was_heard(make_prompt, reporting, mux, sockets):
    prompt, _ = make_prompt("a.ulaw", 1_600)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt, loop=True)

    async with serving(handler, rtp_sockets=sockets) as engine, phoning(engine) as phone:
        peer = reporting(phone, mux)
        await peer.call()
        first = await peer.report()
        assert first.sender is not None
        if mux:  # one socket keeps their order
            assert first.sender[2:] == (len(peer.sound), 160 * len(peer.sound))
            assert 0 <= (first.sender[1] - peer.sound[-1].timestamp) % 2**32 < 8000
        await asyncio.sleep(0.2)
        await phone.hang_up()
        last = await peer.last_report()
        await eventually(lambda: engine.snapshot().media["rtcp_sent"] == 2)
    assert last.sender is not None
    assert last.sender[2:] == (len(peer.sound), 160 * len(peer.sound))
    assert {packet.ssrc for packet in peer.sound} == {first.ssrc} == {last.ssrc}
    passed_s = (last.sender[0] - first.sender[0]) / 2**32
    passed_ts = (last.sender[1] - first.sender[1]) % 2**32
    assert passed_s >= 0.2
    assert abs(passed_ts - 8000 * passed_s) <= 2
    assert first.cname == last.cname
    assert len(first.cname) == 16
    assert first.sender[0] >> 32 > NTP_OF_1970_S + 1_700_000_000
    assert not first.bye


async def test_receiver_reports_count_what_is_missing(reporting):
    async with serving(wait_for_the_end) as engine, phoning(engine) as phone:
        peer = reporting(phone, mux=False)
        mouth = Mouth(phone, await peer.call())
        for number in range(40):
            if number % 8 == 5 or number in (20, 22):
                mouth._sequence += 1
            else:
                mouth.packet(bytes(160), 0)
        ntp = 0x1122334455667788
        await eventually(lambda: engine.snapshot().media["packets_received"] == 33)
        report = await peer.report()
        assert report.sender is None
        assert report.block is not None
        ssrc, fraction, lost, highest, _, lsr, dlsr = report.block
        assert (ssrc, fraction, lost, highest) == (PEER_SSRC, 7 * 256 // 40, 7, 1039)
        assert (lsr, dlsr) == (0, 0)
        # From now on the port is open: ours is named in the next one, with its age.
        peer.send(struct.pack("!BBHIQIII", 0x80, 200, 6, PEER_SSRC, ntp, 0, 33, 5280))
        await eventually(lambda: engine.snapshot().media["rtcp_received"] == 1)
        mouth.packet(bytes(160), 0)
        await eventually(lambda: engine.snapshot().media["packets_received"] == 34)
        await phone.hang_up()
        last = await peer.last_report()
    assert last.block is not None
    assert last.block[:4] == (PEER_SSRC, 0, 7, 1040)
    assert last.block[5] == 0x33445566


async def test_what_the_caller_says_of_our_sound_is_in_figures_and_record(make_prompt, reporting):
    prompt, _ = make_prompt("a.ulaw", 1_600)
    calls: list[Call] = []
    records: list[dict[str, object]] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        await call.play(prompt, loop=True)

    async with serving(handler, records=records.append) as engine, phoning(engine) as phone:
        peer = reporting(phone)
        mouth = Mouth(phone, await peer.call())
        for _ in range(10):
            mouth.packet(bytes(160), 0)
        assert calls[0].quality() == Quality()
        report = await peer.report()
        assert report.sender is not None
        # As if it had been held for no time since two seconds before it was sent.
        lsr = (report.sender[0] >> 16) - 2 * 65536 & 0xFFFFFFFF
        peer.send(receiver_report(report.ssrc, 12, 160, lsr))
        await eventually(lambda: calls[0].figures.told is not None)
        running = calls[0].quality()
        assert running.rtt_ms is not None
        assert 2_000 <= running.rtt_ms < 60_000
        assert running.jitter_out_ms == 20.0
        assert calls[0].figures.told.recent_loss == 0
        assert running.loss_out == 12 / calls[0].figures.told.expected
        assert running.loss_in == 0
        # A second one way is no conversation, with or without loss.
        assert running.mos_in is not None and running.mos_out is not None
        assert 1.0 <= running.mos_out < running.mos_in < 3.5
        peer.send(receiver_report(report.ssrc, 5, 80, (report.sender[0] >> 16) & 0xFFFFFFFF))
        await eventually(lambda: calls[0].figures.told.reports == 2)
        peer.send(goodbye(PEER_SSRC))
        await eventually(lambda: engine.snapshot().media["rtcp_byes"] == 1)
        await phone.hang_up()
        await eventually(lambda: bool(records))
        final = calls[0].quality()
    (told,) = records
    sent = told["sent"]
    assert isinstance(sent, dict)
    assert (sent["reports"], sent["lost"], sent["jitter_ms"]) == (2, 5, 10.0)
    assert sent["max_jitter_ms"] == 20.0
    assert final.rtt_ms is not None and final.mos_in is not None and final.mos_out is not None
    assert told["rtt_ms"] == round(final.rtt_ms, 3)
    assert told["mos_in"] == round(final.mos_in, 2) > 4.0
    assert told["mos_out"] == round(final.mos_out, 2)


async def test_lies_and_nonsense_are_counted_by_reason(make_prompt, reporting):
    prompt, _ = make_prompt("a.ulaw", 1_600)
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        await call.play(prompt, loop=True)

    async with serving(handler) as engine, phoning(engine) as phone:
        peer = reporting(phone)
        await peer.call()
        report = await peer.report()
        assert report.sender is not None
        now = report.sender[0] >> 16 & 0xFFFFFFFF
        peer.send(receiver_report(report.ssrc, lost=0x7FFFFF))
        peer.send(receiver_report(report.ssrc, jitter=0xFFFFFFFF))
        peer.send(receiver_report(report.ssrc, lsr=now, dlsr=65536 * 3600))
        peer.send(receiver_report(report.ssrc + 1))
        for junk in ("80c80001" + "00" * 4, "81c90001" + "00" * 4, "80c9ffff" + "00" * 4, "80c9"):
            peer.send(bytes.fromhex(junk))
        peer.send(bytes.fromhex("80c9000100000000" + "40c9000100000000"))
        await eventually(lambda: engine.snapshot().media["rtcp_bad_version"] == 1)
        media = engine.snapshot().media
        assert media["rtcp_untrue"] == 3
        assert media["rtcp_received"] == 4
        assert media["rtcp_bad_report"] == 2
        assert (media["rtcp_bad_length"], media["rtcp_too_short"]) == (1, 1)
        told = calls[0].figures.told
        assert told is not None
        assert (told.reports, told.lost, told.rtt_us) == (1, 0, None)


async def test_a_call_lasts_where_no_file_is_left_for_reports(monkeypatch, make_prompt, reporting):
    monkeypatch.setattr(engine_module, "spare_files", lambda max_calls: 0)
    prompt, _ = make_prompt("a.ulaw", 1_600)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt, loop=True)

    def denied(engine: Engine) -> bool:
        return engine.snapshot().media["rtcp_sockets_denied"] == 1

    async with serving(handler) as engine:
        async with phoning(engine) as phone:
            await reporting(phone, mux=False).call()
            await eventually(lambda: denied(engine))
            sent = engine.snapshot().media["packets_sent"]
            await eventually(lambda: engine.snapshot().media["packets_sent"] > sent + 5)
            await phone.hang_up()
        assert engine.snapshot().media["rtcp_sent"] == 0


# Whose packets are taken

NOBODY = "127.0.0.77"
"""What the SDP of a caller behind a NAT may name: nobody is there."""


def sound_of(robber: socket.socket, mouth: Mouth, sequence: int) -> None:
    """A packet of the caller's stream, from somebody else."""
    robber.sendto(mouth.sent[:2] + sequence.to_bytes(2, "big") + mouth.sent[4:], mouth._target)


async def test_a_caller_whose_sdp_names_another_address_is_latched_on(make_prompt):
    prompt, payload = make_prompt("a.ulaw", 1_600)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt, loop=True)

    with udp("127.0.0.1") as robber:
        async with serving(handler, rtp_source="latch") as engine, phoning(engine) as phone:
            mouth = Mouth(phone, await phone.call(phone.offer(host=NOBODY, rtp_port=9)))
            while not engine.snapshot().media["sources_latched"]:
                mouth.packet(bytes(160), 0)
                await asyncio.sleep(0.02)
            at_first = engine.snapshot().media["packets_received"]
            for _ in range(8):
                mouth.packet(bytes(160), 0)
            settled = at_first + 8
            await eventually(lambda: engine.snapshot().media["packets_received"] >= settled)
            heard = await phone.packets(20)
            assert all(packet.payload in payload * 2 for packet in heard)
            before = engine.snapshot().media
            for number in range(10):
                sound_of(robber, mouth, mouth._sequence + number)
            mouth.packet(bytes(160), 0)
            received = before["packets_received"] + 1
            await eventually(lambda: engine.snapshot().media["packets_received"] >= received)
            assert engine.snapshot().media["packets_received"] == received
            assert engine.snapshot().media["received_duplicate"] == 0
            assert len(await phone.packets(5)) == 5
        with pytest.raises(BlockingIOError):
            robber.recv(2048)


async def test_of_two_that_send_at_once_neither_is_taken(make_prompt):
    prompt, _ = make_prompt("a.ulaw", 1_600)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt, loop=True)

    async with serving(handler, rtp_source="latch") as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call(phone.offer(host=NOBODY, rtp_port=9)))
        with udp("127.0.0.1") as robber:
            for number in range(12):
                mouth.packet(bytes(160), 0)
                sound_of(robber, mouth, number)
                await asyncio.sleep(0.02)
            await eventually(lambda: engine.snapshot().media["received_unproved_address"] == 24)
        assert engine.snapshot().media["packets_received"] == 0


async def test_by_default_nobody_but_the_address_in_the_sdp_is_heard(make_prompt):
    prompt, _ = make_prompt("a.ulaw", 1_600)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt, loop=True)

    async with serving(handler) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call(phone.offer(host=NOBODY, rtp_port=9)))
        for _ in range(12):
            mouth.packet(bytes(160), 0)
            await asyncio.sleep(0.02)
        await eventually(lambda: engine.snapshot().media["packets_sent"] > 20)
        assert engine.snapshot().media["packets_received"] == 0
        assert phone.waiting_packets() == []


@pytest.mark.parametrize(
    "options", [{"rtp_source": "anybody"}, {"rtp_source": "latch", "rtp_sockets": "shared"}]
)
def test_sources_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="rtp_source|shared RTP sockets"):
        Engine(["udp:127.0.0.1:0"], **options)

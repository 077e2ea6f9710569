"""What `ringwheel trace` draws, and the capture file that it writes."""

import ipaddress
import shutil
import struct
import subprocess

import pytest
from ringwheel.cli.ladder import Step, ladder, printable, sdp_summary
from ringwheel.cli.pcap import Captured, pcap

CALLER, ENGINE, AGENT = "198.51.100.7:5060", "192.0.2.1:5060", "203.0.113.9:5080"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
SILENT = SDP.replace("RTP/AVP", "RTP/SAVP") + "a=sendonly\r\nm=video 0 RTP/AVP 99\r\n"


def sip(start: str, cseq: str, *headers: str, body: str = "") -> bytes:
    lines = [
        start,
        "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1",
        "From: <sip:a@h>;tag=1",
        "To: <sip:b@h>",
        "Call-ID: c",
        f"CSeq: {cseq}",
        *headers,
        f"Content-Length: {len(body)}",
        "",
        body,
    ]
    return "\r\n".join(lines).encode()


INVITE = sip("INVITE sip:b@h SIP/2.0", "1 INVITE", "Content-Type: application/sdp", body=SDP)
BUSY = sip("SIP/2.0 486 Busy Here", "1 INVITE", 'Warning: 399 h "in a meeting"')
BYE = sip("BYE sip:b@h SIP/2.0", "2 BYE", "Reason: Q.850;cause=16", 'Authorization: Digest a="b"')
DONE = sip("SIP/2.0 200 OK", "2 BYE")


def drawn(steps, **options):
    return [line.plain.rstrip() for line in ladder(steps, **options)]


def test_a_ladder_of_two():
    steps = [
        Step(100.0, CALLER, ENGINE, "UDP", INVITE),
        Step(100.5, CALLER, ENGINE, "UDP", INVITE),
        Step(100.5012, ENGINE, CALLER, "TCP", BUSY),
        Step(112.0, ENGINE, CALLER, "UDP", BYE),
        Step(112.25, CALLER, ENGINE, "UDP", DONE),
        Step(113.0, CALLER, ENGINE, "UDP", b"\x1b[2Jnonsense"),
    ]
    assert drawn(steps) == [
        "     198.51.100.7:5060                192.0.2.1:5060",
        "    0.000 s  │─────────── INVITE ───────────▶│"
        "  audio 198.51.100.7:4000 PCMA PCMU telephone-event",
        "    0.500 s  │─────────── INVITE ───────────▶│"
        "  audio 198.51.100.7:4000 PCMA PCMU telephone-event · again",
        '    0.501 s  │◀─────── 486 Busy Here ────────│  399 h "in a meeting" · TCP',
        "   12.000 s  │◀──────────── BYE ─────────────│  with credentials · Q.850;cause=16",
        "   12.250 s  │──────── 200 OK (BYE) ────────▶│",
        "   13.000 s  │─── unreadable: header_end ───▶│",
    ]


def test_a_ladder_of_three():
    steps = [
        Step(0.0, CALLER, ENGINE, "UDP", INVITE),
        Step(0.1, ENGINE, AGENT, "UDP", INVITE),
        Step(0.2, AGENT, CALLER, "UDP", BYE),
        Step(0.3, CALLER, CALLER, "UDP", BYE),
    ]
    assert [line.partition("  audio")[0] for line in drawn(steps)] == [
        "     198.51.100.7:5060        192.0.2.1:5060         203.0.113.9:5080",
        "    0.000 s  │─────── INVITE ───────▶│                       │",
        "    0.100 s  │                       │─────── INVITE ───────▶│",
        "    0.200 s  │◀──────────────────── BYE ─────────────────────│"
        "  with credentials · Q.850;cause=16",
        "    0.300 s  │ BYE (to itself)                       │                       │"
        "  with credentials · Q.850;cause=16",
    ]


def test_whole_messages_below_their_arrows():
    lines = drawn([Step(0.0, CALLER, ENGINE, "UDP", BUSY)], full=True)
    assert lines[2] == "    SIP/2.0 486 Busy Here"
    assert '    Warning: 399 h "in a meeting"' in lines
    assert lines[-1].split() == ["│", "│"]


def test_nothing_reaches_the_terminal_as_a_command():
    hostile = sip("SIP/2.0 200 \x1b]0;owned\x07", "1 INVITE", "Reason: \x9b2J")
    for line in drawn([Step(0.0, CALLER, ENGINE, "UDP", hostile)], full=True):
        assert line.isprintable()
    assert printable("a\x1b\x9bb\n") == "a\\x1b\\x9bb\\x0a"


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (b"", ""),
        (SILENT.encode(),
         "audio 198.51.100.7:4000 PCMA PCMU telephone-event sendonly SRTP; video refused"),
        (b"Signal=5\r\n", "body of 10 bytes"),
    ],
)  # fmt: skip
def test_summaries_of_sessions(body, summary):
    assert sdp_summary(body) == summary


# Capture files

MESSAGES = [
    Captured(1_700_000_000.25, ("198.51.100.7", 5060), ("192.0.2.1", 5062), INVITE),
    Captured(1_700_000_001.5, ("192.0.2.1", 5062), ("198.51.100.7", 5060), BUSY + b"x"),
    Captured(1_700_000_002.0, ("2001:db8::7", 5061), ("2001:db8::1", 5060), BYE),
    Captured(1_700_000_003.0, ("2001:db8::7", 5061), ("2001:db8::1", 5060), bytes(70_000)),
]


def folded(data: bytes) -> int:
    """The ones' complement sum, which is 0xFFFF where a checksum is right."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packets(file: bytes):
    """(time, packet) of each record of a little-endian capture file of raw IP."""
    magic, major, minor, _, _, _, link = struct.unpack("<IHHiIII", file[:24])
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 101)
    at = 24
    while at < len(file):
        seconds, microseconds, kept, length = struct.unpack("<IIII", file[at : at + 16])
        assert kept == length
        yield seconds + microseconds / 1e6, file[at + 16 : at + 16 + kept]
        at += 16 + kept
    assert at == len(file)


def test_the_capture_file_read_back():
    found = list(packets(pcap(MESSAGES)))
    assert [time_s for time_s, _ in found] == [message.time_s for message in MESSAGES]
    for (_, packet), message in zip(found, MESSAGES, strict=True):
        v6 = packet[0] >> 4 == 6
        head = 40 if v6 else 20
        ends = packet[8:40] if v6 else packet[12:20]
        half = len(ends) // 2
        hosts = str(ipaddress.ip_address(ends[:half])), str(ipaddress.ip_address(ends[half:]))
        assert hosts == (message.source[0], message.target[0])
        assert packet[6 if v6 else 9] == 17
        if not v6:
            assert folded(packet[:20]) == 0xFFFF
            assert int.from_bytes(packet[2:4], "big") == len(packet)
        datagram = packet[head:]
        length = int.from_bytes(datagram[4:6], "big")
        assert length == len(datagram)
        pseudo = ends + struct.pack("!IHBB", length, 0, 0, 17)
        assert folded(pseudo + datagram) == 0xFFFF
        assert struct.unpack("!HH", datagram[:4]) == (message.source[1], message.target[1])
        assert datagram[8:] == message.data[:65_000]


@pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark here")
def test_tshark_reads_the_capture_file(tmp_path):
    path = tmp_path / "call.pcap"
    path.write_bytes(pcap(MESSAGES[:3]))
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "sip.Call-ID", "-e", "sip.CSeq"]
    read = subprocess.run(
        ["tshark", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
         "-Y", "sip && !(udp.checksum.status == 0) && !(ip.checksum.status == 0)", *fields],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    rows = [line.split("\t") for line in read.stdout.splitlines()]
    assert [row[1:] for row in rows] == [["c", "1 INVITE"], ["c", "1 INVITE"], ["c", "2 BYE"]]
    assert float(rows[0][0]) == 1_700_000_000.25

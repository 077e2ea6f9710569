"""HEP3, read back by a decoder that knows nothing of the encoder."""

import ipaddress
import socket

import pytest
from ringwheel.media.sip.edge import Flow
from ringwheel.media.sip.hep import HepSender, hep3

PAYLOAD = b"OPTIONS sip:a SIP/2.0\r\n\r\n"


def decode(packet: bytes) -> dict[int, bytes]:
    """Chunks of the generic vendor by type, of a packet that is whole and nothing but that."""
    assert packet[:4] == b"HEP3"
    assert int.from_bytes(packet[4:6], "big") == len(packet)
    chunks, at = {}, 6
    while at < len(packet):
        vendor, kind, length = (
            int.from_bytes(packet[at + i : at + i + 2], "big") for i in (0, 2, 4)
        )
        assert vendor == 0
        assert length >= 6
        assert kind not in chunks
        chunks[kind] = packet[at + 6 : at + length]
        at += length
    assert at == len(packet)
    return chunks


@pytest.mark.parametrize(
    ("hosts", "family", "kinds"),
    [(("192.0.2.1", "198.51.100.2"), 2, (3, 4)), (("2001:db8::1", "2001:db8::2"), 10, (5, 6))],
)
@pytest.mark.parametrize(("transport", "protocol"), [("UDP", 17), ("TCP", 6), ("TLS", 6)])
def test_every_chunk(hosts, family, kinds, transport, protocol):
    packet = hep3(
        PAYLOAD,
        (hosts[0], 5060),
        (hosts[1], 5062),
        transport=transport,
        time_s=1_700_000_000.25,
        capture_id=4_000_000_001,
    )
    chunks = decode(packet)
    assert chunks.pop(1) == bytes([family])
    assert chunks.pop(2) == bytes([protocol])
    assert [str(ipaddress.ip_address(chunks.pop(kind))) for kind in kinds] == list(hosts)
    assert chunks.pop(7) == (5060).to_bytes(2, "big")
    assert chunks.pop(8) == (5062).to_bytes(2, "big")
    assert chunks.pop(9) == (1_700_000_000).to_bytes(4, "big")
    assert chunks.pop(10) == (250_000).to_bytes(4, "big")
    assert chunks.pop(11) == b"\x01"
    assert chunks.pop(12) == (4_000_000_001).to_bytes(4, "big")
    assert chunks.pop(15) == PAYLOAD
    assert not chunks


@pytest.mark.parametrize(
    ("payload", "hosts"),
    [
        (bytes(65_500), ("192.0.2.1", "192.0.2.2")),
        (PAYLOAD, ("192.0.2.1", "2001:db8::1")),
        (PAYLOAD, ("host", "192.0.2.2")),
    ],
)
def test_what_cannot_be_said_is_refused(payload, hosts):
    with pytest.raises(ValueError, match=r"\w"):
        hep3(payload, (hosts[0], 1), (hosts[1], 2), time_s=0.0, capture_id=1)


def test_the_sender_masks_counts_and_never_raises():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        sender = HepSender(server.getsockname(), 7, [("192.0.2.1", 5060)])
        secret = b'BYE sip:a SIP/2.0\r\nAuthorization: Digest response="abcdef"\r\n\r\n'
        sender(True, Flow("198.51.100.2", 5070), secret, 12.5)
        chunks = decode(server.recv(65_536))
        sender(False, Flow("198.51.100.2", 5070), secret, 12.5)
        reverse = decode(server.recv(65_536))
        sender(True, Flow("2001:db8::1", 5070), secret, 12.5)
        sender(True, Flow("198.51.100.2", 5070, listener=3), secret, 12.5)
        sender(True, Flow("198.51.100.2", 5070), bytes(65_535), 12.5)
    assert b"abcdef" not in chunks[15]
    assert (chunks[3], chunks[4]) == (bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2]))
    assert (reverse[3], reverse[4]) == (chunks[4], chunks[3])
    assert (sender.sent, sender.dropped) == (2, 3)
    for _ in range(3):  # nobody is there any more: ICMP tells, and it is a drop
        sender(True, Flow("198.51.100.2", 5070), secret, 12.5)
    assert sender.dropped >= 4
    sender.close()
    sender(True, Flow("198.51.100.2", 5070), secret, 12.5)
    assert sender.dropped >= 5

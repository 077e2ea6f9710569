"""DatagramReader: batches of datagrams off real sockets on loopback."""

import select
import socket

import pytest
from ringwheel.media._core import DatagramReader


@pytest.fixture
def udp():
    opened = []

    def open_socket(family=socket.AF_INET, host="127.0.0.1"):
        opened.append(socket.socket(family, socket.SOCK_DGRAM))
        opened[-1].bind((host, 0))
        opened[-1].setblocking(False)
        return opened[-1]

    yield open_socket
    for each in opened:
        each.close()


def test_receives_a_batch_with_its_sources(udp):
    receiver, one, two = udp(), udp(), udp()
    reader = DatagramReader(8)
    assert reader.receive_batch(receiver.fileno(), 8) == []
    for sender, data in ((one, b"a"), (two, b""), (one, b"x" * 65507)):
        sender.sendto(data, receiver.getsockname())
    assert reader.receive_batch(receiver.fileno(), 2) == [
        (b"a", *one.getsockname()),
        (b"", *two.getsockname()),
    ]
    assert reader.receive_batch(receiver.fileno(), 8) == [(b"x" * 65507, *one.getsockname())]
    assert reader.counts == {"datagrams": 3, "icmp_errors": 0}


def test_sources_beyond_the_cache_stay_right(udp):
    receiver = udp()
    reader = DatagramReader(64)
    for last in range(1, 255):
        sender = udp(host=f"127.0.{last % 7}.{last}")
        for _ in range(2):
            sender.sendto(b"x", receiver.getsockname())
        host, port = sender.getsockname()
        assert reader.receive_batch(receiver.fileno(), 64) == [(b"x", host, port)] * 2


def test_ipv6_and_mapped_ipv4(udp):
    try:
        receiver = udp(socket.AF_INET6, "::")
        local = udp(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    port = receiver.getsockname()[1]
    mapped = udp()
    local.sendto(b"six", ("::1", port))
    mapped.sendto(b"four", ("127.0.0.1", port))
    assert DatagramReader().receive_batch(receiver.fileno(), 8) == [
        (b"six", "::1", local.getsockname()[1]),
        (b"four", "127.0.0.1", mapped.getsockname()[1]),
    ]


def test_icmp_errors_are_counted_not_raised(udp):
    gone, own = udp(), udp()
    own.connect(gone.getsockname())
    gone.close()
    own.send(b"x")
    select.select([own], [], [], 5)
    reader = DatagramReader()
    assert reader.receive_batch(own.fileno(), 8) == []
    assert reader.counts["icmp_errors"] == 1


def test_wrong_arguments():
    with pytest.raises(OSError, match="receiving"):
        DatagramReader().receive_batch(-1, 8)
    for capacity in (0, 1025):
        with pytest.raises(ValueError, match="capacity"):
            DatagramReader(capacity)

"""DatagramReader and DatagramSender: real sockets on loopback."""

import errno
import select
import socket

import pytest
from ringwheel.media._core import DatagramReader, DatagramSender


def address(host, port):
    return host, port


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
    reader = DatagramReader(address, 8)
    assert reader.receive_batch(receiver.fileno(), 8) == []
    for sender, data in ((one, b"a"), (two, b""), (one, b"x" * 65507)):
        sender.sendto(data, receiver.getsockname())
    assert reader.receive_batch(receiver.fileno(), 2) == [
        (b"a", one.getsockname()),
        (b"", two.getsockname()),
    ]
    assert reader.receive_batch(receiver.fileno(), 8) == [(b"x" * 65507, one.getsockname())]
    assert reader.counts == {"datagrams": 3, "icmp_errors": 0}


def test_sources_beyond_the_cache_stay_right(udp):
    receiver = udp()
    reader = DatagramReader(address, 64)
    for last in range(1, 255):
        sender = udp(host=f"127.0.{last % 7}.{last}")
        for _ in range(2):
            sender.sendto(b"x", receiver.getsockname())
        assert reader.receive_batch(receiver.fileno(), 64) == [(b"x", sender.getsockname())] * 2


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
    assert DatagramReader(address).receive_batch(receiver.fileno(), 8) == [
        (b"six", ("::1", local.getsockname()[1])),
        (b"four", ("127.0.0.1", mapped.getsockname()[1])),
    ]


def test_icmp_errors_are_counted_not_raised(udp):
    gone, own = udp(), udp()
    own.connect(gone.getsockname())
    gone.close()
    own.send(b"x")
    select.select([own], [], [], 5)
    reader = DatagramReader(address)
    assert reader.receive_batch(own.fileno(), 8) == []
    assert reader.counts["icmp_errors"] == 1


def test_wrong_arguments():
    with pytest.raises(OSError, match="receiving"):
        DatagramReader(address).receive_batch(-1, 8)
    for capacity in (0, 1025):
        with pytest.raises(ValueError, match="capacity"):
            DatagramReader(address, capacity)


def test_each_source_is_made_once(udp):
    receiver, sender, made = udp(), udp(), []
    reader = DatagramReader(lambda host, port: made.append((host, port)) or object(), 8)
    for _ in range(3):
        sender.sendto(b"x", receiver.getsockname())
    peers = {peer for _, peer in reader.receive_batch(receiver.fileno(), 8)}
    assert (len(peers), made) == (1, [sender.getsockname()])


def test_what_is_sent_arrives_where_it_is_sent(udp):
    own, sender = udp(), DatagramSender()
    receivers = [udp(host=f"127.0.0.{last}") for last in range(1, 9)]
    for _ in range(2):
        for receiver in receivers:
            host, port = receiver.getsockname()
            assert sender.send(own.fileno(), host.encode(), host, port) == 0
            assert receiver.recvfrom(100) == (host.encode(), own.getsockname())


def test_addresses_beyond_the_cache_stay_right(udp):
    own, receivers, sender = udp(), [udp(host="0.0.0.0") for _ in range(2)], DatagramSender()
    for number in range(2_000):
        host = f"127.0.{number // 250}.{number % 250 + 1}"
        for receiver in receivers:
            assert sender.send(own.fileno(), host.encode(), host, receiver.getsockname()[1]) == 0
            assert receiver.recv(100) == host.encode()


def test_ipv6_is_sent_to(udp):
    try:
        receiver, own = (udp(socket.AF_INET6, "::1") for _ in range(2))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    port = receiver.getsockname()[1]
    assert DatagramSender().send(own.fileno(), b"six", "::1", port) == 0
    assert receiver.recv(100) == b"six"


def test_what_cannot_be_sent_says_why(udp):
    own, sender = udp(), DatagramSender()
    assert sender.send(-1, b"x", "127.0.0.1", 9) == errno.EBADF
    assert sender.send(own.fileno(), b"x" * 65_508, "127.0.0.1", 9) == errno.EMSGSIZE
    for _ in range(2):
        with pytest.raises(ValueError, match="not a numeric IP address: 'peer.example'"):
            sender.send(own.fileno(), b"x", "peer.example", 5060)
    with pytest.raises(OverflowError):
        sender.send(own.fileno(), b"x", "127.0.0.1", 65_536)

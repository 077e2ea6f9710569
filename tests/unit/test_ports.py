"""Local RTP ports: their order, who is passed over, and what a refusal says."""

from __future__ import annotations

import errno
import os
import resource
import socket

import pytest
from ringwheel.media._core import open_udp_socket
from ringwheel.media.pool import announced_host
from ringwheel.media.ports import DSCP_EXPEDITED_FORWARDING, NoRtpPort, RtpPorts, rtp_port_range

from ..ports import pairs_of


def bind_udp(host: str, port: int) -> socket.socket:
    """A socket such as RTP gets."""
    return socket.socket(fileno=open_udp_socket(host, port, DSCP_EXPEDITED_FORWARDING))


@pytest.mark.parametrize(
    ("first", "last", "ports"),
    [
        (10_000, 10_005, [10_000, 10_002, 10_004]),
        (10_000, 10_004, [10_000, 10_002]),  # no odd port above 10004
        (10_001, 10_004, [10_002]),
        (10_001, 10_002, []),
        (10_000, 10_001, [10_000]),
    ],
)
def test_a_range_has_its_even_ports_that_have_an_odd_one_above(first, last, ports):
    assert list(rtp_port_range(first, last)) == ports
    assert RtpPorts(first, last).capacity == len(ports)


def test_ports_are_taken_in_turn_and_one_given_back_comes_last():
    first, last = pairs_of(3)
    ports = RtpPorts(first, last)
    taken = [ports.bind("127.0.0.1") for _ in range(2)]
    assert [port for _, port in taken] == [first, first + 2]
    os.close(taken[0][0])
    ports.give_back(first)
    assert ports.free == 2
    bound, port = ports.bind("127.0.0.1")
    again, last_port = ports.bind("127.0.0.1")
    for each in (taken[1][0], bound, again):
        os.close(each)
    assert (port, last_port) == (first + 4, first)


def test_a_port_that_somebody_else_holds_is_passed_over_until_it_is_free():
    first, last = pairs_of(2)
    ports = RtpPorts(first, last)
    with bind_udp("127.0.0.1", first):
        bound, port = ports.bind("127.0.0.1")
        assert port == first + 2
        with pytest.raises(NoRtpPort, match=f"every RTP port of {first}-{last} is in use"):
            ports.bind("127.0.0.1")
        os.close(bound)
        assert ports.free == 1
    bound, port = ports.bind("127.0.0.1")
    os.close(bound)
    assert port == first


def test_an_address_that_is_not_ours_is_no_shortage():
    first, last = pairs_of(2)
    ports = RtpPorts(first, last)
    with pytest.raises(NoRtpPort, match="cannot bind 203.0.113.9 for RTP: Cannot assign"):
        ports.bind("203.0.113.9")
    assert ports.free == 2


def test_running_out_of_files_names_the_limit():
    first, last = pairs_of(1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(NoRtpPort, match="too many open files; raise the limit"):
            RtpPorts(first, last).bind("127.0.0.1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    ("host", "level", "option"),
    [
        ("127.0.0.1", socket.IPPROTO_IP, socket.IP_TOS),
        ("::1", socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
    ],
)
def test_sockets_are_marked_for_expedited_forwarding_and_never_block(host, level, option):
    with bind_udp(host, 0) as bound:
        assert bound.getsockopt(level, option) == 46 << 2  # RFC 4594 section 4.1
        with pytest.raises(BlockingIOError):
            bound.recv(1)


def test_a_socket_that_cannot_be_bound_is_closed():
    with bind_udp("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(OSError) as failed:
            bind_udp("127.0.0.1", port)
        assert failed.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("bind_host", "remote_host", "announced"),
    [
        ("127.0.0.1", "192.0.2.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
        ("::1", "2001:db8::1", "::1"),
        ("::", "::1", "::1"),
    ],
)
def test_what_is_announced_is_where_the_peer_reaches_us(bind_host, remote_host, announced):
    assert announced_host(bind_host, remote_host) == announced


def test_a_peer_that_no_route_leads_to_is_named():
    # A limited broadcast is refused to a socket that has not asked for it (ip(7)).
    with pytest.raises(NoRtpPort, match="no way to 255.255.255.255 for RTP: Permission denied"):
        announced_host("0.0.0.0", "255.255.255.255")

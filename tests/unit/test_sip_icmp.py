"""What ICMP quotes of a request of ours, and whom it is of (RFC 3261 18.4)."""

import asyncio
import errno
import select
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.sip.edge import SendFailure
from ringwheel.media.sip.icmp import queue_refusals, refused_request, take_refusals, why_refused
from ringwheel.media.sip.transport import Listener, SipEndpoint, TransportCounts, UdpTransport

BRANCH = "z9hG4bKabc-123"
INVITE = (
    f"INVITE sip:u@[2001:db8::1]:5060;transport=udp SIP/2.0\r\n"
    f"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch={BRANCH}\r\n"
    "Max-Forwards: 70\r\nVia: SIP/2.0/UDP other;branch=z9hG4bKother\r\n\r\n"
).encode()
TOLD_FROM = INVITE.index(BRANCH.encode()) + len(BRANCH) + 1


@given(st.integers(0, len(INVITE)))
def test_a_request_is_known_as_soon_as_its_whole_branch_is_quoted(cut):
    expected = (BRANCH, "INVITE") if cut >= TOLD_FROM else None
    assert refused_request(INVITE[:cut]) == expected


@given(st.binary(max_size=600))
def test_anything_may_be_quoted(quoted):
    assert refused_request(quoted) is None
    assert refused_request(INVITE[:40] + quoted) in (None, (BRANCH, "INVITE"))


def test_a_forged_quotation_is_read_once():
    """ICMP comes from anybody: to read it again for each space of it would take minutes here."""
    assert refused_request(b"A b\r\nVia:" + b" " * 200_000) is None


class Quoting:
    """A socket whose error queue holds one message: what the kernel makes of an ICMP message."""

    def __init__(self, code, origin, kind, subtype):
        error = struct.pack("=IBBBBII", code, origin, kind, subtype, 0, 0, 0)
        told = [(socket.IPPROTO_IP, 11, error + bytes(16))]
        self.queue = [(INVITE, told, 0, ("192.0.2.1", 5060))]

    def recvmsg(self, *_arguments):
        if not self.queue:
            raise BlockingIOError
        return self.queue.pop()


@pytest.mark.parametrize(
    ("code", "origin", "kind", "subtype", "believed"),
    [
        (errno.ECONNREFUSED, 2, 3, 3, True),  # port unreachable
        (errno.EHOSTUNREACH, 2, 3, 1, True),  # host unreachable
        (errno.EPROTO, 2, 12, 0, True),  # parameter problem
        (errno.EMSGSIZE, 2, 3, 4, False),  # too large for a hop: the kernel cuts the next one
        (errno.EHOSTUNREACH, 2, 11, 0, False),  # time exceeded
        (errno.ECONNREFUSED, 3, 1, 4, True),  # ICMPv6: port unreachable
        (errno.EPROTO, 3, 4, 1, True),  # parameter problem
        (errno.EMSGSIZE, 3, 2, 0, False),  # packet too big
        (errno.EHOSTUNREACH, 3, 3, 0, False),  # time exceeded
        (errno.EMSGSIZE, 1, 0, 0, False),  # the kernel's own
    ],
)
def test_what_says_nothing_of_the_peer_is_ignored(code, origin, kind, subtype, believed):
    refusals = [(INVITE, why_refused(code))] if believed else []
    assert take_refusals(Quoting(code, origin, kind, subtype)) == (refusals, False)


def test_a_response_is_no_request():
    response = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n\r\n"
    assert refused_request(response) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_kernel_keeps_what_came_back(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as gone:
        gone.bind((host, 0))
        port = gone.getsockname()[1]
    with socket.socket(family, socket.SOCK_DGRAM) as own:
        own.bind((host, 0))
        own.setblocking(False)
        queue_refusals(own)
        assert take_refusals(own) == ([], False)
        own.sendto(INVITE, (host, port))
        poll = select.poll()
        poll.register(own, 0)
        assert poll.poll(5_000)
        assert take_refusals(own) == ([(INVITE, why_refused(errno.ECONNREFUSED))], False)
        assert take_refusals(own) == ([], False)


class Refusing:
    """Reports refusals of earlier datagrams a few times, in place of sending."""

    def __init__(self, inner, refusals):
        self.inner, self.refusals = inner, refusals

    def send(self, fd, data, host, port):
        if self.refusals:
            self.refusals -= 1
            return errno.ECONNREFUSED
        return self.inner.send(fd, data, host, port)


def test_refusals_that_come_while_it_is_sent_are_not_those_of_this_datagram():
    counts, refused = TransportCounts(), []
    transport = UdpTransport(Listener("127.0.0.1", 0), 0, counts)
    transport.on_refused = lambda quoted, cause: refused.append(quoted)
    transport._sender = Refusing(transport._sender, 2)
    transport.send(INVITE, "127.0.0.1", 9)
    assert (counts.datagrams_sent, counts.send_errors, refused) == (1, 0, [])
    transport.close()


class Listening:
    """Takes what an endpoint tells."""

    def __init__(self):
        self.refusals = asyncio.Queue()
        self.messages = asyncio.Queue()

    def refused(self, branch, method, failure):
        self.refusals.put_nowait((branch, method, failure))

    def receive(self, message, flow):
        self.messages.put_nowait(message.method)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_what_nobody_takes_is_told_and_costs_the_others_nothing(host):
    here, there, gone = (SipEndpoint([f"udp:{host}:0"]) for _ in range(3))
    ports = [int(one.addresses[0].rpartition(":")[2]) for one in (there, gone)]
    gone.close()
    told, heard = Listening(), Listening()
    here.start(told)
    there.start(heard)
    good, bad = (here.flow(host.strip("[]"), port) for port in ports)
    request = (
        f"OPTIONS sip:u@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={BRANCH}\r\n"
        "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\n\r\n"
    ).encode()
    for _ in range(20):
        here.send(request, bad)
        here.send(request, good)
    async with asyncio.timeout(10):
        for _ in range(20):
            cause = SendFailure(why_refused(errno.ECONNREFUSED))
            assert await told.refusals.get() == (BRANCH, "OPTIONS", cause)
            assert await heard.messages.get() == "OPTIONS"
    assert here.counts.datagrams_refused == 20
    assert (here.counts.datagrams_sent, here.counts.send_errors) == (40, 0)
    here.close()
    there.close()


@pytest.mark.parametrize("gather_ms", [0, 40])
async def test_many_that_came_back_are_all_taken(gather_ms):
    here, gone = (SipEndpoint(["udp:127.0.0.1:0"], gather_ms=gather_ms) for _ in range(2))
    port = int(gone.addresses[0].rpartition(":")[2])
    gone.close()
    told = Listening()
    for _ in range(150):
        here.send(INVITE, here.flow("127.0.0.1", port))
    here.start(told)
    async with asyncio.timeout(10):
        for _ in range(150):
            await told.refusals.get()
    assert here.counts.datagrams_refused == 150
    here.close()


async def test_what_cannot_even_be_sent_is_told_too():
    here, told = SipEndpoint(["udp:127.0.0.1:0"]), Listening()
    here.start(told)
    here.send(INVITE, here.flow("192.0.2.77", 5060))  # not from a loopback address
    async with asyncio.timeout(10):
        branch, method, failure = await told.refusals.get()
    assert (branch, method) == (BRANCH, "INVITE")
    assert failure.text == "Invalid argument"
    assert here.counts.send_errors == 1
    here.close()

"""The asyncio edge of SIP on real loopback sockets, under asyncio and uvloop."""

import asyncio
import errno
import socket
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import pytest
import uvloop
from ringwheel.media.sip.transport import (
    SEND_QUEUE_DATAGRAMS,
    Listener,
    ListenError,
    SipEndpoint,
    TransportCounts,
    UdpTransport,
    WheelClock,
    reachable_host,
)
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Party:
    """A user agent on a socket of its own; futures tell what its handler heard."""

    def __init__(self, listener="udp:127.0.0.1:0"):
        self.endpoint = SipEndpoint([listener])
        config = UserAgentConfig(addresses=self.endpoint.addresses)
        self.agent = UserAgent(self.endpoint.send, self.endpoint.timers, config, self)
        self.endpoint.start(self.agent)
        loop = asyncio.get_running_loop()
        self.answered, self.acked, self.ended = (loop.create_future() for _ in range(3))
        self.sdp = b"v=0\r\n"

    @property
    def address(self):
        return self.endpoint.addresses[0]

    def dial(self, other, sdp):
        host, _, port = other.address.rpartition(":")
        flow = self.endpoint.flow(host.strip("[]"), int(port))
        return self.agent.dial(f"sip:u@{other.address}", sdp, flow, from_uri="sip:me@here")

    def on_invite(self, call):
        call.accept(self.sdp)

    def on_answered(self, call, sdp):
        self.answered.set_result(sdp)

    def on_ack(self, call, sdp):
        self.acked.set_result(call)

    def on_ended(self, call, cause):
        self.ended.set_result(cause.by.value)

    def close(self):
        self.agent.shutdown()
        self.endpoint.close()


def run(make_loop, main):
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("listener", ["udp:127.0.0.1:0", "udp:[::1]:0"])
def test_a_call_over_sockets(make_loop, listener):
    async def main():
        here, there = Party(listener), Party(listener)
        call = here.dial(there, b"v=0 offer")
        assert await here.answered == b"v=0\r\n"
        await there.acked
        call.hangup()
        assert (await there.ended, await here.ended) == ("remote", "local")
        assert here.endpoint.counts.datagrams_sent == 3
        here.close()
        there.close()

    run(make_loop, main)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_message_of_30_kilobytes_passes(make_loop):
    async def main():
        here, there = Party(), Party()
        there.sdp = b"v" * 60_000
        here.dial(there, b"v" * 30_000)
        assert await here.answered == b"v" * 60_000
        here.close()
        there.close()

    run(make_loop, main)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_timers_fire_on_the_loop(make_loop):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            here = Party()
            flow = here.endpoint.flow("127.0.0.1", deaf.getsockname()[1])
            here.agent.dial("sip:u@127.0.0.1", b"v=0", flow, from_uri="sip:me@here")
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            first = await loop.sock_recv(deaf, 65_536)
            assert await loop.sock_recv(deaf, 65_536) == first  # timer A
            here.close()

    run(make_loop, main)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_garbage_and_failures_cost_a_counter(make_loop):
    async def main():
        here, there = Party(), Party()

        failed = asyncio.Event()

        def broken(message, flow):
            failed.set()
            raise RuntimeError("bug")

        works, there.agent.receive = there.agent.receive, broken
        host, port = there.address.split(":")
        flow = here.endpoint.flow(host, int(port))
        here.endpoint.send(b"\xff\x00", flow)
        here.endpoint.send(b"OPTIONS sip:u@h SIP/2.0\r\n\r\n", flow)
        call = here.dial(there, b"v=0")
        await failed.wait()
        there.agent.receive = works  # timer A brings the INVITE again
        await here.answered
        assert there.endpoint.counts.parse_errors == 2
        assert there.endpoint.counts.failures == 1
        call.hangup()
        here.close()
        there.close()

    run(make_loop, main)


class Listening:
    """An endpoint that notes what it reads, and when it looks."""

    def __init__(self, gather_ms):
        self.endpoint = SipEndpoint(["udp:127.0.0.1:0"], gather_ms=gather_ms)
        self.taken = []
        self.read_at_s = []
        self.done = asyncio.Event()
        self.endpoint.observer = self._note
        read = self.endpoint._read

        def timed(transport):
            self.read_at_s.append(asyncio.get_running_loop().time())
            return read(transport)

        self.endpoint._read = timed
        self.endpoint.start(SimpleNamespace(receive_error=lambda error, flow: None))

    def _note(self, ours, flow, data, time_s):
        self.taken.append(int(data))
        if data == b"59":
            self.done.set()


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("gather_ms", [0, 40])
def test_a_stream_of_datagrams_is_read_in_order_and_as_often_as_told(make_loop, gather_ms):
    async def main():
        there = Listening(gather_ms)
        host, port = there.endpoint.addresses[0].split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((host, int(port)))
            for number in range(60):
                sender.send(b"%d" % number)
                await asyncio.sleep(0.001)
        await there.done.wait()
        there.endpoint.close()
        assert there.taken == list(range(60))
        pauses_s = [b - a for a, b in pairwise(there.read_at_s)]
        if gather_ms:
            assert min(pauses_s) >= (gather_ms / 2 - 1) / 1_000  # a loop's clock is as fine as that
        else:
            assert len(there.read_at_s) >= 10

    run(make_loop, main)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("gather_ms", [0, 40])
def test_who_was_told_that_nobody_listens_hears_the_others_all_the_same(make_loop, gather_ms):
    async def main():
        here, gone = (SipEndpoint(["udp:127.0.0.1:0"], gather_ms=gather_ms) for _ in range(2))
        host, port = gone.addresses[0].split(":")
        gone.close()
        heard, told = asyncio.Queue(), asyncio.Queue()
        here.observer = lambda ours, flow, data, time_s: heard.put_nowait(data)
        here.start(SimpleNamespace(receive_error=lambda error, flow: None))
        here._transports[0].on_refused = lambda quoted, cause: told.put_nowait(quoted)
        own_host, own_port = here.addresses[0].split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(3):
                here._transports[0].send(b"%d" % number, host, int(port))
                assert await told.get() == b"%d" % number
                sender.sendto(b"%d" % number, (own_host, int(own_port)))
                assert await heard.get() == b"%d" % number
        here.close()

    run(make_loop, main)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("sctp:127.0.0.1:5060", "write it as udp:HOST:PORT"),
        ("udp:127.0.0.1:5060=", "=HOST or =HOST:PORT"),
        ("udp:127.0.0.1:5060=a b", "=HOST or =HOST:PORT"),
        ("tcp:[::1]:5060=203.0.113.5:0", "=HOST or =HOST:PORT"),
        ("tls:127.0.0.1:5061", "--tls-cert"),
        ("127.0.0.1", "write it as udp:HOST:PORT"),
        ("udp:::1:5060", "write it as udp:HOST:PORT"),
        ("udp:127.0.0.1:sip", "take 1 to 65535"),
        ("udp:127.0.0.1:70000", "take 1 to 65535"),
        ("udp:localhost:5060", "no numeric address"),
        ("udp:192.0.2.77:5060", "take one that `ip address` lists"),
    ],
)
def test_a_listener_that_cannot_be(text, remedy):
    with pytest.raises(ListenError) as caught:
        SipEndpoint([text])
    assert str(caught.value).startswith(text)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_names_who_tells_and_frees_the_other_listeners():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        with pytest.raises(ListenError, match="port is in use"):
            SipEndpoint([f"udp:127.0.0.1:{free}", f"udp:127.0.0.1:{taken}"])
        SipEndpoint([f"udp:127.0.0.1:{free}"]).close()


def test_addresses_are_what_peers_write():
    endpoint = SipEndpoint(["udp:127.0.0.1:0", "udp:[::1]:0"])
    v4, v6 = endpoint.addresses
    assert v4.startswith("127.0.0.1:")
    assert v6.startswith("[::1]:")
    endpoint.close()
    endpoint = SipEndpoint(["udp:0.0.0.0:0"], advertise="203.0.113.5")
    assert endpoint.addresses[0].startswith("203.0.113.5:")
    endpoint.close()
    assert reachable_host(Listener.parse("udp:0.0.0.0:1")) != "0.0.0.0"


class FullSender:
    """Sends by a socket without room until told so."""

    def __init__(self):
        self.full = True
        self.sent = []

    def send(self, fd, data, host, port):
        if self.full:
            return errno.EAGAIN
        self.sent.append(data)
        return 0


def test_a_full_socket_queues_in_order_and_drops_beyond_the_bound():
    counts = TransportCounts()
    transport = UdpTransport(Listener("127.0.0.1", 0), 0, counts)
    transport.socket.close()
    transport._sender = full = FullSender()
    soon, again = [], []
    transport._loop = SimpleNamespace(
        call_soon=soon.append, call_later=lambda delay_s, callback: again.append(callback)
    )
    for number in range(SEND_QUEUE_DATAGRAMS + 3):
        transport.send(b"%d" % number, "127.0.0.1", 9)
    soon[-1]()
    assert (counts.sends_queued, counts.sends_dropped) == (SEND_QUEUE_DATAGRAMS, 3)
    assert len(again) == 1
    again.pop()()
    assert len(again) == 1  # there is no room yet
    full.full = False
    again.pop()()
    assert full.sent == [b"%d" % number for number in range(SEND_QUEUE_DATAGRAMS)]
    assert again == []
    assert counts.datagrams_sent == SEND_QUEUE_DATAGRAMS


def test_what_is_sent_in_one_wake_up_leaves_together_and_in_order(reading):
    transport, datagrams = reading.transport, [b"%d" % number for number in range(20)]
    transport._sender = sender = FullSender()
    sender.full = False
    for data in datagrams[:15]:
        transport.send(data, "127.0.0.1", 9)
    assert sender.sent == []
    transport.send(datagrams[15], "127.0.0.1", 9)
    assert sender.sent == datagrams[:16]  # more would be too much for its peer at once
    for data in datagrams[16:]:
        transport.send(data, "127.0.0.1", 9)
    reading.pass_ms(0)
    assert sender.sent == datagrams


def test_what_is_about_to_leave_leaves_before_the_socket_is_closed():
    async def main():
        here, there = (SipEndpoint(["udp:127.0.0.1:0"]) for _ in range(2))
        heard = asyncio.Queue()
        there.observer = lambda ours, flow, data, time_s: heard.put_nowait(data)
        for endpoint in (here, there):
            endpoint.start(SimpleNamespace(receive_error=lambda error, flow: None))
        host, port = there.addresses[0].split(":")
        here.send(b"bye", here.flow(host, int(port)))
        here.close()
        assert await heard.get() == b"bye"
        there.close()

    run(asyncio.new_event_loop, main)


class Crowded:
    """Sends by a socket that has no room a few times."""

    def __init__(self, inner, refuses):
        self.inner, self.refuses = inner, refuses

    def send(self, fd, data, host, port):
        if self.refuses:
            self.refuses -= 1
            return errno.EAGAIN
        return self.inner.send(fd, data, host, port)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_what_waits_for_room_is_sent_though_something_came_back(make_loop):
    async def main():
        here, there, gone = (SipEndpoint(["udp:127.0.0.1:0"]) for _ in range(3))
        port, lost = (int(one.addresses[0].rpartition(":")[2]) for one in (there, gone))
        gone.close()
        heard = asyncio.Queue()
        there.observer = lambda ours, flow, data, time_s: heard.put_nowait(data)
        taker = SimpleNamespace(receive_error=lambda error, flow: None)
        here.start(taker)
        there.start(taker)
        transport = here._transports[0]
        transport.socket.sendto(b"lost", ("127.0.0.1", lost))
        transport._sender = Crowded(transport._sender, 5)
        transport.send(b"late", "127.0.0.1", port)
        assert await heard.get() == b"late"
        here.close()
        there.close()

    run(make_loop, main)


def test_an_address_that_cannot_be_sent_to_costs_a_counter():
    counts = TransportCounts()
    transport = UdpTransport(Listener("127.0.0.1", 0), 0, counts)
    for address in (("127.0.0.1", 0), ("127.0.0.1", 70_000), ("::1", 5060)):
        transport.send(b"x", *address)
    assert counts.send_errors == 3
    transport.close()


class SlowLoop:
    """An event loop whose clock is set by hand."""

    def __init__(self):
        self.now_s = 1_000.0
        self.armed = []
        self.readers = []

    def time(self):
        return self.now_s

    def add_reader(self, fd, callback, *arguments):
        self.readers.append(partial(callback, *arguments))

    def remove_reader(self, fd):
        self.readers.clear()

    def call_soon(self, callback):
        return self.call_at(self.now_s, callback)

    def call_at(self, when_s, callback):
        entry = SimpleNamespace(when_s=when_s, callback=callback)
        entry.cancel = lambda: self.armed.remove(entry)
        self.armed.append(entry)
        return entry

    def pass_time(self, duration_s):
        end_s = self.now_s + duration_s
        wakes = 0
        while self.armed and min(e.when_s for e in self.armed) <= end_s:
            entry = min(self.armed, key=lambda e: e.when_s)
            self.armed.remove(entry)
            self.now_s = max(self.now_s, entry.when_s)
            entry.callback()
            wakes += 1
        self.now_s = end_s
        return wakes


class Reading:
    """A socket that is read in a loop whose clock is set by hand."""

    def __init__(self, loop, gather_ms):
        self.loop = loop
        self.transport = UdpTransport(Listener("127.0.0.1", 0), 0, TransportCounts(), gather_ms)
        self.waiting = 0
        self.read_at_ms = []
        self.answers_after_ms = None
        self.transport.start(self._read)

    def _read(self, transport):
        self.read_at_ms.append(round((self.loop.now_s - 1_000) * 1_000))
        taken, self.waiting = self.waiting, 0
        if self.answers_after_ms is not None:
            self.loop.now_s += self.answers_after_ms / 1_000
            transport.send(b"x", "127.0.0.1", 9)
        return taken

    def arrive(self, count=1):
        self.waiting += count
        if self.transport._next_read is None:
            self.loop.readers[0]()

    def pass_ms(self, duration_ms):
        self.loop.pass_time(duration_ms / 1_000)


@pytest.fixture
def gather_ms():
    return 40


@pytest.fixture
def reading(monkeypatch, gather_ms):
    loop = SlowLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    made = Reading(loop, gather_ms)
    yield made
    made.transport.close()


def test_the_first_datagram_is_read_at_once_and_the_others_together(reading):
    reading.arrive()
    for _ in range(5):
        reading.pass_ms(7)
        reading.arrive()
    reading.pass_ms(100)
    assert reading.read_at_ms == [0, 20, 60, 100]  # one alone is followed up sooner


@pytest.mark.parametrize("gather_ms", [0])
def test_without_gathering_each_is_read_at_once(reading):
    for _ in range(3):
        reading.arrive()
        reading.transport.send(b"x", "127.0.0.1", 9)
        reading.pass_ms(7)
    assert reading.read_at_ms == [0, 7, 14]
    assert reading.loop.armed == []


@pytest.mark.parametrize("gather_ms", [100])
def test_it_gathers_for_as_long_as_it_is_told(reading):
    for _ in range(31):
        reading.arrive(2)
        reading.pass_ms(10)
    assert reading.read_at_ms == [0, 100, 200, 300]


def test_a_datagram_soon_after_the_last_look_waits_for_the_next(reading):
    reading.arrive()
    reading.pass_ms(25)  # at 20 nothing had come: the socket rests
    reading.arrive()
    reading.pass_ms(10)
    assert reading.read_at_ms == [0, 20]
    reading.pass_ms(10)
    assert reading.read_at_ms == [0, 20, 40]
    reading.pass_ms(100)
    reading.arrive()
    assert reading.read_at_ms == [0, 20, 40, 60, 145]


def test_who_sends_reads_what_has_come_meanwhile(reading):
    reading.arrive(2)
    reading.pass_ms(19)
    reading.transport.send(b"x", "127.0.0.1", 9)
    reading.arrive(2)
    reading.pass_ms(2)
    reading.transport.send(b"x", "127.0.0.1", 9)
    reading.transport.send(b"x", "127.0.0.1", 9)
    reading.pass_ms(45)
    assert reading.read_at_ms == [0, 21, 61]


def test_what_is_sent_while_it_is_read_brings_no_second_look(reading):
    """However long the reading takes: two timers would each read on, and one outlive the socket."""
    reading.arrive()
    reading.arrive()
    reading.answers_after_ms = 15
    reading.pass_ms(20)
    reading.pass_ms(16)
    assert reading.read_at_ms == [0, 20]
    assert len(reading.loop.armed) == 1


@pytest.fixture
def clock(monkeypatch):
    loop = SlowLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    failures = []
    clock = WheelClock(failures.append)
    clock.start()
    return SimpleNamespace(loop=loop, wheel=clock, failures=failures, fired=[])


def test_the_clock_fires_on_time_though_the_wheel_was_idle(clock):
    clock.loop.pass_time(77.7)
    due_ms = clock.wheel.now_ms + 500
    clock.wheel.arm(500, lambda: clock.fired.append(clock.wheel.now_ms))
    clock.loop.pass_time(2)
    assert len(clock.fired) == 1
    assert due_ms <= clock.fired[0] <= due_ms + 1


def test_the_clock_wakes_once_for_all_timers_of_a_tick(clock):
    for _ in range(1_000):
        clock.wheel.arm(10, lambda: clock.fired.append(1))
    assert len(clock.loop.armed) == 1
    assert clock.loop.pass_time(0.05) == 1
    assert len(clock.fired) == 1_000
    assert clock.loop.armed == []


def test_an_earlier_timer_takes_the_place_of_a_later_one(clock):
    clock.wheel.arm(5_000, lambda: clock.fired.append("late"))
    clock.wheel.arm(20, lambda: clock.fired.append("early"))
    clock.loop.pass_time(0.1)
    assert clock.fired == ["early"]
    clock.loop.pass_time(5)
    assert clock.fired == ["early", "late"]


def test_a_callback_that_raises_does_not_stop_the_clock(clock):
    def broken():
        raise RuntimeError("bug")

    clock.wheel.arm(10, broken)
    clock.wheel.arm(10, lambda: clock.fired.append(1))
    clock.wheel.arm(30, lambda: clock.fired.append(2))
    clock.loop.pass_time(0.1)
    assert clock.failures == ["timer"]
    assert sorted(clock.fired) == [1, 2]

"""SIP over real TCP and TLS connections, under asyncio and uvloop."""

import asyncio
import contextlib
import gc
import logging
import socket

import pytest
from ringwheel.media.sip.edge import SendFailure
from ringwheel.media.sip.failure import failed_response
from ringwheel.media.sip.framer import MAX_HEAD_BYTES
from ringwheel.media.sip.lifeline import StreamLimits
from ringwheel.media.sip.message import Request, parse
from ringwheel.media.sip.transport import ListenError, SipEndpoint

from ..certificates import Authority
from ..ports import free_port
from .stream_party import OPTIONS, Party, connected, on_both_loops, run, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@contextlib.contextmanager
def deaf_listener():
    """A port at which connections neither come to be nor are refused, as behind a firewall: those
    that nobody takes fill its queue."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.fixture(autouse=True)
def quiet_log(caplog):
    """Whatever a peer does, asyncio has nothing to complain of."""
    yield
    bad = [r for r in caplog.records if r.levelno >= logging.WARNING and r.name == "asyncio"]
    assert not bad


@on_both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("transport", ["TCP", "TLS"])
def test_a_call_on_one_connection(make_loop, authority, transport, host):
    tls = authority.config("127.0.0.1", "::1")
    listener = f"{transport.lower()}:{host}:0"

    async def main():
        here, there = Party(listener, tls=tls), Party(listener, tls=tls)
        call = here.dial(there, transport)
        assert await here.answered == b"v=0 answer"
        await there.acked
        call.hangup()
        causes = await there.ended, await here.ended
        assert [cause.by.value for cause in causes] == ["remote", "local"]
        assert (here.counts.streams_opened, there.counts.streams_accepted) == (1, 1)
        assert here.counts.stream_messages_sent == 3
        contact, flow = there.header("INVITE", "Contact")
        parameter = f";transport={transport.lower()}"
        assert contact == f"<sip:ringwheel@{here.endpoint.addresses[0]}{parameter}>"
        assert here.header("SIP/2.0 200", "Contact")[0].endswith(f"{parameter}>")
        via, _ = there.header("INVITE", "Via")
        assert via.startswith(f"SIP/2.0/{transport} {here.endpoint.addresses[0]};")
        assert flow.transport == transport
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize("transport", ["TCP", "TLS"])
def test_the_callee_hangs_up_by_the_connection_that_the_call_came_on(
    make_loop, authority, transport
):
    """The caller listens by UDP only: nobody could connect to it."""
    tls = authority.config("127.0.0.1")

    async def main():
        here = Party("udp:127.0.0.1:0", tls=tls)
        there = Party(f"{transport.lower()}:127.0.0.1:0", tls=tls)
        here.dial(there, transport)
        await here.answered
        (await there.acked).hangup()
        assert (await here.ended).by.value == "remote"
        assert (there.counts.streams_opened, there.counts.streams_accepted) == (0, 1)
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_connection_that_breaks_in_mid_call_is_opened_again(make_loop, who):
    async def main():
        here, there = Party("tcp:127.0.0.1:0"), Party("tcp:127.0.0.1:0")
        call = here.dial(there, "TCP")
        await here.answered
        await there.acked
        (connection,) = here.endpoint.streams._connections
        connection.abort()
        await until(lambda: not len(there.endpoint.streams) + len(here.endpoint.streams))
        (call if who == "caller" else there.calls[0]).hangup()
        await here.ended
        await there.ended
        assert here.counts.streams_opened + there.counts.streams_opened == 2
        await until(lambda: not here.agent.dialogs + there.agent.dialogs)
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_many_calls_at_once_make_one_connection(make_loop):
    async def main():
        here, there = Party("tcp:127.0.0.1:0"), Party("tcp:127.0.0.1:0")
        there.on_invite = lambda call: call.reject(486)
        here.on_ended = lambda call, cause: here.calls.append(cause.status)
        there.on_ended = lambda call, cause: None
        for _ in range(100):
            here.dial(there, "TCP")
        await until(lambda: len(here.calls) == 100)
        assert set(here.calls) == {486}
        assert (here.counts.streams_opened, there.counts.streams_accepted) == (1, 1)
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_a_refused_connection_ends_the_call_at_once(make_loop):
    async def main():
        here = Party("tcp:127.0.0.1:0")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            flow = here.endpoint.flow("127.0.0.1", closed.getsockname()[1], transport="TCP")
            here.agent.dial("sip:u@127.0.0.1", b"v=0", flow, from_uri="sip:me@here")
            cause = await here.ended
        assert cause.status == 503
        assert "refused" in cause.text
        assert here.counts.streams_failed == 1
        await here.close()

    run(make_loop, main)


@on_both_loops
def test_a_server_that_hangs_up_on_our_invite_ends_the_call(make_loop):
    async def main():
        here = Party("tcp:127.0.0.1:0")

        async def hang_up(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        flow = here.endpoint.flow(*server.sockets[0].getsockname(), transport="TCP")
        here.agent.dial("sip:u@127.0.0.1", b"v=0", flow, from_uri="sip:me@here")
        assert (await here.ended).status == 503
        server.close()
        await here.close()

    run(make_loop, main)


# What peers send


@on_both_loops
def test_messages_cut_and_joined_are_answered_in_order(make_loop):
    async def main():
        there = Party("tcp:127.0.0.1:0")
        reader, writer = await connected(there)
        stream = "".join(OPTIONS.format(n=n) for n in range(200)).encode()
        for start in range(0, len(stream), 777):
            writer.write(stream[start : start + 777])
            await writer.drain()
        for n in range(200):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"SIP/2.0 200 ")
            assert f"Call-ID: {n}\r\n".encode() in answer
        writer.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_a_ping_is_answered_between_messages(make_loop):
    async def main():
        there = Party("tcp:127.0.0.1:0")
        reader, writer = await connected(there)
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        writer.write(b"\r\n" + OPTIONS.format(n=1).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200 ")
        writer.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize(
    ("stream", "answer"),
    [
        (OPTIONS.format(n=1).replace("Content-Length: 0\r\n", ""), b"SIP/2.0 400 "),
        (OPTIONS.format(n=1).replace(": 0", ": x"), b"SIP/2.0 400 "),
        (OPTIONS.format(n=1).replace(": 0", ": 99999"), b"SIP/2.0 513 "),
        (OPTIONS.format(n=1).replace("OPTIONS", "ACK").replace("Content-Length: 0\r\n", ""), b""),
        ("GET / HTTP/1.1\r\nHost: here\r\n\r\n", b""),
        ("\x16\x03\x01\x00\xa5\x01", b""),
        ("INVITE " + "x" * MAX_HEAD_BYTES, b""),
    ],
)
def test_what_cannot_be_framed_is_answered_and_cut(make_loop, stream, answer):
    async def main():
        there = Party("tcp:127.0.0.1:0")
        reader, writer = await connected(there)
        writer.write(stream.encode() + OPTIONS.format(n=2).encode())
        read = await reader.read()
        assert read.startswith(answer)
        assert read.count(b"SIP/2.0 ") == (1 if answer else 0)
        assert there.counts.streams_cut_malformed == 1
        writer.close()
        await until(lambda: not len(there.endpoint.streams))
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize("start", [b"", b"\r\n", b"OPTIONS sip:u@h SIP/2.0\r\nVia"])
def test_slow_peers_are_cut(make_loop, start):
    async def main():
        there = Party("tcp:127.0.0.1:0", limits=StreamLimits(message_ms=200))
        reader, writer = await connected(there)
        writer.write(start)
        assert await reader.read() == b""
        assert there.counts.streams_cut_slow == 1
        writer.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_an_idle_connection_is_closed_and_a_ping_keeps_it(make_loop):
    async def main():
        there = Party("tcp:127.0.0.1:0", limits=StreamLimits(idle_ms=1_200))
        reader, writer = await connected(there)
        writer.write(OPTIONS.format(n=1).encode())
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.3)
            writer.write(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.read() == b""
        writer.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_connections_are_bounded(make_loop):
    limits = StreamLimits(connections=3, per_source=2)

    async def main():
        there = Party("tcp:127.0.0.1:0", limits=limits)
        kept = [await connected(there) for _ in range(2)]
        await until(lambda: there.counts.streams_accepted == 2)
        reader, writer = await connected(there)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(1)
        assert there.counts.streams_refused == 1
        writer.close()
        kept[0][1].close()
        await until(lambda: there.counts.streams_closed == 1)
        reader, writer = await connected(there)
        writer.write(OPTIONS.format(n=1).encode())
        assert await reader.readuntil(b"\r\n\r\n")
        for open_writer in (writer, kept[1][1]):
            open_writer.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_a_peer_that_does_not_read_is_cut(make_loop):
    async def main():
        there = Party("tcp:127.0.0.1:0", limits=StreamLimits(queue_bytes=20_000))
        reader, writer = await connected(there)
        batch = "".join(OPTIONS.format(n=n) for n in range(2_000)).encode()

        async def flood():
            while not there.counts.streams_cut_stalled:
                writer.write(batch)
                await writer.drain()

        with pytest.raises(ConnectionError):
            while True:
                await flood()
                await asyncio.sleep(0.01)
                writer.write(b"x")
        assert there.counts.streams_cut_stalled == 1
        assert there.counts.failures == 0
        writer.close()
        await there.close()

    run(make_loop, main)


# Keep-alive


@on_both_loops
@pytest.mark.parametrize("answers", [True, False])
def test_we_ping_and_notice_a_peer_that_falls_silent(make_loop, answers):
    """One that never answered may know nothing of it, and is kept."""
    limits = StreamLimits(ping_ms=100, pong_ms=150)

    async def main():
        here = Party("tcp:127.0.0.1:0", limits=limits)
        pings = []

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            while await reader.readexactly(4) == b"\r\n\r\n":
                pings.append(writer)
                if answers and len(pings) < 3:
                    writer.write(b"\r\n")

        async def quietly(reader, writer):
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(quietly, "127.0.0.1", 0)
        flow = here.endpoint.flow(*server.sockets[0].getsockname(), transport="TCP")
        here.endpoint.send(OPTIONS.format(n=1).encode(), flow)
        await until(lambda: len(pings) >= 5 or here.counts.streams_cut_dead)
        assert here.counts.streams_cut_dead == int(answers)
        assert (len(pings) == 3) == answers
        server.close()
        await here.close()

    run(make_loop, main)


# Large requests


@on_both_loops
def test_large_requests_take_tcp(make_loop):
    async def main():
        port = free_port()
        here = Party("udp:127.0.0.1:0", "tcp:127.0.0.1:0")
        there = Party(f"udp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}")
        call = here.dial(there, "UDP", b"v" * 1_400)
        assert await here.answered
        await there.acked
        via, flow = there.header("INVITE", "Via")
        assert via.startswith(f"SIP/2.0/TCP {here.endpoint.addresses[1]};")
        assert flow.transport == "TCP"
        call.hangup()
        await there.ended
        # The callee's Contact says so.
        assert there.header("BYE", "Via")[1].transport == "TCP"
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_large_requests_take_udp_where_nobody_listens_by_tcp(make_loop):
    async def main():
        here, there = Party("udp:127.0.0.1:0", "tcp:127.0.0.1:0"), Party("udp:127.0.0.1:0")
        there.on_invite = there.calls.append
        call = here.dial(there, "UDP", b"v" * 1_400)
        await until(lambda: there.calls)
        invite, flow = next(m for m in there.messages if isinstance(m[0], Request))
        assert invite.headers.get("Via").startswith("SIP/2.0/UDP ")
        assert flow.transport == "UDP"
        there.calls[0].ring()
        await until(lambda: here.messages)
        call.hangup()  # a CANCEL takes the way of its INVITE (RFC 3261 9.1)
        assert (await here.ended).status == 487
        assert there.header("CANCEL", "Via")[1].transport == "UDP"
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_who_takes_no_connection_is_not_asked_for_one_with_each_request(make_loop):
    async def main():
        here, there = Party("udp:127.0.0.1:0", "tcp:127.0.0.1:0"), Party("udp:127.0.0.1:0")
        there.on_invite = lambda call: call.reject(486)
        here.on_ended = there.on_ended = lambda call, cause: here.calls.append(cause.status)
        for number in range(1, 4):
            here.dial(there, "UDP", b"v" * 1_400)
            await until(lambda number=number: len(here.calls) == 2 * number)
        assert here.calls == [486] * 6
        assert here.counts.streams_failed == 1
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_a_call_that_is_given_up_while_it_waits_for_a_connection_rings_nowhere(make_loop):
    async def main():
        with deaf_listener() as port:
            limits = StreamLimits(connect_ms=100)
            here = Party("udp:127.0.0.1:0", "tcp:127.0.0.1:0", limits=limits)
            there = Party(f"udp:127.0.0.1:{port}")
            call = here.dial(there, "UDP", b"v" * 1_400)
            await until(lambda: len(here.endpoint.streams))
            call.hangup()
            await here.ended
            assert here.counts.streams_failed == 1
            assert there.messages == []
            await here.close()
            await there.close()

    run(make_loop, main)


@on_both_loops
def test_the_cancel_of_a_large_invite_takes_tcp_too(make_loop):
    async def main():
        port = free_port()
        here = Party("udp:127.0.0.1:0", "tcp:127.0.0.1:0")
        there = Party(f"udp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}")
        there.on_invite = lambda call: (there.calls.append(call), call.ring())
        call = here.dial(there, "UDP", b"v" * 1_400)
        await until(lambda: here.messages)
        call.hangup()
        assert (await here.ended).status == 487
        assert there.header("CANCEL", "Via")[1].transport == "TCP"
        await here.close()
        await there.close()

    run(make_loop, main)


def test_the_way_to_a_peer():
    endpoint = SipEndpoint(["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0"])
    assert endpoint.flow("192.0.2.1", 5060).listener == 0
    assert endpoint.flow("2001:db8::1", 5060).listener == 2
    assert endpoint.flow("192.0.2.1", 5060, transport="TCP").listener == 1
    assert endpoint.flow("192.0.2.1", 5061, transport="TLS", name="a.example").name == "a.example"
    assert endpoint.flow("2001:db8::1", 5060, transport="TCP").listener == 2
    endpoint.close()
    endpoint = SipEndpoint(["tcp:127.0.0.1:0"])
    for host, transport in (("192.0.2.1", "UDP"), ("2001:db8::1", "TCP")):
        with pytest.raises(ListenError, match=f"no listener leads there by {transport}; add one"):
            endpoint.flow(host, 5060, transport=transport)
    endpoint.close()


def test_what_peers_write_may_differ_from_listener_to_listener():
    endpoint = SipEndpoint(
        [
            "udp:127.0.0.1:0=203.0.113.5",
            "tcp:127.0.0.1:0=[2001:db8::5]:5070",
            "tcp:127.0.0.1:0=sip.example.com:5080",
            "udp:127.0.0.1:0",
        ],
        advertise="203.0.113.9",
    )
    bound = endpoint._transports
    assert endpoint.addresses == (
        f"203.0.113.5:{bound[0].port}",
        "[2001:db8::5]:5070",
        "sip.example.com:5080",
        f"203.0.113.9:{bound[3].port}",
    )
    hosts = [endpoint.media_host(index) for index in range(4)]
    assert hosts == ["203.0.113.5", "2001:db8::5", "203.0.113.9", "203.0.113.9"]
    endpoint.close()


def test_a_failed_request_is_told_apart_from_an_answer():
    """What the user of a transaction gets is made here, out of the request."""
    response = failed_response(OPTIONS.format(n=1).encode(), SendFailure('say "no"'))
    assert parse(response.to_bytes()).status == 503
    assert response.headers.get("Reason") == 'SIP;cause=503;text="say \\"no\\""'


@on_both_loops
def test_the_refusal_of_what_cannot_be_read_may_get_lost(make_loop):
    """It repeats the header that cannot be read, so that it cannot be read either."""

    async def main():
        there, problems = Party("tcp:127.0.0.1:0"), []
        asyncio.get_running_loop().set_exception_handler(lambda _, why: problems.append(why))
        refusal = OPTIONS.format(n=1).replace("CSeq: 1", "CSeq: x").partition("\r\n")[2]
        flow = there.endpoint.flow("127.0.0.1", free_port(), transport="TCP")
        there.endpoint.send(b"SIP/2.0 400 Bad Request\r\n" + refusal.encode(), flow)
        await until(lambda: there.counts.undelivered)
        await there.close()
        gc.collect()  # it tells of tasks that have failed
        assert problems == []

    run(make_loop, main)

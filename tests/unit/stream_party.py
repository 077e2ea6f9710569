"""A user agent on real sockets, for tests of TCP and TLS, and what such tests need beside it."""

import asyncio

import pytest
import uvloop
from ringwheel.media.sip.transport import SipEndpoint
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
OPTIONS = (
    "OPTIONS sip:u@h SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{n}\r\n"
    "From: <sip:a@b>;tag=1\r\nTo: <sip:u@h>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


class Party:
    """A user agent on sockets of its own; futures tell what its handler heard."""

    def __init__(self, *listeners, tls=None, limits=None):
        self.endpoint = SipEndpoint(listeners, tls=tls, limits=limits)
        config = UserAgentConfig(self.endpoint.addresses, self.endpoint.transports)
        self.agent = UserAgent(self.endpoint.send, self.endpoint.timers, config, self)
        self.endpoint.start(self.agent)
        loop = asyncio.get_running_loop()
        self.answered, self.acked, self.ended = (loop.create_future() for _ in range(3))
        self.calls = []
        self.requests = []
        self.messages = []
        receive = self.agent.receive

        def note(message, flow):
            self.messages.append((message, flow))
            receive(message, flow)

        self.agent.receive = note

    @property
    def counts(self):
        return self.endpoint.counts

    def address(self, listener=0):
        host, _, port = self.endpoint.addresses[listener].rpartition(":")
        return host.strip("[]"), int(port)

    def dial(self, other, transport, sdp=b"v=0 offer", *, name="", scheme="sip", listener=0):
        flow = self.endpoint.flow(*other.address(listener), transport=transport, name=name)
        uri = f"{scheme}:u@{other.endpoint.addresses[listener]}"
        return self.agent.dial(uri, sdp, flow, from_uri="sip:me@here")

    def on_invite(self, call):
        self.calls.append(call)
        call.accept(b"v=0 answer")

    def on_ringing(self, call, response):
        pass

    def on_answered(self, call, sdp):
        self.answered.set_result(sdp)

    def on_ack(self, call, sdp):
        self.acked.set_result(call)

    def on_ended(self, call, cause):
        self.ended.set_result(cause)

    def header(self, start, name):
        """A header of the first message whose start line begins so, and its flow."""
        message, flow = next(m for m in self.messages if m[0].start_line().startswith(start))
        return message.headers.get(name), flow

    async def close(self):
        self.agent.shutdown()
        self.endpoint.close()
        await self.endpoint.wait_closed()
        assert len(self.endpoint.streams) == 0


def run(make_loop, main):
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


def on_both_loops(test):
    """Runs an async test with fixtures under both event loops."""
    return pytest.mark.parametrize("make_loop", LOOPS, ids=["asyncio", "uvloop"])(test)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - counters have nobody to wait for
            await asyncio.sleep(0.002)


async def connected(party, listener=0):
    return await asyncio.open_connection(*party.address(listener))

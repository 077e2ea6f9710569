"""What proxies and odd peers see of us on the wire, in plain bytes (A5)."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest
import ringwheel

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 29998 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER, NOTIFY, PRACK, UPDATE"
TIMEOUT_S = 30.0


class Peer:
    """One dialog, written by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.target = ("127.0.0.1", port)
        self.port = self.socket.getsockname()[1]
        self.to = "<sip:robot@127.0.0.1>"

    def send(self, method, cseq, body="", *, lines="", uri="sip:robot@127.0.0.1;transport=udp"):
        content = "Content-Type: application/sdp\r\n" if body else ""
        message = (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 192.0.2.1:9;branch=z9hG4bK-{self.port}-{method}-{cseq};rport\r\n"
            f"{lines}"
            f"From: <sip:peer@127.0.0.1:{self.port}>;tag=peer\r\n"
            f"To: {self.to}\r\n"
            f"Call-ID: {self.port}@manners\r\n"
            f"CSeq: {cseq} {method}\r\n"
            f"Contact: <sip:peer@127.0.0.1:{self.port};transport=udp>\r\n"
            f"Max-Forwards: 70\r\n{content}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.socket.sendto(message.encode(), self.target)

    async def receive(self) -> str:
        loop = asyncio.get_running_loop()
        data = await asyncio.wait_for(loop.sock_recv(self.socket, 65536), TIMEOUT_S)
        return data.decode()

    async def ask(self, *arguments, **options) -> str:
        self.send(*arguments, **options)
        return await self.receive()

    async def establish(self, **options) -> str:
        answer = await self.ask("INVITE", 1, SDP, **options)
        assert status(answer) == 200
        (self.to,) = lines_of(answer, "To")
        self.send("ACK", 1)
        return answer


def status(message: str) -> int:
    assert message.startswith("SIP/2.0 "), message
    return int(message.split(" ", 2)[1])


def lines_of(message: str, name: str) -> list[str]:
    return re.findall(rf"^{name}: ?(.*?)\r$", message.partition("\r\n\r\n")[0] + "\r\n", re.M)


async def stay(call: ringwheel.Call) -> None:
    await call.answer()
    await call.wait_ended()


async def only_ring(call: ringwheel.Call) -> None:
    call.ring()
    await call.wait_ended()


@pytest.fixture
async def peer(request):
    """A peer of an engine whose handler is `stay`, or the parameter."""
    handler = getattr(request, "param", stay)
    async with ringwheel.Engine(sip=["udp:127.0.0.1:0"], rtp_ports=(30500, 30600)) as engine:
        task = asyncio.create_task(engine.serve(handler))
        await asyncio.sleep(0)
        peer = Peer(int(engine.addresses[0].rpartition(":")[2]))
        with peer.socket:
            yield peer
        await engine.drain(0)
        await task


async def test_answer_through_a_proxy_carries_back_its_vias_and_routes_and_our_place(peer):
    proxy = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKup;received=192.0.2.10;rport=5062"
    routes = "<sip:198.51.100.1;lr;ftag=1>, <sip:198.51.100.2;lr>"
    answer = await peer.establish(lines=f"Via: {proxy}\r\nRecord-Route: {routes}\r\n")
    # RFC 3261 18.2.1 and RFC 3581 4: received and rport go into the topmost Via, and no other.
    ours, next_via = lines_of(answer, "Via")
    assert next_via == proxy
    assert {"received=127.0.0.1", f"rport={peer.port}"} <= set(ours.split(";"))
    assert lines_of(answer, "Record-Route") == [routes]
    assert lines_of(answer, "Contact") == [f"<sip:ringwheel@127.0.0.1:{peer.target[1]}>"]
    assert lines_of(answer, "Allow") == [ALLOW]
    assert lines_of(answer, "Content-Type") == ["application/sdp"]
    assert re.fullmatch(r"<sip:robot@127.0.0.1>;tag=\w+", peer.to)


async def test_sdp_answer_has_its_lines_in_order_and_nothing_that_was_not_offered(peer):
    answer = await peer.establish()
    body = answer.partition("\r\n\r\n")[2]
    assert [line[0] for line in body.splitlines()][:6] == list("vosctm")
    assert re.search(r"^o=- \d+ \d+ IN IP4 127\.0\.0\.1\r$", body, re.M)
    (port, formats) = re.findall(r"^m=audio (\d+) RTP/AVP ([\d ]+)\r$", body, re.M)[0]
    assert int(port) % 2 == 0
    assert set(formats.split()) in ({"0", "101"}, {"8", "101"}, {"0", "8", "101"})
    assert lines_of(answer, "Content-Length") == [str(len(body))]


@pytest.mark.parametrize("method", ["SUBSCRIBE", "MESSAGE", "PUBLISH"])
async def test_a_method_we_do_not_serve_is_405_with_allow_and_the_call_goes_on(peer, method):
    outside = await peer.ask(method, 1)
    assert (status(outside), lines_of(outside, "Allow")) == (405, [ALLOW])
    assert ";tag=" in lines_of(outside, "To")[0]
    await peer.establish()
    inside = await peer.ask(method, 2)
    assert (status(inside), lines_of(inside, "Allow")) == (405, [ALLOW])
    assert lines_of(inside, "To") == [peer.to]
    assert status(await peer.ask("BYE", 3)) == 200


async def test_options_tells_what_an_invite_would_get(peer):
    answer = await peer.ask("OPTIONS", 1)
    assert status(answer) == 200
    assert lines_of(answer, "Allow") == [ALLOW]
    assert lines_of(answer, "Accept") == ["application/sdp, multipart/mixed"]
    assert lines_of(answer, "Supported") == ["replaces, norefersub, 100rel, timer, 199"]


async def test_reinvite_without_sdp_gets_the_same_offer_again(peer):
    first = await peer.establish()
    again = await peer.ask("INVITE", 2)
    assert status(again) == 200
    # RFC 3264 8: unchanged, so the version of the origin line stays.
    assert again.partition("\r\n\r\n")[2] == first.partition("\r\n\r\n")[2]
    peer.send("ACK", 2, SDP.replace("8 0 101", "8 101"))
    assert status(await peer.ask("BYE", 3)) == 200


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_an_invite_of_20_kb_is_answered(peer, where):
    filler = "".join(f"X-Fill-{number}: {'y' * 900}\r\n" for number in range(22))
    if where == "headers":
        answer = await peer.ask("INVITE", 1, SDP, lines=filler)
    else:
        answer = await peer.ask("INVITE", 1, SDP + f"a=x-fill:{'y' * 20_000}\r\n")
    assert status(answer) == 200
    (peer.to,) = lines_of(answer, "To")
    assert len(answer) < 1300  # nothing of it comes back: an answer that fits a packet
    peer.send("ACK", 1)
    assert status(await peer.ask("BYE", 2)) == 200


@pytest.mark.parametrize("peer", [only_ring], indirect=True)
async def test_bye_before_the_answer_ends_the_invite_with_487(peer):
    ringing = await peer.ask("INVITE", 1, SDP)
    assert status(ringing) == 180
    (peer.to,) = lines_of(ringing, "To")
    peer.send("BYE", 2)
    answers = {lines_of(text, "CSeq")[0]: status(text) for text in [await peer.receive()]}
    text = await peer.receive()
    answers[lines_of(text, "CSeq")[0]] = status(text)
    assert answers == {"2 BYE": 200, "1 INVITE": 487}
    peer.send("ACK", 1)


async def test_no_common_codec_names_it_in_a_warning(peer):
    answer = await peer.ask("INVITE", 1, SDP.replace("8 0 101", "18"))
    assert status(answer) == 488
    (warning,) = lines_of(answer, "Warning")
    assert re.fullmatch(r'305 ringwheel ".*18.*"', warning)


async def test_draining_does_not_wait_for_a_caller_who_never_confirms():
    """A caller who vanished after our 200: its ACK is given up after the drain, not after 32 s."""
    async with ringwheel.Engine(sip=["udp:127.0.0.1:0"], rtp_ports=(30500, 30600)) as engine:
        task = asyncio.create_task(engine.serve(stay))
        await asyncio.sleep(0)
        peer = Peer(int(engine.addresses[0].rpartition(":")[2]))
        with peer.socket:
            assert status(await peer.ask("INVITE", 1, SDP)) == 200
            assert not await engine.drain(0)
            async with asyncio.timeout(TIMEOUT_S):
                await task
            assert engine.snapshot().calls_up == 0

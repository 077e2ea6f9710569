"""SIP over TLS on real sockets: certificates, who must show one, and what is wrong with them."""

import asyncio
import contextlib
import logging
import re
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from ringwheel.media.sip.adoption import snapshot_of
from ringwheel.media.sip.lifeline import StreamLimits
from ringwheel.media.sip.tls import TlsConfig
from ringwheel.media.sip.transport import ListenError, SipEndpoint

from ..certificates import Authority
from .stream_party import OPTIONS, Party, connected, on_both_loops, run, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def quiet_log(caplog):
    """Whatever a peer does, asyncio has nothing to complain of."""
    yield
    bad = [r for r in caplog.records if r.levelno >= logging.WARNING and r.name == "asyncio"]
    assert not bad


@on_both_loops
def test_a_silent_server_costs_the_deadline_and_no_more_than_the_queue(make_loop, authority):
    tls = authority.config("127.0.0.1")
    limits = StreamLimits(connect_ms=300, handshake_ms=1, queue_messages=3)

    async def main():
        here = Party("tls:127.0.0.1:0", tls=tls, limits=limits)
        with socket.socket() as deaf:  # accepts, and never shakes hands
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            flow = here.endpoint.flow("127.0.0.1", deaf.getsockname()[1], transport="TLS")
            causes = []
            here.on_ended = lambda call, cause: causes.append((cause.status, cause.text))
            for _ in range(5):
                here.agent.dial("sip:u@127.0.0.1", b"v=0", flow, from_uri="sip:me@here")
            await until(lambda: len(causes) == 5)
        assert [status for status, _ in causes] == [503] * 5
        assert ["wait for" in text for _, text in causes] == [True] * 2 + [False] * 3
        await here.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sip.example.com", ""),
        ("other.example.com", "Hostname mismatch"),
        ("", "IP address mismatch"),
    ],
)
def test_the_name_of_the_target_must_stand_in_the_certificate(make_loop, authority, name, words):
    tls = authority.config("sip.example.com")

    async def main():
        here, there = Party("tls:127.0.0.1:0", tls=tls), Party("tls:127.0.0.1:0", tls=tls)
        here.dial(there, "TLS", name=name)
        if words:
            cause = await here.ended
            assert cause.status == 503
            assert words in cause.text
            await until(lambda: there.counts.streams_failed == 1)
        else:
            assert await here.answered
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_a_caller_that_calls_itself_by_a_name_is_reached_where_it_came_from(make_loop, authority):
    """Its connection is gone, and what it is called in Via and Contact is no address."""
    tls = authority.config("sip.example.com")

    async def main():
        here = Party("tls:127.0.0.1:0=sip.example.com", tls=tls)
        there = Party("tls:127.0.0.1:0", tls=tls)
        flow = there.endpoint.flow(*there.address(), transport="TLS", name="sip.example.com")
        here.agent.dial("sip:u@sip.example.com", b"v=0 offer", flow, from_uri="sip:me@here")
        await here.answered
        call = await there.acked
        (connection,) = here.endpoint.streams._connections
        connection.abort()
        await until(lambda: not len(there.endpoint.streams) + len(here.endpoint.streams))
        call.hangup()
        assert (await here.ended).by.value == "remote"
        assert there.counts.streams_opened == 1
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize("header", ["Contact", "Record-Route"])
def test_the_name_of_a_peer_may_stand_in_its_contact_or_route_alone(make_loop, authority, header):
    """Its connection is gone, closed after some minutes without a message, say."""
    tls = authority.config("sip.example.com")

    async def main():
        there = Party("tls:127.0.0.1:0", tls=authority.config("127.0.0.1"))
        heard = asyncio.get_running_loop().create_future()

        async def hear(reader, writer):
            heard.set_result(await reader.readline())
            writer.close()

        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(tls.certificate, tls.key)
        async with await asyncio.start_server(hear, "127.0.0.1", 0, ssl=server_side) as server:
            port = server.sockets[0].getsockname()[1]
            named = {"Contact": "192.0.2.1", header: f"sip.example.com:{port}"}
            lines = [
                f"Via: SIP/2.0/TLS 127.0.0.1:{port};branch=z9hG4bK1",
                "From: <sip:a@b>;tag=1",
                "Call-ID: 1",
                f"Contact: <sip:a@{named['Contact']};transport=tls>",
            ]
            if header == "Record-Route":
                lines.append(f"Record-Route: <sip:{named[header]};transport=tls;lr>")
            trusting = ssl.create_default_context(cafile=authority.path)
            _, writer = await asyncio.open_connection(*there.address(), ssl=trusting)
            writer.write(request("INVITE", "To: <sip:u@h>", *lines))
            await until(lambda: there.calls)
            to_tag = there.calls[0].id
            writer.write(request("ACK", f"To: <sip:u@h>;tag={to_tag}", *lines))
            call = await there.acked
            assert snapshot_of(call)["peer"]["name"] == "sip.example.com"  # for another engine
            writer.close()
            await until(lambda: not len(there.endpoint.streams))
            call.hangup()
            assert (await heard).startswith(b"BYE sip:a@")
        await there.close()

    run(make_loop, main)


def request(method, *lines):
    """A request of a caller of plain text."""
    text = [f"{method} sip:u@h SIP/2.0", *lines, f"CSeq: 1 {method}", "Max-Forwards: 70"]
    return "\r\n".join([*text, "Content-Length: 0", "", ""]).encode()


@on_both_loops
def test_an_unknown_authority_is_refused(make_loop, authority, tmp_path):
    ours = authority.config("127.0.0.1")
    theirs = Authority(tmp_path).config("127.0.0.1")

    async def main():
        here, there = Party("tls:127.0.0.1:0", tls=ours), Party("tls:127.0.0.1:0", tls=theirs)
        here.dial(there, "TLS")
        cause = await here.ended
        assert "certificate is refused" in cause.text
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.parametrize(
    ("verify", "shown", "passes"),
    [
        ("off", "none", True),
        ("optional", "none", True),
        ("optional", "known", True),
        ("optional", "unknown", False),
        ("required", "known", True),
        ("required", "unknown", False),
        ("required", "none", False),
    ],
)
def test_client_certificates(make_loop, authority, tmp_path, verify, shown, passes):
    server = authority.config("127.0.0.1", verify_client=verify)
    client = TlsConfig(ca=authority.path)
    if shown != "none":
        signer = authority if shown == "known" else Authority(tmp_path)
        client = TlsConfig(*signer.issue("client.example.com"), ca=authority.path)

    async def main():
        here, there = Party("udp:127.0.0.1:0", tls=client), Party("tls:127.0.0.1:0", tls=server)
        here.dial(there, "TLS")
        if passes:
            assert await here.answered
        else:
            cause = await here.ended
            assert cause.status == 503
            assert re.search("TLS failed|closed|reset", cause.text)
            assert there.counts.streams_failed == 1
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_versions(make_loop, authority, version):
    tls = authority.config("127.0.0.1")
    context = ssl.create_default_context(cafile=authority.path)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")

    async def main():
        there = Party("tls:127.0.0.1:0", tls=tls)
        if version is ssl.TLSVersion.TLSv1_1:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(*there.address(), ssl=context)
        else:
            _, writer = await asyncio.open_connection(*there.address(), ssl=context)
            writer.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_tls_failures_cost_a_counter(make_loop, authority):
    """Plain text, a handshake that stops, and one that never begins."""
    limits = StreamLimits(handshake_ms=300)

    async def main():
        there = Party("tls:127.0.0.1:0", tls=authority.config("127.0.0.1"), limits=limits)
        for start in (OPTIONS.format(n=1).encode(), b"\x16\x03\x01\x00\xa5", b""):
            reader, writer = await connected(there)
            writer.write(start)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
        await until(lambda: there.counts.streams_failed == 3)
        await until(lambda: not len(there.endpoint.streams))
        assert there.counts.failures == 0
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_certificates_are_read_again_and_a_bad_one_changes_nothing(make_loop, authority):
    certificate, key = authority.issue("127.0.0.1", "first.example.com", file="renewed")
    tls = TlsConfig(certificate, key, authority.path)

    async def main():
        there = Party("tls:127.0.0.1:0", tls=tls)

        async def names():
            context = ssl.create_default_context(cafile=authority.path)
            _, writer = await asyncio.open_connection(*there.address(), ssl=context)
            shown = writer.get_extra_info("peercert")["subjectAltName"]
            writer.close()
            return [name for kind, name in shown if kind == "DNS"]

        assert await names() == ["first.example.com"]
        authority.issue("127.0.0.1", "second.example.com", file="renewed")
        there.endpoint.reload_tls()
        assert await names() == ["second.example.com"]
        certificate.write_text("nothing")
        with pytest.raises(ListenError, match="must be PEM"):
            there.endpoint.reload_tls()
        assert await names() == ["second.example.com"]
        await there.close()

    run(make_loop, main)


def test_files_that_cannot_be_used_are_named_with_the_remedy(authority, tmp_path):
    good, key = authority.issue("127.0.0.1")
    _, other_key = authority.issue("::1")
    past = datetime.now(UTC) - timedelta(days=1)
    expired, expired_key = authority.issue("expired.example.com", not_after=past)
    locked = tmp_path / "locked.key"
    private = ssl_key(key)
    locked.write_bytes(private)
    text = tmp_path / "text.pem"
    text.write_text("nothing")
    for config, words in (
        (TlsConfig(tmp_path / "none.crt", key), "No such file or directory; check the path"),
        (TlsConfig(good, tmp_path / "none.key"), "No such file or directory; check the path"),
        (TlsConfig(good, other_key), "does not belong to the certificate"),
        (TlsConfig(text, key), "must be PEM files"),
        (TlsConfig(good, text), "must be PEM files"),
        (TlsConfig(expired, expired_key), "it has expired; renew it"),
        (TlsConfig(good, locked), "it has a password; write it without one"),
        (TlsConfig(good, key, text), "name a PEM file of certificates"),
    ):
        with pytest.raises(ListenError) as caught:
            SipEndpoint(["tls:127.0.0.1:0"], tls=config)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def ssl_key(path):
    """The key of a file, locked with a password."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(path.read_bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate": "a"}, "a certificate and its key"),
        ({"key": "a"}, "a certificate and its key"),
        ({"verify_client": "required"}, "without authorities"),
        ({"verify_client": "maybe"}, "off, optional, required"),
    ],
)
def test_configurations_that_make_no_sense(options, words):
    with pytest.raises(ValueError, match=words):
        TlsConfig(**options)


# SIPS


@on_both_loops
def test_a_sips_call_has_sips_contacts(make_loop, authority):
    tls = authority.config("127.0.0.1")

    async def main():
        here, there = Party("tls:127.0.0.1:0", tls=tls), Party("tls:127.0.0.1:0", tls=tls)
        call = here.dial(there, "TLS", scheme="sips")
        await here.answered
        await there.acked
        assert there.header("INVITE", "Contact")[0].startswith("<sips:ringwheel@127.0.0.1:")
        assert here.header("SIP/2.0 200", "Contact")[0].startswith("<sips:ringwheel@127.0.0.1:")
        call.hangup()
        await there.ended
        assert there.header("BYE", "Via")[1].transport == "TLS"
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_sips_without_tls_is_refused(make_loop):
    async def main():
        here, there = Party("tcp:127.0.0.1:0"), Party("tcp:127.0.0.1:0")
        here.dial(there, "TCP", scheme="sips")
        assert (await here.ended).status == 416
        await here.close()
        await there.close()

    run(make_loop, main)


@on_both_loops
def test_one_address_does_not_take_all_the_handshakes(make_loop, authority):
    async def main():
        limits = StreamLimits(handshakes=4)
        tls = authority.config("127.0.0.1")
        there = Party("tls:127.0.0.1:0", tls=tls, limits=limits)
        silent = []
        for _ in range(4):  # they open, and say nothing
            reader, writer = await connected(there)
            silent.append(writer)
        await until(lambda: there.counts.streams_refused == 2)
        with socket.socket() as other:
            other.setblocking(False)
            other.bind(("127.0.0.2", 0))
            await asyncio.get_running_loop().sock_connect(other, there.address())
            await until(lambda: len(there.endpoint.streams) == 3)
        assert there.counts.streams_refused == 2
        for writer in silent:
            writer.close()
        await there.close()

    run(make_loop, main)

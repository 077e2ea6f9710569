"""Trunks as values: what is taken, what is refused and in which words, and that nothing leaks."""

from __future__ import annotations

import pytest
from ringwheel.media.trunk import (
    CallerRules,
    HeaderRules,
    Peer,
    Registration,
    Trunk,
    TrunkError,
    TrunkLimits,
)

SBC = Peer("192.0.2.1")


@pytest.mark.parametrize(
    ("text", "peer", "uri"),
    [
        ("sbc.example.com", Peer("sbc.example.com"), "sip:sbc.example.com"),
        ("192.0.2.1:5070", Peer("192.0.2.1", 5070), "sip:192.0.2.1:5070"),
        (
            "tls:sbc.example.com:5061",
            Peer("sbc.example.com", 5061, "TLS"),
            "sip:sbc.example.com:5061;transport=tls",
        ),
        ("TCP:192.0.2.1", Peer("192.0.2.1", 0, "TCP"), "sip:192.0.2.1;transport=tcp"),
        ("2001:db8::1", Peer("2001:db8::1"), "sip:[2001:db8::1]"),
        ("[2001:db8::1]:5060", Peer("2001:db8::1", 5060), "sip:[2001:db8::1]:5060"),
        (
            "udp:[2001:db8::1]:5060",
            Peer("2001:db8::1", 5060, "UDP"),
            "sip:[2001:db8::1]:5060;transport=udp",
        ),
        ("tls.example.com", Peer("tls.example.com"), "sip:tls.example.com"),
    ],
)
def test_peers_are_read(text, peer, uri):
    read = Peer.parse(text)
    assert read == peer
    assert read.uri == uri
    assert Peer.parse(str(read)) == peer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither an address nor a host name"),
        ("192.0.2", "neither an address nor a host name"),
        ("192.0.2.1:", "ends without its port"),
        ("192.0.2.1:0", "'0' is no port"),
        ("192.0.2.1:70000", "'70000' is no port"),
        ("[2001:db8::1]x", "something other than a port"),
        ("[2001:db8::1]:", "ends without its port"),
        ("sctp:192.0.2.1:5060", "neither an address nor a host name"),
        ("a..b", "neither an address nor a host name"),
        ("a b", "neither an address nor a host name"),
        ("x" * 300, "neither an address nor a host name"),
        ("192.0.2.1:" + "9" * 5000, "is no port"),
    ],
)
def test_peers_that_are_none(text, words):
    with pytest.raises(TrunkError, match=words):
        Peer.parse(text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Trunk("a b", (SBC,)), "a name has letters"),
        (lambda: Trunk("192.0.2.1", (SBC,)), "a name has letters"),
        (lambda: Trunk("t"), "trunk t: neither peers to call nor sources"),
        (lambda: Trunk("t", (SBC, SBC)), "the same peer stands there twice"),
        (lambda: Trunk("t", (SBC,), domain="a b"), "domain: 'a b'"),
        (lambda: Trunk("t", (SBC,), user="u"), "there is no password"),
        (lambda: Trunk("t", (SBC,), password="secret"), "there is no user"),
        (lambda: Trunk("t", (SBC,), user="u", password="se\ncret"), "a control character"),
        (lambda: Trunk("t", (SBC,), codecs=("gsm",)), "codecs: there is no codec 'gsm'"),
        (lambda: Trunk("t", (SBC,), srtp="on"), "srtp: 'on' is not one of: off, optional"),
        (lambda: Trunk("t", (SBC,), sources=("192.0.2.1/24",)), "write 192.0.2.0/24"),
        (lambda: Trunk("t", (SBC,), sources=("example.com",)), "is no network"),
        (lambda: Trunk("t", (SBC,), options_interval_s=0.1), "options_interval_s: 0.1"),
        (lambda: Trunk("t", (SBC,), peer_timeout_s=60), "peer_timeout_s: 60"),
        (lambda: Trunk("t", (SBC,), failover_statuses=(200,)), "failover_statuses: 200"),
        (
            lambda: Trunk("t", sources=("192.0.2.1",), registration=Registration("u")),
            "registration needs a peer",
        ),
        (lambda: Registration("a b"), "is not the user part"),
        (lambda: Registration("u", expires_s=1), "expires_s: 1 is not a whole number from 30"),
        (lambda: TrunkLimits(channels=0), "channels: 0 is not a whole number from 1"),
        (lambda: TrunkLimits(calls_per_s=0), "calls_per_s: 0 is not a number from 0.01"),
        (lambda: CallerRules(from_uri="sip:{nobody}@x"), "there is no {nobody}; use one of"),
        (lambda: CallerRules(from_uri="{caller}"), "is no URI"),
        (lambda: CallerRules(display="a}"), "has no partner"),
        (lambda: CallerRules(asserted="sip:a\r\nb"), "is not a line of text"),
        (lambda: CallerRules(privacy="id;secret"), "privacy: 'secret' is none of"),
        (lambda: CallerRules(caller_prefixes=(("x", ""),)), "'x' is no beginning of a number"),
        (lambda: CallerRules(called_prefixes=(("+", "0"), ("+", "1"))), "stands there twice"),
        (lambda: HeaderRules(remove=("via",)), "via belongs to the protocol"),
        (lambda: HeaderRules(remove=("Session-Expires",)), "Session-Expires belongs to"),
        (lambda: HeaderRules(add=(("x", "90"),)), "x belongs to the protocol"),
        (lambda: HeaderRules(add=(("X Y", "1"),)), "'X Y' is not the name of a header"),
        (lambda: HeaderRules(add=(("X-Y", "a\nb"),)), "is not a line of text"),
        (lambda: HeaderRules(copy=(("From", "From"),)), "From belongs to the protocol"),
    ],
)
def test_errors_say_what_is_wrong(make, words):
    with pytest.raises(TrunkError) as caught:
        make()
    assert words in str(caught.value)
    assert "secret" not in str(caught.value) or "privacy" in str(caught.value)


def test_a_password_is_never_shown():
    trunk = Trunk("carrier", (SBC,), user="u", password="open sesame")
    assert "sesame" not in repr(trunk)
    assert "sesame" not in f"{trunk}"


def test_the_host_of_uris():
    assert Trunk("t", (Peer("2001:db8::1"), SBC)).uri_host == "[2001:db8::1]"
    assert Trunk("t", (SBC,), domain="sip.example.com").uri_host == "sip.example.com"
    assert Trunk("t", sources=("192.0.2.0/24",)).uri_host == "t"

"""URIs, addresses, Via, CSeq and lists: read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.sip.fields import CSeq, Via, parse_params, split_commas
from ringwheel.media.sip.reject import SipParseError, SipReject
from ringwheel.media.sip.uri import KNOWN_URIS, MAX_KNOWN_CHARS, NameAddr, SipUri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:host", SipUri("sip", None, "host")),
        ("sips:a@Host.Example:5071", SipUri("sips", "a", "host.example", 5071)),
        ("SIP:a:pw@[2001:db8::1]:5060", SipUri("sip", "a", "2001:db8::1", 5060, password="pw")),
        (
            "sip:a;b?c@host;lr;Transport=tcp?Subject=x%20y&to=z",
            SipUri(
                "sip",
                "a;b?c",
                "host",
                None,
                (("lr", ""), ("transport", "tcp")),
                (("Subject", "x y"), ("to", "z")),
            ),
        ),
        ("sip:%c3%a9%40@h", SipUri("sip", "é@", "h")),
        (
            "tel:+1-201-555-0123;phone-context=x",
            SipUri("tel", "+1-201-555-0123", "", None, (("phone-context", "x"),)),
        ),
    ],
)
def test_uri(text, uri):
    assert SipUri.parse(text) == uri
    assert SipUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        "sip:@host",
        "sip:a@",
        "sip:a b@host",
        "sip:a@host:0",
        "sip:a@host:65536",
        "sip:a@host:5x",
        "sip:a@[::1",
        "sip:%4@host",
        "sip:%zz@host",
        "sip:%+1@host",
        "sip:a@host;;x",
        "sip:a@host?novalue",
        "sip:a@ho<st",
        "sip:a@host\r\nX",
        "tel:",
        "tel:call-me",
    ],
)
def test_bad_uri(text):
    with pytest.raises(SipParseError) as caught:
        SipUri.parse(text)
    assert caught.value.reason in (SipReject.URI, SipReject.PARAMETER)


def test_uris_that_are_remembered_are_bounded():
    texts = [f"sip:{at}@host" for at in range(KNOWN_URIS + 1)]
    long = "sip:" + "a" * MAX_KNOWN_CHARS + "@host"
    for _ in range(2):
        assert [SipUri.parse(text).user for text in texts] == [str(at) for at in range(len(texts))]
        assert SipUri.parse(long) is not SipUri.parse(long)
    known = SipUri.parse.__self__
    assert 0 < len(known) <= KNOWN_URIS


def test_unknown_scheme_is_416():
    with pytest.raises(SipParseError) as caught:
        SipUri.parse("http://example.com")
    assert caught.value.status == 416


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAME = st.text("abc-_.!~*'", min_size=1, max_size=8)


@given(
    userinfo=st.tuples(st.none() | ANY_TEXT, st.none() | ANY_TEXT),
    port=st.none() | st.integers(1, 65535),
    params=st.lists(st.tuples(NAME, st.just("") | ANY_TEXT), max_size=4),
    headers=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=3),
    host=st.sampled_from(["example.com", "192.0.2.1", "2001:db8::1"]),
)
def test_uri_of_any_content_survives_writing(userinfo, port, params, headers, host):
    user, password = userinfo
    uri = SipUri(
        "sip",
        user,
        host,
        port,
        tuple(params),
        tuple(headers),
        None if user is None else password,
    )
    assert SipUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("<sip:a@b>", NameAddr("sip:a@b")),
        ("sip:a@b;tag=1;x", NameAddr("sip:a@b", "", (("tag", "1"), ("x", "")))),
        ("Bell, A. <sip:a@b;lr>;q=1", NameAddr("sip:a@b;lr", "Bell, A.", (("q", "1"),))),
        ('"x \\"<y>\\"" <sip:a@b>', NameAddr("sip:a@b", 'x "<y>"')),
        ('<sip:a@b>;x="a;b\\"c"', NameAddr("sip:a@b", "", (("x", '"a;b\\"c"'),))),
        ("< sip:a@b >", NameAddr("sip:a@b")),
        ('sip:a@b;x="<sip:c@d>"', NameAddr("sip:a@b", "", (("x", '"<sip:c@d>"'),))),
    ],
)
def test_address(text, address):
    assert NameAddr.parse(text) == address
    assert NameAddr.parse(str(address)) == address


def test_tag_and_target():
    address = NameAddr.parse('"R" <sip:r@Host:5062;lr>;TAG=x')
    assert address.tag == "x"
    assert address.target().host == "host"
    assert address.target().param("lr") == ""
    assert address.target().param("maddr") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        "<sip:a",
        '"a <sip:b>',
        '"a" x <sip:b>',
        "sip:a?b=c",
        "<sip:a b>",
        "<sip:a>;;",
        "a",
        'x"y" <sip:a>',
    ],
)
def test_bad_address(text):
    with pytest.raises(SipParseError):
        NameAddr.parse(text)


@given(ANY_TEXT)
def test_display_name_of_any_content_survives_writing(display):
    address = NameAddr("sip:a@b", display.strip() or "x")
    assert NameAddr.parse(str(address)).display == address.display


def test_via():
    via = Via.parse(" SIP / 2.0 / udp\t[2001:db8::1]:5062 ; Branch=z9hG4bKx;rport")
    assert via == Via("UDP", "2001:db8::1", 5062, (("branch", "z9hG4bKx"), ("rport", "")))
    assert str(via) == "SIP/2.0/UDP [2001:db8::1]:5062;branch=z9hG4bKx;rport"
    assert (via.param("rport"), via.param("received")) == ("", None)


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/3.0/UDP h", "SIP/2.0/UDP h;;", "SIP/2.0/UDP h:99999", "x y"]
)
def test_bad_via(text):
    with pytest.raises(SipParseError):
        Via.parse(text)


def test_cseq():
    assert CSeq.parse("0009  INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(2**31 - 1, "BYE")) == "2147483647 BYE"


@pytest.mark.parametrize(
    "text", ["", "1", "1 A B", "-1 A", "2147483648 A", "9" * 5000 + " A", "² A", "1 A(B"]
)
def test_bad_cseq(text):
    with pytest.raises(SipParseError):
        CSeq.parse(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        (" a , b,,c ", ["a", "b", "c"]),
        ('"a,b" <sip:c,d>;x="e,f", g', ['"a,b" <sip:c,d>;x="e,f"', "g"]),
        ('"a\\",b", c', ['"a\\",b"', "c"]),
    ],
)
def test_split_commas(text, parts):
    assert split_commas(text) == parts


@pytest.mark.parametrize(("text", "reason"), [('a, "b', "QUOTE"), ("<a, b", "BRACKET")])
def test_split_commas_wants_closed_quotes_and_brackets(text, reason):
    with pytest.raises(SipParseError) as caught:
        split_commas(text)
    assert caught.value.reason.name == reason


@given(st.text('a;=", <>\\', max_size=40))
def test_noise_is_refused_by_the_one_error(text):
    for read in (split_commas, parse_params, NameAddr.parse, Via.parse, CSeq.parse, SipUri.parse):
        try:
            read(text)
        except SipParseError as error:
            assert error.reason

"""Offers and answers that are alike: of what is remembered of one, the next gets what it would."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media._core import plain_parts
from ringwheel.media.codec import PCMA, PCMU
from ringwheel.media.sdp import (
    Answer,
    ApplicationLine,
    Direction,
    LocalMedia,
    SdpError,
    SdpReason,
    SrtpPolicy,
    accept_answer,
    alike,
    answer_offer,
    answer_to,
    make_offer,
    parse_sdp,
    settle_answer,
)

from .test_sdp_features import LOCALS

LOCAL = LocalMedia("192.0.2.1", 20000, (PCMU, PCMA), session_id=77)
OFFER = (
    b"v=0\r\no=- %d 1 IN IP4 %b\r\ns=-\r\nc=IN IP4 %b\r\nt=0 0\r\nm=audio %d RTP/AVP 8 0 101\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=rtcp-mux\r\n"
)

HOSTS = [
    *["198.51.100.7", "203.0.113.255", "0.0.0.0", "224.0.0.1", "255.255.255.255", "1.2.3"],
    *["010.0.0.1", "999.1.1.1", "198.51.100.7/127", "trunk.example", "198.51.100.7 x", ""],
]
PORTS = ["1", "9", "6000", "6001", "65534", "65535", "65536", "0", "06000", "6000/2", "-1", ""]
ORIGINS = ["- 1 1 IN IP4 1.2.3.4", "them 17 2 IN IP6 ::1", "- 1 1 IN IP4", "a  b c d e f", "\0"]
EXTRA_LINES = [
    *["s=them", "b=AS:64", "t=0 0", "k=x", "y=1", "", "x", "a=\xb2\x85", "a=x\r", "a=x\0"],
    *["a=sendonly", "a=recvonly", "a=inactive", "a=sendrecv", "a=rtcp-mux", "a=mid:1"],
    *["a=rtcp:7000", "a=rtcp:6001", "a=rtcp:7000 IN IP4 198.51.100.9", "a=ptime:30"],
    *["a=maxptime:10", "a=fmtp:101 0-9", "a=rtpmap:101 telephone-event/8000"],
    *["c=IN IP4 198.51.100.9", "c=IN IP6 2001:db8::9", "o=- 1 1 IN IP4 198.51.100.9"],
    *["m=audio 7000 RTP/AVP 0", "m=video 7000 RTP/AVP 31", "m=audio 0 RTP/AVP 0"],
]


def offer(number: int, host: str, port: int) -> bytes:
    return OFFER % (number, host.encode(), host.encode(), port)


def long_way(body: bytes, local: LocalMedia) -> Answer:
    return answer_offer(parse_sdp(body), local)


def outcome(answering, body: bytes, local: LocalMedia):
    """The whole answer, or the whole refusal."""
    try:
        return answering(body, local)
    except SdpError as error:
        return type(error), error.reason, str(error)


def said_by(lines: list[str], origin: str, host: str, port: str, end: str) -> bytes:
    """The offer of a peer that says these lines of itself."""

    def said(line: str) -> str:
        if line.startswith("o="):
            return f"o={origin}"
        if line == "c=IN IP4 192.0.2.1":
            return f"c=IN IP4 {host}"
        if line.startswith("m=audio ") and line.split()[1] not in ("7000", "0"):
            return " ".join(["m=audio", port, *line.split()[2:]])
        return line

    return "".join(said(line) + end for line in lines).encode("latin-1")


PLAIN = ("- 1 1 IN IP4 1.2.3.4", "198.51.100.7", "6000", "\r\n")
"""A peer whose offers are remembered, if anybody's are."""
PEERS = [
    *[(origin, *PLAIN[1:]) for origin in ORIGINS],
    *[(*PLAIN[:1], host, *PLAIN[2:]) for host in HOSTS],
    *[(*PLAIN[:2], port, *PLAIN[3:]) for port in PORTS],
    (*PLAIN[:3], "\n"),
]
"""Each differs from it in one thing."""
SIDES = [
    LOCAL,
    LOCAL._replace(rtcp_mux=True, ptime_ms=40, comfort_noise=True),
    LOCAL._replace(applications=(ApplicationLine(9),)),
    LOCAL._replace(host="2001:db8::1"),
    LOCAL._replace(rtcp_port=30_000, direction=Direction.SENDONLY),
]


def check_same(lines: list[str], peers: list[tuple[str, str, str, str]], local: LocalMedia):
    """What such peers are answered is what the long way says; plain ones come first."""
    for peer in (PLAIN, *peers):
        body = said_by(lines, *peer)
        answer = outcome(answer_to, body, local)
        assert answer == outcome(long_way, body, local)
        if isinstance(answer, Answer):
            # And again in the dialog, where a description was sent before.
            again = local._replace(last_body=answer.body)
            assert answer_to(body, again) == long_way(body, again)
        check_settles_the_same(body, local)


def check_settles_the_same(body: bytes, local: LocalMedia):
    """What such peers answer to offers of ours is settled as the long way does."""
    for direction in (local.direction, Direction.SENDONLY):
        offered = make_offer(local._replace(direction=direction))
        assert outcome(partial(settle_answer, offered), body, local) == outcome(
            lambda answer, ours, offered=offered: accept_answer(offered, parse_sdp(answer), ours),
            body,
            local,
        )


@pytest.mark.parametrize("local", SIDES)
@pytest.mark.parametrize("place", ["behind o=", "behind c=", "behind m="])
def test_a_line_more_of_any_peer_changes_nothing_of_that(place: str, local: LocalMedia):
    lines = offer(1, "192.0.2.1", 6000).decode().split("\r\n")[:-1]
    at = 1 + next(i for i, line in enumerate(lines) if line.startswith(place[-2:]))
    for extra in EXTRA_LINES:
        check_same([*lines[:at], extra, *lines[at:]], PEERS, local)


@given(LOCALS, LOCALS, st.lists(st.sampled_from(PEERS), max_size=4))
def test_whatever_both_sides_can_do_the_answer_is_that_of_the_long_way(
    theirs: LocalMedia, ours: LocalMedia, peers: list[tuple[str, str, str, str]]
):
    theirs, ours = (side._replace(srtp=SrtpPolicy.OFF) for side in (theirs, ours))
    check_same(make_offer(theirs).decode().split("\r\n")[:-1], peers, ours)


def test_the_second_of_two_that_are_alike_is_not_read(monkeypatch: pytest.MonkeyPatch):
    answer_to(offer(1, "198.51.100.7", 6000), LOCAL)
    second, ours = offer(2, "203.0.113.8", 7000), LOCAL._replace(rtp_port=20002, session_id=78)
    expected = long_way(second, ours)
    monkeypatch.setattr(alike, "parse_sdp", None)
    assert answer_to(second, ours) == expected
    assert b"m=audio 20002 RTP/AVP 8 101\r\n" in expected.body
    assert expected.media is not None
    assert (expected.media.remote_host, expected.media.remote_port) == ("203.0.113.8", 7000)
    assert (expected.media.rtcp_host, expected.media.rtcp_port) == ("203.0.113.8", 7001)


def test_the_second_of_two_answers_that_are_alike_is_not_read(monkeypatch: pytest.MonkeyPatch):
    settle_answer(make_offer(LOCAL), offer(1, "198.51.100.7", 6000), LOCAL)
    ours = LOCAL._replace(rtp_port=20002, session_id=78)
    offered, second = make_offer(ours), offer(2, "203.0.113.8", 7000)
    expected = accept_answer(offered, parse_sdp(second), ours)
    monkeypatch.setattr(alike, "parse_sdp", None)
    assert settle_answer(offered, second, ours) == expected
    assert (expected.remote_host, expected.remote_port) == ("203.0.113.8", 7000)


def test_what_an_answer_settles_goes_by_what_was_offered_as_well():
    for direction in (Direction.SENDRECV, Direction.SENDONLY, Direction.SENDRECV):
        offered = make_offer(LOCAL._replace(direction=direction))
        settled = settle_answer(offered, offer(1, "198.51.100.7", 6000), LOCAL)
        assert settled.direction is direction


def test_what_is_remembered_goes_by_our_side_as_well():
    def codec_and_mux(**ours: object):
        media = answer_to(offer(1, "198.51.100.7", 6000), LOCAL._replace(**ours)).media
        assert media is not None
        return media.codec, media.rtcp_mux

    assert codec_and_mux() == (PCMA, False)
    assert codec_and_mux(own_order=True) == (PCMU, False)
    assert codec_and_mux(codecs=(PCMU,)) == (PCMU, False)
    assert codec_and_mux(rtcp_mux=True) == (PCMA, True)
    assert codec_and_mux() == (PCMA, False)


def test_a_side_that_wants_encryption_is_not_served_from_what_another_one_agreed_on():
    plain = offer(1, "198.51.100.7", 6000)
    answer_to(plain, LOCAL)
    with pytest.raises(SdpError) as refused:
        answer_to(plain, LOCAL._replace(srtp=SrtpPolicy.REQUIRED, srtp_secret=bytes(32)))
    assert refused.value.reason is SdpReason.SRTP_REQUIRED


def test_application_lines_of_ours_are_answered_with():
    lines = (ApplicationLine(9, "TCP/MRCPv2"),)
    body = offer(1, "198.51.100.7", 6000)
    body += b"m=application 9 TCP/MRCPv2 1\r\n"
    assert answer_to(body, LOCAL).applications == ()
    (answered,) = answer_to(body, LOCAL._replace(applications=lines)).applications
    assert answered.port == 9


@pytest.mark.parametrize(
    ("host", "reason"),
    [("224.0.0.1", SdpReason.BAD_ADDRESS), ("999.1.1.1", SdpReason.BAD_ADDRESS)],
)
def test_an_address_that_is_refused_is_refused_though_the_rest_is_known(host, reason):
    answer_to(offer(1, "198.51.100.7", 6000), LOCAL)
    with pytest.raises(SdpError) as refused:
        answer_to(offer(2, host, 6000), LOCAL)
    assert refused.value.reason is reason


def test_a_call_that_begins_on_hold_is_held_though_the_rest_is_known():
    answer_to(offer(1, "198.51.100.7", 6000), LOCAL)
    media = answer_to(offer(2, "0.0.0.0", 6000), LOCAL).media
    assert media is not None and media.held and media.rtcp_port is None


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_description_of_the_plain_form_is_taken_apart(end: str):
    lines = ["v=0", "o=- 1 1 IN IP4 a", "s=-", "c=IN IP4 198.51.100.7", "t=0 0"]
    body = said_by([*lines, "m=audio 6000 RTP/AVP 0", "a=ptime:20"], *PLAIN[:3], end)
    before, between = f"{end}s=-{end}c=IN IP4 ", f"{end}t=0 0{end}m=audio "
    rest = f"{before}\0{between}\0 RTP/AVP 0{end}a=ptime:20{end}"
    assert plain_parts(body) == ("198.51.100.7", 6000, rest.encode())
    for size in range(body.index(b" RTP/")):
        assert plain_parts(body[:size]) is None


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        (b"v=0", b"v=1"),
        (b"o=- 1 1 IN IP4", b"o=- 1 1 IN"),
        (b"o=-", b"o=" + 65 * b"x"),
        (b"c=IN IP4", b"c=IN IP6"),
        (b"c=IN IP4 198.51.100.7", b"c=IN IP4 198.51.100.7/127"),
        (b"c=IN IP4 198.51.100.7", b"c=IN IP4 1.2.3"),
        (b" 6000", b" 0"),
        (b" 6000", b" 6000/2"),
        (b" 6000", b" 600000"),
        (b"m=audio", b"m=video 8000 RTP/AVP 31\r\nm=audio"),
        (b"a=rtcp-mux", b"c=IN IP4 198.51.100.9"),
        (b"a=rtcp-mux", b"m=video 8000 RTP/AVP 31"),
        (b"a=rtcp-mux", b"a=\0"),
    ],
)
def test_one_of_another_form_is_not(said: bytes, instead: bytes):
    body = offer(1, "198.51.100.7", 6000)
    assert plain_parts(body) is not None
    assert said in body
    assert plain_parts(body.replace(said, instead, 1)) is None

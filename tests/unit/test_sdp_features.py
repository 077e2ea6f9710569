"""Events by clock, comfort noise, Opus, order, RTCP and hold, as both sides of SDP see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.codec import PCMA, PCMU, Codec
from ringwheel.media.sdp import (
    Direction,
    LocalMedia,
    SdpError,
    SrtpPolicy,
    SrtpSuite,
    accept_answer,
    answer_offer,
    make_offer,
    offer_again,
    parse_sdp,
)

G722 = Codec("G722", 9, 8000, 16000, 0, bytes, PCMU.decode)
L16 = Codec("L16", None, 16000, 16000, 0, bytes, PCMU.decode)
OPUS = Codec("opus", None, 48000, 48000, 0, bytes, PCMU.decode)
ALL = (PCMU, PCMA, G722, L16, OPUS)
LOCAL = LocalMedia("192.0.2.1", 20000, ALL, session_id=77)
HEAD = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n"


def offer_of(formats: str, *lines: str, address: str = "IP4 198.51.100.7") -> bytes:
    lines = (f"c=IN {address}", f"m=audio 6000 RTP/AVP {formats}", *lines)
    return (HEAD + "".join(line + "\r\n" for line in lines)).encode()


def answered(offer: bytes, local: LocalMedia = LOCAL):
    answer = answer_offer(parse_sdp(offer), local)
    assert answer.media is not None
    return answer.media, answer.body.decode().split("\r\n")


def test_each_clock_gets_its_own_events():
    lines = make_offer(LOCAL).decode().split("\r\n")
    assert "m=audio 20000 RTP/AVP 0 8 9 96 97 101 98 99" in lines
    for payload_type, rate in ((101, 8000), (98, 16000), (99, 48000)):
        assert f"a=rtpmap:{payload_type} telephone-event/{rate}" in lines
        assert f"a=fmtp:{payload_type} 0-16" in lines


def test_events_follow_the_clock_of_the_codec_agreed_on():
    events = ("a=rtpmap:100 telephone-event/48000", "a=rtpmap:101 telephone-event/8000")
    media, lines = answered(offer_of("96 100 101", "a=rtpmap:96 opus/48000/2", *events))
    assert (media.codec, media.telephone_event_payload_type) == (OPUS, 100)
    assert "a=rtpmap:100 telephone-event/48000" in lines
    assert answered(offer_of("9 100 101", *events))[0].telephone_event_payload_type == 101


@pytest.mark.parametrize(
    ("fmtp", "events"),
    [
        (None, range(16)),
        ("0-15", range(16)),
        ("0-16,32", [*range(17), 32]),
        ("1, 5-6", [1, 5, 6]),
        ("nonsense", range(16)),
        ("0-9,x,300,11", [*range(10), 11]),
        ("9-0", range(16)),
        ("1," * 100, range(16)),
    ],
)
def test_the_events_that_the_peer_takes(fmtp: str | None, events):
    lines = [] if fmtp is None else [f"a=fmtp:101 {fmtp}"]
    media, _ = answered(offer_of("0 101", "a=rtpmap:101 telephone-event/8000", *lines))
    assert media.telephone_events == frozenset(events)


def test_comfort_noise_static_dynamic_and_only_when_wanted():
    quiet = LOCAL._replace(comfort_noise=True)
    assert answered(offer_of("0 13"))[0].comfort_noise_payload_type is None
    media, lines = answered(offer_of("0 13"), quiet)
    assert media.comfort_noise_payload_type == 13
    assert "m=audio 20000 RTP/AVP 0 13" in lines and "a=rtpmap:13 CN/8000" in lines
    wide = offer_of("96 13 105", "a=rtpmap:96 L16/16000", "a=rtpmap:105 CN/16000")
    assert answered(wide, quiet)[0].comfort_noise_payload_type == 105
    other = offer_of("0 13", "a=rtpmap:13 X/8000")
    assert answered(other, quiet)[0].comfort_noise_payload_type is None
    assert b" 13 101 " in make_offer(quiet) and b"a=rtpmap:13 CN/8000" in make_offer(quiet)


def test_opus_has_two_channels_in_its_rtpmap_and_parameters():
    opus = ("a=rtpmap:96 OPUS/48000/2", "a=fmtp:96 useinbandfec=1; MaxPlaybackRate=16000;stereo=0")
    media, lines = answered(offer_of("96", *opus))
    assert (media.codec, media.payload_type) == (OPUS, 96)
    assert dict(media.format_parameters) == {
        "useinbandfec": "1",
        "maxplaybackrate": "16000",
        "stereo": "0",
    }
    assert "a=rtpmap:96 opus/48000/2" in lines
    ours = "maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0;sprop-stereo=0;useinbandfec=1"
    assert f"a=fmtp:96 {ours}" in lines
    # RFC 7587 section 7: one channel in the rtpmap is not Opus.
    with pytest.raises(SdpError):
        answered(offer_of("96", "a=rtpmap:96 opus/48000"))


@pytest.mark.parametrize(("ptime_ms", "settled_ms"), [(20, 20), (30, 20), (50, 40), (60, 60)])
def test_opus_packets_are_as_long_as_one_frame(ptime_ms: int, settled_ms: int):
    offer = offer_of("96", "a=rtpmap:96 opus/48000/2", f"a=ptime:{ptime_ms}")
    assert answered(offer)[0].ptime_ms == settled_ms


def test_g722_is_static_and_l16_is_not():
    assert answered(offer_of("9"))[0].codec is G722
    media, lines = answered(offer_of("102", "a=rtpmap:102 L16/16000/1"))
    assert media.codec is L16 and "a=rtpmap:102 L16/16000" in lines


def test_our_order_decides_where_it_is_set():
    ours = LOCAL._replace(codecs=(G722, PCMA, PCMU), own_order=True)
    assert answered(offer_of("0 8 9"), ours)[0].codec is G722
    assert answered(offer_of("0 8"), ours)[0].codec is PCMA
    assert answered(offer_of("0 8 9"), ours._replace(own_order=False))[0].codec is PCMU


def test_rtcp_shares_the_port_only_if_both_want_it():
    mux = LOCAL._replace(rtcp_mux=True)
    media, lines = answered(offer_of("0", "a=rtcp-mux", "a=rtcp:7000"), mux)
    assert media.rtcp_mux and media.rtcp_port == 6000
    assert "a=rtcp-mux" in lines
    for offer, local in ((offer_of("0"), mux), (offer_of("0", "a=rtcp-mux"), LOCAL)):
        media, lines = answered(offer, local)
        assert not media.rtcp_mux and media.rtcp_port == 6001
        assert "a=rtcp-mux" not in lines
    offer = make_offer(mux)
    assert not accept_answer(offer, parse_sdp(offer_of("0")), mux).rtcp_mux
    assert accept_answer(offer, parse_sdp(offer_of("0", "a=rtcp-mux")), mux).rtcp_mux


def test_our_rtcp_port_is_said_where_it_is_not_the_next():
    assert b"a=rtcp:30000\r\n" in make_offer(LOCAL._replace(rtcp_port=30000))
    assert b"a=rtcp" not in make_offer(LOCAL._replace(rtcp_port=20001))


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("zeros", ["IP4 0.0.0.0", "IP6 ::"])
def test_a_call_that_begins_on_hold_names_an_address_of_our_ip_version(host: str, zeros: str):
    media, lines = answered(offer_of("0", address=zeros), LOCAL._replace(host=host))
    assert media.direction is Direction.RECVONLY and "a=recvonly" in lines
    assert media.remote_host == ("::" if ":" in host else "0.0.0.0")
    assert media.rtcp_port is None


@pytest.mark.parametrize("direction", list(Direction))
def test_we_put_the_peer_on_hold(direction: Direction):
    local = LOCAL._replace(direction=direction)
    offer = make_offer(local)
    answer = answer_offer(parse_sdp(offer), LOCAL)
    assert accept_answer(offer, parse_sdp(answer.body), local).direction is direction


def test_our_packet_length_holds_until_the_peer_wants_another():
    long = LOCAL._replace(ptime_ms=40)
    assert b"a=ptime:40\r\n" in make_offer(long)
    assert answered(offer_of("0"), long)[0].ptime_ms == 40
    assert answered(offer_of("0", "a=maxptime:30"), long)[0].ptime_ms == 30
    assert answered(offer_of("0", "a=ptime:20"), long)[0].ptime_ms == 20


def test_feedback_profile_is_tolerated_and_dtls_is_not():
    offer = offer_of("0")
    _, lines = answered(offer.replace(b"RTP/AVP", b"RTP/AVPF"))
    assert "m=audio 20000 RTP/AVPF 0" in lines
    with pytest.raises(SdpError):
        answered(offer.replace(b"RTP/AVP", b"UDP/TLS/RTP/SAVPF"))


LOCALS = st.builds(
    LocalMedia,
    host=st.just("192.0.2.1"),
    rtp_port=st.integers(1, 32000).map(lambda half: 2 * half),
    codecs=st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple),
    session_id=st.integers(0, 2**62),
    session_version=st.just(1),
    last_body=st.just(b""),
    rtcp_port=st.none(),
    direction=st.sampled_from(list(Direction)),
    own_order=st.booleans(),
    ptime_ms=st.sampled_from([10, 20, 30, 40, 60]),
    comfort_noise=st.booleans(),
    rtcp_mux=st.booleans(),
    srtp=st.sampled_from(["off", "optional", "required"]).map(lambda name: SrtpPolicy(name)),
    srtp_suites=st.lists(st.sampled_from(list(SrtpSuite)), min_size=1, unique=True).map(tuple),
    srtp_secret=st.binary(min_size=32, max_size=48),
    applications=st.just(()),
)


@given(LOCALS, LOCALS)
def test_both_sides_agree_on_everything(ours: LocalMedia, theirs: LocalMedia):
    offer = make_offer(ours)
    try:
        answer = answer_offer(parse_sdp(offer), theirs)
    except SdpError:
        secure = {SrtpPolicy.OFF, SrtpPolicy.REQUIRED} <= {ours.srtp, theirs.srtp}
        no_suite = not set(ours.srtp_suites) & set(theirs.srtp_suites)
        assert secure or no_suite or not set(ours.codecs) & set(theirs.codecs)
        return
    here, there = accept_answer(offer, parse_sdp(answer.body), ours), answer.media
    assert there is not None
    for field in (
        "codec",
        "payload_type",
        "ptime_ms",
        "telephone_event_payload_type",
        "telephone_events",
        "comfort_noise_payload_type",
        "rtcp_mux",
    ):
        assert getattr(here, field) == getattr(there, field), field
    assert (here.direction.value in ("sendrecv", "sendonly")) == (
        there.direction.value in ("sendrecv", "recvonly")
    )
    assert here.remote_port == theirs.rtp_port and there.remote_port == ours.rtp_port
    if SrtpPolicy.OFF in (ours.srtp, theirs.srtp):
        assert here.srtp is None and there.srtp is None
    if here.srtp is None or there.srtp is None:
        assert here.srtp is there.srtp
        return
    assert (here.srtp.tag, here.srtp.suite) == (there.srtp.tag, there.srtp.suite)
    assert (here.srtp.local, here.srtp.remote) == (there.srtp.remote, there.srtp.local)


def standing(local: LocalMedia, agreed, body: bytes = b"") -> LocalMedia:
    """A side that is bound to what was agreed on."""
    policy = SrtpPolicy.OFF if agreed.srtp is None else SrtpPolicy.REQUIRED
    return local._replace(codecs=(agreed.codec,), srtp=policy, last_body=body)


@given(LOCALS, LOCALS, st.sampled_from(list(Direction)))
def test_what_stands_is_the_same_when_it_is_offered_again(
    ours: LocalMedia, theirs: LocalMedia, direction: Direction
):
    ours, theirs = (side._replace(direction=Direction.SENDRECV) for side in (ours, theirs))
    offer = make_offer(ours)
    try:
        answer = answer_offer(parse_sdp(offer), theirs)
    except SdpError:
        return
    here, there = accept_answer(offer, parse_sdp(answer.body), ours), answer.media
    assert there is not None
    asking = standing(theirs, there, answer.body)._replace(direction=direction)
    again = offer_again(answer.body, there, asking)
    assert again.count(b"\r\na=%b\r\n" % direction.value.encode()) == 1
    assert (again == answer.body) == (direction is Direction.SENDRECV)
    reply = answer_offer(parse_sdp(again), standing(ours, here))
    assert reply.media is not None
    settled = accept_answer(again, parse_sdp(reply.body), asking)
    assert settled.direction is direction
    for before, after in ((here, reply.media), (there, settled)):
        assert after._replace(direction=Direction.SENDRECV, held=False, ptime_ms=0, srtp=None) == (
            before._replace(ptime_ms=0, srtp=None)
        )
        assert (after.srtp and after.srtp[1:]) == (before.srtp and before.srtp[1:])


@pytest.mark.parametrize(
    ("attribute", "address", "held"),
    [
        ("a=sendrecv", "IP4 198.51.100.7", False),
        ("a=recvonly", "IP4 198.51.100.7", False),
        ("a=sendonly", "IP4 198.51.100.7", True),
        ("a=inactive", "IP4 198.51.100.7", True),
        ("a=sendrecv", "IP4 0.0.0.0", True),
    ],
)
def test_who_takes_no_sound_holds_us_whatever_we_do(attribute: str, address: str, held: bool):
    for direction in Direction:
        local = LOCAL._replace(direction=direction)
        assert answered(offer_of("0", attribute, address=address), local)[0].held is held

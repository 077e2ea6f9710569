"""RFC 8866 descriptions and RFC 3264 offer and answer, as seen in the bytes that would be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.codec import PCMA, PCMU, Codec
from ringwheel.media.sdp import (
    MAX_BODY_BYTES,
    Direction,
    LocalMedia,
    NoCommonCodec,
    NotAcceptable,
    SdpError,
    SdpReason,
    accept_answer,
    answer_offer,
    make_offer,
    parse_sdp,
)

LOCAL = LocalMedia("192.0.2.1", 20000, (PCMU, PCMA), session_id=77)


def sdp(*lines: str, head: str = "v=0|o=- 1 1 IN IP4 198.51.100.7|s=-|t=0 0", end="\r\n") -> bytes:
    return "".join(line + end for line in [*head.split("|"), *lines]).encode()


def audio(formats: str, *lines: str, port: int = 6000) -> bytes:
    return sdp("c=IN IP4 198.51.100.7", f"m=audio {port} RTP/AVP {formats}", *lines)


def lines_of(body: bytes) -> list[str]:
    assert body.endswith(b"\r\n")
    return body.decode().removesuffix("\r\n").split("\r\n")


def negotiated(offer: bytes, local: LocalMedia = LOCAL):
    media = answer_offer(parse_sdp(offer), local).media
    assert media is not None
    return media


# Reading


def test_reads_what_counts():
    description = parse_sdp(
        sdp(
            "c=IN IP4 203.0.113.1/127",
            "a=group:BUNDLE audio",
            "m=audio 49170/2 RTP/AVP 0 8",
            "a=ptime:30",
            "a=rtcp-mux",
            "m=video 51372 RTP/AVP 99",
            "c=IN IP6 2001:db8::2",
        )
    )
    assert (description.origin.session_id, description.origin.session_version) == ("1", "1")
    assert description.attributes == (("group", "BUNDLE audio"),)
    first, second = description.media
    assert (first.kind, first.port, first.protocol, first.formats) == (
        "audio",
        49170,
        "RTP/AVP",
        ("0", "8"),
    )
    assert first.connection is not None and first.connection.host == "203.0.113.1"
    assert first.attributes == (("ptime", "30"), ("rtcp-mux", None))
    assert second.connection is not None and second.connection.family == "IP6"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_and_trailing_blank_lines(end: str):
    body = sdp("c=IN IP4 198.51.100.7", "m=audio 6000 RTP/AVP 0", "", "", end=end)
    assert negotiated(body).remote_port == 6000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", SdpReason.BAD_VERSION),
        (b"\r\n\r\n", SdpReason.BAD_VERSION),
        (b"v=1\r\no=- 1 1 IN IP4 1.2.3.4\r\n", SdpReason.BAD_VERSION),
        (b"v=0\r\ns=-\r\n", SdpReason.BAD_ORIGIN),
        (b"v=0\r\no=- 1 IN IP4 1.2.3.4\r\n", SdpReason.BAD_ORIGIN),
        (sdp("o=- 1 1 IN IP4 1.2.3.4"), SdpReason.BAD_ORIGIN),
        (sdp("garbage"), SdpReason.BAD_LINE),
        (sdp("", "m=audio 6000 RTP/AVP 0"), SdpReason.BAD_LINE),
        (sdp("y=0100000001"), SdpReason.UNKNOWN_TYPE),
        (sdp("c=IN IP4"), SdpReason.BAD_CONNECTION),
        (sdp("c=ATM NSAP 47.0091"), SdpReason.BAD_CONNECTION),
        (sdp("m=audio 6000 RTP/AVP"), SdpReason.BAD_MEDIA),
        (sdp("m=audio 65536 RTP/AVP 0"), SdpReason.BAD_MEDIA),
        (sdp("m=audio -1 RTP/AVP 0"), SdpReason.BAD_MEDIA),
        (sdp("m=audio 6000/0 RTP/AVP 0"), SdpReason.BAD_MEDIA),
        (sdp("m=audio \u00b2 RTP/AVP 0"), SdpReason.BAD_MEDIA),
        (sdp("a=x\0y"), SdpReason.NUL),
        (sdp(*["a=x"] * 1000), SdpReason.TOO_MANY_LINES),
        (sdp(*["m=audio 1 RTP/AVP 0"] * 33), SdpReason.TOO_MANY_MEDIA),
        (sdp("a=" + "x" * MAX_BODY_BYTES), SdpReason.TOO_LONG),
    ],
)
def test_refuses_with_a_reason(body: bytes, reason: SdpReason):
    with pytest.raises(SdpError) as caught:
        parse_sdp(body)
    assert caught.value.reason is reason
    assert caught.value.status == 400


# Answering


def test_answer_of_an_ordinary_offer():
    offer = audio("8 0 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20")
    answer = answer_offer(parse_sdp(offer), LOCAL)
    assert lines_of(answer.body) == [
        "v=0",
        "o=- 77 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 20000 RTP/AVP 8 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendrecv",
    ]
    media = answer.media
    assert media is not None
    assert (media.codec, media.payload_type, media.ptime_ms) == (PCMA, 8, 20)
    assert (media.remote_host, media.remote_port) == ("198.51.100.7", 6000)
    assert (media.rtcp_host, media.rtcp_port) == ("198.51.100.7", 6001)
    assert media.telephone_event_payload_type == 101


def test_the_offerers_order_decides_not_ours():
    assert negotiated(audio("18 8 0")).codec is PCMA
    assert negotiated(audio("0 8"), LOCAL._replace(codecs=(PCMA, PCMU))).codec is PCMU
    assert negotiated(audio("8 0"), LOCAL._replace(codecs=(PCMU,))).codec is PCMU


def test_dynamic_payload_types_and_names_in_any_case():
    media = negotiated(audio("96 97", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 pcma/8000/1"))
    assert (media.codec, media.payload_type) == (PCMA, 97)


def test_an_rtpmap_outranks_the_static_payload_type():
    media = negotiated(audio("0 8", "a=rtpmap:0 PCMU/16000", "a=rtpmap:8 PCMA/8000"))
    assert media.codec is PCMA


@pytest.mark.parametrize("rtpmap", ["PCMU/8000/2", "PCMU", "PCMU/", "PCMU/x", "/", "PCMU/0"])
def test_an_rtpmap_that_is_not_ours_is_no_codec(rtpmap: str):
    with pytest.raises(NoCommonCodec):
        negotiated(audio("0", f"a=rtpmap:0 {rtpmap}"))


def test_telephone_event_must_share_the_codecs_clock():
    wide = ("a=rtpmap:100 telephone-event/48000", "a=rtpmap:101 telephone-event/8000")
    assert negotiated(audio("0 100 101", *wide)).telephone_event_payload_type == 101
    assert negotiated(audio("0 100", wide[0])).telephone_event_payload_type is None
    # An rtpmap for a format that the m= line does not list offers nothing.
    assert negotiated(audio("0", wide[1])).telephone_event_payload_type is None


@pytest.mark.parametrize(
    ("attributes", "ptime_ms"),
    [
        ([], 20),
        (["a=ptime:30"], 30),
        (["a=ptime:10"], 10),
        (["a=ptime:5"], 10),
        (["a=ptime:200"], 60),
        (["a=ptime:40", "a=maxptime:30"], 30),
        (["a=maxptime:10"], 10),
        (["a=ptime:0"], 20),
        (["a=ptime:many"], 20),
        (["a=ptime"], 20),
    ],
)
def test_packet_length(attributes: list[str], ptime_ms: int):
    answer = answer_offer(parse_sdp(audio("0", *attributes)), LOCAL)
    assert answer.media is not None and answer.media.ptime_ms == ptime_ms
    assert f"a=ptime:{ptime_ms}" in lines_of(answer.body)


@pytest.mark.parametrize(
    ("offered", "ours", "result"),
    [
        ("sendrecv", Direction.SENDRECV, "sendrecv"),
        ("sendonly", Direction.SENDRECV, "recvonly"),
        ("recvonly", Direction.SENDRECV, "sendonly"),
        ("inactive", Direction.SENDRECV, "inactive"),
        ("sendrecv", Direction.SENDONLY, "sendonly"),
        ("sendonly", Direction.SENDONLY, "inactive"),
        ("recvonly", Direction.RECVONLY, "inactive"),
    ],
)
def test_direction(offered: str, ours: Direction, result: str):
    local = LOCAL._replace(direction=ours)
    answer = answer_offer(parse_sdp(audio("0", f"a={offered}")), local)
    assert answer.media is not None and answer.media.direction == result
    assert lines_of(answer.body)[-1] == f"a={result}"


def test_direction_of_the_session_holds_until_a_stream_says_otherwise():
    on_hold = sdp("c=IN IP4 198.51.100.7", "a=sendonly", "m=audio 6000 RTP/AVP 0")
    assert negotiated(on_hold).direction is Direction.RECVONLY
    resumed = on_hold + b"a=sendrecv\r\n"
    assert negotiated(resumed).direction is Direction.SENDRECV


@pytest.mark.parametrize("address", ["IP4 0.0.0.0", "IP6 ::"])
def test_hold_by_an_address_of_zeros(address: str):
    media = negotiated(sdp(f"c=IN {address}", "m=audio 6000 RTP/AVP 0"))
    assert media.direction is Direction.RECVONLY


def test_rtcp_address():
    assert negotiated(audio("0", "a=rtcp:7000")).rtcp_port == 7000
    media = negotiated(audio("0", "a=rtcp:7001 IN IP4 198.51.100.9"))
    assert (media.rtcp_host, media.rtcp_port) == ("198.51.100.9", 7001)
    media = negotiated(audio("0", "a=rtcp:7001 IN IP4 224.0.0.1"))
    assert (media.rtcp_host, media.rtcp_port) == ("198.51.100.7", 7001)
    assert negotiated(audio("0", "a=rtcp:nonsense")).rtcp_port == 6001
    assert negotiated(audio("0", port=65535)).rtcp_port is None


def test_ipv6():
    local = LOCAL._replace(host="2001:db8::1")
    offer = sdp("c=IN IP6 2001:db8::7", "m=audio 6000 RTP/AVP 0")
    answer = answer_offer(parse_sdp(offer), local)
    assert answer.media is not None and answer.media.remote_host == "2001:db8::7"
    assert "o=- 77 1 IN IP6 2001:db8::1" in lines_of(answer.body)
    assert "c=IN IP6 2001:db8::1" in lines_of(answer.body)


def test_several_streams_keep_their_places():
    offer = sdp(
        "c=IN IP4 198.51.100.7",
        "m=audio 6000 RTP/SAVP 0",
        "m=video 6002 RTP/AVP 31 34",
        "m=audio 6004 RTP/AVP 18 8",
        "m=audio 6006 RTP/AVP 0",
        "m=application 6008 UDP/DTLS/SCTP webrtc-datachannel",
        "m=audio 0 RTP/AVP 0",
    )
    answer = answer_offer(parse_sdp(offer), LOCAL)
    assert [line for line in lines_of(answer.body) if line.startswith("m=")] == [
        "m=audio 0 RTP/SAVP 0",
        "m=video 0 RTP/AVP 31",
        "m=audio 20000 RTP/AVP 8",
        "m=audio 0 RTP/AVP 0",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "m=audio 0 RTP/AVP 0",
    ]
    assert answer.media is not None and answer.media.remote_port == 6004


def test_nothing_that_is_on_needs_no_stream():
    assert answer_offer(parse_sdp(sdp()), LOCAL).media is None
    answer = answer_offer(parse_sdp(audio("0", port=0)), LOCAL)
    assert answer.media is None
    assert lines_of(answer.body)[-1] == "m=audio 0 RTP/AVP 0"


@pytest.mark.parametrize(
    ("offer", "reason", "warning"),
    [
        (audio("18 4"), SdpReason.NO_COMMON_CODEC, 305),
        (audio("x 999"), SdpReason.NO_COMMON_CODEC, 305),
        (sdp("m=video 6000 RTP/AVP 31"), SdpReason.NO_AUDIO, 304),
        (sdp("c=IN IP4 1.2.3.4", "m=audio 6000 RTP/SAVP 0"), SdpReason.NO_AUDIO, 304),
        (sdp("m=audio 6000 RTP/AVP 0"), SdpReason.NO_CONNECTION, 301),
        (sdp("c=IN IP4 host.example", "m=audio 1 RTP/AVP 0"), SdpReason.BAD_ADDRESS, 301),
        (sdp("c=IN IP4 224.2.1.1/127", "m=audio 1 RTP/AVP 0"), SdpReason.BAD_ADDRESS, 301),
        (sdp("c=IN IP4 255.255.255.255", "m=audio 1 RTP/AVP 0"), SdpReason.BAD_ADDRESS, 301),
        (sdp("c=IN IP6 ff02::1", "m=audio 1 RTP/AVP 0"), SdpReason.BAD_ADDRESS, 301),
        (sdp("c=IN IP9 1.2.3.4", "m=audio 1 RTP/AVP 0"), SdpReason.BAD_ADDRESS, 301),
        (sdp("c=IN IP6 2001:db8::7", "m=audio 1 RTP/AVP 0"), SdpReason.ADDRESS_FAMILY, 301),
    ],
)
def test_refusals_carry_status_reason_and_warning(offer: bytes, reason: SdpReason, warning: int):
    with pytest.raises(NotAcceptable) as caught:
        answer_offer(parse_sdp(offer), LOCAL)
    assert (caught.value.status, caught.value.reason) == (488, reason)
    assert caught.value.warning_code == warning
    assert isinstance(caught.value, NoCommonCodec) == (reason is SdpReason.NO_COMMON_CODEC)


def test_a_changed_answer_gets_the_next_version_and_the_same_one_does_not():
    first = answer_offer(parse_sdp(audio("0")), LOCAL).body
    local = LOCAL._replace(last_body=first)
    assert answer_offer(parse_sdp(audio("0")), local).body == first
    held = answer_offer(parse_sdp(audio("0", "a=sendonly")), local).body
    assert b"o=- 77 2 IN" in held
    resumed = answer_offer(parse_sdp(audio("0")), local._replace(last_body=held)).body
    assert resumed == first.replace(b"o=- 77 1", b"o=- 77 3")


# Offering


def test_late_offer_and_its_answer():
    offer = make_offer(LOCAL)
    assert lines_of(offer)[5:] == [
        "m=audio 20000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendrecv",
    ]
    answer = parse_sdp(audio("8 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly"))
    media = accept_answer(offer, answer, LOCAL._replace(last_body=offer))
    assert (media.codec, media.telephone_event_payload_type) == (PCMA, 101)
    assert (media.remote_port, media.direction) == (6000, Direction.RECVONLY)


def test_an_offer_after_an_answer_carries_the_next_version():
    answer = answer_offer(parse_sdp(audio("8")), LOCAL).body
    offer = make_offer(LOCAL._replace(last_body=answer))
    assert b"o=- 77 2 IN" in offer
    assert make_offer(LOCAL._replace(last_body=offer)) == offer


def test_offer_numbers_dynamic_codecs_and_spares_101():
    wide = [Codec(f"X{i}", None, 8000, 8000, 0, bytes, PCMU.decode) for i in range(7)]
    offer = make_offer(LOCAL._replace(codecs=(PCMU, *wide)))
    assert "m=audio 20000 RTP/AVP 0 96 97 98 99 100 102 103 101" in lines_of(offer)
    assert "a=rtpmap:102 X5/8000" in lines_of(offer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (sdp(), SdpReason.ANSWER_MISMATCH),
        (audio("0", "m=audio 1 RTP/AVP 0"), SdpReason.ANSWER_MISMATCH),
        (sdp("m=video 6000 RTP/AVP 0"), SdpReason.ANSWER_MISMATCH),
        (audio("0", port=0), SdpReason.NO_AUDIO),
        (audio("9"), SdpReason.NO_COMMON_CODEC),
    ],
)
def test_answers_that_do_not_fit(answer: bytes, reason: SdpReason):
    with pytest.raises(SdpError) as caught:
        accept_answer(make_offer(LOCAL), parse_sdp(answer), LOCAL)
    assert caught.value.reason is reason


def test_the_answer_settles_within_the_direction_we_offered():
    offer = make_offer(LOCAL._replace(direction=Direction.SENDONLY))
    assert accept_answer(offer, parse_sdp(audio("0")), LOCAL).direction is Direction.SENDONLY


# Properties

TOKENS = st.sampled_from(
    ["0", "8", "101", "6000", "RTP/AVP", "audio", "video", "IN", "IP4", "IP6", "1.2.3.4", "::1"]
)
VALUES = st.lists(TOKENS | st.text(max_size=8), max_size=7).map(" ".join)
ATTRIBUTES = st.tuples(
    st.sampled_from(["rtpmap", "ptime", "maxptime", "rtcp", "fmtp", "sendonly", "inactive"]),
    st.sampled_from(["", ":"]),
    VALUES | st.sampled_from(["101 telephone-event/8000", "8 PCMA/8000", "20", "0 PCMU/8000/1"]),
).map(lambda parts: "a=" + "".join(parts))
STREAMS = st.tuples(
    st.sampled_from(["audio", "audio", "AUDIO", "video"]),
    st.sampled_from(["0", "6000", "65535", "6000/2"]),
    st.sampled_from(["RTP/AVP", "RTP/AVP", "rtp/avp", "RTP/SAVP"]),
    st.lists(st.sampled_from(["0", "8", "101", "18", "x"]), min_size=1, max_size=4).map(" ".join),
).map(lambda parts: "m=" + " ".join(parts))
LINES = st.one_of(
    ATTRIBUTES,
    STREAMS,
    st.just("c=IN IP4 198.51.100.7"),
    st.tuples(st.sampled_from("vosictmabkzx"), VALUES).map("=".join),
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.lists(LINES, max_size=14).map(lambda lines: sdp(*lines)),
    st.lists(ATTRIBUTES | STREAMS, max_size=14).map(
        lambda lines: sdp("c=IN IP4 198.51.100.7", *lines)
    ),
)


@given(BODIES)
def test_any_bytes_are_a_description_or_an_sdp_error(body: bytes):
    try:
        offer = parse_sdp(body)
        answer = answer_offer(offer, LOCAL)
    except SdpError as error:
        assert error.reason.value in str(error)
        assert "\n" not in str(error)
        return
    # RFC 3264 section 6: as many m= lines, of the same kinds and protocols, in the same order.
    answered = parse_sdp(answer.body)
    assert [(m.kind, m.protocol) for m in answered.media if m.port == 0] == [
        (o.kind, o.protocol)
        for o, m in zip(offer.media, answered.media, strict=True)
        if m.port == 0
    ]
    live = [(o, m) for o, m in zip(offer.media, answered.media, strict=True) if m.port]
    assert len(live) == (answer.media is not None)
    for offered, stream in live:
        assert offered.port != 0
        assert set(stream.formats) <= set(offered.formats)
    # Whoever sent the offer finds the same codec in the answer.
    if answer.media is not None and len(offer.media) == 1:
        peer = LocalMedia("198.51.100.7", 6000, (PCMU, PCMA), 1)
        media = accept_answer(make_offer(peer), answered, peer)
        assert (media.codec, media.ptime_ms) == (answer.media.codec, answer.media.ptime_ms)

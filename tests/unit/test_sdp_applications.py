"""Application lines beside the sound (RFC 6787 4.2), as seen in the bytes that would be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.codec import PCMA, PCMU
from ringwheel.media.sdp import (
    ApplicationLine,
    Direction,
    LocalMedia,
    SdpError,
    SdpReason,
    accept_answer,
    answer_offer,
    applications_in,
    make_offer,
    offer_again,
    parse_sdp,
)

from .test_sdp import lines_of, sdp
from .test_session import pooling, session

CLIENT = LocalMedia("192.0.2.1", 20000, (PCMU, PCMA), session_id=77)
SERVER = LocalMedia("198.51.100.7", 6000, (PCMU,), session_id=88)


def asked(resource: str, cmid: str = "1") -> ApplicationLine:
    pairs = (("setup", "active"), ("connection", "new"), ("resource", resource), ("cmid", cmid))
    return ApplicationLine(9, attributes=pairs)


def granted(channel: str, port: int = 1544, cmid: str = "1") -> ApplicationLine:
    pairs = (("setup", "passive"), ("connection", "new"), ("channel", channel), ("cmid", cmid))
    return ApplicationLine(port, attributes=pairs)


OFFERED = (asked("speechsynth"), asked("speechrecog"))
GRANTED = (granted("32AECB23433801@speechsynth"), granted("32AECB23433802@speechrecog"))


def with_lines(local: LocalMedia, *lines: ApplicationLine) -> LocalMedia:
    return local._replace(applications=lines)


def test_an_offer_has_its_lines_before_the_sound_that_they_speak_of():
    assert lines_of(make_offer(with_lines(CLIENT, OFFERED[0])))[5:] == [
        "m=application 9 TCP/MRCPv2 1",
        "a=setup:active",
        "a=connection:new",
        "a=resource:speechsynth",
        "a=cmid:1",
        "m=audio 20000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendrecv",
        "a=mid:1",
    ]


def test_an_answer_has_every_line_in_its_place():
    """The lines of RFC 6787 4.2 around a sound of its own ``mid``, and one that nobody knows."""
    offer = sdp(
        "c=IN IP4 192.0.2.1",
        "m=application 9 TCP/MRCPv2 1",
        "a=resource:speechsynth",
        "a=cmid:sound",
        "m=audio 20000 RTP/AVP 0",
        "a=mid:sound",
        "m=video 20002 RTP/AVP 31",
        "m=application 9 TCP/TLS/MRCPv2 1",
        "a=resource:speechrecog",
        "a=cmid:sound",
        "m=application 20010 UDP/BFCP *",
    )
    body = answer_offer(parse_sdp(offer), with_lines(SERVER, *GRANTED)).body
    assert lines_of(body)[5:] == [
        "m=application 1544 TCP/MRCPv2 1",
        "a=setup:passive",
        "a=connection:new",
        "a=channel:32AECB23433801@speechsynth",
        "a=cmid:1",
        "m=audio 6000 RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:20",
        "a=sendrecv",
        "a=mid:sound",
        "m=video 0 RTP/AVP 31",
        "m=application 1544 TCP/TLS/MRCPv2 1",
        "a=setup:passive",
        "a=connection:new",
        "a=channel:32AECB23433802@speechrecog",
        "a=cmid:1",
        "m=application 0 UDP/BFCP *",
    ]
    assert [line.port for line in applications_in(body)] == [1544, 1544, 0]


def test_lines_are_refused_by_port_0_and_by_silence():
    offer = parse_sdp(make_offer(with_lines(CLIENT, *OFFERED)))
    refusing = answer_offer(offer, with_lines(SERVER, GRANTED[0]._replace(port=0)))
    assert [line for line in lines_of(refusing.body) if line.startswith("m=")] == [
        "m=application 0 TCP/MRCPv2 1",
        "m=application 0 TCP/MRCPv2 1",
        "m=audio 6000 RTP/AVP 0 101",
    ]
    silent = answer_offer(offer, SERVER)
    assert lines_of(silent.body)[5:7] == ["m=application 0 TCP/MRCPv2 1"] * 2
    assert "a=mid:1" not in lines_of(silent.body)


def test_a_line_that_the_offerer_has_turned_off_stays_off():
    offer = make_offer(with_lines(CLIENT, OFFERED[0]._replace(port=0), OFFERED[1]))
    answer = answer_offer(parse_sdp(offer), with_lines(SERVER, *GRANTED))
    assert [line.port for line in answer.applications] == [0, 1544]


def test_an_answer_settles_the_sound_among_the_lines():
    offer = make_offer(with_lines(CLIENT, *OFFERED))
    answer = answer_offer(parse_sdp(offer), with_lines(SERVER, *GRANTED)).body
    media = accept_answer(offer, parse_sdp(answer), CLIENT)
    assert (media.codec, media.remote_port) == (PCMU, 6000)
    read = applications_in(answer)
    assert [line.value("channel") for line in read] == [
        "32AECB23433801@speechsynth",
        "32AECB23433802@speechrecog",
    ]
    assert {line.host for line in read} == {"198.51.100.7"}


def test_an_answer_that_lacks_a_line_does_not_fit():
    offer = make_offer(with_lines(CLIENT, *OFFERED))
    fewer = answer_offer(
        parse_sdp(make_offer(with_lines(CLIENT, OFFERED[0]))), with_lines(SERVER, GRANTED[0])
    )
    with pytest.raises(SdpError) as caught:
        accept_answer(offer, parse_sdp(fewer.body), CLIENT)
    assert caught.value.reason is SdpReason.ANSWER_MISMATCH


def test_an_offer_that_follows_keeps_the_order_and_adds_behind():
    offer = make_offer(with_lines(CLIENT, OFFERED[0]))
    answer = answer_offer(parse_sdp(offer), with_lines(SERVER, GRANTED[0])).body
    media = accept_answer(offer, parse_sdp(answer), CLIENT)
    again = with_lines(
        CLIENT._replace(last_body=offer, direction=Direction.SENDRECV),
        OFFERED[0].standing(),
        OFFERED[1],
    )
    lines = lines_of(offer_again(offer, media, again))
    assert lines[1] == "o=- 77 2 IN IP4 192.0.2.1"
    assert [line for line in lines if line[:2] == "m=" or line[:12] == "a=connection"] == [
        "m=application 9 TCP/MRCPv2 1",
        "a=connection:existing",
        "m=audio 20000 RTP/AVP 0 101",
        "m=application 9 TCP/MRCPv2 1",
        "a=connection:new",
    ]


def test_an_address_of_its_own_is_said_where_it_is_another():
    lines = (GRANTED[0]._replace(host="198.51.100.7"), GRANTED[1]._replace(host="198.51.100.9"))
    offer = parse_sdp(make_offer(with_lines(CLIENT, *OFFERED)))
    body = answer_offer(offer, with_lines(SERVER, *lines)).body
    assert [line for line in lines_of(body) if line.startswith("c=")] == [
        "c=IN IP4 198.51.100.7",
        "c=IN IP4 198.51.100.9",
    ]
    assert [line.host for line in applications_in(body)] == ["198.51.100.7", "198.51.100.9"]


@pytest.mark.parametrize(
    "line",
    [
        ApplicationLine(70_000),
        ApplicationLine(9, "TCP/MRCPv2 1\r\na=x"),
        ApplicationLine(9, formats=()),
        ApplicationLine(9, formats=("1 2",)),
        ApplicationLine(9, attributes=(("channel", "1\r\nm=audio 1 RTP/AVP 0"),)),
        ApplicationLine(9, attributes=(("", "1"),)),
        ApplicationLine(9, host="example.com"),
    ],
)
def test_what_cannot_be_a_line_is_not_written(line: ApplicationLine):
    with pytest.raises(ValueError, match=r"application line|IPv4"):
        make_offer(with_lines(CLIENT, line))


def test_what_cannot_be_read_has_no_lines():
    assert applications_in(None) == ()
    assert applications_in(b"v=0\r\nm=application 1 TCP/MRCPv2 1\r\n") == ()
    assert applications_in(sdp("c=IN IP4 192.0.2.1", "m=audio 9 RTP/AVP 0")) == ()


TEXTS = st.text(st.characters(max_codepoint=255, exclude_characters="\n"), max_size=12)


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.sampled_from(["TCP/MRCPv2", "x"]), TEXTS, TEXTS),
        max_size=31,
    ),
    st.lists(st.sampled_from(GRANTED), max_size=4),
)
def test_whatever_is_offered_every_line_has_its_answer_in_order(theirs, ours):
    """Attributes of any text: what we read of them we can write again."""
    lines = [
        text
        for port, protocol, name, value in theirs
        for text in (f"m=application {port} {protocol} 1", f"a={name}:{value}")
    ]
    body = sdp("c=IN IP4 192.0.2.1", "m=audio 9 RTP/AVP 0", *lines).decode().encode("latin-1")
    read = applications_in(body)
    assert [line.port for line in read] == [port for port, *_ in theirs] or not read
    try:
        offer = parse_sdp(body)
    except SdpError:
        return
    answer = answer_offer(offer, with_lines(SERVER, *ours)).body
    answered = applications_in(answer)
    assert [line.protocol for line in answered] == [protocol for _, protocol, *_ in theirs]
    for index, (line, (port, *_)) in enumerate(zip(answered, theirs, strict=True)):
        assert (line.port > 0) == (index < len(ours) and port > 0)
    echoed = with_lines(SERVER, *(line._replace(host=None) for line in read))
    assert len(applications_in(answer_offer(offer, echoed).body)) == len(theirs)


# Over the life of a call


def ports_of(body: bytes) -> list[int]:
    return [line.port for line in applications_in(body)]


async def test_what_was_granted_is_granted_again_until_it_is_turned_off():
    """A refresh says what stands; a new line is nobody's, and one that is off stays off."""
    async with pooling() as pool:
        ours = session(pool)
        first = make_offer(with_lines(CLIENT, *OFFERED))
        assert ports_of(ours.answer(first, GRANTED)) == [1544, 1544]
        assert ports_of(ours.answer(first)) == [1544, 1544]
        more = make_offer(with_lines(CLIENT, *OFFERED, asked("recorder")))
        assert ports_of(ours.answer(more)) == [1544, 1544, 0]
        fewer = make_offer(with_lines(CLIENT, OFFERED[0], OFFERED[1]._replace(port=0)))
        assert ports_of(ours.answer(fewer)) == [1544, 0]
        assert ports_of(ours.answer(first)) == [1544, 0]
        # Our own offers, as for a hold, say the same.
        assert ports_of(ours.offer(Direction.SENDONLY)) == [1544, 0]
        ours.close()


async def test_a_line_that_was_refused_is_not_offered_again():
    async with pooling() as pool:
        ours = session(pool)
        offer = ours.offer(applications=OFFERED)
        silent = with_lines(SERVER, GRANTED[0], ApplicationLine(0))
        ours.settle(answer_offer(parse_sdp(offer), silent).body)
        again = ours.offer()
        assert ports_of(again) == [9, 0]
        assert applications_in(again)[0].value("connection") == "existing"
        ours.close()


async def test_an_adopted_call_has_lost_its_channels_and_says_so():
    async with pooling() as pool:
        ours, heir = session(pool), session(pool)
        offer = ours.offer(applications=OFFERED)
        ours.settle(answer_offer(parse_sdp(offer), with_lines(SERVER, *GRANTED)).body)
        heir.resume(ours.snapshot())
        assert ports_of(heir.offer()) == [0, 0]
        ours.close()
        heir.close()

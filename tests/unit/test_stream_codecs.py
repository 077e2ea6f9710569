"""The messages of Twilio Media Streams and of AudioSocket, and what is wrong with some."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.speech.stream import audiosocket, twilio
from ringwheel.robot.speech.stream.twilio import Answer, Clear, Mark, Media, TwilioStream


@pytest.fixture
def stream() -> TwilioStream:
    return TwilioStream("call-1", {"name": "Ada", "quote": '"\\'})


def test_a_stream_as_its_peer_sees_it(stream):
    """Every message has the fields of the published format, numbered from 1."""
    messages = [
        json.loads(text)
        for text in (
            stream.connected(),
            stream.start(),
            stream.media(b"\xff\x00" * 80, 0),
            stream.media(b"\x7f" * 160, 20),
            stream.dtmf("#"),
            stream.mark('said "it"'),
            stream.stop(),
        )
    ]
    assert messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert [m["sequenceNumber"] for m in messages[1:]] == ["1", "2", "3", "4", "5", "6"]
    assert {m["streamSid"] for m in messages[1:]} == {stream.stream_sid}
    start = messages[1]["start"]
    assert start["streamSid"] == stream.stream_sid
    assert start["callSid"] == "call-1"
    assert start["tracks"] == ["inbound"]
    assert start["customParameters"] == {"name": "Ada", "quote": '"\\'}
    assert start["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    media = messages[3]["media"]
    assert (media["track"], media["chunk"], media["timestamp"]) == ("inbound", "2", "20")
    assert base64.b64decode(media["payload"]) == b"\x7f" * 160
    assert messages[4]["dtmf"] == {"track": "inbound_track", "digit": "#"}
    assert messages[5]["mark"] == {"name": 'said "it"'}
    assert messages[6]["stop"]["callSid"] == "call-1"


def said(stream: TwilioStream, event: str, content: object = None, **others: object) -> str:
    body = {} if content is None else {event: content}
    return json.dumps({"event": event, "streamSid": stream.stream_sid} | body | others)


def test_what_a_peer_may_say(stream):
    payload = base64.b64encode(b"\x01\x02\x03").decode()
    assert stream.read(said(stream, "media", {"payload": payload})) == Media(b"\x01\x02\x03")
    assert stream.read(said(stream, "mark", {"name": ""})) == Mark("")
    assert stream.read(said(stream, "clear")) == Clear()
    assert stream.read('{"event":"clear"}') == Clear()
    told = stream.read(said(stream, "answer", {"text": "two", "value": [2], "confidence": 0.5}))
    assert told == Answer("two", [2], 0.5, match=True)
    assert stream.read(said(stream, "answer", {"match": False})) == Answer("", None, 1.0, False)


@pytest.mark.parametrize(
    ("event", "content", "others", "reason"),
    [
        ("media", {"payload": "not base64"}, {}, "bad_sound"),
        ("media", {"payload": "AAA"}, {}, "bad_sound"),
        ("media", {"payload": 7}, {}, "bad_sound"),
        ("media", {"payload": "ÄÄÄÄ"}, {}, "bad_sound"),
        ("media", [], {}, "bad_sound"),
        ("media", None, {}, "bad_sound"),
        ("mark", {}, {}, "bad_mark"),
        ("mark", {"name": "x" * 257}, {}, "bad_mark"),
        ("clear", None, {"streamSid": "MZ00"}, "wrong_stream"),
        ("clear", None, {"streamSid": None}, "wrong_stream"),
        ("dance", {}, {}, "unknown_event"),
        ("answer", {"confidence": float("nan")}, {}, "not_json"),
        ("answer", {"value": [float("inf")]}, {}, "not_json"),
        ("answer", {"text": "\ud83d"}, {}, "bad_answer"),
        ("answer", {"value": {"half": "\ude00"}}, {}, "bad_answer"),
        ("answer", {"confidence": True}, {}, "bad_answer"),
        ("answer", {"text": "x" * 5000}, {}, "bad_answer"),
        ("answer", {"value": ["x" * 5000]}, {}, "bad_answer"),
    ],
)
def test_what_a_peer_may_not_say(stream, event, content, others, reason):
    assert stream.read(said(stream, event, content, **others)) == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x01\x02", "binary"),
        ("", "not_json"),
        ("{", "not_json"),
        ("[]", "not_an_event"),
        ("null", "not_an_event"),
        ('{"event":3}', "not_an_event"),
        ("[" * 200_000, "not_json"),
        ('{"event":' + "1" * 10_000 + "}", "not_json"),
        ('"' + "x" * (1 << 20) + '"', "too_long"),
    ],
)
def test_what_is_no_message(stream, message, reason):
    assert stream.read(message) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["event", "media", "mark", "payload", "name", "answer"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({"event": st.sampled_from(["media", "mark", "answer"])}))
def test_no_message_raises(value):
    assert TwilioStream("c", {}).read(json.dumps(value)) is not None


MESSAGES = (
    st.builds(
        audiosocket.Sound,
        st.sampled_from(audiosocket.RATES_HZ),
        st.binary(max_size=40).map(lambda pcm: pcm[: len(pcm) // 2 * 2]),
    )
    | st.builds(audiosocket.Digit, st.sampled_from("0123456789*#ABCD"))
    | st.builds(audiosocket.Identity, st.uuids())
    | st.builds(audiosocket.Error, st.binary(max_size=3))
    | st.just(audiosocket.Terminate())
)


@given(st.lists(MESSAGES, max_size=8), st.integers(1, 9))
def test_audiosocket_messages_come_out_as_they_went_in_however_they_are_cut(messages, cut):
    wire = b"".join(map(audiosocket.encode, messages))
    reader = audiosocket.Reader()
    found = [m for at in range(0, len(wire), cut) for m in reader.feed(wire[at : at + cut])]
    assert found == messages
    assert not reader.within


def test_audiosocket_on_the_wire():
    """By the description, byte for byte."""
    name = uuid.UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
    assert audiosocket.encode(audiosocket.Terminate()) == b"\x00\x00\x00"
    assert audiosocket.encode(audiosocket.Identity(name)) == b"\x01\x00\x10" + name.bytes
    assert audiosocket.encode(audiosocket.Digit("5")) == b"\x03\x00\x015"
    sound = audiosocket.encode(audiosocket.Sound(8000, b"\x01\x00" * 160))
    assert sound == b"\x10\x01\x40" + b"\x01\x00" * 160
    assert audiosocket.encode(audiosocket.Sound(192_000, b""))[:1] == b"\x18"
    with pytest.raises(ValueError, match="11025"):
        audiosocket.encode(audiosocket.Sound(11_025, b""))


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x10\x00\x01\x00", "bad_sound"),
        (b"\x01\x00\x01\x00", "bad_uuid"),
        (b"\x03\x00\x02\x31\x31", "bad_digit"),
        (b"\x03\x00\x01E", "bad_digit"),
        (b"\x42\x00\x02ab", "unknown_type"),
    ],
)
def test_audiosocket_messages_that_are_wrong(wire, reason):
    assert audiosocket.Reader().feed(wire + b"\x00\x00\x00") == [reason, audiosocket.Terminate()]


@given(st.binary(max_size=300))
def test_no_bytes_raise(data):
    audiosocket.Reader().feed(data)
    assert isinstance(twilio.TwilioStream("c", {}).read(data.decode("latin-1")), twilio.Reject)

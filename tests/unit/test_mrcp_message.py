"""MRCPv2 messages: any cut of a stream reads the same, what is written is read back, and whatever
else comes is told by a reason."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.speech.mrcp import message as mrcp
from ringwheel.robot.speech.mrcp.message import (
    Broken,
    ChannelId,
    Event,
    Fault,
    Framer,
    Headers,
    Rejected,
    Request,
    Response,
)
from ringwheel.robot.speech.mrcp.words import (
    EventName,
    Header,
    Method,
    RecognizeCause,
    RecordCause,
    RequestState,
    Resource,
    SpeakCause,
    Status,
    cause_of,
    cause_text,
    headers_of,
    methods_of,
    status_text,
)

MUTATED_STREAMS = 5_000


def frames_of(chunks, **options):
    framer = Framer(**options)
    frames = []
    for chunk in chunks:
        framer.feed(chunk)
        while (frame := framer.next()) is not None:
            frames.append(frame)
    return frames


def cut(stream, places):
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(ends)]


def raw(rest, head="", body=b"", length=None, version="MRCP/2.0"):
    """A message as a careless peer writes it."""
    tail = f" {rest}\r\n{head}\r\n".encode() + body
    size = len(version) + 1 + len(tail)
    size += len(str(size + 3))
    return f"{version} {length or size}".encode() + tail


values = st.text(
    st.characters(exclude_categories=("Cs", "Cc")).filter(lambda c: not c.isspace()) | st.just(" "),
    max_size=30,
).map(str.strip)
names = st.sampled_from([*Header, "x-own", "Logging-Tag"]).filter(
    lambda name: name != Header.CONTENT_LENGTH
)
headers = st.lists(st.tuples(names, values), max_size=5).map(Headers)
bodies = st.binary(max_size=60)
ids = st.integers(0, 2**32 - 1)
states = st.sampled_from(RequestState)
methods = st.sampled_from([*Method, "X-OTHER"])
messages = st.one_of(
    st.builds(Request, ids, headers=headers, body=bodies, method=methods),
    st.builds(
        Response, ids, headers=headers, body=bodies, status=st.integers(100, 999), state=states
    ),
    st.builds(
        Event, ids, headers=headers, body=bodies, name=st.sampled_from([*EventName]), state=states
    ),
)


@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 1_500), max_size=40))
def test_what_is_written_is_read_back_however_it_is_cut(sent, places):
    stream = b"".join(message.to_bytes() for message in sent)
    assert frames_of(cut(stream, places)) == sent


pieces = st.one_of(
    messages.map(lambda message: message.to_bytes()),
    st.sampled_from(
        [
            b"\r\n",
            b"\r",
            b"MRCP/2.0 ",
            b"MRCP/1.0 SPEAK 12\r\n\r\n",
            b"MRCP/2.0 30 SPEAK 12\r\n",
            raw("SPEAK 12", "Content-Length: 9\r\n", b"short"),
            raw("SPEAK 12", "no colon\r\n"),
            raw("SPEAK 99999999999"),
            raw("12 200 DONE"),
            raw("SPEAK 12", version="MRCP/3.1"),
            raw("SPEAK 12", length=10),
            b"MRCP/2.0 99999999999 SPEAK 12\r\n\r\n",
            b"x" * 600,
        ]
    ),
)


@given(st.lists(pieces, max_size=8), st.lists(st.integers(0, 2_000), max_size=40))
def test_any_cut_of_whatever_comes_reads_the_same(stream, places):
    whole = b"".join(stream)
    assert frames_of(cut(whole, places)) == frames_of([whole])


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_raise_nothing(data):
    frames_of([data])
    mrcp.parse(data)


def test_mutated_messages_are_messages_or_reasons():
    source = random.Random(11)
    seed = Request(
        7, method="SPEAK", headers=Headers([("Channel-Identifier", "a@speechsynth")]), body=b"hello"
    ).to_bytes()
    faults = set()
    for _ in range(MUTATED_STREAMS):
        data = bytearray(seed * 2)
        for _ in range(source.randrange(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        faults |= {getattr(frame, "fault", None) for frame in frames_of([bytes(data)])}
    # Otherwise nothing was shown.
    assert {None, Fault.NO_MRCP, Fault.VERSION, Fault.HEADER_NAME, Fault.START_LINE} <= faults


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Broken(Fault.NO_MRCP)),
        (b"MRCP/2.0 x SPEAK 1\r\n\r\n", Broken(Fault.NO_MRCP)),
        (b"MRCP/2.0 " + b"1" * 600, Broken(Fault.START_LINE_TOO_LONG)),
        (raw("SPEAK 12", length=8), Broken(Fault.BAD_LENGTH, 12)),
        (raw("SPEAK 12", length=2_000_000), Broken(Fault.MESSAGE_TOO_LONG, 12)),
        (raw("12 200 COMPLETE", length=2_000_000), Broken(Fault.MESSAGE_TOO_LONG)),
        (raw("SPEAK 12", version="MRCP/2.1"), Rejected(Fault.VERSION, 12)),
        (raw("SPEAK"), Rejected(Fault.START_LINE)),
        (raw("12 20 COMPLETE"), Rejected(Fault.START_LINE)),
        (raw("12 200"), Rejected(Fault.START_LINE)),
        (raw("SPEAK 4294967296"), Rejected(Fault.REQUEST_ID)),
        (raw("12 200 FINE"), Rejected(Fault.STATE, 12)),
        (raw("START-OF-INPUT 12 FINE"), Rejected(Fault.STATE, 12)),
        (raw("SPEAK 12", "A: 1\r\n")[:-2] + b"xx", Rejected(Fault.HEAD_END, 12)),
        (raw("SPEAK 12", "A: 1\r\n" * 129), Rejected(Fault.HEADER_COUNT, 12)),
        (raw("SPEAK 12", f"A: {'1' * 9_000}\r\n"), Rejected(Fault.LINE_TOO_LONG, 12)),
        (raw("SPEAK 12", f"A: {'1' * 400}\r\n" * 100), Rejected(Fault.HEAD_TOO_LONG, 12)),
        (raw("SPEAK 12", ": 1\r\n"), Rejected(Fault.HEADER_NAME, 12)),
        (raw("SPEAK 12", "A B: 1\r\n"), Rejected(Fault.HEADER_NAME, 12)),
        (raw("SPEAK 12", "A: 1\0\r\n"), Rejected(Fault.HEADER_VALUE, 12)),
        (raw("SPEAK 12", "A: 1\nB: 2\r\n"), Rejected(Fault.HEADER_VALUE, 12)),
        (raw("SPEAK 12", "", b"body"), Rejected(Fault.CONTENT_LENGTH, 12)),
        (raw("SPEAK 12", "Content-Length: 5\r\n", b"body"), Rejected(Fault.CONTENT_LENGTH, 12)),
        (raw("SPEAK 12", "Content-Length: 3\r\n", b"body"), Rejected(Fault.CONTENT_LENGTH, 12)),
        (raw("SPEAK 12", "Content-Length: -4\r\n", b"body"), Rejected(Fault.CONTENT_LENGTH, 12)),
        (
            raw("SPEAK 12", "Content-Length: 4\r\nContent-Length: 5\r\n", b"body"),
            Rejected(Fault.CONTENT_LENGTH, 12),
        ),
    ],
)
def test_what_is_no_message_is_told_by_a_reason(data, expected):
    assert frames_of([data])[:1] == [expected]


def test_a_message_that_is_rejected_does_not_hide_the_next():
    good = Request(2, method="STOP").to_bytes()
    stream = raw("SPEAK 1", "", b"body") + good
    assert frames_of([stream]) == [Rejected(Fault.CONTENT_LENGTH, 1), Request(2, method="STOP")]


def test_nothing_follows_the_end_of_a_stream():
    good = Request(2, method="STOP").to_bytes()
    assert frames_of([b"garbage\r\n", good]) == [Broken(Fault.NO_MRCP)]


def test_an_endless_message_is_not_kept():
    framer = Framer(max_message_bytes=1_000)
    framer.feed(b"MRCP/2.0 900 SPEAK 1\r\n" + b"x" * 700)
    assert framer.next() is None
    framer.feed(b"x" * 10_000)
    assert isinstance(framer.next(), Rejected)
    assert isinstance(framer.next(), Broken)
    assert framer.buffered == 0


def test_folded_lines_are_one_value():
    (message,) = frames_of([raw("SPEAK 12", "Logging-Tag: one\r\n\ttwo\r\n  three\r\nA:b\r\n")])
    assert message.headers.get("logging-tag") == "one two three"
    assert message.headers.get("A") == "b"


def test_names_are_found_in_any_case_and_written_as_usual():
    (message,) = frames_of([raw("SPEAK 12", "channel-IDENTIFIER : 32AEC@SpeechSynth\r\n")])
    assert message.channel == ChannelId("32AEC", "speechsynth")
    assert b"\r\nChannel-Identifier: 32AEC@SpeechSynth\r\n" in message.to_bytes()


@pytest.mark.parametrize(
    ("size", "digits"), [(1, 2), (60, 2), (61, 3), (70, 3), (950, 3), (980, 4)]
)
def test_the_length_counts_its_own_digits(size, digits):
    for extra in range(12):
        data = Request(1, method="SPEAK", body=b"x" * (size + extra)).to_bytes()
        assert int(data.split(b" ")[1]) == len(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [("A", "1\r\nB: 2"), ("A", "\0"), ("A B", "1"), ("", "1"), ("A", "x" * 9_000)],
)
def test_headers_that_cannot_be_sent_are_refused(name, value):
    with pytest.raises(ValueError):
        Headers([(name, value)])


def test_start_lines_that_cannot_be_sent_are_refused():
    for message in (
        Request(1, method="SPEAK 1\r\n"),
        Request(2**32, method="SPEAK"),
        Event(-1, name="SPEAK-COMPLETE", state=RequestState.COMPLETE),
    ):
        with pytest.raises(ValueError):
            message.to_bytes()


@pytest.mark.parametrize("text", ["", "a", "@b", "a@", "a b@c", "a@b@c", "x" * 200 + "@recorder"])
def test_a_channel_identifier_that_is_none(text):
    assert ChannelId.parse(text) is None


parameter_names = st.from_regex(r"[A-Za-z.]{1,10}", fullmatch=True)


@given(st.lists(st.tuples(parameter_names, values), max_size=6))
def test_parameters_are_read_back(pairs):
    assert mrcp.parameters_of(mrcp.parameters_text(pairs)) == pairs


@pytest.mark.parametrize("value", ["a", "=1", 'a="x', 'a="x"y', "a=1;;b=2", "a=1" * 1_000 + ";x"])
def test_parameters_that_cannot_be_read(value):
    assert mrcp.parameters_of(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1, 2,3", (1, 2, 3)), ("", ()), (None, ()), ("x, 7, -1", (7,)), ("1," * 9_999, (1,) * 200)],
)
def test_request_id_lists_are_read_as_far_as_they_go(value, expected):
    assert mrcp.request_ids(value) == expected


@pytest.mark.parametrize("causes", [SpeakCause, RecognizeCause, RecordCause])
def test_causes_go_by_their_number(causes):
    for cause in causes:
        assert cause_of(cause_text(cause), causes) is cause
        assert cause_of(f"{cause:03d} in other words", causes) is cause
    for value in (None, "", "0", "99 x", "099 unknown", "normal", "٠٠١ x"):
        assert cause_of(value, causes) is None


def test_every_status_has_words():
    assert all(status_text(status) for status in Status)
    assert status_text(499) == "unknown status"


def test_each_resource_knows_its_methods_and_headers():
    for resource in Resource:
        assert {Method.SET_PARAMS, Method.GET_PARAMS, Method.STOP} <= methods_of(resource)
        assert {Header.CHANNEL_IDENTIFIER, Header.COMPLETION_CAUSE} <= headers_of(resource)
    assert Method.SPEAK not in methods_of(Resource.DTMFRECOG)
    assert Method.RECOGNIZE not in methods_of(Resource.RECORDER)
    assert Header.VOICE_NAME not in headers_of(Resource.SPEECHRECOG)
    assert Header.SPEECH_LANGUAGE not in headers_of(Resource.RECORDER)
    assert Header.EARLY_NO_MATCH not in headers_of(Resource.RECORDER)

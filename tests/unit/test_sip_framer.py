"""Messages out of a stream: any cut gives the same ones, and whatever comes is bounded."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.sip.framer import (
    MAX_HEAD_BYTES,
    MAX_MESSAGE_BYTES,
    Broken,
    FrameFault,
    Framer,
    Signal,
)

MUTATED_CHUNKS = 100_000


def message(body=b"", length_line=None):
    line = f"Content-Length: {len(body)}".encode() if length_line is None else length_line
    return b"OPTIONS sip:u@h SIP/2.0\r\nCall-ID: 1\r\n" + line + b"\r\n\r\n" + body


def frames_of(chunks, *, initiator=False):
    framer = Framer(initiator=initiator)
    frames = []
    for chunk in chunks:
        framer.feed(chunk)
        while (frame := framer.next()) is not None:
            frames.append(frame)
    return frames


def cut(stream, places):
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(ends)]


bodies = st.binary(max_size=40).map(message)
pieces = st.one_of(
    bodies,
    st.sampled_from(
        [
            b"\r\n",
            b"\r\n\r\n",
            b"\r",
            b"\n",
            b"\x16\x03\x01",
            message(b"x" * 9, b"l :\r\n 9"),
            message(b"", b"Subject: none"),
            message(b"ab", b"Content-Length: two"),
            message(b"", b"Content-Length: 70000"),
            message(b"ab", b"Content-Length: 2\r\nContent-Length: 3"),
            b"INVITE sip:x",
        ]
    ),
)


@given(st.lists(pieces, max_size=8), st.lists(st.integers(0, 900), max_size=30), st.booleans())
def test_any_cut_gives_the_same_frames(stream, places, initiator):
    whole = b"".join(stream)
    assert frames_of(cut(whole, places), initiator=initiator) == frames_of(
        [whole], initiator=initiator
    )


@given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(0, 900), max_size=30))
def test_joined_messages_come_out_as_they_went_in(contents, places):
    messages = [message(body) for body in contents]
    assert frames_of(cut(b"".join(messages), places)) == messages


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b"l: 3", b"abc"),
        (b"CONTENT-LENGTH   :\t 3  ", b"abc"),
        (b"Content-Length:\r\n 3", b"abc"),
        (b"Content-Length: 3\r\nl: 3", b"abc"),
        (b"X: Content-Length: 9\r\nl: 0", b""),
    ],
)
def test_the_length_is_found_in_every_form(line, body):
    one = message(body, line)
    assert frames_of([one + message()]) == [one, message()]


@pytest.mark.parametrize(
    ("stream", "fault", "status"),
    [
        (message(b"", b"Subject: none"), FrameFault.NO_LENGTH, 400),
        (message(b"", b"Content-Length: -1"), FrameFault.BAD_LENGTH, 400),
        (message(b"", b"Content-Length:"), FrameFault.BAD_LENGTH, 400),
        (message(b"", b"l: 2\r\nContent-Length: 3"), FrameFault.BAD_LENGTH, 400),
        (message(b"", b"l: 65535"), FrameFault.MESSAGE_TOO_LONG, 513),
        (b"\x16\x03\x01\x02\x00", FrameFault.NO_SIP, 400),
        (b"\r\r", FrameFault.NO_SIP, 400),
        (b"A" * (MAX_HEAD_BYTES + 1), FrameFault.HEAD_TOO_LONG, 400),
    ],
)
def test_a_stream_that_cannot_be_read_on_says_why_and_ends(stream, fault, status):
    *before, broken = frames_of([message(b"abc"), stream, message()])
    assert before == [message(b"abc")]
    assert (broken.fault, broken.status) == (fault, status)
    assert broken.head in (b"", stream)


def test_keep_alives_of_each_side():
    assert frames_of([b"\r\n\r\n\r\n", b"\r\n"]) == [Signal.PING, Signal.PING]
    assert frames_of([b"\r\n", message()]) == [message()]
    assert frames_of([b"\r\n\r", b"\n" + message()], initiator=True) == [
        Signal.PONG,
        Signal.PONG,
        message(),
    ]


def test_an_empty_line_is_no_message_that_has_begun():
    framer = Framer(initiator=False)
    for data, within in ((b"\r\n", False), (b"OPT", True), (message()[3:], False)):
        framer.feed(data)
        while framer.next() is not None:
            pass
        assert framer.within_message is within


def test_mutated_chunks_never_raise_and_stay_bounded():
    source = random.Random(5)
    good = [message(b"b" * size) for size in (0, 1, 200, 3_000)]
    good += [message(b"", b"l: 65500"), b"\r\n\r\n", b"\r\n"]
    framer, seen = Framer(initiator=False), set()
    for _ in range(MUTATED_CHUNKS):
        chunk = bytearray(source.choice(good))
        for _ in range(source.randrange(3)):
            chunk[source.randrange(len(chunk))] = source.choice(b"\r\n\x00:;l0123456789\xff A")
        start = source.randrange(len(chunk)) if source.random() < 0.1 else 0
        framer.feed(bytes(chunk[start:]))
        while (frame := framer.next()) is not None:
            assert not isinstance(frame, bytes) or len(frame) <= MAX_MESSAGE_BYTES
            seen.add(frame.fault if isinstance(frame, Broken) else type(frame))
            if isinstance(frame, Broken):
                framer = Framer(initiator=source.random() < 0.5)
        assert framer.buffered <= MAX_MESSAGE_BYTES
    assert {bytes, Signal, *FrameFault} - {FrameFault.HEAD_TOO_LONG} <= seen

"""Bodies of several parts (RFC 2046, RFC 5621): the description of the session is found among them,
whatever stands beside it, and nothing a peer sends does more than not be understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.sip.message import parse
from ringwheel.media.sip.multipart import MAX_PARTS, Part, parameter, parts_of, session_of, unwrap

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
ISUP = b"\x01\x00\x49\x00\r\n--\r\n\x0a"
SESSION = [("Content-Type", "application/sdp")]
OPTIONAL = [
    ("Content-Type", "application/ISUP;version=nxv3"),
    ("Content-Disposition", "signal;handling=optional"),
]
REQUIRED = [("Content-Type", "x/y"), ("Content-Disposition", 'signal; Handling="required"')]

CONTENTS = st.binary(max_size=60).filter(lambda content: b"--b" not in content)
VALUES = st.text("abc/;=- ", max_size=12).map(str.strip)
FIELDS = st.dictionaries(st.sampled_from(["content-type", "x-one", "x-two"]), VALUES, max_size=3)


def written(parts: list[tuple[list[tuple[str, str]], bytes]], boundary: str = "b") -> bytes:
    """A body as RFC 2046 has it."""
    pieces = [
        "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n" + content
        for fields, content in parts
    ]
    line = f"--{boundary}".encode()
    return b"".join(line + b"\r\n" + piece + b"\r\n" for piece in pieces) + line + b"--\r\n"


def invite(content_type: str, body: bytes):
    return parse(
        b"INVITE sip:u@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n"
        b"To: <sip:u@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n"
        b"Max-Forwards: 70\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
        % (content_type.encode(), len(body), body)
    )


@pytest.mark.parametrize(
    "content_type",
    ["multipart/mixed;boundary=b", 'Multipart/Mixed; x="a;\\"boundary=z"; BOUNDARY = "b"',
     "multipart/related;boundary=b;type=a"],
)  # fmt: skip
@pytest.mark.parametrize(
    "parts",
    [
        [(SESSION, SDP)],
        [(SESSION, SDP), (OPTIONAL, ISUP)],
        [(OPTIONAL, ISUP), ([], b"note"), (SESSION, SDP), (SESSION, b"v=0 another")],
        [([("Content-Type", "application/SDP;x=1"), ("content-disposition", "Session")], SDP)],
        [([("Content-Type", "application/\r\n sdp")], SDP)],
        [([*SESSION, ("Content-Disposition", "early-session;handling=optional")], b"v=0 early"),
         (SESSION, SDP)],
    ],
)  # fmt: skip
def test_a_message_says_what_its_description_does(content_type, parts):
    for surrounded in (written(parts), b"preamble\r\n" + written(parts) + b"epilogue"):
        message = invite(content_type, surrounded)
        unwrap(message)
        assert message.body == SDP
        assert message.headers.all("Content-Type") == ["application/sdp"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/mixed;boundary=b", written([(OPTIONAL, ISUP)])),
        ("multipart/mixed;boundary=b", written([(SESSION, SDP), (REQUIRED, ISUP)])),
        ("multipart/mixed;boundary=b", written([(SESSION, SDP)])[:-6]),
        ("multipart/mixed;boundary=c", written([(SESSION, SDP)])),
        ("multipart/mixed", written([(SESSION, SDP)])),
        ("multipart/mixed;boundary=b", written([(SESSION, SDP)] * (MAX_PARTS + 1))),
        ("multipart/mixed;boundary=b",
         written([([*SESSION, ("Content-Transfer-Encoding", "base64")], b"dj0w")])),
        ("multipart/mixed;boundary=b",
         written([([*SESSION, ("Content-Encoding", "gzip")], b"\x1f\x8b")])),
        ("multipart/mixed;boundary=b", written([(SESSION, b"")])),
        ("multipart/mixed;boundary=b", b"--b\r\nContent-Type: application/sdp\r\n--b--"),
        (f"multipart/mixed;boundary={'b' * 71}", written([(SESSION, SDP)], "b" * 71)),
        ("application/sdp", written([(SESSION, SDP)])),
    ],
)  # fmt: skip
def test_what_is_not_understood_stays_as_it_is(content_type, body):
    message = invite(content_type, body)
    unwrap(message)
    assert (message.body, message.headers.get("Content-Type")) == (body, content_type)


@given(st.lists(st.tuples(FIELDS, CONTENTS), max_size=MAX_PARTS))
def test_parts_are_read_as_they_were_written(parts):
    body = written([(list(fields.items()), content) for fields, content in parts])
    assert parts_of(body, "b") == [Part(fields, content) for fields, content in parts]


@given(
    st.lists(
        st.sampled_from([b"--b", b"--", b"\r\n", b"\n", b":", b"x", b" ", b"content-type"])
        | st.binary(max_size=5),
        max_size=40,
    ),
    st.sampled_from(["b", "", "-", "b--", "\u00fc"]),
)
def test_anything_is_read_to_an_end(pieces, boundary):
    body = b"".join(pieces)
    parts = parts_of(body, boundary)
    assert sum(len(part.content) for part in parts) <= len(body)
    assert session_of(parts) is None or b"--b" in body


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a/b;boundary=x", "x"),
        ('a/b; boundary="x y\\"z"', 'x y"z'),
        ('a/b; q="boundary=y"; Boundary=x', "x"),
        ("a/b;boundary=", ""),
        ("a/b;boundaryx=1", None),
        ("boundary=x", None),
    ],
)
def test_parameters(value, found):
    assert parameter(value, "boundary") == found

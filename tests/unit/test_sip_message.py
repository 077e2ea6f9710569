"""SIP messages: parse, build, answer; and what neither lets through."""

import copy
import enum
import gc
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media import _core
from ringwheel.media.sip.message import (
    REASON_PHRASES,
    Headers,
    Request,
    Response,
    SipParseError,
    SipReject,
    canonical_header_name,
    parse,
    response_bytes,
    stamp_via,
)

INVITE = (
    b"INVITE sip:robot@192.0.2.10 SIP/2.0\r\n"
    b"v: SIP/2.0/UDP Phone.example.com:5070;rport;branch=z9hG4bKtop, SIP/2.0/UDP 192.0.2.9\r\n"
    b"Via: SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKlow\r\n"
    b"Record-Route: <sip:p1.example.com;lr>\r\n"
    b"Record-Route: <sip:p2.example.com;lr>\r\n"
    b'f: "Alice, the \\"first\\"" <sip:alice@example.com>;tag=a1\r\n'
    b"t: <sip:robot@example.com>\r\n"
    b"i: call@example.com\r\n"
    b"CSeq: 17 INVITE\r\n"
    b"m: <sip:alice@phone.example.com:5070>\r\n"
    b"Timestamp: 54.2\r\n"
    b"x-Account: 12\r\n"
    b"SUBJECT: one\r\n two\r\n\t three\r\n"
    b"l: 4\r\n"
    b"\r\n"
    b"bodytail"
)


def replaced(old: bytes, new: bytes) -> bytes:
    assert old in INVITE
    return INVITE.replace(old, new)


def test_parse_fills_every_field():
    assert parse(INVITE) == Request(
        Headers(
            [
                (
                    "Via",
                    "SIP/2.0/UDP Phone.example.com:5070;rport;branch=z9hG4bKtop, "
                    "SIP/2.0/UDP 192.0.2.9",
                ),
                ("Via", "SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKlow"),
                ("Record-Route", "<sip:p1.example.com;lr>"),
                ("Record-Route", "<sip:p2.example.com;lr>"),
                ("From", '"Alice, the \\"first\\"" <sip:alice@example.com>;tag=a1'),
                ("To", "<sip:robot@example.com>"),
                ("Call-ID", "call@example.com"),
                ("CSeq", "17 INVITE"),
                ("Contact", "<sip:alice@phone.example.com:5070>"),
                ("Timestamp", "54.2"),
                ("x-Account", "12"),
                ("Subject", "one two three"),
                ("Content-Length", "4"),
            ]
        ),
        method="INVITE",
        uri="sip:robot@192.0.2.10",
        body=b"body",
        call_id="call@example.com",
        cseq=17,
        cseq_method="INVITE",
        from_tag="a1",
        to_tag=None,
        branch="z9hG4bKtop",
        sent_by="phone.example.com:5070",
    )


@pytest.mark.parametrize(
    ("via", "sent_by"),
    [
        (b"SIP/2.0/UDP host", "host:5060"),
        (b"SIP/2.0/TLS host", "host:5061"),
        (b"SIP/2.0/UDP [2001:DB8::1]", "[2001:db8::1]:5060"),
        (b"SIP/2.0/UDP [2001:db8::1]:5062", "[2001:db8::1]:5062"),
    ],
)
def test_sent_by_has_its_default_port(via, sent_by):
    data = replaced(b"SIP/2.0/UDP Phone.example.com:5070;rport;branch=z9hG4bKtop", via)
    assert parse(data).sent_by == sent_by


def test_unknown_headers_are_found_in_any_case():
    headers = parse(INVITE).headers
    assert headers.get("X-Account") == headers.get("x-account") == "12"
    assert headers.all("X-ACCOUNT") == ["12"]
    assert "X-Account" in headers
    assert "X-Other" not in headers
    headers.set("X-Account", "13")
    assert headers.all("x-account") == ["13"]


def test_of_a_header_that_must_stand_alone_another_one_is_as_bad_as_none():
    headers = Headers([("Via", "a"), ("To", "b"), ("Route", "c"), ("Route", "d")])
    assert headers.only("Via") == "a"
    assert headers.only("From") is None
    assert headers.only("Route") is None


def test_reject_names_are_those_of_the_scanner():
    assert tuple(reject.name.lower() for reject in SipReject) == _core.SIP_REJECT_NAMES
    assert [reject.value for reject in SipReject] == list(range(len(_core.SIP_REJECT_NAMES)))


def test_canonical_names():
    assert canonical_header_name("v") == canonical_header_name("VIA") == "Via"
    assert canonical_header_name("call-id") == "Call-ID"
    assert canonical_header_name("X-thing") == "X-thing"


def test_bytes_that_are_no_utf8_leave_as_they_came():
    message = parse(replaced(b"12\r\n", b"\xff\xfe\xc3\xa9\r\n"))
    assert b"x-Account: \xff\xfe\xc3\xa9\r\n" in message.to_bytes()


def test_a_refused_request_can_be_answered_from_what_was_found():
    with pytest.raises(SipParseError) as caught:
        parse(replaced(b"CSeq: 17 INVITE", b"CSeq: 17 BYE"))
    error = caught.value
    assert (error.reason, error.status) == (SipReject.CSEQ_METHOD, 400)
    wire = response_bytes(error.partial, error.status, to_tag="r1")
    assert wire == (
        b"SIP/2.0 400 Bad Request\r\n"
        b"Via: SIP/2.0/UDP Phone.example.com:5070;rport;branch=z9hG4bKtop, "
        b"SIP/2.0/UDP 192.0.2.9\r\n"
        b"Via: SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKlow\r\n"
        b'From: "Alice, the \\"first\\"" <sip:alice@example.com>;tag=a1\r\n'
        b"To: <sip:robot@example.com>;tag=r1\r\n"
        b"Call-ID: call@example.com\r\n"
        b"CSeq: 17 BYE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0" * 100, b"SIP/2.0 200 OK\r\n\r\n"])
def test_what_cannot_be_answered_is_dropped(data):
    with pytest.raises(SipParseError) as caught:
        parse(data)
    assert caught.value.status is None
    assert caught.value.partial is None


@given(st.binary(max_size=300))
def test_noise_is_refused_by_the_one_error(data):
    with pytest.raises(SipParseError):
        parse(data)


def test_response_copies_what_rfc_3261_says():
    request = parse(INVITE)
    ringing = parse(response_bytes(request, 180, to_tag="r1"))
    assert [name for name, _ in ringing.headers] == [
        *["Via"] * 2,
        *["Record-Route"] * 2,
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Content-Length",
    ]
    assert ringing.headers.get("To") == "<sip:robot@example.com>;tag=r1"
    assert (ringing.to_tag, ringing.branch, ringing.cseq) == ("r1", "z9hG4bKtop", 17)
    busy = parse(response_bytes(request, 486, to_tag="r1"))
    assert "Record-Route" not in busy.headers
    assert busy.start_line() == "SIP/2.0 486 Busy Here"


def test_trying_has_the_timestamp_and_no_tag():
    trying = parse(response_bytes(parse(INVITE), 100, to_tag="r1"))
    assert trying.headers.get("Timestamp") == "54.2"
    assert trying.headers.get("To") == "<sip:robot@example.com>"
    assert trying.to_tag is None


def test_response_keeps_the_tag_of_the_dialog():
    request = parse(replaced(b"t: <sip:robot@example.com>", b"t: <sip:robot@example.com>;tag=old"))
    response = parse(response_bytes(request, 200, to_tag="new"))
    assert response.headers.get("To") == "<sip:robot@example.com>;tag=old"
    assert response.to_tag == "old"
    assert "Record-Route" not in response.headers


def test_response_with_headers_and_body_reads_back():
    wire = response_bytes(
        parse(INVITE),
        200,
        "Fine",
        [("Contact", "<sip:r@192.0.2.10>"), ("Content-Type", "application/sdp")],
        b"v=0\r\n",
        to_tag="r1",
    )
    made = parse(wire)
    assert (made.status, made.reason, made.body) == (200, "Fine", b"v=0\r\n")
    assert list(made.headers)[-3:] == [
        ("Contact", "<sip:r@192.0.2.10>"),
        ("Content-Type", "application/sdp"),
        ("Content-Length", "5"),
    ]
    assert made.to_bytes() == wire


def test_a_message_may_be_as_large_as_it_likes():
    lines = [(f"X-{at}", "\u00e4" * at) for at in range(200)]
    answer = parse(response_bytes(parse(INVITE), 200, headers=lines, body=b"b" * 9_000))
    assert list(answer.headers)[-201:-1] == lines
    assert answer.body == b"b" * 9_000


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "\r\n"])
def test_line_breaks_are_refused_when_building(value):
    request = parse(INVITE)
    with pytest.raises(ValueError, match="line break"):
        Headers([("Subject", value)])
    with pytest.raises(ValueError, match="line break"):
        request.headers.set("Subject", value)
    with pytest.raises(ValueError, match="line break"):
        request.headers.replace_first("Via", value)
    for words in (
        {"headers": [("Subject", value)]},
        {"reason": value},
        {"to_tag": value},
    ):
        with pytest.raises(ValueError, match="line break"):
            response_bytes(request, 200, **words)
    for injected in (
        Request(request.headers, method="INVITE", uri=value),
        Request(request.headers, method=value, uri="sip:robot@192.0.2.10"),
    ):
        with pytest.raises(ValueError, match="line break"):
            injected.to_bytes()


@pytest.mark.parametrize("name", ["", "A: b", "A b", "A\r\nB", "é"])
def test_names_that_are_no_tokens_are_refused(name):
    with pytest.raises(ValueError, match="token"):
        Headers([(name, "x")])


class Word(enum.StrEnum):
    """Texts of a class of their own, as they may come from whoever embeds us."""

    NAME = "X-Reason"
    VALUE = "SIP;cause=486"


def test_a_header_may_be_any_text():
    headers = Headers([(Word.NAME, Word.VALUE)])
    headers.set(Word.NAME, Word.VALUE)
    headers.replace_first(Word.NAME, Word.VALUE)
    assert list(headers) == [("X-Reason", "SIP;cause=486")]
    answer = response_bytes(parse(INVITE), 486, headers=[(Word.NAME, Word.VALUE)])
    assert b"\r\nX-Reason: SIP;cause=486\r\n" in answer
    for value in (None, 486, b"x"):
        with pytest.raises(TypeError):
            Headers([("X-Reason", value)])


@pytest.mark.parametrize(
    ("via", "stamped", "port"),
    [
        # RFC 3581 section 4: rport asked for, so both are filled in, even where they agree.
        (
            "SIP/2.0/UDP 192.0.2.1:5070;rport;branch=b",
            "SIP/2.0/UDP 192.0.2.1:5070;branch=b;rport=4000;received=192.0.2.1",
            4000,
        ),
        # RFC 3261 section 18.2.1: the host agrees, nothing is added.
        ("SIP/2.0/UDP 192.0.2.1:5070;branch=b", "SIP/2.0/UDP 192.0.2.1:5070;branch=b", 5070),
        ("SIP/2.0/UDP 192.0.2.1;branch=b", "SIP/2.0/UDP 192.0.2.1;branch=b", 5060),
        (
            "SIP/2.0/UDP host:5070;branch=b",
            "SIP/2.0/UDP host:5070;branch=b;received=192.0.2.1",
            5070,
        ),
        # What the peer wrote there itself is not believed.
        (
            "SIP/2.0/UDP host;received=203.0.113.9;branch=b",
            "SIP/2.0/UDP host;branch=b;received=192.0.2.1",
            5060,
        ),
        (
            "SIP/2.0/UDP host;received=203.0.113.9;RPORT=9 ;branch=b",
            "SIP/2.0/UDP host ;branch=b;rport=4000;received=192.0.2.1",
            4000,
        ),
        # Only the first value of the line is ours to change.
        (
            "SIP/2.0/UDP host ;rport , SIP/2.0/UDP low;rport",
            "SIP/2.0/UDP host ;rport=4000;received=192.0.2.1 , SIP/2.0/UDP low;rport",
            4000,
        ),
        (
            "SIP/2.0/UDP host;maddr=203.0.113.1",
            "SIP/2.0/UDP host;maddr=203.0.113.1;received=192.0.2.1",
            5060,
        ),
    ],
)
def test_stamp_via(via, stamped, port):
    request = parse(INVITE)
    request.headers.replace_first("Via", via)
    assert stamp_via(request, "192.0.2.1", 4000) == port
    assert request.headers.all("Via")[0] == stamped
    assert request.headers.all("Via")[1] == "SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKlow"


def test_stamp_via_over_ipv6():
    request = parse(INVITE)
    request.headers.replace_first("Via", "SIP/2.0/UDP [2001:db8::2]:5070;rport")
    assert stamp_via(request, "2001:db8::9", 4000) == 4000
    assert request.headers.get("Via") == (
        "SIP/2.0/UDP [2001:db8::2]:5070;rport=4000;received=2001:db8::9"
    )


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda request: pickle.loads(pickle.dumps(request))]
)
def test_a_copy_is_not_stamped_with_its_message(copied):
    request = parse(INVITE)
    other = copied(request)
    stamp_via(request, "192.0.2.1", 4000)
    assert request != other
    assert other == parse(INVITE)


@pytest.mark.parametrize("use", [Request.to_bytes, lambda it: stamp_via(it, "192.0.2.1", 4000)])
def test_a_message_without_headers_is_refused(use):
    request = parse(INVITE)
    request.headers = None
    for bare in (request, Request.__new__(Request)):
        with pytest.raises(AttributeError):
            use(bare)


def test_headers_that_nobody_filled_are_none():
    for ask in (list, len, repr, lambda headers: headers.get("Via"), Headers.copy):
        assert ask(Headers.__new__(Headers)) == ask(Headers())
    assert Headers.__new__(Headers).all("Via") == []


def test_a_via_that_there_is_no_memory_to_stamp_is_as_it_was_or_stamped():
    testcapi = pytest.importorskip("_testcapi")
    stamped = parse(INVITE)
    stamp_via(stamped, "192.0.2.1", 4000)
    request = parse(INVITE)
    before = request.headers.get("Via")
    seen = []
    while not seen or seen[-1] == before:
        testcapi.set_nomemory(len(seen), len(seen) + 1)
        try:
            stamp_via(request, "192.0.2.1", 4000)
        except MemoryError:
            pass
        finally:
            testcapi.remove_mem_hooks()
        seen.append(request.headers.get("Via"))
    assert seen[0] == before
    assert seen[-1] == stamped.headers.get("Via")


class Asking:
    """Asks for header lines when it is collected, and writes on all memory that came free."""

    def __init__(self, headers):
        self.headers, self.itself = headers, self

    def __del__(self):
        list(self.headers)
        self.written = [bytes(size) for size in range(500)]


def test_a_finalizer_may_ask_for_the_lines_that_are_being_read():
    expected = list(parse(INVITE).headers)
    thresholds = gc.get_threshold()
    try:
        for allocations in range(1, 2 * len(expected)):
            headers = parse(INVITE).headers
            gc.collect()
            Asking(headers)
            gc.set_threshold(allocations)
            found = list(headers)
            gc.set_threshold(*thresholds)
            assert found == expected
    finally:
        gc.set_threshold(*thresholds)


def test_a_finalizer_may_ask_for_the_lines_before_some_of_them_are_looked_up():
    headers = parse(INVITE).headers
    expected = headers.all("Via")
    thresholds = gc.get_threshold()
    gc.collect()
    Asking(headers)
    free_lists = [[] for _ in range(200)]  # which a new list would take first
    gc.set_threshold(1)
    try:
        found = headers.all("Via")
    finally:
        gc.set_threshold(*thresholds)
    assert found == expected
    assert len(free_lists) == 200


TOKEN = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
VALUE = st.text(
    st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=30
).map(lambda text: " ".join(text.split(" ")).strip(" \t"))
UNKNOWN = st.tuples(TOKEN.map(lambda name: "X-" + name), VALUE)


@given(
    method=TOKEN,
    dialog=st.tuples(TOKEN, TOKEN, st.none() | TOKEN, st.integers(0, 2**31 - 1)),
    more=st.lists(UNKNOWN, max_size=10),
    body=st.binary(max_size=200),
    status=st.none() | st.integers(100, 699),
)
def test_build_write_parse_gives_the_same(method, dialog, more, body, status):
    call_id, from_tag, to_tag, cseq = dialog
    lines = [
        ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK" + call_id),
        ("From", f"<sip:a@example.com>;tag={from_tag}"),
        ("To", "<sip:b@example.com>" + (f";tag={to_tag}" if to_tag else "")),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        *more,
        ("Content-Length", str(len(body))),
    ]
    common = {
        "body": body,
        "call_id": call_id,
        "cseq": cseq,
        "cseq_method": method,
        "from_tag": from_tag,
        "to_tag": to_tag,
        "branch": "z9hG4bK" + call_id,
        "sent_by": "192.0.2.1:5060",
    }
    message: Request | Response
    if status is None:
        message = Request(Headers(lines), method=method, uri="sip:b@host", **common)
    else:
        reason = REASON_PHRASES.get(status, "")
        message = Response(Headers(lines), status=status, reason=reason, **common)
    assert parse(message.to_bytes()) == message

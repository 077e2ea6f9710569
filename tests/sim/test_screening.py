"""Requests that a user agent cannot serve (RFC 3261 8.2, 11, 12.2.2)."""

import pytest

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER, NOTIFY, PRACK, UPDATE"
COUNTERS = {
    403: "refer",
    405: "method",
    415: "media_type",
    416: "uri_scheme",
    420: "extension",
    481: "no_dialog",
    488: "accept",
}


@pytest.mark.parametrize(
    ("start", "lines", "status", "header"),
    [
        ("REGISTER sip:u@ua", [], 405, ("Allow", ALLOW)),
        ("FLY sip:u@ua", [], 405, ("Allow", ALLOW)),
        ("BYE sip:u@ua", [], 481, None),
        ("NOTIFY sip:u@ua", [], 481, None),
        ("REFER sip:u@ua", [], 403, None),
        ("INVITE sip:u@ua", ["Require: replaces, 100rel, fly, Timer"], 420, ("Unsupported", "fly")),
        ("OPTIONS tel:+123", [], 416, None),
        ("OPTIONS sips:u@ua", [], 416, None),
        ("OPTIONS sip:u@ua", ["Require: a, b"], 420, ("Unsupported", "a, b")),
        ("INVITE sip:u@ua", ["Content-Type: text/plain"], 415,
         ("Accept", "application/sdp, multipart/mixed")),
        ("INVITE sip:u@ua", ["Content-Type: application/sdp", "Content-Encoding: gzip"], 415,
         ("Accept-Encoding", "identity")),
        ("INVITE sip:u@ua", ["Accept: text/html"], 488, None),
    ],
)  # fmt: skip
def test_rejected(lone, start, lines, status, header):
    body = b"v=0" if start.startswith("INVITE") else b""
    lone.send(start, *lines, body=body)
    assert lone.last.status == status
    if header:
        assert lone.last.headers.get(header[0]) == header[1]
    assert lone.agent.counters.as_dict()[f"rejected_{COUNTERS[status]}"] == 1
    assert lone.handler.events == []
    lone.net.run(32_000)
    lone.net.assert_quiet()


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_who_is_meant_is_reached_with_the_last_hop(lone, method):
    """Max-Forwards bounds proxies (RFC 3261 16.3); an endpoint takes 0 as any other (RFC 4475
    3.3.11)."""
    lone.send(f"{method} sip:u@ua", Max_Forwards="0")
    assert lone.last.status == 200
    for call in lone.handler.calls:
        call.hangup()


def test_too_large(lone):
    lone.send("INVITE sip:u@ua", body=b"v" * 32_769)
    assert lone.last.status == 513
    lone.send(
        "INVITE sip:u@ua", body=b"v" * 32_768, Call_ID="2", Via="SIP/2.0/UDP p;branch=z9hG4bK2"
    )
    assert lone.last.status == 200
    lone.handler.calls[0].hangup()


@pytest.mark.parametrize(
    "accept", ["application/sdp", "text/html, application/SDP;q=0.5", "application/*", "*/*"]
)
def test_accept_that_lets_sdp_in(lone, accept):
    lone.send("INVITE sip:u@ua", f"Accept: {accept}", body=b"v=0")
    assert lone.last.status == 200
    lone.handler.calls[0].hangup()


MIXED = "Content-Type: multipart/mixed;boundary=b"


def among_others(sdp, handling="optional"):
    """A description of the session and ISUP, as a switch sends them (RFC 3204)."""
    isup = b"Content-Type: application/ISUP\r\nContent-Disposition: signal;handling=%s\r\n\r\n\1\0I"
    parts = isup % handling.encode(), b"Content-Type: application/sdp\r\n\r\n" + sdp
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def test_an_offer_among_other_parts(lone):
    lone.send("INVITE sip:u@ua", MIXED, body=among_others(b"v=0 offer"))
    assert lone.last.status == 200
    call = lone.handler.calls[0]
    assert call.remote_sdp == b"v=0 offer"
    call.hangup()


def test_a_part_that_must_be_understood_is_refused(lone):
    lone.send("INVITE sip:u@ua", MIXED, body=among_others(b"v=0 offer", "required"))
    assert lone.last.status == 415
    assert lone.last.headers.get("Accept") == "application/sdp, multipart/mixed"
    assert not lone.handler.calls


def test_an_answer_among_other_parts(lone):
    call = lone.dial()
    answer = [MIXED, "Contact: <sip:p@10.0.0.9>"]
    lone.reply(lone.out[-1], 200, "t", *answer, body=among_others(b"v=0 answer"))
    assert lone.handler.events[-1] == ("answered", b"v=0 answer")
    call.hangup()


def test_options_tells_what_we_can(lone):
    lone.send("OPTIONS sip:u@ua")
    headers = lone.last.headers
    assert headers.get("Allow") == ALLOW
    assert headers.get("Accept") == "application/sdp, multipart/mixed"
    assert headers.get("Supported") == "replaces, norefersub, 100rel, timer, 199"


def test_parse_errors_are_answered_without_state(lone):
    good = b"OPTIONS sip:u@ua SIP/2.0\r\nVia: SIP/2.0/UDP peer:5060;branch=z9hG4bK1;rport\r\n"
    rest = b"To: <sip:u@ua>\r\nFrom: <sip:p@peer>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    lone.send_raw(good.replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia") + rest)
    assert lone.last.status == 505
    lone.send_raw(good + rest.replace(b"1 OPTIONS", b"1 INVITE"))
    assert lone.last.status == 400
    lone.send_raw(b"\x00\xff garbage")
    lone.send_raw(b"\r\n\r\n")
    assert len(lone.out) == 2
    assert lone.agent.counters.as_dict()["parse_errors"] == 4
    lone.net.run(10)
    lone.net.assert_quiet()


@pytest.mark.parametrize(
    "lines",
    [["Record-Route: <sip:proxy"], ["Record-Route: <name:proxy>"], ['Record-Route: "x <sip:p;lr>']],
)
def test_an_unreadable_route_gets_400(lone, lines):
    lone.send("INVITE sip:u@ua", *lines, body=b"v=0")
    assert lone.last.status == 400
    assert lone.handler.events == []
    lone.send("ACK sip:u@ua", To="<sip:u@ua>;tag=1")
    lone.net.run(32_000)
    lone.net.assert_quiet()


def test_an_unreadable_200_ends_our_call(lone):
    lone.dial()
    lone.reply(lone.out[0], 200, "t", "Record-Route: <name:proxy>", body=b"v=0")
    assert lone.handler.events == [("ended", "error", 502)]
    lone.net.run(32_000)
    lone.net.assert_quiet()


def test_dial_refuses_what_is_no_uri(lone):
    for uri in ("", "robot", "sip:", "sip:a b@c", "sip:a@b\r\nEvil: 1"):
        with pytest.raises(ValueError, match=r"."):
            lone.agent.dial(uri, b"v=0", lone.net.flow("10.0.0.9"), from_uri="sip:u@ua")
    with pytest.raises(ValueError, match="line break"):
        lone.dial(headers=[("X-Note", "a\r\nEvil: 1")])
    assert lone.out == []
    lone.net.assert_quiet()

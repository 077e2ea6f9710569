"""Dialogs as data: ids, route sets, targets, sequence numbers (RFC 3261 section 12)."""

import json

import pytest
from ringwheel.media.sip.adoption import dialog_of
from ringwheel.media.sip.dialog import address_uri, uac_dialog, uas_dialog
from ringwheel.media.sip.message import SipParseError, parse

INVITE = (
    "INVITE sip:u@ua SIP/2.0\r\nVia: SIP/2.0/UDP peer;branch=z9hG4bK1\r\n"
    'From: "P, <x>" <sip:p@peer>;tag=theirs\r\nTo: <sip:u@ua>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n'
    "{lines}Content-Length: 0\r\n\r\n"
)
OK = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP ua;branch=z9hG4bK1\r\nFrom: <sip:p@peer>;tag=ours\r\n"
    "To: <sip:u@ua>;tag=theirs\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
)


def invite(*lines):
    return parse(INVITE.format(lines="".join(f"{line}\r\n" for line in lines)).encode())


def ok(*lines):
    return parse(OK.format(lines="".join(f"{line}\r\n" for line in lines)).encode())


def dialog(*routes, target="sip:p@10.0.0.9:5060"):
    lines = [f"Record-Route: {route}" for route in routes]
    return uas_dialog(invite(f"Contact: <{target}>", *lines), "ours")


def test_the_callee_mirrors_the_addresses():
    made = dialog()
    assert made.local == "<sip:u@ua>;tag=ours"
    assert made.remote == '"P, <x>" <sip:p@peer>;tag=theirs'
    assert made.key == ("c1", "ours", "theirs")
    assert (made.local_cseq, made.remote_cseq) == (0, 7)


def test_it_can_be_written_down_and_read_again():
    made = dialog("<sip:a;lr>", "<sip:b;lr>")
    assert dialog_of(json.loads(json.dumps(made.snapshot()))) == made


def test_the_caller_takes_routes_in_reverse():
    made = uac_dialog(
        invite(), ok("Record-Route: <sip:a;lr>, <sip:b;lr>", "Record-Route: <sip:c;lr>")
    )
    assert made.route_set == ("<sip:c;lr>", "<sip:b;lr>", "<sip:a;lr>")


def test_loose_routing():
    made = dialog('"A, B" <sip:a;lr>, <sip:b;lr=on>')
    uri, routes = made.routing()
    assert uri == "sip:p@10.0.0.9:5060"
    assert routes == ('"A, B" <sip:a;lr>', "<sip:b;lr=on>")
    assert made.next_hop() == "sip:a;lr"


def test_strict_routing_puts_the_target_last():
    made = dialog("<sip:a.example;method=BYE;x=1?Subject=no>", "<sip:b;lr>")
    request = made.request(
        "BYE", made.next_cseq(), "SIP/2.0/UDP ua;branch=z9hG4bK2", "z9hG4bK2", []
    )
    assert request.uri == "sip:a.example;x=1"
    assert request.headers.all("Route") == ["<sip:b;lr>", "<sip:p@10.0.0.9:5060>"]
    assert parse(request.to_bytes()).headers.get("CSeq") == "1 BYE"


@pytest.mark.parametrize("lr_in_user", ["<sip:lr;lr@host>", "<sip:a>;lr"])
def test_lr_counts_only_as_a_uri_parameter(lr_in_user):
    assert dialog(lr_in_user).routing()[0] != "sip:p@10.0.0.9:5060"


def test_sequence_numbers():
    made = dialog()
    request = invite()
    assert made.accepts(request)
    request.cseq = 100
    assert made.accepts(request)
    request.cseq = 99
    assert not made.accepts(request)
    assert made.remote_cseq == 100
    assert [made.next_cseq(), made.next_cseq()] == [1, 2]


def test_a_target_that_cannot_be_read_leaves_the_old_one():
    made = dialog()
    bad = invite()
    bad.headers.add("Contact", '"no end')
    made.refresh_target(bad)
    assert made.remote_target == "sip:p@10.0.0.9:5060"
    made.refresh_target(invite('Contact: "New, <one>" <sip:new@10.0.0.1>;q=1'))
    assert made.remote_target == "sip:new@10.0.0.1"


def test_without_a_contact():
    assert uas_dialog(invite(), "ours").remote_target == "sip:p@peer"
    assert uac_dialog(invite(), ok()).remote_target == "sip:u@ua"


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("<sip:a@b;x=1>;tag=1", "sip:a@b;x=1"),
        ("sip:a@b;tag=1", "sip:a@b"),
        ('"<sip:trap@x>" <sip:a@b>', "sip:a@b"),
        ("Name <sip:a@b>, <sip:c@d>", "sip:a@b"),
        ("sip:a@b, sip:c@d", "sip:a@b"),
    ],
)
def test_the_uri_of_an_address(value, uri):
    assert address_uri(value) == uri


@pytest.mark.parametrize("value", ["", ",", '"open', "<sip:a", "nonsense"])
def test_what_is_no_address(value):
    with pytest.raises(SipParseError):
        address_uri(value)

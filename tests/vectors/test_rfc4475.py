"""The SIP torture messages of RFC 4475: what the parser makes of each."""

import json
from pathlib import Path

import pytest
from ringwheel.media.sip.fields import split_commas
from ringwheel.media.sip.message import (
    Request,
    Response,
    SipParseError,
    parse,
    response_bytes,
    stamp_via,
)
from ringwheel.media.sip.uri import NameAddr, SipUri

DATA = Path(__file__).parents[1] / "data" / "rfc4475"
ROWS = {row["message"]: row for row in json.loads((DATA / "expected.json").read_text())}
ACCEPTED = [name for name, row in ROWS.items() if row["parse"] == "accept"]
REFUSED = [name for name, row in ROWS.items() if row["parse"] != "accept"]


def read(name: str) -> bytes:
    return (DATA / f"{name}.dat").read_bytes()


def test_every_message_has_its_row():
    assert sorted(ROWS) == sorted(path.stem for path in DATA.glob("*.dat"))
    assert len(ROWS) == 49


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_with_the_fields_it_has(name):
    message = parse(read(name))
    fields = ROWS[name]["fields"].copy()
    if isinstance(message, Response):
        assert message.status == fields.pop("status_code")
        assert message.reason == fields.pop("reason_phrase", message.reason)
    body_bytes = fields.pop("body_bytes", None)
    assert body_bytes is None or len(message.body) == body_bytes
    assert {key: getattr(message, key) for key in fields} == fields


@pytest.mark.parametrize("name", ACCEPTED)
def test_written_again_it_reads_the_same(name):
    message = parse(read(name))
    again = parse(message.to_bytes())
    without_length = [line for line in message.headers if line[0] != "Content-Length"]
    assert [line for line in again.headers if line[0] != "Content-Length"] == without_length
    assert again.body == message.body
    assert again.start_line() == message.start_line()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_for_its_reason(name):
    with pytest.raises(SipParseError) as caught:
        parse(read(name))
    assert caught.value.reason.name.lower() == ROWS[name]["reason"]
    assert caught.value.status == ROWS[name].get("status")


@pytest.mark.parametrize("name", [name for name in REFUSED if ROWS[name]["parse"] == "reject"])
def test_refusal_is_a_response_that_its_sender_can_match(name):
    with pytest.raises(SipParseError) as caught:
        parse(read(name))
    partial, status = caught.value.partial, caught.value.status
    assert isinstance(partial, Request)
    stamp_via(partial, "198.51.100.7", 5070)
    wire = response_bytes(partial, status, to_tag="ours")
    head = wire.decode("utf-8", "surrogateescape").split("\r\n")
    assert head[0].startswith(f"SIP/2.0 {status} ")
    (via,) = (line for line in head if line.startswith("Via: "))
    assert ";received=198.51.100.7" in via
    assert f"branch={partial.branch}" in via or not partial.branch
    for single in ("From", "To", "Call-ID", "CSeq"):
        assert sum(line.startswith(f"{single}: ") for line in head) <= 1


def test_wsinv_is_unfolded():
    message = parse(read("wsinv"))
    assert message.headers.get("To") == "sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n"
    assert message.headers.get("newfangledheader") == (
        "newfangled value continued newfangled value"
    )
    assert message.headers.get("Subject") == ""
    assert len(message.headers.all("Via")) == 2
    vias = [via for line in message.headers.all("Via") for via in split_commas(line)]
    assert len(vias) == 3
    contact = NameAddr.parse(message.headers.get("Contact"))
    assert contact.display == 'Quoted string ""'
    assert contact.uri == "sip:jdrosen@example.com"
    assert contact.params == (("newparam", "newvalue"), ("secondparam", ""), ("q", "0.33"))


def test_intmeth_keeps_every_byte():
    message = parse(read("intmeth"))
    to = NameAddr.parse(message.headers.get("To"))
    assert to.display == "BEL:\a NUL:\0 DEL:\x7f"
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    value = message.headers.get("extensionHeader-!.%*+_`'~")
    assert value.encode("utf-8", "surrogateescape") == (
        b"\xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb"
    )


def test_escapes_are_resolved_once():
    uri = SipUri.parse(parse(read("esc01")).uri)
    assert (uri.user, uri.host) == ("sips:user@example.com", "example.net")
    contact = NameAddr.parse(parse(read("esc01")).headers.get("Contact")).target()
    assert contact.user == "caller"
    assert contact.params == (("lr", ""), ("name", "value%41"))


def test_escaped_nul_is_no_end_of_string():
    first, second = parse(read("escnull")).headers.all("Contact")
    assert NameAddr.parse(first).target().user == "\0"
    assert NameAddr.parse(second).target().user == "\0\0"


def test_an_escaped_name_is_another_header():
    message = parse(read("esc02"))
    assert len(message.headers.all("Contact")) == 2
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"


def test_semicolon_belongs_to_the_user():
    uri = SipUri.parse(parse(read("semiuri")).uri)
    assert (uri.user, uri.host, uri.params) == ("user;par=u@example.net", "example.com", ())

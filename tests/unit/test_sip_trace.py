"""The ring of SIP messages: its bounds, what is found in it, and what it says of calls."""

import pytest
from ringwheel.media.sip.edge import Flow
from ringwheel.media.sip.trace import BATCH, CallList, Trace, Traced, call_id_of
from ringwheel.media.sip.traffic import Traffic

FLOW = Flow("192.0.2.7", 5060)


def message(start: str, call_id: str = "a@h", cseq: str = "1 INVITE", to_tag: str = "") -> bytes:
    lines = [
        start,
        'From: "Eve <sip:no@no>" <sip:eve@h>;tag=ft',
        f"To: Bob <sip:bob@h>{to_tag and ';tag=' + to_tag}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


INVITE = "INVITE sip:bob@h SIP/2.0"


def traced(*messages: tuple[bool, bytes]) -> Trace:
    trace = Trace(1000)
    for number, (sent, data) in enumerate(messages):
        trace(sent, FLOW, data, float(number))
    return trace


def find(trace: Trace, key: str) -> list[Traced]:
    steps = trace.search(key)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def test_the_oldest_makes_room():
    trace = Trace(3)
    for number in range(10):
        trace(False, FLOW, b"%d" % number, 0.0)
    assert [item.data for item in trace] == [b"7", b"8", b"9"]
    assert len(trace) == 3


def test_bytes_are_bounded_too():
    trace = Trace(1000, max_bytes=10_000)
    for _ in range(100):
        trace(False, FLOW, bytes(1000), 0.0)
    assert len(trace) == 8
    assert trace.held_bytes == 8 * 1200
    trace(False, FLOW, bytes(65_535), 0.0)
    assert len(trace) == 0
    assert trace.held_bytes == 0


@pytest.mark.parametrize(("messages", "size"), [(0, 1), (1, 0)])
def test_a_trace_of_nothing_is_refused(messages, size):
    with pytest.raises(ValueError, match="at least one"):
        Trace(messages, size)


def test_a_call_is_found_by_its_call_id_and_by_its_tag():
    trace = traced(
        (False, message(INVITE, "one")),
        (True, message("SIP/2.0 200 OK", "one", to_tag="ours")),
        (False, message(INVITE, "one-more")),
        (True, message("SIP/2.0 486 Busy Here", "one-more", to_tag="ours2")),
    )
    assert [item.time_s for item in find(trace, "one")] == [0.0, 1.0]
    assert [item.time_s for item in find(trace, "ours")] == [0.0, 1.0]
    assert [item.time_s for item in find(trace, "one-more")] == [2.0, 3.0]
    assert find(trace, "on") == []
    assert find(trace, "eve") == []


def test_a_search_gives_way_to_others():
    trace = traced(*[(False, message(INVITE, "other"))] * (3 * BATCH), (False, message(INVITE)))
    assert len(list(trace.search("a@h"))) == 4
    assert len(find(trace, "a@h")) == 1


def test_call_ids_in_all_spellings():
    assert call_id_of(b"X\r\ni: abc\r\n\r\n") == b"abc"
    assert call_id_of(b"X\r\nCALL-ID :  abc \r\n\r\n") == b"abc"
    assert call_id_of(b"\xff\xfe") == b""


@pytest.mark.parametrize(
    ("later", "outcome"),
    [
        ([], "calling"),
        ([(True, "SIP/2.0 100 Trying", "1 INVITE")], "calling"),
        ([(True, "SIP/2.0 180 Ringing", "1 INVITE")], "ringing"),
        ([(True, "SIP/2.0 486 Busy Here", "1 INVITE")], "486 Busy Here"),
        ([(True, "SIP/2.0 401 Unauthorized", "1 INVITE")], "calling"),
        ([(False, "CANCEL sip:bob@h SIP/2.0", "1 CANCEL"),
          (True, "SIP/2.0 200 OK", "1 CANCEL")], "cancelled"),
        ([(True, "SIP/2.0 200 OK", "1 INVITE")], "up"),
        ([(True, "SIP/2.0 200 OK", "1 INVITE"),
          (False, "SIP/2.0 488 Not Acceptable Here", "2 INVITE")], "up"),
        ([(True, "SIP/2.0 200 OK", "1 INVITE"), (False, "BYE sip:x SIP/2.0", "2 BYE")],
         "answered, peer hung up"),
        ([(True, "SIP/2.0 200 OK", "1 INVITE"), (True, "BYE sip:x SIP/2.0", "2 BYE")],
         "answered, we hung up"),
    ],
)  # fmt: skip
def test_what_became_of_a_call(later, outcome):
    calls = CallList()
    steps = [(False, message(INVITE)), *((sent, message(s, cseq=c)) for sent, s, c in later)]
    for item in traced(*steps):
        calls.add(item)
    (call,) = calls.latest(10)
    assert call.outcome == outcome
    assert (call.from_uri, call.to_uri) == ("sip:eve@h", "sip:bob@h")
    assert call.incoming
    assert call.messages == len(steps)


def test_the_latest_calls_come_first_and_others_are_left_out():
    calls = CallList()
    for number in range(5):
        for item in traced((False, message(INVITE, f"c{number}"))):
            calls.add(item)
    for item in traced(
        (False, message("OPTIONS sip:h SIP/2.0", "o", "1 OPTIONS")), (False, b"\xff")
    ):
        calls.add(item)
    assert [call.call_id for call in calls.latest(3)] == ["c4", "c3", "c2"]


def test_traffic_is_counted_by_kind_and_garbage_in_one_place():
    traffic = Traffic()
    for data in (message(INVITE), message(INVITE), b"SUBSCRIBE sip:h SIP/2.0\r\n"):
        traffic(False, FLOW, data, 0.0)
    traffic(True, FLOW, b"SIP/2.0 200 OK\r\n", 0.0)
    for number in range(500):
        traffic(False, FLOW, b"M%d sip:h SIP/2.0\r\n" % number, 0.0)
        traffic(False, FLOW, b"SIP/2.0 %03d X\r\n" % number, 0.0)
        traffic(False, FLOW, bytes([number % 256]) * 20, 0.0)
    assert traffic.requests(sent=False) == {"INVITE": 2, "SUBSCRIBE": 1, "other": 1100}
    assert set(traffic.responses(sent=False)) == {str(code) for code in range(100, 500)}
    assert traffic.responses(sent=True) == {"200": 1}
    assert traffic.requests(sent=True) == {}

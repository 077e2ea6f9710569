"""The synthesizer of the speech server (RFC 6787, section 8): each method, cause and refusal."""

import pytest
from ringwheel.robot.speech.engines.engine import EngineFailed
from ringwheel.robot.speech.mrcp.message import MAX_LINE_BYTES, Headers, Request, canonical
from ringwheel.robot.speech.mrcp.words import RequestState

from .speech_channels import SynthesizerClient


@pytest.fixture
def client():
    return SynthesizerClient()


def listed(response):
    return response.headers.get("Active-Request-Id-List")


def test_what_is_asked_is_spoken_and_its_end_told(client):
    response = client.speak("Good morning")
    assert (response.status, response.state) == (200, RequestState.IN_PROGRESS)
    assert client.mouth.done == ["start Good morning"]
    client.resource.spoken()
    assert client.events == [("SPEAK-COMPLETE", 1, "000")]
    assert client.cause == "000 normal"
    assert client.sent[-1].state is RequestState.COMPLETE


def test_speech_markers_carry_ntp_time(client):
    # 1900 to 1970 are 2,208,988,800 s; the last 32 bits are the fraction.
    stamp = (2_208_988_800 + 1_000_000) * 2**32 + 2**31
    assert client.speak().headers.get("Speech-Marker") == f"timestamp={stamp}"


@pytest.mark.parametrize(
    "body",
    [
        b"<speak>Hello",
        b"<html>Hello</html>",
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><speak>&b;</speak>',
    ],
)
def test_ssml_that_is_none_is_refused(client, body):
    response = client.ask("SPEAK", body=body, kind="application/ssml+xml")
    assert (response.status, response.headers.get("Completion-Cause")) == (407, "002 parse-failure")
    assert client.mouth.done == []


def test_one_waits_for_the_other(client):
    client.speak("one")
    assert client.speak("two").state is RequestState.PENDING
    client.resource.spoken()
    assert client.mouth.done == ["start one", "start two"]
    client.resource.spoken()
    assert client.events == [("SPEAK-COMPLETE", 1, "000"), ("SPEAK-COMPLETE", 2, "000")]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("language", "005 language-unsupported"),
        ("voice", "005 language-unsupported"),
        ("failed", "004 error"),
        ("deadline", "004 error"),
        ("grammar", "002 parse-failure"),
    ],
)
def test_what_cannot_be_spoken_says_why_and_those_behind_it_are_cancelled(client, kind, cause):
    """RFC 6787, 8.4.4."""
    for text in ("one", "two", "three"):
        client.speak(text)
    client.resource.spoken(EngineFailed(kind, 'it said "no"\r\nand ended'))
    first = client.sent[-3].headers
    assert first.get("Completion-Cause") == cause
    assert first.get("Completion-Reason") == "\"it said 'no' and ended\""
    assert client.events[1:] == [("SPEAK-COMPLETE", 2, "007"), ("SPEAK-COMPLETE", 3, "007")]
    assert client.mouth.done == ["start one"]
    assert client.speak("four").state is RequestState.IN_PROGRESS


def test_stop_ends_all_or_those_that_are_named(client):
    for text in ("one", "two", "three"):
        client.speak(text)
    assert listed(client.ask("STOP", ("Active-Request-Id-List", "2"))) == "2"
    assert "stop" not in client.mouth.done
    assert listed(client.ask("STOP", ("Active-Request-Id-List", "1"))) == "1"
    assert client.mouth.done == ["start one", "stop", "start three"]
    assert listed(client.ask("STOP")) == "3"
    assert listed(client.ask("STOP")) is None
    assert client.events == []


def test_barge_in_ends_what_may_be_interrupted_and_all_behind_it(client):
    client.speak("one")
    client.speak("two", ("Kill-On-Barge-In", "false"))
    assert listed(client.ask("BARGE-IN-OCCURRED")) == "1,2"
    assert client.mouth.done[-1] == "stop"
    client.speak("three", ("Kill-On-Barge-In", "false"))
    assert listed(client.ask("BARGE-IN-OCCURRED")) is None
    assert client.mouth.done[-1] == "start three"
    assert client.events == []


def test_pause_and_resume(client):
    assert client.status("PAUSE") == 402
    assert client.status("RESUME") == 402
    client.speak()
    assert listed(client.ask("RESUME")) is None
    assert listed(client.ask("PAUSE")) == "3"
    assert client.status("PAUSE") == 200
    assert listed(client.ask("RESUME")) == "3"
    assert client.mouth.done == ["start Hello", "pause", "resume"]


def test_who_is_stopped_while_paused_leaves_no_pause_behind(client):
    client.speak("one")
    client.ask("PAUSE")
    client.ask("STOP")
    client.speak("two")
    assert listed(client.ask("RESUME")) is None


@pytest.mark.parametrize("failure", [None, EngineFailed("deadline", "too long")])
def test_what_ends_while_it_is_paused_leaves_no_pause_behind(client, failure):
    client.speak("one")
    client.ask("PAUSE")
    client.resource.spoken(failure)
    client.speak("two")
    assert client.mouth.done == ["start one", "pause", "resume", "start two"]
    assert listed(client.ask("RESUME")) is None


def test_control_changes_how_loud_it_is_and_nothing_else(client):
    assert client.status("CONTROL", ("Prosody-Volume", "loud")) == 402
    client.speak("one", ("Prosody-Volume", "soft"))
    assert listed(client.ask("CONTROL", ("Prosody-Volume", "loud"))) == "2"
    assert client.mouth.done[-1] == "volume 3"
    assert client.status("CONTROL", ("Jump-Size", "-15 Words")) == 409


def test_define_lexicon(client):
    response = client.ask("DEFINE-LEXICON", body=b"<lexicon/>", kind="application/pls+xml")
    assert response.status == 407
    assert response.headers.get("Completion-Cause") == "006 lexicon-load-failure"
    client.speak()
    assert client.status("DEFINE-LEXICON") == 402


def test_params_are_kept_for_requests_to_come(client):
    assert client.status("SET-PARAMS", ("Voice-Name", "en-gb"), ("Prosody-Rate", "fast")) == 200
    client.speak("one", ("Prosody-Rate", "+10%"))
    assert client.mouth.utterance.voice == "en-gb"
    assert client.mouth.utterance.rate == pytest.approx(1.1)
    got = client.ask("GET-PARAMS", ("Voice-Name", ""), ("Prosody-Rate", ""))
    assert list(got.headers)[1:] == [("Voice-Name", "en-gb"), ("Prosody-Rate", "fast")]
    assert client.ask("GET-PARAMS").headers.get("Kill-On-Barge-In") == "true"


@pytest.mark.parametrize(
    ("method", "line", "status"),
    [
        ("SET-PARAMS", ("Voice-Gender", "female"), 403),
        ("SET-PARAMS", ("Confidence-Threshold", "0.5"), 403),
        ("GET-PARAMS", ("Wind-Direction", ""), 403),
        ("SET-PARAMS", ("Kill-On-Barge-In", "perhaps"), 404),
        ("SET-PARAMS", ("Speech-Language", "?"), 404),
        ("SET-PARAMS", ("Prosody-Rate", "12"), 409),
        ("SPEAK", ("Prosody-Volume", "quiet"), 404),
    ],
)
def test_a_header_that_is_refused_comes_back(client, method, line, status):
    response = client.ask(method, line, body=b"x", kind="text/plain")
    assert response.status == status
    assert response.headers.get(line[0]) == line[1]


@pytest.mark.parametrize(("name", "status"), [("Prosody-Rate", 404), ("X-Unknown", 403)])
def test_the_longest_line_that_is_taken_can_be_told_again(client, name, status):
    value = "x" * (MAX_LINE_BYTES - len(f"{name}: "))
    lines = [("Channel-Identifier", str(client.channel)), (canonical(name), value)]
    client.resource.receive(Request(1, headers=Headers.adopt(lines), method="SET-PARAMS"))
    assert (client.sent[0].status, client.sent[0].headers.get(name)) == (status, value)


def test_unknown_headers_are_told_to_be_ignored(client):
    assert client.speak("one", ("Wind-Direction", "north")).status == 201


def test_what_is_no_text_is_refused(client):
    response = client.ask("SPEAK", body=b"http://a/b", kind="text/uri-list")
    assert (response.status, response.headers.get("Accept")) == (
        408,
        "text/plain, application/ssml+xml",
    )
    assert client.status("SPEAK") == 408
    response = client.ask("SPEAK", body=b"\xff\xfe", kind="text/plain")
    assert (response.status, response.headers.get("Completion-Cause")) == (407, "002 parse-failure")


def test_methods_of_others_and_of_nobody(client):
    assert client.status("RECOGNIZE") == 401
    assert client.status("DANCE") == 401


def test_request_ids_must_rise(client):
    client.speak()
    assert client.status("PAUSE", number=1) == 410
    assert client.status("PAUSE", number=0) == 410
    assert client.status("PAUSE", number=5) == 200


def test_the_queue_is_bounded(client):
    answers = [client.speak(str(number)).status for number in range(40)]
    assert answers.count(407) == 8


def test_a_channel_that_is_closed_is_silent(client):
    client.speak()
    client.resource.close()
    assert client.mouth.done[-1] == "stop"
    sent = len(client.sent)
    client.ask("STOP")
    assert len(client.sent) == sent

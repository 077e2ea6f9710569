"""The recorder of the speech server (RFC 6787, section 10): each method, cause and refusal."""

import io

import pytest
import soundfile
from ringwheel.robot.speech.mrcp.words import RequestState

from .speech_channels import SILENCE, RecorderClient


@pytest.fixture
def client():
    return RecorderClient()


def test_silence_ends_it_and_the_sound_comes_back(client):
    response = client.ask("RECORD", ("Final-Silence", "1000"))
    assert (response.status, response.state) == (200, RequestState.IN_PROGRESS)
    client.resource.speech_began()
    client.resource.speech_paused(SILENCE, 300)
    client.wait(699)
    assert client.events == [("START-OF-INPUT", 1, "")]
    client.wait(1)
    assert client.events[1] == ("RECORD-COMPLETE", 1, "000")
    sound, rate_hz = soundfile.read(io.BytesIO(client.sent[-1].body))
    assert (len(sound), rate_hz) == (len(SILENCE), 8_000)
    assert client.sent[-1].headers.get("Content-Type") == "audio/wav"


def test_who_goes_on_is_recorded_on_up_to_the_longest_time(client):
    client.ask("RECORD", ("Max-Time", "5000"))
    client.resource.speech_began()
    client.resource.speech_paused(SILENCE, 300)
    client.resource.speech_resumed()
    client.wait(5_000)
    assert client.cause == "001 success-maxtime"


def test_no_silence_ends_it_if_the_final_one_is_infinite(client):
    """Zero is infinity, for the longest time as well (RFC 6787, 10.4)."""
    client.ask("RECORD", ("Final-Silence", "0"), ("Max-Time", "0"))
    client.resource.speech_began()
    client.resource.speech_paused(SILENCE, 300)
    client.wait(119_999)
    assert client.events == [("START-OF-INPUT", 1, "")]
    client.wait(1)
    assert client.cause == "001 success-maxtime"


def test_nobody_speaks(client):
    client.ask("RECORD", ("No-Input-Timeout", "2000"))
    client.wait(2_000)
    assert client.cause == "002 no-input-timeout"
    assert client.sent[-1].body == b""


def test_input_timers_that_wait(client):
    assert client.status("START-INPUT-TIMERS") == 402
    client.ask("RECORD", ("Start-Input-Timers", "false"))
    client.wait(8_000)
    assert client.events == []
    assert client.status("START-INPUT-TIMERS") == 200
    client.wait(7_000)
    assert client.cause == "002 no-input-timeout"


def test_a_file_is_told_by_its_uri(client):
    client.ask("RECORD", ("Record-URI", ""), ("Trim-Length", "50"))
    client.resource.speech_began()
    response = client.ask("STOP")
    assert response.headers.get("Active-Request-Id-List") == "1"
    uri, size, duration = response.headers.get("Record-URI").split(";")
    assert uri == "<file:///records/one.wav>"
    assert duration == "duration=50"
    assert client.events == [("START-OF-INPUT", 1, "")]


def test_a_disk_that_is_full(client):
    client.ear.failure = OSError("full")
    client.ask("RECORD", ("Record-URI", ""), ("Final-Silence", "300"))
    client.resource.speech_began()
    client.resource.speech_paused(SILENCE, 300)
    client.wait(1)
    assert client.cause == "004 error"


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://example.com/put"])
def test_where_files_go_is_not_up_to_clients(client, uri):
    response = client.ask("RECORD", ("Record-URI", uri))
    assert (response.status, response.headers.get("Completion-Cause")) == (407, "003 uri-failure")
    client.ear.stores = False
    assert client.status("RECORD", ("Record-URI", "")) == 407


def test_speech_begins_it(client):
    client.ask("RECORD", ("Capture-On-Speech", "true"), ("Max-Time", "3000"))
    assert client.ear.from_speech
    client.wait(4_000)
    client.resource.speech_began()
    client.wait(3_000)
    assert client.cause == "001 success-maxtime"


def test_one_at_a_time(client):
    client.ask("RECORD")
    assert client.status("RECORD") == 402
    assert client.status("SPEAK") == 401
    assert client.ask("STOP", ("Active-Request-Id-List", "7")).status == 200
    assert client.ear.listening
    client.resource.close()
    assert not client.ear.listening

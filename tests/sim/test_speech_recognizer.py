"""The recognizer of the speech server (RFC 6787, section 9): each method, cause and refusal."""

import asyncio
import threading

import pytest
from ringwheel.robot.grammar.builders import choices, digits
from ringwheel.robot.grammar.results import read
from ringwheel.robot.grammar.srgs_xml import write
from ringwheel.robot.speech.engines.engine import EngineFailed, Hypothesis
from ringwheel.robot.speech.mrcp.words import RecognizeCause, RequestState
from ringwheel.robot.speech.server import grammars, hearing, recognition
from ringwheel.robot.speech.server.hearing import Engines

from .speech_channels import FAILED, RecognizerClient

YES, KEYS = "builtin:speech/boolean", "builtin:dtmf/digits?length=4"
BAD_SEMANTICS = b"""<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" mode="dtmf"
 root="r" tag-format="semantics/1.0">
 <rule id="r">1<tag>out = nothing.at.all;</tag></rule></grammar>"""


@pytest.fixture
def client():
    return RecognizerClient()


def result(message):
    """What a body says: values, texts and modes."""
    assert message.headers.get("Content-Type") == "application/nlsml+xml"
    return [(i.value, i.text, i.mode) for i in read(message.body).interpretations]


def test_what_is_said_is_recognized_after_the_complete_timeout(client):
    assert client.recognize().state is RequestState.IN_PROGRESS
    client.say(("yes please", 0.9))
    assert client.events == [("START-OF-INPUT", 1, "")]
    assert client.sent[-1].headers.get("Input-Type") == "speech"
    client.wait(499)
    assert len(client.events) == 1
    client.wait(1)
    assert client.events[1] == ("RECOGNITION-COMPLETE", 1, "000")
    assert result(client.sent[-1]) == [(True, "yes please", "speech")]
    assert not client.ear.listening


def test_what_fits_nothing_waits_for_the_incomplete_timeout(client):
    client.recognize()
    client.say(("banana", 0.9))
    client.wait(1_199)
    assert len(client.events) == 1
    client.wait(1)
    assert client.cause == "001 no-match"


def test_who_goes_on_is_recognized_as_a_whole(client):
    client.recognize()
    client.say(("yes", 0.9))
    client.resource.speech_resumed()
    client.wait(5_000)
    client.pause(("no", 0.9))
    client.wait(800)
    assert result(client.sent[-1])[0][:2] == (False, "no")


def test_an_answer_that_comes_after_the_timeout_ends_at_once(client):
    client.recognize()
    client.resource.speech_began()
    client.resource.speech_paused([], 300)
    client.wait(2_000)
    assert len(client.events) == 1
    client.ear.decoding.pop()([Hypothesis("yes", 0.9)])
    assert client.cause == "000 success"


def test_an_unsure_answer_is_no_match_and_can_be_asked_for(client):
    client.recognize(lines=[("Confidence-Threshold", "0.8")])
    client.say(("yes", 0.7))
    client.wait(2_000)
    assert client.cause == "001 no-match"
    client.recognize(lines=[("N-Best-List-Length", "2")])
    client.say(("yes", 0.9), ("no", 0.6))
    client.wait(2_000)
    assert [text for _, text, _ in result(client.sent[-1])] == ["yes", "no"]
    got = client.ask("GET-RESULT", ("Confidence-Threshold", "0.8"))
    assert [text for _, text, _ in result(got)] == ["yes"]
    got = client.ask("GET-RESULT", ("Confidence-Threshold", "0.95"))
    assert got.headers.get("Completion-Cause") == "001 no-match"


def test_nobody_speaks(client):
    client.recognize(lines=[("No-Input-Timeout", "3000")])
    client.wait(2_999)
    assert client.events == []
    client.wait(1)
    assert client.events == [("RECOGNITION-COMPLETE", 1, "002")]


def test_input_timers_start_when_the_prompt_has_ended(client):
    assert client.status("START-INPUT-TIMERS") == 402
    client.recognize(lines=[("Start-Input-Timers", "false")])
    client.wait(60_000)
    assert client.events == []
    assert client.status("START-INPUT-TIMERS") == 200
    assert client.status("START-INPUT-TIMERS") == 200
    client.wait(7_000)
    assert client.cause == "002 no-input-timeout"


def test_input_timers_that_start_after_speech_change_nothing(client):
    client.recognize(lines=[("Start-Input-Timers", "false")])
    client.resource.speech_began()
    assert client.status("START-INPUT-TIMERS") == 200
    client.wait(8_000)
    assert client.events == [("START-OF-INPUT", 1, "")]


@pytest.mark.parametrize(
    ("said", "cause"), [("yes", "008 success-maxtime"), ("banana", "015 no-match-maxtime")]
)
def test_who_does_not_stop_is_cut_off(client, said, cause):
    client.recognize(lines=[("Recognition-Timeout", "4000")])
    client.resource.speech_began()
    client.wait(4_000)
    client.ear.decoding.pop()([Hypothesis(said, 0.9)])
    assert client.cause == cause


@pytest.mark.parametrize("after", ["speech_resumed", "speech_paused"])
def test_what_is_said_behind_the_longest_time_changes_nothing(client, after):
    """Not even when it goes on, as noise may, for ever."""
    client.recognize(lines=[("Recognition-Timeout", "4000")])
    client.resource.speech_began()
    client.wait(3_900)
    client.resource.speech_paused([], 300)
    client.wait(100)
    getattr(client.resource, after)(*([[], 300] if after == "speech_paused" else []))
    client.ear.decoding.pop()([Hypothesis("yes", 0.9)])
    assert client.cause == "008 success-maxtime"


def test_who_speaks_already_is_too_early(client):
    client.ear.speaking = True
    client.recognize()
    assert client.events == [("RECOGNITION-COMPLETE", 1, "007")]


def test_an_engine_that_fails(client):
    client.recognize()
    client.resource.speech_began()
    client.resource.speech_paused([], 300)
    client.ear.decoding.pop()(FAILED)
    assert client.cause == "006 recognizer-error"


class TestHotword:
    """Recognition-Mode hotword: only what fits counts (RFC 6787, 9.4.20)."""

    LINES = (("Recognition-Mode", "hotword"), ("Recognition-Timeout", "10000"))

    def test_others_are_not_heard(self, client):
        client.recognize(lines=self.LINES)
        client.say(("banana", 0.9))
        client.wait(3_000)
        assert client.events == []
        assert client.ear.restarts == 1
        client.say(("yes", 0.9))
        assert client.events == [("RECOGNITION-COMPLETE", 1, "000")]

    def test_nobody_says_it(self, client):
        client.recognize(lines=self.LINES)
        client.wait(10_000)
        assert client.cause == "003 hotword-maxtime"

    def test_what_is_too_short_is_not_even_looked_at(self, client):
        client.recognize(lines=[*self.LINES, ("Hotword-Min-Duration", "500")])
        client.resource.speech_began()
        client.resource.speech_paused([0] * 800, 300)
        assert client.ear.decoding == []


class TestDigits:
    """Grammars of keys, in a channel for speech as in one for digits."""

    @pytest.fixture(params=["speechrecog", "dtmfrecog"])
    def client(self, request):
        return RecognizerClient(request.param)

    def press(self, client, keys):
        for key in keys:
            client.resource.digit(key)

    def test_an_entry_ends_when_no_more_fits(self, client):
        client.recognize(KEYS)
        self.press(client, "1234")
        assert client.events == [("START-OF-INPUT", 1, ""), ("RECOGNITION-COMPLETE", 1, "000")]
        assert client.sent[-2].headers.get("Input-Type") == "dtmf"
        assert result(client.sent[-1]) == [("1234", "1234", "dtmf")]

    def test_with_a_terminator_it_waits_for_that(self, client):
        lines = [("DTMF-Term-Char", "#"), ("DTMF-Term-Timeout", "1000")]
        client.recognize(KEYS, lines=lines)
        self.press(client, "1234")
        client.wait(999)
        assert len(client.events) == 1
        self.press(client, "#")
        assert client.cause == "000 success"
        client.recognize(KEYS, lines=lines)
        self.press(client, "1234")
        client.wait(1_000)
        assert client.cause == "000 success"

    def test_too_few_are_a_partial_match(self, client):
        client.recognize(KEYS, lines=[("DTMF-Interdigit-Timeout", "2000")])
        self.press(client, "12")
        client.wait(2_000)
        assert client.cause == "013 partial-match"

    def test_too_slow_ones_are_one_at_maxtime(self, client):
        client.recognize(KEYS, lines=[("Recognition-Timeout", "2500")])
        self.press(client, "12")
        client.wait(2_500)
        assert client.cause == "014 partial-match-maxtime"

    def test_those_that_fit_nothing(self, client):
        client.recognize(KEYS)
        self.press(client, "1*")
        assert client.cause == "001 no-match"

    def test_typed_ahead(self, client):
        self.press(client, "1234")
        client.recognize(KEYS)
        assert client.cause == "000 success"

    def test_typed_ahead_and_forgotten(self, client):
        self.press(client, "1234")
        client.recognize(KEYS, lines=[("Clear-DTMF-Buffer", "true")])
        assert client.events == []

    def test_what_a_key_means_cannot_be_told(self, client):
        client.ask("RECOGNIZE", body=BAD_SEMANTICS, kind="application/srgs+xml")
        self.press(client, "1")
        assert client.cause == "012 semantics-failure"


def test_a_channel_for_digits_takes_no_speech():
    client = RecognizerClient("dtmfrecog")
    response = client.recognize(YES)
    assert response.status == 407
    assert response.headers.get("Completion-Cause") == "016 grammar-definition-failure"


class TestGrammars:
    """DEFINE-GRAMMAR, and what grammars may be asked for."""

    def define(self, client, body=None, name="<four@keys>"):
        lines = [("Content-ID", name)] if name else []
        body = write(digits(4, 4, "en-US", "dtmf")).encode() if body is None else body
        return client.ask("DEFINE-GRAMMAR", *lines, body=body, kind="application/srgs+xml")

    def test_a_grammar_is_used_by_its_name(self, client):
        response = self.define(client)
        assert (response.status, response.headers.get("Completion-Cause")) == (200, "000 success")
        client.recognize("session:four@keys")
        for key in "1234":
            client.resource.digit(key)
        found = read(client.sent[-1].body).interpretations[0]
        assert found.grammar == "session:four@keys"

    def test_it_is_forgotten_by_an_empty_body(self, client):
        self.define(client)
        assert self.define(client, b"").status == 200
        assert (
            self.define(client, b"").headers.get("Completion-Cause") == "004 grammar-load-failure"
        )
        response = client.recognize("session:four@keys")
        assert response.headers.get("Completion-Cause") == "004 grammar-load-failure"
        assert response.headers.get("Failed-URI") == "session:four@keys"

    def test_refusals(self, client):
        assert self.define(client, name="").status == 406
        response = self.define(client, b"<grammar")
        assert response.headers.get("Completion-Cause") == "005 grammar-compilation-failure"
        assert client.ask("RECOGNIZE", body=b"x", kind="image/png").status == 408
        response = client.recognize("http://example.com/g.grxml")
        assert response.headers.get("Completion-Cause") == "009 uri-failure"
        client.recognize()
        assert self.define(client).status == 402

    def test_too_many(self, client):
        statuses = [self.define(client, name=f"<g{n}@x>").status for n in range(257)]
        assert statuses[-1] == 407 and set(statuses[:-1]) == {200}

    @pytest.mark.parametrize(
        ("kind", "cause"),
        [
            ("language", "010 language-unsupported"),
            ("grammar", "005 grammar-compilation-failure"),
            ("busy", "006 recognizer-error"),
        ],
    )
    def test_an_engine_that_does_not_take_it(self, client, kind, cause):
        client.ear.failure = EngineFailed(kind, "no")
        response = client.recognize()
        assert (response.status, response.headers.get("Completion-Cause")) == (407, cause)

    def test_requests_wait_for_a_grammar_that_takes_time(self, client):
        client.ear.slow = True
        assert client.recognize() is None
        assert client.ask("STOP") is None
        client.ear.waiting(None)
        assert [m.request_id for m in client.sent] == [1, 2]
        assert client.sent[-1].headers.get("Active-Request-Id-List") == "1"


class TestQueue:
    """More than one RECOGNIZE (RFC 6787, 9.4.22)."""

    def test_the_second_waits(self, client):
        client.recognize()
        assert client.recognize().state is RequestState.PENDING
        client.say(("yes", 0.9))
        client.wait(800)
        client.say(("no", 0.9))
        client.wait(800)
        assert [event[1] for event in client.events if event[0].startswith("REC")] == [1, 2]

    def test_the_second_cancels_the_first(self, client):
        client.recognize(lines=[("Cancel-If-Queue", "true")])
        assert client.recognize().state is RequestState.IN_PROGRESS
        assert client.events == [("RECOGNITION-COMPLETE", 1, "011")]

    def test_those_behind_one_that_fails_are_cancelled(self, client):
        for _ in range(3):
            client.recognize()
        client.wait(7_000)
        ends = [
            ("RECOGNITION-COMPLETE", number, cause)
            for number, cause in enumerate(("002", "011", "011"), 1)
        ]
        assert client.events == ends
        assert not client.ear.listening
        assert client.recognize().state is RequestState.IN_PROGRESS

    def test_those_behind_one_that_is_stopped_go_on(self, client):
        client.recognize()
        client.recognize()
        client.ask("STOP", ("Active-Request-Id-List", "1"))
        client.say(("yes", 0.9))
        client.wait(800)
        assert client.events[-1] == ("RECOGNITION-COMPLETE", 2, "000")

    def test_stop_ends_both_without_a_word(self, client):
        client.recognize()
        client.recognize()
        assert client.ask("STOP").headers.get("Active-Request-Id-List") == "1,2"
        assert client.ask("STOP").headers.get("Active-Request-Id-List") is None
        client.wait(20_000)
        assert client.events == []

    def test_it_is_bounded(self, client):
        assert [client.recognize().status for _ in range(10)] == [200] * 9 + [407]


def test_interpret(client):
    lines = [("Interpret-Text", "yes please")]
    response = client.ask("INTERPRET", *lines, body=YES.encode(), kind="text/uri-list")
    assert response.state is RequestState.IN_PROGRESS
    assert client.events == [("INTERPRETATION-COMPLETE", 1, "000")]
    assert result(client.sent[-1])[0][0] is True
    client.ask("INTERPRET", ("Interpret-Text", "x"), body=YES.encode(), kind="text/uri-list")
    assert client.cause == "001 no-match"
    assert client.status("INTERPRET", body=YES.encode(), kind="text/uri-list") == 406
    client.recognize()
    assert client.status("INTERPRET", *lines, body=YES.encode(), kind="text/uri-list") == 402


def test_get_result_needs_one(client):
    assert client.status("GET-RESULT") == 402
    client.recognize()
    assert client.status("GET-RESULT") == 402


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (("Confidence-Threshold", "1.5"), 404),
        (("No-Input-Timeout", "soon"), 404),
        (("No-Input-Timeout", "99999999"), 409),
        (("Recognition-Mode", "telepathy"), 404),
        (("Save-Waveform", "true"), 409),
        (("DTMF-Term-Char", "##"), 404),
    ],
)
def test_a_value_that_is_refused_comes_back(client, line, status):
    for method in ("SET-PARAMS", "RECOGNIZE"):
        response = client.ask(method, line, body=YES.encode(), kind="text/uri-list")
        assert (response.status, response.headers.get(line[0])) == (status, line[1])


def test_params_hold_until_a_request_says_otherwise(client):
    client.ask("SET-PARAMS", ("No-Input-Timeout", "1000"))
    client.recognize()
    client.wait(1_000)
    assert client.cause == "002 no-input-timeout"
    client.recognize(lines=[("No-Input-Timeout", "2000")])
    client.wait(1_999)
    assert len(client.events) == 1


def test_methods_of_others(client):
    assert client.status("SPEAK") == 401
    assert client.status("RECORD") == 401


def test_a_channel_that_is_closed_stops_everything(client):
    client.recognize()
    client.resource.close()
    assert not client.ear.listening
    client.wait(60_000)
    assert client.events == []


class TestRoom:
    """What grammars may take: of a channel, and of all channels."""

    @pytest.fixture(autouse=True)
    def bounds(self, monkeypatch):
        monkeypatch.setattr(grammars, "MAX_STATES", 200)
        monkeypatch.setattr(grammars, "MAX_BODY_BYTES", 10_000)

    @staticmethod
    def words(count):
        """A grammar of a little more states than words."""
        return write(choices([(n, (f"word{n}",), None) for n in range(count)], "en")).encode()

    def refused(self, answer):
        assert answer.status == 407
        assert answer.headers.get("Completion-Cause") == "016 grammar-definition-failure"
        return "forget some" in answer.headers.get("Completion-Reason")

    def test_a_channel_has_so_many_states(self):
        client = RecognizerClient()
        assert client.define("a", self.words(30)).status == 200
        assert self.refused(client.define("b", self.words(80)))
        assert client.define("a", b"").status == 200
        assert client.define("b", self.words(80)).status == 200

    def test_a_channel_has_so_many_bytes(self):
        client = RecognizerClient()
        padded = self.words(2) + b" " * 6_000
        assert client.define("a", padded).status == 200
        assert self.refused(client.define("b", padded))

    def test_a_grammar_that_is_replaced_makes_room_and_stays_if_the_new_one_is_refused(self):
        client = RecognizerClient()
        for count in (60, 50, 60):
            assert client.define("a", self.words(count)).status == 200
        assert self.refused(client.define("a", self.words(150)))
        client.recognize("session:a")
        client.say(("word59", 0.9))
        client.wait(1_000)
        assert result(client.sent[-1])[0][:2] == (59, "word59")

    def test_a_server_has_so_much_for_all_and_a_channel_that_ends_gives_it_back(self):
        room = grammars.Room(most_states=150)
        first, second = RecognizerClient(room=room), RecognizerClient(room=room)
        assert first.define("a", self.words(50)).status == 200
        assert self.refused(second.define("a", self.words(50)))
        first.resource.close()
        assert second.define("a", self.words(50)).status == 200

    def test_a_request_has_so_many_states(self, monkeypatch):
        client = RecognizerClient()
        assert client.define("a", self.words(40)).status == 200
        monkeypatch.setattr(grammars, "MAX_ACTIVE_STATES", 100)
        answer = client.recognize("session:a", "session:a", "session:a")
        assert answer.headers.get("Completion-Cause") == "004 grammar-load-failure"


def test_all_grammars_of_a_request_share_what_work_may_be_done(client, monkeypatch):
    for name, length in (("a", 18), ("b", 19), ("c", 20)):
        client.define(name, write(digits(length, length, "en", "dtmf")).encode())
    monkeypatch.setattr(recognition, "MATCH_WORK", 200)
    for uris, cause in (
        (["session:c"], "000 success"),
        (["session:a", "session:b", "session:c"], "012 semantics-failure"),
    ):
        body = "\n".join(uris).encode()
        text = ("Interpret-Text", "1" * 20)
        client.ask("INTERPRET", text, body=body, kind="text/uri-list")
        assert client.cause == cause


def test_grammars_that_were_defined_need_no_reading(client):
    client.define("a", write(digits(4, 4, "en", "dtmf")).encode())
    client.ear.read = None
    assert client.recognize("session:a").status == 200


async def test_reading_holds_nobody_and_has_a_deadline(monkeypatch):
    engines, gate = Engines(None), threading.Event()

    def blocked():
        gate.wait()
        return []

    reading = asyncio.create_task(engines.read(blocked))
    await asyncio.sleep(0)
    monkeypatch.setattr(hearing, "READ_S", 0.01)
    late = await engines.read(blocked)
    assert late.cause is RecognizeCause.GRAMMAR_COMPILATION_FAILURE
    gate.set()
    assert await reading == []
    engines.close()

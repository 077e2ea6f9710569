"""Requests of one control channel in virtual time: each method, each end, each kind of server."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.speech.mrcp.channel import (
    MAX_OPEN_REQUESTS,
    Channel,
    Ending,
    Oddity,
    TooManyRequests,
)
from ringwheel.robot.speech.mrcp.message import (
    ChannelId,
    Event,
    Framer,
    Headers,
    Response,
    parameters_of,
)
from ringwheel.robot.speech.mrcp.resources import (
    Recognizer,
    RecognizeWish,
    Recorder,
    RecordWish,
    Synthesizer,
    VoiceWish,
)
from ringwheel.robot.speech.mrcp.words import (
    EventName,
    Header,
    Method,
    RecognizeCause,
    RecordCause,
    RequestState,
    Resource,
    SpeakCause,
    Status,
    cause_name,
    cause_text,
    methods_of,
)

RESPONSE_MS = 1_000
PENDING, IN_PROGRESS, COMPLETE = RequestState


@dataclass
class Asker:
    """Who has asked: notes what it is told."""

    told: list = field(default_factory=list)
    outcome: object = None

    def on_taken(self, asked):
        self.told.append(f"taken {asked.state}")

    def on_event(self, asked, event):
        assert self.outcome is None, "an event behind the end"
        self.told.append(event.name)

    def on_ended(self, asked, outcome):
        assert self.outcome is None, "two ends"
        self.outcome = outcome
        self.told.append(outcome.ending.value)


class Bench:
    """A channel, and a server that is played by the test."""

    def __init__(self, resource=Resource.SPEECHSYNTH):
        self.now_ms = 0
        self.framer = Framer()
        self.sent = []
        self.channel = Channel(
            ChannelId("1", resource), self._send, itertools.count(1), response_ms=RESPONSE_MS
        )
        self.synthesizer = Synthesizer(self.channel)
        self.recognizer = Recognizer(self.channel)
        self.recorder = Recorder(self.channel)

    def _send(self, data):
        self.framer.feed(data)
        self.sent.append(self.framer.next())
        assert self.framer.buffered == 0

    def ask(self, method, **options):
        user = Asker()
        asked = self.channel.ask(method, user, self.now_ms, **options)
        return user, asked.id

    def respond(self, request_id, status=200, state=COMPLETE, **headers):
        lines = Headers((name.replace("_", "-"), value) for name, value in headers.items())
        response = Response(request_id, status=status, state=state, headers=lines)
        self.channel.receive(response, self.now_ms)

    def tell(self, request_id, name, state=COMPLETE, **headers):
        lines = Headers((key.replace("_", "-"), value) for key, value in headers.items())
        event = Event(request_id, name=name, state=state, headers=lines)
        self.channel.receive(event, self.now_ms)

    def wait(self, ms):
        """Time goes by, from one deadline to the next."""
        end_ms = self.now_ms + ms
        while (due_ms := self.channel.due_ms) is not None and due_ms <= end_ms:
            self.now_ms = due_ms
            self.channel.expire(due_ms)
        self.now_ms = end_ms


LASTING = {
    Method.SPEAK: (EventName.SPEAK_COMPLETE, SpeakCause),
    Method.RECOGNIZE: (EventName.RECOGNITION_COMPLETE, RecognizeCause),
    Method.INTERPRET: (EventName.INTERPRETATION_COMPLETE, RecognizeCause),
    Method.RECORD: (EventName.RECORD_COMPLETE, RecordCause),
}


@pytest.mark.parametrize("method", [m for m in Method if m not in LASTING])
@pytest.mark.parametrize("status", [200, 201])
def test_what_is_done_at_once_ends_with_its_response(method, status):
    bench = Bench()
    user, request_id = bench.ask(method)
    bench.respond(request_id, status)
    assert user.told == ["complete"]
    assert user.outcome.status == status
    assert bench.channel.open == () and bench.channel.due_ms is None


@pytest.mark.parametrize(
    ("method", "cause"), [(m, c) for m, (_, causes) in LASTING.items() for c in causes]
)
def test_each_completion_cause_is_told_apart(method, cause):
    bench = Bench()
    user, request_id = bench.ask(method, complete_within_ms=10_000)
    bench.respond(request_id, 200, IN_PROGRESS)
    bench.wait(5_000)
    bench.tell(request_id, LASTING[method][0], completion_cause=cause_text(cause))
    assert user.told == ["taken IN-PROGRESS", "complete"]
    assert user.outcome.cause is cause
    assert cause_name(cause) in user.outcome.text


@pytest.mark.parametrize("status", [s for s in Status if s >= 300] + [300, 199, 499, 999])
@pytest.mark.parametrize("method", Method)
def test_each_refusal_ends_the_request(method, status):
    bench = Bench()
    user, request_id = bench.ask(method)
    bench.respond(request_id, status, completion_reason='"no such thing"')
    assert user.told == ["refused"]
    assert user.outcome.status == status
    assert str(status) in user.outcome.text and "no such thing" in user.outcome.text


@pytest.mark.parametrize(
    ("method", "cause"),
    [
        (Method.DEFINE_GRAMMAR, RecognizeCause.GRAMMAR_COMPILATION_FAILURE),
        (Method.RECOGNIZE, RecognizeCause.GRAMMAR_LOAD_FAILURE),
        (Method.SPEAK, SpeakCause.LANGUAGE_UNSUPPORTED),
        (Method.DEFINE_LEXICON, SpeakCause.LEXICON_LOAD_FAILURE),
        (Method.RECORD, RecordCause.URI_FAILURE),
    ],
)
def test_a_refusal_may_have_a_cause_as_well(method, cause):
    bench = Bench()
    user, request_id = bench.ask(method)
    bench.respond(
        request_id, 407, completion_cause=cause_text(cause), failed_uri="http://example.com/g"
    )
    assert (user.outcome.ending, user.outcome.cause) == (Ending.REFUSED, cause)
    assert "http://example.com/g" in user.outcome.text


@pytest.mark.parametrize("method", Method)
def test_a_server_that_never_answers(method):
    bench = Bench()
    user, _ = bench.ask(method)
    bench.wait(RESPONSE_MS - 1)
    assert user.told == []
    bench.wait(1)
    assert user.told == ["no-response"]


@pytest.mark.parametrize("method", LASTING)
def test_a_server_that_takes_it_and_never_ends(method):
    bench = Bench()
    user, request_id = bench.ask(method, complete_within_ms=3_000)
    bench.wait(900)
    bench.respond(request_id, 200, IN_PROGRESS)
    bench.wait(2_999)
    assert user.outcome is None
    bench.wait(1)
    assert user.told[-1] == "no-completion"


def test_without_a_limit_a_completion_may_take_any_time():
    bench = Bench()
    user, request_id = bench.ask(Method.SPEAK)
    bench.respond(request_id, 200, IN_PROGRESS)
    assert bench.channel.due_ms is None
    bench.wait(10**9)
    bench.tell(request_id, EventName.SPEAK_COMPLETE)
    assert user.outcome.ok and user.outcome.cause is None


def test_the_time_can_be_given_anew():
    bench = Bench()
    user, request_id = bench.ask(Method.RECOGNIZE, complete_within_ms=3_000)
    (asked,) = bench.channel.open
    bench.channel.extend(asked, 9_000, 0)
    bench.wait(900)  # the time of the response stays what it was
    assert bench.channel.due_ms == RESPONSE_MS
    bench.respond(request_id, 200, IN_PROGRESS)
    assert bench.channel.due_ms == 900 + 9_000
    bench.channel.extend(asked, 500, bench.now_ms)
    bench.wait(500)
    assert user.told[-1] == "no-completion"


def test_what_comes_late_twice_or_unasked_changes_nothing_and_is_counted():
    bench = Bench(Resource.SPEECHRECOG)
    user, request_id = bench.ask(Method.RECOGNIZE, complete_within_ms=3_000)
    bench.respond(request_id, 200, IN_PROGRESS)
    bench.respond(request_id, 407)
    bench.tell(99, EventName.START_OF_INPUT)
    bench.respond(98)
    bench.tell(request_id, "SPEECH-OF-SOMEBODY")
    bench.tell(request_id, EventName.SPEAK_COMPLETE)
    bench.tell(
        request_id,
        EventName.RECOGNITION_COMPLETE,
        completion_cause=cause_text(RecognizeCause.SUCCESS),
    )
    bench.tell(request_id, EventName.RECOGNITION_COMPLETE)
    bench.tell(request_id, EventName.START_OF_INPUT, IN_PROGRESS)
    bench.respond(request_id, 200, IN_PROGRESS)
    assert user.told == ["taken IN-PROGRESS", "complete"]
    assert user.outcome.cause is RecognizeCause.SUCCESS
    assert bench.channel.odd == {
        Oddity.REPEATED_RESPONSE: 1,
        Oddity.STRAY_EVENT: 1,
        Oddity.STRAY_RESPONSE: 1,
        Oddity.UNKNOWN_EVENT: 1,
        Oddity.UNFIT_EVENT: 1,
        Oddity.LATE_EVENT: 2,
        Oddity.LATE_RESPONSE: 1,
    }


def test_an_answer_behind_its_deadline_is_late():
    bench = Bench()
    user, request_id = bench.ask(Method.SPEAK)
    bench.wait(RESPONSE_MS)
    bench.respond(request_id, 200, IN_PROGRESS)
    bench.tell(request_id, EventName.SPEAK_COMPLETE)
    assert user.told == ["no-response"]
    assert bench.channel.odd == {Oddity.LATE_RESPONSE: 1, Oddity.LATE_EVENT: 1}


def test_an_event_that_overtakes_the_response_says_it_as_well():
    bench = Bench(Resource.SPEECHRECOG)
    user, request_id = bench.ask(Method.RECOGNIZE, complete_within_ms=3_000)
    bench.tell(request_id, EventName.START_OF_INPUT, IN_PROGRESS)
    bench.respond(request_id, 200, IN_PROGRESS)
    bench.tell(request_id, EventName.RECOGNITION_COMPLETE)
    assert user.told == ["taken IN-PROGRESS", "START-OF-INPUT", "complete"]
    assert bench.channel.odd == {Oddity.EVENT_BEFORE_RESPONSE: 1, Oddity.REPEATED_RESPONSE: 1}


def test_states_that_contradict_the_name_are_counted_and_the_name_goes():
    bench = Bench(Resource.SPEECHRECOG)
    user, request_id = bench.ask(Method.RECOGNIZE)
    bench.respond(request_id, 200, IN_PROGRESS)
    bench.tell(request_id, EventName.START_OF_INPUT, COMPLETE)
    assert user.outcome is None
    bench.tell(request_id, EventName.RECOGNITION_COMPLETE, IN_PROGRESS)
    assert user.outcome.ok
    stop, stop_id = bench.ask(Method.STOP)
    bench.respond(stop_id, 200, IN_PROGRESS)
    assert stop.outcome.ok
    assert bench.channel.odd == {Oddity.UNFIT_STATE: 3}


def test_texts_queue_and_the_next_goes_on_when_the_first_has_ended():
    bench = Bench()
    first, first_id = bench.ask(Method.SPEAK)
    second, second_id = bench.ask(Method.SPEAK)
    bench.respond(first_id, 200, IN_PROGRESS)
    bench.respond(second_id, 200, PENDING)
    bench.tell(first_id, EventName.SPEECH_MARKER, IN_PROGRESS, speech_marker="timestamp=1;here")
    bench.tell(first_id, EventName.SPEAK_COMPLETE, completion_cause="000 normal")
    bench.tell(second_id, EventName.SPEECH_MARKER, IN_PROGRESS, speech_marker="timestamp=2")
    assert bench.channel.open[0].state is IN_PROGRESS
    bench.tell(second_id, EventName.SPEAK_COMPLETE, completion_cause="000 normal")
    assert first.told == ["taken IN-PROGRESS", "SPEECH-MARKER", "complete"]
    assert second.told == ["taken PENDING", "SPEECH-MARKER", "complete"]


def test_a_stop_ends_what_it_meant_whether_or_not_the_server_lists_it():
    for listed in ({}, {"active_request_id_list": "1,2"}, {"active_request_id_list": "bogus, 77"}):
        bench = Bench()
        first, first_id = bench.ask(Method.SPEAK)
        second, second_id = bench.ask(Method.SPEAK)
        bench.respond(first_id, 200, IN_PROGRESS)
        bench.respond(second_id, 200, PENDING)
        stop, stop_id = bench.ask(Method.STOP)
        behind, behind_id = bench.ask(Method.SPEAK)
        bench.respond(stop_id, 200, **listed)
        assert [u.told[-1] for u in (first, second, stop)] == ["stopped", "stopped", "complete"]
        assert behind.outcome is None


def test_a_stop_of_one_leaves_the_others():
    bench = Bench()
    first, first_id = bench.ask(Method.SPEAK)
    second, second_id = bench.ask(Method.SPEAK)
    bench.respond(first_id, 200, IN_PROGRESS)
    bench.respond(second_id, 200, PENDING)
    asker = Asker()
    stop = bench.synthesizer.stop(asker, 0, (second_id,))
    assert bench.sent[-1].headers.get(Header.ACTIVE_REQUEST_ID_LIST) == str(second_id)
    bench.respond(stop.id, 200, active_request_id_list=str(second_id))
    assert (first.outcome, second.outcome.ending) == (None, Ending.STOPPED)


def test_a_stop_that_crosses_the_end_is_harmless():
    bench = Bench()
    user, request_id = bench.ask(Method.SPEAK)
    bench.respond(request_id, 200, IN_PROGRESS)
    stop, stop_id = bench.ask(Method.STOP)
    bench.tell(request_id, EventName.SPEAK_COMPLETE, completion_cause="000 normal")
    bench.respond(stop_id, 200)
    assert user.outcome.cause is SpeakCause.NORMAL
    assert stop.outcome.ok and bench.channel.odd == {}


def test_a_stop_that_is_refused_ends_nothing_else():
    bench = Bench()
    user, request_id = bench.ask(Method.SPEAK, complete_within_ms=5_000)
    bench.respond(request_id, 200, IN_PROGRESS)
    stop, stop_id = bench.ask(Method.STOP)
    bench.respond(stop_id, 402)
    assert (stop.outcome.ending, user.outcome) == (Ending.REFUSED, None)
    bench.wait(5_000)
    assert user.outcome.ending is Ending.NO_COMPLETION


def test_barge_in_ends_what_the_server_says_it_has_killed():
    bench = Bench()
    killed, killed_id = bench.ask(Method.SPEAK)
    kept, kept_id = bench.ask(Method.SPEAK)
    bench.respond(killed_id, 200, IN_PROGRESS)
    bench.respond(kept_id, 200, PENDING)
    barge, barge_id = bench.ask(Method.BARGE_IN_OCCURRED)
    bench.respond(barge_id, 200, active_request_id_list=str(killed_id))
    assert killed.outcome.ending is Ending.STOPPED
    assert (kept.outcome, barge.outcome.ok) == (None, True)


def test_barge_in_that_meets_the_end_of_the_prompt():
    bench = Bench()
    user, request_id = bench.ask(Method.SPEAK)
    bench.respond(request_id, 200, IN_PROGRESS)
    barge, barge_id = bench.ask(Method.BARGE_IN_OCCURRED)
    bench.tell(request_id, EventName.SPEAK_COMPLETE, completion_cause="000 normal")
    bench.respond(barge_id, 200, active_request_id_list=str(request_id))
    assert (user.outcome.cause, barge.outcome.ok) == (SpeakCause.NORMAL, True)


def test_a_channel_that_is_lost_ends_all_that_was_asked_of_it_and_all_that_is():
    bench = Bench()
    first, first_id = bench.ask(Method.SPEAK)
    second, _ = bench.ask(Method.SPEAK)
    bench.respond(first_id, 200, IN_PROGRESS)
    bench.channel.lose("the server is gone")
    third, _ = bench.ask(Method.SPEAK)
    for user in (first, second, third):
        assert user.outcome.ending is Ending.LOST
        assert user.outcome.text == "the server is gone"
    assert len(bench.sent) == 2 and bench.channel.due_ms is None


def test_no_more_requests_wait_than_the_bound():
    bench = Bench()
    for _ in range(MAX_OPEN_REQUESTS):
        bench.ask(Method.SPEAK)
    with pytest.raises(TooManyRequests):
        bench.ask(Method.SPEAK)
    bench.respond(1, 501)
    bench.ask(Method.SPEAK)


def test_request_ids_go_up_over_all_channels_of_a_session():
    ids = itertools.count(1)
    sent = []
    channels = [Channel(ChannelId("1", r), sent.append, ids) for r in list(Resource)[:2]]
    for channel in [*channels, *channels]:
        channel.ask(Method.GET_PARAMS, Asker(), 0)
    assert [int(data.split()[3]) for data in sent] == [1, 2, 3, 4]


# What is written


def fields(message):
    return {str(name): value for name, value in message.headers}


def test_every_method_of_a_synthesizer_is_written_as_the_rfc_has_it():
    bench, user = Bench(), Asker()
    synthesizer = bench.synthesizer
    synthesizer.speak(
        user,
        0,
        "<speak/>",
        ssml=True,
        language="de-DE",
        voice=VoiceWish(name="Anna", gender="female", age=30, rate="fast"),
        kill_on_barge_in=False,
        vendor=[("com.example.mood", "calm and kind")],
    )
    synthesizer.speak(user, 0, "hello")
    synthesizer.pause(user, 0)
    synthesizer.resume(user, 0)
    synthesizer.barge_in_occurred(user, 0)
    synthesizer.control(user, 0, jump="-15 Word", voice=VoiceWish(volume="loud"))
    synthesizer.set_params(user, 0, {"Voice-Gender": "female"})
    synthesizer.get_params(user, 0, ["Voice-Gender", "Speech-Language"])
    synthesizer.define_lexicon(user, 0, "names", b"<lexicon/>")
    synthesizer.stop(user, 0)
    speak, plain, *_, control, set_params, get_params, lexicon, _ = bench.sent
    assert {message.method for message in bench.sent} == methods_of(Resource.SPEECHSYNTH)
    assert speak.body == b"<speak/>" and speak.channel == ChannelId("1", "speechsynth")
    vendor = fields(speak).pop("Vendor-Specific-Parameters")
    assert parameters_of(vendor) == [("com.example.mood", "calm and kind")]
    assert fields(speak).items() >= {
        ("Content-Type", "application/ssml+xml"),
        ("Kill-On-Barge-In", "false"),
        ("Speech-Language", "de-DE"),
        ("Voice-Name", "Anna"),
        ("Voice-Gender", "female"),
        ("Voice-Age", "30"),
        ("Prosody-Rate", "fast"),
    }
    assert fields(plain)["Content-Type"] == "text/plain"
    assert "Voice-Name" not in fields(plain) and "Vendor-Specific-Parameters" not in fields(plain)
    assert fields(control).items() >= {("Jump-Size", "-15 Word"), ("Prosody-Volume", "loud")}
    assert fields(set_params)["Voice-Gender"] == "female"
    assert fields(get_params).items() >= {("Voice-Gender", ""), ("Speech-Language", "")}
    assert (lexicon.body, fields(lexicon)["Content-ID"]) == (b"<lexicon/>", "<names>")


def test_every_method_of_a_recognizer_is_written_as_the_rfc_has_it():
    bench, user = Bench(Resource.SPEECHRECOG), Asker()
    recognizer = bench.recognizer
    recognizer.define_grammar(user, 0, "g@x", b"<grammar/>", language="en-US")
    recognizer.recognize(
        user,
        0,
        ["session:g@x", "builtin:speech/boolean"],
        RecognizeWish(
            language="en-US",
            confidence=0.456,
            no_input_ms=5_000,
            recognition_ms=15_000,
            complete_ms=800,
            timers_run=False,
            hotword=True,
            hotword_max_ms=3_000,
            cancel_if_queue=True,
            clear_digits=True,
            save_waveform=True,
        ),
    )
    recognizer.start_input_timers(user, 0)
    recognizer.get_result(user, 0, confidence=0.3, n_best=5)
    recognizer.interpret(user, 0, "may I speak to Andre", ["session:g@x"])
    recognizer.set_params(user, 0, {"No-Input-Timeout": "100"})
    recognizer.get_params(user, 0, ["No-Input-Timeout"])
    recognizer.stop(user, 0)
    define, recognize, _, result, interpret, *_ = bench.sent
    assert {message.method for message in bench.sent} == methods_of(Resource.SPEECHRECOG)
    assert fields(define).items() >= {
        ("Content-Type", "application/srgs+xml"),
        ("Content-ID", "<g@x>"),
        ("Speech-Language", "en-US"),
    }
    assert recognize.body == b"session:g@x\r\nbuiltin:speech/boolean\r\n"
    assert fields(recognize).items() >= {
        ("Content-Type", "text/uri-list"),
        ("Accept", "application/nlsml+xml, application/emma+xml"),
        ("Confidence-Threshold", "0.46"),
        ("No-Input-Timeout", "5000"),
        ("Recognition-Timeout", "15000"),
        ("Speech-Complete-Timeout", "800"),
        ("Start-Input-Timers", "false"),
        ("Recognition-Mode", "hotword"),
        ("Hotword-Max-Duration", "3000"),
        ("Cancel-If-Queue", "true"),
        ("Clear-DTMF-Buffer", "true"),
        ("Save-Waveform", "true"),
    }
    assert fields(result).items() >= {("N-Best-List-Length", "5"), ("Confidence-Threshold", "0.30")}
    assert fields(interpret)["Interpret-Text"] == "may I speak to Andre"


def test_every_method_of_a_recorder_is_written_as_the_rfc_has_it():
    bench, user = Bench(Resource.RECORDER), Asker()
    recorder = bench.recorder
    recorder.record(user, 0, RecordWish("file:///tmp/a.wav", "audio/wav", 5_000, 60_000, 2_000))
    recorder.record(user, 0, RecordWish("", on_speech=True, timers_run=False))
    recorder.record(user, 0, RecordWish())
    recorder.start_input_timers(user, 0)
    recorder.set_params(user, 0, {"Max-Time": "1"})
    recorder.get_params(user, 0, ["Max-Time"])
    recorder.stop(user, 0)
    first, second, third, *_ = bench.sent
    assert {message.method for message in bench.sent} == methods_of(Resource.RECORDER)
    assert fields(first) == {
        "Channel-Identifier": "1@recorder",
        "Record-URI": "<file:///tmp/a.wav>",
        "Media-Type": "audio/wav",
        "No-Input-Timeout": "5000",
        "Max-Time": "60000",
        "Final-Silence": "2000",
        "Capture-On-Speech": "false",
        "Start-Input-Timers": "true",
    }
    assert fields(second).items() >= {("Record-URI", ""), ("Capture-On-Speech", "true")}
    assert "Record-URI" not in fields(third)


# Any server at all

moves = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(Method)),
    st.tuples(st.just("respond"), st.integers(0, 12), st.sampled_from([200, 201, 407, 501])),
    st.tuples(st.just("tell"), st.integers(0, 12), st.sampled_from([*EventName, "OTHER"])),
    st.tuples(st.just("wait"), st.integers(1, 3_000)),
    st.tuples(st.just("lose")),
)


@given(
    st.lists(moves, max_size=40), st.sampled_from(RequestState), st.sampled_from(["", "1,2", "3"])
)
def test_whatever_a_server_does_every_request_ends_once_and_in_time(script, state, listed):
    bench, users = Bench(), []
    for name, *rest in script:
        if name == "ask" and len(bench.channel.open) < MAX_OPEN_REQUESTS:
            users.append(bench.ask(rest[0], complete_within_ms=2_000)[0])
        elif name == "respond":
            bench.respond(rest[0], rest[1], state, active_request_id_list=listed)
        elif name == "tell":
            bench.tell(rest[0], rest[1], state, completion_cause="001 x")
        elif name == "wait":
            bench.wait(rest[0])
        elif name == "lose":
            bench.channel.lose("gone")
    bench.wait(RESPONSE_MS + 2_000)
    assert all(user.outcome is not None for user in users)
    assert bench.channel.open == () and bench.channel.due_ms is None

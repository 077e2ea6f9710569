"""Dialogue scripts in virtual time: what each step does, and how questions are counted."""

import dataclasses
import json

import pytest
from ringwheel.robot.script import actions, model
from ringwheel.robot.script.events import Begin, Done, NoInput
from ringwheel.robot.script.interpreter import Interpreter
from ringwheel.robot.script.outcome import Question
from ringwheel.robot.script.state import State, StateError, StepTime

from .dialogue import (
    NOON_MS,
    Talk,
    ask,
    call,
    e,
    give_back,
    goto,
    hang_up,
    http,
    make_script,
    put,
    record,
    say,
    send_digits,
    step,
    stream,
    t,
    text,
    transfer,
    when,
)


def restored(talk):
    """The same conversation, gone on elsewhere."""
    saved = State.from_json(talk.interpreter.state().to_json())
    talk.interpreter = Interpreter.restore(talk.interpreter.script, saved, {})
    return talk


class TestSteps:
    def test_say_then_the_end(self):
        talk = Talk(make_script(say("hello ${facts.name}"), say("bye")), facts={"name": "Ada"})
        assert talk.action == actions.SayNow(
            turn=1,
            step="main.0",
            speech=(actions.SpokenText("hello Ada", "en-US"),),
            barge_in="none",
        )
        assert talk.done().said == "bye"
        assert talk.ended is None
        talk.done()
        assert talk.action == actions.HangUpNow(step="main.1", speech=(), cause="done")
        assert talk.ended.cause == "done"
        assert talk.ended.ms == 2_000

    def test_an_answer_goes_into_its_variable_and_into_the_report(self):
        talk = Talk(make_script(ask("city"), say("${city}, by ${heard.mode}"), report=("city",)))
        assert talk.hears("Bonn", mode="dtmf").said == "Bonn, by dtmf"
        assert talk.done().ended.report == {"city": "Bonn"}

    def test_a_menu_leads_where_its_choices_lead(self):
        branches = (model.Branch("sales", "main.2"), model.Branch("help", "main.1"))
        script = make_script(ask(None, verb="choose", branches=branches), say("help"), say("sales"))
        assert Talk(script).hears("help").said == "help"
        assert Talk(script).hears("sales").said == "sales"
        assert Talk(script).hears("else").said == "help"

    def test_yes_is_not_one(self):
        branches = (model.Branch(1, "main.1"), model.Branch(True, "main.2"))
        script = make_script(ask(verb="confirm", branches=branches), say("one"), say("yes"))
        assert Talk(script).hears(True).said == "yes"
        assert Talk(script).hears(1.0).said == "one"

    def test_values_are_set_in_their_order(self):
        talk = Talk(make_script(put(a="1", b="a + 1"), put(a="b * 10"), say("${a} ${b}")))
        assert talk.said == "20 2"

    def test_if_takes_the_first_case_that_holds(self):
        script = make_script(
            put(age="facts.age"),
            step(
                model.Choice,
                cases=(model.Case(e("age < 18"), "main.3"), model.Case(e("age < 65"), "main.4")),
                otherwise=None,
            ),
            say("old"),
            say("young"),
            say("grown"),
        )
        assert [Talk(script, facts={"age": age}).said for age in (7, 30, 80)] == [
            "young",
            "grown",
            "old",
        ]

    def test_a_sub_dialogue_has_variables_of_its_own(self):
        script = make_script(
            put(x="1"),
            call("double", into="y", x="x + 20"),
            say("${x} ${y}"),
            flows={"double": [put(x="x * 2", z="5"), give_back("x")]},
        )
        assert Talk(script).said == "1 42"

    def test_a_sub_dialogue_does_not_see_what_is_outside(self):
        script = make_script(put(x="1"), call("inner"), flows={"inner": [say("${x}")]})
        assert Talk(script).ended.cause == "error"

    def test_goto_takes_the_place_of_its_flow(self):
        script = make_script(
            put(x="1"), goto("other"), say("never"), flows={"other": [say("${x}")]}
        )
        talk = Talk(script)
        assert talk.said == "1"
        assert talk.done().ended.cause == "done"

    def test_http_gives_what_was_answered(self):
        script = make_script(
            http(
                "https://example.org/${facts.id}?q=${facts.q}",
                method="POST",
                headers=(("X-Key", t("k-${secrets.key}")),),
                body=e("{'n': 1}"),
                filler=text("one moment"),
            ),
            say("${reply.body.name}"),
            secrets={"key": "KEY"},
        )
        talk = Talk(script, {"key": "s3cret"}, {"id": 7, "q": "a&b=../c"})
        assert talk.action == actions.FetchNow(
            turn=1,
            step="main.0",
            method="POST",
            url="https://example.org/7?q=a%26b%3D..%2Fc",
            headers=(("X-Key", "k-s3cret"),),
            body={"n": 1},
            deadline_ms=3_000,
            retries=1,
            filler=(actions.SpokenText("one moment", "en-US"),),
        )
        assert talk.done({"status": 200, "body": {"name": "Ada"}}).said == "Ada"

    def test_a_failure_takes_the_branch_of_its_step(self):
        talk = Talk(make_script(http(failed="main.2"), say("fine"), say("${error.kind}")))
        assert talk.fails("http", result={"status": 500}).said == "http"
        talk = Talk(make_script(transfer(failed="main.2"), say("fine"), say("${error.reason}")))
        assert talk.fails("transfer", reason="busy").said == "busy"
        talk = Talk(make_script(stream(failed="main.2"), say("fine"), say("${error.step}")),
                    facts={"caller": "1"})  # fmt: skip
        assert talk.fails("stream").said == "main.0"

    def test_a_url_that_cannot_be_made_takes_it_too(self):
        talk = Talk(make_script(http("https://${unknown}/", failed="main.2"), say("a"), say("b")))
        assert talk.said == "b"

    def test_an_answer_too_large_to_remember_is_a_failure(self):
        talk = Talk(make_script(http(failed="main.2"), say("fine"), say("${error.kind}")))
        assert talk.done({"status": 200, "body": "x" * 20_000}).said == "state"

    def test_a_recording(self):
        talk = Talk(make_script(record(), say("${message.ms}")))
        assert isinstance(talk.action, actions.RecordNow)
        assert talk.done({"file": "a.wav", "ms": 1200, "ended_by": "#"}).said == "1200"

    def test_who_hangs_up_has_left_what_was_recorded(self):
        script = make_script(
            record(), say("thank you"), flows={"gone": [put(seen="message.ms")]},
            handlers=[("hang_up", "gone", False)], report=("message", "seen"),
        )  # fmt: skip
        left = {"file": "a.wav", "ms": 1200, "ended_by": "hang_up"}
        talk = Talk(script).leaves(result=left)
        assert talk.ended.cause == "left"
        assert talk.ended.report == {"message": left, "seen": 1200}

    def test_a_recording_that_is_too_large_to_remember_does_not_keep_a_call(self):
        talk = Talk(make_script(record(), report=("message",)))
        assert talk.leaves(result={"file": "x" * 20_000}).ended.cause == "left"
        assert talk.ended.report == {"message": None}

    def test_after_a_transfer_nobody_is_spoken_to(self):
        talk = Talk(make_script(transfer(), say("never"), put(x="7"), report=("x",)))
        assert talk.action.to == "+4930123456"
        talk.done({"how": "refer"})
        assert talk.ended.cause == "transferred"
        assert talk.ended.report == {"x": 7}

    def test_digits_are_sent_if_they_are_some(self):
        assert Talk(make_script(send_digits("12 3#"))).action.digits == "123#"
        assert Talk(make_script(send_digits("12x"))).ended.error["kind"] == "digits"

    def test_a_stream(self):
        talk = Talk(make_script(stream(), say("${streamed.ended_by}")), facts={"caller": "+49"})
        assert talk.action.parameters == {"name": "+49"}
        assert talk.done({"ended_by": "peer", "seconds": 3.5}).said == "peer"

    def test_hang_up_says_its_words_and_has_its_cause(self):
        talk = Talk(make_script(hang_up("quota", "thank you"), say("never")))
        assert talk.action == actions.HangUpNow(
            step="main.0", speech=(actions.SpokenText("thank you", "en-US"),), cause="quota"
        )
        assert talk.ended.cause == "quota"
        assert talk.interpreter.resume() == [talk.action]
        assert restored(talk).interpreter.resume() == [talk.action]

    def test_files_stay_within_the_folder_of_the_script(self):
        def played(path, **facts):
            prompt = model.FilePrompt(t(path), t("hi"))
            talk = Talk(
                make_script(step(model.Say, prompts=(prompt,)), base="/scripts"), facts=facts
            )
            return talk.action.speech[0].path if talk.ended is None else talk.ended.error["kind"]

        assert played("a/${facts.f}.wav", f="x") == "/scripts/a/x.wav"
        assert played("${facts.f}", f="../etc/passwd") == "prompt"
        assert played("a/${facts.f}", f="../../b") == "prompt"
        assert played("${facts.f}", f="/etc/passwd") == "prompt"
        assert played("../shared/hello.wav") == "/scripts/../shared/hello.wav"

    def test_values_in_ssml_are_no_markup(self):
        prompt = model.TextPrompt(t("<s>${facts.x}</s>"), ssml=True)
        talk = Talk(make_script(step(model.Say, prompts=(prompt,))), facts={"x": "<a>&"})
        assert talk.said == "<s>&lt;a&gt;&amp;</s>"


RETRIES = model.Retries(
    no_input=(text("silence one"), text("silence two")),
    no_match=(text("misfit one"),),
    max_no_input=4,
    max_no_match=3,
    max_total=5,
)


class TestCounting:
    """VoiceXML 2.1: 5.2.2 for the counters of events."""

    def test_prompts_escalate_and_the_last_one_stays(self):
        talk = Talk(make_script(ask(retries=RETRIES)))
        heard = [talk.said] + [talk.silence().said for _ in range(3)]
        assert heard == ["a question", "silence one", "silence two", "silence two"]
        assert talk.silence().ended.cause == "no-input"

    def test_silences_and_misfits_are_counted_apart(self):
        talk = Talk(make_script(ask(retries=RETRIES)))
        heard = [talk.silence().said, talk.misfit().said, talk.silence().said, talk.misfit().said]
        assert heard == ["silence one", "misfit one", "silence two", "misfit one"]
        # The fifth failure of both together is the last one.
        assert talk.misfit().ended.cause == "no-match"

    def test_the_question_again_where_nothing_else_is_to_be_said(self):
        talk = Talk(make_script(ask()))
        assert [talk.silence().said, talk.misfit().said] == ["a question", "a question"]

    def test_given_up_for_a_branch(self):
        retries = dataclasses.replace(RETRIES, max_no_match=1, then="main.2")
        talk = Talk(make_script(ask(retries=retries), say("fine"), say("given up")))
        assert talk.misfit().said == "given up"

    def test_given_up_for_a_handler(self):
        script = make_script(
            ask(retries=dataclasses.replace(RETRIES, max_no_input=1)),
            flows={"nobody": [say("is anybody there"), ask("y")]},
            handlers=[("silence", "nobody", False)],
        )
        talk = Talk(script)
        assert talk.silence().said == "is anybody there"
        assert talk.done().silence().silence().silence().ended.cause == "no-input"

    def test_counters_begin_anew_when_the_question_is_left(self):
        script = make_script(ask(retries=RETRIES), goto("main"))
        talk = Talk(script)
        assert talk.silence().hears("a").said == "a question"
        assert talk.silence().said == "silence one"

    def test_repeat_is_not_counted(self):
        script = make_script(ask(retries=RETRIES), handlers=[("repeat", None, True)])
        talk = Talk(script).silence()
        for _ in range(9):
            assert talk.hears("again", handler="repeat").said == "a question"
        assert talk.silence().said == "silence two"
        question = talk.hears("x").ended.questions[0]
        assert (question.asked, question.no_input, question.repeats) == (12, 2, 9)

    def test_a_value_that_does_not_hold_is_a_misfit(self):
        script = make_script(ask("age", valid=e("answer < 120"), retries=RETRIES), say("${age}"))
        assert Talk(script).hears(200).said == "misfit one"
        assert Talk(script).hears(20).said == "20"

    def test_too_little_confidence_is_a_misfit(self):
        script = make_script(ask(retries=RETRIES), say("fine"))
        assert Talk(script).hears("a", confidence=0.39).said == "misfit one"
        assert Talk(script).hears("a", confidence=float("nan")).said == "misfit one"
        assert Talk(script).hears("a", confidence=0.4).said == "fine"

    def test_a_value_that_is_no_json_is_a_misfit(self):
        talk = Talk(make_script(ask(retries=RETRIES), say("fine")))
        assert talk.hears(float("inf")).said == "misfit one"

    def test_how_questions_went(self):
        talk = Talk(make_script(ask("a", retries=RETRIES), ask("b"), say("bye")))
        talk.silence(after_ms=5_000).hears(1, after_ms=700).misfit(after_ms=900).leaves(after_ms=50)
        assert talk.ended.questions == (
            Question("main.0", 2, 1, 0, 0, 5_700, "answered"),
            Question("main.1", 2, 0, 1, 0, 950, "left"),
        )
        assert talk.ended.trace == (
            StepTime("main.0", 0, 5_000, "no-input"),
            StepTime("main.0", 5_000, 700, "answered"),
            StepTime("main.1", 5_700, 900, "no-match"),
            StepTime("main.1", 6_600, 50, "left"),
        )


class TestHandlers:
    SCRIPT = make_script(
        ask("a", "first", retries=RETRIES),
        say("${a}"),
        flows={
            "help": [say("some help"), ask("b", "help?")],
            "away": [goto("other")],
            "other": [ask("c", "elsewhere")],
            "gone": [say("never said"), put(x="'noted'"), http(), ask("d")],
            "broken": [say("sorry: ${error.kind}"), say("${unknown}")],
        },
        handlers=[
            ("operator", "help", True),
            ("away", "away", True),
            ("hang_up", "gone", False),
            ("error", "broken", False),
        ],
        report=("x", "a"),
    )

    def test_its_flow_runs_and_the_question_is_asked_again(self):
        talk = Talk(self.SCRIPT).silence()
        assert talk.hears("operator", handler="operator").said == "some help"
        assert talk.done().said == "help?"
        assert talk.hears("thanks").said == "first"
        # It was not left: it is still counted.
        assert talk.silence().said == "silence two"
        assert talk.hears("x").said == "x"

    def test_it_is_not_open_within_itself(self):
        talk = Talk(self.SCRIPT)
        assert set(talk.action.handlers) == {"operator", "away"}
        talk.hears("operator", handler="operator").done()
        assert set(talk.action.handlers) == {"away"}
        assert talk.hears("operator", handler="operator").said == "help?"

    def test_goto_leaves_the_question_for_good(self):
        talk = Talk(self.SCRIPT)
        assert talk.hears("away", handler="away").said == "elsewhere"
        assert set(talk.action.handlers) == {"operator", "away"}
        assert talk.hears("x").ended.cause == "done"

    def test_who_leaves_is_not_spoken_to_but_what_is_left_to_do_is_done(self):
        talk = Talk(self.SCRIPT).leaves()
        assert isinstance(talk.action, actions.FetchNow)
        assert talk.interpreter.alone
        talk.leaves()
        talk.done({"status": 200, "body": None})
        assert talk.ended.cause == "left"
        assert talk.ended.report == {"x": "noted", "a": None}

    def test_who_leaves_in_a_sub_dialogue_is_out_of_it(self):
        script = make_script(
            put(x="1"),
            call("inner"),
            flows={"inner": [put(x="2"), ask("y")], "gone": [put(seen="x")]},
            handlers=[("hang_up", "gone", False)],
            report=("seen",),
        )
        assert Talk(script).leaves().ended.report == {"seen": 1}

    def test_without_a_handler_it_has_just_ended(self):
        talk = Talk(make_script(say("hello"))).leaves()
        assert talk.action == actions.HangUpNow(step="main.0", speech=(), cause="left")
        assert talk.ended.cause == "left"

    def test_errors_have_a_handler_which_does_not_run_within_itself(self):
        talk = Talk(self.SCRIPT).fails("speech", "the server is gone")
        assert talk.said == "sorry: speech"
        talk.done()
        assert talk.ended.cause == "error"
        assert talk.ended.error["kind"] == "expression"

    def test_an_error_without_a_handler_is_the_end(self):
        talk = Talk(make_script(ask())).fails("speech", "the server is gone")
        assert talk.ended.cause == "error"
        assert talk.ended.error == {
            "kind": "speech",
            "reason": "the server is gone",
            "step": "main.0",
            "result": None,
        }


class TestBounds:
    def test_a_loop_that_never_waits(self):
        script = make_script(goto("main"), flows={"sorry": [say("sorry: ${error.kind}")]},
                             handlers=[("error", "sorry", False)])  # fmt: skip
        talk = Talk(script)
        assert talk.said == "sorry: loop"
        assert talk.done().ended.cause == "error"

    def test_a_loop_whose_handler_never_waits_either(self):
        script = make_script(goto("main"), flows={"sorry": [goto("main")]},
                             handlers=[("error", "sorry", False)])  # fmt: skip
        assert Talk(script).ended.cause == "error"

    def test_the_steps_of_a_conversation(self):
        script = make_script(say("again"), goto("main"), flows={"sorry": [say("${error.kind}")]},
                             handlers=[("error", "sorry", False)],
                             limits=model.Limits(steps=20))  # fmt: skip
        talk = Talk(script)
        while talk.said == "again":
            talk.done()
        assert talk.said == "steps"
        assert talk.interpreter.steps <= 23

    def test_sub_dialogues_within_each_other(self):
        script = make_script(call("deep"), flows={"deep": [call("deep")]})
        assert Talk(script).ended.error["kind"] == "depth"

    def test_what_is_remembered(self):
        grow = "text + text"
        script = make_script(
            put(text="'x' + facts.x"), call("more", text="text"),
            flows={"more": [put(text=grow), ask("y"), goto("more")]},
            limits=model.Limits(state_bytes=8_000),
        )  # fmt: skip
        talk = Talk(script, facts={"x": "y" * 300})
        while talk.ended is None:
            assert len(talk.interpreter.state().to_json()) <= 8_000
            talk.hears("a")
        assert talk.ended.error["kind"] == "state"
        assert len(talk.interpreter.state().to_json()) <= 8_000

    def test_old_turns_make_room(self):
        script = make_script(say("hello"), goto("main"), limits=model.Limits(state_bytes=4_096))
        talk = Talk(script)
        for _ in range(200):
            talk.done()
            assert len(talk.interpreter.state().to_json()) <= 4_096
        assert talk.leaves().ended.left_out + len(talk.ended.trace) == 201


class TestEvents:
    def test_late_and_early_ones_change_nothing(self):
        talk = Talk(make_script(say("one"), ask("x"), say("two")))
        talk.done()
        before = talk.interpreter.state()
        for event in (
            Done(at_ms=NOON_MS + 9_000, turn=1),
            NoInput(at_ms=NOON_MS + 9_000, turn=7),
            Begin(at_ms=NOON_MS + 9_000),
        ):
            assert talk.interpreter.handle(event) == []
        assert talk.interpreter.state() == before

    def test_before_the_beginning_there_is_nothing(self):
        interpreter = Interpreter(make_script(say("one")), {})
        assert interpreter.handle(Done(at_ms=1, turn=0)) == []
        assert interpreter.resume() == []
        assert interpreter.stop(1, "limit") == []
        assert interpreter.waiting is None

    @pytest.mark.parametrize(
        "made", [http(), record(), stream(into="x")], ids=["http", "record", "stream"]
    )
    def test_an_answer_of_another_kind_is_a_failure(self, made):
        talk = Talk(make_script(made), facts={"caller": "1"}).silence()
        assert talk.ended.error["kind"] == "protocol"

    def test_time_does_not_go_back(self):
        talk = Talk(make_script(say("one"), say("two"), say("three")))
        talk.done(after_ms=500).done(after_ms=-9_000)
        assert talk.leaves(after_ms=10_000).ended.ms == 1_500

    def test_stopped_from_outside(self):
        talk = Talk(make_script(ask()))
        (action,) = talk.interpreter.stop(NOON_MS + 5_000, "limit")
        assert action.cause == talk.ended.cause == "limit"
        assert talk.ended.ms == 5_000


class TestState:
    SCRIPT = make_script(
        ask("x", retries=RETRIES),
        call("inner", into="y", given="x"),
        say("${y}"),
        flows={"inner": [ask("z"), give_back("given + z")], "help": [ask("h")]},
        handlers=[("help", "help", True)],
    )

    def test_it_goes_on_elsewhere(self):
        talk = Talk(self.SCRIPT).silence()
        before = talk.action
        assert restored(talk).interpreter.resume() == [before]
        assert restored(talk).silence().said == "silence two"
        assert restored(talk.hears("a")).at == "inner.0"
        assert restored(talk.hears("help", handler="help")).at == "help.0"
        assert restored(talk).hears("no").at == "inner.0"
        assert restored(talk).hears("b").said == "ab"

    def test_another_script_is_refused(self):
        saved = Talk(self.SCRIPT).interpreter.state()
        other = dataclasses.replace(self.SCRIPT, hash="00" * 32)
        with pytest.raises(StateError, match="another script"):
            Interpreter.restore(other, saved, {})

    def test_secrets_stay_out_of_it_and_come_back(self):
        script = make_script(
            put(a="'<' + secrets.key + '>'", b="facts.x"),
            http("https://example.org/${a}", into="c"),
            say("${a} ${b} ${c.body}"),
            secrets={"key": "KEY"},
            report=("a", "c"),
        )
        talk = Talk(script, {"key": "s3cret"}, {"x": "\x1akey\x1a"})
        talk.done({"status": 200, "body": "you said s3cret"})
        text = talk.interpreter.state().to_json()
        assert "s3cret" not in text
        again = Interpreter.restore(script, State.from_json(text), {"key": "s3cret"})
        assert again.resume() == [talk.action]
        assert talk.said == "<s3cret> \x1akey\x1a you said s3cret"
        assert talk.done().ended.report == {
            "a": "<***>",
            "c": {"status": 200, "body": "you said ***"},
        }

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"version": 2}, "version 2"),
            ({"frames": []}, "never began|no step"),
            ({"frames": 7}, "frames: 7"),
            ({"turn": -1}, "turn: -1"),
            ({"turn": "1"}, "turn: '1'"),
            ({"channel": "smoke"}, "'smoke' is none of"),
            ({"gone": "fishing"}, "'fishing' is none of"),
            ({"questions": {"main.0": [1]}}, "no row of 6"),
            ({"questions": {"main.0": [1, 0, 0, 0, -5, ""]}}, "below 0"),
            ({"trace": [["main.0", 0, 0, ""]] * 99}, "99 rows"),
            ({"facts": []}, "facts"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_what_is_no_state_is_refused(self, change, reason):
        document = dict(Talk(self.SCRIPT).interpreter.state().document)
        if change == {"frames": []}:
            change = {"frames": [], "cause": "done"}
        with pytest.raises(StateError, match=reason):
            Interpreter.restore(self.SCRIPT, State({**document, **change}), {})

    @pytest.mark.parametrize(
        ("frame", "reason"),
        [
            ({"at": None}, "no question"),
            ({"at": None, "asked": None}, "no step that waits"),
            ({"at": "main.1"}, "no step that waits|no question"),
            ({"at": "else.0"}, "none of the script's steps"),
            ({"flow": "else"}, "none of the script's"),
            ({"kind": "call"}, "the first one is 'main'"),
            ({"handler": "help"}, "with handler"),
            ({"asked": [0, 0, "no_input"]}, "never happened"),
            ({"asked": [0, 0, "what"]}, "'what'"),
            ({"variables": None}, "variables"),
            ({"variables": {"x": "\x1aother\x1a"}}, None),
        ],
    )
    def test_a_frame_that_cannot_be_is_refused(self, frame, reason):
        document = dict(Talk(self.SCRIPT).interpreter.state().document)
        document["frames"] = [{**document["frames"][0], **frame}]
        if reason is None:
            # There are no secrets here: it is a text like any other.
            assert Interpreter.restore(self.SCRIPT, State(document), {}).waiting
            return
        with pytest.raises(StateError, match=reason):
            Interpreter.restore(self.SCRIPT, State(document), {})

    @pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"a":' * 9_999, "x" * (2 << 20)])
    def test_what_is_no_json_is_refused(self, text):
        with pytest.raises(StateError):
            State.from_json(text)

    def test_what_lacks_variables_is_refused(self):
        talk = Talk(self.SCRIPT).hears("a").hears("b")
        document = json.loads(talk.interpreter.state().to_json())
        document["frames"][0]["variables"] = {}
        with pytest.raises(StateError, match="cannot be taken up"):
            Interpreter.restore(self.SCRIPT, State(document), {})

    def test_it_is_small(self):
        assert len(Talk(self.SCRIPT).interpreter.state().to_json()) < 700


def test_a_condition_reads_the_channel():
    script = make_script(when("channel == 'phone'", "main.2"), say("text"), say("phone"))
    assert Talk(script).said == "phone"

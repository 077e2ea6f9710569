"""Scripts that hand over to each other, in virtual time, saved and restored after each event."""

from __future__ import annotations

import pytest
from ringwheel.robot.script import actions, state
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.script.interpreter import Interpreter
from ringwheel.robot.script.state import Report, State, StateError

from .dialogue import Talk

FIRST = """\
ringwheel: 1
name: First
locale: en-GB
report: [topic, who]
variables: {who: facts.caller}
limits: {steps: 12}
on:
  operator: {phrases: [operator], then: [say: The first operator.]}
  hang_up: [transfer: {script: second.yaml}]
  error: [say: "Failed, ${error.kind}.", hang_up: first-error]
  silence: [hang_up: first-silence]
  no_match: [hang_up: first-silence]
steps:
  - ask: {into: topic, prompt: What is it about?, answer: text}
  - call: {flow: go, with: {about: topic}}
flows:
  go:
    parameters: [about]
    steps:
      - transfer: {script: second.yaml, with: {subject: "upper(about)", size: 1.5}}
"""
SECOND = """\
ringwheel: 1
name: Second
locale: de
report: [topic, answered]
variables: {subject: "'none'", size: 0, twice: "size * 2", topic: subject}
limits: {call: 90s, silence: 7s}
on:
  helper: {phrases: [helper], then: [say: The second helper.]}
  silence: [hang_up: second-silence]
  no_match: [hang_up: second-silence]
  error: [hang_up: second-error]
steps:
  - say: ["About ${subject}:", {number: twice}, "${facts.caller}"]
  - ask: {into: answered, prompt: And?, answer: text}
  - if:
      when: answered == 'again'
      then: [transfer: {script: first.yaml, with: {who: subject}}]
  - hang_up: {cause: served, say: Goodbye.}
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "first.yaml").write_text(FIRST)
    (tmp_path / "second.yaml").write_text(SECOND)
    return load_script(tmp_path / "first.yaml")


class Saved(Talk):
    """A conversation that goes on on another machine after each event."""

    def give(self, *arguments, **fields):
        given = super().give(*arguments, **fields)
        saved = State.from_json(self.interpreter.state().to_json())
        script = self.interpreter.script
        self.interpreter = Interpreter.restore(script, saved, {})
        assert self.interpreter.resume() == [self.action]
        return given


def begun(script, kind=Saved):
    return kind(script, facts={"caller": "Ada"})


def test_the_other_script_begins_with_what_it_was_given(script):
    talk = begun(script).hears("tea")
    assert talk.action.step == "second.yaml:main.0"
    assert [spoken.text for spoken in talk.action.speech] == ["About TEA:", "drei", "Ada"]
    assert {spoken.locale for spoken in talk.action.speech} == {"de"}


def test_its_handlers_limits_and_report_are_its_own(script):
    talk = begun(script)
    assert set(talk.action.handlers) == {"operator"}
    assert talk.interpreter.limits.call_s == 3_600
    talk.hears("tea").done()
    assert set(talk.action.handlers) == {"helper"}
    assert (talk.interpreter.limits.call_s, talk.interpreter.limits.silence_s) == (90, 7)
    assert talk.hears("helper", handler="helper").said == "The second helper."
    talk.done().hears("yes")
    assert talk.ended.cause == "served"
    assert talk.ended.reports == (
        Report("First", {"topic": "tea", "who": "Ada"}),
        Report("Second", {"topic": "TEA", "answered": "yes"}),
    )
    assert talk.ended.report == {"topic": "TEA", "who": "Ada", "answered": "yes"}
    assert [turn.step for turn in talk.ended.trace][:3] == [
        "main.0",
        "second.yaml:main.0",
        "second.yaml:main.1",
    ]


def test_back_in_the_first_it_begins_anew(script):
    talk = begun(script).hears("tea").done().hears("again")
    assert (talk.action.step, set(talk.action.handlers)) == ("main.0", {"operator"})
    # The first has no value yet for its own report, and keeps what it reported before.
    talk.leaves()
    assert talk.ended.cause == "left"
    assert [report.script for report in talk.ended.reports] == ["First", "Second", "First"]
    assert talk.ended.report == {"topic": "TEA", "who": "TEA", "answered": "again"}


def test_steps_are_counted_on(script):
    talk = begun(script).hears("tea").done().hears("again").hears("tea").done()
    # The limit is the first script's, in which there are more by now than it allows.
    assert talk.hears("again").said == "Failed, steps."


def test_silence_is_counted_by_the_other_script(script):
    talk = begun(script).hears("tea").done()
    for _ in range(3):
        talk.silence()
    assert talk.ended.cause == "second-silence"


def test_to_nobody_it_does_not_go_on(script):
    talk = begun(script).leaves()
    assert isinstance(talk.action, actions.HangUpNow)
    assert [report.script for report in talk.ended.reports] == ["First"]


def test_two_scripts_that_only_hand_over_come_to_an_end(tmp_path):
    for name, other in (("one", "two"), ("two", "one")):
        text = f"ringwheel: 1\nsteps: [transfer: {{script: {other}.yaml}}]\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    talk = begun(load_script(tmp_path / "one.yaml"), Talk)
    assert (talk.ended.cause, talk.ended.error["kind"]) == ("error", "hand-over")
    assert len(talk.ended.reports) == state.MAX_HAND_OVERS + 1


def test_a_saved_state_is_of_these_scripts(script, tmp_path):
    saved = begun(script, Talk).hears("tea").interpreter.state()
    unknown = State({**saved.document, "part": "third.yaml"})
    with pytest.raises(StateError, match="none of the scripts"):
        Interpreter.restore(script, unknown, {})
    many = State({**saved.document, "reports": [["x", {}]] * 99})
    with pytest.raises(StateError, match="99 of them"):
        Interpreter.restore(script, many, {})
    (tmp_path / "second.yaml").write_text(SECOND.replace("Goodbye", "Bye"))
    changed = load_script(tmp_path / "first.yaml")
    with pytest.raises(StateError, match="of another script"):
        Interpreter.restore(changed, saved, {})


def test_either_may_be_the_first(script, tmp_path):
    alone = load_script(tmp_path / "second.yaml")
    assert set(alone.others) == {"first.yaml"}
    assert set(alone.steps) == {"main.0", "main.1", "main.2", "main.2.then.0", "main.3"} | {
        f"on.{name}.0" for name in ("helper", "silence", "no_match", "error")
    }
    assert alone.hash != script.hash

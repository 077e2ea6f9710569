"""Surveys in the short form: what is asked, counted, left out, and where they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from ringwheel.robot.script.actions import AskNow, HangUpNow, SayNow
from ringwheel.robot.script.compiler import check_source
from ringwheel.robot.script.events import Begin, Done, Heard, NoInput
from ringwheel.robot.script.interpreter import Interpreter

SURVEY = """\
ringwheel: 1
report: [adult, visits, mark, again, score]
questionnaire:
  intro: Hello.
  retries: {max_total: 1, then: [hang_up: broken-off]}
  questions:
    - {id: adult, ask: Of age?, answer: yes_no, end: {when: not adult, say: Too young.}}
    - {id: visits, ask: How often?, answer: number, score: "visits * 2", optional: true}
    - {id: mark, when: visits > 0, ask: How was it?, answer: {scale: {min: 1, max: 5}},
       score: {1: 100, 5: 500}}
    - {id: again, ask: Again?, answer: yes_no, score: {yes: 1000, no: 0}}
  quotas:
    regulars: {when: adult and visits > 9, say: Enough of you.}
    night: {when: facts.shift == 'night'}
  thanks: Goodbye.
"""


def held(answers, **facts):
    """Hold the survey; None is silence. What was asked, and how it ended."""
    found = check_source(SURVEY.encode(), Path())
    assert [str(problem) for problem in found.problems] == []
    robot = Interpreter(found.script, {})
    waiting, asked, left = [], [], list(answers)
    waiting = robot.begin(Begin(at_ms=0, facts={"shift": "day", **facts}))
    while not isinstance(action := waiting[0], HangUpNow):
        if isinstance(action, SayNow):
            waiting = robot.handle(Done(at_ms=0, turn=action.turn))
            continue
        assert isinstance(action, AskNow)
        asked.append(action.speech[0].text)
        value = left.pop(0)
        waiting = robot.handle(
            NoInput(at_ms=0, turn=action.turn)
            if value is None
            else Heard(at_ms=0, turn=action.turn, mode="speech", text="", value=value)
        )
    return asked, robot.ended.cause, dict(robot.ended.report)


def test_every_answer_counts():
    asked, cause, report = held([True, 3, 5, True])
    assert asked == ["Of age?", "How often?", "How was it?", "Again?"]
    assert cause == "completed"
    assert report == {"adult": True, "visits": 3, "mark": 5, "again": True, "score": 1506}


def test_a_question_is_left_out():
    asked, cause, report = held([True, 0, False])
    assert asked == ["Of age?", "How often?", "Again?"]
    assert (cause, report["mark"], report["score"]) == ("completed", None, 0)


def test_one_is_not_yes():
    # In Python 1 equals true: points for a mark of 1 must not be taken for those of yes.
    assert held([True, 1, 1, False])[2]["score"] == 102


def test_an_answer_ends_it():
    assert held([False])[1] == "screened-out"


def test_what_is_optional_may_stay_without_answer():
    _, cause, report = held([True, None, False])
    assert (cause, report["visits"], report["score"]) == ("completed", None, 0)


def test_silence_ends_it_elsewhere():
    assert held([None])[1] == "broken-off"


@pytest.mark.parametrize(
    ("visits", "full", "cause"),
    [(10, ["regulars"], "quota-full"), (10, [], "completed"), (9, ["regulars"], "completed")],
)
def test_a_full_quota_ends_it_once_it_is_known(visits, full, cause):
    asked, ended, _ = held([True, visits, 3, True], quotas_full=full)
    assert ended == cause
    assert len(asked) == (2 if cause == "quota-full" else 4)


@pytest.mark.parametrize(
    ("full", "cause"),
    [
        ("regulars", "quota-full"),
        ("night, regulars", "quota-full"),
        ("irregulars,regulars2", "completed"),
        ("", "completed"),
    ],
)
def test_full_quotas_may_stand_in_a_column_of_numbers_to_call(full, cause):
    assert held([True, 10, 3, True], quotas_full=full)[1] == cause


def test_a_quota_of_no_question_is_known_at_once():
    assert held([], shift="night", quotas_full=["night"])[:2] == ([], "quota-full")

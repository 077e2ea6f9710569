"""The example scripts are good, and say what they should."""

from __future__ import annotations

from pathlib import Path

import pytest
from ringwheel.robot.script.compiler import check_file, load_script
from ringwheel.robot.script.model import Ask, CallFlow, Http, Transfer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "scripts"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_there_is_nothing_to_say_against_an_example(file):
    assert [str(problem) for problem in check_file(file).problems] == []


def test_the_menu_takes_words_and_keys():
    script = load_script(EXAMPLES / "menu.yaml")
    menu = script.steps["main.1"]
    assert isinstance(menu, Ask) and menu.input.speech and menu.input.digits
    assert menu.input.speech.match("when are you open").value == "hours"
    assert menu.input.digits.match("2").value == "order"
    leads = {branch.value: script.steps[branch.to].to_flow for branch in menu.branches}
    assert leads == {"hours": "hours", "order": "order", "person": "person"}
    transfer = script.steps["person.0"]
    assert isinstance(transfer, Transfer) and transfer.has_failed_branch


def test_the_survey_is_made_of_ordinary_steps():
    script = load_script(EXAMPLES / "survey.yaml")
    asked = [step.into for step in script.steps.values() if isinstance(step, Ask)]
    assert asked == ["visited", "how_often", "rating", "liked", "again"]
    assert script.report[-1] == "score"


def test_the_appointment_has_a_sub_dialogue_and_services():
    script = load_script(EXAMPLES / "appointment.yaml")
    call = script.steps["main.1"]
    assert isinstance(call, CallFlow) and script.flows[call.to_flow].parameters == ("first",)
    asked = script.steps["main.2"]
    assert isinstance(asked, Http) and asked.has_failed_branch and asked.deadline_ms == 4_000
    assert script.secrets == {"key": "WORKSHOP_API_KEY"}

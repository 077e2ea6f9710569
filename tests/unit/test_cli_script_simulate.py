"""`ringwheel script simulate`: where random callers end."""

import json
import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.cli.main import run_command
from ringwheel.cli.script_simulate import callers_of
from ringwheel.robot.grammar import builders
from ringwheel.robot.grammar.sampling import random_sentence

SCRIPT = """
ringwheel: 1
name: A test
locale: en-GB
report: [drink]
variables: {stock: null}
steps:
  - choose:
      prompt: Tea or coffee?
      into: drink
      options:
        tea: {key: 1, phrases: [tea], then: tea}
        coffee: {key: 2, phrases: [coffee], then: coffee}
      retries: {max_no_input: 2}
  - goto: coffee
flows:
  tea:
    - http:
        url: https://shop.example/tea
        into: stock
        failed:
          - hang_up: no-shop
    - hang_up: {cause: "tea", say: "There are ${stock.body.cups} cups."}
  coffee:
    - hang_up: coffee
"""


@pytest.fixture
def simulated(tmp_path, capsys):
    """What came of it, with that model of callers."""
    script = tmp_path / "tea.yaml"
    script.write_text(SCRIPT)
    file = tmp_path / "callers.yaml"

    def simulate(model, *more):
        file.write_text(model)
        line = ["script", "simulate", str(script), "--calls", "400", "--json"]
        status = run_command([*line, "--answers-model", str(file), *more])
        shown = capsys.readouterr()
        return status, json.loads(shown.out) if shown.out else shown.err

    return simulate


SURE = "{silence: 0, misfit: 0, leave: 0}"
TEA = "result: {status: 200, body: {cups: 3}}"


def test_callers_do_what_the_model_says(simulated):
    status, told = simulated(
        f"default: {SURE}\nat:\n  drink: {{answers: {{tea: 3, coffee: 1}}}}\n"
        f"  tea.0: {{fails: 0.5, {TEA}}}\n"
    )
    causes = told["causes"]
    assert status == 0
    assert set(causes) == {"tea", "coffee", "no-shop"}
    assert 70 <= causes["coffee"] <= 130
    assert 110 <= causes["tea"] <= 190
    question = told["questions"][0]
    assert (question["calls"], question["answered"], question["asked"]) == (400, 400, 400)


def test_who_says_nothing_is_asked_once_more(simulated):
    _, told = simulated("default: {silence: 1, misfit: 0, leave: 0}")
    assert told["causes"] == {"no-input": 400}
    assert told["questions"][0]["asked"] == 800
    assert told["questions"][0]["given_up"] == 400
    # Twice the question (14 characters at 15 a second), and five seconds of silence.
    assert told["length_ms"]["p50"] == told["mean_ms"] == 2 * (933 + 5_000)


def test_who_leaves(simulated):
    _, told = simulated("default: {silence: 0, misfit: 0, leave: 1}")
    assert told["causes"] == {"left": 400}
    assert told["last_steps"] == {"main.0": 400}
    assert told["questions"][0]["left"] == 400


def test_errors_of_the_script_are_told(simulated):
    status, told = simulated(f"default: {SURE}\nat: {{drink: {{answers: {{tea: 1}}}}}}")
    assert status == 1
    assert told["causes"] == {"error": 400}
    assert next(iter(told["errors"])).startswith("tea.1: ")


def test_the_same_seed_gives_the_same_callers(simulated):
    one, same, other = (simulated("{}", "--seed", seed)[1] for seed in ("1", "1", "2"))
    assert one == same
    assert one["causes"] != other["causes"]


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("7", "the model: 7 is no mapping"),
        ("{defualt: {}}", "'defualt' is none of default, at, facts"),
        ("default: {silence: 2}", "silence: 2 is no probability"),
        ("default: {silence: 0.6, misfit: 0.6}", "come to more than 1"),
        ("at: {nowhere: {}}", "no step and no variable: nowhere"),
        ("at: {drink: {answers: {tea: -1}}}", "-1 is no number above 0"),
        ("{", "while parsing"),
        ("[" * 5_000 + "]" * 5_000, "lists in lists without end"),
        ("# " + "x" * (1 << 20), "larger than 1,048,576 bytes"),
    ],
)
def test_models_that_cannot_be_used(simulated, model, cause):
    status, line = simulated(model)
    assert status == 2
    assert cause in line


def test_a_model_that_is_not_there(tmp_path, capsys):
    script = tmp_path / "tea.yaml"
    script.write_text(SCRIPT)
    line = ["script", "simulate", str(script), "--answers-model", "none.yml"]
    assert run_command(line) == 2
    assert "--answers-model none.yml: No such file or directory. See" in capsys.readouterr().err


def test_the_model_in_the_documents_is_one():
    text = (Path(__file__).resolve().parents[2] / "docs" / "scripts.md").read_text("utf-8")
    (block,) = re.findall(r"```yml\n(.*?)```", text, re.DOTALL)
    callers = callers_of(yaml.safe_load(block))
    assert callers.at["topic"].leave == 0.05
    assert callers.at["main.4"].silence == callers.manners.silence == 0.1


def test_for_people(tmp_path, capsys):
    script = tmp_path / "tea.yaml"
    script.write_text(SCRIPT.replace("${stock.body.cups}", "many"))
    assert run_command(["script", "simulate", str(script), "--calls", "200"]) == 0
    shown = capsys.readouterr().out
    assert "A test: 200 calls" in shown
    assert "main.0" in shown
    assert "within" in shown


GRAMMARS = [
    builders.digits(2, 6, "en-GB"),
    builders.yes_no("en-GB"),
    builders.scale(1, 5, "de-DE"),
    builders.number(0, 200, "en-GB"),
]


@given(st.sampled_from(GRAMMARS), st.integers())
def test_random_sentences_fit_their_grammar(grammar, seed):
    sentence = random_sentence(grammar, random.Random(seed))
    assert sentence is None or grammar.match(sentence) is not None

"""The published schema and the compiler agree on what is a script."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ringwheel.cli.main import run_command
from ringwheel.robot.script import answers, compiler, handling, questionnaire, stepping
from ringwheel.robot.script.problems import Problems
from ringwheel.robot.script.prompting import KINDS
from ringwheel.robot.script.source import Items, Scalar, read_source

from .script_mistakes import BEYOND, SHAPE

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "robot" / "script" / "schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

COMPILER_ALONE = {
    "steps twice",
    "a lower bound above the upper",
    "a duration that is too long",
    "a name that expressions have",
    "a locale without numbers",
    "an expression that cannot be read",
    "a function that there is not",
    "a template that does not end",
    "a question of a survey twice",
    "a grammar that is not there",
    "a script that lies elsewhere",
    "words that nobody can count in",
}
"""Mistakes of shape that a schema cannot know."""


def plain(node):
    """A tree as JSON would have it."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node.entries.values()}


def tree(text):
    return plain(read_source(text.encode(), Problems()))


def faults(text):
    return [error.message for error in VALIDATOR.iter_errors(tree(text))]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/scripts/*.yaml")), ids=lambda f: f.name)
def test_the_examples_fit(file):
    assert faults(file.read_text("utf-8")) == []


@pytest.mark.parametrize("name", SHAPE)
def test_a_mistake_of_shape_does_not_fit(name):
    assert bool(faults(SHAPE[name][1].replace("@", "", 1))) == (name not in COMPILER_ALONE)


@pytest.mark.parametrize("name", BEYOND)
def test_what_has_the_right_shape_fits(name):
    assert faults(BEYOND[name][1].replace("@", "", 1)) == []


def keys_in(definition):
    """The keys of all mappings that a definition allows for itself."""
    found = set(definition.get("properties", {}))
    for other in definition.get("anyOf", []):
        found |= keys_in(other)
    return found


def test_both_know_the_same_keys():
    defs = SCHEMA["$defs"]
    verbs = defs["step"]["properties"]
    assert set(SCHEMA["properties"]) == set(compiler.TOP)
    assert set(verbs) == set(stepping.KEYS)
    for verb, keys in stepping.KEYS.items():
        if verb not in ("say", "if"):
            assert keys_in(verbs[verb]) == set(keys), verb
    assert keys_in(defs["prompt"]) >= set(KINDS)
    assert keys_in(defs["retries"]) == set(stepping.RETRIES)
    assert keys_in(defs["timing"]) == set(answers.TIMING)
    assert keys_in(defs["option"]) == set(answers.OPTION)
    assert keys_in(defs["answer"]) | set(answers.BARE_TYPES) == set(answers.TYPES)
    assert keys_in(defs["questionnaire"]) == set(questionnaire.QUESTIONNAIRE)
    question = defs["questionnaire"]["properties"]["questions"]["items"]
    assert keys_in(question) == set(questionnaire.QUESTION)
    assert set(defs["handlers"]["properties"]) == {*handling.EVENTS, handling.REPEAT}


def test_the_command_prints_it(capsys):
    assert run_command(["script", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA

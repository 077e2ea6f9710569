"""What is wrong with a script is found, where it is, and nothing that is wrong is given out."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.cli.main import run_command
from ringwheel.robot.script.compiler import check_source, load_script
from ringwheel.robot.script.problems import ScriptError
from ringwheel.robot.script.stepping import KEYS

from . import script_mistakes

ALL = {**script_mistakes.SHAPE, **script_mistakes.YAML, **script_mistakes.BEYOND}


def place_of(marked):
    """The script without its mark, and line and column of it."""
    before, mark, behind = marked.partition("@")
    assert mark
    lines = before.split("\n")
    return before + behind, (len(lines), len(lines[-1]) + 1)


def test_there_are_as_many_as_promised():
    assert len(ALL) >= 30


@pytest.mark.parametrize("name", ALL)
def test_a_mistake_is_found_where_it_is(name, tmp_path):
    code, marked = ALL[name]
    text, place = place_of(marked)
    found = check_source(text.encode(), tmp_path)
    assert [(p.code, (p.place.line, p.place.column)) for p in found.problems] == [(code, place)]
    assert (found.script is None) == (found.problems[0].severity == "error")


def test_all_mistakes_are_found_at_once():
    text = "ringwheel: 1\nlocal: en\nsteps:\n  - sya: Hi\n  - say: ${1 +}\n  - goto: nowhere\n"
    found = check_source(text.encode(), Path())
    assert [(p.code, p.place.line) for p in found.problems] == [
        ("unknown-key", 2),
        ("unknown-step", 4),
        ("expression", 5),
        ("unknown-flow", 6),
    ]


def test_nothing_that_is_wrong_is_given_out(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("ringwheel: 1\nsteps:\n  - say: Hi ${nobody}\n")
    with pytest.raises(ScriptError, match=r"bad.yaml:3:15: error\[unset-variable\]: nothing gives"):
        load_script(path)
    with pytest.raises(ScriptError, match="cannot be read: No such file"):
        load_script(tmp_path / "none.yaml")


@pytest.mark.parametrize("line", ["steps: [" + "a, " * 10_000 + "]", "name: \x9b31m"])
def test_of_any_line_what_stands_there_is_shown(line, tmp_path, capsys):
    path = tmp_path / "odd.yaml"
    path.write_text(f"ringwheel: 1\n{line}\n", "utf-8")
    assert run_command(["script", "check", str(path)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].strip()[:5] == line[:5]
    assert all(len(one) < 300 and one.isprintable() for one in shown)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "syntax"),
        (b"ringwheel: 1\nname: a\x00b", "syntax"),
        (b"#" * (1 << 20) + b"\n", "too-large"),
        (b"[" * 100_000, "too-deep"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(
                b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in b"bcdefghi"
            ),
            "too-large",
        ),
    ],
)
def test_hostile_files_are_refused(data, code):
    assert check_source(data, Path()).problems[0].code == code


def test_a_script_may_be_json():
    text = '{"ringwheel": 1,\n\t"steps": [{"say": "Hi"}, {"hang_up": "done"}]}'
    assert not check_source(text.encode(), Path()).problems


def test_json_may_write_a_character_in_two_halves():
    text = json.dumps({"ringwheel": 1, "steps": [{"say": "\N{GRINNING FACE} \\ud83d"}]})
    script = check_source(text.encode(), Path()).script
    assert script.steps["main.0"].prompts[0].text.source == "\N{GRINNING FACE} \\ud83d"
    half = check_source(b'{"ringwheel": 1, "name": "\\ud83d"}', Path())
    assert [problem.code for problem in half.problems] == ["syntax"]


def test_a_mistake_in_a_text_of_several_lines_is_where_it_begins():
    text = "ringwheel: 1\nsteps:\n  - say: |\n      Hello\n      and ${1 +}\n"
    (problem,) = check_source(text.encode(), Path()).problems
    assert (problem.code, problem.place.line, problem.place.column) == ("expression", 3, 10)


def test_words_of_yaml_stay_words():
    text = "ringwheel: 1\nsteps:\n  - hang_up: {cause: no, say: [yes, on, 0123]}\n"
    script = check_source(text.encode(), Path()).script
    step = script.steps["main.0"]
    assert step.cause == "no"
    assert [prompt.text.source for prompt in step.prompts] == ["yes", "on", "0123"]


class TestCommand:
    def test_a_mistake_is_shown_with_its_line(self, tmp_path, capsys):
        path = tmp_path / "bad.yaml"
        path.write_text("ringwheel: 1\nsteps:\n  - sya: Hi\n")
        assert run_command(["script", "check", str(path)]) == 1
        assert capsys.readouterr().out == (
            f"{path}:3:5: error[unknown-step]: there is no step `sya`; did you mean `say`?\n"
            "      - sya: Hi\n"
            "        ^\n"
            f"{path}: 1 error: it cannot be run.\n"
        )

    def test_a_warning_lets_a_script_run_unless_it_is_strict(self, tmp_path, capsys):
        path = tmp_path / "odd.yaml"
        path.write_text("ringwheel: 1\nsteps:\n  - hang_up: done\n  - say: Hi\n")
        assert run_command(["script", "check", str(path)]) == 0
        assert "4:5: warning[unreachable]" in capsys.readouterr().out
        assert run_command(["script", "check", "--strict", str(path)]) == 1

    def test_json_has_it_all(self, tmp_path, capsys):
        path = tmp_path / "good.yaml"
        path.write_text("ringwheel: 1\nsteps:\n  - hang_up: done\n")
        assert run_command(["script", "check", "--json", str(path)]) == 0
        assert capsys.readouterr().out == (
            f'{{"good": true, "files": [{{"file": "{path}", "problems": []}}]}}\n'
        )

    def test_a_file_that_is_not_there(self, tmp_path, capsys):
        assert run_command(["script", "check", str(tmp_path / "none.yaml")]) == 2
        assert "error[unreadable]: it cannot be read: No such file" in capsys.readouterr().out


WORDS = (
    "ringwheel steps flows on main silence repeat questionnaire questions id answer digits "
    "number min max text file pause choices yes_no 3s 1 ${x} x>3 main en true"
)
words = st.sampled_from(
    [
        *KEYS,
        *{key for keys in KEYS.values() for key in keys},
        *WORDS.split(),
    ]
)
leaves = words | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(words | st.text(string.printable, max_size=5), inner, max_size=4)
    ),
    max_leaves=25,
)
scripts = st.fixed_dictionaries(
    {"ringwheel": st.just(1)},
    optional={
        "steps": st.lists(st.dictionaries(st.sampled_from(list(KEYS)), trees, max_size=2)),
        "flows": trees,
        "on": trees,
        "questionnaire": st.fixed_dictionaries(
            {"questions": st.lists(st.dictionaries(words, trees, max_size=6), max_size=3)}
        ),
        "variables": trees,
        "limits": trees,
        "secrets": trees,
        "report": trees,
    },
)


@settings(max_examples=100)
@given(scripts | trees)
def test_random_trees_raise_nothing_but_script_errors(tree):
    yaml = pytest.importorskip("yaml")
    data = yaml.dump(tree, allow_unicode=True).encode("utf-8", "replace")
    try:
        found = check_source(data, Path("/nonexistent"))
    except ScriptError:
        return
    assert (found.script is None) == any(p.severity == "error" for p in found.problems)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_random_bytes_raise_nothing_at_all(data):
    check_source(data, Path("/nonexistent"))

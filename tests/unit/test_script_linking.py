"""Scripts that hand over to others: compiled, checked, drawn, simulated, typed to and packed."""

from __future__ import annotations

import json

import pytest
from ringwheel.cli.main import run_command
from ringwheel.robot.script.compiler import check_file, load_script
from ringwheel.robot.script.linking import MOST_SCRIPTS
from ringwheel.robot.script.pack import texts_of
from ringwheel.robot.script.problems import ScriptError

FIRST = """\
ringwheel: 1
report: [topic]
on: {silence: bye, no_match: bye, error: bye}
steps:
  - ask: {into: topic, prompt: What is it about?, answer: text}
  - transfer: {script: sub/second.yaml, with: {subject: topic}}
flows:
  bye: [hang_up: gave-up]
"""
SECOND = """\
ringwheel: 1
name: Second
locale: de
prompts: sounds
report: [subject, mood]
variables: {subject: "'nothing'"}
on: {silence: bye, no_match: bye, error: bye}
steps:
  - say: {file: hello.wav, text: "Hallo, ${subject}."}
  - ask: {into: mood, prompt: Wie war es?, answer: {grammar: mood.grxml}}
  - if: {when: mood == 'bad', then: [transfer: {script: ../first.yaml}]}
  - hang_up: done
flows:
  bye: [hang_up: gave-up]
"""
GRAMMAR = """\
<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="de" root="mood">
  <rule id="mood"><one-of><item>good</item><item>bad</item></one-of></rule>
</grammar>
"""


@pytest.fixture
def first(tmp_path):
    folder = tmp_path / "script"
    (folder / "sub" / "sounds").mkdir(parents=True)
    (folder / "sub" / "sounds" / "hello.wav").write_bytes(b"RIFF hello")
    (folder / "sub" / "mood.grxml").write_text(GRAMMAR)
    (folder / "sub" / "second.yaml").write_text(SECOND)
    (folder / "first.yaml").write_text(FIRST)
    return folder / "first.yaml"


def change(first, old, new, name="sub/second.yaml"):
    file = first.parent / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def found(first):
    """What is wrong, each with its file from the folder, its line and its column."""
    return [
        (p.code, p.file.removeprefix(f"{first.parent}/"), p.place.line, p.place.column)
        for p in check_file(first).problems
    ]


def test_scripts_in_a_circle_are_compiled_once_each(first):
    script = load_script(first)
    assert list(script.others) == ["sub/second.yaml"]
    assert script.others["sub/second.yaml"].steps["sub/second.yaml:main.2.then.0"].script == ""
    assert script.all_fields == ("topic", "subject", "mood")
    assert found(first) == []


def test_the_hash_is_that_of_all(first):
    before = load_script(first).hash
    change(first, "Wie war es?", "Und?")
    assert load_script(first).hash != before


def test_mistakes_are_told_with_their_own_file(first, capsys):
    change(first, "${subject}", "${subjekt}")
    change(first, "topic}}", "topic, size: 1}}", "first.yaml")
    # What the other one would take is known only when it is right.
    assert found(first) == [("unset-variable", "sub/second.yaml", 9, 44)]
    assert run_command(["script", "check", str(first)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith(f"{first.parent}/sub/second.yaml:9:44: error[unset-variable]")
    assert shown[1].endswith('text: "Hallo, ${subjekt}."}')
    assert run_command(["script", "check", str(first), "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["files"][0]["problems"]
    assert problem["file"] == f"{first.parent}/sub/second.yaml"
    with pytest.raises(ScriptError, match=r"sub/second.yaml:9:44: error"):
        load_script(first)
    change(first, "${subjekt}", "${subject}")
    assert found(first) == [("arguments", "", 6, 70)]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("third.yaml", ("missing-file", "sub/second.yaml", 11, 38)),
        ("../sub", ("missing-file", "sub/second.yaml", 11, 38)),
        ("../../first.yaml", ("missing-file", "sub/second.yaml", 11, 57)),
    ],
)
def test_another_script_is_there(first, path, problem):
    change(first, "../first.yaml", path)
    assert found(first) == [problem]


def test_a_pack_is_no_other_script(first, tmp_path):
    assert run_command(["script", "pack", str(first), "-o", str(first.parent / "x.rwpack")]) == 0
    change(first, "sub/second.yaml", "x.rwpack", "first.yaml")
    assert {file for _, file, _, _ in found(first)} == {"x.rwpack"}


def test_there_are_no_more_than_so_many(tmp_path):
    for number in range(MOST_SCRIPTS + 3):
        following = f"ringwheel: 1\nsteps: [transfer: {{script: s{number + 1}.yaml}}]\n"
        (tmp_path / f"s{number}.yaml").write_text(following)
    last = f"s{MOST_SCRIPTS - 1}.yaml"
    assert found(tmp_path / "s0.yaml") == [("too-large", last, 2, 9)]


def test_a_secret_means_the_same_in_all(first):
    change(first, "report:", "secrets: {key: ONE, own: OWN}\nreport:", "first.yaml")
    change(first, "report:", "secrets: {key: ONE}\nreport:")
    script = load_script(first)
    assert (
        script.secrets == script.others["sub/second.yaml"].secrets == {"key": "ONE", "own": "OWN"}
    )
    change(first, "key: ONE", "key: TWO")
    assert found(first) == [("unknown-secret", "sub/second.yaml", 1, 1)]


def test_a_pack_has_all_of_them(first, tmp_path):
    script = load_script(first)
    target = tmp_path / "all.rwpack"
    assert run_command(["script", "pack", str(first), "-o", str(target)]) == 0
    (first.parent / "sub" / "second.yaml").unlink()
    packed = load_script(target, tmp_path / "cache")
    assert packed.hash == script.hash
    assert packed.others["sub/second.yaml"].steps == script.others["sub/second.yaml"].steps
    assert [(said.text, said.locale) for said in texts_of(packed)] == [
        ("What is it about?", "en"),
        ("Wie war es?", "de"),
    ]


def test_a_picture_names_the_other_script(first, tmp_path):
    assert run_command(["script", "graph", str(first), "-o", str(tmp_path / "x.mmd")]) == 0
    assert "transfer: sub/second.yaml (subject = topic)" in (tmp_path / "x.mmd").read_text()


def test_callers_go_through_all_of_them(first, tmp_path, capsys):
    model = tmp_path / "callers.yaml"
    model.write_text(
        "default: {silence: 0, misfit: 0, leave: 0}\n"
        "at: {mood: {answers: {good: 1}}, 'sub/second.yaml:main.1': {answers: {good: 1}}}\n"
    )
    arguments = ["--calls", "20", "--answers-model", str(model)]
    assert run_command(["script", "simulate", str(first), *arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {stop["step"]: stop["calls"] for stop in told["questions"]} == {
        "main.0": 20,
        "sub/second.yaml:main.1": 20,
    }
    assert run_command(["script", "simulate", str(first), *arguments]) == 0


def test_it_is_typed_through_and_taken_up_again(first, tmp_path, capsys):
    answers, kept = tmp_path / "answers.txt", tmp_path / "talk.json"
    run = ["script", "run", str(first), "--text", "--state", str(kept), "--answers", str(answers)]
    answers.write_text("tea\n")
    assert run_command([*run, "--json"]) == 1
    assert json.loads(kept.read_text())["part"] == "sub/second.yaml"
    capsys.readouterr()
    answers.write_text("bad\ncake\ngood\n")
    assert run_command([*run, "--json", "--expect", "done"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ended"]["report"] == {"topic": "cake", "subject": "cake", "mood": "good"}
    assert [report["values"] for report in told["ended"]["reports"]] == [
        {"topic": "tea"},
        {"subject": "tea", "mood": "bad"},
        {"topic": "cake"},
        {"subject": "cake", "mood": "good"},
    ]

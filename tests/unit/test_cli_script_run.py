"""`ringwheel script run`: a script is talked to by typing."""

import asyncio
import io
import json
import os
import queue
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ringwheel.cli.main import run_command
from ringwheel.cli.script_run import Keyboard

SCRIPT = """
ringwheel: 1
name: A test
locale: en-GB
report: [topic, code]
on:
  repeat: {phrases: [say that again]}
steps:
  - say: Hello.
  - choose:
      prompt: Tea or coffee?
      into: topic
      options:
        tea: {key: 7, phrases: [tea, some tea], then: tea}
        coffee: {phrases: [coffee], then: tea}
flows:
  tea:
    - ask:
        into: code
        prompt: ["The code for", {characters: topic}, "please."]
        answer: {digits: 3}
        retries: {no_input: ["Are you there?"], no_match: ["Three digits."], max_total: 3}
    - hang_up: {cause: served, say: "Here is ${topic} ${code}."}
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "tea.yaml"
    file.write_text(SCRIPT)
    return file


def run(script, *arguments):
    return run_command(["script", "run", str(script), "--text", *map(str, arguments)])


def answers_in(tmp_path, text, name="answers.txt"):
    file = tmp_path / name
    file.write_text(text)
    return file


def test_a_conversation_by_a_file_of_answers(script, tmp_path, capsys):
    answers = answers_in(tmp_path, "say that again\n7\nno idea\n\n123\n")
    assert run(script, "--answers", answers, "--expect", "served") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:13] == [
        "Hello.",
        "Tea or coffee?",
        "  7) tea",
        "  2) coffee",
        "> say that again",
        "Tea or coffee?",
        "  7) tea",
        "  2) coffee",
        "> 7",
        "The code for T, E, A please.",
        "> no idea",
        "Three digits.",
        "> ",
    ]
    assert lines[13:17] == ["Are you there?", "> 123", "Here is tea 123.", "ended: served, 8 steps"]


def test_a_number_that_is_no_key_is_the_place_in_the_menu(script, tmp_path, capsys):
    answers = answers_in(tmp_path, "['2', 123]", "answers.yaml")
    assert run(script, "--answers", answers, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["good"] is True
    assert told["ended"]["report"] == {"topic": "coffee", "code": "123"}
    assert told["transcript"][-1] == {"robot": "Here is coffee 123."}


def test_answers_that_run_out(script, tmp_path, capsys):
    assert run(script, "--answers", answers_in(tmp_path, "tea\n")) == 1
    assert "the answers ran out" in capsys.readouterr().err


def test_another_end_than_was_expected(script, tmp_path, capsys):
    assert run(script, "--answers", answers_in(tmp_path, "tea\n1 2 3"), "--expect", "done") == 1
    assert "ended with served, and not with done" in capsys.readouterr().err


def test_typed_kept_and_gone_on_with(script, tmp_path, monkeypatch, capsys):
    state = tmp_path / "talk.json"
    monkeypatch.setattr("sys.stdin", io.StringIO("tea\n"))
    assert run(script, "--state", state) == 0
    assert "Tea or coffee?" in capsys.readouterr().out
    assert "main.1" in state.read_text("ascii")
    monkeypatch.setattr("sys.stdin", io.StringIO("123\n"))
    assert run(script, "--state", state) == 0
    shown = capsys.readouterr().out
    assert "Tea or coffee?" not in shown
    assert "Here is tea 123." in shown
    assert not state.exists()


def test_the_end_of_the_input_is_leaving(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(script, "--expect", "left") == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--answers", "nowhere.txt"],
            "--answers nowhere.txt: No such file or directory. Name a file with one answer",
        ),
        (["--fact", "no"], "is no NAME=VALUE"),
        (["--state", "{bad}"], "not JSON"),
        (["--answers", "{bad}"], "not a list"),
    ],
)
def test_what_cannot_be_used(script, tmp_path, arguments, line, capsys):
    bad = (
        answers_in(tmp_path, "7: {", "bad.yaml")
        if "state" in arguments[0]
        else answers_in(tmp_path, "{}", "bad.yaml")
    )
    assert run(script, *(a.format(bad=bad) for a in arguments)) == 2
    assert line in capsys.readouterr().err


def test_a_script_that_is_none(tmp_path, capsys):
    file = answers_in(tmp_path, "ringwheel: 1\nsteps:\n  - sya: hello\n", "bad.yaml")
    assert run(file) == 2
    assert f"{file}:3:" in capsys.readouterr().err


def test_without_its_secrets_nothing_begins(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("A_KEY_OF_A_TEST", raising=False)
    text = "ringwheel: 1\nlocale: en\nsecrets: {key: A_KEY_OF_A_TEST}\nsteps:\n  - http: {url: 'https://a.example/${secrets.key}'}\n"
    assert run(answers_in(tmp_path, text, "secret.yaml")) == 2
    assert "A_KEY_OF_A_TEST" in capsys.readouterr().err


def test_there_is_no_other_way_than_text(script, capsys):
    assert run_command(["script", "run", str(script)]) == 2
    assert "Add --text" in capsys.readouterr().err


def test_a_line_that_comes_late_is_the_next_answer(monkeypatch):
    came = queue.Queue()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(readline=came.get))

    async def main():
        keyboard = Keyboard()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await keyboard.read()
        came.put("tea\n")
        first = await keyboard.read()
        came.put("")
        return first, await keyboard.read()

    assert asyncio.run(main()) == ("tea", None)


def test_not_to_type_in_time_is_a_silence(script, monkeypatch, capsys):
    quick = "{digits: 3}\n        timing: {no_input: 100ms}"
    script.write_text(SCRIPT.replace("{digits: 3}", quick))
    came = queue.Queue()
    came.put("tea\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(readline=came.get))
    assert run(script, "--timeouts", "--expect", "no-input") == 0
    assert capsys.readouterr().out.count("Are you there?") == 2
    came.put("")


def test_a_state_that_cannot_be_kept_any_more_is_one_line(script, tmp_path, monkeypatch, capsys):
    def readline():
        (tmp_path / "talk.json.new").mkdir(exist_ok=True)
        return "tea\n"

    monkeypatch.setattr("sys.stdin", SimpleNamespace(readline=readline))
    assert run(script, "--state", tmp_path / "talk.json") == 1
    assert capsys.readouterr().err.startswith(f"ringwheel: --state {tmp_path}/talk.json: ")


def test_bytes_that_are_no_text_fit_nothing(script):
    command = "from ringwheel.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", command, "script", "run", str(script), "--text"],
        input=b"\xff\n7\n123\n",
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.count(b"Tea or coffee?") == 2


@pytest.mark.parametrize("answers", [[], ["--answers"]])
def test_whoever_reads_no_more_ends_it_quietly(script, tmp_path, answers):
    if answers:
        answers = ["--answers", str(answers_in(tmp_path, "7\n123\n"))]
    read, write = os.pipe()
    os.close(read)
    command = "from ringwheel.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", command, "script", "run", str(script), "--text", *answers],
        input=b"7\n123\n",
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")

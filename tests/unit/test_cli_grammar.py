"""`ringwheel grammar`: as somebody sees it who has a grammar file."""

from __future__ import annotations

import json

import pytest
from ringwheel.cli.main import run_command

MENU = """<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en-GB"
  root="menu" tag-format="semantics/1.0"><rule id="menu"><one-of>
  <item>sales<tag>out = "s"</tag></item>
  <item>the press office<tag>out = {to: "p"}</tag></item>
</one-of></rule></grammar>"""


@pytest.fixture
def menu(tmp_path):
    file = tmp_path / "menu.grxml"
    file.write_text(MENU, "utf-8")
    return str(file)


def test_check_shows_what_it_takes(menu, capsys):
    assert run_command(["grammar", "check", menu]) == 0
    shown = capsys.readouterr().out
    assert "voice, en-GB" in shown
    assert "example   the press office" in shown
    assert run_command(["grammar", "check", menu, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["words"], sorted(found["examples"])) == (4, ["sales", "the press office"])


def test_check_says_where_a_mistake_is(tmp_path, capsys):
    file = tmp_path / "bad.grxml"
    file.write_text(MENU.replace("<item>sales", '<item>sales<ruleref uri="#x"/>'), "utf-8")
    assert run_command(["grammar", "check", str(file)]) == 2
    assert "line 3, column 14: there is no rule x" in capsys.readouterr().err
    assert run_command(["grammar", "check", str(tmp_path / "absent")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_match_prints_the_meaning(menu, capsys):
    assert run_command(["grammar", "match", menu, "The press office!"]) == 0
    assert json.loads(capsys.readouterr().out) == {"to": "p"}
    assert run_command(["grammar", "match", "builtin:dtmf/boolean", "2"]) == 0
    assert json.loads(capsys.readouterr().out) is False
    assert run_command(["grammar", "match", menu, "the office"]) == 1
    assert "'the office' does not fit" in capsys.readouterr().err


def test_convert_and_read_again(menu, tmp_path, capsys):
    assert run_command(["grammar", "convert", menu, "--to", "abnf"]) == 0
    abnf = tmp_path / "menu.gram"
    abnf.write_text(capsys.readouterr().out, "utf-8")
    assert run_command(["grammar", "match", str(abnf), "sales"]) == 0
    assert json.loads(capsys.readouterr().out) == "s"
    assert run_command(["grammar", "convert", menu, "--to", "jsgf"]) == 0
    assert "(sales | the press office)" in capsys.readouterr().out
    assert run_command(["grammar", "convert", "builtin:dtmf/digits", "--to", "jsgf"]) == 1
    assert "grammar of keys" in capsys.readouterr().err

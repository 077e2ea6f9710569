"""Files of numbers to call: what is taken, and what is wrong at which line."""

from __future__ import annotations

import os

import pytest
from ringwheel.robot.numbers import NumbersError, check_numbers, read_numbers


def numbers(path, text, trunk="carrier"):
    path.write_text(text, "utf-8")
    return list(read_numbers(path, trunk))


def test_columns_become_facts(tmp_path):
    found = numbers(
        tmp_path / "n.csv",
        "\ufeffname,number,age\nAnn,+49 (30) 123-4,40\n\nBob,sip:bob@192.0.2.1\n",
    )
    assert [(one.line, one.uri("carrier"), one.facts) for one in found] == [
        (2, "sip:+49301234@carrier", {"name": "Ann", "age": "40"}),
        (4, "sip:bob@192.0.2.1", {"name": "Bob", "age": ""}),
    ]


def test_lines_are_those_of_the_file_whatever_cells_hold(tmp_path):
    rows = '"note\r\nof them",number\r\n"two\nlines",12\n\nnone,34\n'
    assert [one.line for one in numbers(tmp_path / "n.csv", rows)] == [3, 6]
    with pytest.raises(NumbersError, match=r"n\.csv:7: 'abc' is no number"):
        numbers(tmp_path / "n.csv", rows + '"a\nb",abc\n')


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("name\nAnn\n", ":1: no column 'number'"),
        ("number,number\n1,2\n", ":1: name 1 to 100 columns"),
        ("number,caller\n1,2\n", "'caller' come from the call"),
        ("number,line\n1,2\n", "'line' come from the call"),
        ("number\nsip:a@b\nhttp://a.example\n", ":3: 'http://a.example' is no SIP URI"),
        ("number\n1,2\n", ":2: more cells"),
        ("number\n12\nabc\n", ":3: 'abc' is no number"),
        ("number,x\n12," + "y" * 5000 + "\n", ":2: a cell of more"),
        ("number\n", "no numbers below"),
        ("", ":1: name 1 to 100 columns"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, cause):
    path = tmp_path / "n.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(NumbersError) as told:
        check_numbers(path, "carrier")
    assert cause in str(told.value)


def test_a_number_needs_a_trunk(tmp_path):
    with pytest.raises(NumbersError, match="needs a trunk"):
        numbers(tmp_path / "n.csv", "number\n12\n", None)
    with pytest.raises(NumbersError, match="cannot be read"):
        check_numbers(tmp_path / "none.csv", None)


def test_what_can_be_read_once_only_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NumbersError, match="is no file"):
        check_numbers(tmp_path / "pipe", "carrier")

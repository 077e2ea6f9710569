"""Keys of an answer: when they are complete, whose they are, and which mean nothing."""

from __future__ import annotations

import pytest
from ringwheel.robot.channels.entry import Entry
from ringwheel.robot.grammar import builders

CODE = builders.digits(2, 4, "en", "dtmf")
MARK = builders.scale(1, 10, "en", "dtmf")
STAR = builders.choices([("again", (), "*")], "en", "dtmf")


def typed(keys, *grammars):
    entry = Entry(grammars)
    for number, key in enumerate(keys, 1):
        if entry.press(key):
            return entry.typed, entry.meaning(), number
    return entry.typed, entry.meaning(), None


@pytest.mark.parametrize(
    ("keys", "meaning", "ends_with"),
    [
        ("4711", (None, "4711"), 4),
        ("47", (None, "47"), None),
        ("47#", (None, "47"), 3),
        ("4#", None, 2),
        ("4*", None, 2),
        ("*", ("repeat", "again"), 1),
        ("#", None, 1),
    ],
)
def test_an_entry_ends_as_soon_as_nothing_more_fits(keys, meaning, ends_with):
    _, found, number = typed(keys, (None, CODE), ("repeat", STAR))
    assert (found, number) == (meaning, ends_with)


def test_a_mark_that_may_go_on_waits():
    assert typed("1", (None, MARK))[2] is None
    assert typed("10", (None, MARK))[1:] == ((None, 10), 2)
    assert typed("7", (None, MARK))[1:] == ((None, 7), 1)


def test_a_terminator_before_anything_strays():
    entry = Entry([(None, CODE)])
    assert entry.strays("#")
    assert not entry.strays("1")
    entry.press("1")
    assert not entry.strays("#")
    pound = builders.choices([("end", (), "#")], "en", "dtmf")
    assert not Entry([(None, pound)]).strays("#")
    assert not Entry([]).open

"""The table that makes outcomes of SIP statuses and Q.850 causes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media.early_sound import EarlySound
from ringwheel.media.outcome import (
    Outcome,
    failure_of,
    not_answered,
    outcome_of,
    q850_cause,
)
from ringwheel.media.sip.events import EndCause, EndedBy


@pytest.mark.parametrize(
    ("status", "q850", "outcome"),
    [
        (486, None, Outcome.BUSY),
        (600, None, Outcome.BUSY),
        (480, None, Outcome.NO_ANSWER),
        (408, None, Outcome.NO_ANSWER),
        (487, None, Outcome.NO_ANSWER),
        (403, None, Outcome.REJECTED),
        (603, None, Outcome.REJECTED),
        (607, None, Outcome.REJECTED),  # unwanted (RFC 8197)
        (488, None, Outcome.REJECTED),
        (302, None, Outcome.REJECTED),
        (404, None, Outcome.NUMBER_INVALID),
        (484, None, Outcome.NUMBER_INVALID),
        (604, None, Outcome.NUMBER_INVALID),
        (500, None, Outcome.UNREACHABLE),
        (504, None, Outcome.UNREACHABLE),
        (503, None, Outcome.CONGESTION),
        # The network's cause says more than what a gateway made of it.
        (480, 17, Outcome.BUSY),
        (500, 1, Outcome.NUMBER_INVALID),
        (503, 19, Outcome.NO_ANSWER),
        (404, 34, Outcome.CONGESTION),
        (480, 20, Outcome.UNREACHABLE),
        (480, 21, Outcome.REJECTED),
        # And these causes say nothing.
        (486, 16, Outcome.BUSY),
        (486, 31, Outcome.BUSY),
        (404, 127, Outcome.NUMBER_INVALID),
    ],
)
def test_status_and_cause_come_to_an_outcome(status, q850, outcome):
    assert outcome_of(status, q850) is outcome


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Q.850;cause=16", 16),
        ('q.850 ; cause = 34 ; text="no circuit, try later"', 34),
        ("SIP;cause=486, Q.850;cause=17", 17),
        ('Q.850;text="x";cause=17', None),  # text first: nobody sends that, and quotes may lie
        ('SIP;cause=200;text="Q.850;cause=1"', None),
        ("Q.850;cause=999", None),
        ("Q.850;cause=12345", None),
        ("Q.850", None),
        ("", None),
    ],
)
def test_the_cause_is_read_from_the_reason(reason, cause):
    assert q850_cause(reason) == cause


@given(st.text(max_size=200), st.integers(100, 999), st.booleans(), st.sampled_from(EndedBy))
def test_every_end_comes_to_a_failure(text, status, proceeding, by):
    result = failure_of(EndCause(by, status, "whatever", text), proceeding=proceeding)
    assert result.outcome is not Outcome.ANSWERED
    assert 0 <= (result.q850 or 0) < 128


def test_who_gives_up_has_cancelled():
    ours = EndCause(EndedBy.LOCAL, 487, "Request Terminated")
    assert failure_of(ours, proceeding=True).outcome is Outcome.CANCELLED


@pytest.mark.parametrize(("proceeding", "outcome"), [(True, "no-answer"), (False, "unreachable")])
def test_silence_of_the_network_is_told_from_that_of_the_callee(proceeding, outcome):
    timer = EndCause(EndedBy.ERROR, 408, "Request Timeout", "no answer to the INVITE")
    assert failure_of(timer, proceeding=proceeding).outcome == outcome
    assert not_answered(30, proceeding=proceeding).outcome == outcome
    assert not_answered(30, proceeding=proceeding).silent is not proceeding


def test_a_tone_may_say_why_nobody_answers():
    for sound, outcome in (
        (EarlySound.BUSY, Outcome.BUSY),
        (EarlySound.CONGESTION, Outcome.CONGESTION),
        (EarlySound.RINGBACK, Outcome.NO_ANSWER),
        (EarlySound.SPEECH, Outcome.NO_ANSWER),
    ):
        assert not_answered(30, proceeding=True, sound=sound).outcome is outcome

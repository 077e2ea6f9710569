"""The voice detector on any sound: events in turn, figures within bounds, silence never speech."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib

SENSITIVITIES = (lib.RW_VAD_LOW, lib.RW_VAD_MEDIUM, lib.RW_VAD_HIGH)

samples = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))
blocks = st.tuples(st.lists(samples, min_size=1, max_size=40), st.integers(10, 60))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), blocks),
        st.tuples(st.just("gap"), st.integers(0, 2**32 - 1)),
        st.tuples(st.just("gap"), st.integers(0, 200)),
        st.tuples(st.just("sent"), st.integers(-(2**31), 2**31 - 1)),
    ),
    max_size=60,
)
configs = st.tuples(
    st.sampled_from([8000, 16000]), st.integers(100, 10000), st.sampled_from(SENSITIVITIES)
)


def make_detector(config):
    """A detector of this rate, hangover and sensitivity."""
    detector = ffi.new("rw_vad *")
    assert lib.rw_vad_init(detector, ffi.new("rw_vad_config *", list(config))) == 0
    return detector


def step(detector, event, rate_hz, what, value):
    """One step; how many milliseconds it took."""
    if what == "sent":
        event.kind = lib.RW_VAD_NONE
        lib.rw_vad_sent(detector, value)
        return 0
    if what == "gap":
        lib.rw_vad_gap(detector, value, event)
        return value
    pattern, ms = value
    count = ms * rate_hz // 1000
    pcm = (pattern * count)[:count]
    assert lib.rw_vad_hear(detector, pcm, count, event) == 0
    return ms


@settings(deadline=None)
@given(config=configs, steps=steps)
def test_events_come_in_turn_and_within_bounds(config, steps):
    detector, event = make_detector(config), ffi.new("rw_vad_event *")
    speaking, passed_ms = False, 0
    for what, value in steps:
        passed_ms += step(detector, event, config[0], what, value)
        if event.kind != lib.RW_VAD_NONE:
            assert event.kind == (lib.RW_VAD_END if speaking else lib.RW_VAD_START)
            speaking = not speaking
            assert 0 < event.duration_ms <= passed_ms
            assert -90 <= event.level_dbov <= 6  # the splitter's filters may ring over full scale
            assert -90 <= event.noise_dbov <= 16
        assert lib.rw_vad_speaking(detector) == speaking


@settings(deadline=None)
@given(
    config=configs,
    frames=st.lists(st.tuples(st.lists(st.integers(-8, 8), min_size=80, max_size=80))),
)
def test_silence_is_never_speech(config, frames):
    detector, event = make_detector(config), ffi.new("rw_vad_event *")
    for (pattern,) in frames:
        step(detector, event, config[0], "hear", (pattern, 20))
        assert event.kind == lib.RW_VAD_NONE


@given(block=st.lists(samples, max_size=600))
def test_level_is_the_mean_power(block):
    power = sum(sample * sample for sample in block) / len(block) if block else 0
    level = lib.rw_vad_level(block, len(block))
    if not power:
        assert level == -127
    else:
        exact = max(-90.0, 10 * math.log10(power / 32768**2))
        assert abs(level - exact) <= 0.6
        assert level <= 0


@given(rate_hz=st.integers(0, 2**32 - 1), hangover_ms=st.integers(0, 2**32 - 1))
def test_what_is_no_config_is_refused(rate_hz, hangover_ms):
    config = ffi.new("rw_vad_config *", [rate_hz, hangover_ms, lib.RW_VAD_MEDIUM])
    good = rate_hz in {8000, 16000} and 100 <= hangover_ms <= 10000
    assert (lib.rw_vad_init(ffi.new("rw_vad *"), config) == 0) == good

"""Errors taken in slices: what lies between two readings, all together, and how sure a ratio is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.bench._native import Receiver
from ringwheel.bench.sliced import SlicedErrors, counted_since, p99_ratio, p99_ratio_range

COUNTS = st.dictionaries(st.integers(0, 100_000), st.integers(1, 500), max_size=8)


def test_a_slice_is_what_was_counted_between_two_readings() -> None:
    before, after = [(5, 10), (80, 1)], [(5, 10), (80, 4), (900, 2)]
    assert counted_since(before, after) == {80: 3, 900: 2}
    assert counted_since([], before) == {5: 10, 80: 1}


@given(st.lists(COUNTS, min_size=1, max_size=6))
def test_quantiles_are_those_of_all_packets(slices: list[dict[int, int]]) -> None:
    every = sorted(
        us for counts in slices for us, packets in counts.items() for _ in range(packets)
    )
    found = SlicedErrors(slices)
    wanted = (0.5, 0.99, 0.999, 1.0)
    at = [every[max(0, int(np.ceil(part * len(every))) - 1)] if every else 0 for part in wanted]
    assert list(found.quantiles().values()) == at
    assert len(found.p99s_us()) == len(found) == len(slices)
    assert found.p99s_us() == sorted(SlicedErrors([counts]).quantiles()["p99"] for counts in slices)


def test_what_disturbs_both_kinds_leaves_their_ratio() -> None:
    """Slices that are ten times worse for both kinds make the p99s unsure, not their ratio."""
    sizes_us = [100, 1_000, 90, 3_000, 110]
    below = SlicedErrors([{us: 100} for us in sizes_us])
    above = SlicedErrors([{2 * us: 100} for us in sizes_us])
    assert p99_ratio(above, below) == 2.0
    assert p99_ratio_range(above, below) == (2.0, 2.0)


def test_one_bad_slice_makes_the_ratio_unsure() -> None:
    below = SlicedErrors([{100: 100}] * 10)
    above = SlicedErrors([{100: 100}] * 9 + [{5_000: 100}])
    low, high = p99_ratio_range(above, below)
    assert (low, high) == (1.0, 50.0)
    assert p99_ratio(above, below) == 50.0
    steady = SlicedErrors([{120: 100}] * 10)
    assert p99_ratio_range(steady, below) == (1.2, 1.2)


def test_nothing_counted() -> None:
    none = SlicedErrors([{}, {}])
    assert none.quantiles() == {"p50": 0, "p99": 0, "p999": 0, "max": 0}
    assert none.p99s_us() == [0, 0]
    assert p99_ratio(none, none) == pytest.approx(0.0)


def test_a_receiver_that_heard_nothing_counts_nothing() -> None:
    assert Receiver(sockets=1, streams_max=1).interval_error_counts() == []

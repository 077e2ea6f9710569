"""Sizes of many packets' errors, taken in short slices of time: together, slice by slice, and how
sure the ratio of two kinds of slices is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._native import Quantiles

Counts = dict[int, int]
"""Packets by the size of their error in us."""

RESAMPLES = 2_000
SEED = 1


def counted_since(before: Iterable[tuple[int, int]], after: Iterable[tuple[int, int]]) -> Counts:
    """What was counted between two readings of (us, packets)."""
    earlier = dict(before)
    counts = {size_us: packets - earlier.get(size_us, 0) for size_us, packets in after}
    return {size_us: packets for size_us, packets in counts.items() if packets}


class SlicedErrors:
    """The errors of slices of one kind, a row of counts each, a column for each size."""

    def __init__(self, slices: Sequence[Counts]) -> None:
        self._sizes_us = np.array(sorted(set().union(*slices)), dtype=np.int64)
        self._counts = np.array(
            [[counts.get(size_us, 0) for size_us in self._sizes_us.tolist()] for counts in slices],
            dtype=np.int64,
        )

    def __len__(self) -> int:
        return len(self._counts)

    def quantiles(self) -> Quantiles:
        """All slices together; zeros if nothing was counted."""
        pooled = self._counts.sum(axis=0, keepdims=True)
        p50, p99, p999, largest = (
            int(self._quantile(pooled, fraction)[0]) for fraction in (0.5, 0.99, 0.999, 1.0)
        )
        return {"p50": p50, "p99": p99, "p999": p999, "max": largest}

    def p99s_us(self) -> list[int]:
        """p99 of each slice by itself, from small to large."""
        return sorted(self._quantile(self._counts, 0.99).tolist())

    def resampled_p99_us(self, weights: NDArray[np.int64]) -> NDArray[np.int64]:
        """p99 for each row of ``weights``: how often each slice is drawn."""
        return self._quantile(weights @ self._counts, 0.99)

    def _quantile(self, rows: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
        """The smallest size that ``fraction`` of a row's packets do not exceed; 0 without any."""
        if not self._sizes_us.size:
            return np.zeros(len(rows), dtype=np.int64)
        seen = rows.cumsum(axis=1)
        packets = seen[:, -1:]
        sizes_us = self._sizes_us[(seen >= fraction * packets).argmax(axis=1)]
        return np.where(packets[:, 0] > 0, sizes_us, 0)


def p99_ratio(above: SlicedErrors, below: SlicedErrors) -> float:
    """p99 of all packets of one kind of slices over that of another."""
    return round(above.quantiles()["p99"] / max(1, below.quantiles()["p99"]), 3)


def p99_ratio_range(above: SlicedErrors, below: SlicedErrors) -> tuple[float, float]:
    """Between which figures 95 % of such ratios lie when slices are drawn anew from those measured
    (bootstrap). Slices of the same turn are drawn together: what disturbed both leaves the ratio.
    """
    turns = len(above)
    draw = np.random.default_rng(SEED)
    weights = draw.multinomial(turns, [1 / turns] * turns, size=RESAMPLES)
    ratios = above.resampled_p99_us(weights) / np.maximum(1, below.resampled_p99_us(weights))
    low, high = np.quantile(ratios, (0.025, 0.975))
    return round(float(low), 3), round(float(high), 3)

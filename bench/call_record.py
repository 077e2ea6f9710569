"""What became of each call of a caller, and of all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .hearing import Heard


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. ``fault`` is None if it went as it should; times are in milliseconds.

    ``setup_ms`` is from INVITE to its 200, ``first_packet_ms`` from the 200 to the first sound
    (negative if that was faster); each is None where it did not come to it.
    """

    number: int
    call_id: str
    status: int
    ended_by: str
    setup_ms: float | None
    talk_ms: float | None
    first_packet_ms: float | None
    heard: Heard | None
    fault: str | None

    def to_json(self) -> dict[str, Any]:
        """The record as one JSON object."""
        return asdict(self)


def spread_ms(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max of some times; empty if there are none."""
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "p50": round(ordered[last * 50 // 100], 3),
        "p95": round(ordered[last * 95 // 100], 3),
        "p99": round(ordered[last * 99 // 100], 3),
        "max": round(ordered[last], 3),
    }


def summary_of(records: Sequence[CallRecord]) -> dict[str, Any]:
    """All calls together, under the keys that the caller prints."""
    heard = [record.heard for record in records if record.heard]
    return {
        "calls": len(records),
        "failed": sum(1 for record in records if record.fault),
        "faults": dict(Counter(record.fault for record in records if record.fault).most_common(20)),
        "statuses": {
            str(status): count
            for status, count in sorted(Counter(record.status for record in records).items())
        },
        "setup_ms": spread_ms([r.setup_ms for r in records if r.setup_ms is not None]),
        "first_packet_ms": spread_ms(
            [r.first_packet_ms for r in records if r.first_packet_ms is not None]
        ),
        "heard": len(heard),
        "packets": sum(stream.packets for stream in heard),
        "lost": sum(stream.lost for stream in heard),
        "duplicates": sum(stream.duplicates for stream in heard),
        "reordered": sum(stream.reordered for stream in heard),
        "timestamp_jumps": sum(stream.timestamp_jumps for stream in heard),
        "payloads_checked": sum(1 for stream in heard if stream.payload_checked),
        "payloads_wrong": sum(1 for stream in heard if stream.payload_fault),
        "worst_leg_interval_error_us": max(
            (stream.interval_error_us for stream in heard),
            key=lambda error: error["p99"],
            default=None,
        ),
    }

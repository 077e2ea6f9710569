"""What a benchmark run yields, and what several runs come to. Field names are JSON keys."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from ..cli.errors import CommandError
from ..media.codec import Codec

if TYPE_CHECKING:
    from ._native import Quantiles

LOOPBACK = 0x7F000001
SPARE_FILES = 200
DYNAMIC_PAYLOAD_TYPE = 96


@dataclass(frozen=True, slots=True)
class Reception:
    """What the receiver heard in one window. Times in microseconds, by kernel arrival times.

    ``lost`` are gaps in the sequence numbers, ``receiver_dropped`` those of them that the kernel
    dropped because the receiver was slow: no fault of the sender. ``spurts`` are packets with the
    marker: one a leg at the start, and one more wherever a sender skipped.
    """

    streams: int
    packets: int
    lost: int
    duplicates: int
    reordered: int
    timestamp_jumps: int
    spurts: int
    rejected: int
    unknown: int
    receiver_dropped: int
    interval_error_us: Quantiles
    worst_leg_interval_error_us: Quantiles

    @property
    def lost_by_sender(self) -> int:
        """Sequence gaps that the receiver's own drops do not explain."""
        return max(0, self.lost - self.receiver_dropped)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one sender: what it says it did, and what the receiver heard."""

    packets: int
    failed: int
    skipped: int
    cpu_us: int
    wall_us: int
    lateness_us: Quantiles
    reception: Reception

    @property
    def cpu_us_per_packet(self) -> float:
        return self.cpu_us / self.packets if self.packets else float("inf")

    def to_json(self) -> dict[str, object]:
        """The run under its public keys."""
        heard = self.reception
        return {
            "cpu_us_per_packet": round(self.cpu_us_per_packet, 3),
            "packets": self.packets,
            "packets_per_s": round(self.packets / (self.wall_us / 1e6)),
            "failed": self.failed,
            "lost": heard.lost_by_sender,
            "skipped": self.skipped,
            "lateness_us": self.lateness_us,
            "interval_error_us": heard.interval_error_us,
            "worst_leg_interval_error_us": heard.worst_leg_interval_error_us,
            "receiver": {
                "streams": heard.streams,
                "packets": heard.packets,
                "dropped": heard.receiver_dropped,
                "duplicates": heard.duplicates,
                "reordered": heard.reordered,
                "timestamp_jumps": heard.timestamp_jumps,
                "spurts": heard.spurts,
                "rejected": heard.rejected,
                "unknown": heard.unknown,
            },
        }


def median_of(values: Iterable[float], digits: int = 3) -> float:
    """The median, rounded for people."""
    return round(median(values), digits)


def median_quantiles(quantiles: Iterable[Quantiles]) -> Quantiles:
    """Each quantile's median over several runs."""
    runs = list(quantiles)
    return {
        "p50": round(median(run["p50"] for run in runs)),
        "p99": round(median(run["p99"] for run in runs)),
        "p999": round(median(run["p999"] for run in runs)),
        "max": round(median(run["max"] for run in runs)),
    }


def machine() -> dict[str, object]:
    """What a figure must be read with."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def destinations(ports: list[int], legs: int) -> list[tuple[int, int]]:
    """A destination for each leg, all different: few ports, many addresses of 127.0.0.0/8."""
    return [(LOOPBACK + leg // len(ports), ports[leg % len(ports)]) for leg in range(legs)]


def payload_type_of(codec: Codec) -> int:
    """The static one, or the one that benchmarks give to a codec that has none."""
    return DYNAMIC_PAYLOAD_TYPE if codec.payload_type is None else codec.payload_type


def allow_files(needed: int) -> None:
    """Raise the limit of open files so that ``needed`` and some spare fit. Raises CommandError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise CommandError(
            f"{wanted} open files are needed, {hard} are allowed",
            f"Take less, or raise the limit: ulimit -Hn {wanted}",
        )
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

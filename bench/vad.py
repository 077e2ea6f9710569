"""`bench vad`: how often the voice detector is right, how soon, and what it costs.

A start counts as false where clean speech had none for some frames around it, an onset as missed
where no start came within a second and nothing was taken for speech already. webrtcvad, where it is
installed, hears the same; it judges frames only, has no hangover and knows of no echo.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..media._core import VoiceDetector, level_dbov
from .limit import Progress
from .measure import machine
from .voice import FRAME_MS, FRAME_SAMPLES, RATE_HZ, Frames, Material, make_material, to_pcm

NEAR_FRAMES = 12
LATEST_FRAMES = 50
EARLY_FRAMES = 2
PEER_MODE = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one detector made of one material."""

    material: Material
    decided: Frames
    starts: list[int] | None = None

    @property
    def recall(self) -> float | None:
        """Part of the frames of speech that was taken for it."""
        speech = self.material.speech
        return round(float(self.decided[speech].mean()), 4) if speech.any() else None

    @property
    def outside(self) -> float:
        """Part of the frames without speech that was taken for it, hangover included."""
        return round(float(self.decided[~self.material.speech].mean()), 4)

    def false_starts(self) -> int:
        """Starts with no speech near."""
        speech = self.material.speech
        near = [bool(speech[max(0, n - NEAR_FRAMES) : n + 1].any()) for n in self.starts or []]
        return near.count(False)

    def latencies_ms(self) -> list[int]:
        """From the beginning of an onset's first frame to the end of the frame with the start."""
        found = []
        for onset in self.material.onsets:
            near = [
                n for n in self.starts or [] if onset - EARLY_FRAMES <= n < onset + LATEST_FRAMES
            ]
            found += [max(1, near[0] - onset + 1) * FRAME_MS] if near else []
        return found

    def missed(self) -> int:
        """Onsets that nothing was made of."""
        return sum(
            not self.decided[max(0, onset - EARLY_FRAMES) : onset + LATEST_FRAMES].any()
            for onset in self.material.onsets
        )

    def to_json(self) -> dict[str, object]:
        """Under public keys."""
        speech = self.material.speech
        counted: dict[str, object] = {
            "speech_as_speech": int((speech & self.decided).sum()),
            "speech_as_none": int((speech & ~self.decided).sum()),
            "none_as_speech": int((~speech & self.decided).sum()),
            "none_as_none": int((~speech & ~self.decided).sum()),
            "recall": self.recall,
            "outside": self.outside,
        }
        if self.starts is None:
            return counted
        minutes = len(speech) * FRAME_MS / 60_000
        return counted | {
            "onsets": len(self.material.onsets),
            "starts": len(self.starts),
            "missed": self.missed(),
            "false_starts_per_minute": round(self.false_starts() / minutes, 3),
            "start_latency_ms": quantiles(self.latencies_ms()),
        }


def quantiles(values: list[int]) -> dict[str, float]:
    """p50, p95 and p99, or nothing of nothing."""
    if not values:
        return {}
    found = np.percentile(values, (50, 95, 99))
    return {name: round(float(v), 1) for name, v in zip(("p50", "p95", "p99"), found, strict=True)}


def judge(material: Material, sensitivity: Any) -> Judgement:
    """Our detector, told of what was sent."""
    detector = VoiceDetector(RATE_HZ, sensitivity=sensitivity)
    decided, starts = np.zeros(len(material.speech), dtype=np.bool_), []
    sent = None if material.sent is None else to_pcm(material.sent)
    for n in range(len(decided)):
        frame = slice(n * FRAME_SAMPLES, (n + 1) * FRAME_SAMPLES)
        if sent is not None:
            detector.sent(level_dbov(sent[frame]))
        event = detector.hear(material.sound[frame])
        if event and event.kind == "start":
            starts.append(n)
        decided[n] = detector.speaking
    return Judgement(material, decided, starts)


def find_peer() -> Callable[[bytes], bool] | None:
    """A fresh detector of webrtcvad, if it is installed."""
    try:
        import webrtcvad  # noqa: PLC0415
    except ImportError:
        return None
    peer = webrtcvad.Vad(PEER_MODE)
    return lambda frame: bool(peer.is_speech(frame, RATE_HZ))


def judge_by_peer(material: Material) -> Judgement | None:
    """webrtcvad on the same, if it is installed."""
    if not (peer := find_peer()):
        return None
    frames = material.sound[: len(material.speech) * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return Judgement(material, np.array([peer(frame.tobytes()) for frame in frames]))


def cost_us(hear: Callable[[Any], object], frames: list[Any], rounds: int = 5) -> float:
    """CPU microseconds a frame, the call from Python included; the best of several rounds."""
    costs = []
    for _ in range(rounds):
        started_ns = time.thread_time_ns()
        for frame in frames:
            hear(frame)
        costs.append((time.thread_time_ns() - started_ns) / 1000 / len(frames))
    return round(min(costs), 3)


@dataclass(frozen=True, slots=True)
class VadResult:
    """Judgements in the order of the material."""

    sensitivity: str
    ours: list[Judgement] = field(default_factory=list)
    peers: list[Judgement | None] = field(default_factory=list)
    costs_us: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "vad",
            **machine(),
            "sensitivity": self.sensitivity,
            "cpu_us_per_frame": self.costs_us,
            "materials": [
                {
                    "name": ours.material.name,
                    "kind": ours.material.kind,
                    "ringwheel": ours.to_json(),
                    **({"webrtcvad": peer.to_json()} if peer else {}),
                }
                for ours, peer in zip(self.ours, self.peers, strict=True)
            ],
        }


def run_vad(seconds: float, sensitivity: str, progress: Progress) -> VadResult:
    """Each detector on everything; ``seconds`` of each noise. Raises CommandError."""
    progress("speaking")
    materials = make_material(seconds)
    result = VadResult(sensitivity)
    for material in materials:
        progress(material.name)
        result.ours.append(judge(material, sensitivity))
        result.peers.append(judge_by_peer(material))
    spoken = materials[0].sound[: len(materials[0].speech) * FRAME_SAMPLES]
    frames = list(spoken.reshape(-1, FRAME_SAMPLES))
    result.costs_us["ringwheel"] = cost_us(VoiceDetector(RATE_HZ).hear, frames)
    if peer := find_peer():
        result.costs_us["webrtcvad"] = cost_us(peer, [frame.tobytes() for frame in frames])
    return result

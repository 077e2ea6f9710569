"""What the interop tests talk to: an engine as users start it, and programs that others wrote."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 60.0


def find_program(name: str, package: str) -> str:
    """Path of a program. Without it the test is skipped, but in CI (CI=true) it fails."""
    found = shutil.which(name)
    if found:
        return found
    message = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True, slots=True)
class Served:
    """A `ringwheel serve` that runs. ``host`` and ``port`` take SIP over UDP."""

    pid: int
    host: str
    port: int
    log: Path

    def threads(self) -> int:
        """Threads of the process."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def events(self) -> list[dict[str, object]]:
        """What it has logged up to now."""
        return events_of(self.log)


def events_of(log: Path) -> list[dict[str, object]]:
    """The whole lines of a JSON log."""
    text = log.read_text("utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def wait_for_address(process: subprocess.Popen[bytes], log: Path) -> tuple[str, int]:
    """Where a server listens, as soon as it says so."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        events = {event["event"]: event for event in events_of(log)}
        if "serving" in events:
            host, _, port = events["listening"]["sip"][0].rpartition(":")  # type: ignore[index]
            return host, int(port)
        time.sleep(0.02)
    pytest.fail(f"ringwheel serve did not start: {log.read_text('utf-8')}")


@contextmanager
def serving(folder: Path, command: list[str], *, ends_with: int = 0) -> Iterator[Served]:
    """A server that runs as a process of its own, logs JSON, and is ended by SIGTERM."""
    log = folder / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=stderr
        )
    try:
        host, port = wait_for_address(process, log)
        yield Served(process.pid, host, port, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_TIMEOUT_S) == ends_with
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def serve_prompts(
    folder: Path,
    prompts: list[Path],
    *options: str,
    host: str = "127.0.0.1",
    ends_with: int = 0,
) -> AbstractContextManager[Served]:
    """A `ringwheel serve` of its own process on a free port."""
    arguments = ["--log-format=json", "serve", f"--sip=udp:{host}:0", "--drain=1", *options]
    names = [f"--prompt={prompt}" for prompt in prompts]
    return serving(folder, ["-m", "ringwheel.cli.main", *arguments, *names], ends_with=ends_with)


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """`find_program`."""
    return find_program


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Served]]:
    """`serve_prompts`."""
    return serve_prompts


PROMPT_SAMPLES = (12_003, 9_777, 16_011)
RATE_HZ = 8000


@pytest.fixture(scope="session")
def chirps(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three rising tones, 8 kHz, of lengths that are no multiples of a packet: a gap would show."""
    folder = tmp_path_factory.mktemp("chirps")
    files = []
    for number, samples in enumerate(PROMPT_SAMPLES):
        time_s = np.arange(samples) / RATE_HZ
        rise_hz_per_s = 2500 * (1 + 0.3 * number) / time_s[-1]
        wave = 8000 * np.sin(2 * np.pi * (300 + rise_hz_per_s * time_s / 2) * time_s)
        files.append(folder / f"chirp{number}.wav")
        soundfile.write(files[-1], wave.astype(np.int16), RATE_HZ)
    return files


WINDOW_SAMPLES = 800
SHIFT_SAMPLES = 1600


def place_of(sound: np.ndarray, piece: np.ndarray) -> int:
    """Where in ``sound`` a piece of it lies best; negative if it began before."""
    size = len(sound) + len(piece)
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(piece, size))
    place = int(np.fft.irfft(spectrum, size).argmax())
    return place if place < len(sound) else place - size


def is_in(sound: np.ndarray, piece: np.ndarray) -> bool:
    """True if ``sound`` has the piece in it, whatever its place."""
    place = place_of(sound, piece)
    same = sound[max(0, place) : max(0, place) + len(piece)]
    return len(same) == len(piece) and same.any() and float(np.corrcoef(same, piece)[0, 1]) > 0.95


def heard_share(heard: Path, prompts: list[Path]) -> tuple[float, int]:
    """Share of the prompts' 100 ms windows that a recording has about where they belong; and how
    many samples it has from their beginning on.

    A peer on a busy machine stretches or drops a frame of its jitter buffer now and then: that
    costs the window it falls into, and moves the others by a frame. Whether a packet of ours was
    missing is for those to say who look at the wire.
    """
    recorded, rate_hz = soundfile.read(heard)
    assert rate_hz == RATE_HZ
    sent = np.concatenate([soundfile.read(prompt)[0] for prompt in prompts])
    lag = place_of(recorded, sent)
    found = []
    for start in range(0, len(sent) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES):
        begin = start + lag
        around = recorded[max(0, begin - SHIFT_SAMPLES) : begin + WINDOW_SAMPLES + SHIFT_SAMPLES]
        if begin + WINDOW_SAMPLES <= len(recorded):
            found.append(is_in(around, sent[start : start + WINDOW_SAMPLES]))
    return sum(found) / len(found), min(len(sent), len(recorded) - lag)


@pytest.fixture(scope="session")
def share_heard() -> Callable[[Path, list[Path]], tuple[float, int]]:
    """`heard_share`."""
    return heard_share

"""SIPp calls: a thousand calls up at the same time, each with the right sound (A7)."""

from __future__ import annotations

import csv
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ringwheel.bench._native import Receiver
from ringwheel.bench.hearing import Expected
from ringwheel.media.codec import PCMU
from ringwheel.media.prompt import encode_sound, read_sound

pytestmark = pytest.mark.alone

SCENARIO = Path(__file__).with_name("caller.xml")
CALLS = 1000
CALLS_PER_S = 100
SAMPLE_EVERY = 25
# Together 15 s and a bit; none is a multiple of the 160 samples of a packet.
PROMPT_SAMPLES = (39_203, 41_117, 39_771)
SIPP_TIMEOUT_S = 90


def write_prompts(folder: Path) -> list[Path]:
    """Three different pieces of noise at 8 kHz."""
    files = []
    for number, samples in enumerate(PROMPT_SAMPLES):
        noise = np.random.default_rng(number).normal(0, 4000, samples)
        files.append(folder / f"prompt{number}.wav")
        soundfile.write(files[-1], noise.clip(-32768, 32767).astype(np.int16), 8000)
    return files


@dataclass(slots=True)
class Observer:
    """Listens, and counts the engine's threads, while calls come and go."""

    receiver: Receiver
    threads_by_streams: list[tuple[int, int]] = field(default_factory=list)

    @contextmanager
    def watching(self, served: Any) -> Iterator[None]:
        """Watches in a thread of its own for as long as the block lasts."""
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                self.receiver.run(0.1)
                self.threads_by_streams.append((len(self.receiver), served.threads()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        self.receiver.drain()

    def streams(self) -> list[dict[str, Any]]:
        """All streams heard."""
        return [self.receiver.stream(index) for index in range(len(self.receiver))]


def run_sipp(sipp: str, folder: Path, served: Any, sound_port: int) -> list[dict[str, str]]:
    """Places the calls; SIPp's own statistics, a row a second."""
    statistics = folder / "sipp.csv"
    finished = subprocess.run(
        [
            sipp,
            f"{served.host}:{served.port}",
            *("-sf", str(SCENARIO), "-key", "sound_port", str(sound_port)),
            *("-m", str(CALLS), "-l", str(2 * CALLS), "-r", str(CALLS_PER_S)),
            *("-i", "127.0.0.1", "-nostdin", "-timeout", str(SIPP_TIMEOUT_S), "-timeout_error"),
            *("-trace_stat", "-stf", str(statistics), "-fd", "1"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SIPP_TIMEOUT_S + 20,
    )
    assert finished.returncode == 0, finished.stdout[-3000:]
    with statistics.open(newline="") as rows:
        return list(csv.DictReader(rows, delimiter=";"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Expected]:
    """The prompts, and what they are on the wire."""
    files = write_prompts(tmp_path_factory.mktemp("prompts"))
    payload = b"".join(encode_sound(read_sound(file), PCMU).payload for file in files)
    return files, Expected(payload, PCMU.silence)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the run left behind."""

    statistics: list[dict[str, str]]
    observer: Observer


@pytest.fixture(scope="module")
def outcome(
    tmp_path_factory: pytest.TempPathFactory,
    expected: tuple[list[Path], Expected],
    program: Callable[[str, str], str],
    serve: Callable[..., AbstractContextManager[Any]],
) -> Outcome:
    """One run of SIPp, which all tests here look at from different sides."""
    sipp = program("sipp", "sip-tester")
    files, wanted = expected
    folder = tmp_path_factory.mktemp("sipp")
    observer = Observer(
        Receiver(
            sockets=1,
            streams_max=2 * CALLS,
            capture_every=SAMPLE_EVERY,
            capture_bytes=len(wanted.payload) + 8000,
        )
    )
    with (
        serve(folder, files, f"--max-calls={2 * CALLS}") as served,
        observer.watching(served),
    ):
        statistics = run_sipp(sipp, folder, served, observer.receiver.ports[0])
    return Outcome(statistics, observer)


def test_no_call_fails_and_all_are_up_at_the_same_time(outcome: Outcome) -> None:
    last = outcome.statistics[-1]
    assert int(last["SuccessfulCall(C)"]) == CALLS
    assert int(last["FailedCall(C)"]) == 0
    assert max(int(row["CurrentCall"]) for row in outcome.statistics) == CALLS


def test_sipp_has_nothing_to_send_again_after_the_first_second(outcome: Outcome) -> None:
    repeated = [int(row["Retransmissions(C)"]) for row in outcome.statistics]
    assert len(repeated) > 10
    first_second = next(
        index
        for index, row in enumerate(outcome.statistics)
        if row["ElapsedTime(C)"].split(":")[:3] >= ["00", "00", "01"]
    )
    assert repeated[-1] == repeated[first_second]


def test_no_thread_is_made_for_a_call(outcome: Outcome) -> None:
    seen = {threads for streams, threads in outcome.observer.threads_by_streams if streams >= 1}
    assert max(streams for streams, _ in outcome.observer.threads_by_streams) == CALLS
    assert len(seen) == 1, outcome.observer.threads_by_streams


def test_every_call_hears_each_packet_once_and_in_order(
    outcome: Outcome, expected: tuple[list[Path], Expected]
) -> None:
    receiver = outcome.observer.receiver
    assert receiver.totals()["dropped"] == 0
    streams = outcome.observer.streams()
    assert len(streams) == CALLS
    faults = [
        (stream["lost"], stream["duplicates"], stream["reordered"], stream["timestamp_jumps"])
        for stream in streams
    ]
    assert set(faults) == {(0, 0, 0, 0)}
    assert {stream["spurts"] for stream in streams} == {1}
    assert {stream["packets"] for stream in streams} == {expected[1].packets}


def test_sampled_calls_hear_the_list_to_the_last_sample(
    outcome: Outcome, expected: tuple[list[Path], Expected]
) -> None:
    receiver = outcome.observer.receiver
    sampled = range(0, len(receiver), SAMPLE_EVERY)
    assert len(sampled) == CALLS // SAMPLE_EVERY
    heard = [receiver.captured(index) for index in sampled]
    assert [expected[1].fault(payload or b"") for payload in heard] == [None] * len(sampled)

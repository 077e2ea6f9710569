"""The recorder and its ring of samples, against lists of what was pushed."""

from __future__ import annotations

import errno
import resource
import tempfile
import wave
from array import array
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ringwheel._testcore import ffi, lib

RATE_HZ = 8000
ROOM_SAMPLES = 64
"""What a ring of 8 ms has room for: most of what is pushed at once does not fit."""

MAX_GAPS = 16
FILE_SAMPLES = RATE_HZ
"""A file of the shortest rotation."""


class PcmRingAgainstList(RuleBasedStateMachine):
    @initialize(samples=st.integers(0, 40))
    def create(self, samples: int) -> None:
        self.ring = ffi.gc(lib.rw_pcm_ring_create(samples), lib.rw_pcm_ring_destroy)
        self.room = lib.rw_pcm_ring_room(self.ring)
        assert self.room >= samples
        self.held: list[int] = []

    @rule(pcm=st.lists(st.integers(-32768, 32767), max_size=70))
    def write(self, pcm: list[int]) -> None:
        fits = len(self.held) + len(pcm) <= self.room
        assert lib.rw_pcm_ring_write(self.ring, ffi.new("int16_t[]", pcm), len(pcm)) == fits
        self.held += pcm if fits else []

    @rule(room=st.integers(0, 70))
    def read(self, room: int) -> None:
        to = ffi.new("int16_t[]", 70)
        count = lib.rw_pcm_ring_read(self.ring, to, room)
        assert ffi.unpack(to, count) == self.held[:room]
        del self.held[:room]

    @rule(part=st.floats(0, 1))
    def peek_and_skip(self, part: float) -> None:
        samples = ffi.new("size_t *")
        pcm = lib.rw_pcm_ring_peek(self.ring, samples)
        assert (samples[0] > 0) == bool(self.held)
        assert ffi.unpack(pcm, samples[0]) == self.held[: samples[0]]
        skipped = int(part * samples[0])
        lib.rw_pcm_ring_skip(self.ring, skipped)
        del self.held[:skipped]

    @invariant()
    def counts_what_is_in_it(self) -> None:
        assert lib.rw_pcm_ring_readable(self.ring) == len(self.held)
        assert lib.rw_pcm_ring_writable(self.ring) == self.room - len(self.held)


@contextmanager
def dead_disk():
    """No file can be written to, as this process sees it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class RecorderAgainstList(RuleBasedStateMachine):
    """One recording; the samples of both sides tell their place in time."""

    @initialize(channels=st.sampled_from([1, 2]), rotates=st.booleans())
    def open(self, channels: int, rotates: bool) -> None:
        self.channels = channels
        self.rotates = rotates
        self.folder = tempfile.TemporaryDirectory()
        created = ffi.new("rw_recorder **")
        assert lib.rw_recorder_create(ffi.new("rw_recorder_config *", (8, 1)), created) == 0
        self.recorder = ffi.gc(created[0], lib.rw_recorder_destroy)
        path = ffi.new("char[]", str(Path(self.folder.name, "a.wav")).encode())
        config = ffi.new("rw_recording_config *", (path, 5, RATE_HZ, 8, 1000 * rotates, channels))
        opened = ffi.new("rw_recording **")
        assert lib.rw_recording_open(self.recorder, config, opened) == 0
        self.recording = opened[0]
        self.time = self.paused = self.lost = self.in_ring = 0
        self.is_paused = self.failed = False
        self.gap_open = self.gap_held = False
        self.gaps = 0
        self.expected: list[tuple[int, int]] = []
        self.reports: list[tuple[int, int, int]] = []

    @rule(
        samples=st.one_of(st.integers(0, 50), st.integers(50, 3000)),
        silent=st.sampled_from(["", "", "caller", "robot"]),
    )
    def push(self, samples: int, silent: str) -> None:
        places = range(self.time, self.time + samples)
        caller = [0 if silent == "caller" else 1 + place % 20_000 for place in places]
        robot = [0 if silent == "robot" else -20_000 - place % 12_000 for place in places]
        lib.rw_recording_push(
            self.recording,
            ffi.NULL if silent == "caller" else ffi.new("int16_t[]", caller),
            ffi.NULL if silent == "robot" else ffi.new("int16_t[]", robot),
            samples,
        )
        self.time += samples
        if self.is_paused:
            self.paused += samples
        elif self.takes(samples):
            self.gaps += self.gap_open
            self.gap_open = False
            self.in_ring += samples
            self.expected += zip(caller, robot, strict=True)
        else:
            self.gap_open = True
            self.lost += samples
            self.expected += [(0, 0)] * samples

    def takes(self, samples: int) -> bool:
        fits = (self.in_ring + samples) * self.channels <= self.room
        return fits and not (self.gap_open and self.gaps == MAX_GAPS)

    @property
    def room(self) -> int:
        return ROOM_SAMPLES * self.channels

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        lib.rw_recording_pause(self.recording, paused)
        self.is_paused = paused

    @rule()
    def turn(self) -> None:
        lib.rw_recorder_turn(self.recorder)
        self.in_ring = self.gaps = 0
        self.gap_held = False

    @precondition(lambda self: self.in_ring or self.gaps or self.gap_held)
    @rule()
    def turn_with_a_dead_disk(self) -> None:
        with dead_disk():
            lib.rw_recorder_turn(self.recorder)
        self.failed = True
        if self.gaps and not self.gap_held:
            self.gap_held = True
            self.gaps -= 1

    @invariant()
    def collect_reports(self) -> None:
        if not hasattr(self, "recorder"):
            return
        polled = ffi.new("rw_recording_report[]", 16)
        for report in polled[0 : lib.rw_recorder_poll(self.recorder, polled, 16)]:
            assert report.recording_id == 5
            self.reports.append((report.kind, report.samples, report.error))
            if report.kind == lib.RW_RECORDING_FINISHED:
                self.totals = (report.gap_samples, report.paused_samples, report.files)

    def written(self) -> list[list[tuple[int, ...]]]:
        """Frames of each file."""
        count = len(list(Path(self.folder.name).iterdir()))
        names = ["a.wav"] + [f"a-{number}.wav" for number in range(2, count + 1)]
        files = []
        for name in names:
            with wave.open(str(Path(self.folder.name, name)), "rb") as file:
                assert file.getframerate() == RATE_HZ
                assert (file.getnchannels(), file.getsampwidth()) == (self.channels, 2)
                pcm = array("h", file.readframes(file.getnframes()))
            assert len(pcm) % self.channels == 0
            files.append(list(zip(*[iter(pcm)] * self.channels, strict=True)))
        return files

    def teardown(self) -> None:
        if not hasattr(self, "recorder"):
            return
        lib.rw_recording_finish(self.recording)
        self.turn()
        self.collect_reports()
        files = self.written()
        self.check_content(files)
        self.check_reports(len(files))
        self.folder.cleanup()

    def check_content(self, files: list[list[tuple[int, ...]]]) -> None:
        frames = [frame for file in files for frame in file]
        if self.channels == 2:
            assert frames == self.expected
        else:
            assert frames == [(caller + robot,) for caller, robot in self.expected]
        if self.rotates:
            assert all(len(file) == FILE_SAMPLES for file in files[:-1])
            assert len(files[-1]) <= FILE_SAMPLES
            assert files[-1] or len(files) == 1
        else:
            assert len(files) == 1

    def check_reports(self, files: int) -> None:
        last_error = errno.EFBIG if self.failed else 0
        assert self.reports[-1] == (lib.RW_RECORDING_FINISHED, len(self.expected), last_error)
        assert self.totals == (self.lost, self.paused, files)
        assert self.sum_of(lib.RW_RECORDING_GAP) == self.lost
        assert self.sum_of(lib.RW_RECORDING_FILE_FINISHED) == len(self.expected)
        told = any(kind == lib.RW_RECORDING_STALLED for kind, _, _ in self.reports)
        assert told == self.failed

    def sum_of(self, wanted: int) -> int:
        return sum(samples for kind, samples, _ in self.reports if kind == wanted)


TestPcmRing = PcmRingAgainstList.TestCase
TestRecorder = RecorderAgainstList.TestCase

"""Recordings: calls written to WAV files while they last."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from ._core import Recorder as RecorderThread
from ._core import RecordingFile, recording_file_path
from .codec import Codec
from .events import RecordingFinished, RecordingGap, RecordingStalled, TapEnded, Tapped
from .leg import Leg, Tap
from .sound import StrPath

log = structlog.get_logger(__name__)

MAX_RECORDINGS = 65_536
PERIOD_MS = 100
BUFFER_MS = 2_000
"""How long a disk may stand still before sound is lost."""

MIN_ROTATE_S = 1.0
MAX_ROTATE_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording came to.

    ``recorded_ms`` is the length of all ``files`` together. ``lost_ms`` is what the disk was too
    slow or too full for; in the files silence stands in its place. ``concealed_ms`` was made up for
    packets of the caller that were lost or later than 200 ms, and for 60 ms where the caller fell
    silent and never spoke again, which nobody can tell from a loss; of these packets,
    ``late_packets`` came too late. ``error`` is the disk's last, if any.
    """

    files: tuple[Path, ...]
    recorded_ms: float
    lost_ms: float = 0.0
    paused_ms: float = 0.0
    concealed_ms: float = 0.0
    late_packets: int = 0
    error: OSError | None = None


class Recording:
    """One recording under way, made by :meth:`Call.record`.

    ``lost_ms`` counts up to now. It ends with the call, if not before; then ``on_recorded`` is
    called, if there is one, at once.
    """

    def __init__(
        self, path: Path, codec: Codec, file: RecordingFile, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.path = path
        self.lost_ms = 0.0
        self.on_recorded: Callable[[Recorded], None] | None = None
        self._rate_per_ms = codec.sample_rate_hz / 1000
        self._file = file
        self._tapped = Tapped()
        self._leg: Leg | None = None
        self._tap: Tap | None = None
        self._recorded: asyncio.Future[Recorded] = loop.create_future()

    def begin(self, leg: Leg, codec: Codec) -> None:
        """Take the sound of ``leg`` from now on."""
        try:
            self._tap = leg.record(codec, self._file)
        except BaseException:  # nobody has it who could end it; its file goes with its end
            self.finish()
            raise
        self._leg = leg
        self._tap.ended.add_done_callback(self._on_tap_ended)

    def pause(self) -> None:
        """Leave out what is said from now on."""
        self._file.pause(True)

    def resume(self) -> None:
        """Go on."""
        self._file.pause(False)

    async def stop(self) -> Recorded:
        """End the recording, and wait until its file is complete."""
        if self._leg is not None and self._tap is not None:
            self._leg.end_tap(self._tap)
        return await self.wait()

    async def wait(self) -> Recorded:
        """Wait until the file is complete, whoever ends the recording."""
        return await asyncio.shield(self._recorded)

    def finish(self) -> None:
        """No more sound comes: complete the file."""
        self._file.finish()

    def _on_tap_ended(self, ended: asyncio.Future[TapEnded]) -> None:
        self._tapped = ended.result().tapped
        self.finish()

    # What the recorder tells

    def on_gap(self, gap: RecordingGap) -> None:
        """Silence stands in the place of sound that could not be written."""
        self._lose(gap.samples / self._rate_per_ms, gap.error)

    def _lose(self, lost_ms: float, error: int) -> None:
        self.lost_ms += lost_ms
        cause = os.strerror(error) if error else "the disk is too slow"
        log.warning("recording has a gap", path=str(self.path), lost_ms=lost_ms, cause=cause)

    def on_stalled(self, stalled: RecordingStalled) -> None:
        """The disk fails."""
        log.error("recording stalled", path=str(self.path), cause=os.strerror(stalled.error))

    def on_finished(self, finished: RecordingFinished) -> None:
        """All is written. Of what could not begin nothing stays, so that it may be tried again."""
        if self._leg is None:
            self.path.unlink(missing_ok=True)
        error = finished.error
        recorded = Recorded(
            self._files(finished.files),
            finished.samples / self._rate_per_ms,
            finished.gap_samples / self._rate_per_ms,
            finished.paused_samples / self._rate_per_ms,
            self._tapped.concealed_samples / self._rate_per_ms,
            self._tapped.discarded_late,
            OSError(error, os.strerror(error), str(self.path)) if error else None,
        )
        if recorded.lost_ms > self.lost_ms:  # at its end, where no silence stands for it
            self._lose(recorded.lost_ms - self.lost_ms, error)
        if not self._recorded.done():
            self._recorded.set_result(recorded)
        if self.on_recorded is not None:
            self.on_recorded(recorded)

    def _files(self, count: int) -> tuple[Path, ...]:
        first = os.fsencode(self.path)
        names = [recording_file_path(first, number) for number in range(1, count + 1)]
        return tuple(Path(os.fsdecode(name)) for name in names)


class Recorder:
    """All recordings of an engine. Its thread starts with the first one."""

    def __init__(self) -> None:
        self._thread: RecorderThread | None = None
        self._recordings: dict[int, Recording] = {}
        self._ids = itertools.count(1)

    def open(self, path: StrPath, codec: Codec, *, stereo: bool, rotate_s: float) -> Recording:
        """Create the file of a recording. FileExistsError and other OSError: why it cannot be."""
        if rotate_s and not MIN_ROTATE_S <= rotate_s <= MAX_ROTATE_S:
            raise ValueError(f"rotate_s: use 0, or {MIN_ROTATE_S:.0f} to {MAX_ROTATE_S:.0f}")
        target, number = Path(path).absolute(), next(self._ids)
        try:
            file = self._started().open(
                os.fsencode(target),
                number,
                codec.sample_rate_hz,
                channels=2 if stereo else 1,
                buffer_ms=BUFFER_MS,
                rotate_ms=round(rotate_s * 1000),
            )
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(target)) from None
        recording = Recording(target, codec, file, asyncio.get_running_loop())
        self._recordings[number] = recording
        return recording

    def _started(self) -> RecorderThread:
        if self._thread is None:
            self._thread = RecorderThread(MAX_RECORDINGS, PERIOD_MS)
            asyncio.get_running_loop().add_reader(self._thread.event_fd, self._read)
        return self._thread

    def figures(self) -> dict[str, int]:
        """Counts of all recordings."""
        return self._thread.figures() if self._thread is not None else {}

    async def close(self) -> None:
        """Complete every file and end the thread, even if this is cancelled. Close legs first."""
        if self._thread is None:
            return
        loop = asyncio.get_running_loop()
        stopped = loop.run_in_executor(None, self._thread.stop)
        stopped.add_done_callback(partial(self._on_stopped, loop, self._thread))
        await asyncio.shield(stopped)  # cancelled before its turn comes, it would never stop

    def _on_stopped(
        self, loop: asyncio.AbstractEventLoop, thread: RecorderThread, _: asyncio.Future[None]
    ) -> None:
        while self._read():
            pass
        loop.remove_reader(thread.event_fd)
        self._thread = None

    def _read(self) -> bool:
        reports = self._thread.poll() if self._thread is not None else []
        for report in reports:
            try:
                self._take(report)
            except Exception:  # the others are told but once
                told = type(report).__name__
                log.exception("report not taken", told=told, recording=report.recording_id)
        return bool(reports)

    def _take(self, report: RecordingGap | RecordingStalled | RecordingFinished) -> None:
        recording = self._recordings[report.recording_id]
        match report:
            case RecordingGap():
                recording.on_gap(report)
            case RecordingStalled():
                recording.on_stalled(report)
            case RecordingFinished():
                del self._recordings[report.recording_id]
                recording.on_finished(report)

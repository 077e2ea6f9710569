# What takes continuous sound from legs: recordings to WAV files, and programs that listen.

cimport cython

from .events import RecordingFinished, RecordingGap, RecordingStalled

import numpy as np

cdef enum:
    REPORT_BATCH = 64
    PATH_BYTES = 4096


cdef class Recorder


# The recording is the recorder's, which therefore has to outlive it. No cycle goes through a
# recorder, and the collector is not to take it away from a file that a finalizer may still use.
@cython.no_gc
cdef class RecordingFile:
    """A recording that :meth:`Recorder.open` began, for :meth:`Shard.tap_recording`; void once it
    is finished, or the recorder stopped."""

    cdef Recorder recorder
    cdef rw_recording *recording

    cdef rw_recording *usable(self) noexcept:
        """NULL: it is void."""
        return NULL if self.recording == NULL or self.recorder.stopped else self.recording

    def pause(self, bint paused) -> None:
        """Leave out what comes from now on, or go on."""
        if self.usable() != NULL:
            rw_recording_pause(self.recording, paused)

    def finish(self) -> None:
        """Have the file completed and closed, after every tap to it has ended."""
        if self.usable() != NULL:
            rw_recording_finish(self.recording)
            self.recording = NULL


cdef class Recorder:
    """Writes recordings, in one thread for all of them. OSError: it cannot be had."""

    cdef rw_recorder *recorder
    cdef bint stopped

    def __cinit__(self, uint32_t max_recordings, uint32_t period_ms):
        cdef rw_recorder_config config
        config.max_recordings = max_recordings
        config.period_ms = period_ms
        raise_errno(rw_recorder_create(&config, &self.recorder))
        raise_errno(rw_recorder_start(self.recorder))

    def __dealloc__(self):
        if self.recorder != NULL:
            rw_recorder_destroy(self.recorder)

    def open(self, bytes path not None, uint64_t recording_id, uint32_t sample_rate_hz, *,
             uint8_t channels, uint32_t buffer_ms, uint32_t rotate_ms) -> RecordingFile:
        """Create a WAV file, which must not be there yet. OSError: why it cannot be."""
        cdef rw_recording_config config
        cdef RecordingFile file = RecordingFile()
        config.path = path
        config.recording_id = recording_id
        config.sample_rate_hz = sample_rate_hz
        config.channels = channels
        config.buffer_ms = buffer_ms
        config.rotate_ms = rotate_ms
        cdef int error
        with nogil:
            error = rw_recording_open(self.recorder, &config, &file.recording)
        raise_errno(error)
        file.recorder = self
        return file

    def stop(self) -> None:
        """Complete and close every file, and end the thread, after every tap has ended. All
        recordings are void from now on."""
        self.stopped = True
        with nogil:
            rw_recorder_stop(self.recorder)

    @property
    def event_fd(self) -> int:
        """Readable when there are reports; owned by the recorder."""
        return rw_recorder_event_fd(self.recorder)

    def poll(self) -> list:
        """Up to 64 reports (``media/events.py``), oldest first; none only if there are no more."""
        cdef rw_recording_report reports[REPORT_BATCH]
        cdef size_t count = REPORT_BATCH, i
        cdef list told = []
        while count and not told:
            count = rw_recorder_poll(self.recorder, reports, REPORT_BATCH)
            told = [report_of(&reports[i]) for i in range(count)
                    if reports[i].kind != RW_RECORDING_FILE_FINISHED]
        return told

    def figures(self) -> dict:
        """Counts by name: recordings that are open, bytes written, samples lost, writes failed."""
        cdef rw_recorder_figures figures
        rw_recorder_read_figures(self.recorder, &figures)
        return {
            "recordings_open": figures.recordings_open,
            "recorded_bytes": figures.bytes_written,
            "recording_gap_samples": figures.gap_samples,
            "recording_write_errors": figures.write_errors,
        }


cdef report_of(const rw_recording_report *report):
    if report.kind == RW_RECORDING_STALLED:
        return RecordingStalled(report.recording_id, report.error)
    if report.kind == RW_RECORDING_GAP:
        return RecordingGap(report.recording_id, report.samples, report.error)
    return RecordingFinished(
        report.recording_id, report.samples, report.gap_samples, report.paused_samples,
        report.files, report.error)


def recording_file_path(bytes path not None, uint32_t number) -> bytes:
    """The path of file ``number`` of the recording that began with ``path``."""
    cdef char to[PATH_BYTES]
    raise_errno(rw_recorder_file_path(path, number, to, PATH_BYTES))
    return to


cdef class Listener:
    """Sound on its way from a leg to a program, for :meth:`Shard.tap_listener`; ``room_ms`` of it
    may wait to be read. OSError EINVAL: a rate or a time that is none.
    """

    cdef rw_listener *listener

    def __cinit__(self, uint32_t sample_rate_hz, uint32_t room_ms):
        raise_errno(rw_listener_create(sample_rate_hz, room_ms, &self.listener))

    def __dealloc__(self):
        rw_listener_release(self.listener)

    def read(self):
        """All samples that wait, as an array of int16; the next ones are told of."""
        cdef int16_t[::1] samples
        cdef size_t count
        parts = []
        while True:
            samples = np.empty(rw_listener_readable(self.listener) + 1, np.int16)
            count = rw_listener_read(self.listener, &samples[0], samples.shape[0])
            parts.append(np.asarray(samples)[:count])
            # As many as there is room for: more came meanwhile, of which nobody would be told.
            if count < <size_t>samples.shape[0]:
                return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def dropped(self) -> int:
        """Samples that found no room."""
        return rw_listener_dropped(self.listener)

/* One recording: the shard's thread pushes, the writer's drains. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "recorder/recorder_private.h"

#define CACHE_LINE 64
#define CHUNK_SAMPLES 480
#define MIN_RATE_HZ 8000
#define MAX_RATE_HZ 48000
#define MAX_CHANNELS 2

/* Gaps between what lies in the ring. When there are more, the last one gets longer. */
#define MAX_GAPS 16

/* What a recording may do in a round: the others want their turn. */
#define STEPS_A_ROUND 64

/* Names that are taken, and left out, when a new file is looked for. */
#define NAMES_A_ROUND 16

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* --- the shard's thread -------------------------------------------------------------------- */

static int16_t saturate(int32_t sample) {
    if (sample > INT16_MAX) return INT16_MAX;
    return (int16_t)(sample < INT16_MIN ? INT16_MIN : sample);
}

static void mix(const int16_t *caller, const int16_t *robot, int16_t *to, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        to[i] = saturate(caller[i] + robot[i]);
}

static void interleave(const int16_t *caller, const int16_t *robot, int16_t *to, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        to[2 * i] = caller[i];
        to[2 * i + 1] = robot[i];
    }
}

static void push_chunk(rw_recording *recording, const int16_t *caller, const int16_t *robot,
                       size_t samples) {
    static const int16_t silence[CHUNK_SAMPLES];
    int16_t pcm[CHUNK_SAMPLES * MAX_CHANNELS];
    if (!caller) caller = silence;
    if (!robot) robot = silence;
    if (recording->channels == 1)
        mix(caller, robot, pcm, samples);
    else
        interleave(caller, robot, pcm, samples);
    rw_pcm_ring_write(recording->ring, pcm, samples * recording->channels);
}

/* Tells the writer where sound is missing, before the first sound that comes after it: so it never
 * passes by such a place without knowing. */
static bool end_gap(rw_recording *recording) {
    rw_gap gap = {recording->pushed_samples, recording->open_gap_samples};
    if (!gap.samples) return true;
    if (rw_ring_push(recording->gaps, &gap) < 0) return false;
    recording->open_gap_samples = 0;
    return true;
}

static bool fits(rw_recording *recording, size_t samples) {
    return samples <= SIZE_MAX / MAX_CHANNELS &&
           rw_pcm_ring_fits(recording->ring, samples * recording->channels);
}

static void lose(rw_recording *recording, size_t samples) {
    recording->open_gap_samples += samples;
    rw_count(&recording->lost_samples, samples);
}

void rw_recording_push(rw_recording *recording, const int16_t *caller, const int16_t *robot,
                       size_t samples) {
    if (atomic_load_explicit(&recording->paused, memory_order_relaxed)) {
        rw_count(&recording->paused_samples, samples);
        return;
    }
    if (!fits(recording, samples) || !end_gap(recording)) {
        lose(recording, samples);
        return;
    }
    for (size_t at = 0; at < samples; at += CHUNK_SAMPLES)
        push_chunk(recording, caller ? caller + at : NULL, robot ? robot + at : NULL,
                   least(samples - at, CHUNK_SAMPLES));
    recording->pushed_samples += samples;
}

/* --- reports ------------------------------------------------------------------------------- */

static void tell_stalled(rw_recording *recording) {
    rw_untold *untold = &recording->untold;
    rw_recording_report report = {
        .kind = RW_RECORDING_STALLED,
        .recording_id = recording->recording_id,
        .error = untold->stalled,
    };
    if (untold->stalled && rw_recorder_tell(recording->recorder, &report)) untold->stalled = 0;
}

static void tell_gap(rw_recording *recording) {
    rw_untold *untold = &recording->untold;
    rw_recording_report report = {
        .kind = RW_RECORDING_GAP,
        .recording_id = recording->recording_id,
        .error = untold->gap_error,
        .samples = untold->gap_samples,
    };
    if (!untold->gap_samples || !rw_recorder_tell(recording->recorder, &report)) return;
    untold->gap_samples = 0;
    untold->gap_error = 0;
}

static void tell_files(rw_recording *recording) {
    rw_untold *untold = &recording->untold;
    rw_recording_report report = {
        .kind = RW_RECORDING_FILE_FINISHED,
        .recording_id = recording->recording_id,
        .samples = untold->file_samples,
        .file = untold->file,
        .files = untold->files,
    };
    if (!untold->files || !rw_recorder_tell(recording->recorder, &report)) return;
    untold->files = 0;
    untold->file_samples = 0;
}

/* Sound that is in no file; silence may stand for it. */
static uint64_t lost_in_all(const rw_recording *recording) {
    uint64_t heard_samples = recording->finished_samples - recording->silence_covered;
    return recording->pushed_samples + rw_read(&recording->lost_samples) - heard_samples;
}

/* After all else: with this, the recording is gone. */
static bool tell_finished(const rw_recording *recording) {
    const rw_untold *untold = &recording->untold;
    if (!recording->closed || untold->stalled || untold->gap_samples || untold->files) return false;
    rw_recording_report report = {
        .kind = RW_RECORDING_FINISHED,
        .recording_id = recording->recording_id,
        .error = recording->last_error,
        .samples = recording->finished_samples,
        .gap_samples = lost_in_all(recording),
        .paused_samples = rw_read(&recording->paused_samples),
        .files = recording->files,
    };
    return rw_recorder_tell(recording->recorder, &report);
}

/* What finds no room stays for the next time, together with what comes until then. */
static void tell_news(rw_recording *recording) {
    tell_stalled(recording);
    tell_gap(recording);
    tell_files(recording);
}

/* --- the writer's thread: files ------------------------------------------------------------ */

static void note_failure(rw_recording *recording, int error) {
    rw_count(&recording->recorder->write_errors, 1);
    if (!recording->stall_error) recording->untold.stalled = error;
    recording->stall_error = recording->last_error = error;
}

static int cover(rw_recording *recording) {
    rw_wav_file *file = &recording->file;
    if (file->fd < 0 || file->covered == file->samples) return 0;
    int error = rw_wav_cover(file);
    if (!error) recording->silence_covered = recording->silence_samples;
    return error;
}

static void close_file(rw_recording *recording) {
    rw_untold *untold = &recording->untold;
    int error = rw_wav_close(&recording->file);
    if (error) note_failure(recording, -error);
    recording->finished_samples += recording->file.covered;
    untold->file_samples += recording->file.covered;
    untold->file = recording->file_number;
    untold->files++;
    tell_news(recording);
}

static int create_file(rw_recording *recording, uint32_t number) {
    char path[PATH_MAX];
    int error = rw_recorder_file_path(recording->path, number, path, sizeof(path));
    if (!error) error = rw_wav_create(&recording->file, path, &recording->format);
    if (error) return error;
    recording->file_number = number;
    recording->files++;
    return 0;
}

static int create_next_file(rw_recording *recording) {
    int error = -EEXIST;
    for (int i = 0; error == -EEXIST && i < NAMES_A_ROUND; i++) {
        error = create_file(recording, recording->file_number + 1);
        if (error == -EEXIST) recording->file_number++;
    }
    return error;
}

static uint64_t room_in_file(const rw_recording *recording) {
    return recording->samples_per_file - recording->file.samples;
}

/* Sees to a file that has room: a new one, when there is something for it, behind a full one. */
static int make_room(rw_recording *recording) {
    if (recording->file.fd >= 0) {
        if (room_in_file(recording)) return 0;
        int error = cover(recording);
        if (error) return error;
        close_file(recording);
    }
    return create_next_file(recording);
}

/* --- the writer's thread: draining --------------------------------------------------------- */

/* Looks for the next gap. The last one has nothing behind it, so nobody has announced it. */
static void find_gap(rw_recording *recording) {
    if (recording->gap.samples || !rw_ring_pop(recording->gaps, &recording->gap)) return;
    if (!recording->ending) return;
    recording->gap = (rw_gap){recording->pushed_samples, recording->open_gap_samples};
    recording->open_gap_samples = 0;
}

static void note_gap(rw_recording *recording) {
    if (!recording->gap_written) return;
    recording->untold.gap_samples += recording->gap_written;
    if (recording->stall_error) recording->untold.gap_error = recording->stall_error;
    recording->gap_written = 0;
    tell_news(recording);
}

static int write_silence(rw_recording *recording) {
    uint64_t samples = least(recording->gap.samples, room_in_file(recording));
    int error = rw_wav_append_silence(&recording->file, samples);
    if (error) return error;
    recording->silence_samples += samples;
    recording->gap_written += samples;
    recording->gap.samples -= samples;
    if (!recording->gap.samples) note_gap(recording);
    return 0;
}

static int write_sound(rw_recording *recording, uint64_t samples) {
    size_t piece, channels = recording->channels;
    const int16_t *pcm = rw_pcm_ring_peek(recording->ring, &piece);
    samples = least(least(samples, piece / channels), room_in_file(recording));
    ssize_t written = rw_wav_append(&recording->file, pcm, samples);
    if (written < 0) return (int)written;
    rw_pcm_ring_skip(recording->ring, (size_t)written * channels);
    recording->drained_samples += (uint64_t)written;
    rw_count(&recording->recorder->bytes_written, (uint64_t)written * channels * sizeof(*pcm));
    return 0;
}

/* Moves on by one write in one file, at most up to `until_samples`. 1, 0 if there is nothing left
 * to move, or -errno. */
static int step(rw_recording *recording, uint64_t until_samples) {
    const rw_gap *gap = &recording->gap;
    find_gap(recording);
    if (gap->samples) until_samples = least(until_samples, gap->at_samples);
    uint64_t samples = until_samples - recording->drained_samples;
    bool silent = gap->samples && gap->at_samples == recording->drained_samples;
    if (!samples && !silent) return 0;
    int error = make_room(recording);
    if (!error) error = silent ? write_silence(recording) : write_sound(recording, samples);
    return error ? error : 1;
}

/* Only what is there at the beginning: a shard that pushes on cannot hold the writer. It is looked
 * for before gaps are, so that every gap in it is known. */
static int drain(rw_recording *recording) {
    size_t readable = rw_pcm_ring_readable(recording->ring) / recording->channels;
    uint64_t until_samples = recording->drained_samples + readable;
    int moved = 1;
    for (int i = 0; moved == 1 && i < STEPS_A_ROUND; i++)
        moved = step(recording, until_samples);
    return moved < 0 ? moved : 0;
}

/* Counts what the shard has lost since the last round. */
static void count_lost(rw_recording *recording, uint64_t lost_samples) {
    rw_count(&recording->recorder->gap_samples, lost_samples - recording->lost_counted);
    recording->lost_counted = lost_samples;
}

static bool is_drained(const rw_recording *recording) {
    return recording->drained_samples == recording->pushed_samples && !recording->gap.samples &&
           !recording->open_gap_samples && rw_ring_empty(recording->gaps);
}

/* Closes a recording that is over and written, or whose disk has had its time. */
static void end(rw_recording *recording, bool failed) {
    if (!failed && !is_drained(recording)) return;
    if (failed && recording->last_rounds) {
        recording->last_rounds--;
        return;
    }
    note_gap(recording);
    if (recording->file.fd >= 0) close_file(recording);
    recording->closed = true;
    count_lost(recording, lost_in_all(recording));
}

static void write_out(rw_recording *recording) {
    recording->ending = atomic_load_explicit(&recording->finishing, memory_order_acquire);
    int error = drain(recording);
    int cover_error = cover(recording);
    if (!error) error = cover_error;
    uint64_t lost_samples = rw_read(&recording->lost_samples);
    count_lost(recording, lost_samples);
    if (error)
        note_failure(recording, -error);
    else if (recording->silence_samples == lost_samples)
        recording->stall_error = 0;
    if (recording->ending) end(recording, error);
}

bool rw_recording_serve(rw_recording *recording) {
    if (!recording->closed) write_out(recording);
    tell_news(recording);
    return tell_finished(recording);
}

/* --- life ---------------------------------------------------------------------------------- */

static int check(const rw_recorder *recorder, const rw_recording_config *config) {
    char longest[PATH_MAX];
    if (!config->path || !*config->path) return -EINVAL;
    if (config->channels < 1 || config->channels > MAX_CHANNELS) return -EINVAL;
    if (config->sample_rate_hz < MIN_RATE_HZ || config->sample_rate_hz > MAX_RATE_HZ)
        return -EINVAL;
    if (config->buffer_ms < 2 * recorder->config.period_ms ||
        config->buffer_ms > RW_RECORDING_MAX_BUFFER_MS)
        return -EINVAL;
    if (config->rotate_ms && config->rotate_ms < RW_RECORDING_MIN_ROTATE_MS) return -EINVAL;
    int error = rw_recorder_file_path(config->path, UINT32_MAX, longest, sizeof(longest));
    if (error) return error;
    const char *slash = strrchr(longest, '/');
    return strlen(slash ? slash + 1 : longest) > NAME_MAX ? -ENAMETOOLONG : 0;
}

static uint64_t samples_of(const rw_recording_config *config, uint32_t ms) {
    return (uint64_t)ms * config->sample_rate_hz / 1000;
}

static int fill_in(rw_recording *recording, const rw_recording_config *config) {
    uint64_t rotate_samples = samples_of(config, config->rotate_ms);
    recording->recording_id = config->recording_id;
    recording->channels = config->channels;
    recording->format = (rw_wav_format){config->sample_rate_hz, config->channels};
    recording->samples_per_file = rw_wav_max_samples(config->channels);
    if (rotate_samples)
        recording->samples_per_file = least(rotate_samples, recording->samples_per_file);
    recording->last_rounds = RW_RECORDING_LAST_ROUNDS;
    recording->path = strdup(config->path);
    recording->ring = rw_pcm_ring_create(samples_of(config, config->buffer_ms) * config->channels);
    recording->gaps = rw_ring_create(MAX_GAPS, sizeof(rw_gap));
    if (!recording->path || !recording->ring || !recording->gaps) return -ENOMEM;
    return create_file(recording, 1);
}

int rw_recording_create(rw_recorder *recorder, const rw_recording_config *config,
                        rw_recording **recording) {
    int error = check(recorder, config);
    if (error) return error;
    rw_recording *self = aligned_alloc(CACHE_LINE, sizeof(*self));
    if (!self) return -ENOMEM;
    memset(self, 0, sizeof(*self));
    self->recorder = recorder;
    self->file.fd = -1;
    error = fill_in(self, config);
    if (error)
        rw_recording_destroy(self);
    else
        *recording = self;
    return error;
}

void rw_recording_destroy(rw_recording *recording) {
    if (recording->file.fd >= 0) rw_wav_close(&recording->file);
    rw_pcm_ring_destroy(recording->ring);
    rw_ring_destroy(recording->gaps);
    free(recording->path);
    free(recording);
}

void rw_recording_pause(rw_recording *recording, bool paused) {
    atomic_store_explicit(&recording->paused, paused, memory_order_relaxed);
}

void rw_recording_finish(rw_recording *recording) {
    atomic_store_explicit(&recording->finishing, true, memory_order_release);
}

void rw_recording_finish_now(rw_recording *recording) {
    recording->last_rounds = 0;
    rw_recording_finish(recording);
}

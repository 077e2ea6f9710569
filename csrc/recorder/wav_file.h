/*
 * A WAV file of 16-bit PCM that grows, valid at every moment: sound is appended first, then the
 * header's sizes are made to cover it, in one write. So a process that is killed leaves a header
 * that speaks of nothing that is not there.
 *
 * Samples are counted per channel. Nothing here allocates; every function does I/O.
 */
#ifndef RW_RECORDER_WAV_FILE_H
#define RW_RECORDER_WAV_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RW_WAV_HEADER_BYTES 44

typedef struct rw_wav_format {
    uint32_t sample_rate_hz;
    uint8_t channels;
} rw_wav_format;

typedef struct rw_wav_file {
    rw_wav_format format;
    int fd;           /* -1: none is open */
    uint64_t samples; /* in the file */
    uint64_t covered; /* of these, by the header */
} rw_wav_file;

/* The most samples that a file's sizes of 32 bits can tell. */
uint64_t rw_wav_max_samples(uint8_t channels);

/* Creates the file `path`, which must not be there yet, with the header of one without sound. 0 or
 * -errno; then nothing is left behind. */
int rw_wav_create(rw_wav_file *file, const char *path, const rw_wav_format *format);

/* Appends interleaved sound; returns how many samples there was room for, or -errno. A sample of
 * which a channel is missing is cut off. The caller sees to rw_wav_max_samples(). */
ssize_t rw_wav_append(rw_wav_file *file, const int16_t *pcm, size_t samples);

/* Appends silence, as a hole where the file system has such: all of it, or -errno. */
int rw_wav_append_silence(rw_wav_file *file, uint64_t samples);

/* Makes the header cover all samples. 0 or -errno. */
int rw_wav_cover(rw_wav_file *file);

/* Closes, also when that fails: then -errno of what the file system had kept for itself so far. */
int rw_wav_close(rw_wav_file *file);

#endif

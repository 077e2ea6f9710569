#include "recorder/wav_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PCM_FORMAT 1 /* WAVE_FORMAT_PCM of the Multimedia Programming Interface, 1991 */
#define FORMAT_CHUNK_BYTES 16
#define RIFF_OVERHEAD_BYTES (RW_WAV_HEADER_BYTES - 8) /* "RIFF" and its size do not count */

/* Samples are written as they lie in memory, and WAV is little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "samples would have to be swapped");

static uint32_t sample_bytes(const rw_wav_format *format) {
    return format->channels * (uint32_t)sizeof(int16_t);
}

static off_t end_of(const rw_wav_file *file) {
    return (off_t)(RW_WAV_HEADER_BYTES + file->samples * sample_bytes(&file->format));
}

uint64_t rw_wav_max_samples(uint8_t channels) {
    return (UINT32_MAX - RIFF_OVERHEAD_BYTES) / (channels * sizeof(int16_t));
}

static uint8_t *put(uint8_t *to, const void *from, size_t bytes) {
    memcpy(to, from, bytes);
    return to + bytes;
}

static uint8_t *put_u16(uint8_t *to, uint16_t value) {
    return put(to, &value, sizeof(value));
}

static uint8_t *put_u32(uint8_t *to, uint32_t value) {
    return put(to, &value, sizeof(value));
}

static void compose_header(const rw_wav_file *file, uint8_t *to) {
    const rw_wav_format *format = &file->format;
    uint32_t data_bytes = (uint32_t)(file->samples * sample_bytes(format));
    to = put(to, "RIFF", 4);
    to = put_u32(to, RIFF_OVERHEAD_BYTES + data_bytes);
    to = put(to, "WAVEfmt ", 8);
    to = put_u32(to, FORMAT_CHUNK_BYTES);
    to = put_u16(to, PCM_FORMAT);
    to = put_u16(to, format->channels);
    to = put_u32(to, format->sample_rate_hz);
    to = put_u32(to, format->sample_rate_hz * sample_bytes(format));
    to = put_u16(to, (uint16_t)sample_bytes(format));
    to = put_u16(to, 8 * sizeof(int16_t));
    to = put(to, "data", 4);
    put_u32(to, data_bytes);
}

int rw_wav_cover(rw_wav_file *file) {
    uint8_t header[RW_WAV_HEADER_BYTES];
    compose_header(file, header);
    ssize_t bytes = pwrite(file->fd, header, sizeof(header), 0);
    if (bytes < 0) return -errno;
    if (bytes < (ssize_t)sizeof(header)) return -EIO;
    file->covered = file->samples;
    return 0;
}

int rw_wav_create(rw_wav_file *file, const char *path, const rw_wav_format *format) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) return -errno;
    *file = (rw_wav_file){.format = *format, .fd = fd};
    int error = rw_wav_cover(file);
    if (!error) return 0;
    rw_wav_close(file);
    unlink(path);
    return error;
}

/* Cuts off what lies behind the last whole sample. Where that fails, the next sound overwrites it,
 * and the header does not speak of it. */
static void cut(const rw_wav_file *file) {
    int ignored = ftruncate(file->fd, end_of(file));
    (void)ignored;
}

/* Writes on until it is done or the system says why not; returns how many bytes there was room for,
 * with `*error` set if not all. */
static size_t write_at(const rw_wav_file *file, const void *from, size_t bytes, int *error) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t written = pwrite(file->fd, (const uint8_t *)from + done, bytes - done,
                                 end_of(file) + (off_t)done);
        if (written <= 0) {
            *error = written < 0 ? -errno : -EIO;
            break;
        }
        done += (size_t)written;
    }
    return done;
}

ssize_t rw_wav_append(rw_wav_file *file, const int16_t *pcm, size_t samples) {
    uint32_t each = sample_bytes(&file->format);
    int error = 0;
    size_t bytes = write_at(file, pcm, samples * each, &error);
    size_t whole = bytes / each;
    file->samples += whole;
    if (bytes % each) cut(file);
    return whole || !samples ? (ssize_t)whole : error;
}

int rw_wav_append_silence(rw_wav_file *file, uint64_t samples) {
    off_t end = end_of(file) + (off_t)(samples * sample_bytes(&file->format));
    if (ftruncate(file->fd, end) < 0) return -errno;
    file->samples += samples;
    return 0;
}

int rw_wav_close(rw_wav_file *file) {
    int fd = file->fd;
    file->fd = -1;
    return close(fd) < 0 ? -errno : 0;
}

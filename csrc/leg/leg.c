#include "leg/leg.h"

#include <errno.h>
#include <string.h>

#include "rtp/rtp.h"

_Static_assert(RW_PROMPT_MAX_PACKET_BYTES ==
                   RW_MAX_PACKET_BYTES - RW_RTP_HEADER_BYTES - RW_SRTP_MAX_TRAILER_BYTES,
               "a prompt's packet has to fit behind the header");

static uint32_t frame_ts_of(const rw_leg_media *media) {
    return media->clock_rate_hz / 1000 * media->ptime_ms;
}

static bool is_payload_type(uint8_t type) {
    return type <= 127 || type == RW_NO_PAYLOAD_TYPE;
}

int rw_leg_check_media(const rw_leg_media *media) {
    if (!rw_address_bytes(&media->remote) || media->payload_type > 127) return -EINVAL;
    if (!is_payload_type(media->event_payload_type)) return -EINVAL;
    if (!is_payload_type(media->comfort_noise_payload_type)) return -EINVAL;
    if (media->rtcp.any.sa_family && !rw_address_bytes(&media->rtcp)) return -EINVAL;
    if (media->ptime_ms < RW_MIN_PTIME_MS || media->ptime_ms > RW_MAX_PTIME_MS) return -EINVAL;
    if (media->clock_rate_hz < 8000 || media->clock_rate_hz > 192000) return -EINVAL;
    if (media->clock_rate_hz % 1000) return -EINVAL;
    if (!media->bytes_per_ts)
        return media->silence_bytes && media->silence_bytes <= RW_MAX_SILENCE_BYTES ? 0 : -EINVAL;
    size_t packet_bytes = RW_RTP_HEADER_BYTES + frame_ts_of(media) * media->bytes_per_ts;
    return packet_bytes > RW_MAX_PACKET_BYTES - RW_SRTP_MAX_TRAILER_BYTES ? -EMSGSIZE : 0;
}

rw_ear_media rw_leg_ear_media(const rw_leg *leg) {
    return (rw_ear_media){
        .clock_rate_hz = leg->media.clock_rate_hz,
        .sound = leg->media.payload_type,
        .events = leg->media.event_payload_type,
        .comfort_noise = leg->media.comfort_noise_payload_type,
    };
}

static void agree_on_hearing(rw_leg *leg) {
    const rw_ear_media media = rw_leg_ear_media(leg);
    rw_ear_agree(leg->ear, &media); /* with a clock rate that was checked */
}

void rw_leg_set_media(rw_leg *leg, const rw_leg_media *media) {
    leg->media = *media;
    leg->payload_type = media->payload_type;
    leg->ptime_ms = media->ptime_ms;
    leg->silence = media->silence;
    leg->send = media->send;
    leg->send_noise = leg->silence_policy == RW_SILENCE_COMFORT_NOISE &&
                      media->takes_comfort_noise &&
                      media->comfort_noise_payload_type != RW_NO_PAYLOAD_TYPE;
    leg->noise_slots = 0;
    leg->frame_ts = frame_ts_of(media);
    leg->frame_bytes = (uint16_t)(leg->frame_ts * media->bytes_per_ts);
    if (leg->digits.clock_hz != media->clock_rate_hz) {
        rw_event_sender_init(&leg->digits, media->clock_rate_hz); /* a rate that was checked */
        leg->sending_digits = false;
    }
    if (leg->ear) agree_on_hearing(leg);
}

/* All figures are of one type: 64 bits that another thread may be reading. */
static void clear_figures(void *figures, size_t bytes) {
    _Atomic uint64_t *figure = figures;
    for (size_t i = 0; i < bytes / sizeof(*figure); i++)
        rw_write(&figure[i], 0);
}

void rw_leg_init(rw_leg *leg, const rw_leg_config *config, uint64_t id, uint64_t due_tick) {
    memset((void *)leg, 0, offsetof(rw_leg, stats));
    rw_write(&leg->figures_id, 0);
    clear_figures(&leg->stats, sizeof(leg->stats));
    clear_figures(&leg->heard, sizeof(leg->heard));
    clear_figures(&leg->told, sizeof(leg->told));
    leg->ear = config->ear;
    leg->srtp = config->srtp;
    leg->relay = NULL;
    leg->watch = (rw_timer){0};
    leg->overflow = 0;
    leg->digits = (rw_event_sender){0};
    rw_latch_init(&leg->latch);
    leg->source_policy = config->source_policy;
    leg->reports = (rw_leg_reports){.seed = config->rtcp_seed, .fd = -1};
    leg->silence_policy = config->silence_policy;
    rw_leg_set_media(leg, &config->media);
    leg->send_silence = config->silence_policy == RW_SILENCE_SEND;
    leg->fd = config->fd;
    leg->ssrc = config->ssrc;
    leg->timestamp = config->first_timestamp;
    leg->sequence = config->first_sequence;
    leg->due_tick = due_tick;
    leg->marker = true;
    leg->next = NULL;
    leg->close_status = 0;
    rw_playlist_queue_init(&leg->playing);
    rw_playlist_queue_init(&leg->music);
    rw_write(&leg->figures_id, id);
    rw_write(&leg->id, id);
}

/* True if the slots are the leg's own, and not those of a relay to it. */
static bool owns_slots(const rw_leg *leg) {
    return leg->send && (!leg->relayed || leg->music.first);
}

bool rw_leg_has_output(const rw_leg *leg) {
    bool plays = leg->music.first || (leg->playing.first && !leg->paused);
    bool noise_due = leg->send_noise && !leg->noise_slots;
    bool sounds = leg->send_silence || plays || leg->sending_digits || noise_due || leg->seat;
    return owns_slots(leg) && sounds;
}

bool rw_leg_needs_slots(const rw_leg *leg) {
    return rw_leg_has_output(leg) || (leg->send_noise && owns_slots(leg));
}

uint64_t rw_leg_skip_to(rw_leg *leg, uint64_t tick) {
    if (tick <= leg->due_tick) return 0;
    uint64_t slots = (tick - leg->due_tick + leg->ptime_ms - 1) / leg->ptime_ms;
    leg->due_tick += slots * leg->ptime_ms;
    leg->timestamp += (uint32_t)slots * leg->frame_ts;
    leg->marker = true;
    return slots;
}

/* Takes the list under the cursor off a queue. */
static void end_playlist(rw_playlist_queue *queue, rw_play_outcome outcome,
                         rw_playlist_queue *ended) {
    rw_playlist *playlist = rw_playlist_queue_pop(queue);
    playlist->outcome = outcome;
    rw_playlist_queue_push(ended, playlist);
}

/* Where the sound of this slot comes from; NULL: from nowhere. */
static rw_playlist_queue *source_of(rw_leg *leg) {
    if (!owns_slots(leg)) return NULL;
    if (leg->music.first) return &leg->music;
    return leg->playing.first && !leg->paused ? &leg->playing : NULL;
}

/* Notes that a queue's first list was read; takes it off, and is true, if that was its end. */
static bool note_read(rw_leg *leg, rw_playlist_queue *queue, rw_playlist_queue *ended) {
    const rw_playlist *list = queue->first;
    if (list->level_dbov > leg->sent_dbov) leg->sent_dbov = list->level_dbov;
    if (!rw_playlist_ended(list)) return false;
    end_playlist(queue, RW_PLAY_FINISHED, ended);
    return true;
}

/* The next whole packet of a queue; returns its length. */
static size_t read_packet(rw_leg *leg, rw_playlist_queue *queue, uint8_t *payload,
                          rw_playlist_queue *ended) {
    size_t bytes = 0;
    while (queue->first && !bytes) {
        bytes = rw_playlist_read_packet(queue->first, payload);
        if (!note_read(leg, queue, ended)) break; /* there is a packet, or live sound is late */
    }
    return bytes;
}

/* Fills `payload` from a queue, list after list without a gap; returns how much there was. */
static size_t read_queue(rw_leg *leg, rw_playlist_queue *queue, uint8_t *payload,
                         rw_playlist_queue *ended) {
    size_t filled = 0;
    while (queue->first && filled < leg->frame_bytes) {
        filled += rw_playlist_read(queue->first, payload + filled, leg->frame_bytes - filled);
        if (!note_read(leg, queue, ended)) break; /* the packet is full, or live sound is late */
    }
    return filled;
}

/* What the others in the leg's conference say, in the place of silence; returns its length. */
static size_t read_mix(rw_leg *leg, uint8_t *payload, size_t room) {
    if (!leg->seat || !owns_slots(leg)) return 0;
    size_t bytes =
        rw_seat_mix(leg->seat, leg->due_tick, leg->ptime_ms, payload, room, &leg->sent_dbov);
    leg->mixed = bytes > 0;
    return bytes;
}

static void write_header(rw_leg *leg, uint8_t *packet) {
    rw_rtp_header header = {
        .marker = leg->marker,
        .payload_type = leg->payload_type,
        .sequence = leg->sequence++,
        .timestamp = leg->timestamp,
        .ssrc = leg->ssrc,
    };
    rw_rtp_write_header(packet, &header);
    leg->marker = false;
    leg->noise_slots = 0;
}

/* A slot without sound: nothing, or comfort noise, as a codec of its own that begins no talkspurt
 * (RFC 3389 section 4). */
static size_t compose_pause(rw_leg *leg, uint8_t *packet) {
    leg->marker = true; /* of the sound that goes on */
    if (!leg->send_noise || !owns_slots(leg)) return 0;
    if (leg->noise_slots) {
        leg->noise_slots--;
        return 0;
    }
    leg->noise_slots = (uint8_t)(RW_COMFORT_NOISE_INTERVAL_MS / leg->ptime_ms - 1);
    rw_rtp_header header = {
        .payload_type = leg->media.comfort_noise_payload_type,
        .sequence = leg->sequence++,
        .timestamp = leg->timestamp,
        .ssrc = leg->ssrc,
    };
    rw_rtp_write_header(packet, &header);
    packet[RW_RTP_HEADER_BYTES] = -RW_COMFORT_NOISE_DBOV;
    return RW_RTP_HEADER_BYTES + 1;
}

static size_t compose_sound(rw_leg *leg, uint8_t *packet, rw_playlist_queue *ended) {
    uint8_t *payload = packet + RW_RTP_HEADER_BYTES;
    rw_playlist_queue *source = source_of(leg);
    size_t filled = source ? read_queue(leg, source, payload, ended) : 0;
    if (!filled) filled = read_mix(leg, payload, leg->frame_bytes);
    if (!filled && !(leg->send_silence && owns_slots(leg))) return compose_pause(leg, packet);
    memset(payload + filled, leg->silence, leg->frame_bytes - filled);
    write_header(leg, packet);
    return RW_RTP_HEADER_BYTES + leg->frame_bytes;
}

/* The same where packets are whole (RFC 7587): one of the queue, or one of silence. */
static size_t compose_whole(rw_leg *leg, uint8_t *packet, rw_playlist_queue *ended) {
    uint8_t *payload = packet + RW_RTP_HEADER_BYTES;
    rw_playlist_queue *source = source_of(leg);
    size_t bytes = source ? read_packet(leg, source, payload, ended) : 0;
    if (!bytes) bytes = read_mix(leg, payload, RW_PROMPT_MAX_PACKET_BYTES);
    if (!bytes && leg->send_silence && owns_slots(leg)) {
        bytes = leg->media.silence_bytes;
        memcpy(payload, leg->media.silence_packet, bytes);
    }
    if (!bytes) return compose_pause(leg, packet);
    write_header(leg, packet);
    return RW_RTP_HEADER_BYTES + bytes;
}

/* A slot of a digit or of the pause after it (RFC 4733 section 2.5.1): sound stands still. */
static size_t compose_digit(rw_leg *leg, uint8_t *packet) {
    rw_event_packet event;
    bool composed = rw_event_sender_compose(&leg->digits, leg->timestamp, leg->frame_ts, &event);
    leg->sending_digits = rw_event_sender_busy(&leg->digits);
    leg->marker = true; /* of the sound that goes on */
    leg->noise_slots = 0;
    if (!composed) return 0;
    rw_rtp_header header = {
        .marker = event.marker,
        .payload_type = leg->media.event_payload_type,
        .sequence = leg->sequence++,
        .timestamp = event.timestamp,
        .ssrc = leg->ssrc,
    };
    if (event.marker) rw_count(&leg->stats.digits_sent, 1);
    rw_rtp_write_header(packet, &header);
    memcpy(packet + RW_RTP_HEADER_BYTES, event.payload, RW_EVENT_BYTES);
    return RW_RTP_HEADER_BYTES + RW_EVENT_BYTES;
}

size_t rw_leg_compose(rw_leg *leg, uint8_t *packet, rw_playlist_queue *ended) {
    leg->sent_dbov = RW_VAD_SILENCE_DBOV;
    leg->mixed = false;
    size_t bytes;
    if (leg->sending_digits && leg->send)
        bytes = compose_digit(leg, packet);
    else
        bytes = leg->frame_bytes ? compose_sound(leg, packet, ended)
                                 : compose_whole(leg, packet, ended);
    leg->timestamp += leg->frame_ts;
    leg->due_tick += leg->ptime_ms;
    return bytes;
}

int rw_leg_send_digit(rw_leg *leg, char symbol, uint16_t on_ms, uint16_t off_ms) {
    if (leg->media.event_payload_type == RW_NO_PAYLOAD_TYPE) return -ENOTSUP;
    int error = rw_event_sender_queue(&leg->digits, symbol, on_ms, off_ms, RW_EVENT_VOLUME);
    if (!error) leg->sending_digits = true;
    return error;
}

void rw_leg_barge_in(rw_leg *leg, rw_barge_in cause, rw_playlist_queue *ended) {
    while (leg->playing.first && leg->playing.first->barge_in & cause)
        end_playlist(&leg->playing, RW_PLAY_BARGED_IN, ended);
    if (!leg->playing.first) leg->paused = false;
}

void rw_leg_clear_queue(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended) {
    while (leg->playing.first)
        end_playlist(&leg->playing, outcome, ended);
}

void rw_leg_play_music(rw_leg *leg, rw_playlist *music, rw_playlist_queue *ended) {
    rw_leg_end_music(leg, RW_PLAY_REPLACED, ended);
    rw_playlist_queue_push(&leg->music, music);
}

void rw_leg_end_music(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended) {
    if (leg->music.first) end_playlist(&leg->music, outcome, ended);
}

"""cffi binding of C internals for property tests (Hypothesis); not part of an ordinary install."""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = str(ROOT / "build" / "meson" / "libringwheel.a")

ffi = FFI()
ffi.cdef(
    """
    typedef struct rw_timer { uint64_t deadline_tick; ...; } rw_timer;
    typedef struct rw_wheel { uint64_t now_tick; size_t armed; ...; } rw_wheel;
    void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick);
    void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick);
    bool rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer);
    void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick);
    rw_timer *rw_wheel_pop_due(rw_wheel *wheel);
    uint64_t rw_wheel_next_tick(const rw_wheel *wheel);
    int rw_wheel_check(const rw_wheel *wheel);

    #define RW_PHASES ...
    #define RW_BURST_US ...
    typedef struct rw_phases { uint32_t load_us[...]; uint32_t legs; ...; } rw_phases;
    uint64_t rw_phases_choose(const rw_phases *phases, uint64_t from_tick, unsigned ptime_ms,
                              uint32_t cost_us);
    void rw_phases_enter(rw_phases *phases, uint64_t tick, unsigned ptime_ms, uint32_t cost_us);
    void rw_phases_leave(rw_phases *phases, uint64_t tick, unsigned ptime_ms, uint32_t cost_us);

    typedef struct rw_rtp_header {
        bool marker; uint8_t payload_type; uint16_t sequence; uint32_t timestamp; uint32_t ssrc;
    } rw_rtp_header;
    typedef struct rw_rtp_packet {
        rw_rtp_header header; const uint8_t *payload; size_t payload_bytes;
    } rw_rtp_packet;
    typedef enum {
        RW_RTP_OK, RW_RTP_TOO_SHORT, RW_RTP_BAD_VERSION, RW_RTP_BAD_CSRC, RW_RTP_BAD_EXTENSION,
        RW_RTP_BAD_PADDING, ...
    } rw_rtp_reject;
    rw_rtp_reject rw_rtp_parse(const uint8_t *datagram, size_t bytes, rw_rtp_packet *packet);

    typedef struct rw_digit { char symbol; bool ended; uint32_t duration_ms; } rw_digit;

    #define RW_DTMF_ROW_DBM0 ...
    #define RW_DTMF_COLUMN_DBM0 ...
    typedef struct rw_dtmf_detector { ...; } rw_dtmf_detector;
    int rw_dtmf_detector_init(rw_dtmf_detector *detector, uint32_t sample_rate_hz);
    size_t rw_dtmf_detector_hear(rw_dtmf_detector *detector, const int16_t *pcm, size_t samples,
                                 rw_digit *digits, size_t room);
    bool rw_dtmf_detector_gap(rw_dtmf_detector *detector, size_t samples, rw_digit *ended);
    typedef struct rw_dtmf_tone { ...; } rw_dtmf_tone;
    int rw_dtmf_tone_start(rw_dtmf_tone *tone, char symbol, uint16_t on_ms, uint16_t off_ms,
                           int row_dbm0, int column_dbm0, uint32_t sample_rate_hz);
    size_t rw_dtmf_tone_fill(rw_dtmf_tone *tone, int16_t *pcm, size_t samples);

    typedef enum {
        RW_EVENT_STARTED, RW_EVENT_ENDED, RW_EVENT_UPDATED, RW_EVENT_REPEATED,
        RW_EVENT_BAD_LENGTH, RW_EVENT_NOT_A_DIGIT, RW_EVENT_STORM, ...
    } rw_event_verdict;
    typedef struct rw_event_news { size_t count; rw_digit digits[...]; } rw_event_news;
    typedef struct rw_event_receiver { ...; } rw_event_receiver;
    int rw_event_receiver_init(rw_event_receiver *receiver, uint32_t clock_hz);
    rw_event_verdict rw_event_receiver_hear(rw_event_receiver *receiver, uint64_t now_us,
                                            const rw_rtp_header *header, const uint8_t *payload,
                                            size_t bytes, rw_event_news *news);
    bool rw_event_receiver_expire(rw_event_receiver *receiver, uint64_t now_us, rw_digit *ended);
    typedef struct rw_event_packet {
        uint32_t timestamp; bool marker; uint8_t payload[4];
    } rw_event_packet;
    typedef struct rw_event_sender { ...; } rw_event_sender;
    int rw_event_sender_init(rw_event_sender *sender, uint32_t clock_hz);
    int rw_event_sender_queue(rw_event_sender *sender, char symbol, uint16_t on_ms,
                              uint16_t off_ms, uint8_t volume);
    bool rw_event_sender_busy(const rw_event_sender *sender);
    bool rw_event_sender_compose(rw_event_sender *sender, uint32_t slot_ts, uint32_t frame_ts,
                                 rw_event_packet *packet);

    typedef struct rw_sender_info {
        uint64_t ntp; uint32_t timestamp; uint32_t packets; uint32_t bytes;
    } rw_sender_info;
    typedef struct rw_report_block {
        uint32_t ssrc; uint8_t fraction_lost; int32_t cumulative_lost; uint32_t highest_sequence;
        uint32_t jitter_ts; uint32_t lsr; uint32_t dlsr;
    } rw_report_block;
    typedef struct rw_rtcp_report {
        uint32_t ssrc; const rw_sender_info *sender; const rw_report_block *block;
        const char *cname; size_t cname_bytes; bool bye;
    } rw_rtcp_report;
    typedef enum {
        RW_RTCP_OK, RW_RTCP_TOO_SHORT, RW_RTCP_BAD_VERSION, RW_RTCP_BAD_TYPE, RW_RTCP_BAD_LENGTH,
        RW_RTCP_BAD_PADDING, RW_RTCP_BAD_REPORT, RW_RTCP_BAD_BYE, ...
    } rw_rtcp_reject;
    typedef struct rw_rtcp_heard {
        bool has_sender; bool has_block; bool bye; uint8_t skipped; uint32_t sender_ssrc;
        uint32_t block_from; rw_sender_info sender; rw_report_block block;
    } rw_rtcp_heard;
    #define RW_RTCP_MAX_BYTES ...
    int rw_rtcp_compose(uint8_t *to, size_t room, const rw_rtcp_report *report);
    bool rw_rtcp_is(const uint8_t *datagram, size_t bytes);
    rw_rtcp_reject rw_rtcp_parse(const uint8_t *datagram, size_t bytes, uint32_t own_ssrc,
                                 uint32_t peer_ssrc, rw_rtcp_heard *heard);
    int64_t rw_rtcp_rtt_us(const rw_report_block *block, uint64_t now_ntp);

    typedef enum {
        RW_HEARD_NEW, RW_HEARD_LATE, RW_HEARD_NEW_SOURCE, RW_HEARD_RESTART, RW_HEARD_DUPLICATE,
        RW_HEARD_STALE, RW_HEARD_JUMP, RW_HEARD_STRANGER
    } rw_heard;
    typedef struct rw_reception {
        uint64_t last_heard_us; uint32_t reordered; uint32_t duplicates; uint32_t stale;
        uint32_t refused; uint32_t sources; uint32_t restarts; uint32_t timestamp_steps;
        uint32_t gaps; ...;
    } rw_reception;
    void rw_reception_init(rw_reception *reception, uint32_t clock_rate_hz);
    void rw_reception_set_clock(rw_reception *reception, uint32_t clock_rate_hz);
    rw_heard rw_reception_hear(rw_reception *reception, const rw_rtp_header *header,
                               uint64_t arrival_us);
    void rw_reception_hear_sender_report(rw_reception *reception, uint32_t ssrc, uint64_t ntp,
                                         uint64_t now_us);
    bool rw_reception_report(rw_reception *reception, uint64_t now_us, rw_report_block *block);
    uint64_t rw_reception_expected(const rw_reception *reception);
    uint64_t rw_reception_received(const rw_reception *reception);
    uint64_t rw_reception_lost(const rw_reception *reception);
    uint32_t rw_reception_jitter_ts(const rw_reception *reception);
    uint32_t rw_reception_max_jitter_us(const rw_reception *reception);

    typedef union rw_address { ...; } rw_address;
    int rw_address_parse(rw_address *address, const char *host, uint16_t port);
    bool rw_address_equal(const rw_address *a, const rw_address *b);

    typedef enum { RW_LATCH_POLICY_SDP, RW_LATCH_POLICY_LATCH } rw_latch_policy;
    typedef enum {
        RW_LATCH_ACCEPT, RW_LATCH_MOVED, RW_LATCH_PROVING, RW_LATCH_STRANGER
    } rw_latch_verdict;
    typedef struct rw_latch { rw_address remote; uint32_t strangers; ...; } rw_latch;
    void rw_latch_init(rw_latch *latch);
    void rw_latch_open(rw_latch *latch, rw_latch_policy policy, const rw_address *from_sdp,
                       uint64_t now_us);
    rw_latch_verdict rw_latch_hear(rw_latch *latch, const rw_address *source, uint64_t now_us);

    typedef enum {
        RW_QUALITY_G711, RW_QUALITY_G711_PLC, RW_QUALITY_G722, RW_QUALITY_G722_PLC,
        RW_QUALITY_L16, RW_QUALITY_L16_PLC, RW_QUALITY_OPUS, ...
    } rw_quality_codec;
    typedef struct rw_quality_input {
        rw_quality_codec codec; double loss; double burst_ratio; uint64_t rtt_us;
        uint32_t buffer_us;
    } rw_quality_input;
    typedef struct rw_quality { double rating; double mos; } rw_quality;
    rw_quality rw_quality_rate(const rw_quality_input *input);
    double rw_quality_burst_ratio(uint64_t lost, uint64_t gaps, uint64_t expected);

    typedef struct rw_histogram { ...; } rw_histogram;
    void rw_histogram_add(rw_histogram *histogram, uint64_t value, uint64_t times);
    uint64_t rw_histogram_total(const rw_histogram *histogram);
    uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction);
    uint64_t rw_histogram_max(const rw_histogram *histogram);

    typedef struct rw_ring rw_ring;
    rw_ring *rw_ring_create(size_t capacity, size_t element_bytes);
    void rw_ring_destroy(rw_ring *ring);
    int rw_ring_push(rw_ring *ring, const void *element);
    int rw_ring_pop(rw_ring *ring, void *element);
    bool rw_ring_empty(rw_ring *ring);

    void *rw_pages_map(size_t bytes);
    void rw_pages_unmap(void *memory, size_t bytes);

    typedef struct rw_pcm_ring rw_pcm_ring;
    rw_pcm_ring *rw_pcm_ring_create(size_t samples);
    void rw_pcm_ring_destroy(rw_pcm_ring *ring);
    size_t rw_pcm_ring_room(const rw_pcm_ring *ring);
    size_t rw_pcm_ring_writable(rw_pcm_ring *ring);
    bool rw_pcm_ring_write(rw_pcm_ring *ring, const int16_t *pcm, size_t samples);
    size_t rw_pcm_ring_readable(rw_pcm_ring *ring);
    size_t rw_pcm_ring_read(rw_pcm_ring *ring, int16_t *pcm, size_t room);
    const int16_t *rw_pcm_ring_peek(rw_pcm_ring *ring, size_t *samples);
    void rw_pcm_ring_skip(rw_pcm_ring *ring, size_t samples);

    typedef struct rw_recorder rw_recorder;
    typedef struct rw_recording rw_recording;
    typedef struct rw_recorder_config { uint32_t max_recordings; uint32_t period_ms; }
        rw_recorder_config;
    typedef struct rw_recording_config {
        const char *path; uint64_t recording_id; uint32_t sample_rate_hz; uint32_t buffer_ms;
        uint32_t rotate_ms; uint8_t channels;
    } rw_recording_config;
    typedef enum {
        RW_RECORDING_STALLED, RW_RECORDING_GAP, RW_RECORDING_FILE_FINISHED, RW_RECORDING_FINISHED
    } rw_recording_report_kind;
    typedef struct rw_recording_report {
        rw_recording_report_kind kind; int error; uint64_t recording_id; uint64_t samples;
        uint64_t gap_samples; uint64_t paused_samples; uint32_t file; uint32_t files;
    } rw_recording_report;
    int rw_recorder_create(const rw_recorder_config *config, rw_recorder **recorder);
    void rw_recorder_destroy(rw_recorder *recorder);
    void rw_recorder_turn(rw_recorder *recorder);
    size_t rw_recorder_poll(rw_recorder *recorder, rw_recording_report *reports, size_t room);
    int rw_recording_open(rw_recorder *recorder, const rw_recording_config *config,
                          rw_recording **recording);
    void rw_recording_pause(rw_recording *recording, bool paused);
    void rw_recording_finish(rw_recording *recording);
    void rw_recording_push(rw_recording *recording, const int16_t *caller, const int16_t *robot,
                           size_t samples);

    typedef struct rw_prompt rw_prompt;
    rw_prompt *rw_prompt_create(const uint8_t *payload, size_t bytes);
    rw_prompt *rw_prompt_create_of_packets(const uint8_t *payload, const uint16_t *packet_bytes,
                                           const int8_t *levels_dbov, size_t packet_count);
    #define RW_PROMPT_MAX_PACKET_BYTES ...
    void rw_prompt_release(rw_prompt *prompt);

    typedef enum {
        RW_PLAY_FINISHED, RW_PLAY_STOPPED, RW_PLAY_REPLACED, RW_PLAY_LEG_CLOSED
    } rw_play_outcome;
    typedef struct rw_playlist {
        uint64_t play_id; uint64_t played_bytes; uint64_t played_packets; rw_play_outcome outcome;
        int8_t level_dbov; ...;
    } rw_playlist;
    typedef struct rw_playlist_queue { rw_playlist *first; ...; } rw_playlist_queue;
    void rw_playlist_queue_init(rw_playlist_queue *queue);
    void rw_playlist_queue_push(rw_playlist_queue *queue, rw_playlist *playlist);
    rw_playlist *rw_playlist_queue_pop(rw_playlist_queue *queue);
    rw_playlist *rw_playlist_create(uint64_t play_id, rw_prompt *const *prompts, size_t count,
                                    bool loop);
    void rw_playlist_destroy(rw_playlist *playlist);
    size_t rw_playlist_read(rw_playlist *playlist, uint8_t *to, size_t bytes);
    size_t rw_playlist_read_packet(rw_playlist *playlist, uint8_t *to);
    bool rw_playlist_ended(const rw_playlist *playlist);

    typedef enum { RW_SILENCE_STOP, RW_SILENCE_SEND } rw_silence_policy;
    typedef struct rw_leg_media {
        uint32_t clock_rate_hz; uint8_t payload_type; uint8_t ptime_ms; uint8_t bytes_per_ts;
        uint8_t silence; uint8_t silence_bytes; uint8_t silence_packet[...]; bool send; ...;
    } rw_leg_media;
    typedef struct rw_leg_config {
        rw_leg_media media; rw_silence_policy silence_policy; int fd; uint32_t ssrc;
        uint32_t first_timestamp; uint16_t first_sequence;
    } rw_leg_config;
    typedef struct rw_leg {
        uint64_t due_tick; uint32_t timestamp; bool paused; bool relayed;
        rw_playlist_queue playing; ...;
    } rw_leg;
    void rw_leg_init(rw_leg *leg, const rw_leg_config *config, uint64_t id, uint64_t due_tick);
    void rw_leg_set_media(rw_leg *leg, const rw_leg_media *media);
    bool rw_leg_has_output(const rw_leg *leg);
    uint64_t rw_leg_skip_to(rw_leg *leg, uint64_t tick);
    size_t rw_leg_compose(rw_leg *leg, uint8_t *packet, rw_playlist_queue *ended);
    void rw_leg_clear_queue(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended);
    void rw_leg_play_music(rw_leg *leg, rw_playlist *music, rw_playlist_queue *ended);
    void rw_leg_end_music(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended);

    #define RW_SRTP_MAX_TRAILER_BYTES ...
    #define RW_SRTP_MAX_SSRCS ...
    typedef enum {
        RW_SRTP_AES_CM_128_HMAC_SHA1_80, RW_SRTP_AES_CM_128_HMAC_SHA1_32, RW_SRTP_AEAD_AES_128_GCM,
        RW_SRTP_AEAD_AES_256_GCM, ...
    } rw_srtp_suite;
    typedef enum {
        RW_SRTP_OK, RW_SRTP_TOO_SHORT, RW_SRTP_MALFORMED, RW_SRTP_NO_ROOM, RW_SRTP_TOO_MANY_SSRCS,
        RW_SRTP_AUTHENTICATION_FAILED, RW_SRTP_REPLAYED, RW_SRTP_TOO_OLD, ...
    } rw_srtp_reject;
    typedef struct rw_srtp_key { uint8_t bytes[...]; uint8_t key_bytes; ...; } rw_srtp_key;
    typedef struct rw_srtp_config {
        rw_srtp_suite suite; uint16_t window_packets; rw_srtp_key local; rw_srtp_key remote;
    } rw_srtp_config;
    typedef struct rw_srtp rw_srtp;
    bool rw_srtp_available(void);
    const char *rw_srtp_suite_name(rw_srtp_suite suite);
    int rw_srtp_create(const rw_srtp_config *config, rw_srtp **out);
    void rw_srtp_destroy(rw_srtp *srtp);
    int rw_srtp_rekey(rw_srtp *srtp, const rw_srtp_config *config);
    rw_srtp_reject rw_srtp_protect(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room);
    rw_srtp_reject rw_srtp_protect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room);
    rw_srtp_reject rw_srtp_unprotect(rw_srtp *srtp, uint8_t *packet, size_t *bytes);
    rw_srtp_reject rw_srtp_unprotect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes);
    typedef struct rw_resampler { ...; } rw_resampler;
    int rw_resampler_init(rw_resampler *resampler, uint32_t from_hz, uint32_t to_hz);
    size_t rw_resampler_room(const rw_resampler *resampler, size_t samples);
    size_t rw_resample(rw_resampler *resampler, const int16_t *from, size_t samples, int16_t *to,
                       size_t room);

    typedef struct rw_mixer_config {
        uint32_t sample_rate_hz; uint32_t max_members; uint32_t max_block_ms;
    } rw_mixer_config;
    typedef enum {
        RW_MIXER_TALKER, RW_MIXER_LISTENER, RW_MIXER_WHISPERER, ...
    } rw_mixer_role;
    typedef enum {
        RW_MIXER_OK, RW_MIXER_NOT_A_MEMBER, RW_MIXER_BAD_LENGTH, RW_MIXER_LATE, RW_MIXER_TWICE, ...
    } rw_mixer_verdict;
    typedef struct rw_mixer_stats {
        uint64_t missing_ms; uint64_t clipped_samples; uint32_t overtaken;
        uint32_t given[...]; uint32_t taken[...];
    } rw_mixer_stats;
    typedef struct rw_mixer rw_mixer;
    int rw_mixer_create(const rw_mixer_config *config, rw_mixer **mixer);
    void rw_mixer_destroy(rw_mixer *mixer);
    int rw_mixer_join(rw_mixer *mixer, uint32_t sample_rate_hz);
    int rw_mixer_leave(rw_mixer *mixer, uint32_t member);
    int rw_mixer_set_role(rw_mixer *mixer, uint32_t member, rw_mixer_role role,
                          uint32_t whisper_to);
    int rw_mixer_set_hears(rw_mixer *mixer, uint32_t listener, uint32_t talker, bool hears);
    rw_mixer_verdict rw_mixer_put(rw_mixer *mixer, uint32_t member, uint64_t tick,
                                  const int16_t *pcm, size_t samples);
    rw_mixer_verdict rw_mixer_take(rw_mixer *mixer, uint32_t member, uint64_t tick, int16_t *pcm,
                                   size_t samples);
    const rw_mixer_stats *rw_mixer_member_stats(const rw_mixer *mixer, uint32_t member);
    void rw_mixer_total_stats(const rw_mixer *mixer, rw_mixer_stats *total);

    typedef struct rw_comfort_noise { ...; } rw_comfort_noise;
    typedef enum {
        RW_COMFORT_NOISE_OK, RW_COMFORT_NOISE_EMPTY, RW_COMFORT_NOISE_BAD_COEFFICIENT, ...
    } rw_comfort_noise_reject;
    void rw_comfort_noise_init(rw_comfort_noise *noise, uint64_t seed);
    rw_comfort_noise_reject rw_comfort_noise_read(rw_comfort_noise *noise, const uint8_t *payload,
                                                  size_t bytes);
    void rw_comfort_noise_generate(rw_comfort_noise *noise, int16_t *pcm, size_t samples);

    typedef struct rw_codec { const char *label; uint32_t clock_rate_hz; ...; } rw_codec;
    size_t rw_codec_count(void);
    const rw_codec *rw_codec_at(size_t index);
    typedef struct rw_live_config {
        uint32_t ptime_ms; uint32_t room_ms; uint32_t lead_ms; uint32_t marks; bool encoded;
        bool rounds_up;
    } rw_live_config;
    typedef struct rw_live rw_live;
    int rw_live_create(const rw_codec *codec, const rw_live_config *config, rw_live **live);
    void rw_live_release(rw_live *live);
    size_t rw_live_write(rw_live *live, const int16_t *pcm, size_t samples);
    size_t rw_live_write_encoded(rw_live *live, const uint8_t *payload, size_t bytes);
    int rw_live_mark(rw_live *live, uint64_t id);
    void rw_live_clear(rw_live *live);
    size_t rw_live_waiting(rw_live *live);
    size_t rw_live_writable(rw_live *live);
    void rw_live_finish(rw_live *live);
    size_t rw_live_read(rw_live *live, uint8_t *to, size_t bytes, int8_t *level_dbov);
    bool rw_live_at_mark(rw_live *live, uint64_t *id, bool *cleared);
    void rw_live_pass_mark(rw_live *live);
    bool rw_live_ended(rw_live *live);

    typedef struct rw_jitter_config {
        uint32_t min_ms; uint32_t max_ms; uint32_t initial_ms; uint32_t early_ms;
    } rw_jitter_config;
    typedef enum {
        RW_JITTER_KEPT, RW_JITTER_NOT_HEARD, RW_JITTER_EMPTY, RW_JITTER_TOO_LONG, RW_JITTER_LATE,
        RW_JITTER_REPEATED, RW_JITTER_MISPLACED, RW_JITTER_NO_ROOM, ...
    } rw_jitter_verdict;
    typedef enum { RW_JITTER_SOUND, RW_JITTER_CONCEALED, RW_JITTER_SILENCE } rw_jitter_kind;
    typedef struct rw_jitter_figures {
        uint64_t played_samples; uint64_t concealed_samples; uint64_t silent_samples;
        uint64_t stretched_samples; uint64_t shrunk_samples; uint64_t discarded_late;
        uint64_t discarded_full; uint64_t discarded_broken; uint32_t delay_ms;
        uint32_t max_delay_ms;
    } rw_jitter_figures;
    typedef struct rw_jitter rw_jitter;
    int rw_jitter_create(const rw_codec *codec, const rw_jitter_config *config,
                         rw_jitter **jitter);
    void rw_jitter_destroy(rw_jitter *jitter);
    rw_jitter_verdict rw_jitter_put(rw_jitter *jitter, const rw_rtp_packet *packet,
                                    rw_heard heard);
    rw_jitter_verdict rw_jitter_put_comfort_noise(rw_jitter *jitter, const rw_rtp_packet *packet,
                                                  rw_heard heard);
    rw_jitter_verdict rw_jitter_put_other(rw_jitter *jitter, const rw_rtp_header *header,
                                          rw_heard heard);
    rw_jitter_kind rw_jitter_take(rw_jitter *jitter, int16_t *pcm, size_t samples);
    bool rw_jitter_waiting(const rw_jitter *jitter);
    void rw_jitter_read(const rw_jitter *jitter, rw_jitter_figures *figures);

    typedef enum { RW_VAD_LOW, RW_VAD_MEDIUM, RW_VAD_HIGH } rw_vad_sensitivity;
    typedef struct rw_vad_config {
        uint32_t sample_rate_hz; uint32_t hangover_ms; rw_vad_sensitivity sensitivity;
    } rw_vad_config;
    typedef enum { RW_VAD_NONE, RW_VAD_START, RW_VAD_END } rw_vad_kind;
    typedef struct rw_vad_event {
        rw_vad_kind kind; uint32_t duration_ms; int8_t level_dbov; int8_t noise_dbov;
    } rw_vad_event;
    typedef struct rw_vad { ...; } rw_vad;
    int rw_vad_init(rw_vad *vad, const rw_vad_config *config);
    int rw_vad_hear(rw_vad *vad, const int16_t *pcm, size_t samples, rw_vad_event *event);
    void rw_vad_gap(rw_vad *vad, uint32_t ms, rw_vad_event *event);
    void rw_vad_sent(rw_vad *vad, int level_dbov);
    bool rw_vad_speaking(const rw_vad *vad);
    int8_t rw_vad_level(const int16_t *pcm, size_t samples);
    """
)
ffi.set_source(
    "ringwheel._testcore",
    """
    #include "comfort_noise/comfort_noise.h"
    #include "dtmf/dtmf.h"
    #include "histogram/histogram.h"
    #include "jitter/jitter.h"
    #include "latch/latch.h"
    #include "leg/leg.h"
    #include "live/live.h"
    #include "pcm_ring/pcm_ring.h"
    #include "mixer/mixer.h"
    #include "pages/pages.h"
    #include "phases/phases.h"
    #include "prompt/prompt.h"
    #include "quality/quality.h"
    #include "reception/reception.h"
    #include "recorder/recorder_private.h"
    #include "resample/resample.h"
    #include "ring/ring.h"
    #include "rtp/rtp.h"
    #include "srtp/srtp.h"
    #include "telephone_event/telephone_event.h"
    #include "vad/vad.h"
    #include "wheel/wheel.h"
    """,
    include_dirs=[str(ROOT / "csrc")],
    extra_objects=[LIBRARY],
    depends=[LIBRARY],  # else an edit in C leaves the tests with what it was before
    libraries=["pthread", "m"],
)

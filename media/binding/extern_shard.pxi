# Declarations of the C core: shard, legs, prompts.

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned socklen_t
    ctypedef struct sockaddr "struct sockaddr":
        unsigned short sa_family

cdef extern from "histogram/histogram.h" nogil:
    ctypedef struct rw_histogram:
        pass
    uint64_t rw_histogram_up_to(const rw_histogram *histogram, uint64_t value)
    uint64_t rw_histogram_sum(const rw_histogram *histogram)
    uint64_t rw_histogram_total(const rw_histogram *histogram)
    uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction)
    uint64_t rw_histogram_max(const rw_histogram *histogram)

cdef extern from "live/live.h" nogil:
    ctypedef struct rw_live:
        pass

    ctypedef struct rw_live_config:
        uint32_t ptime_ms
        uint32_t room_ms
        uint32_t lead_ms
        uint32_t marks
        bint encoded
        bint rounds_up

    int rw_live_create(const rw_codec *codec, const rw_live_config *config, rw_live **live)
    void rw_live_release(rw_live *live)
    size_t rw_live_write(rw_live *live, const int16_t *pcm, size_t samples)
    size_t rw_live_write_encoded(rw_live *live, const uint8_t *payload, size_t bytes)
    int rw_live_mark(rw_live *live, uint64_t id)
    void rw_live_clear(rw_live *live)
    uint64_t rw_live_dropped(const rw_live *live)
    size_t rw_live_waiting(rw_live *live)
    size_t rw_live_writable(rw_live *live)
    void rw_live_finish(rw_live *live)
    uint64_t rw_live_starved(const rw_live *live)


cdef extern from "prompt/prompt.h" nogil:
    ctypedef struct rw_prompt:
        pass
    ctypedef struct rw_playlist:
        uint8_t barge_in
    ctypedef enum rw_play_outcome:
        pass
    rw_prompt *rw_prompt_create(const uint8_t *payload, size_t bytes)
    void rw_prompt_release(rw_prompt *prompt)
    size_t rw_prompt_bytes(const rw_prompt *prompt)
    const uint8_t *rw_prompt_payload(const rw_prompt *prompt)
    rw_playlist *rw_playlist_create(uint64_t play_id, rw_prompt **prompts, size_t count, bint loop)
    rw_playlist *rw_playlist_create_live(uint64_t play_id, rw_live *live)
    void rw_playlist_destroy(rw_playlist *playlist)
    rw_prompt *rw_prompt_create_with_levels(
        const uint8_t *payload, size_t bytes, const int8_t *levels_dbov, size_t level_count,
        size_t level_bytes)
    rw_prompt *rw_prompt_create_of_packets(
        const uint8_t *payload, const uint16_t *packet_bytes, const int8_t *levels_dbov,
        size_t packet_count)
    enum:
        RW_PROMPT_MAX_PACKET_BYTES

cdef extern from "base/digit.h" nogil:
    ctypedef struct rw_digit:
        char symbol
        bint ended
        uint32_t duration_ms

cdef extern from "relay/relay.h" nogil:
    ctypedef struct rw_relay:
        pass
    int rw_relay_create(const rw_codec *origin, const rw_codec *to, rw_relay **relay)
    void rw_relay_destroy(rw_relay *relay)

cdef extern from "ear/ear.h" nogil:
    enum:
        RW_NO_PAYLOAD_TYPE
    ctypedef struct rw_ear:
        pass
    ctypedef struct rw_ear_config:
        bint speech
        bint tones
        rw_vad_sensitivity sensitivity
        uint32_t hangover_ms
        uint32_t media_timeout_ms
    int rw_ear_create(const rw_ear_config *config, const rw_codec *codec, rw_ear **ear)
    void rw_ear_destroy(rw_ear *ear)

cdef extern from "latch/latch.h" nogil:
    ctypedef enum rw_latch_policy:
        RW_LATCH_POLICY_SDP
        RW_LATCH_POLICY_LATCH

cdef extern from "leg/leg.h" nogil:
    enum:
        RW_MAX_SILENCE_BYTES
    ctypedef union rw_address:
        sockaddr any
    ctypedef enum rw_silence_policy:
        RW_SILENCE_STOP
        RW_SILENCE_SEND
        RW_SILENCE_COMFORT_NOISE
    ctypedef struct rw_leg_media:
        rw_address remote
        uint32_t clock_rate_hz
        uint8_t payload_type
        uint8_t ptime_ms
        uint8_t bytes_per_ts
        uint8_t silence
        uint8_t silence_bytes
        uint8_t silence_packet[32]  # RW_MAX_SILENCE_BYTES
        bint send
        bint receive
        uint8_t event_payload_type
        uint8_t comfort_noise_payload_type
        bint takes_comfort_noise
        rw_address rtcp
        bint rtcp_mux
    ctypedef struct rw_rtcp_seed:
        uint8_t cname[12]
        uint32_t dice
    ctypedef struct rw_leg_config:
        rw_leg_media media
        rw_silence_policy silence_policy
        int fd
        rw_ear *ear
        rw_srtp *srtp
        rw_latch_policy source_policy
        rw_rtcp_seed rtcp_seed
        uint32_t ssrc
        uint32_t first_timestamp
        uint16_t first_sequence
    int rw_address_parse(rw_address *address, const char *host, uint16_t port)
    socklen_t rw_address_bytes(const rw_address *address)

cdef extern from "counters/counters.h" nogil:
    ctypedef enum rw_counter:
        RW_COUNTERS
    const char *rw_counter_name(rw_counter counter)

cdef extern from "listener/listener.h" nogil:
    ctypedef struct rw_listener:
        pass

    int rw_listener_create(uint32_t sample_rate_hz, uint32_t room_ms, rw_listener **listener)
    void rw_listener_release(rw_listener *listener)
    size_t rw_listener_readable(rw_listener *listener)
    size_t rw_listener_read(rw_listener *listener, int16_t *pcm, size_t room)
    uint64_t rw_listener_dropped(const rw_listener *listener)


cdef extern from "recorder/recorder.h" nogil:
    ctypedef struct rw_recorder:
        pass

    ctypedef struct rw_recording:
        pass

    ctypedef struct rw_recorder_config:
        uint32_t max_recordings
        uint32_t period_ms

    ctypedef struct rw_recording_config:
        const char *path
        uint64_t recording_id
        uint32_t sample_rate_hz
        uint32_t buffer_ms
        uint32_t rotate_ms
        uint8_t channels

    ctypedef enum rw_recording_report_kind:
        RW_RECORDING_STALLED
        RW_RECORDING_GAP
        RW_RECORDING_FILE_FINISHED
        RW_RECORDING_FINISHED

    ctypedef struct rw_recording_report:
        rw_recording_report_kind kind
        int error
        uint64_t recording_id
        uint64_t samples
        uint64_t gap_samples
        uint64_t paused_samples
        uint32_t file
        uint32_t files

    ctypedef struct rw_recorder_figures:
        uint64_t recordings_open
        uint64_t bytes_written
        uint64_t gap_samples
        uint64_t write_errors

    int rw_recorder_create(const rw_recorder_config *config, rw_recorder **recorder)
    int rw_recorder_start(rw_recorder *recorder)
    void rw_recorder_stop(rw_recorder *recorder)
    void rw_recorder_destroy(rw_recorder *recorder)
    int rw_recorder_event_fd(const rw_recorder *recorder)
    size_t rw_recorder_poll(rw_recorder *recorder, rw_recording_report *reports, size_t room)
    void rw_recorder_read_figures(const rw_recorder *recorder, rw_recorder_figures *figures)
    int rw_recorder_file_path(const char *path, uint32_t number, char *to, size_t room)
    int rw_recording_open(
        rw_recorder *recorder, const rw_recording_config *config, rw_recording **recording)
    void rw_recording_pause(rw_recording *recording, bint paused)
    void rw_recording_finish(rw_recording *recording)


cdef extern from "tap/tap.h" nogil:
    ctypedef struct rw_jitter_figures:
        uint64_t played_samples
        uint64_t concealed_samples
        uint64_t silent_samples
        uint64_t stretched_samples
        uint64_t shrunk_samples
        uint64_t discarded_late
        uint64_t discarded_full
        uint64_t discarded_broken
        uint32_t delay_ms
        uint32_t max_delay_ms

    ctypedef struct rw_tap:
        pass

    int rw_tap_create_recording(
        uint64_t tap_id, const rw_codec *codec, rw_recording *recording, rw_tap **tap)
    int rw_tap_create_listening(
        uint64_t tap_id, const rw_codec *codec, rw_listener *listener, rw_tap **tap)
    int rw_tap_create_speaking(
        uint64_t tap_id, const rw_codec *codec, rw_live *live, rw_tap **tap)
    void rw_tap_destroy(rw_tap *tap)


cdef extern from "shard/shard.h" nogil:
    ctypedef struct rw_shard:
        pass
    ctypedef struct rw_shard_config:
        const char *backend
        int shared_fd
        uint32_t max_legs
        uint32_t max_control_sockets
        bint realtime
    ctypedef enum rw_event_kind:
        RW_EVENT_PLAY_ENDED
        RW_EVENT_LEG_CLOSED
        RW_EVENT_DIGIT
        RW_EVENT_SPEECH
        RW_EVENT_MEDIA_TIMEOUT
        RW_EVENT_SOUND
        RW_EVENT_MARK
        RW_EVENT_TAP_ENDED
        RW_EVENT_SEAT_ENDED
        RW_EVENT_RELAY_ENDED
    ctypedef struct rw_hearing:
        uint64_t expected
        uint64_t lost
        uint32_t reordered
        uint32_t duplicates
        uint32_t gaps
        uint32_t sources
        uint32_t jitter_us
        uint32_t max_jitter_us
    ctypedef struct rw_told:
        uint64_t reports
        uint64_t expected
        uint64_t lost
        uint32_t fraction_lost
        uint32_t jitter_us
        uint32_t max_jitter_us
        uint64_t rtts
        uint32_t rtt_us
    ctypedef struct rw_digits:
        char symbols[33]
        uint16_t on_ms
        uint16_t off_ms
    ctypedef struct rw_event:
        rw_event_kind kind
        int status
        uint64_t leg_id
        uint64_t play_id
        rw_play_outcome outcome
        uint64_t played_bytes
        uint64_t played_packets
        uint64_t packets_sent
        uint64_t packets_skipped
        uint64_t send_errors
        uint64_t packets_received
        uint64_t bytes_received
        uint64_t packets_rejected
        uint64_t digits_sent
        bint tone
        rw_digit digit
        rw_vad_event speech
        rw_hearing hearing
        rw_told told
        uint64_t tap_id
        uint64_t seat_id
        uint64_t mark_id
        bint mark_cleared
        rw_jitter_figures tapped
    enum:
        RW_MAX_DIGITS
    int rw_shard_relay(rw_shard *shard, uint64_t leg_id, uint64_t to, rw_relay *relay)
    int rw_shard_tap(rw_shard *shard, uint64_t leg_id, rw_tap *tap)
    int rw_shard_end_tap(rw_shard *shard, uint64_t leg_id, uint64_t tap_id)
    int rw_shard_end_relay(rw_shard *shard, uint64_t leg_id)
    int rw_shard_rekey(rw_shard *shard, uint64_t leg_id, const rw_srtp_config *config)
    int rw_shard_send_digits(rw_shard *shard, uint64_t leg_id, const rw_digits *digits)
    int rw_shard_create(const rw_shard_config *config, rw_shard **shard)
    int rw_shard_start(rw_shard *shard)
    void rw_shard_stop(rw_shard *shard)
    void rw_shard_destroy(rw_shard *shard)
    int rw_shard_open_leg(rw_shard *shard, const rw_leg_config *config, uint64_t *leg_id)
    int rw_shard_close_leg(rw_shard *shard, uint64_t leg_id)
    int rw_shard_update_leg(rw_shard *shard, uint64_t leg_id, const rw_leg_media *media)
    int rw_shard_play(rw_shard *shard, uint64_t leg_id, rw_playlist *playlist, bint replace)
    int rw_shard_stop_playing(rw_shard *shard, uint64_t leg_id)
    int rw_shard_play_music(rw_shard *shard, uint64_t leg_id, rw_playlist *music)
    int rw_shard_end_music(rw_shard *shard, uint64_t leg_id)
    int rw_shard_pause(rw_shard *shard, uint64_t leg_id, bint paused)
    int rw_shard_event_fd(const rw_shard *shard)
    size_t rw_shard_poll_events(rw_shard *shard, rw_event *events, size_t room)
    uint64_t rw_shard_counter(const rw_shard *shard, rw_counter counter)
    uint32_t rw_shard_legs_open(const rw_shard *shard)
    const rw_histogram *rw_shard_lateness_us(const rw_shard *shard)
    const rw_histogram *rw_shard_batch_packets(const rw_shard *shard)
    uint64_t rw_shard_turns(const rw_shard *shard)
    void rw_shard_poke(rw_shard *shard)
    uint64_t rw_shard_cpu_ns(const rw_shard *shard)
    int rw_shard_leg_stats(const rw_shard *shard, uint64_t leg_id, rw_event *figures)

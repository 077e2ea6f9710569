# What the binding uses of csrc/conference.

cdef extern from "conference/conference.h" nogil:
    ctypedef enum rw_mixer_role:
        RW_MIXER_ROLES
    ctypedef struct rw_conference:
        pass
    ctypedef struct rw_seat:
        pass
    int rw_conference_create(
        uint32_t sample_rate_hz, uint32_t max_members, rw_conference **conference)
    void rw_conference_release(rw_conference *conference)
    int rw_seat_create(
        uint64_t seat_id, rw_conference *conference, const rw_codec *codec, rw_seat **seat)
    void rw_seat_destroy(rw_seat *seat)

cdef extern from "shard/shard.h" nogil:
    int rw_shard_join(rw_shard *shard, uint64_t leg_id, rw_seat *seat, rw_mixer_role role,
                      uint64_t whisper_to)
    int rw_shard_set_role(rw_shard *shard, uint64_t leg_id, uint64_t seat_id, rw_mixer_role role,
                          uint64_t whisper_to)
    int rw_shard_leave(rw_shard *shard, uint64_t leg_id, uint64_t seat_id)

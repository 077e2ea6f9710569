/*
 * Mixer: a room in which the legs of one shard hear each other. Each member gives its sound in its
 * own slots and takes, in its own slots, the sum of all that it may hear, without itself.
 *
 * Slots lie anywhere in the 20 ms, and blocks may be of any whole milliseconds, so the room keeps
 * sound by time, on one grid of ticks (1 ms, of one monotonic clock). A block that is given at a
 * tick sounds from that tick on; a block that is taken at a tick is what sounded up to it: that is
 * complete then, whatever the phases and lengths, and no order within a tick matters. Sound is so
 * on its way for the length of the block that takes it, at most. A slot that is served late is
 * still given or taken by the tick that it was due at; the room has a past of one block for that.
 *
 * Talkers are added up once, for all: what a member takes is the sum less its own part, so a room
 * costs in proportion to its members. Only who does not hear somebody costs more. Sums have 32
 * bits, and are clipped to 16 on the way out, counted: quiet rooms pass through bit for bit.
 *
 * The control side makes a room; then one thread uses it. Only making it allocates: joining,
 * giving and taking do not, and read no clock.
 */
#ifndef RW_MIXER_H
#define RW_MIXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_MIXER_MAX_MEMBERS 64
/* The longest block that a room may be made for: no leg has longer packets. */
#define RW_MIXER_MAX_BLOCK_MS 60

typedef struct rw_mixer_config {
    uint32_t sample_rate_hz; /* of the sums: 8000, 16000, 24000 or 48000 */
    uint32_t max_members;    /* 1 to RW_MIXER_MAX_MEMBERS */
    uint32_t max_block_ms;   /* the longest block anybody gives or takes, and how late it may be */
} rw_mixer_config;

/* Every member hears all talkers, and whoever whispers to it. */
typedef enum rw_mixer_role {
    RW_MIXER_TALKER,    /* heard by all */
    RW_MIXER_LISTENER,  /* heard by nobody: what it gives is dropped */
    RW_MIXER_WHISPERER, /* heard by one member */
    RW_MIXER_ROLES
} rw_mixer_role;

/* What became of a block; the index of its counter. */
typedef enum rw_mixer_verdict {
    RW_MIXER_OK,
    RW_MIXER_NOT_A_MEMBER,
    RW_MIXER_BAD_LENGTH, /* empty, not of whole milliseconds, or longer than the room's blocks */
    RW_MIXER_LATE,       /* a whole block or more behind the newest tick */
    RW_MIXER_TWICE,      /* for a time that this member has given, or taken, already */
    RW_MIXER_VERDICTS
} rw_mixer_verdict;

typedef struct rw_mixer_stats {
    uint64_t missing_ms;      /* between blocks that were given: silence to the others */
    uint64_t clipped_samples; /* of what was taken */
    uint32_t overtaken;       /* blocks given after somebody had taken that time */
    uint32_t given[RW_MIXER_VERDICTS];
    uint32_t taken[RW_MIXER_VERDICTS];
} rw_mixer_stats;

typedef struct rw_mixer rw_mixer;

/* An empty room; the caller owns it. 0, -EINVAL for a config that is none, -ENOMEM. */
int rw_mixer_create(const rw_mixer_config *config, rw_mixer **mixer);
void rw_mixer_destroy(rw_mixer *mixer);

/* Lets in a talker whose blocks, both ways, are of `sample_rate_hz`. Returns its number, the lowest
 * that is free; -EINVAL for a rate that cannot be resampled, -ENOSPC if the room is full. Another
 * rate than the room's delays sound by 14 samples of the lower one, each way. */
int rw_mixer_join(rw_mixer *mixer, uint32_t sample_rate_hz);

/* The member is gone, and with it what of its talking nobody has taken yet. Who whispered to it is
 * a listener from now on, so that its number's next owner hears none of it. -ENOENT: not a member.
 */
int rw_mixer_leave(rw_mixer *mixer, uint32_t member);

/* The role of what the member gives from now on; what it gave before sounds as it was meant. A
 * whisperer is heard by `whisper_to`; to other roles that means nothing. -EINVAL: no role, or
 * whispering to oneself; -ENOENT: not a member, or whispering to none. */
int rw_mixer_set_role(rw_mixer *mixer, uint32_t member, rw_mixer_role role, uint32_t whisper_to);

/* Whether `listener` hears `talker`, in whatever it takes from now on; of whispers, those given
 * from now on. Members do hear each other until told otherwise. -EINVAL: one and the same; -ENOENT:
 * not a member. */
int rw_mixer_set_hears(rw_mixer *mixer, uint32_t listener, uint32_t talker, bool hears);

/* Gives a block of sound that begins at `tick`. What is not RW_MIXER_OK is dropped. */
rw_mixer_verdict rw_mixer_put(rw_mixer *mixer, uint32_t member, uint64_t tick, const int16_t *pcm,
                              size_t samples);

/* Takes the block that ends at `tick`. What is not RW_MIXER_OK gives silence; so does the first one
 * when blocks become longer, as it begins before the last one's end. */
rw_mixer_verdict rw_mixer_take(rw_mixer *mixer, uint32_t member, uint64_t tick, int16_t *pcm,
                               size_t samples);

/* A member's figures; NULL: not a member. They are the room's, and hold until the member leaves. */
const rw_mixer_stats *rw_mixer_member_stats(const rw_mixer *mixer, uint32_t member);

/* The room's figures: of all members, those that left, and those that never were any. */
void rw_mixer_total_stats(const rw_mixer *mixer, rw_mixer_stats *total);

#endif

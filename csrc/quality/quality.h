/*
 * Quality: the E-model (ITU-T G.107, 06/2015) for a telephone call over IP: transmission rating R
 * and the mean opinion score that it stands for (G.107 Annex B).
 *
 * Everything that the network does not change (loudness, noise, sidetone, echo loss, quantisation)
 * has G.107's default values, so that R = 93.2 and MOS = 4.41 for a line without fault. What is
 * left: R = (Ro - Is) - Id - Ie,eff, with an advantage factor A of 0, for delay, codec and loss.
 * Once per report, not per packet: it takes logarithms and powers.
 */
#ifndef RW_QUALITY_H
#define RW_QUALITY_H

#include <stdint.h>

/* What the sound goes through. Ie and Bpl on the narrowband scale:
 *   G.711      0, 4.3   (G.113 Appendix I, random loss, no concealment)
 *   G.711 PLC  0, 25.1  (G.113 Appendix I, with concealment after G.711 Appendix I)
 *   G.722      0, 4.3   G.113 rates wideband codecs on a scale of their own (up to 129), where
 *                       G.722 stands above G.711; the narrowband scale ends where G.711 does, so it
 *                       is taken to be no worse, and as sensitive to loss as a waveform codec is
 *   L16        0, 4.3   the sound itself; loss as for G.711
 *   Opus       0, 10.0  not in G.113's narrowband tables; at telephone rates no worse than G.711,
 *                       with the Bpl of GSM EFR, the least robust of those with own concealment
 * _PLC is for a listener whose concealment repeats and fades the waveform. */
typedef enum rw_quality_codec {
    RW_QUALITY_G711,
    RW_QUALITY_G711_PLC,
    RW_QUALITY_G722,
    RW_QUALITY_G722_PLC,
    RW_QUALITY_L16,
    RW_QUALITY_L16_PLC,
    RW_QUALITY_OPUS,
    RW_QUALITY_CODECS
} rw_quality_codec;

typedef struct rw_quality_input {
    rw_quality_codec codec;
    double loss;        /* packets that were not played, of all: 0 to 1 */
    double burst_ratio; /* BurstR: 1 for random loss; rw_quality_burst_ratio() */
    uint64_t rtt_us;    /* by RTCP, 0 if unknown: half of it counts as one way */
    uint32_t buffer_us; /* jitter buffer, packet time and codec delay of that way */
} rw_quality_input;

typedef struct rw_quality {
    double rating; /* R, 0 to 100 */
    double mos;    /* 1 to 4.5 */
} rw_quality;

/* Values out of their range count as the nearest that is in it. */
rw_quality rw_quality_rate(const rw_quality_input *input);

/* How much longer runs of missing packets are than random loss would make them (G.107 section 7.5),
 * from packets lost and expected, and the runs that they came in; at least 1. */
double rw_quality_burst_ratio(uint64_t lost, uint64_t gaps, uint64_t expected);

/* MOS of a rating (G.107 Annex B). */
double rw_quality_mos(double rating);

#endif

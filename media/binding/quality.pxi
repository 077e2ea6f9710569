# The E-model (ITU-T G.107): what a listener would say of a stream.

cdef extern from "quality/quality.h" nogil:
    ctypedef enum rw_quality_codec:
        RW_QUALITY_G711_PLC
        RW_QUALITY_G722_PLC
        RW_QUALITY_L16_PLC
        RW_QUALITY_OPUS
    ctypedef struct rw_quality_input:
        rw_quality_codec codec
        double loss
        double burst_ratio
        uint64_t rtt_us
        uint32_t buffer_us
    ctypedef struct rw_quality:
        double rating
        double mos
    rw_quality rw_quality_rate(const rw_quality_input *input)
    double rw_quality_burst_ratio(uint64_t lost, uint64_t gaps, uint64_t expected)

cdef dict QUALITY_CODECS = {
    "PCMU": RW_QUALITY_G711_PLC,
    "PCMA": RW_QUALITY_G711_PLC,
    "G722": RW_QUALITY_G722_PLC,
    "L16": RW_QUALITY_L16_PLC,
    "opus": RW_QUALITY_OPUS,
}


def estimate_mos(
    str codec not None, uint64_t expected, uint64_t lost, uint64_t gaps, uint32_t buffer_us,
    uint64_t rtt_us=0,
) -> float:
    """The mean opinion score, 1 to 4.5, of sound with that loss, behind a jitter buffer that conceals.

    ``codec``: its name in SDP (KeyError: none of ours). ``gaps``: runs that the loss came in, as
    many as packets were lost where that is not known. ``rtt_us``: 0 if it is not known.
    """
    cdef rw_quality_input heard
    heard.codec = QUALITY_CODECS[codec]
    heard.loss = <double>lost / expected if expected else 0.0
    heard.burst_ratio = rw_quality_burst_ratio(lost, gaps, expected)
    heard.rtt_us = rtt_us
    heard.buffer_us = buffer_us
    return rw_quality_rate(&heard).mos

"""How a call sounds to both who listen (ITU-T G.107)."""

from __future__ import annotations

from dataclasses import dataclass

from ._core import estimate_mos
from .events import LegFigures


@dataclass(frozen=True, slots=True)
class Quality:
    """Mean opinion scores, 1 to 4.5, and what they come from; None where it is not known.

    ``in``: what we hear, as of the last RTCP report of ours (every 5 s or so), and at the end of
    the call. ``out``: what the peer hears, as its last report says: only it knows whether that is
    true. ``loss``: the share of packets that did not arrive, 0 to 1.
    """

    mos_in: float | None = None
    mos_out: float | None = None
    rtt_ms: float | None = None
    loss_in: float | None = None
    loss_out: float | None = None
    jitter_in_ms: float | None = None
    jitter_out_ms: float | None = None


def quality_of(codec: str, figures: LegFigures) -> Quality:
    """The quality of a leg with sound of ``codec`` (its name in SDP) both ways.

    The jitter buffer of either side is taken to be as long as the jitter was at its highest.
    """
    heard, told = figures.reception, figures.told
    rtt_us = told.rtt_us if told else None
    quality = Quality()
    if heard.expected:
        quality = Quality(
            mos_in=estimate_mos(
                codec, heard.expected, heard.lost, heard.gaps, heard.max_jitter_us, rtt_us or 0
            ),
            loss_in=heard.lost / heard.expected,
            jitter_in_ms=heard.jitter_us / 1000,
        )
    if told is None or not told.expected:
        return quality
    mos_out = estimate_mos(
        codec, told.expected, told.lost, told.lost, told.max_jitter_us, rtt_us or 0
    )
    return Quality(
        quality.mos_in,
        mos_out,
        None if rtt_us is None else rtt_us / 1000,
        quality.loss_in,
        told.lost / told.expected,
        quality.jitter_in_ms,
        told.jitter_us / 1000,
    )

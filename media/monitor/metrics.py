"""The engine's figures as Prometheus reads them, made when it asks and not before.

Everything is counted elsewhere already; here it gets names. A counter that is new in the engine
appears by itself, under ``ringwheel_sip_events_total`` or ``ringwheel_media_events_total``.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ..engine import Engine
from ..figures import EngineFigures
from ..sip.registration import RegistrationState
from ..trunk.figures import TrunkFigures
from .buckets import Buckets

if TYPE_CHECKING:
    from .monitor import Monitor

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
LATENESS_BOUNDS_US = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000)
RECORDED_SAMPLES_HZ = 8_000

_REFUSALS = ("refused_", "rejected_", "dropped_")
_ENDED = "calls_ended_"
_RETRANSMISSIONS = {"received": "retransmissions_absorbed", "sent": "retransmissions_sent"}
_TOLD_ELSEWHERE = {"requests", "responses", "parse_errors", *_RETRANSMISSIONS.values()}
_WAYS = {"sent": ("packets_sent", "bytes_sent"), "received": ("packets_received", "bytes_received")}
_SEND_ERRORS = ("send_refused", "send_buffer_full", "send_unreachable", "send_failed")
_DROPS = ("received_", "receive_")
_SKIPPED = "packets_skipped"
_TRUNK_EVENTS = ("placed", "answered", "failed_over", "congested", "received", "refused")
_DIRECTIONS = {"received": False, "sent": True}


def labelled(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    help: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    """A metric with one label."""
    family = kind(name, help, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def histograms(name: str, help: str, label: str, values: Mapping[str, Buckets]) -> Metric:
    """A histogram for each value of one label."""
    family = HistogramMetricFamily(name, help, labels=[label])
    for value, buckets in values.items():
        family.add_metric(
            [value], _bounded(buckets.bounds, buckets.up_to(), buckets.count), buckets.sum
        )
    return family


def _bounded(bounds: Iterable[float], counts: Sequence[int], total: int) -> list[tuple[str, float]]:
    pairs = [(f"{bound:g}", float(count)) for bound, count in zip(bounds, counts, strict=True)]
    return [*pairs, ("+Inf", float(total))]


def _starting(prefixes: str | tuple[str, ...], counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name.startswith(prefixes)}


class EngineCollector(Collector):
    """Reads one engine, and what a `Monitor` knows beside it."""

    def __init__(self, monitor: Monitor, version: str) -> None:
        self._monitor = monitor
        self._version = version

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known when they are asked for."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Everything, as of now."""
        engine = self._monitor.engine
        figures = engine.snapshot()
        build = GaugeMetricFamily(
            "ringwheel_build_info", "What runs here.", labels=["version", "python"]
        )
        build.add_metric([self._version, platform.python_version()], 1)
        yield build
        yield from _calls(figures)
        yield from _trunks(engine.trunks)
        yield from _sip(figures, self._monitor)
        yield from _rtp(figures)
        yield from _shards(engine)
        yield from _quality(self._monitor)
        yield from _rest(figures, self._monitor)
        for part in self._monitor.parts:
            yield from part.collect()


def _calls(figures: EngineFigures) -> Iterator[Metric]:
    yield labelled(
        GaugeMetricFamily,
        "ringwheel_calls",
        "Calls by state of their SIP.",
        "state",
        figures.calls_by_state,
    )
    yield GaugeMetricFamily("ringwheel_calls_limit", "Calls allowed.", value=figures.calls_limit)
    for name, help, value in (
        ("", "Sessions with speech servers, which are no calls.", figures.speech_sessions),
        ("_limit", "Speech sessions allowed.", figures.speech_sessions_limit),
    ):
        yield GaugeMetricFamily(f"ringwheel_speech_sessions{name}", help, value=value)
    yield GaugeMetricFamily(
        "ringwheel_draining", "1 when new calls are refused.", value=figures.draining
    )
    ended = _starting(_ENDED, figures.sip)
    begun = {
        name.removeprefix("calls_"): count
        for name, count in _starting("calls_", figures.sip).items()
        if name not in ended
    }
    yield labelled(
        CounterMetricFamily, "ringwheel_calls_begun", "Calls by how they began.", "event", begun
    )
    yield labelled(
        CounterMetricFamily,
        "ringwheel_calls_ended",
        "Calls by who ended them.",
        "by",
        {name.removeprefix(_ENDED): count for name, count in ended.items()},
    )
    yield labelled(
        CounterMetricFamily,
        "ringwheel_calls_dialled",
        "Calls of ours by what they came to.",
        "outcome",
        figures.outcomes,
    )


def _trunks(trunks: Sequence[TrunkFigures]) -> Iterator[Metric]:
    limits = {t.name: t.channels_limit for t in trunks if t.channels_limit is not None}
    for name, help, values in (
        ("up", "1 if a peer of the trunk can be used.", {t.name: t.up for t in trunks}),
        ("channels", "Calls that the trunk carries.", {t.name: t.channels for t in trunks}),
        ("channels_limit", "Calls that it may carry.", limits),
    ):
        yield labelled(GaugeMetricFamily, f"ringwheel_trunk_{name}", help, "trunk", values)
    peers = GaugeMetricFamily(
        "ringwheel_trunk_peer_up", "1 if the peer can be used.", labels=["trunk", "peer"]
    )
    registered = GaugeMetricFamily(
        "ringwheel_trunk_registered", "1 if we are registered.", labels=["trunk", "state"]
    )
    calls = CounterMetricFamily(
        "ringwheel_trunk_calls", "Calls of the trunk.", labels=["trunk", "event"]
    )
    for trunk in trunks:
        for peer in trunk.peers:
            peers.add_metric([trunk.name, peer.peer], peer.up)
        if trunk.registration:
            state = trunk.registration
            registered.add_metric([trunk.name, state], state == RegistrationState.REGISTERED.value)
        for event in _TRUNK_EVENTS:
            calls.add_metric([trunk.name, event], getattr(trunk, event))
    yield from (peers, registered, calls)


def _sip(figures: EngineFigures, monitor: Monitor) -> Iterator[Metric]:
    traffic = monitor.traffic
    requests = CounterMetricFamily(
        "ringwheel_sip_requests", "SIP requests by method.", labels=["direction", "method"]
    )
    responses = CounterMetricFamily(
        "ringwheel_sip_responses", "SIP responses by code.", labels=["direction", "code"]
    )
    for direction, sent in _DIRECTIONS.items():
        for method, count in traffic.requests(sent=sent).items():
            requests.add_metric([direction, method], count)
        for code, count in traffic.responses(sent=sent).items():
            responses.add_metric([direction, code], count)
    yield requests
    yield responses
    for name, help, label, values in (
        (
            "retransmissions",
            "SIP messages that came or went again.",
            "direction",
            {way: figures.sip[name] for way, name in _RETRANSMISSIONS.items()},
        ),
        ("parse_errors", "Messages that are no SIP.", "reason", figures.unreadable),
        ("refused", "Requests refused or dropped.", "reason", _starting(_REFUSALS, figures.sip)),
        ("events", "What else happened in SIP.", "event", _other_sip(figures.sip)),
    ):
        yield labelled(CounterMetricFamily, f"ringwheel_sip_{name}", help, label, values)
    held = {
        "transactions": figures.transactions,
        "dialogs": figures.dialogs,
        "timers": figures.timers,
    }
    yield labelled(GaugeMetricFamily, "ringwheel_sip_held", "What SIP keeps.", "kind", held)


def _other_sip(counts: Mapping[str, int]) -> dict[str, int]:
    told = ("calls_", *_REFUSALS)
    return {
        name: count
        for name, count in counts.items()
        if not name.startswith(told) and name not in _TOLD_ELSEWHERE
    }


def _rtp(figures: EngineFigures) -> Iterator[Metric]:
    media = figures.media
    for index, unit in enumerate(("packets", "bytes")):
        values = {way: media[names[index]] for way, names in _WAYS.items()}
        yield labelled(
            CounterMetricFamily, f"ringwheel_rtp_{unit}", f"RTP {unit}.", "direction", values
        )
    yield CounterMetricFamily(
        "ringwheel_rtp_skipped", "Packets left out, as a shard was late.", value=media[_SKIPPED]
    )
    drops = _starting(_DROPS, media)
    errors = {name: media[name] for name in _SEND_ERRORS}
    told = {_SKIPPED, *drops, *errors, *(name for names in _WAYS.values() for name in names)}
    events = {name: count for name, count in media.items() if name not in told}
    for name, help, label, values in (
        ("rtp_send_errors", "Packets that could not be sent.", "reason", errors),
        ("rtp_drops", "What arrived and was not taken.", "reason", drops),
        ("media_events", "What else happened in media.", "event", events),
    ):
        yield labelled(CounterMetricFamily, f"ringwheel_{name}", help, label, values)


def _shards(engine: Engine) -> Iterator[Metric]:
    legs = {str(index): shard.legs_open for index, shard in enumerate(engine.shards)}
    yield labelled(GaugeMetricFamily, "ringwheel_shard_legs", "Legs open.", "shard", legs)
    lateness = HistogramMetricFamily(
        "ringwheel_shard_lateness_seconds", "How late packets left.", labels=["shard"]
    )
    cpu = CounterMetricFamily(
        "ringwheel_shard_cpu_seconds", "CPU time of the shard's thread.", labels=["shard"]
    )
    for index, shard in enumerate(engine.shards):
        counts, total, sum_us = shard.lateness_up_to(LATENESS_BOUNDS_US)
        bounds_s = [bound_us / 1_000_000 for bound_us in LATENESS_BOUNDS_US]
        lateness.add_metric([str(index)], _bounded(bounds_s, counts, total), sum_us / 1_000_000)
        cpu.add_metric([str(index)], shard.cpu_ns / 1_000_000_000)
    yield lateness
    yield cpu


def _quality(monitor: Monitor) -> Iterator[Metric]:
    ended = monitor.ended
    for name, help, values in (
        ("mos", "Opinion scores of ended calls.", ended.mos),
        ("jitter_seconds", "Jitter at the end of calls.", ended.jitter_s),
        ("loss_ratio", "Loss of ended calls, 0 to 1.", ended.loss),
    ):
        yield histograms(f"ringwheel_call_{name}", help, "direction", values)
    for name, help, counts in (
        ("packets_expected", "Packets that ended calls should have got.", ended.expected),
        ("packets_lost", "Packets that ended calls did not get.", ended.lost),
    ):
        yield labelled(CounterMetricFamily, f"ringwheel_call_{name}", help, "direction", counts)


def _rest(figures: EngineFigures, monitor: Monitor) -> Iterator[Metric]:
    recorder, lag = figures.recorder, monitor.lag
    for name, help, counted in (
        ("bytes", "Bytes of recordings.", "recorded_bytes"),
        ("gap_samples", "Samples that recordings lack.", "recording_gap_samples"),
        ("write_errors", "Failed writes of recordings.", "recording_write_errors"),
    ):
        yield CounterMetricFamily(
            f"ringwheel_recorder_{name}", help, value=recorder.get(counted, 0)
        )
    yield GaugeMetricFamily(
        "ringwheel_recordings_open", "Recordings.", value=recorder.get("recordings_open", 0)
    )
    yield GaugeMetricFamily(
        "ringwheel_prompts_bytes", "Prompts in memory.", value=figures.prompts_bytes
    )
    family = HistogramMetricFamily("ringwheel_loop_lag_seconds", "How late the event loop was.")
    lags = lag.lags
    family.add_metric([], _bounded(lags.bounds, lags.up_to(), lags.count), lags.sum)
    yield family
    yield GaugeMetricFamily(
        "ringwheel_loop_lag_worst_seconds", "The worst of the last 10 s.", value=lag.worst_s
    )
    yield from _traces(monitor)


def _traces(monitor: Monitor) -> Iterator[Metric]:
    trace, hep = monitor.trace, monitor.hep
    if trace is not None:
        yield GaugeMetricFamily("ringwheel_trace_messages", "SIP messages kept.", value=len(trace))
        yield GaugeMetricFamily("ringwheel_trace_bytes", "What they take.", value=trace.held_bytes)
    if hep is not None:
        yield labelled(
            CounterMetricFamily,
            "ringwheel_hep_messages",
            "Copies for the capture server.",
            "outcome",
            {"sent": hep.sent, "dropped": hep.dropped},
        )


class Metrics:
    """The text for Prometheus."""

    def __init__(self, monitor: Monitor, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(EngineCollector(monitor, version))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Everything, as of now."""
        return generate_latest(self._registry)

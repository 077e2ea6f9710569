"""The status of `serve`: rates between two snapshots, reasons of refusals, losses."""

from io import StringIO

from rich.console import Console
from ringwheel.cli.status import status_of, table_of
from ringwheel.media.events import Quantiles
from ringwheel.media.figures import EngineFigures

LOSSES = ("packets_skipped", "send_buffer_full", "send_refused", "send_unreachable", "send_failed")


def figures(packets_sent: int, *, draining: bool = False, **sip: int) -> EngineFigures:
    return EngineFigures(
        calls_up=12,
        calls_limit=1000,
        draining=draining,
        sip={"calls_answered": 40, "refused_max_calls": 0, "rejected_method": 0, **sip},
        media={"packets_sent": packets_sent, **dict.fromkeys(LOSSES, 0), "send_refused": 3},
        recorder={},
        lateness_us=[Quantiles(9, 10, 200, 300, 400), Quantiles(9, 10, 1500, 1600, 1700)],
        prompts_bytes=0,
    )


def test_rates_reasons_and_the_worst_shard():
    status = status_of(figures(1000), figures(2500, refused_max_calls=7), 0.5)
    assert status.packets_per_s == 3000
    assert status.refused == {"max_calls": 7}
    assert status.lost == {"send_refused": 3}
    assert status.lateness_p99_us == 1500
    assert status_of(figures(1), figures(1), 0.0).packets_per_s == 0


def test_the_table_says_it_in_words():
    status = status_of(figures(0), figures(600, draining=True, rejected_method=2), 1.0)
    out = StringIO()
    Console(file=out, width=80).print(table_of(status))
    text = out.getvalue()
    assert "draining" in text
    assert "12 of 1,000 calls up" in text
    assert "2 method" in text
    assert "600 a second" in text
    assert "1.50 ms at p99" in text

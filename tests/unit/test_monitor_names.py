"""Metrics are documented by the names that they have, and the examples use no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ringwheel import Engine, Monitor
from ringwheel.media.monitor.metrics import Metrics
from ringwheel.media.trunk.trunk import Peer, Registration, Trunk, TrunkLimits

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "prometheus"
NAME = re.compile(r"\b(?:ringwheel|process)_[a-z_]+\b")
TRUNK = Trunk(
    "carrier",
    peers=(Peer("127.0.0.1", 9),),
    registration=Registration("robot"),
    user="robot",
    password="secret",
    limits=TrunkLimits(channels=3),
)


@pytest.fixture
async def families():
    """What /metrics shows of an engine that has everything: name, type, labels."""
    hep = "127.0.0.1:9"
    async with (
        Engine(sip=["udp:127.0.0.1:0"], rtp_ports=(29_000, 29_019), trunks=[TRUNK]) as engine,
        Monitor(engine, http="127.0.0.1:0", hep=hep) as monitor,
    ):
        monitor.traffic(True, None, b"SIP/2.0 200 OK\r\n", 0.0)
        monitor.traffic(False, None, b"INVITE sip:a SIP/2.0\r\n", 0.0)
        text = Metrics(monitor, "1").text().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def full_name(family) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def labels_of(family) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def documented() -> dict[str, tuple[str, set[str]]]:
    """Type and labels by name, of the table in the operator's manual."""
    found = {}
    for line in (ROOT / "docs" / "operating.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 6 or not NAME.search(cells[1]):
            continue
        for name in NAME.findall(cells[1]):
            found[name] = cells[2], set(re.findall(r"`(\w+)`", cells[3]))
    return found


async def test_the_manual_names_every_metric_and_no_other(families):
    shown = {full_name(family): (family.type, labels_of(family)) for family in families.values()}
    assert shown == documented()


def names_in(text: str) -> set[str]:
    return {name for name in NAME.findall(text) if not name.endswith("_dashboard")}


@pytest.mark.parametrize("file", sorted(EXAMPLES.iterdir()), ids=lambda file: file.name)
async def test_the_examples_ask_for_metrics_that_are_there(file, families):
    known = set()
    for family in families.values():
        suffixes = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
        known |= {full_name(family) + suffix for suffix in suffixes}
    asked = names_in(file.read_text("utf-8"))
    assert len(asked) > 5
    assert not asked - known


def test_the_dashboard_is_json_with_a_query_in_each_panel():
    dashboard = json.loads((EXAMPLES / "ringwheel-dashboard.json").read_text("utf-8"))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def test_every_rule_says_what_it_found():
    text = (EXAMPLES / "ringwheel-rules.yml").read_text("utf-8")
    for rule in text.split("- alert: ")[1:]:
        for part in ("expr:", "severity:", "summary:"):
            assert part in rule

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
from ringwheel.robot.calling import CallingOut
from ringwheel.robot.figures import MAX_CAUSES, RobotFigures
from ringwheel.robot.kept import CachedPrompts
from ringwheel.robot.metrics import RobotMetrics
from ringwheel.robot.results import JsonLines, ResultWriter
from ringwheel.robot.runner import Robot
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.speech.cache import PromptCache
from ringwheel.robot.speech.embedded import EmbeddedSpeech
from ringwheel.robot.speech.engines.pool import PoolFigures
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpService
from ringwheel.robot.speech.mrcp.taken import Taken
from ringwheel.robot.speech.mrcp.words import Method
from ringwheel.robot.speech.server.control import ControlFigures
from ringwheel.robot.speech.server.metrics import SpeechMetrics
from ringwheel.robot.speech.server.resource import ResourceFigures
from ringwheel.robot.speech.server.server import SpeechFigures
from ringwheel.robot.speech.stream import StreamFigures, StreamTotals

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


SCRIPT = """
ringwheel: 1
name: names
locale: en
steps: [{hang_up: {cause: thanked}}]
"""
RECORD = {"script": "names", "cause": "thanked", "outcome": "answered", "steps": 2, "seconds": 7.0}
QUESTION = {"step": "main.1", "no_input": 1, "no_match": 0, "outcome": "answered"}


def robot_metrics(engine: Engine, folder: Path) -> RobotMetrics:
    """Those of a robot that has everything, after one conversation and one call without."""
    (folder / "script.yaml").write_text(SCRIPT, "utf-8")
    robot = Robot(engine, load_script(folder / "script.yaml"))
    robot.figures.note(RECORD | {"questions": [QUESTION]})
    robot.figures.note(RECORD | {"cause": None, "outcome": "busy", "questions": []})
    service = MrcpService(engine, [MrcpServer("sip:127.0.0.1:9", "one")])
    service._pool.failures["refused"] += 1
    service._around.answers.setdefault(Method.SPEAK, Taken()).add(0.25)
    cache = PromptCache(folder / "kept")
    metrics = RobotMetrics(
        robot,
        services={"mrcp": service, "local": service},
        writer=ResultWriter(JsonLines(folder / "results.jsonl")),
        kept=CachedPrompts(cache),
        embedded=EmbeddedSpeech(),
    )
    metrics.calling = CallingOut(
        robot, trunk=None, concurrent=1, rate_per_s=1, caller=None, timeout_s=1, numbers=5
    )
    return metrics


def speech_figures() -> SpeechFigures:
    resources = ResourceFigures({"SPEAK": 1}, {200: 1}, {}, {"speechrecog no-match": 3}, 1.5)
    pool = PoolFigures(2, 4, 3, 1, 1, 1, 2_000_000)
    return SpeechFigures(1, 2, {"TCP/MRCPv2": ControlFigures()}, pool, resources)


def stream_totals() -> StreamTotals:
    totals = StreamTotals()
    totals.note("peer", StreamFigures(heard_ms=2_500, spoken_ms=500, rejected={"not_json": 1}))
    totals.note("lost", StreamFigures(dropped_ms=40, clears=2, barge_ins=1))
    return totals


@pytest.fixture
async def families(tmp_path):
    """What /metrics shows of an engine that has everything: name, type, labels."""
    hep = "127.0.0.1:9"
    async with (
        Engine(sip=["udp:127.0.0.1:0"], rtp_ports=(29_000, 29_019), trunks=[TRUNK]) as engine,
        Monitor(
            engine,
            http="127.0.0.1:0",
            hep=hep,
            parts=[
                robot_metrics(engine, tmp_path),
                SpeechMetrics(speech_figures),
                stream_totals(),
            ],
        ) as monitor,
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


async def test_a_robot_tells_what_its_conversations_came_to(families):
    def values(name: str) -> dict[tuple[str, ...], float]:
        return {tuple(s.labels.values()): s.value for s in families[name].samples}

    assert values("ringwheel_robot_conversations") == {("thanked", "names"): 1}
    assert values("ringwheel_robot_unreached") == {("busy",): 1}
    assert values("ringwheel_robot_questions") == {("answered",): 1}
    assert values("ringwheel_robot_misses") == {("no-input",): 1, ("no-match",): 0}
    assert values("ringwheel_robot_dials") == {("waiting",): 5, ("under_way",): 0}
    assert values("ringwheel_mrcp_server_completions") == {("no-match", "speechrecog"): 3}
    assert values("ringwheel_streams") == {("peer",): 1, ("lost",): 1}
    sound = values("ringwheel_stream_sound_seconds")
    assert (sound["heard",], sound["spoken",], sound["dropped",]) == (2.5, 0.5, 0.04)
    assert values("ringwheel_stream_clears") == {("peer",): 2, ("barge-in",): 1}
    assert values("ringwheel_stream_rejected") == {("not_json",): 1}
    jobs = {("done",): 2, ("failed",): 1, ("refused",): 1}
    assert values("ringwheel_recognizer_jobs") == jobs


def test_what_callers_make_of_causes_is_bounded_and_failures_are_one():
    figures = RobotFigures()
    for number in range(MAX_CAUSES + 5):
        question = QUESTION | {"outcome": f"failed: {number}"}
        figures.note(RECORD | {"cause": f"said {number}", "questions": [question]})
    assert len(figures.conversations) == MAX_CAUSES + 1
    assert figures.conversations["names", "other"] == 5
    assert figures.questions == {"failed": MAX_CAUSES + 5}

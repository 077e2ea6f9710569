"""`bench robot`: what is held against a conversation, what callers type, and the public keys."""

from __future__ import annotations

from ringwheel.bench.robot import (
    STEPS,
    RobotResult,
    RobotRun,
    digits_of,
    faults_of,
    write_script,
)
from ringwheel.bench.typist import digit_packets
from ringwheel.robot.script.compiler import load_script


def record(caller, **changed):
    plain = {"caller": str(caller), "cause": "complete", "outcome": "answered", "steps": STEPS}
    return plain | {"number": digits_of(caller)} | changed


def test_what_goes_wrong_is_counted_by_its_kind():
    good = [record(number) for number in range(3)]
    assert faults_of(good, 3, {}) == {}
    bad = [
        record(0, number="99999"),
        record(1, cause="error"),
        record(2, steps=9),
        record(3, cause=None, outcome="abandoned"),
    ]
    assert faults_of([*good, *bad], 9, {"busy": 1}) == {
        "busy": 1,
        "no record": 1,
        "wrong answers": 1,
        "ended: error": 1,
        "9 steps": 1,
        "ended: abandoned": 1,
    }


def test_the_result_says_what_a_step_costs():
    robot = {"steps": 50, "cpu_us": 10_000, "wall_us": 1, "packets": 9, "answer_ms": {}}
    robot |= {"loop_cpu_us": 7_000, "media_cpu_us": 2_500}
    run = RobotRun(robot, {"calls": 5, "up_most": 5}, {"no record": 2})
    result, told = RobotResult(5, 1.0, [run], []), run.to_json()
    assert (result.cpu_us_per_step, result.media_us_per_step) == (200.0, 50.0)
    assert (told["failed"], told["cpu_us_per_step"], told["media_cpu_us"]) == (2, 200.0, 2_500)


def test_the_script_is_right(tmp_path):
    assert load_script(write_script(tmp_path)).report[-1] == "number"


def test_digits_differ_from_call_to_call_and_end_three_times():
    assert digits_of(42) == "00042"
    packets = digit_packets(101, 7, place=2)
    assert [packet[12] for packet in packets] == [7] * 4
    assert [packet[13] >> 7 for packet in packets] == [0, 1, 1, 1]
    assert [int.from_bytes(packet[2:4]) for packet in packets] == [8, 9, 10, 11]

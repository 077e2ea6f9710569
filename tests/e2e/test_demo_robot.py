"""`ringwheel demo robot`, as somebody meets it who has just built Ringwheel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

DEMO = (sys.executable, "-m", "ringwheel.cli.main", "--log-level=error", "demo", "robot", "--json")


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng")
@pytest.mark.slow
def test_the_survey_is_held_and_its_result_is_right():
    done = subprocess.run(DEMO, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["right"]
    assert told["record"]["report"] == told["expected"]
    assert [heard["mode"] for heard in told["understood"]].count("speech") >= 3


def test_without_espeak_it_says_how_to_get_it(tmp_path):
    done = subprocess.run(
        DEMO, capture_output=True, timeout=60, check=False, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 2
    assert "apt-get install espeak-ng" in done.stderr.decode()

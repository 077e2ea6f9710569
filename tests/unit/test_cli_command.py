"""The `ringwheel` command as a user meets it: output, exit status, one line for every failure."""

import json
import logging
import math
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import ringwheel
import soundfile
import structlog
from ringwheel.cli.logging import LogFormat, configure_logging
from ringwheel.cli.main import run_command


@pytest.fixture(autouse=True)
def _restore_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def tone(duration_s: float, amplitude: float, rate_hz: int = 8000) -> np.ndarray:
    return amplitude * np.sin(2 * math.pi * 440 * np.arange(int(duration_s * rate_hz)) / rate_hz)


@pytest.fixture
def show(capsys):
    """Runs `prompt info --json` and returns what it printed."""

    def run(path):
        assert run_command(["prompt", "info", str(path), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_version(capsys):
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"ringwheel {ringwheel.__version__}\n"


@pytest.mark.parametrize("command", [["doctor"], ["prompt", "info"]])
def test_help_has_examples(capsys, command):
    assert run_command([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert " ".join(["ringwheel", *command]) in out


def test_without_arguments_there_is_help(capsys):
    assert run_command([]) == 2
    assert "doctor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bogus"], "No such command 'bogus'. See 'ringwheel --help'."),
        (["doctor", "--bogus"], "No such option: --bogus. See 'ringwheel doctor --help'."),
        (["prompt", "info"], "Missing argument 'file'. See 'ringwheel prompt info --help'."),
        (
            ["prompt", "info", "/no/such.wav"],
            "prompt /no/such.wav: no such file or directory. Check the path.",
        ),
        (
            ["--log-level", "loud", "doctor"],
            "--log-level: 'loud' is not one of: debug, info, warning, error. Choose one of them.",
        ),
        (
            ["doctor", "--rtp-ports", "9-1"],
            "--rtp-ports: '9-1' is not a range within 1024-65535, such as 20000-40000. "
            "Correct it, or see --help.",
        ),
    ],
)
def test_failures_are_one_line(capsys, arguments, line):
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"ringwheel: {line}\n"
    assert captured.out == ""


def test_as_a_process(tmp_path):
    (tmp_path / "garbage.wav").write_bytes(b"garbage")
    ended = subprocess.run(
        [sys.executable, "-m", "ringwheel.cli.main", "prompt", "info", "garbage.wav"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("ringwheel: prompt garbage.wav: not a sound file")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["script schema", "--help", "--version"])
def test_an_output_that_cannot_be_written_is_one_line(command):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "ringwheel.cli.main", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    cause = "the output cannot be written: No space left on device."
    assert (ended.returncode, ended.stderr) == (1, f"ringwheel: {cause}\n")


# prompt info


def test_prompt_info_of_a_good_prompt(tmp_path, show):
    path = tmp_path / "p.wav"
    soundfile.write(path, np.column_stack([tone(1.01, 0.2, 16000)] * 2), 16000)
    assert show(path) == {
        "file": str(path),
        "container": "WAV",
        "encoding": "PCM_16",
        "rate_hz": 16000,
        "channels": 2,
        "duration_ms": 1010.0,
        "packets": 51,
        "payload_bytes": 8080,
        "passes_through": None,
        "peak_dbfs": -14.0,
        "rms_dbfs": -17.0,
        "leading_silence_ms": 0.1,
        "clipped_samples": 0,
        "warnings": [],
    }


def test_prompt_info_warns(tmp_path, show):
    path = tmp_path / "p.wav"
    soundfile.write(path, np.concatenate([np.zeros(4000), tone(1.0, 0.005)]), 8000)
    quiet, silence = show(path)["warnings"]
    assert quiet == "too quiet (-51 dBFS): aim for -26 to -18 dBFS"
    assert silence.endswith("ms of silence at the start: cut it")
    soundfile.write(path, np.clip(tone(1.0, 3.0), -1, 1), 8000)
    shown = show(path)
    assert shown["clipped_samples"] > 1000
    assert "clipped" in shown["warnings"][0]
    soundfile.write(path, np.zeros(8000), 8000)
    shown = show(path)
    assert (shown["peak_dbfs"], shown["leading_silence_ms"]) == (None, 1000.0)
    assert shown["warnings"] == ["digital silence: callers hear nothing"]


def test_a_peak_or_two_at_full_scale_are_not_clipping(tmp_path, show):
    path = tmp_path / "p.wav"
    samples = np.array([0, 32767, 0, -32768, -32768, 0, 32767, 32767, 32767, 32767], np.int16)
    soundfile.write(path, samples, 8000)
    assert show(path)["clipped_samples"] == 4


def test_prompt_info_for_people(tmp_path, capsys):
    path = tmp_path / "p.alaw"
    path.write_bytes(b"\xaa\x2a" * 200)
    assert run_command(["prompt", "info", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"file      {path}",
        "format    RAW PCMA, 8,000 Hz, mono",
        "played    sent as it is in PCMA, encoded once for PCMU",
        "length    50.0 ms, 3 packets of 20 ms, 400 bytes",
        "level     peak -0.1 dBFS, RMS -0.1 dBFS",
    ]


# Logging


def logged(log_format: LogFormat, level: str = "info") -> list[str]:
    stream = StringIO()
    configure_logging(level, log_format, stream)
    log = structlog.get_logger()
    log.debug("unheard")
    log.info("call refused", reason="max_calls", call_id="a b")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("handler failed")
    return stream.getvalue().splitlines()


def test_json_lines():
    refused, slow, failed = map(json.loads, logged(LogFormat.JSON))
    assert refused.pop("timestamp").endswith("Z")
    assert refused == {
        "event": "call refused",
        "level": "info",
        "reason": "max_calls",
        "call_id": "a b",
    }
    assert (slow["event"], slow["level"]) == ("slow callback", "warning")
    assert "ValueError: broken" in failed["exception"]


def test_logfmt_lines_where_there_is_no_terminal():
    refused, slow, failed = logged(LogFormat.AUTO)
    assert refused.endswith('level=info event="call refused" reason=max_calls call_id="a b"')
    assert 'event="slow callback"' in slow
    assert "ValueError: broken" in failed


def test_levels():
    assert len(logged(LogFormat.LOGFMT, "debug")) == 4
    assert len(logged(LogFormat.LOGFMT, "error")) == 1


def test_pretty_output_is_for_reading():
    lines = logged(LogFormat.PRETTY)
    assert "call refused" in lines[0]
    assert "reason=max_calls" in lines[0]

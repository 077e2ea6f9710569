"""baresip calls, as an independent client, and hears the prompts (A7), in PCMU and in Opus."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import soundfile
from ringwheel.media.codec import CODECS, OPUS

CONFIG = """\
sip_listen 127.0.0.1:0
audio_player aubridge,loop
audio_source aubridge,loop
audio_alert aubridge,alert
audio_srate {rate_hz}
audio_channels 1
audio_buffer 20-160
jitter_buffer_delay 5-10
snd_path {folder}
module_path /usr/lib/baresip/modules
module {module}
module aubridge.so
module sndfile.so
module_app account.so
module_app menu.so
"""
"""Sound goes round in a circle inside baresip, and sndfile writes down what was decoded."""

PATIENCE_S = 30
ALL_SAMPLES = 12_003 + 9_777 + 16_011
HELD_SAMPLES = 5 * 160
"""baresip's jitter buffer gives a packet out when the fifth one after it comes."""


def dial(baresip: str, home: Path, host: str, port: int | str, calls: int = 1) -> str:
    """Call the robot, and let baresip go when it has told the end of as many calls; returns what it
    printed."""
    told = []
    process = subprocess.Popen(
        [baresip, "-f", str(home), "-e", f"d sip:robot@{host}:{port}", "-t", str(PATIENCE_S)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line)
            if ": session closed:" in line:
                calls -= 1
                if calls == 0:
                    process.terminate()
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    return "".join(told)


def narrowed(recording: Path) -> list[Path]:
    """A recording at 8 kHz, mono, by each of its samples that an 8 kHz one may lie on."""
    sound, rate_hz = soundfile.read(recording, always_2d=True)
    paths = []
    for first in range(rate_hz // 8000):
        paths.append(recording.with_name(f"narrow{first}.wav"))
        soundfile.write(paths[-1], sound.mean(axis=1)[first :: rate_hz // 8000], 8000)
    return paths


# Opus does not keep a waveform: pure tones near 4 kHz, the chirps' last ones, come out as others.
@pytest.mark.parametrize(
    ("codec", "rate_hz", "least_share"), [("pcmu", 8000, 0.9), ("opus", 48000, 0.8)]
)
def test_hears_the_prompts_to_their_end(
    program, serve, chirps, share_heard, tmp_path, codec, rate_hz, least_share
):
    if codec not in [known.label for known in CODECS]:
        pytest.skip("built without libopus")
    baresip = program("baresip", "baresip-core")
    home = tmp_path / "baresip"
    home.mkdir()
    module = "opus.so" if codec == OPUS else "g711.so"
    (home / "config").write_text(CONFIG.format(folder=home, module=module, rate_hz=rate_hz))
    (home / "accounts").write_text(f"<sip:baresip@127.0.0.1>;regint=0;audio_codecs={codec}\n")
    (home / "contacts").write_text("")
    with serve(tmp_path, chirps, "--codec", codec) as served:
        assert "Call established" in dial(baresip, home, served.host, served.port)
    (heard,) = home.glob("dump-*-dec.wav")
    share, samples = max(share_heard(path, chirps) for path in narrowed(heard))
    assert share > least_share
    assert samples > ALL_SAMPLES - 160 - HELD_SAMPLES
    ended = [event for event in served.events() if event["event"] == "call ended"]
    assert [(event["by"], event["status"]) for event in ended] == [("local", 200)]

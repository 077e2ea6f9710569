"""baresip calls, as an independent client, and hears the prompts (A7)."""

from __future__ import annotations

import subprocess

CONFIG = """\
sip_listen 127.0.0.1:0
audio_player aubridge,loop
audio_source aubridge,loop
audio_alert aubridge,alert
audio_srate 8000
audio_channels 1
audio_buffer 20-160
jitter_buffer_delay 5-10
snd_path {folder}
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module sndfile.so
module_app account.so
module_app menu.so
"""
"""Sound goes round in a circle inside baresip, and sndfile writes down what was decoded."""

CALL_S = 8
ALL_SAMPLES = 12_003 + 9_777 + 16_011
HELD_SAMPLES = 5 * 160
"""baresip's jitter buffer gives a packet out when the fifth one after it comes."""


def test_hears_the_prompts_to_their_end(program, serve, chirps, share_heard, tmp_path):
    baresip = program("baresip", "baresip-core")
    home = tmp_path / "baresip"
    home.mkdir()
    (home / "config").write_text(CONFIG.format(folder=home))
    (home / "accounts").write_text("<sip:baresip@127.0.0.1>;regint=0;audio_codecs=pcmu\n")
    (home / "contacts").write_text("")
    with serve(tmp_path, chirps) as served:
        dial = f"d sip:robot@{served.host}:{served.port}"
        finished = subprocess.run(
            [baresip, "-f", str(home), "-e", dial, "-t", str(CALL_S)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_S + 20,
            check=False,
        )
    assert "Call established" in finished.stdout + finished.stderr
    (heard,) = home.glob("dump-*-dec.wav")
    share, samples = share_heard(heard, chirps)
    assert share > 0.9
    assert samples > ALL_SAMPLES - 160 - HELD_SAMPLES
    ended = [event for event in served.events() if event["event"] == "call ended"]
    assert [(event["by"], event["status"]) for event in ended] == [("local", 200)]

"""Codecs by the C core's table: what each does to sound, packet by packet and for whole prompts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.media import _core
from ringwheel.media import codec as codec_module
from ringwheel.media.codec import (
    CODECS,
    DEFAULT_CODECS,
    G722,
    L16_8K,
    L16_16K,
    PCMA,
    PCMU,
    UnknownCodec,
    codec_by_name,
    codec_by_payload_type,
    codec_by_rtpmap,
)
from ringwheel.media.prompt import (
    NOTHING,
    PromptLibrary,
    encode_sound,
    join_prompts,
    read_sound,
    tail_behind,
)

DATA = Path(__file__).parents[1] / "data" / "g722"
INDEX = {codec.label: codec.index for codec in CODECS}
STREAMS = [codec for codec in CODECS if not codec.whole_packets]
G722_DELAY_SAMPLES = 22

by_label = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.label)
by_stream = pytest.mark.parametrize("codec", STREAMS, ids=lambda codec: codec.label)
needs_opus = pytest.mark.skipif("opus" not in INDEX, reason="built without libopus")


def speech(duration_s: float, rate_hz: int, seed: int = 1) -> np.ndarray:
    """Something like a voice: the harmonics of a gliding pitch, in syllables."""
    at = np.arange(round(duration_s * rate_hz)) / rate_hz
    pitch_hz = 130 + 40 * np.sin(2.2 * at + seed)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = sum(np.sin(n * phase + n * n * seed) / n for n in range(1, 14))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * at)
    return (5000 * voice * syllables).astype(np.int16)


def correlation(said: np.ndarray, heard: np.ndarray, most_lag: int) -> float:
    """The best correlation of heard with said, at any delay below ``most_lag`` samples."""
    length = min(len(said), len(heard)) - most_lag
    one = said[:length].astype(float)
    found = [
        np.corrcoef(one, heard[lag : lag + length].astype(float))[0, 1] for lag in range(most_lag)
    ]
    return float(max(found))


# Finding them


def test_static_types_and_rtpmaps():
    assert [codec_by_payload_type(number) for number in (0, 8, 9, 11)] == [PCMU, PCMA, G722, None]
    # RFC 3551 section 4.5.2: the clock says 8,000, the samples are twice as many.
    assert (G722.rtpmap, G722.sample_rate_hz) == ("G722/8000", 16000)
    assert codec_by_rtpmap("l16", 8000) is L16_8K
    assert codec_by_rtpmap("L16", 16000) is L16_16K
    assert codec_by_rtpmap("L16", 44100) is None
    assert DEFAULT_CODECS == (PCMU, PCMA)


@by_label
def test_a_label_names_one_codec(codec):
    assert codec_by_name(f" {codec.label.upper()} ") is codec
    with pytest.raises(UnknownCodec, match="use one of: pcmu, pcma, g722, l16-8k, l16-16k"):
        codec_by_name("l16")


def test_a_build_without_opus_says_what_is_lacking(monkeypatch):
    monkeypatch.delitem(codec_module._BY_LABEL, "opus", raising=False)
    with pytest.raises(UnknownCodec, match="no codec 'Opus', built without libopus; use one of"):
        codec_by_name("Opus")


def test_ci_has_what_is_optional_elsewhere():
    required = os.environ.get("RINGWHEEL_REQUIRE", "").split()
    assert "opus" in INDEX or "opus" not in required


# G.722 against ffmpeg (tests/data/g722/README.md)


def test_g722_encodes_bit_for_bit():
    sound = np.fromfile(DATA / "sound.s16", "<i2").astype(np.int16)
    assert G722.encode(sound) == (DATA / "sound.g722").read_bytes()


@pytest.mark.parametrize("name", ["sound", "noise"])
def test_g722_decodes_bit_for_bit(name):
    expected = np.fromfile(DATA / f"{name}.decoded.s16", "<i2")
    heard = G722.decode((DATA / f"{name}.g722").read_bytes())
    assert heard.tolist() == expected.tolist()


def test_g722_fills_up_half_a_pair():
    sound = speech(0.1, 16000)[:1001]
    assert G722.encode(sound) == G722.encode(np.append(sound, np.int16(0)))


# L16


@given(st.lists(st.integers(-32768, 32767)))
def test_l16_is_big_endian_and_loses_nothing(values):
    samples = np.array(values, np.int16)
    payload = L16_16K.encode(samples)
    assert payload == samples.astype(">i2").tobytes()
    assert L16_8K.decode(payload).tolist() == values
    assert L16_8K.decode(payload + b"\1").tolist() == values


# Each of them


@by_stream
def test_speech_comes_back(codec):
    sound = speech(1.0, codec.sample_rate_hz)
    payload = codec.encode(sound)
    assert len(payload) == codec.bytes_per_s
    assert len(codec.decode(payload)) == len(sound)
    assert correlation(sound, codec.decode(payload), 40) > 0.98


@by_label
def test_arrays_of_no_length(codec):
    assert codec.encode(np.zeros(0, np.int16)) == b""
    assert codec.decode(b"").size == 0


@by_label
def test_what_is_no_contiguous_int16_is_refused(codec):
    with pytest.raises(ValueError):
        codec.encode(np.zeros(4, np.float32))
    with pytest.raises(ValueError):
        codec.encode(np.zeros(8, np.int16)[::2])


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    label=st.sampled_from([codec.label for codec in STREAMS]),
    cuts=st.lists(st.integers(0, 700), min_size=1, max_size=8),
)
def test_a_stream_may_be_cut_anywhere_between_timestamps(data, label, cuts):
    codec = codec_by_name(label)
    step = codec.sample_rate_hz // codec.clock_rate_hz
    sound = speech(0.5, codec.sample_rate_hz, data.draw(st.integers(0, 99)))[: sum(cuts) * step]
    encoder, decoder = _core.CodecEncoder(INDEX[label]), _core.CodecDecoder(INDEX[label])
    payload, heard = b"", []
    for cut in cuts:
        part, sound_left = sound[: cut * step], sound[cut * step :]
        room_bytes = len(part) // step * codec.bytes_per_ts
        piece = encoder.encode(part, room_bytes)
        assert len(piece) == room_bytes
        room = np.empty(len(part), np.int16)
        assert decoder.decode(piece, room) == len(part)
        payload, sound = payload + piece, sound_left
        heard += room.tolist()
    assert codec.decode(payload).tolist() == heard


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(INDEX)),
    st.lists(st.tuples(st.binary(max_size=1460), st.integers(0, 6000)), max_size=6),
)
def test_hostile_payloads_give_at_most_what_there_is_room_for(label, packets):
    decoder = _core.CodecDecoder(INDEX[label])
    for payload, room in packets:
        samples = np.full(room + 1, 4242, np.int16)
        assert 0 <= decoder.decode(payload, samples[:room]) <= room
        assert 0 <= decoder.conceal(samples[:room]) <= room
        assert samples[room] == 4242


def test_an_index_that_there_is_not():
    for make in (_core.CodecEncoder, _core.CodecDecoder):
        with pytest.raises(IndexError):
            make(len(INDEX))


# Opus


@needs_opus
def test_opus_carries_speech_and_conceals_losses():
    sound = speech(1.0, 16000)
    encoder, decoder = _core.CodecEncoder(INDEX["opus"]), _core.CodecDecoder(INDEX["opus"])
    heard, sizes = np.zeros(len(sound), np.int16), []
    for at in range(0, len(sound), 320):
        payload = encoder.encode(sound[at : at + 320], 1460)
        sizes.append(len(payload))
        assert decoder.decode(payload, heard[at : at + 320]) == 320
    assert 20 < np.mean(sizes) < 100
    assert correlation(sound, heard, 200) > 0.95
    made_up = np.zeros(320, np.int16)
    assert decoder.conceal(made_up) == 320
    assert np.abs(made_up).max() > 500


@needs_opus
def test_opus_is_found_as_sdp_names_it():
    opus = codec_by_name("opus")
    assert codec_by_rtpmap("OPUS", 48000) is opus
    assert (opus.rtpmap, opus.payload_type, opus.sample_rate_hz) == ("opus/48000/2", None, 16000)
    assert opus not in DEFAULT_CODECS


@needs_opus
def test_one_packet_of_opus_by_itself():
    opus = codec_by_name("opus")
    sound = speech(0.06, 16000)
    for ms in (10, 20, 30, 40, 60):
        assert len(opus.decode(opus.encode(sound[: 16 * ms]))) == 16 * ms
    assert opus.encode(sound[:321]) == b""
    assert opus.decode(b"").size == 0


# Prompts


def write_speech(path: Path, seed: int) -> np.ndarray:
    sound = speech(0.7313, 16000, seed)
    soundfile.write(path, sound, 16000)
    return sound


@by_stream
def test_a_prompt_is_as_long_as_its_sound(tmp_path, codec):
    write_speech(tmp_path / "p.wav", 1)
    prompt = encode_sound(read_sound(tmp_path / "p.wav"), codec)
    assert prompt.duration_ms == pytest.approx(731.3, abs=0.1)
    assert len(prompt.payload) * 1000 / codec.bytes_per_s == pytest.approx(731.3, abs=0.2)


@pytest.mark.parametrize("seconds", [0.7313, 0.02, 0.1, 0.1001])
@pytest.mark.parametrize("loop", [False, True])
def test_g722_is_joined_without_a_bang(tmp_path, seconds, loop):
    """Speech that is cut off in mid-word at full level, and goes on as another: the worst seam."""
    said, prompts = [], []
    for seed in (1, 5, 3):
        path = tmp_path / f"{seed}.wav"
        said.append(speech(seconds if seed == 5 else 0.7313, 16000, seed))
        soundfile.write(path, said[-1], 16000)
        prompts.append(encode_sound(read_sound(path), G722))
    payload = b"".join(map(bytes, join_prompts(prompts, loop=loop)))
    assert len(payload) == sum(len(prompt.payload) for prompt in prompts)
    padded = [np.append(sound, np.zeros(len(sound) % 2, np.int16)) for sound in said]
    rounds = 3 if loop else 1
    sound, heard = np.concatenate(rounds * padded), G722.decode(rounds * payload)
    assert correlation(sound[8000:], heard[8000:], 40) > 0.98
    seams = np.cumsum([len(part) for part in rounds * padded])[:-1]
    for seam in seams:
        around = slice(seam - 800, seam + 800)
        assert correlation(sound[around], heard[around], 40) > 0.95


@pytest.mark.parametrize("fill_ms", [0, 3, 10, 19])
def test_the_next_play_does_not_begin_with_a_bang(tmp_path, fill_ms):
    """The last packet of a play is filled up with silence; then another play comes."""
    prompts = []
    for seed in (1, 5):
        said = write_speech(tmp_path / f"{seed}.wav", seed)
        prompts.append(encode_sound(read_sound(tmp_path / f"{seed}.wav"), G722))
    fill = bytes([G722.silence]) * (fill_ms * G722.bytes_per_s // 1000)
    natives = join_prompts(prompts[1:], loop=False, tail=tail_behind(NOTHING, prompts[:1]))
    before = prompts[0].payload + fill
    heard = G722.decode(before + b"".join(map(bytes, natives)))[2 * len(before) :]
    assert correlation(said[:1600], heard[:1600], 40) > 0.9
    assert np.abs(heard[:800].astype(int)).max() < 1.5 * np.abs(said[:800].astype(int)).max()


def test_codecs_without_a_state_are_played_as_they_lie_in_memory(tmp_path):
    write_speech(tmp_path / "p.wav", 1)
    prompt = encode_sound(read_sound(tmp_path / "p.wav"), L16_16K)
    assert join_prompts([prompt, prompt], loop=True) == [prompt.native, prompt.native]


def test_nothing_is_joined_of_nothing():
    assert join_prompts([], loop=True) == []


def test_codecs_of_one_name_have_prompts_of_their_own(tmp_path):
    write_speech(tmp_path / "p.wav", 1)
    library = PromptLibrary()
    narrow, wide = (library.get(tmp_path / "p.wav", codec) for codec in (L16_8K, L16_16K))
    assert (narrow.codec, wide.codec) == (L16_8K, L16_16K)
    assert wide.samples == pytest.approx(2 * narrow.samples, abs=1)
    library.close()

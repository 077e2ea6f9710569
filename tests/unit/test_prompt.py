"""Prompts from files of every kind, broken ones included, to the payload that would be sent."""

import asyncio
import math
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringwheel.media import prompt as prompt_module
from ringwheel.media.codec import PCMA, PCMU
from ringwheel.media.prompt import (
    EncodedPrompt,
    PromptError,
    PromptLibrary,
    SoundLimits,
    encode_sound,
    read_sound,
)

RATE_HZ = 8000


def tone(duration_s: float, rate_hz: int, amplitude: float = 0.5, hz: float = 440.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(int(duration_s * rate_hz)) / rate_hz)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str | None = None):
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def wav_header(data_bytes: int, *, channels=1, rate_hz=8000, tag=1, bits=16) -> bytes:
    """A plain RIFF header, which may lie."""
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block & 0xFFFFFFFF, block, bits)
    size = 36 + data_bytes & 0xFFFFFFFF
    head = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<I", 16) + fmt
    return head + b"data" + struct.pack("<I", data_bytes)


def tone_level(samples: np.ndarray, rate_hz: int, hz: float) -> float:
    """Amplitude of one frequency, full scale 1, by correlation over the whole array."""
    at = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / rate_hz)
    return 2 * abs(np.dot(samples / 32768, at)) / len(samples)


# Reading and converting


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000])
def test_wav_of_every_width_rate_and_channel_count(tmp_path, subtype, channels, rate_hz):
    wave = np.column_stack([tone(0.5, rate_hz)] * channels)
    prompt = encode_sound(read_sound(write(tmp_path / "p.wav", wave, rate_hz, subtype)), PCMU)
    heard = PCMU.decode(prompt.payload)
    assert prompt.samples == len(prompt.payload) == len(heard)
    assert abs(prompt.samples - 4000 * len(wave) / (0.5 * rate_hz)) <= 1
    assert tone_level(heard, RATE_HZ, 440.0) == pytest.approx(0.5, rel=0.02)
    assert prompt.peak_dbfs == pytest.approx(-6.0, abs=0.2)
    assert prompt.rms_dbfs == pytest.approx(-9.0, abs=0.2)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("p.flac", "PCM_16"), ("p.flac", "PCM_24"), ("p.ogg", "VORBIS"), ("p.mp3", None)],
)
def test_compressed_files(tmp_path, name, subtype):
    path = write(tmp_path / name, tone(1.0, 24000), 24000, subtype)
    prompt = encode_sound(read_sound(path), PCMA)
    assert prompt.duration_ms == pytest.approx(1000, abs=60)
    assert tone_level(PCMA.decode(prompt.payload), RATE_HZ, 440.0) == pytest.approx(0.5, rel=0.1)


def test_16_bit_mono_at_8_khz_is_encoded_sample_for_sample(tmp_path):
    samples = np.random.default_rng(7).integers(-32768, 32768, 12_345).astype(np.int16)
    prompt = encode_sound(read_sound(write(tmp_path / "p.wav", samples)), PCMU)
    assert prompt.payload == PCMU.encode(samples)
    assert prompt.duration_ms == 12_345 / 8


def test_stereo_becomes_the_mean_of_both_sides(tmp_path):
    sides = np.array([[1000, 3000], [-1000, 1000], [32767, 32767]], np.int16)
    sound = read_sound(write(tmp_path / "p.wav", sides))
    assert (sound.samples.tolist(), sound.channels) == ([2000, 0, 32767], 2)


def test_loud_floats_saturate_and_do_not_wrap(tmp_path):
    sound = read_sound(write(tmp_path / "p.wav", np.array([1.5, -1.5, 1.0, 0.5]), subtype="FLOAT"))
    assert sound.samples.tolist() == [32767, -32768, 32767, 16384]


def test_resampling_overshoot_saturates(tmp_path):
    # The edges of a full-scale square wave overshoot in any sharp low-pass filter.
    square = np.where(np.arange(48000) // 480 % 2, 32767, -32768).astype(np.int16)
    prompt = encode_sound(read_sound(write(tmp_path / "p.wav", square, 48000)), PCMU)
    heard = PCMU.decode(prompt.payload)
    middles = heard[40 : 40 + 80 * 90].reshape(-1, 80)[:, 0].astype(int)
    assert (np.abs(middles) > 30_000).all()
    assert (np.sign(middles[1:]) != np.sign(middles[:-1])).all()


@pytest.mark.parametrize(("codec", "subtype"), [(PCMU, "ULAW"), (PCMA, "ALAW")])
def test_g711_in_wav_passes_bit_for_bit(tmp_path, codec, subtype):
    codes = bytes(range(256)) * 3  # mu-law's negative zero would not survive re-encoding
    tag = 7 if codec is PCMU else 6
    path = tmp_path / "p.wav"
    path.write_bytes(wav_header(len(codes), tag=tag, bits=8) + codes)
    sound = read_sound(path)
    assert sound.encoding == subtype
    assert encode_sound(sound, codec).payload == codes
    other = PCMA if codec is PCMU else PCMU
    assert encode_sound(sound, other).payload == other.encode(codec.decode(codes))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("p.ulaw", PCMU),
        ("p.ul", PCMU),
        ("P.PCMU", PCMU),
        ("p.alaw", PCMA),
        ("p.al", PCMA),
        ("p.pcma", PCMA),
    ],
)
def test_raw_g711_passes_bit_for_bit(tmp_path, name, codec):
    codes = bytes(range(256)) + b"\x7f"
    (tmp_path / name).write_bytes(codes)
    prompt = encode_sound(read_sound(tmp_path / name), codec)
    assert (prompt.payload, prompt.duration_ms) == (codes, 257 / 8)


def test_a_wav_written_as_a_stream_is_whole(tmp_path):
    samples = np.arange(800, dtype=np.int16)
    (tmp_path / "p.wav").write_bytes(wav_header(0xFFFFFFFF) + samples.tobytes())
    assert read_sound(tmp_path / "p.wav").samples.tolist() == samples.tolist()


def test_digital_silence_has_no_level(tmp_path):
    prompt = encode_sound(read_sound(write(tmp_path / "p.wav", np.zeros(160, np.int16))), PCMU)
    assert prompt.payload == 160 * b"\xff"
    assert (prompt.peak_dbfs, prompt.rms_dbfs) == (-math.inf, -math.inf)


# Refusing


def refusal(path, limits: SoundLimits | None = None) -> str:
    with pytest.raises(PromptError) as caught:
        read_sound(path, limits)
    text = str(caught.value)
    assert "\n" not in text
    assert "; " in text
    return text


def test_missing_directory_empty_and_fifo(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.wav")
    assert "is a directory" in refusal(tmp_path)
    (tmp_path / "empty.wav").touch()
    assert "the file is empty" in refusal(tmp_path / "empty.wav")
    os.mkfifo(tmp_path / "fifo.wav")
    assert "not a regular file" in refusal(tmp_path / "fifo.wav")
    assert "null" in refusal("a\0b.wav")
    assert "name too long" in refusal("x" * 5000)


def test_unreadable(tmp_path):
    path = write(tmp_path / "p.wav", tone(0.1, RATE_HZ))
    path.chmod(0)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)  # root may read everything
    try:
        assert "permission denied; let the user of this process read it" in refusal(path)
    finally:
        if was_root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["p.wav", "p.flac", "p.ogg", "p.mp3"])
def test_cut_short(tmp_path, name):
    path = write(tmp_path / name, tone(2.0, 24000), 24000)
    whole = path.read_bytes()
    for part in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * part)])
        refusal(path)


def test_limits(tmp_path):
    path = write(tmp_path / "p.wav", tone(1.0, RATE_HZ))
    assert "more than 0 MB" in refusal(path, SoundLimits(max_file_bytes=1000))
    assert "lasts more than 0.9 s" in refusal(path, SoundLimits(max_duration_s=0.9))
    assert len(read_sound(path, SoundLimits(max_duration_s=1.0)).samples) == 8000
    (tmp_path / "p.ulaw").write_bytes(bytes(8001))
    assert "lasts more than 1 s" in refusal(tmp_path / "p.ulaw", SoundLimits(max_duration_s=1.0))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (wav_header(8, rate_hz=4_000_000_000), "not a sound file|Hz is absurd"),
        (wav_header(8, rate_hz=300_000), "300000 Hz is absurd"),
        (wav_header(8, rate_hz=1), "Hz is absurd"),
        (wav_header(128, channels=64), "64 channels are too many"),
        (wav_header(0x10000000), "cut short"),
        (wav_header(0), "not a sound file that can be read|holds no sound"),
        (wav_header(8, tag=0x4242), "not a sound file"),
        (wav_header(8, bits=0), "not a sound file"),
    ],
)
def test_absurd_headers(tmp_path, header, words):
    path = tmp_path / "p.wav"
    path.write_bytes(header + bytes(128 if b"\x40\0" in header[22:24] else 8))
    assert any(word in refusal(path) for word in words.split("|"))


def test_samples_that_are_not_numbers(tmp_path):
    for value in (math.nan, math.inf):
        path = write(tmp_path / "p.wav", np.array([0.1, value, 0.2]), subtype="FLOAT")
        assert "not numbers" in refusal(path)


def test_other_containers_are_named(tmp_path):
    assert "format AIFF is not supported" in refusal(write(tmp_path / "p.aiff", tone(0.1, 8000)))


def test_the_error_names_a_path_on_one_line(tmp_path):
    assert "Gr\u00fc\u00dfe.wav" in refusal(tmp_path / "Gr\u00fc\u00dfe.wav")
    refusal(tmp_path / "a\nb.wav")


WAV = wav_header(64) + bytes(range(64))
EXTENSIONS = ["wav", "flac", "ogg", "mp3", "ulaw", "ul", "pcmu", "alaw", "al", "pcma", "txt", ""]
MAGIC = st.sampled_from(
    [b"", WAV, WAV[:40], b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\4\0\0", b"\xff\xfb\x90\0", b".snd"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(MAGIC, st.binary(max_size=400), st.sampled_from(EXTENSIONS))
def test_garbage_under_every_extension(tmp_path, magic, garbage, extension):
    path = tmp_path / f"garbage.{extension}"
    path.write_bytes(magic + garbage)
    try:
        prompt = encode_sound(read_sound(path), PCMU)
    except PromptError as error:
        assert "\n" not in str(error)
    else:
        assert len(prompt.payload) == prompt.samples > 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_mutated_files(tmp_path, data):
    name = data.draw(st.sampled_from(["p.wav", "p.flac", "p.ogg", "p.mp3"]))
    whole = bytearray(write(tmp_path / name, tone(0.1, 8000)).read_bytes())
    for at in data.draw(st.lists(st.integers(0, min(len(whole), 200) - 1), max_size=6)):
        whole[at] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(whole)
    try:
        sound = read_sound(tmp_path / name)
    except PromptError as error:
        assert "\n" not in str(error)
    else:
        assert len(encode_sound(sound, PCMA).payload) > 0


# The library


@pytest.fixture
def library():
    library = PromptLibrary()
    yield library
    library.close()


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Paths that were really read."""
    seen: list[str] = []

    def counted(path, limits):
        seen.append(str(path))
        return read_sound(path, limits)

    monkeypatch.setattr(prompt_module, "read_sound", counted)
    return seen


def test_the_same_prompt_comes_from_memory(tmp_path, library, reads):
    path = write(tmp_path / "p.wav", tone(0.1, RATE_HZ))
    first = library.get(path, PCMU)
    (tmp_path / "link.wav").symlink_to(path)
    assert library.get(str(path), PCMU) is first
    assert library.get(tmp_path / "link.wav", PCMU) is first
    assert reads == [str(path)]
    assert library.get(path, PCMA).codec is PCMA
    assert (len(library), library.held_bytes) == (2, 1600)


def test_a_changed_file_is_read_anew(tmp_path, library):
    path = write(tmp_path / "p.wav", tone(0.1, RATE_HZ))
    before = library.get(path, PCMU)
    write(path, tone(0.1, RATE_HZ, amplitude=0.1))
    os.utime(path, ns=(1, 1))
    after = library.get(path, PCMU)
    assert after.peak_dbfs < before.peak_dbfs


def test_the_least_recently_used_goes_first(tmp_path, reads):
    library = PromptLibrary(max_bytes=2000)
    a, b, c = (write(tmp_path / f"{name}.wav", tone(0.1, RATE_HZ)) for name in "abc")
    for path in (a, b, a, c, a, b):
        library.get(path, PCMU)
        assert library.held_bytes <= 2000
    assert [Path(path).name for path in reads] == ["a.wav", "b.wav", "c.wav", "b.wav"]
    big = write(tmp_path / "big.wav", tone(1.0, RATE_HZ))
    assert library.get(big, PCMU).samples == 8000
    assert library.held_bytes == 1600
    library.close()


async def test_concurrent_loads_read_once(tmp_path, library, reads):
    path = write(tmp_path / "p.wav", tone(0.5, 48000), 48000)
    prompts = await asyncio.gather(*(library.load(path, PCMU) for _ in range(50)))
    assert reads == [str(path)]
    assert all(prompt is prompts[0] for prompt in prompts)
    assert isinstance(prompts[0], EncodedPrompt)
    assert await library.load(path, PCMU) is prompts[0]


async def test_a_cancelled_waiter_leaves_the_others(tmp_path, library, monkeypatch):
    path = write(tmp_path / "p.wav", tone(0.1, RATE_HZ))
    gate = threading.Event()

    def held_back(path, limits):
        gate.wait(30)
        return read_sound(path, limits)

    monkeypatch.setattr(prompt_module, "read_sound", held_back)
    first, second = (asyncio.ensure_future(library.load(path, PCMU)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert (await second).samples == 800
    assert first.cancelled()


async def test_a_failed_load_fails_every_waiter_and_can_be_tried_again(tmp_path, library):
    path = tmp_path / "p.wav"
    path.write_bytes(b"garbage")
    results = await asyncio.gather(
        *(library.load(path, PCMU) for _ in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results] == 5 * [PromptError]
    write(path, tone(0.1, RATE_HZ))
    assert (await library.load(path, PCMU)).samples == 800
    with pytest.raises(PromptError, match="no such file"):
        await library.load(tmp_path / "absent.wav", PCMU)


async def test_loads_stay_within_two_threads(tmp_path, library):
    paths = [write(tmp_path / f"{i}.wav", tone(0.2, 48000), 48000) for i in range(12)]
    await asyncio.gather(*(library.load(path, PCMU) for path in paths))
    names = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("ringwheel-prompt") for name in names) <= 2


async def test_a_closed_library_says_so_and_still_serves_what_it_holds(tmp_path):
    library = PromptLibrary()
    path, other = (write(tmp_path / name, tone(0.1, RATE_HZ)) for name in ("a.wav", "b.wav"))
    held = library.get(path, PCMU)
    library.close()
    assert await library.load(path, PCMU) is held
    with pytest.raises(RuntimeError):
        await library.load(other, PCMU)
    assert library.get(other, PCMU).samples == 800

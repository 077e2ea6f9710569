"""Packs: the same content is the same bytes, and nothing comes out of one that was not put in."""

from __future__ import annotations

import contextlib
import json
import struct
import zipfile

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringwheel.cli.main import run_command
from ringwheel.robot.script.compiler import check_file, load_script
from ringwheel.robot.script.model import FilePrompt
from ringwheel.robot.script.pack import MANIFEST, texts_of, write_pack
from ringwheel.robot.script.problems import ScriptError
from ringwheel.robot.speech.engines.engine import EngineFailed

SCRIPT = """\
ringwheel: 1
prompts: sounds
steps:
  - say: [{file: hello.wav, text: Hello}, How are you?]
  - ask:
      into: mood
      prompt: {text: Well?, voice: anna}
      answer: {grammar: mood.grxml}
      retries: {then: [hang_up: done]}
  - hang_up: {cause: done, say: "Goodbye, ${mood}."}
"""
GRAMMAR = """\
<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en" root="mood">
  <rule id="mood"><one-of><item>good</item><item>bad</item></one-of></rule>
</grammar>
"""


@pytest.fixture
def source(tmp_path):
    """A script with a sound file and a grammar."""
    folder = tmp_path / "script"
    (folder / "sounds").mkdir(parents=True)
    (folder / "sounds" / "hello.wav").write_bytes(b"RIFF hello")
    (folder / "mood.grxml").write_text(GRAMMAR)
    (folder / "mood.yaml").write_text(SCRIPT)
    return folder / "mood.yaml"


@pytest.fixture
def pack(source, tmp_path):
    """It as a pack."""
    write_pack(check_file(source), source, tmp_path / "packed.rwpack", {})
    return tmp_path / "packed.rwpack"


def test_a_pack_is_loaded_like_the_script(source, pack, tmp_path):
    of_file, of_pack = load_script(source), load_script(pack, tmp_path / "cache")
    assert (of_pack.hash, of_pack.name) == (of_file.hash, "mood")
    assert of_pack.steps == of_file.steps
    sound = of_pack.steps["main.0"].prompts[0]
    assert isinstance(sound, FilePrompt)
    path = f"{of_pack.base}/{sound.path.constant}"
    with open(path, "rb") as file:  # noqa: PTH123
        assert file.read() == b"RIFF hello"


def test_the_same_content_is_the_same_pack(source, pack, tmp_path):
    again = tmp_path / "again.rwpack"
    one = write_pack(check_file(source), source, again, {})
    assert again.read_bytes() == pack.read_bytes()
    (source.parent / "sounds" / "hello.wav").write_bytes(b"RIFF hallo")
    assert write_pack(check_file(source), source, again, {}) != one


def test_texts_that_were_spoken_beforehand_are_played(source, tmp_path):
    compiled = check_file(source)
    said = texts_of(compiled.script)
    assert [(text.text, text.voice) for text in said] == [("How are you?", ""), ("Well?", "anna")]
    target = tmp_path / "mood.rwpack"
    write_pack(compiled, source, target, dict.fromkeys(said, b"RIFF spoken"))
    script = load_script(target, tmp_path / "cache")
    played = [*script.steps["main.0"].prompts, *script.steps["main.1"].prompts]
    assert [prompt.text.source for prompt in played] == ["Hello", "How are you?", "Well?"]
    with open(played[2].path.constant, "rb") as file:  # noqa: PTH123
        assert file.read() == b"RIFF spoken"
    assert not isinstance(script.steps["main.2"].prompts[0], FilePrompt)


def test_what_was_changed_in_the_cache_is_put_right(pack, tmp_path):
    base = load_script(pack, tmp_path / "cache").base
    (tmp_path / "cache" / base / "hello.wav").write_bytes(b"RIFF other")
    load_script(pack, tmp_path / "cache")
    assert (tmp_path / "cache" / base / "hello.wav").read_bytes() == b"RIFF hello"


def repacked(pack, change, stored=zipfile.ZIP_STORED):
    """The pack with its members changed: a mapping of names to bytes."""
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(pack, "w", stored) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def add_outside(members):
    members["../evil.yaml"] = b"evil"


def add_unlisted(members):
    members["more.wav"] = b"more"


def change_sound(members):
    members["sounds/hello.wav"] = b"RIFF other"


def change_hash(members):
    manifest = json.loads(members[MANIFEST])
    manifest["hash"] = "../../evil"
    members[MANIFEST] = json.dumps(manifest).encode()


def change_manifest(members):
    members[MANIFEST] = b"[" * 100_000


def leave_out_manifest(members):
    del members[MANIFEST]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (add_outside, "lies outside of it"),
        (add_unlisted, "other files than its manifest"),
        (change_sound, "is not what it was when it was packed"),
        (change_hash, "its hash is not that of its files"),
        (change_manifest, "its manifest is no JSON"),
        (leave_out_manifest, "its members are not those of a pack"),
    ],
)
def test_a_pack_that_was_tampered_with_is_refused(pack, tmp_path, change, cause):
    repacked(pack, change)
    with pytest.raises(ScriptError, match=cause):
        load_script(pack, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_bomb_is_refused(pack, tmp_path):
    repacked(
        pack, lambda members: members.update({"zeros.wav": bytes(1 << 20)}), zipfile.ZIP_DEFLATED
    )
    with pytest.raises(ScriptError, match="is not stored plainly"):
        load_script(pack, tmp_path / "cache")


def archive(entries, name_bytes, said=None):
    """An archive of empty members, which says of itself that it has ``said``."""
    name = b"x" * name_bytes
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", name_bytes) + bytes(16) + name
    directory = entry * entries
    said = entries if said is None else said
    end = struct.pack("<4s4xHHIIH", b"PK\x05\x06", said, said, len(directory), 4, 0)
    return b"PK\x03\x04" + directory + end


def larger_form(data):
    """An archive with the place of an end of the larger form (zip64) before its own."""
    return data[:-22] + b"PK\x06\x07" + bytes(16) + data[-22:]


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (archive(20_000, 8), "more than 10000 files"),
        (archive(10_000, 1_100), "more than 10000 files, or their names are too long"),
        (archive(20_000, 8, said=3), "other entries than it says"),
        (larger_form(archive(3, 8)), "does not end as a pack does"),
        (archive(3, 8)[:-2] + b"\x01\x00!", "does not end as a pack does"),
        (b"PK\x03\x04", "it is too short"),
    ],
)
def test_what_no_pack_can_be_is_refused_before_its_directory_is_read(
    data, cause, tmp_path, monkeypatch
):
    def read(*_):
        raise AssertionError("its directory is read")

    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", read)
    path = tmp_path / "hostile.rwpack"
    path.write_bytes(data)
    with pytest.raises(ScriptError, match=cause):
        load_script(path, tmp_path / "cache")


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 2_000), st.integers(0, 255), st.integers(0, 50))
def test_random_damage_raises_nothing_but_script_errors(pack, tmp_path, at, byte, cut):
    whole = pack.read_bytes()
    damaged = bytearray(whole[: len(whole) - cut])
    damaged[min(at, len(damaged) - 1)] = byte
    path = tmp_path / "damaged.rwpack"
    path.write_bytes(damaged)
    with contextlib.suppress(ScriptError):
        found = load_script(path, tmp_path / "cache")
        assert found.hash == load_script(pack, tmp_path / "cache").hash


class TestCommand:
    def test_a_script_is_packed_and_checked(self, source, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        target = tmp_path / "out.rwpack"
        assert run_command(["script", "pack", str(source), "-o", str(target)]) == 0
        assert f"{target}: 3 files" in capsys.readouterr().out
        assert run_command(["script", "check", str(target)]) == 0
        assert f"{target} is good." in capsys.readouterr().out

    def test_a_script_with_an_error_is_not_packed(self, source, tmp_path, capsys):
        source.write_text(SCRIPT.replace("hello.wav", "none.wav"))
        target = tmp_path / "out.rwpack"
        assert run_command(["script", "pack", str(source), "-o", str(target)]) == 1
        assert "error[missing-prompt]" in capsys.readouterr().out
        assert not target.exists()

    def test_sound_files_elsewhere_are_told(self, source, tmp_path, capsys):
        (tmp_path / "hello.wav").write_bytes(b"RIFF")
        source.write_text(SCRIPT.replace("prompts: sounds", "prompts: .."))
        assert run_command(["script", "pack", str(source), "-o", str(tmp_path / "x")]) == 2
        assert "lies outside of the script's folder" in capsys.readouterr().err

    def test_a_place_that_cannot_be_written_is_named(self, source, tmp_path, capsys):
        for target, cause in ((tmp_path / "none" / "out", "No such file"), (tmp_path, "Is a dir")):
            assert run_command(["script", "pack", str(source), "-o", str(target)]) == 2
            assert f"ringwheel: {target}: {cause}" in capsys.readouterr().err

    def test_a_pack_is_not_packed_again(self, pack, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert run_command(["script", "pack", str(pack), "-o", str(tmp_path / "x")]) == 2
        assert "is a pack already" in capsys.readouterr().err

    def test_texts_are_spoken_beforehand(self, source, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr("ringwheel.cli.script.make_engine", lambda *_: Beeper())
        target = tmp_path / "out.rwpack"
        command = ["script", "pack", str(source), "-o", str(target), "--render", "beeper"]
        assert run_command(command) == 0
        assert f"{target}: 5 files" in capsys.readouterr().out
        played = load_script(target).steps["main.1"].prompts[0]
        samples, rate_hz = soundfile.read(played.path.constant, dtype="int16")
        assert (rate_hz, len(samples)) == (8_000, 8 * len("Well?"))
        first = target.read_bytes()
        assert run_command(command) == 0
        assert target.read_bytes() == first

    def test_an_engine_that_cannot_speak_it_is_told(self, source, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        source.write_text(SCRIPT.replace("ringwheel: 1", "ringwheel: 1\nlocale: en-GB"))
        monkeypatch.setattr("ringwheel.cli.script.make_engine", lambda *_: Beeper("en"))
        target = tmp_path / "out.rwpack"
        command = ["script", "pack", str(source), "-o", str(target), "--render", "beeper"]
        assert run_command(command) == 1
        assert "--render beeper: “How are you?”: it does not speak en-GB" in capsys.readouterr().err
        assert not target.exists()


class Beeper:
    """A synthesizer that needs eight samples for each letter, and knows one language."""

    name = "beeper"
    sample_rate_hz = 8_000

    def __init__(self, locale="en"):
        self.locale = locale

    async def check(self, utterance):
        if utterance.locale != self.locale:
            raise EngineFailed("language", f"it does not speak {utterance.locale}")

    async def synthesize(self, utterance):
        yield np.ones(8 * len(utterance.text), np.int16)

"""The documents say what is there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import ringwheel
import typer.main
from ringwheel.cli.config import ServeConfig, load_config
from ringwheel.cli.main import app
from ringwheel.media._core import Shard
from ringwheel.media.engine import CodecOrder, Srtp
from ringwheel.media.events import Silence
from ringwheel.media.pool import RtpSockets, RtpSource
from ringwheel.media.sip.counters import Count
from ringwheel.media.sip.tls import VerifyClient
from ringwheel.media.sip.transport import TransportCounts
from ringwheel.robot.speech.stream.wire import PeerBargeIn

ROOT = Path(__file__).resolve().parents[2]
DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def blocks(language):
    """(file, text) of every fenced block in that language."""
    for file in DOCS:
        for text in re.findall(rf"```{language}\n(.*?)```", file.read_text("utf-8"), re.DOTALL):
            yield file, text


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_links_lead_somewhere(file):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text("utf-8")):
        assert (file.parent / target).exists(), target


def test_command_lines_are_taken():
    lines = [
        line.partition("#")[0].strip()
        for _, text in blocks("sh")
        for line in text.splitlines()
        if line.startswith("ringwheel ")
    ]
    assert lines
    for line in lines:
        command, words = typer.main.get_command(app), shlex.split(line)[1:]
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        flags = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= flags, line


def test_python_blocks_use_names_that_exist():
    found = list(blocks("python"))
    assert found
    for _, text in found:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = {"ringwheel": ringwheel, "call": ringwheel.Call, "engine": ringwheel.Engine}
                if node.value.id in owner:
                    assert hasattr(owner[node.value.id], node.attr), node.attr


def test_configuration_examples_are_taken(tmp_path):
    texts = [text for _, text in blocks("toml")]
    assert texts
    for text in texts:
        (tmp_path / "serve.toml").write_text(text)
        assert load_config(tmp_path / "serve.toml") != ServeConfig()


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        ("codec_order", CodecOrder),
        ("tls_verify_client", VerifyClient),
        ("rtp_sockets", RtpSockets),
        ("rtp_source", RtpSource),
        ("silence", Silence),
        ("srtp", Srtp),
        ("stream_barge_in", PeerBargeIn),
    ],
)
def test_the_example_of_the_configuration_has_all_choices(key, choices):
    text = (ROOT / "examples" / "ringwheel.toml").read_text("utf-8")
    line = re.search(rf"^(?:# )?{key} = .*", text, re.MULTILINE)
    assert line and set(re.findall(r'"([a-z-]+)"', line[0])) == set(get_args(choices))


def test_every_counter_is_explained():
    explained = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "operating.md").read_text("utf-8")))
    counters = set(Shard(1).counters()) | set(TransportCounts().as_dict())
    counters |= {count.name.lower() for count in Count}
    assert not counters - explained


def test_functions_named_in_the_architecture_exist():
    named = set(re.findall(r"`(\w+)\(\)`", (ROOT / "ARCHITECTURE.md").read_text("utf-8")))
    assert named
    sources = "".join(
        file.read_text("utf-8")
        for pattern in ("csrc/*/*.[ch]", "media/**/*.p*", "robot/**/*.py", "bench/*.py", "cli/*.py")
        for file in ROOT.glob(pattern)
        if file.suffix in (".c", ".h", ".py", ".pxi", ".pyx")
    )
    missing = {name for name in named if not re.search(rf"\b{name}\(", sources)}
    assert not missing

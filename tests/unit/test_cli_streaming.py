"""The agent of a configuration: its keys, and what is said of them."""

from __future__ import annotations

import pytest
from ringwheel.cli import serve
from ringwheel.cli.config import ServeConfig, load_config, override
from ringwheel.cli.errors import CommandError
from ringwheel.cli.main import run_command
from ringwheel.cli.streaming import make_streamer, stream_speech
from ringwheel.robot.speech.stream import StreamTotals
from ringwheel.robot.speech.stream.speech import StreamSpeech
from ringwheel.robot.speech.stream.wire import StreamFailed, read_address


def configured(tmp_path, *lines: str):
    path = tmp_path / "serve.toml"
    path.write_text("\n".join(lines))
    return path


def test_an_agent_in_a_file(tmp_path):
    path = configured(
        tmp_path,
        'stream = "wss://agent.example/talk"',
        "stream_max_s = 90",
        'stream_barge_in = "speech"',
        'stream_token_env = "AGENT_TOKEN"',
    )
    assert load_config(path) == ServeConfig(
        stream="wss://agent.example/talk",
        stream_max_s=90.0,
        stream_barge_in="speech",
        stream_token_env="AGENT_TOKEN",
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"stream": "https://agent.example"}, "--stream: the URL's scheme is 'https'"),
        ({"stream_max_s": 0.0}, "--stream-max"),
        ({"stream_barge_in": "dtmf"}, "--stream-barge-in"),
        ({"stream": "ws://agent", "prompts": ["a.wav"]}, "either prompts or an agent"),
    ],
)
def test_what_makes_no_sense_is_told(flags, words):
    with pytest.raises(CommandError, match=words):
        override(ServeConfig(), flags)


@pytest.mark.parametrize(
    ("flags", "asked", "made"),
    [
        ({}, "off", "off"),
        ({}, "medium", "medium"),
        ({"stream_barge_in": "speech"}, "off", "medium"),
    ],
)
def test_callers_are_heard_where_a_prompt_or_an_agent_may_be_interrupted(
    monkeypatch, flags, asked, made
):
    monkeypatch.setattr(serve, "Engine", lambda _sip, **options: options)
    config = ServeConfig(stream="ws://agent.example", **flags)
    assert serve.make_engine(config, voice=asked)["voice"] == made


def test_what_is_shown_of_an_agent_has_no_secrets(tmp_path, capsys):
    path = configured(tmp_path, 'stream = "wss://ada:s3cret@agent.example/talk?key=s3cret"')
    assert run_command(["config", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert 'stream = "wss://agent.example:443/talk"' in shown
    assert "s3cret" not in shown


def test_a_token_that_is_not_there(monkeypatch):
    monkeypatch.delenv("AGENT_TOKEN", raising=False)
    config = ServeConfig(stream="ws://agent.example", stream_token_env="AGENT_TOKEN")
    totals = StreamTotals()
    for make in (
        lambda: make_streamer(config, lambda _: None, totals),
        lambda: stream_speech(config),
    ):
        with pytest.raises(CommandError, match="AGENT_TOKEN"):
            make()


def test_who_speaks_where_a_script_says_stream():
    assert stream_speech(ServeConfig()) == {}
    made = stream_speech(ServeConfig(stream="ws://agent.example"))
    assert isinstance(made["stream"], StreamSpeech)
    with pytest.raises(CommandError, match="ws://"):
        stream_speech(ServeConfig(stream="audiosocket+tcp://agent.example:9092"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://agent/", "ws://agent:80/"),
        ("WSS://Agent:8443/a/b?x=1", "wss://agent:8443/a/b"),
        ("ws://u:p@[::1]:9000", "ws://[::1]:9000"),
        ("audiosocket+tcp://192.0.2.7:9092?rate=16000", "audiosocket+tcp://192.0.2.7:9092"),
    ],
)
def test_where_a_url_leads(url, shown):
    assert read_address(url).shown == shown
    assert "u:p" not in repr(read_address(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ws:",
        "ws://[::1",
        "ws://a:99999",
        "ws://a#b",
        "ws://ä",
        "ws://a\n",
        "ws://" + "a" * 3000,
    ],
)
def test_a_url_that_leads_nowhere(url):
    with pytest.raises(StreamFailed) as raised:
        read_address(url)
    assert raised.value.kind == "request"

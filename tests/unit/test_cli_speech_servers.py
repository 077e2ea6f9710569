"""The speech servers of a configuration: what is read, every error by its key, shown as it is."""

from __future__ import annotations

import pytest
from ringwheel.cli.config import check_config, load_config
from ringwheel.cli.errors import CommandError
from ringwheel.cli.main import run_command
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpOptions

WHOLE = """
[speech]
open_s = 6
response_s = 2.5
idle_s = 30
tls_ca = "ca.pem"

[speech.server.main]
uri = "sip:speech.example.com:5060"
transport = "tls"
codecs = "pcma"
max_sessions = 50
keep = 2
ready = 1
parameters = { "com.example.model" = "telephone line" }

[speech.server.spare]
uri = "sip:192.0.2.9"
priority = 2
weight = 3
share = false
"""


def write(folder, text):
    path = folder / "ringwheel.toml"
    path.write_text(text)
    return path


def problems_of(folder, text):
    _, problems = check_config(write(folder, text))
    return [f"{problem}. {problem.remedy}" for problem in problems]


def test_two_servers(tmp_path):
    options = load_config(write(tmp_path, WHOLE)).speech
    assert options.servers == (
        MrcpServer(
            "sip:speech.example.com:5060",
            "main",
            "tls",
            codecs=("pcma",),
            max_sessions=50,
            keep=2,
            ready=1,
            parameters=(("com.example.model", "telephone line"),),
        ),
        MrcpServer("sip:192.0.2.9", "spare", priority=2, weight=3, share=False),
    )
    assert (options.pool.open_s, options.pool.idle_s) == (6.0, 30.0)
    assert options.sessions.response_ms == 2_500
    assert options.tls.ca == tmp_path / "ca.pem"


def test_what_is_not_written_has_its_default(tmp_path):
    text = "[speech.server.local]\nuri = 'sip:127.0.0.1:5070'"
    options = load_config(write(tmp_path, text)).speech
    assert options == MrcpOptions((MrcpServer("sip:127.0.0.1:5070", "local"),))


def test_without_the_table_there_are_none(tmp_path):
    assert load_config(write(tmp_path, "")).speech is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("speech = 1", "speech: 1 is not a table. Write [speech] above its keys"),
        ("[speech]", "speech.server: there are 0 servers. Write [speech.server.NAME]"),
        ("[speech.server]\nuri = 'sip:x'", "speech.server: a speech server is a table with a name"),
        ("[speech.server.a]", "speech.server.a: it has no uri. Add uri ="),
        ("[speech.server.a]\nuri = 'http://x'", "speech.server.a.uri: 'http://x' is no SIP URI"),
        ("[speech.server.a]\nuri = 'sip:x'\nweight = 0", "speech.server.a.weight: 0 is not"),
        ("[speech.server.a]\nuri = 'sip:x'\nmax_sesions = 1", "Did you mean 'max_sessions'?"),
        (
            "[speech.server.a]\nuri = 'sip:x'\nmax_sessions = 2\nkeep = 3",
            "speech.server.a.keep: 3. Use 0 to 2",
        ),
        ("[speech.server.a]\nuri = 'sip:x'\ncodecs = 'mp3'", "speech.server.a.codecs: "),
        ("[speech]\nopen_s = 0\n[speech.server.a]\nuri = 'sip:x'", "speech.open_s: 0 is not"),
        (
            "[speech]\ntls_cert = 'a'\n[speech.server.a]\nuri = 'sip:x'",
            "speech: TLS needs a certificate and its key. Name both",
        ),
        (
            "[speech.server.a]\nuri = 'sip:x'\nparameters = { 'a b' = '1' }",
            "speech.server.a: a parameter name that cannot be sent: 'a b'",
        ),
    ],
)
def test_every_mistake_is_told_by_its_key(tmp_path, text, told):
    problems = problems_of(tmp_path, text)
    assert len(problems) == 1 and told in problems[0]
    with pytest.raises(CommandError, match="configuration"):
        load_config(write(tmp_path, text))


def test_what_is_shown_can_be_read_back(tmp_path, capsys):
    path = write(tmp_path, WHOLE)
    assert run_command(["config", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    again = tmp_path / "shown.toml"
    again.write_text(shown)
    assert load_config(again).speech == load_config(path).speech

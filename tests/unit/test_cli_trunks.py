"""Trunks and the gate in a configuration: what is read, every error by its key, secrets masked."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from ringwheel.cli import access, config, speech_servers, trunks
from ringwheel.cli.config import check_config, load_config, override
from ringwheel.cli.errors import CommandError
from ringwheel.cli.main import run_command
from ringwheel.cli.reload import gate_rules
from ringwheel.media.sip.digest import Algorithm
from ringwheel.media.trunk import CallerRules, HeaderRules, Peer, Registration, Trunk, TrunkLimits

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ringwheel.toml"
SECRET = "correct-horse-battery"


def write(folder, text, **files):
    """A configuration, and files of secrets beside it."""
    for name, content in files.items():
        path = folder / name
        path.write_text(content)
        path.chmod(0o600)
    path = folder / "ringwheel.toml"
    path.write_text(text)
    return path


def problems_of(folder, text, **files):
    _, problems = check_config(write(folder, text, **files))
    return [f"{problem}. {problem.remedy}" for problem in problems]


def ha1(password=SECRET, hash_of=hashlib.md5):
    return hash_of(f"alice:ringwheel:{password}".encode()).hexdigest()


def test_a_whole_trunk(tmp_path):
    text = """
[trunk.carrier]
peers = ["sbc.example.com", { address = "tls:192.0.2.2:5061", priority = 1, weight = 3 }]
domain = "example.com"
user = "me"
password-file = "secret"
codecs = "PCMA,pcmu"
srtp = "required"
channels = 30
calls_per_s = 2
burst_calls = 3
sources = ["192.0.2.0/24"]
options_interval_s = 0
peer_timeout_s = 2.5
failover_statuses = [503]
[trunk.carrier.registration]
expires_s = 300
[trunk.carrier.caller]
default = "100"
privacy = "id"
called_prefixes = { "+44" = "0" }
[trunk.carrier.headers]
copy = { "X-A" = "X-B" }
remove = ["X-C"]
add = { "X-D" = "{trunk}" }
"""
    assert load_config(write(tmp_path, text, secret=f"{SECRET}\n")).trunks == (
        Trunk(
            "carrier",
            (Peer("sbc.example.com"), Peer("192.0.2.2", 5061, "TLS", 1, 3)),
            domain="example.com",
            user="me",
            password=SECRET,
            registration=Registration("me", expires_s=300),
            codecs=("pcma", "pcmu"),
            srtp="required",
            limits=TrunkLimits(30, 2.0, 3),
            caller=CallerRules(default="100", privacy="id", called_prefixes=(("+44", "0"),)),
            headers=HeaderRules((("X-A", "X-B"),), ("X-C",), (("X-D", "{trunk}"),)),
            sources=("192.0.2.0/24",),
            options_interval_s=0.0,
            peer_timeout_s=2.5,
            failover_statuses=(503,),
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trunk = 1", "trunk: a trunk is a table with a name. Write [trunk.NAME]"),
        ("[trunk]\npeers = ['a']", "trunk: a trunk is a table with a name"),
        ("[trunk.t]\npeer = ['a']", "trunk.t: 'peer' is not a key. Did you mean 'peers'?"),
        ("[trunk.t]\npeers = []", "trunk.t: neither peers to call nor sources that call. Name one"),
        ("[trunk.t]\npeers = ['192.0.2']", "trunk.t.peers: peer: '192.0.2' is neither"),
        ("[trunk.t]\npeers = [{ uri = 'a' }]", "trunk.t.peers: 'uri' is not a key. Keys are"),
        ("[trunk.t]\npeers = [{ weight = 1 }]", "a peer has no address. Write { address ="),
        ("[trunk.t]\npeers = [1]", "trunk.t.peers: 1 is not a table"),
        ("[trunk.t]\npeers = 'a'\npassword = 'x'", "No secret stands in this file"),
        ("[trunk.t]\npeers = 'a'\nuser = 'u'", "go together. There is no password"),
        (
            "[trunk.t]\npeers = 'a'\nuser = 'u'\npassword_env = 'RW_ABSENT'",
            "trunk.t.password_env: the environment has no RW_ABSENT. Set it",
        ),
        (
            "[trunk.t]\npeers = 'a'\nuser = 'u'\npassword_file = 'absent'",
            "absent cannot be read: No such file or directory. Check the path",
        ),
        (
            "[trunk.t]\npeers = 'a'\npassword_env = 'A'\npassword_file = 'b'",
            "there is a password_file too. Keep one",
        ),
        ("[trunk.t]\npeers = 'a'\nchannels = 0", "trunk.t.channels: 0 is not a whole number"),
        ("[trunk.t]\npeers = 'a'\nsources = '192.0.2.1/24'", "write 192.0.2.0/24"),
        ("[trunk.t]\npeers = 'a'\nfailover_statuses = 503", "is not a list of SIP statuses"),
        ("[trunk.t]\npeers = 'a'\ncaller = 1", "trunk.t.caller: 1 is not a table"),
        ("[trunk.t.caller]\nform_uri = 'sip:a'", "trunk.t.caller: 'form_uri' is not a key. Did"),
        ("[trunk.t.caller]\nfrom_uri = '{x}'", "there is no {x}. Use one of {caller}"),
        ("[trunk.t.headers]\nremove = ['Via']", "trunk.t.headers: headers: Via belongs"),
        ("[trunk.t.headers]\nadd = ['X']", "trunk.t.headers.add: ['X'] is not a table of texts"),
        ("[trunk.T]\npeers = 'a'\n[trunk.t]\npeers = 'b'", "another trunk has this name"),
        ("[gate]\nallow = ['192.0.2.1/24']", "gate.allow: '192.0.2.1/24' has bits behind its mask"),
        ("[gate]\nallow = ['example.com']", "gate.allow: 'example.com' is no network"),
        ("[gate]\nstranger = 'drop'", "gate: 'stranger' is not a key. Did you mean 'strangers'?"),
        ("[gate]\nstrangers = 'challenge'", "gate.strangers: strangers are challenged where"),
        ("[gate]\nstrangers = 'ban'", "'ban' is not one of: open, drop, 403, challenge"),
        ("[gate]\nusers = 'absent'", "gate.users: "),
        ("gate = 3", "gate: 3 is not a table. Write [gate]"),
        ("gates = 3", "'gates' is not a key. Did you mean 'gate'?"),
    ],
)
def test_errors_name_the_key(tmp_path, text, words):
    found = problems_of(tmp_path, text)
    assert any(words in problem for problem in found), found
    with pytest.raises(CommandError) as caught:
        load_config(tmp_path / "ringwheel.toml")
    assert "\n" not in str(caught.value)


def test_secrets_in_files_are_guarded(tmp_path):
    text = "[trunk.t]\npeers = 'a'\nuser = 'u'\npassword_file = 'secret'"
    path = write(tmp_path, text, secret=SECRET)
    (tmp_path / "secret").chmod(0o640)
    assert load_config(path).trunks[0].password == SECRET
    for mode in (0o644, 0o660, 0o602):
        (tmp_path / "secret").chmod(mode)
        (problem,) = check_config(path)[1]
        assert "is open to others than its owner" in problem.cause
        assert problem.remedy == f"Run chmod 600 {tmp_path / 'secret'}"
    for content, words in ((b"\n", "is empty"), (b"\xff\xfe", "no text"), (b"x" * 5_000, "larger")):
        (tmp_path / "secret").write_bytes(content)
        (tmp_path / "secret").chmod(0o600)
        (problem,) = check_config(path)[1]
        assert words in problem.cause
    (tmp_path / "secret").unlink()
    (tmp_path / "secret").mkdir()
    (problem,) = check_config(path)[1]
    assert "Is a directory" in problem.cause


def test_users_of_a_file(tmp_path):
    lines = f"# ours\n\nalice:ringwheel:{ha1()}\nbob:other:{ha1()}\n"
    lines += f"alice:ringwheel:{ha1(hash_of=hashlib.sha256)}\n"
    rules = load_config(write(tmp_path, "[gate]\nusers = 'users'", users=lines)).gate
    assert rules.policy == "challenge"
    assert rules.users is not None
    assert rules.users("alice", Algorithm.MD5) == ha1()
    assert rules.users("alice", Algorithm.SHA_256) == ha1(hash_of=hashlib.sha256)
    assert rules.users("bob", Algorithm.MD5) is None
    assert rules.algorithms == (Algorithm.SHA_256, Algorithm.MD5)
    one_kind = f"{lines}bob:ringwheel:{ha1()}\n"
    rules = load_config(write(tmp_path, "[gate]\nusers = 'users'", users=one_kind)).gate
    assert rules.algorithms == (Algorithm.MD5,)
    neither = f"alice:ringwheel:{ha1()}\nbob:ringwheel:{ha1(hash_of=hashlib.sha256)}\n"
    (problem,) = problems_of(tmp_path, "[gate]\nusers = 'users'", users=neither)
    assert "neither MD5 nor SHA-256 for all users. Give each the same kind" in problem
    assert ha1() not in repr(rules) + repr(rules.users)
    (problem,) = problems_of(tmp_path, "[gate]\nusers = 'users'", users="alice:secretly\n")
    assert "users, line 1: write USER:REALM:HASH" in problem
    assert "secretly" not in problem
    (problem,) = problems_of(tmp_path, "[gate]\nusers = 'users'\nrealm = 'x'", users=lines)
    assert "has no user of the realm 'x'" in problem


def test_flags_go_over_the_gate(tmp_path):
    settled = load_config(write(tmp_path, "[gate]\nallow = ['192.0.2.1']\nban_after = 3"))
    assert override(settled, {"strangers": "403"}).gate.policy == "403"
    over = override(settled, {"allow": ["10.0.0.0/8", "::1"]}).gate
    assert (over.allow, over.ban_after) == (("10.0.0.0/8", "::1"), 3)
    with pytest.raises(CommandError, match=r"^--allow: 'x' is no network"):
        override(settled, {"allow": ["x"]})
    with pytest.raises(CommandError, match=r"^--users: .* cannot be read"):
        override(settled, {"users": str(tmp_path / "absent")})
    with pytest.raises(CommandError, match=r"^--strangers: strangers are challenged where"):
        override(settled, {"strangers": "challenge"})


def test_sources_of_trunks_are_let_in(tmp_path):
    text = "[trunk.a]\npeers = ['192.0.2.1', 'example.com']\n[trunk.b]\nsources = ['10.0.0.0/8']"
    rules = gate_rules(load_config(write(tmp_path, text)))
    assert rules.trunks == (("a", ("192.0.2.1",)), ("b", ("10.0.0.0/8",)))
    assert rules.policy == "drop"


def check(capsys, *arguments):
    status = run_command(["config", *arguments])
    return status, capsys.readouterr().out


def test_config_check_lists_everything(tmp_path, capsys):
    path = write(tmp_path, "loop = 1\nshards = 0\n[trunk.t]\npeers = 3\n[gate]\nban_s = 'x'")
    status, shown = check(capsys, "check", str(path))
    assert status == 2
    keys = ["trunk.t.peers", "gate.ban_s", "loop", "shards"]
    assert [line.removeprefix(f"{path}: ").split(":")[0] for line in shown.splitlines()] == keys
    status, shown = check(capsys, "check", str(path), "--json")
    assert status == 2
    told = json.loads(shown)
    assert [problem["key"] for problem in told["problems"]] == keys
    assert told["good"] is False
    with pytest.raises(CommandError, match=r"3 more: ringwheel config check"):
        load_config(path)
    status, shown = check(capsys, "check", str(write(tmp_path, "loop = true")))
    assert (status, shown) == (
        0,
        f"{path} is good: listens on udp:127.0.0.1:5060; no trunks; everybody is served.\n",
    )


def test_config_check_tells_what_a_start_would_miss(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("AGENT_TOKEN", raising=False)
    lines = ['tls_cert = "none.pem"', 'tls_key = "none.key"', 'prompts = ["none.wav"]']
    path = write(tmp_path, "\n".join([*lines, 'stream_token_env = "AGENT_TOKEN"']))
    status, shown = check(capsys, "check", str(path))
    assert status == 2
    assert shown.splitlines() == [
        f"{path}: prompts: there is no file {tmp_path / 'none.wav'}. Check the path.",
        f"{path}: stream_token_env: the environment has no AGENT_TOKEN. Set it where ringwheel is "
        "started.",
        f"{path}: TLS file {tmp_path / 'none.pem'}: No such file or directory. Check the path and "
        "its permissions.",
    ]


def test_config_check_ends_its_sentences_once(tmp_path, capsys):
    path = write(tmp_path, "loops = true")
    _, shown = check(capsys, "check", str(path))
    assert shown == f"{path}: 'loops' is not a key. Did you mean 'loop'?\n"


def test_the_example_is_good_and_names_every_key(tmp_path, monkeypatch):
    shutil.copy(EXAMPLE, tmp_path)
    users = tmp_path / "users.htdigest"
    users.write_text(f"alice:ringwheel:{ha1()}\n")
    users.chmod(0o600)
    monkeypatch.setenv("CARRIER_PASSWORD", SECRET)
    settled = load_config(tmp_path / "ringwheel.toml")
    assert [trunk.name for trunk in settled.trunks] == ["carrier", "sbc"]
    named = set(re.findall(r"^(?:# )?\[?([a-z_.]+)", EXAMPLE.read_text(), re.MULTILINE))
    named |= {name.rpartition(".")[2] for name in named}
    elsewhere = {"password_file", "user", "domain", "server"}
    speech = speech_servers._SPEECH | speech_servers._SERVER
    trunk = trunks._TRUNK | trunks._CALLER | trunks._HEADERS
    for checks in (config.CHECKS, access.CHECKS, trunk, speech):
        assert set(checks) - elsewhere <= named, set(checks) - named


def test_config_show_is_toml_without_secrets(tmp_path, capsys, monkeypatch):
    shutil.copy(EXAMPLE, tmp_path)
    users = tmp_path / "users.htdigest"
    users.write_text(f"alice:ringwheel:{ha1()}\n")
    users.chmod(0o600)
    monkeypatch.setenv("CARRIER_PASSWORD", SECRET)
    path = str(tmp_path / "ringwheel.toml")
    status, shown = check(capsys, "show", path)
    assert status == 0
    values = tomllib.loads(shown)
    assert values == json.loads(check(capsys, "show", path, "--json")[1])
    assert values["trunk"]["carrier"]["password"] == "***"
    assert values["trunk"]["carrier"]["caller"]["called_prefixes"] == {"+44": "0", "+": "00"}
    assert values["gate"]["users"] == "***"
    assert values["gate"]["strangers"] == "challenge"
    assert SECRET not in shown
    assert ha1() not in shown
    assert SECRET not in repr(load_config(tmp_path / "ringwheel.toml"))

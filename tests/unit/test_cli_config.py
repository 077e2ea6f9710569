"""The configuration of `serve`: a file, flags over it, and errors that name key and reason."""

from pathlib import Path

import pytest
from ringwheel.cli.config import (
    ServeConfig,
    load_config,
    override,
    rtp_call_capacity,
    tls_of,
)
from ringwheel.cli.errors import CommandError
from ringwheel.media.sip.tls import TlsConfig

FULL = """
prompts = ["welcome.wav", "/var/menu.flac"]
loop = true
sip = ["udp:192.0.2.1:5060", "udp:[2001:db8::1]:5060"]
codecs = ["PCMA"]
rtp-ports = "30000-30099"
advertise = "198.51.100.1"
shards = 2
realtime = true
max_calls = 50
rtp_sockets = "shared"
silence = "send"
media_timeout_ms = 30000
per_source_rate = 200
sip-gather-ms = 0
drain_s = 2.5
"""


def load(tmp_path: Path, text: str) -> ServeConfig:
    path = tmp_path / "serve.toml"
    path.write_text(text)
    return load_config(path)


def test_every_key(tmp_path):
    assert load(tmp_path, FULL) == ServeConfig(
        prompts=(tmp_path / "welcome.wav", Path("/var/menu.flac")),
        loop=True,
        sip=("udp:192.0.2.1:5060", "udp:[2001:db8::1]:5060"),
        codecs=("pcma",),
        rtp_ports=(30000, 30099),
        advertise="198.51.100.1",
        shards=2,
        realtime=True,
        max_calls=50,
        rtp_sockets="shared",
        silence="send",
        media_timeout_ms=30_000,
        per_source_rate=200.0,
        sip_gather_ms=0,
        drain_s=2.5,
    )


def test_an_empty_file_means_the_defaults(tmp_path):
    assert load(tmp_path, "") == ServeConfig()


def test_flags_override_the_file(tmp_path):
    config = override(
        load(tmp_path, FULL),
        {"prompts": ["other.wav"], "codecs": "G722,L16-16k,pcmu", "loop": None, "shards": 1},
    )
    assert config.prompts == (Path("other.wav"),)
    assert config.codecs == ("g722", "l16-16k", "pcmu")
    assert ServeConfig().codecs == ("pcmu", "pcma")
    assert (config.loop, config.shards, config.max_calls) == (True, 1, 50)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("max_call = 5", "'max_call' is not a key. Did you mean 'max_calls'?"),
        ("zzz = 5", "'zzz' is not a key. Keys are: prompts, loop"),
        ("prompts = []", "prompts: [] is not a list of texts"),
        ("prompts = [1]", "prompts: 1 is not a text"),
        ('sip = ""', "sip: the text is empty"),
        ("loop = 1", "loop: 1 is neither true nor false"),
        ('sip = "sctp:127.0.0.1:5060"', "sip: sctp:127.0.0.1:5060: write it as udp:HOST:PORT"),
        ('sip = "udp:localhost:5060"', "sip: udp:localhost:5060: localhost is no numeric address"),
        ('sip = "udp:127.0.0.1:99999"', "99999 is no port"),
        ('sip = "udp:127.0.0.1:5060,udp:127.0.0.1:5060"', "stands there twice"),
        ('codecs = "gsm"', "codecs: there is no codec 'gsm'; use one of: pcmu, pcma, g722"),
        ('codec_order = "mine"', "codec_order: 'mine' is not one of: caller, own"),
        ('rtp_ports = "20000"', "rtp_ports: '20000' is not a range such as 20000-40000"),
        ('rtp_ports = "1-20"', "not a range within 1024-65535"),
        ("rtp_ports = [30000, 20000]", "not a range within 1024-65535"),
        ('advertise = "example.org"', "advertise: 'example.org' is not an IP address"),
        ('tls_verify_client = "never"', "'never' is not one of: off, optional, required"),
        ('sip = ["tcp:127.0.0.1:1", "tcp:127.0.0.1:1=h"]', "same listener stands there twice"),
        ("shards = 0", "shards: 0 is not a whole number from 1 to 64"),
        ("shards = true", "shards: True is not a whole number"),
        ("max_calls = 1.5", "max_calls: 1.5 is not a whole number"),
        ('rtp_sockets = "both"', "rtp_sockets: 'both' is not one of: per-leg, shared"),
        ("silence = 0", "silence: 0 is not one of: stop, send, comfort-noise"),
        ("media_timeout_ms = 999", "media_timeout_ms: 999 is too short; use 0 for never, or 1000"),
        ("media_timeout_ms = 1e9", "media_timeout_ms: 1000000000.0 is not a whole number from 0"),
        ("per_source_rate = nan", "per_source_rate: nan is not a number from 0.1"),
        ("sip_gather_ms = 101", "sip_gather_ms: 101 is not a whole number from 0 to 100"),
        ('drain_s = "soon"', "drain_s: 'soon' is not a number"),
        ("drain_s = inf", "drain_s: inf is not a number from 0 to 86400"),
        ("max_calls = 10001", "enough for 10,000 calls, not 10,001"),
        ("shards =", "is not TOML"),
    ],
)
def test_errors_name_key_and_reason(tmp_path, line, words):
    with pytest.raises(CommandError) as caught:
        load(tmp_path, line)
    text = str(caught.value)
    assert words in text
    assert text.startswith(f"configuration {tmp_path / 'serve.toml'}") or "RTP ports" in text
    assert "\n" not in text
    assert caught.value.status == 2


def test_flag_errors_name_the_flag():
    for key, flag in {
        "drain_s": "--drain",
        "codecs": "--codec",
        "rtp_ports": "--rtp-ports",
        "sip_gather_ms": "--sip-gather-ms",
    }.items():
        with pytest.raises(CommandError, match=f"^{flag}: "):
            override(ServeConfig(), {key: "?"})


def test_files_that_cannot_be_read(tmp_path):
    for path, words in (
        (tmp_path / "absent.toml", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(CommandError, match=f"cannot be read: {words}"):
            load_config(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="is not TOML"):
        load_config(tmp_path / "binary.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(CommandError, match="larger than 1 MiB"):
        load_config(tmp_path / "big.toml")


@pytest.mark.parametrize(
    ("rtp_ports", "calls"),
    [((20000, 40000), 10000), ((20000, 20001), 1), ((20001, 20003), 1), ((20001, 20004), 1)],
)
def test_a_call_takes_an_even_port_and_the_next(rtp_ports, calls):
    low, high = rtp_ports
    assert rtp_call_capacity(rtp_ports) == calls
    assert calls == sum(port + 1 <= high for port in range(low, high + 1) if port % 2 == 0)


def test_files_of_tls_are_relative_to_the_configuration(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text(
        'sip = ["udp:0.0.0.0:5060=203.0.113.5", "tls:[::]:5061"]\n'
        'tls_cert = "a.crt"\ntls_key = "/keys/a.key"\ntls_ca = "ca.pem"\n'
        'tls_verify_client = "optional"\n'
    )
    config = load_config(file)
    assert tls_of(config) == TlsConfig(
        tmp_path / "a.crt", Path("/keys/a.key"), tmp_path / "ca.pem", "optional"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('sip = "tls:127.0.0.1:5061"', "tls:127.0.0.1:5061 has no certificate to show. Name its"),
        ('tls_cert = "a.pem"', "TLS needs a certificate and its key. Name both: --tls-cert"),
        ('tls_verify_client = "required"', "without authorities. Name their file: --tls-cert"),
    ],
)
def test_files_of_tls_that_are_missing(tmp_path, line, words):
    with pytest.raises(CommandError) as caught:
        load(tmp_path, line)
    assert words in str(caught.value)

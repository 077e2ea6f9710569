"""`ringwheel speech`: what is wrong is said in one line."""

import pytest
from ringwheel.cli.main import run_command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers 0. Take 1 to 64."),
        (["--rtp-ports", "some"], "--rtp-ports: 'some' is not a range such as"),
        (["--rtp-ports", "9-3"], "--rtp-ports: '9-3' is not a range within"),
        (["--rtp-ports=-5"], "--rtp-ports: '-5' is not a range within"),
        (["--records", "/nowhere/at/all"], "no such directory. Make it first."),
        (["--mrcp", "none"], "needs a listener for control connections"),
        (["--mrcp", "localhost"], "udp:HOST:PORT"),
        (["--mrcp-tls", "127.0.0.1:0"], "MRCP over TLS needs a certificate"),
        (["--synthesizer", "hal"], "no 'hal' among the synthesizers; there are: espeak-ng"),
    ],
)
def test_what_is_wrong(arguments, said, capsys):
    assert run_command(["speech", "--sip", "udp:127.0.0.1:0", *arguments]) == 2
    line = capsys.readouterr().err
    assert said in line and line.startswith("ringwheel: ")

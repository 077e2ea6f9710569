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
        (["--mrcp", "none"], "for control connections; name one by --mrcp or --mrcp-tls."),
        (["--mrcp", "localhost"], "--mrcp localhost: no address to listen at. Write it as HOST:"),
        (["--mrcp-tls", "[::1"], "--mrcp-tls [::1: no address to listen at. Write it as HOST:"),
        (["--mrcp-tls", "127.0.0.1:0"], "a certificate and its key; name them by --tls-cert and"),
        (["--sip", "udp:127.0.0.1"], "--sip: udp:127.0.0.1: write it as udp:HOST:PORT"),
        (["--http", "high"], "--http: high: write it as PORT, HOST:PORT or"),
        (["--advertise", "here"], "--advertise: 'here' is not an IP address."),
        (["--drain=-1"], "--drain: -1.0 is not a number from 0 to 86400."),
        (["--max-sessions", "0"], "'--max-sessions': Input should be greater than or equal to 1."),
        (["--synthesizer", "hal"], "no 'hal' among the synthesizers; there are: espeak-ng"),
    ],
)
def test_what_is_wrong(arguments, said, capsys):
    assert run_command(["speech", "--sip", "udp:127.0.0.1:0", *arguments]) == 2
    line = capsys.readouterr().err
    assert said in line and line.startswith("ringwheel: ")

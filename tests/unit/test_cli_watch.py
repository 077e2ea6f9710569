"""`ringwheel status`: what is said of two looks at an engine; and `remote`, which asks for them."""

import copy
import http.server
import json
import threading
from io import StringIO

import pytest
from rich.console import Console
from ringwheel.cli.main import run_command
from ringwheel.cli.watch import board

LATENESS = {"count": 1000, "p50": 60, "p99": 170, "p999": 7_940, "max": 9_000}
BEFORE = {
    "version": "9.9",
    "pid": 4711,
    "time_s": 100.0,
    "up_s": 93_784.0,
    "listeners": ["udp:192.0.2.1:5060"],
    "draining": False,
    "calls_up": 12,
    "calls_limit": 4000,
    "speech_sessions": 3,
    "speech_sessions_limit": 400,
    "calls_by_state": {"confirmed": 11, "ringing": 1, "ended": 0},
    "outcomes": {"answered": 3, "busy": 2, "no-answer": 0},
    "transactions": 40,
    "dialogs": 12,
    "unreadable": {"start_line": 4, "nul": 0},
    "sip": {
        "requests": 100,
        "responses": 10,
        "retransmissions_sent": 5,
        "retransmissions_absorbed": 6,
        "calls_offered": 50,
        "calls_dialled": 0,
        "calls_answered": 40,
        "calls_ended_local": 10,
        "calls_ended_remote": 20,
        "calls_ended_error": 0,
        "refused_max_calls": 7,
        "refused_rate": 0,
        **{f"rejected_{n}": n for n in range(10, 17)},
    },
    "media": {
        "packets_sent": 1000,
        "packets_received": 500,
        "packets_skipped": 2,
        "received_stale": 3,
        "receive_failed": 0,
    },
    "loop_lag_worst_ms": 3.25,
    "memory_bytes": 80 * 2**20,
    "trunks": [
        {
            "name": "carrier",
            "up": True,
            "channels": 7,
            "channels_limit": 30,
            "placed": 100,
            "answered": 60,
            "failed_over": 4,
            "congested": 2,
            "received": 5,
            "refused": 1,
            "registration": "registered",
            "registration_cause": "",
            "peers": [
                {"up": True, "trouble": "", "addresses": []},
                {"up": False, "trouble": "", "addresses": []},
            ],
        },
        {
            "name": "spare",
            "up": False,
            "channels": 0,
            "channels_limit": None,
            "placed": 0,
            "answered": 0,
            "failed_over": 0,
            "congested": 0,
            "received": 0,
            "refused": 0,
            "registration": "",
            "registration_cause": "",
            "peers": [
                {
                    "up": False,
                    "trouble": "",
                    "addresses": [
                        {"address": "udp:192.0.2.9:5060", "cause": "no answer to OPTIONS"}
                    ],
                }
            ],
        },
    ],
    "shards": [{"legs": 600, "lateness_us": LATENESS}, {"legs": 1, "lateness_us": LATENESS}],
}


def later(**changes):
    now = copy.deepcopy(BEFORE)
    now["time_s"] += 2.0
    now["sip"]["requests"] += 100
    now["sip"]["calls_offered"] += 3
    now["media"]["packets_sent"] += 60_000
    return now | changes


def drawn(now) -> str:
    out = StringIO()
    Console(file=out, width=120).print(board(BEFORE, now, "http://x:1"))
    return " ".join(out.getvalue().split())


def test_the_board_says_rates_reasons_and_shards():
    text = drawn(later())
    for said in (
        "ringwheel 9.9 serving up 1 d 2 h, pid 4711",
        "sip udp:192.0.2.1:5060 · http://x:1",
        "12 of 4,000 up (11 confirmed, 1 ringing)",
        "speech sessions 3 of 400",
        "1.5 begun, 0 answered, 0 ended, each second",
        "3 answered, 2 busy",
        "50 requests, 0 responses received a second; 40 transactions, 12 dialogs held",
        "retransmissions: 5 sent, 6 received",
        "16 rejected 16, 15 rejected 15, 14 rejected 14, 13 rejected 13, 12 rejected 12, "
        "28 for other reasons",
        "4 start line",
        "30,000 packets a second sent, 0 received; 2 skipped",
        "3 received stale",
        "80 MiB, event loop 3.2 ms late at worst in 10 s",
        "0 600 1,000 0.06 ms 0.17 ms 7.94 ms 9.00 ms",
        "carrier registered 1 of 2 7 of 30 100 60 4 1",
        "spare down: no answer to OPTIONS 0 of 1 0 0 0 0 0",
    ):
        assert said in text, text


def test_an_engine_that_drains_and_one_that_was_started_again():
    assert "draining" in drawn(later(draining=True))
    assert "0 begun" in drawn(later(time_s=100.0))


class Page(http.server.BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_GET(self):
        self.send_response(type(self).status)
        self.end_headers()
        self.wfile.write(type(self).body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def page():
    """Serves one page; returns a function that says which, and the URL."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def show(body, status=200):
        Page.status, Page.body = status, body
        return f"http://127.0.0.1:{server.server_port}"

    yield show
    server.shutdown()
    thread.join()
    server.server_close()


def test_json_is_what_the_engine_says(page, capsys):
    url = page(json.dumps(BEFORE).encode())
    assert run_command(["status", "--url", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == BEFORE


@pytest.mark.parametrize(
    ("body", "status", "line", "code"),
    [
        (b"<html>", 200, "is no engine of Ringwheel. Check --url.", 2),
        (b"{}", 200, "is no engine of Ringwheel. Check --url.", 2),
        (b"[]", 200, "is no engine of Ringwheel. Check --url.", 2),
        (b"go away", 403, "refused: 403 go away.", 1),
    ],
)
def test_whoever_answers_otherwise(page, capsys, body, status, line, code):
    assert run_command(["status", "--url", page(body, status)]) == code
    error = capsys.readouterr().err
    assert error.endswith(line + "\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line", "code"),
    [
        (["status", "--url", "http://127.0.0.1:9"], "nobody answers at http://127.0.0.1:9", 1),
        (["trace", "--url", "http://127.0.0.1:9"], "nobody answers at http://127.0.0.1:9", 1),
        (["status", "--url", "file:///etc/passwd"], "no web address", 2),
        (["status", "--url", "http://[bad"], "no web address", 2),
        (["trace", "--pcap", "x.pcap"], "there is no CALL-ID", 2),
    ],
)
def test_nobody_to_ask(capsys, arguments, line, code):
    assert run_command(arguments) == code
    assert line in capsys.readouterr().err


def test_a_call_without_messages(page, capsys):
    assert run_command(["trace", "x", "--url", page(b'{"messages": [], "left_out": 0}')]) == 1
    assert "there are no messages of call x" in capsys.readouterr().err


def test_no_calls_yet(page, capsys):
    assert run_command(["trace", "--url", page(b'{"calls": []}')]) == 0
    assert capsys.readouterr().out == "no call has left messages yet\n"


@pytest.mark.parametrize("command", ["status", "trace"])
def test_help_has_examples(capsys, command):
    assert run_command([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert f"ringwheel {command}" in out

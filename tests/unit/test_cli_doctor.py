"""`ringwheel doctor` on machines laid out in a folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from ringwheel.cli import doctor
from ringwheel.cli.doctor import Status, Wanted, examine, judge_lateness, worst
from ringwheel.cli.machine import Machine, TickLateness
from ringwheel.cli.main import run_command
from ringwheel.media import _core
from ringwheel.media.codec import CODECS, OPUS
from ringwheel.media.huge_pages import SYSTEM_SWITCH

STREAMS = [codec for codec in CODECS if codec.label != OPUS]

GOOD = {
    "proc/sys/net/core/rmem_max": "16777216\n",
    "proc/sys/net/core/wmem_max": "16777216\n",
    "proc/sys/net/ipv4/ip_local_port_range": "40001\t60999\n",
    "proc/sys/net/ipv4/ip_local_reserved_ports": "\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/fs/cgroup/cpu.max": "max 100000\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
}


@dataclass(frozen=True, slots=True)
class FakeMachine(Machine):
    """A machine whose kernel answers are given, and whose files lie in a folder."""

    cores: int = 4  # type: ignore[assignment]
    open_files: tuple[int, int] = (20_000, 20_000)  # type: ignore[assignment]
    clock_resolution_ns: int = 1  # type: ignore[assignment]
    refused: tuple[str, ...] = ()
    io_uring: str | None = None
    real_time_allowed: bool = True  # type: ignore[assignment]

    def missing_system_calls(self):
        return list(self.refused)

    def io_uring_error(self):
        return self.io_uring

    def tick_lateness(self, ticks=1000):
        return TickLateness(60, 200, 900)


def lay_out(root: Path, **changes: str | None) -> Path:
    """The good machine's files, with some of them (by file name) changed or left out."""
    for path, good in GOOD.items():
        text = changes.get(Path(path).name.replace(".", "_"), good)
        if text is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return root


def finding(name: str, machine: Machine, wanted: Wanted | None = None):
    return next(f for f in examine(machine, wanted or Wanted()) if f.name == name)


@pytest.fixture(autouse=True)
def complete_build(monkeypatch):
    """A build that found every library, whatever this one found."""
    monkeypatch.setattr(_core, "SRTP_AVAILABLE", True)
    monkeypatch.setattr(doctor, "CODECS", [*STREAMS, SimpleNamespace(label=OPUS)])
    monkeypatch.delenv("RINGWHEEL_HUGE_PAGES", raising=False)


def test_a_good_machine_has_nothing_to_change(tmp_path):
    findings = examine(FakeMachine(lay_out(tmp_path)), Wanted())
    assert [(f.name, f.change) for f in findings if f.status is not Status.OK] == []
    assert [f.change for f in findings] == len(findings) * [""]


def test_codecs_are_named_by_what_the_command_line_takes(tmp_path):
    row = finding("codecs", FakeMachine(lay_out(tmp_path)))
    assert (row.status, row.found) == (Status.OK, "pcmu, pcma, g722, l16-8k, l16-16k, opus")


def test_a_build_without_opus_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "CODECS", STREAMS)
    row = finding("codecs", FakeMachine(lay_out(tmp_path)))
    assert row.status is Status.WARN
    assert row.found == "pcmu, pcma, g722, l16-8k, l16-16k; built without libopus"
    assert row.change.startswith("apt-get install libopus-dev")


def test_small_buffers_get_the_exact_command(tmp_path):
    row = finding("socket buffers", FakeMachine(lay_out(tmp_path, rmem_max="212992")))
    assert (row.status, row.change) == (Status.WARN, "sysctl -w net.core.rmem_max=4194304")


@pytest.mark.parametrize(
    ("own", "reserved", "status", "change"),
    [
        ("40001 60999", "", Status.OK, ""),
        ("32768 60999", "20000-40000", Status.OK, ""),
        ("32768 60999", "32768-36000,36001-40000", Status.OK, ""),
        ("32768 60999", "", Status.WARN, "=20000-40000"),
        ("32768 60999", "8080,32768-39999", Status.WARN, "=8080,32768-39999,20000-40000"),
        ("nonsense", "", Status.WARN, "compare net.ipv4.ip_local_port_range yourself"),
    ],
)
def test_local_ports_against_rtp_ports(tmp_path, own, reserved, status, change):
    files = lay_out(tmp_path, ip_local_port_range=own, ip_local_reserved_ports=reserved)
    row = finding("local ports", FakeMachine(files))
    assert row.status is status
    assert row.change.endswith(change)
    if change.startswith("="):
        assert row.change.startswith("sysctl -w net.ipv4.ip_local_reserved_ports=")


@pytest.mark.parametrize(
    ("limits", "status", "change"),
    [
        ((4_100, 4_100), Status.OK, ""),
        ((-1, -1), Status.OK, ""),
        ((1_024, 20_000), Status.FAIL, "ulimit -n 4100"),
        ((1_024, -1), Status.FAIL, "ulimit -n 4100"),
        ((1_024, 4_096), Status.FAIL, "systemd: LimitNOFILE=4100; docker: --ulimit nofile=4100"),
    ],
)
def test_open_files(tmp_path, limits, status, change):
    machine = FakeMachine(lay_out(tmp_path), open_files=limits)
    row = finding("open files", machine, Wanted(max_calls=4000))
    assert (row.status, row.change) == (status, change)


def test_too_few_ports_fail(tmp_path):
    wanted = Wanted(max_calls=1000, rtp_ports=(20000, 20099))
    row = finding("RTP ports", FakeMachine(lay_out(tmp_path)), wanted)
    assert row.status is Status.FAIL
    assert "50 calls" in row.found


def test_cores(tmp_path):
    limited = finding("cores", FakeMachine(lay_out(tmp_path, cpu_max="150000 100000")))
    assert (limited.status, "1.5" in limited.found) == (Status.WARN, True)
    assert finding("cores", FakeMachine(lay_out(tmp_path), cores=1)).status is Status.WARN
    wide = finding("cores", FakeMachine(lay_out(tmp_path, cpu_max="800000 100000")))
    assert wide.status is Status.OK


def test_kernel_and_io_uring(tmp_path):
    files = lay_out(tmp_path)
    row = finding("kernel", FakeMachine(files, refused=("epoll_pwait2",)))
    assert row.status is Status.WARN
    row = finding("kernel", FakeMachine(files, refused=("sendmmsg", "epoll_pwait2")))
    assert row.status is Status.FAIL
    row = finding("io_uring", FakeMachine(files, io_uring="Operation not permitted"))
    assert (row.status, row.found) == (Status.WARN, "operation not permitted")
    assert "sandbox" in row.change
    (tmp_path / "proc/sys/kernel").mkdir()
    (tmp_path / "proc/sys/kernel/io_uring_disabled").write_text("2\n")
    row = finding("io_uring", FakeMachine(files, io_uring="Operation not permitted"))
    assert row.change.startswith("sysctl -w kernel.io_uring_disabled=0")


@pytest.mark.parametrize(
    ("available", "found", "change"),
    [(True, "libsrtp2", ""), (False, "", "apt-get install libsrtp2-dev and build again (no SRTP")],
)
def test_a_build_without_srtp_says_so(tmp_path, monkeypatch, available, found, change):
    monkeypatch.setattr(_core, "SRTP_AVAILABLE", available)
    row = finding("libraries", FakeMachine(lay_out(tmp_path)))
    assert ("libsrtp2" in row.found) == bool(found)
    assert change in row.change
    if change:
        assert row.status is Status.WARN


def test_real_time(tmp_path):
    row = finding("real time", FakeMachine(lay_out(tmp_path)))
    assert (row.status, row.found) == (Status.OK, "allowed: --realtime")
    row = finding("real time", FakeMachine(lay_out(tmp_path), real_time_allowed=False))
    assert row.status is Status.OK
    assert "ulimit -r 1" in row.found


def test_clock(tmp_path):
    slow = finding("clock", FakeMachine(lay_out(tmp_path, current_clocksource="hpet")))
    assert (slow.status, "clocksource=tsc" in slow.change) == (Status.WARN, True)
    coarse = FakeMachine(lay_out(tmp_path), clock_resolution_ns=4_000_000)
    assert finding("clock", coarse).status is Status.FAIL


@pytest.mark.parametrize(
    ("enabled", "switch", "found", "change"),
    [
        ("always [madvise] never", None, "madvise, used for Python's objects", ""),
        ("[always] madvise never", "1", "always, used for Python's objects", ""),
        (
            "always madvise [never]",
            None,
            "never",
            f"echo madvise > {SYSTEM_SWITCH} (SIP costs more CPU without)",
        ),
        (
            "always [madvise] never",
            "0",
            "madvise, but switched off",
            "unset RINGWHEEL_HUGE_PAGES (SIP costs more CPU without)",
        ),
        (
            None,
            None,
            "unknown to this kernel",
            "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE: SIP costs more CPU without",
        ),
    ],
)
def test_huge_pages(tmp_path, monkeypatch, enabled, switch, found, change):
    if switch is not None:
        monkeypatch.setenv("RINGWHEEL_HUGE_PAGES", switch)
    row = finding("huge pages", FakeMachine(lay_out(tmp_path, enabled=enabled)))
    assert (row.found, row.change) == (found, change)
    assert row.status is (Status.WARN if change else Status.OK)


@pytest.mark.parametrize(
    ("p99_us", "status"), [(999, Status.OK), (1_000, Status.WARN), (5_000, Status.FAIL)]
)
def test_late_wake_ups(p99_us, status):
    assert judge_lateness(TickLateness(50, p99_us, 9_000)).status is status


def test_a_machine_without_these_files_is_unknown_and_not_a_crash(tmp_path):
    findings = examine(FakeMachine(tmp_path), Wanted())
    assert worst(findings) is Status.WARN
    assert any("unknown" in f.found for f in findings)


def test_the_real_machine_answers_everything():
    machine = Machine()
    assert machine.cores >= 1
    assert machine.clock_resolution_ns > 0
    assert machine.open_files[0] != 0
    assert set(machine.missing_system_calls()) <= {"recvmmsg", "sendmmsg", "epoll_pwait2"}
    late = machine.tick_lateness(ticks=20)
    assert 0 <= late.p50_us <= late.p99_us <= late.max_us


def test_the_command_prints_json_and_fails_with_the_machine(tmp_path, monkeypatch, capsys):
    good = FakeMachine(lay_out(tmp_path))
    monkeypatch.setattr(doctor, "Machine", lambda: good)
    assert run_command(["doctor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["status"] == "ok"
    assert {row["name"] for row in shown["findings"]} >= {"cores", "open files", "RTP ports"}
    assert run_command(["doctor", "--max-calls", "50000"]) == 1
    out = capsys.readouterr().out
    assert "systemd: LimitNOFILE=50100; docker: --ulimit nofile=50100" in out

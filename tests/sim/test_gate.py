"""The gate: who gets service, who gets 403, 401 or nothing, and that nothing is kept for them."""

from __future__ import annotations

import pytest
import structlog
from ringwheel.media.sip.digest import (
    Algorithm,
    Credentials,
    DigestClient,
    challenges_of,
    lookup_of,
)
from ringwheel.media.sip.gate import GateRules, warn_if_open
from ringwheel.media.sip.message import Request, parse

US = "10.0.0.2"
STRANGER = "203.0.113.9"
USERS = lookup_of([Credentials("alice", "open sesame")], "ringwheel")


class Guarded:
    """One agent behind a gate, and any number of sources made of text."""

    def __init__(self, world, **rules):
        self.net = world.Net()
        self.sip = world.sip
        self.handler = world.Recorder()
        self.agent = self.net.agent(US, self.handler)
        self.gate = self.agent.guard(GateRules(**rules))
        self.calls = 0

    def message(self, method="INVITE", *lines, number=None, to="<sip:u@ua>", **fields):
        self.calls += number is None
        number = number or self.calls
        return self.sip(
            f"{method} sip:u@ua",
            *lines,
            Via=fields.pop("Via", f"SIP/2.0/UDP peer;branch=z9hG4bKx{number};rport"),
            Call_ID=f"call{number}",
            To=to,
            body=b"v=0" if method == "INVITE" else b"",
            **fields,
        )

    def datagram(self, data, host=STRANGER):
        """As the edge does it; the statuses that came back."""
        before = len(self.net.packets)
        if self.gate.admits(data, host):
            self.net.receive(US, host, data)
        return [p.message.status for p in self.net.packets[before:] if hasattr(p.message, "status")]

    def ask(self, method="INVITE", *lines, host=STRANGER, **fields):
        return self.datagram(self.message(method, *lines, **fields), host)

    def counted(self, *names):
        counters = self.agent.counters.as_dict()
        return [counters[name] for name in names]

    def kept(self):
        return len(self.agent.transactions), self.agent.dialogs, self.agent.calls

    def signed(self, credentials, answer_to, number, **changes):
        """The request again, with credentials for the challenge in a response."""
        client = DigestClient(credentials, lambda: "c0ffee")
        challenge = challenges_of(answer_to)[0]
        client.take(401, challenge)
        request = parse(self.message(number=number, CSeq="2 INVITE"))
        assert isinstance(request, Request)
        client.sign(request)
        value = request.headers.get("Authorization")
        for old, new in changes.items():
            value = value.replace(old, new)
        via = f"SIP/2.0/UDP peer;branch=z9hG4bKy{number};rport"
        return self.message(
            "INVITE", f"Authorization: {value}", number=number, CSeq="2 INVITE", Via=via
        )


@pytest.mark.parametrize(
    ("rules", "policy"),
    [
        ({}, "open"),
        ({"allow": ("192.0.2.0/24",)}, "drop"),
        ({"trunks": (("t", ()),)}, "drop"),
        ({"users": USERS}, "challenge"),
        ({"strangers": "403"}, "403"),
        ({"allow": ("192.0.2.1",), "strangers": "open"}, "open"),
    ],
)
def test_what_becomes_of_strangers_where_nothing_is_said(rules, policy):
    assert GateRules(**rules).policy == policy


@pytest.mark.parametrize(
    "rules",
    [
        {"allow": ("192.0.2.1/24",)},
        {"strangers": "maybe"},
        {"strangers": "challenge"},
        {"users": USERS, "strangers": "drop"},
        {"ban_s": 0},
        {"ban_after": -1},
    ],
)
def test_rules_that_cannot_be(rules):
    with pytest.raises(ValueError):
        GateRules(**rules)


def test_who_is_allowed_is_served_and_strangers_hear_nothing(world):
    guarded = Guarded(world, allow=("192.0.2.0/24", "2001:db8::/32"))
    assert guarded.ask(host="192.0.2.7") == [200]
    assert guarded.ask(host="2001:db8::5") == [200]
    kept = guarded.kept()
    for host in (STRANGER, "192.0.3.7", "2001:db9::5", "fe80::1", "not an address"):
        for method in ("INVITE", "OPTIONS", "REGISTER", "ACK", "CANCEL", "BYE"):
            assert guarded.ask(method, host=host) == []
        assert guarded.datagram(b"\x00" * 100, host) == []
    assert guarded.kept() == kept
    assert guarded.counted("dropped_strangers") == [35]


def test_a_stranger_over_a_stream_hears_nothing_either(world):
    guarded = Guarded(world, allow=("192.0.2.0/24",))
    assert not guarded.gate.admits_connection(STRANGER)
    assert guarded.gate.admits_connection("192.0.2.1")
    guarded.net.receive(US, STRANGER, guarded.message())  # past the look at datagrams
    assert guarded.net.packets == []
    assert guarded.kept() == (0, 0, 0)
    assert guarded.counted("dropped_strangers") == [2]


def test_the_trunk_of_a_source(world):
    guarded = Guarded(
        world,
        allow=("10.0.0.0/8",),
        trunks=(("one", ("192.0.2.0/24",)), ("two", ("192.0.2.7", "10.9.0.0/16"))),
    )
    gate = guarded.gate
    hosts = ("192.0.2.1", "192.0.2.7", "10.9.1.1", "10.1.1.1", STRANGER)
    assert [gate.trunk_of(host) for host in hosts] == ["one", "two", "two", None, None]
    assert guarded.ask(host=STRANGER) == []
    gate.set_peers("one", [STRANGER])
    assert gate.trunk_of(STRANGER) == "one"
    assert guarded.ask(host=STRANGER) == [200]
    gate.set_peers("one", [])
    assert guarded.ask(host=STRANGER) == []
    gate.set_peers("one", [STRANGER])
    gate.reload(GateRules(allow=("10.0.0.0/8",)))
    assert gate.trunk_of(STRANGER) is None
    assert guarded.ask(host=STRANGER) == []


def test_403_is_given_without_a_transaction_and_the_same_again(world):
    guarded = Guarded(world, strangers="403")
    for _ in range(2):
        assert guarded.ask(number=7) == [403]
    first, again = (packet.message for packet in guarded.net.packets)
    assert first.to_bytes() == again.to_bytes()
    assert guarded.ask("ACK", to=first.headers.get("To"), number=7) == []
    assert guarded.kept() == (0, 0, 0)
    assert guarded.handler.events == []
    assert guarded.counted("refused_strangers") == [2]


def test_what_belongs_to_a_call_passes_from_anywhere(world):
    """Without Record-Route a BYE comes from the other side itself, whom nobody has heard of."""
    guarded = Guarded(world, allow=("192.0.2.1",))
    guarded.ask(host="192.0.2.1", number=1)
    to = guarded.net.packets[-1].message.headers.get("To")
    assert guarded.ask("ACK", number=1, to=to) == []
    assert "ack" in guarded.handler.names()
    wrong = to[:-1] + ("0" if to[-1] != "0" else "1")
    assert guarded.ask("BYE", number=1, to=wrong, CSeq="2 BYE") == []
    assert guarded.agent.calls == 1
    assert guarded.ask("BYE", number=1, to=to, CSeq="2 BYE") == [200]
    assert guarded.agent.calls == 0
    assert guarded.ask("BYE", number=1, to=to, CSeq="3 BYE") == []  # the call is over


def test_answers_to_requests_of_ours_pass_from_anywhere(world):
    guarded = Guarded(world, allow=("192.0.2.1",))
    flow = guarded.net.flow("198.51.100.1")
    guarded.agent.dial("sip:p@198.51.100.1", b"v=0", flow, from_uri="sip:u@ua")
    invite = guarded.net.packets[-1].message
    branch = invite.headers.get("Via")

    def answer(via):
        return guarded.sip(
            "SIP/2.0 180 Ringing",
            Via=via,
            From=invite.headers.get("From"),
            To=f"{invite.headers.get('To')};tag=theirs",
            Call_ID=invite.call_id,
            CSeq="1 INVITE",
        )

    guarded.datagram(answer(branch.replace("z9hG4bK", "z9hG4bKno")))
    assert "ringing" not in guarded.handler.names()
    guarded.datagram(answer(branch))
    assert "ringing" in guarded.handler.names()
    assert guarded.counted("dropped_strangers") == [1]


def test_users_prove_themselves_from_wherever_they_are(world):
    guarded = Guarded(world, users=USERS)
    assert guarded.ask(number=1) == [401]
    refusal = guarded.net.packets[-1].message
    assert {c.algorithm for c in challenges_of(refusal)} == {Algorithm.SHA_256}
    assert guarded.kept() == (0, 0, 0)
    guarded.ask("ACK", number=1, to=refusal.headers.get("To"))
    good = guarded.signed(Credentials("alice", "open sesame"), refusal, 1)
    assert guarded.datagram(good) == [200]
    assert guarded.datagram(good) == []  # a retransmission is absorbed, and no replay
    to = guarded.net.packets[-1].message.headers.get("To")
    assert guarded.ask("ACK", number=1, to=to, CSeq="2 ACK") == []
    assert guarded.ask("BYE", number=1, to=to, CSeq="3 BYE") == [200]
    assert guarded.handler.names() == ["invite", "ack", "ended"]
    assert guarded.counted("challenged", "authenticated", "refused_credentials") == [1, 1, 0]


def test_a_user_may_cancel(world):
    guarded = Guarded(world, users=USERS)
    guarded.handler.answer = None
    guarded.ask(number=1)
    guarded.datagram(
        guarded.signed(Credentials("alice", "open sesame"), guarded.net.packets[-1].message, 1)
    )
    via = "SIP/2.0/UDP peer;branch=z9hG4bKy1;rport"
    assert sorted(guarded.ask("CANCEL", number=1, Via=via, CSeq="2 CANCEL")) == [200, 487]


@pytest.mark.parametrize(
    ("credentials", "changes"),
    [
        (Credentials("alice", "open barley"), {}),
        (Credentials("mallory", "open sesame"), {}),
        (Credentials("alice", "open sesame"), {'uri="sip:u@ua"': 'uri="sip:other@ua"'}),
        (Credentials("alice", "open sesame"), {"nc=00000001": "nc=00000002"}),
    ],
)
def test_wrong_credentials_are_refused_and_in_the_end_banned(world, credentials, changes):
    guarded = Guarded(world, users=USERS, ban_after=3, stranger_requests_per_s=1000.0)
    for number in range(1, 4):
        guarded.ask(number=number)
        refusal = guarded.net.packets[-1].message
        assert refusal.status == 401
        assert guarded.datagram(guarded.signed(credentials, refusal, number, **changes)) == [401]
    assert guarded.counted("refused_credentials", "sources_banned") == [3, 1]
    assert guarded.ask() == []
    assert guarded.ask(host="203.0.113.10") == [401]
    guarded.net.run(600_000)
    assert guarded.ask() == [401]
    assert guarded.kept() == (0, 0, 0)


def test_credentials_serve_once(world):
    guarded = Guarded(world, users=USERS)
    guarded.ask(number=1)
    good = guarded.signed(Credentials("alice", "open sesame"), guarded.net.packets[-1].message, 1)
    assert guarded.datagram(good) == [200]
    replayed = good.replace(b"z9hG4bKy1", b"z9hG4bKother")
    assert guarded.datagram(replayed, "203.0.113.66") == [401]
    assert "stale=true" in guarded.net.packets[-1].message.headers.get("WWW-Authenticate")


def test_a_stranger_asks_only_so_often(world):
    guarded = Guarded(world, users=USERS, stranger_requests_per_s=5.0)
    answers = [guarded.ask() for _ in range(50)]
    assert answers.count([401]) == 10
    assert guarded.counted("strangers_too_fast") == [40]
    guarded.net.run(1_000)
    assert [guarded.ask() for _ in range(50)].count([401]) == 5


def test_all_addresses_of_a_64_are_one_stranger(world):
    guarded = Guarded(world, users=USERS, stranger_requests_per_s=5.0)
    answers = [guarded.ask(host=f"2001:db8:0:1::{number:x}") for number in range(1, 51)]
    assert answers.count([401]) == 10
    assert guarded.ask(host="2001:db8:0:2::1") == [401]
    # What shares no customer's prefix: neighbours on a link, and IPv4 as IPv6.
    for network in ("fe80::", "::ffff:203.0.113.", "64:ff9b::203.0.113.", "64:ff9b:1::203.0.113."):
        assert [guarded.ask(host=f"{network}{number}") for number in range(1, 51)] == [[401]] * 50


def test_a_ban_is_of_the_64_whatever_its_addresses_did_before(world):
    guarded = Guarded(world, ban_after=3)
    hosts = [f"2001:db8::{number:x}" for number in range(1, 5)]
    assert [guarded.ask("OPTIONS", host=host) for host in hosts] == [[200]] * 4
    for host in hosts[:3]:
        assert guarded.ask("OPTIONS", "User-Agent: sipcli", host=host) == []
    assert [guarded.ask("OPTIONS", host=host) for host in hosts] == [[]] * 4
    assert guarded.ask("OPTIONS", host="2001:db8:0:1::1") == [200]
    guarded.net.run(600_000)
    assert guarded.ask("OPTIONS", host=hosts[3]) == [200]


def test_who_has_proved_itself_may_be_faster(world):
    guarded = Guarded(world, users=USERS, stranger_requests_per_s=5.0)
    guarded.ask(number=1)
    refusal = guarded.net.packets[-1].message
    guarded.datagram(guarded.signed(Credentials("alice", "open sesame"), refusal, 1))
    assert [guarded.ask() for _ in range(50)].count([401]) == 50
    assert [guarded.ask(host="203.0.113.10") for _ in range(50)].count([401]) == 10
    guarded.net.run(300_000)
    assert [guarded.ask() for _ in range(50)].count([401]) == 10


@pytest.mark.parametrize("agent", ["friendly-scanner", "Mozilla sipCLI/v1.8", "sipvicious"])
def test_scanners_are_dropped_even_where_everybody_may_come(world, agent):
    guarded = Guarded(world, ban_after=3)
    assert guarded.ask("OPTIONS") == [200]
    for _ in range(3):
        assert guarded.ask("OPTIONS", f"User-Agent: {agent}") == []
    assert guarded.counted("dropped_scanners", "sources_banned") == [3, 1]
    assert guarded.ask("OPTIONS") == []
    assert guarded.counted("dropped_banned") == [1]
    guarded.net.run(600_000)
    assert guarded.ask("OPTIONS") == [200]


def test_who_is_known_is_never_banned(world):
    guarded = Guarded(world, allow=("192.0.2.1",), ban_after=1)
    assert guarded.ask("OPTIONS", "User-Agent: sipcli", host="192.0.2.1") == []
    assert guarded.ask("OPTIONS", host="192.0.2.1") == [200]


def test_other_rules_from_now_on(world):
    guarded = Guarded(world, allow=("192.0.2.1",))
    guarded.ask(host="192.0.2.1", number=1)
    to = guarded.net.packets[-1].message.headers.get("To")
    guarded.ask("ACK", host="192.0.2.1", number=1, to=to)
    guarded.agent.guard(GateRules(allow=("192.0.2.2",)))
    assert guarded.ask(host="192.0.2.1") == []
    assert guarded.ask(host="192.0.2.2") == [200]
    assert guarded.ask("BYE", host="192.0.2.1", number=1, to=to, CSeq="2 BYE") == [200]


def test_tables_of_sources_are_bounded(world):
    guarded = Guarded(world, users=USERS, ban_after=1, stranger_requests_per_s=1000.0)
    gate = guarded.gate
    for number in range(5_000):
        guarded.ask("OPTIONS", "User-Agent: sipcli", host=f"203.{number >> 8}.{number & 255}.1")
    assert len(gate._bans) == 4_096
    gate.reload(GateRules(allow=("10.0.0.0/8",)))
    for number in range(70_000):
        gate.admits(b"x", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        gate.admits(b"x", f"203.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(gate._known) <= 65_536
    assert len(gate._strangers) <= 16_384
    assert len(gate._offences._cases) <= 1_024


@pytest.fixture
def logged():
    before = structlog.get_config()
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        yield lines
    structlog.configure(**before)


def test_lines_for_operators_are_few(world, logged):
    guarded = Guarded(world, allow=("192.0.2.1",))
    for number in range(3_000):
        guarded.ask("OPTIONS", host=f"203.0.{number >> 8}.{number & 255}")
        guarded.ask("OPTIONS", host=STRANGER)
    guarded.net.run(1_000)
    lines = [line for line in logged if line["event"] == "sip source rejected"]
    assert len(lines) == 20
    assert lines[1] == {
        "source": STRANGER,
        "reason": "stranger",
        "times": 3_000,
        "detail": "",
        "event": "sip source rejected",
        "log_level": "info",
    }
    (rest,) = [line for line in logged if line["event"] == "sip sources not logged"]
    assert sum(line["times"] for line in lines) + rest["times"] == 6_000
    guarded.net.run(10_000)
    assert len(guarded.net.wheel) == 0


@pytest.mark.parametrize(
    ("rules", "hosts", "warns"),
    [
        (None, ["127.0.0.1", "::1"], False),
        (None, ["127.0.0.1", "192.0.2.1"], True),
        (GateRules(), ["0.0.0.0"], True),
        (GateRules(), ["::"], True),
        (GateRules(allow=("192.0.2.1",)), ["0.0.0.0"], False),
    ],
)
def test_open_doors_are_told(rules, hosts, warns, logged):
    warn_if_open(rules, hosts)
    assert [line["event"] for line in logged] == ["open to everybody"] * warns

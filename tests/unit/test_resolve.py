"""From a URI to addresses (RFC 3263): by a DNS server on loopback that can lie, hang and cut."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections import Counter

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.media.sip.dns_cache import DnsCache, DnsLimits
from ringwheel.media.sip.dns_client import DnsClient, HostsFile
from ringwheel.media.sip.dns_records import Answer, DnsTrouble, Kind, ResolveError, Srv
from ringwheel.media.sip.resolve import Resolver, Target, order_by_weight

ZONE = """
plain.test.             60 IN A     192.0.2.1
plain.test.             60 IN A     192.0.2.2
plain.test.             60 IN AAAA  2001:db8::1
srv.test.               60 IN A     192.0.2.99
_sip._udp.srv.test.     60 IN SRV   20 0 5080 b.srv.test.
_sip._udp.srv.test.     60 IN SRV   10 0 5070 a.srv.test.
_sip._tcp.srv.test.     60 IN SRV   10 0 5071 a.srv.test.
_sips._tcp.srv.test.    60 IN SRV   10 0 5081 a.srv.test.
a.srv.test.             60 IN A     192.0.2.10
b.srv.test.             60 IN A     192.0.2.11
naptr.test.             60 IN NAPTR 10 50 "s" "SIP+D2T" "" _sip._tcp.srv.test.
naptr.test.             60 IN NAPTR 10 60 "s" "SIP+D2U" "" _sip._udp.srv.test.
naptr.test.             60 IN NAPTR 20 10 "s" "SIPS+D2T" "" _sips._tcp.srv.test.
naptr.test.             60 IN NAPTR 5 10 "u" "E2U+sip" "!^.*$!sip:x@evil.test!" .
naptr.test.             60 IN NAPTR 5 10 "s" "SIP+D2S" "" _sip._sctp.srv.test.
closed.test.            60 IN A     192.0.2.98
_sip._udp.closed.test.  60 IN SRV   0 0 0 .
halfdead.test.          60 IN A     192.0.2.97
_sip._udp.halfdead.test. 60 IN SRV  10 0 5060 gone.test.
_sip._udp.halfdead.test. 60 IN SRV  20 0 5060 b.srv.test.
_sip._udp.portless.test. 60 IN SRV  10 0 0 b.srv.test.
multicast.test.         60 IN A     224.0.0.5
mixed.test.             60 IN A     127.0.0.1
mixed.test.             60 IN A     192.0.2.7
mixed.test.             60 IN A     255.255.255.255
forever.test.           2147483647 IN A 192.0.2.20
never.test.             0 IN A      192.0.2.21
alias.test.             60 IN CNAME plain.test.
loop1.test.             60 IN CNAME loop2.test.
loop2.test.             60 IN CNAME loop1.test.
"""


class LyingServer:
    """A DNS server of `ZONE` on loopback, UDP and TCP. ``silent``: it answers nothing;
    ``rcode``: it fails; ``failing``: for these names; ``truncate``: by UDP it says only that there
    is more; ``types`` that hang.
    """

    def __init__(self):
        self.silent = False
        self.truncate = False
        self.rcode = None
        self.hanging = set()
        self.failing = set()
        self.asked = Counter()
        self.rrsets = {}
        for line in ZONE.strip().splitlines():
            name, ttl, _, kind, text = line.split(maxsplit=4)
            key = name, dns.rdatatype.from_text(kind)
            self.rrsets.setdefault(key, (ttl, []))[1].append(text)
        many = [f"10.{n // 250}.{n % 250}.1" for n in range(500)]
        self.rrsets["many.test.", dns.rdatatype.A] = ("60", many)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.udp.bind(("127.0.0.1", 0))
        # Connections of others may still linger on that port.
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(self.udp.getsockname())
        self.tcp.listen()
        self.address = "{}:{}".format(*self.udp.getsockname())
        self._threads = [threading.Thread(target=run) for run in (self._run_udp, self._run_tcp)]
        for thread in self._threads:
            thread.start()

    def close(self):
        for bound in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                bound.shutdown(socket.SHUT_RDWR)
        self.udp.close()
        self.tcp.close()
        for thread in self._threads:
            thread.join()

    def _run_udp(self):
        while True:
            try:
                data, source = self.udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            reply = self._reply(data, udp=True)
            if reply:
                self.udp.sendto(reply, source)

    def _run_tcp(self):
        while True:
            try:
                stream, _ = self.tcp.accept()
            except OSError:
                return
            with stream:
                size = int.from_bytes(stream.recv(2), "big")
                reply = self._reply(stream.recv(size), udp=False)
                if reply:
                    stream.sendall(len(reply).to_bytes(2, "big") + reply)

    def _reply(self, data, *, udp):
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.asked[str(question.name), dns.rdatatype.to_text(question.rdtype)] += 1
        if self.silent or dns.rdatatype.to_text(question.rdtype) in self.hanging:
            return None
        reply = dns.message.make_response(query)
        if self.rcode is not None:
            reply.set_rcode(self.rcode)
        elif str(question.name) in self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif self.truncate and udp:
            reply.flags |= dns.flags.TC
        else:
            self._answer(reply, question)
        return reply.to_wire(max_size=65535)

    def _answer(self, reply, question):
        name, wanted = str(question.name), question.rdtype
        for _ in range(40):
            alias = self.rrsets.get((name, dns.rdatatype.CNAME))
            found = alias or self.rrsets.get((name, wanted))
            if found is None:
                break
            kind = "CNAME" if alias else wanted
            for text in found[1]:  # one by one: a set of several would be shuffled
                rrset = dns.rrset.from_text(name, int(found[0]), "IN", kind, text)
                if not alias or rrset not in reply.answer:
                    reply.answer.append(rrset)
            if not alias:
                break
            name = found[1][0]
        if not reply.answer and name not in {key[0] for key in self.rrsets}:
            reply.set_rcode(dns.rcode.NXDOMAIN)


@pytest.fixture
def server():
    lying = LyingServer()
    yield lying
    lying.close()


class Clock:
    """Seconds that a test lets pass."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


class Dns:
    """A resolver that asks `server`."""

    def __init__(self, server, tmp_path, *, limits=None, timeout_s=1.0, **options):
        self.clock = Clock()
        hosts = tmp_path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n192.0.2.50 Office pbx # ours\nbad line\n")
        self.cache = DnsCache(
            DnsClient([server.address], timeout_s=timeout_s).ask,
            limits,
            hosts=HostsFile(hosts),
            clock=self.clock,
        )
        self.resolver = Resolver(self.cache, source=random.Random(1), **options)

    async def targets(self, uri):
        found = await self.resolver.resolve(uri)
        return [f"{t.transport.lower()}:{t.host}:{t.port}" for t in found]

    async def trouble(self, uri):
        with pytest.raises(ResolveError) as caught:
            await self.resolver.resolve(uri)
        return caught.value.trouble


@pytest.fixture
def lookup(server, tmp_path):
    return Dns(server, tmp_path)


NUMERIC = {
    "sip:a@192.0.2.5": "udp:192.0.2.5:5060",
    "sip:192.0.2.5:5070": "udp:192.0.2.5:5070",
    "sip:a@192.0.2.5;transport=tcp": "tcp:192.0.2.5:5060",
    "sip:a@192.0.2.5;transport=TLS": "tls:192.0.2.5:5061",
    "sips:a@192.0.2.5": "tls:192.0.2.5:5061",
    "sips:a@192.0.2.5:5090;transport=tcp": "tls:192.0.2.5:5090",
    "sip:a@[2001:db8::5]:5070": "udp:2001:db8::5:5070",
    "sip:a@example.test;maddr=192.0.2.6": "udp:192.0.2.6:5060",
    "sip:a@127.0.0.1": "udp:127.0.0.1:5060",
}


@pytest.mark.parametrize("uri", NUMERIC)
async def test_a_numeric_host_asks_nobody(lookup, server, uri):
    assert await lookup.targets(uri) == [NUMERIC[uri]]
    assert not server.asked


NAMED = {
    "sip:a@plain.test:5070": ["udp:192.0.2.1:5070", "udp:192.0.2.2:5070", "udp:2001:db8::1:5070"],
    "sip:a@plain.test": ["udp:192.0.2.1:5060", "udp:192.0.2.2:5060", "udp:2001:db8::1:5060"],
    "sips:a@plain.test": ["tls:192.0.2.1:5061", "tls:192.0.2.2:5061", "tls:2001:db8::1:5061"],
    "sip:a@alias.test:5060": ["udp:192.0.2.1:5060", "udp:192.0.2.2:5060", "udp:2001:db8::1:5060"],
    "sip:a@srv.test": ["udp:192.0.2.10:5070", "udp:192.0.2.11:5080", "tcp:192.0.2.10:5071"],
    "sip:a@srv.test;transport=tcp": ["tcp:192.0.2.10:5071"],
    "sip:a@srv.test;transport=tls": ["tls:192.0.2.10:5081"],
    "sips:a@srv.test": ["tls:192.0.2.10:5081"],
    "sip:a@srv.test:5060": ["udp:192.0.2.99:5060"],
    # The lowest order that applies alone: neither the TLS of 20 nor what is not SIP in 5.
    "sip:a@naptr.test": ["tcp:192.0.2.10:5071", "udp:192.0.2.10:5070", "udp:192.0.2.11:5080"],
    "sips:a@naptr.test": ["tls:192.0.2.10:5081"],
    "sip:a@halfdead.test": ["udp:192.0.2.11:5060"],
    "sip:a@mixed.test": ["udp:192.0.2.7:5060"],
    "sip:a@pbx": ["udp:192.0.2.50:5060"],
    "sip:a@OFFICE": ["udp:192.0.2.50:5060"],
    "sip:a@localhost:5070": ["udp:127.0.0.1:5070"],
}


@pytest.mark.parametrize("uri", NAMED)
async def test_names_lead_where_dns_says(lookup, uri):
    assert await lookup.targets(uri) == NAMED[uri]


TROUBLES = {
    "sip:a@nowhere.test": DnsTrouble.NO_SUCH_NAME,
    "sip:a@closed.test": DnsTrouble.NOT_OFFERED,
    "sip:a@portless.test;transport=udp": DnsTrouble.NOT_OFFERED,
    "sip:a@multicast.test": DnsTrouble.UNUSABLE_ADDRESS,
    "sip:a@224.0.0.1": DnsTrouble.UNUSABLE_ADDRESS,
    "sip:a@0.0.0.0": DnsTrouble.UNUSABLE_ADDRESS,
    "sip:a@255.255.255.255": DnsTrouble.UNUSABLE_ADDRESS,
    "sip:a@[::ffff:192.0.2.1]": DnsTrouble.UNUSABLE_ADDRESS,
    "sip:a@plain.test;maddr=224.0.0.1": DnsTrouble.UNUSABLE_ADDRESS,
    "sip:a@many.test:5060": DnsTrouble.TOO_MANY_RECORDS,
    "sip:a@loop1.test:5060": DnsTrouble.BAD_ANSWER,
    f"sip:a@{'x' * 70}.test": DnsTrouble.BAD_NAME,
    f"sip:a@{'long.' * 60}test": DnsTrouble.BAD_NAME,
    "sips:a@plain.test;transport=udp": DnsTrouble.TRANSPORT,
    "sip:a@plain.test;transport=sctp": DnsTrouble.TRANSPORT,
    "tel:+441234": DnsTrouble.BAD_NAME,
}


@pytest.mark.parametrize("uri", TROUBLES)
async def test_what_leads_nowhere_says_why(lookup, uri):
    assert await lookup.trouble(uri) is TROUBLES[uri]


async def test_only_transports_and_families_that_we_have(server, tmp_path):
    v4 = Dns(server, tmp_path, transports=("UDP",), families=(socket.AF_INET,))
    assert await v4.targets("sip:a@plain.test:5060") == ["udp:192.0.2.1:5060", "udp:192.0.2.2:5060"]
    assert await v4.targets("sip:a@naptr.test") == ["udp:192.0.2.10:5070", "udp:192.0.2.11:5080"]
    assert await v4.trouble("sips:a@plain.test") is DnsTrouble.TRANSPORT
    assert await v4.trouble("sip:a@[2001:db8::1]") is DnsTrouble.NO_ADDRESS
    v6 = Dns(server, tmp_path, families=(socket.AF_INET6,))
    assert await v6.trouble("sip:a@srv.test:5060") is DnsTrouble.NO_ADDRESS


async def test_the_name_of_a_target_is_what_a_certificate_must_be_for(lookup):
    (target, *_) = await lookup.resolver.resolve("sips:a@naptr.test")
    assert target == Target("192.0.2.10", 5081, "TLS", "naptr.test")


async def test_an_answer_that_was_cut_is_asked_for_by_tcp(lookup, server):
    server.truncate = True
    assert await lookup.targets("sip:a@srv.test:5060") == ["udp:192.0.2.99:5060"]


async def test_a_server_that_knows_no_naptr_costs_nothing_but_time(server, tmp_path):
    server.hanging = {"NAPTR"}
    lookup = Dns(server, tmp_path, timeout_s=0.2)
    assert await lookup.targets("sip:a@plain.test") == NAMED["sip:a@plain.test"]


async def test_no_server_at_all(monkeypatch):
    def fail(*_, **__):
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", fail)
    with pytest.raises(ResolveError, match=r"no DNS server is configured \(see /etc/resolv.conf\)"):
        await DnsClient().ask("plain.test", Kind.A)


@pytest.mark.parametrize("text", ["dns.example.com", "192.0.2.1:x", "", ":53"])
def test_servers_are_addresses(text):
    with pytest.raises(ValueError, match="write it as HOST or HOST:PORT"):
        DnsClient([text])


async def test_a_silent_server_is_given_up(server, tmp_path):
    server.silent = True
    assert await Dns(server, tmp_path, timeout_s=0.2).trouble("sip:a@p.test") is DnsTrouble.TIMEOUT
    hurried = Dns(server, tmp_path, timeout_s=60.0)
    hurried.resolver = Resolver(hurried.cache, timeout_s=0.1)
    assert await hurried.trouble("sip:a@plain.test") is DnsTrouble.TIMEOUT


async def test_a_server_that_fails(lookup, server):
    server.rcode = dns.rcode.SERVFAIL
    assert await lookup.trouble("sip:a@plain.test:5060") is DnsTrouble.SERVER_FAILED


async def test_a_service_that_nobody_can_tell_of_costs_the_others_nothing(lookup, server):
    server.failing = {"_sip._udp.srv.test."}
    assert await lookup.targets("sip:a@srv.test") == ["tcp:192.0.2.10:5071"]
    server.failing |= {"_sip._udp.plain.test."}
    assert await lookup.trouble("sip:a@plain.test") is DnsTrouble.SERVER_FAILED


async def test_answers_are_kept_as_long_as_they_say_within_bounds(lookup, server):
    for _ in range(2):
        await lookup.targets("sip:a@forever.test:5060")
        await lookup.targets("sip:a@never.test:5060")
        await lookup.trouble("sip:a@nowhere.test:5060")
    assert set(server.asked.values()) == {1}
    lookup.clock.now_s = 5.1  # the least that is kept
    await lookup.targets("sip:a@forever.test:5060")
    await lookup.targets("sip:a@never.test:5060")
    asked = server.asked
    assert (asked["forever.test.", "A"], asked["never.test.", "A"]) == (1, 2)
    lookup.clock.now_s = 3_601.0
    await lookup.targets("sip:a@forever.test:5060")
    assert server.asked["forever.test.", "A"] == 2


async def test_an_old_answer_is_used_while_the_servers_are_down(server, tmp_path):
    lookup = Dns(server, tmp_path, timeout_s=0.2, families=(socket.AF_INET,))
    await lookup.targets("sip:a@plain.test:5060")
    server.silent, lookup.clock.now_s = True, 100.0
    for _ in range(3):
        assert await lookup.targets("sip:a@plain.test:5060") == NAMED["sip:a@plain.test"][:2]
    assert lookup.cache.counts["stale"] == 1  # the others find it fresh again, for a while
    lookup.clock.now_s = 4_000.0
    assert await lookup.trouble("sip:a@plain.test:5060") is DnsTrouble.TIMEOUT
    server.silent, lookup.clock.now_s = False, 4_010.0
    assert await lookup.targets("sip:a@plain.test:5060")


async def test_nobody_waits_long_for_servers_while_there_is_an_old_answer(server, tmp_path):
    limits = DnsLimits(patience_s=0.05)
    lookup = Dns(server, tmp_path, limits=limits, timeout_s=60.0, families=(socket.AF_INET,))
    await lookup.targets("sip:a@plain.test:5060")
    server.silent, lookup.clock.now_s = True, 100.0
    lookup.resolver = Resolver(lookup.cache, families=(socket.AF_INET,), timeout_s=5.0)
    assert await lookup.targets("sip:a@plain.test:5060") == NAMED["sip:a@plain.test"][:2]
    assert lookup.cache.counts["stale"] == 1
    waiting = asyncio.ensure_future(lookup.trouble("sip:a@srv.test:5060"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking = [task for task in asyncio.all_tasks() if task.get_name().startswith("dns ")]
    lookup.resolver.close()
    assert await waiting is DnsTrouble.TIMEOUT
    await asyncio.wait(asking)
    assert len(asking) == 2
    assert all(task.cancelled() for task in asking)


async def test_the_cache_is_bounded(server, tmp_path):
    lookup = Dns(server, tmp_path, limits=DnsLimits(names=5), families=(socket.AF_INET,))
    for number in range(20):
        await lookup.trouble(f"sip:a@n{number}.test:5060")
    assert (len(lookup.cache), lookup.cache.counts["evicted"]) == (5, 15)


async def test_whoever_asks_for_the_same_waits_for_one_lookup(lookup, server):
    same = await asyncio.gather(*(lookup.targets("sip:a@plain.test:5060") for _ in range(50)))
    assert all(targets == same[0] for targets in same)
    assert server.asked == {("plain.test.", "A"): 1, ("plain.test.", "AAAA"): 1}


async def test_lookups_under_way_are_bounded():
    never = asyncio.Event()

    async def hang(name, kind):
        await never.wait()
        return Answer((), 0)

    class NoHosts:
        def find(self, name, kind):
            return None

    cache = DnsCache(hang, DnsLimits(lookups=2), hosts=NoHosts())
    waiting = [asyncio.ensure_future(cache.lookup(name, Kind.A)) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(ResolveError) as caught:
        await cache.lookup("c", Kind.A)
    assert caught.value.trouble is DnsTrouble.BUSY
    never.set()
    assert await asyncio.gather(*waiting) == [(), ()]


async def test_who_gives_up_takes_the_answer_from_nobody():
    go = asyncio.Event()

    async def slow(name, kind):
        await go.wait()
        return Answer(("192.0.2.1",), 60)

    cache = DnsCache(slow, hosts=HostsFile())
    impatient, patient = (asyncio.ensure_future(cache.lookup("x.test", Kind.A)) for _ in "ab")
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    go.set()
    assert await patient == ("192.0.2.1",)


def test_weights_are_the_chances_to_be_first():
    records = [Srv(1, 0, 1, "zero"), Srv(1, 30, 1, "c"), Srv(1, 70, 1, "b"), Srv(0, 0, 1, "first")]
    source = random.Random(7)
    orders = [[srv.target for srv in order_by_weight(records, source)] for _ in range(3_000)]
    assert {order[0] for order in orders} == {"first"}
    second = Counter(order[1] for order in orders)
    assert 0.65 < second["b"] / 3_000 < 0.75
    assert 0 < second["zero"] / 3_000 < 0.03


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535)), max_size=12),
    st.integers(0, 2**32),
)
@settings(max_examples=200, deadline=None)
def test_the_order_has_each_host_once_and_priorities_ascending(pairs, seed):
    records = [Srv(priority, weight, 1, str(n)) for n, (priority, weight) in enumerate(pairs)]
    ordered = order_by_weight(records, random.Random(seed))
    assert sorted(ordered, key=records.index) == records
    assert [srv.priority for srv in ordered] == sorted(srv.priority for srv in records)

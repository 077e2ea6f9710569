"""Networks by address, held against Python's `ipaddress`, and rates by source."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media._core import TimerWheel
from ringwheel.media.sip.sources import NetworkTable, SourceRates

# Few bits that differ, so that networks hold each other and addresses lie in several.
V4 = st.builds(lambda bits: ipaddress.IPv4Address(0xC0000200 ^ bits), st.integers(0, 1023))
V6 = st.builds(lambda bits: ipaddress.IPv6Address((0x20010DB8 << 96) ^ bits), st.integers(0, 1023))
ADDRESSES = V4 | V6
NETWORKS = st.lists(
    st.builds(
        lambda address, length: ipaddress.ip_network(
            f"{address}/{max(0, address.max_prefixlen - length)}", strict=False
        ),
        ADDRESSES,
        st.integers(0, 12) | st.just(200),
    ),
    max_size=12,
)


@given(NETWORKS, st.lists(ADDRESSES, min_size=1, max_size=20))
def test_the_smallest_network_that_holds_an_address_is_found(networks, addresses):
    table = NetworkTable((network, str(network)) for network in networks)
    assert bool(table) == bool(networks)
    for address in addresses:
        holding = [n for n in networks if n.version == address.version and address in n]
        smallest = max(holding, key=lambda network: network.prefixlen, default=None)
        assert table.find(str(address)) == (smallest and str(smallest))


def test_of_two_alike_the_first_counts():
    network = ipaddress.ip_network("192.0.2.0/24")
    assert NetworkTable([(network, "first"), (network, "second")]).find("192.0.2.9") == "first"


def test_a_link_local_address_comes_with_the_link_that_it_is_of():
    table = NetworkTable([(ipaddress.ip_network("fe80::/10"), "link")])
    assert table.find("fe80::5054:ff%2") == table.find("fe80::5054:ff") == "link"


@given(st.text(max_size=60))
def test_what_is_no_address_lies_nowhere(text):
    table = NetworkTable([(ipaddress.ip_network("0.0.0.0/0"), "v4")])
    found = table.find(text)
    assert found is None or ipaddress.ip_address(text)


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from("abc")), max_size=60))
def test_no_source_takes_more_than_its_rate(takes):
    wheel = TimerWheel(0)
    rates = SourceRates(10.0, 3, 8, wheel)
    granted = dict.fromkeys("abc", 0)
    for pause_ms, source in takes:
        wheel.advance(wheel.now_ms + pause_ms)
        granted[source] += rates.take(source)
    for count in granted.values():
        assert count <= 3 + wheel.now_ms * 10 // 1_000 + 1

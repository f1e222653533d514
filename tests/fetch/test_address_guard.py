from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifw.errors import ConfigError, UrlForbiddenError
from ifw.fetch import AddressGuard, check_url
from ifw.fetch.addresses import literal_address

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2002:a9fe:a9fe::",
    "2001:0:808:808:0:0:80ff:fffe",
    "2001:0:7f00:1:0:0:f7f7:f7f7",
    "3fff::1",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "::ffff:0.0.0.0",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "169.253.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.0.1",
    "198.17.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "2606:4700::5efe:8.8.8.8",
]
NOTATIONS = {
    "2130706433": "127.0.0.1",
    "0x7f000001": "127.0.0.1",
    "017700000001": "127.0.0.1",
    "0x7f.1": "127.0.0.1",
    "0177.0.0.01": "127.0.0.1",
    "127.1": "127.0.0.1",
    "0": "0.0.0.0",
    "0xa9fea9fe": "169.254.169.254",
    "10.1": "10.0.0.1",
    "3232235777": "192.168.1.1",
    "::ffff:7f00:1": "::ffff:127.0.0.1",
}


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_refused(address: str) -> None:
    assert not AddressGuard().permits(address)
    assert AddressGuard(block_private=False).permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_permitted(address: str) -> None:
    assert AddressGuard().permits(address)


@pytest.mark.parametrize("address", [item for item in PRIVATE if "%" not in item])
def test_listed_network_is_permitted_and_only_that(address: str) -> None:
    guard = AddressGuard((address,))
    assert guard.permits(address)
    refused = [other for other in PRIVATE if not guard.permits(other)]
    assert len(refused) >= len(PRIVATE) - 8  # the same address inside others


@pytest.mark.parametrize(("notation", "address"), NOTATIONS.items())
def test_every_notation_is_read_as_the_system_reads_it(notation: str, address: str) -> None:
    literal = literal_address(notation)
    assert literal is not None
    assert ipaddress.ip_address(literal) == ipaddress.ip_address(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "a.localhost", "ip6-localhost", "[::1]", "127.1", "0x7f.1", "2130706433"],
)
def test_local_names_and_notations_are_refused_when_they_are_handed_in(host: str) -> None:
    with pytest.raises(UrlForbiddenError):
        check_url(f"http://{host}/a.mp3", AddressGuard())
    check_url(f"http://{host}/a.mp3", AddressGuard(("127.0.0.0/8", "::1")))
    for one in ("127.0.0.0/8", "::1"):
        check_url("http://localhost/a.mp3", AddressGuard((one,)))
    check_url("http://localhost.example.com/a.mp3", AddressGuard())


def test_one_private_address_among_several_condemns_the_name() -> None:
    guard = AddressGuard()
    guard.check("u", "h", ["8.8.8.8", "1.1.1.1"])
    with pytest.raises(UrlForbiddenError, match="h has an address that is not public") as caught:
        guard.check("u", "h", ["8.8.8.8", "10.0.0.7"])
    assert "10.0.0.7" not in str(caught.value)  # nobody maps the network by our messages


@pytest.mark.parametrize("nets", [("10.0.0.0/33",), ("lan",), ("",), (None,), "10.0.0.0/8"])
def test_wrong_networks_are_refused(nets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="allow_nets"):
        AddressGuard(nets)


IPV4 = st.ip_addresses(v=4)


@given(IPV4)
def test_what_python_calls_private_is_never_permitted(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not AddressGuard().permits(address)


@given(st.ip_addresses(v=6))
def test_ipv6_that_python_calls_private_is_never_permitted(address: ipaddress.IPv6Address) -> None:
    carries = address.ipv4_mapped or address.sixtofour or address.teredo
    if not carries and (not address.is_global or address.is_multicast or address.is_reserved):
        in_nat64 = address in ipaddress.ip_network("64:ff9b::/96")
        assert in_nat64 or not AddressGuard().permits(address)


@given(IPV4, st.integers(0, 2**80 - 1), st.integers(0, 2**64 - 1))
def test_an_address_inside_another_decides(address: ipaddress.IPv4Address, low: int, prefix: int) -> None:
    guard, number = AddressGuard(), int(address)
    expected = guard.permits(address)
    isatap = (0x2606 << 112) | ((prefix & 0xFFFFFFFFFFFF) << 64) | (0x5EFE << 32) | number
    for carrier in (
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | low),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)),
        ipaddress.IPv6Address((0x20010000 << 96) | (number << 64) | (0x08080808 ^ 0xFFFFFFFF)),
        ipaddress.IPv6Address(isatap),
    ):
        assert guard.permits(carrier) == expected
        assert guard.permits(str(carrier)) == expected


@given(IPV4, st.integers(0, 32))
def test_a_listed_network_permits_all_of_it(address: ipaddress.IPv4Address, length: int) -> None:
    guard = AddressGuard((f"{address}/{length}",))
    assert guard.permits(address)
    assert guard.permits(f"::ffff:{address}")

"""Which addresses of the Internet may be reached."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Final

from ifw.errors import ConfigError, UrlForbiddenError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registries, 2025; a table of our own because that of Python changes with its patch releases.
_NOT_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host agent of Azure, at an address that only looks public
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all else of IPv6 is private, link-local, multicast or unassigned
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # the upper half of an interface identifier
_LOCAL_NAMES: Final = ("localhost", "ip6-localhost", "ip6-loopback")

_LOOPBACK: Final = ("127.0.0.1", "::1")


class AddressGuard:
    """Lets public addresses pass, and those of the networks that the operator listed.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64, ISATAP) passes only if what it carries
    does.
    """

    def __init__(self, allow_nets: Iterable[str] = (), *, block_private: bool = True) -> None:
        """Read the networks.

        Args:
            allow_nets: Such as `10.1.0.0/16`, `fd00::/8` or a single address.
            block_private: False lets everything pass.

        Raises:
            ConfigError: One is no network.
        """
        if isinstance(allow_nets, str):
            raise ConfigError(f"allow_nets: got {allow_nets!r}, allowed: several networks in a tuple")
        self._allowed = tuple(_network(net) for net in allow_nets)
        self._block_private = block_private

    def permits(self, address: str | Address) -> bool:
        """Whether an address may be reached.

        Args:
            address: Canonical; an IPv6 address may have a scope.
        """
        if not self._block_private:
            return True
        bare = ipaddress.ip_address(address.partition("%")[0]) if isinstance(address, str) else address
        if any(bare in net for net in self._allowed):
            return True
        carried = list(_carried(bare))
        return all(map(self.permits, carried)) if carried else _is_public(bare)

    def check(self, url: str, host: str, addresses: Iterable[str]) -> None:
        """See that a name leads to nothing but addresses that may be reached.

        Args:
            url: For the message; as it may be shown.
            host: What was looked up.
            addresses: All that it has. One that is private condemns the others: it is how a name hides what it is for.

        Raises:
            UrlForbiddenError: One may not be reached. The message does not tell which, as that would map the network.
        """
        if not all(map(self.permits, addresses)):
            raise _forbidden(url, host)

    def check_name(self, url: str, host: str) -> None:
        """Refuse what can be refused without looking a name up: addresses in any notation, and local names.

        Raises:
            UrlForbiddenError: It is one that may not be reached.
        """
        name = host.rstrip(".").lower()
        address = literal_address(host)
        if address is not None:
            self.check(url, host, [address])
        elif (name in _LOCAL_NAMES or name.endswith(".localhost")) and not any(map(self.permits, _LOOPBACK)):
            raise _forbidden(url, host)


def literal_address(host: str) -> str | None:
    """The address that a host is, as the operating system reads it: also `2130706433`, `0x7f.1` and `0177.1`."""
    try:
        return str(ipaddress.IPv6Address(host)) if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _forbidden(url: str, host: str) -> UrlForbiddenError:
    return UrlForbiddenError(
        f"{url}: {host} has an address that is not public, allowed: public addresses, and those of the networks that "
        "the operator lists (allow_nets)"
    )


def _network(net: str) -> Network:
    try:
        return ipaddress.ip_network(net, strict=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"allow_nets: got {net!r}, allowed: a network such as 10.1.0.0/16, or an address") from error


def _carried(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses inside an IPv6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _NAT64 or (address in _UNICAST and int(address) >> 32 & 0xFFFFFFFF in _ISATAP):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not any(address in net for net in _NOT_PUBLIC)

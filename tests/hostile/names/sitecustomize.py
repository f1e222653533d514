"""Python loads this when the besieged server starts: names under `.test` are asked of the attacker's name server."""

import os
import socket
from typing import Any

_system = socket.getaddrinfo
_asked = os.environ["ATTACKERS_NAMES"]


def _answer(name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        host, port = _asked.rsplit(":", 1)
        asking.sendto(name.encode(), (host, int(port)))
        addresses = asking.recv(4096).decode()
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return addresses.split(",")


def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
    if not isinstance(host, str) or not host.rstrip(".").endswith(".test"):
        return _system(host, port, *args, **options)
    return [info for address in _answer(host) for info in _system(address, port, *args, **options)]


socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]  # the same parameters, written shorter

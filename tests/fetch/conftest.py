from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ifw.fetch import exchange

MakeTls = Callable[..., ssl.SSLContext]


@pytest.fixture
def make_tls(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> MakeTls:
    """Makes the context of a server whose certificate names `names`; `trusted` lets this process believe it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")

    def make(names: str = "DNS:localhost,IP:127.0.0.1", days: int = 2, *, trusted: bool = True) -> ssl.SSLContext:
        folder = tmp_path_factory.mktemp("tls")
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", str(days), "-subj", "/CN=test"]
        command += ["-addext", f"subjectAltName={names}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
        exchange.tls_context.cache_clear()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    return make


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Gives a name addresses, a new set at each look-up, as a hostile name server does; tells what was looked up."""
    import socket

    real, script, looked_up = socket.getaddrinfo, {}, []

    def getaddrinfo(host: str, port: int, *args: object, **kwargs: object) -> list[tuple]:
        if host not in script:
            return real(host, port, *args, **kwargs)
        looked_up.append(host)
        rounds = script[host]
        now = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        return [info for address in now for info in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def give(host: str, *rounds: list[str]) -> list[str]:
        script[host] = list(rounds)
        return looked_up

    return give


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool" / "audio"

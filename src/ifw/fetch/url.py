"""Reading a URL, and showing one without its secrets."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httpx2

from ifw.errors import UrlInvalidError
from ifw.fetch.addresses import AddressGuard
from ifw.fetch.names import file_name

MAX_URL_BYTES: Final = 8 << 10
_MAX_SHOWN: Final = 200  # characters
_MAX_HOST: Final = 253
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SHOWN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:[^/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\\]+)(:[0-9]*)?(/[^?#]*)?", re.I
)
_AUTHORITY: Final = re.compile(r"https?://([^/?#]*)", re.I)
_PORT: Final = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that was read once, so that what is checked is what is reached.

    Attributes:
        whole: As the server of a redirect would see it, without a fragment.
        scheme: `http` or `https`.
        host: A name in ASCII, or an address without brackets.
        port: Where to connect to.
        host_header: Host, and the port where it is not that of the scheme.
        target: Path and query.
        authorization: Basic authorisation from the user and password in the URL; None without.
        shown: For messages.
    """

    whole: str
    scheme: str
    host: str
    port: int
    host_header: bytes
    target: bytes
    authorization: bytes | None
    shown: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What shares secrets: scheme, host and port."""
        return self.scheme, self.host, self.port

    def redirected(self, location: str) -> Url:
        """Follow a redirect. A password goes on only to the origin that it was given for.

        Raises:
            UrlInvalidError: It leads to what is no URL to fetch.
        """
        _require_clean(location, self.shown)
        try:
            joined = str(httpx2.URL(self.whole).join(location))
        except httpx2.InvalidURL as error:
            raise UrlInvalidError(f"{self.shown}: it redirects to what is no URL: {shown_url(location)}") from error
        there = parse_url(joined)
        authorization = self.authorization if there.origin == self.origin else None
        return Url(
            there.whole,
            there.scheme,
            there.host,
            there.port,
            there.host_header,
            there.target,
            authorization,
            there.shown,
        )


def check_url(url: str, guard: AddressGuard | None = None) -> None:
    """Refuse what is no URL that can be fetched, without asking anybody.

    Args:
        url: http or https, at most 8 KiB.
        guard: Also refuse addresses in it that this guard would not let pass.

    Raises:
        UrlInvalidError: It cannot be fetched.
        UrlForbiddenError: `guard` does not let it pass.
    """
    parsed = parse_url(url)
    if guard is not None:
        guard.check_name(parsed.shown, parsed.host)


def parse_url(url: str) -> Url:
    """Read a URL.

    Raises:
        UrlInvalidError: It cannot be fetched.
    """
    if not isinstance(url, str):
        raise UrlInvalidError(f"a URL: got {type(url).__name__}, allowed: text such as https://example.com/talk.mp3")
    shown = shown_url(url)
    _require_clean(url, shown)
    match = _AUTHORITY.match(url)
    if match is None:
        raise UrlInvalidError(f"{shown}: got another kind of URL, allowed: http:// and https://")
    authority = match[1]
    userinfo, _, host_and_port = authority.rpartition("@")
    if "\\" in authority or "@" in userinfo or not _PORT.fullmatch(host_and_port):
        raise UrlInvalidError(f"{shown}: its host cannot be read, allowed: a name or an address, and a port")
    try:
        parsed = httpx2.URL(url).copy_with(fragment=None)
    except (httpx2.InvalidURL, ValueError) as error:
        raise UrlInvalidError(f"{shown}: it is no URL, allowed: one such as https://example.com/talk.mp3") from error
    host = parsed.raw_host.decode("ascii")
    _require_host(host, shown)
    port = parsed.port if parsed.port is not None else 443 if parsed.scheme == "https" else 80
    if not 1 <= port <= 65535:
        raise UrlInvalidError(f"{shown}: got port {port}, allowed: 1 to 65535")
    whole = str(parsed.copy_with(userinfo=b""))
    if len(whole) > MAX_URL_BYTES:
        raise UrlInvalidError(f"{shown}: got {len(whole)} bytes, allowed: at most {MAX_URL_BYTES}")
    authorization = b"Basic " + base64.b64encode(_credentials(parsed.userinfo)) if parsed.userinfo else None
    return Url(whole, parsed.scheme, host, port, parsed.netloc, parsed.raw_path, authorization, shown)


def shown_url(url: str) -> str:
    """Write a URL as messages and logs may have it: without user, password, query and fragment.

    Whatever cannot be read for sure as a URL is not shown at all.
    """
    match = _SHOWN.match(url) if isinstance(url, str) and len(url) <= 4 * MAX_URL_BYTES else None
    if match is None:
        return "<URL>"
    scheme, host, port, path = match.groups()
    rest = url[match.end() :]
    if rest and rest[0] not in "?#":
        return "<URL>"
    shown = f"{scheme.lower()}://{host}{port or ''}{path or ''}"
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def url_name(url: str) -> str:
    """The file name at the end of a URL's path, safe to use for a file; its host where there is none.

    Raises:
        UrlInvalidError: It cannot be fetched.
    """
    parsed = parse_url(url)
    path = parsed.target.partition(b"?")[0].decode("ascii")
    last = next((part for part in reversed(path.split("/")) if part), "")
    return file_name(unquote(last)) or file_name(parsed.host) or "audio"


def _require_clean(url: str, shown: str) -> None:
    if len(url) > MAX_URL_BYTES:
        raise UrlInvalidError(f"{shown}: got {len(url)} characters, allowed: at most {MAX_URL_BYTES}")
    if any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 or 0xD800 <= ord(letter) < 0xE000 for letter in url):
        raise UrlInvalidError(f"{shown}: got control characters in a URL, allowed: none")


def _require_host(host: str, shown: str) -> None:
    """A host in ASCII is an address, or labels of letters, digits and hyphens; one dot may end it."""
    if ":" in host:
        if "%" in host:
            raise UrlInvalidError(f"{shown}: got an address with a scope, allowed: one without")
        return
    labels = host[:-1].split(".") if host.endswith(".") else host.split(".")
    if len(host) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlInvalidError(f"{shown}: its host is no name and no address, allowed: one such as example.com")


def _credentials(userinfo: bytes) -> bytes:
    user, _, password = userinfo.decode("ascii").partition(":")
    return f"{unquote(user)}:{unquote(password)}".encode()

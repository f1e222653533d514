"""Limits of a download."""

from __future__ import annotations

from dataclasses import dataclass

from ifw.errors import ConfigError
from ifw.fetch.addresses import AddressGuard


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How much of what a download may take, and where it may go.

    Attributes:
        max_bytes: A larger file is refused: before its first byte where the server tells its size, else on the way.
        connect_timeout_s: For looking up the name, the connection and TLS together.
        idle_timeout_s: The head of an answer must be whole within this time, and 4 KiB of the body must arrive in every
            stretch of it, so that a server cannot hold a connection by one byte now and then.
        total_timeout_s: For everything: redirects, retries and waits included.
        max_redirects: Followed from one URL.
        max_retries: Attempts after a broken connection or a passing failure of the server (408, 425, 429, 500, 502,
            503, 504), counted anew when the download has come further.
        retry_wait_s: Before the first of these attempts; doubled before each further one, or what the server asks for,
            at most 30 s.
        allow_nets: Networks such as `10.1.0.0/16` that may be reached although they are not public.
        block_private: False lets every address be reached, for a user who is the operator of the machine.
    """

    max_bytes: int = 4 << 30
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0
    total_timeout_s: float = 3600.0
    max_redirects: int = 5
    max_retries: int = 3
    retry_wait_s: float = 0.5
    allow_nets: tuple[str, ...] = ()
    block_private: bool = True

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: One has a value that is not allowed.
        """
        _require_number("max_bytes", self.max_bytes, 1, 2**63 - 1)
        _require_number("connect_timeout_s", self.connect_timeout_s, 0.001, 1e6)
        _require_number("idle_timeout_s", self.idle_timeout_s, 0.001, 1e6)
        _require_number("total_timeout_s", self.total_timeout_s, 0.001, 1e7)
        _require_number("max_redirects", self.max_redirects, 0, 50)
        _require_number("max_retries", self.max_retries, 0, 100)
        _require_number("retry_wait_s", self.retry_wait_s, 0, 600)
        self.guard()

    def guard(self) -> AddressGuard:
        """The guard for these networks."""
        return AddressGuard(self.allow_nets, block_private=self.block_private)


def _require_number(name: str, value: float, lowest: float, highest: float) -> None:
    is_whole = name.startswith("max_")
    is_right_kind = isinstance(value, int if is_whole else (int, float)) and not isinstance(value, bool)
    if not is_right_kind or not lowest <= value <= highest:
        kind = "an integer" if is_whole else "a number"
        raise ConfigError(f"{name}: got {value!r}, allowed: {kind}, {lowest:g} to {highest:g}")

"""URL in, local file out: guarded against private addresses, limited in size and time, resumed by range."""

from __future__ import annotations

from ifw.fetch.addresses import AddressGuard
from ifw.fetch.download import Fetched, fetch
from ifw.fetch.options import FetchOptions
from ifw.fetch.post import PostReply, check_headers, post
from ifw.fetch.url import check_url, shown_url, url_name

__all__ = [
    "AddressGuard",
    "FetchOptions",
    "Fetched",
    "PostReply",
    "check_headers",
    "check_url",
    "fetch",
    "post",
    "shown_url",
    "url_name",
]

"""The health check of the container: ends with 0 where the server can work, else prints what is missing."""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

PATH: Final = "/health/ready"
TIMEOUT_S: Final = 4.0
"""Less than the container's own, so that what is printed says what happened."""
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})


def main() -> None:
    """Ask the server of this container, wherever its settings let it listen."""
    host = os.environ.get("IFW_HOST", "")
    port = int(os.environ.get("IFW_PORT") or "8000")
    connection = http.client.HTTPConnection("127.0.0.1" if host in EVERYWHERE else host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        reply = connection.getresponse()
        print(reply.read(4096).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{host}:{port}{PATH}: {error}")
    sys.exit(reply.status != http.HTTPStatus.OK)


if __name__ == "__main__":
    main()
